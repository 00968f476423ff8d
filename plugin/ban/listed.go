package ban

import (
	"strings"
	"time"
)

// Listed is a decision as the Local API lists it, with what remains of it.
type Listed struct {
	UUID                                 string
	ID                                   int64
	Origin, Scenario, Scope, Type, Value string
	Left                                 time.Duration
}

// AdmitListed returns the decision on each prefix that it blocks: none, with the
// reason, if it asks for no block or may not block. A deleted decision is
// judged alike, so that it names the prefixes that it blocked.
func (f Filter) AdmitListed(l Listed, now time.Time) (decisions []Decision, skip Skip, refused bool) {
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
		decisions = append(decisions, Decision{
			UUID: ParseUUID(l.UUID), ID: l.ID, Prefix: p, RangeBits: prefix.Bits(), Until: until,
			Type: strings.Clone(label(l.Type)), Origin: strings.Clone(label(l.Origin)), Scenario: strings.Clone(label(l.Scenario)),
		})
	}
	return decisions, Skip{}, false
}
