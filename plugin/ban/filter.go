package ban

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// defaultType is the one type of decision that blocks, when none is configured.
const defaultType = "ban"

// Filter says which decisions become bans, and what may be blocked at all. The
// zero Filter takes every decision of type ban and protects nothing beyond what
// is never a host's address.
type Filter struct {
	// Types of decision that count, in any case. None: only ban.
	Types []string
	// Origins that count, in any case. None: all. What stands before a colon or
	// a slash counts for the whole: lists for lists:firehol, crowdsec for
	// crowdsec/night, which a profile with an origin of its own gives.
	Origins []string
	// IncludeScenarios and ExcludeScenarios are parts of scenario names. When
	// some are to be included, a scenario must contain one of them; it may
	// contain none of the excluded.
	IncludeScenarios, ExcludeScenarios []string
	// NeverBlock is never blocked, as [ParseNeverBlock] gives it.
	NeverBlock []netip.Prefix
	// Own are addresses that are never blocked either; nil: none.
	Own *Own
	// MinPrefixIPv4 and MinPrefixIPv6 are the fewest bits a range may have; 0
	// allows all ranges but the whole address space.
	MinPrefixIPv4, MinPrefixIPv6 int
}

// ignoresType tells why a decision of this type does not count, or "".
func (f Filter) ignoresType(kind string) string {
	if len(f.Types) == 0 && strings.EqualFold(kind, defaultType) {
		return ""
	}
	if slices.ContainsFunc(f.Types, func(t string) bool { return strings.EqualFold(t, kind) }) {
		return ""
	}
	return "type " + shorten(kind) + " is not among decisions.types"
}

// ignoresOrigin tells why a decision of this origin does not count, or "".
func (f Filter) ignoresOrigin(origin string) string {
	if len(f.Origins) == 0 {
		return ""
	}
	family, _, _ := strings.Cut(origin, ":")
	family, _, _ = strings.Cut(family, "/")
	if slices.ContainsFunc(f.Origins, func(o string) bool {
		return strings.EqualFold(o, origin) || strings.EqualFold(o, family)
	}) {
		return ""
	}
	return "origin " + shorten(origin) + " is not among decisions.origins"
}

// ignoresScenario tells why a decision of this scenario does not count, or "".
func (f Filter) ignoresScenario(scenario string) string {
	contains := func(part string) bool { return strings.Contains(scenario, part) }
	if i := slices.IndexFunc(f.ExcludeScenarios, contains); i >= 0 {
		return "scenario contains " + shorten(f.ExcludeScenarios[i]) + ", which is excluded"
	}
	if len(f.IncludeScenarios) > 0 && !slices.ContainsFunc(f.IncludeScenarios, contains) {
		return "scenario contains none of decisions.include_scenarios_containing"
	}
	return ""
}

// tooWide says that a range has fewer bits than the configuration allows.
func (f Filter) tooWide(prefix netip.Prefix) error {
	least, key := f.MinPrefixIPv6, "min_prefix_ipv6"
	if prefix.Addr().Is4() {
		least, key = f.MinPrefixIPv4, "min_prefix_ipv4"
	}
	if prefix.Bits() < least {
		return fmt.Errorf("range /%d is wider than decisions.%s (%d)", prefix.Bits(), key, least)
	}
	return nil
}

// AdmitStored returns the prefixes that a stored decision blocks under this
// filter: none if the filter refuses it.
func (f Filter) AdmitStored(stored Decision) []netip.Prefix {
	reasons := f.ignoresType(stored.Type) + f.ignoresOrigin(stored.Origin) + f.ignoresScenario(stored.Scenario)
	if reasons != "" && stored.Type != FoundEntry {
		return nil
	}
	parts, err := f.Admit(stored.Range())
	if err != nil {
		return nil
	}
	return parts
}
