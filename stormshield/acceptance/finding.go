package acceptance

import (
	"errors"
	"fmt"

	"notification-stormshield/appliance"
)

// Verdict is the result of trying one assumption about the appliance.
type Verdict int

const (
	// Holds means that the appliance behaves as the plugin expects.
	Holds Verdict = iota
	// Differs means that it does not, and that the plugin works all the same.
	Differs
	// Wrong means that the plugin does not work, or not fully.
	Wrong
	// Untried means that something prevented the attempt.
	Untried
)

func (v Verdict) String() string { return [...]string{"ok", "DIFFERS", "WRONG", "not tried"}[v] }

// Finding is the result for one assumption.
type Finding struct {
	Subject string
	Assumed string // what the plugin expects
	Verdict Verdict
	Detail  string   // what was found, in one line or several; of Untried, what prevented the attempt
	Err     error    // what is wrong; nil unless Verdict is Wrong
	Hint    string   // what Differs means for the plugin, or what to do about Wrong
	Serials []string // serial numbers in Detail, which a public report hides
}

func holds(detail string) Finding { return Finding{Detail: detail} }

func differs(detail, means string) Finding {
	return Finding{Verdict: Differs, Detail: detail, Hint: means}
}

func wrong(err error, hint string) Finding { return Finding{Verdict: Wrong, Err: err, Hint: hint} }

func notTried(why string) Finding { return Finding{Verdict: Untried, Detail: why} }

// Fault is a finding that is wrong, as an error.
type Fault struct {
	Subject string
	Err     error
	Hint    string
}

func (f *Fault) Error() string { return fmt.Sprintf("%s: %v (hint: %s)", f.Subject, f.Err, f.Hint) }

func (f *Fault) Unwrap() error { return f.Err }

// FirstFault returns the first finding that is wrong, as a [Fault]; nil: there is none. A failed login comes before all
// others, because it must not be tried again soon.
func FirstFault(findings []Finding) error {
	var first error
	for _, f := range findings {
		if f.Err == nil {
			continue
		}
		fault := &Fault{f.Subject, f.Err, f.Hint}
		if loginFailed(fault) {
			return fault
		}
		if first == nil {
			first = fault
		}
	}
	return first
}

func loginFailed(err error) bool {
	var login *appliance.LoginError
	return errors.As(err, &login)
}
