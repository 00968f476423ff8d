package acceptance

import "fmt"

// Verdict is what came of trying one assumption about the appliance.
type Verdict int

const (
	// Holds says that the appliance is as it is taken to be.
	Holds Verdict = iota
	// Differs says that it is not, and that the plugin works all the same.
	Differs
	// Wrong says that the plugin does not work like that, or not wholly.
	Wrong
	// Untried says that something else stood in the way of trying.
	Untried
)

func (v Verdict) String() string { return [...]string{"ok", "DIFFERS", "WRONG", "not tried"}[v] }

// Finding is what came of one assumption.
type Finding struct {
	Subject string
	Assumed string // what the plugin rests on
	Verdict Verdict
	Detail  string // what was found; of Untried, what stood in the way
	Err     error  // what is wrong; nil unless Verdict is Wrong
	Hint    string // what Differs means for the plugin, or what to do about Wrong
}

// Fault is a finding that is wrong, as an error.
type Fault struct {
	Subject string
	Err     error
	Hint    string
}

func (f *Fault) Error() string { return fmt.Sprintf("%s: %v (hint: %s)", f.Subject, f.Err, f.Hint) }

func (f *Fault) Unwrap() error { return f.Err }

// FirstFault returns the first of the findings that is wrong, as a [Fault]; nil if
// none is. A failed login comes before all others, because it must not be tried
// again soon.
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

// The subjects of findings.
const (
	apiLogin       = "API login"
	firmware       = "firmware"
	blacklistRight = "right to the blacklist"
	sshLogin       = "SSH login"
	sshServer      = "SSH server"
	loginShell     = "login shell"
	tools          = "tools"
	configFolder   = "configuration folder"
	objectFile     = "file object"
	groupFile      = "file objectgroup"

	editing       = "editing on the appliance"
	modeAndOwner  = "mode and owner"
	addressBlock  = "blocking an address"
	showPrints    = "what SHOW prints"
	renewing      = "renewing an entry"
	unblocking    = "unblocking an address"
	newSession    = "a new session sees a write"
	groupBlock    = "blocking a group"
	groupUnblock  = "unblocking a group"
	rangeBlock    = "blocking a range"
	ipv6Address   = "IPv6 address"
	ipv6Object    = "IPv6 object"
	emptyGroup    = "empty group"
	nothingIsLeft = "nothing is left behind"
)

// assumption is one thing about an appliance that the plugin rests on.
type assumption struct{ subject, assumed string }

// checked are the assumptions that Check tries, in its order.
var checked = []assumption{
	{apiLogin, "the account logs in to the HTTPS API with its password"},
	{firmware, "SYSTEM PROPERTY tells model and version"},
	{blacklistRight, "MODIFY MONITOR gives the right to the blacklist"},
	{sshLogin, "the account logs in over SSH, with password, keyboard-interactive or key"},
	{sshServer, "the server offers algorithms of today"},
	{loginShell, "the login shell runs /bin/sh -c '...'"},
	{tools, "cat, cp, grep, mv, rm; awk, cksum, tail to edit the files on the appliance"},
	{configFolder, "the account enters config_dir and may write in it"},
	{objectFile, "it is in config_dir and has a section [Host]"},
	{groupFile, "it is in config_dir"},
}

// tried are those that Try tries after them.
var tried = []assumption{
	{addressBlock, "MONITOR ADDRESSLIST ADD takes an address, with the monitor right alone"},
	{showPrints, "SHOW prints one line per entry, with src=ADDRESS or range1=FIRST:LAST, and timeout=SECONDS"},
	{renewing, "ADD of what is on the blacklist sets its time anew"},
	{unblocking, "DELETE takes an address off; of one that is not listed it does no harm"},
	{editing, "the appliance's sh and awk make the same bytes as this program"},
	{modeAndOwner, "a file that is replaced keeps its mode and owner"},
	{newSession, "a session opened after a write sees it, without a reload"},
	{groupBlock, "ADD of a group blocks its members"},
	{groupUnblock, "DELETE of a group unblocks its members"},
	{rangeBlock, "an object of [Network] is blocked by its name, and as a member of a group"},
	{ipv6Address, "ADD takes an IPv6 address"},
	{ipv6Object, "an object of [Host] may have an IPv6 address, and is blocked by its name"},
	{emptyGroup, "a group may be a header alone"},
	{nothingIsLeft, "what was tried is gone again, and the files are as they were"},
}

// findings are what was found so far.
type findings []Finding

func (f *findings) holds(subject, detail string) {
	*f = append(*f, Finding{Subject: subject, Detail: detail})
}

func (f *findings) differs(subject, detail, means string) {
	*f = append(*f, Finding{Subject: subject, Verdict: Differs, Detail: detail, Hint: means})
}

func (f *findings) wrong(subject string, err error, hint string) {
	*f = append(*f, Finding{Subject: subject, Verdict: Wrong, Err: err, Hint: hint})
}

func (f *findings) untried(subject, why string) {
	*f = append(*f, Finding{Subject: subject, Verdict: Untried, Detail: why})
}

// of returns the finding about a subject; nil if there is none.
func (f findings) of(subject string) *Finding {
	for i := range f {
		if f[i].Subject == subject {
			return &f[i]
		}
	}
	return nil
}

// works reports whether a subject was tried and the plugin can do with it.
func (f findings) works(subject string) bool {
	found := f.of(subject)
	return found != nil && found.Verdict <= Differs
}

// report returns a finding for each assumption, in their order.
func (f findings) report(all ...assumption) []Finding {
	report := make([]Finding, 0, len(all))
	for _, a := range all {
		finding := Finding{Subject: a.subject, Verdict: Untried, Detail: "what it needs does not work"}
		if found := f.of(a.subject); found != nil {
			finding = *found
		}
		finding.Assumed = a.assumed
		report = append(report, finding)
	}
	return report
}
