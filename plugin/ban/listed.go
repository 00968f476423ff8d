package ban

import (
	"strings"
	"time"
)

// Listed is a decision as the Local API lists it, with what remains of it.
type Listed struct {
	Origin, Scenario, Scope, Type, Value string
	Left                                 time.Duration
}

// Judge turns a listed decision into bans: none, with the reason, if it is no
// business of ours or may not block. What its list deletes is judged alike, so
// that the same prefixes end that it once gave.
func (f Filter) Judge(l Listed, now time.Time) (bans []Ban, skip Skip, refused bool) {
	d := decision{Origin: l.Origin, Scenario: l.Scenario, Scope: l.Scope, Type: l.Type, Value: l.Value}
	reason := f.ignores(&d)
	if reason == "" {
		reason = f.ignoresScenario(l.Scenario)
	}
	if reason != "" {
		return nil, Skip{shorten(l.Value), reason}, false
	}
	prefix, err := ParsePrefix(l.Value)
	if err != nil {
		return nil, Skip{shorten(l.Value), err.Error()}, true
	}
	parts, err := f.Admit(prefix)
	if err != nil {
		return nil, Skip{shorten(l.Value), err.Error()}, true
	}
	until := now.UTC().Round(0).Add(l.Left)
	if until.After(latest) {
		until = latest
	}
	for _, p := range parts {
		// The texts may share the memory of a whole answer.
		bans = append(bans, Ban{Prefix: p, Until: until, Origin: strings.Clone(label(l.Origin)), Scenario: strings.Clone(label(l.Scenario))})
	}
	return bans, Skip{}, false
}
