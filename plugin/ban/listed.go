package ban

import (
	"strings"
	"time"
)

// Listed is a decision as the Local API lists it, with its remaining time.
type Listed struct {
	UUID                                 string
	ID                                   int64
	Origin, Scenario, Scope, Type, Value string
	Left                                 time.Duration
}

// AdmitListed returns one decision for each prefix that a listed decision blocks. If there are none, skip has the reason. For a
// deleted decision, it returns the prefixes that it blocked.
func (f Filter) AdmitListed(l Listed, now time.Time) (decisions []Decision, skip Skip) {
	d := decision{Origin: l.Origin, Scenario: l.Scenario, Scope: l.Scope, Type: l.Type, Value: l.Value}
	reason := f.ignoreReason(&d)
	if reason == "" {
		reason = f.scenarioReason(l.Scenario)
	}
	if reason != "" {
		return nil, ignoredSkip(l.Value, reason)
	}
	prefix, err := ParsePrefix(l.Value)
	if err != nil {
		return nil, refusedSkip(l.Value, err)
	}
	parts, err := f.Admit(prefix)
	if err != nil {
		return nil, refusedSkip(l.Value, err)
	}
	until := now.UTC().Round(0).Add(l.Left)
	if until.After(latestEnd) {
		until = latestEnd
	}
	for _, p := range parts {
		// Without a copy, a text may keep a whole answer in memory.
		decisions = append(decisions, Decision{
			UUID: ParseUUID(l.UUID), ID: l.ID, Prefix: p, RangeBits: prefix.Bits(), Until: until,
			Type: strings.Clone(cleanLabel(l.Type)), Origin: strings.Clone(cleanLabel(l.Origin)), Scenario: strings.Clone(cleanLabel(l.Scenario)),
		})
	}
	return decisions, Skip{}
}
