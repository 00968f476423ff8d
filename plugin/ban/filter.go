package ban

import (
	"net/netip"
	"slices"
	"strings"
)

// defaultType is the type of decisions that block if none is configured.
const defaultType = "ban"

// Filter chooses the decisions that block, and limits the prefixes that may be blocked. The zero Filter accepts every
// decision of type ban, and refuses only prefixes that no host has.
type Filter struct {
	// Types are the types of decisions that count, in any case; none: only ban.
	Types []string
	// Origins are the origins of decisions that count, in any case; none: all. The part before a colon or a slash also
	// matches: lists for lists:firehol, crowdsec for crowdsec/night, the origin of a profile.
	Origins []string
	// IncludeScenarios and ExcludeScenarios are parts of scenario names. A scenario must contain one of the first, if there
	// are any, and none of the second.
	IncludeScenarios, ExcludeScenarios []string
	// NeverBlock are the prefixes that are never blocked (see [ParseNeverBlock]).
	NeverBlock []netip.Prefix
	// Own are further addresses that are never blocked; nil: none.
	Own *OwnAddresses
	// AddressesOnly refuses every range.
	AddressesOnly bool
	// MinPrefixIPv4 and MinPrefixIPv6 are the fewest bits of a range. 0 allows all but the whole address space.
	MinPrefixIPv4, MinPrefixIPv6 int
}

// typeReason returns why a decision of this type does not count, or "".
func (f Filter) typeReason(kind string) string {
	if len(f.Types) == 0 && strings.EqualFold(kind, defaultType) {
		return ""
	}
	if slices.ContainsFunc(f.Types, func(t string) bool { return strings.EqualFold(t, kind) }) {
		return ""
	}
	return "type " + shorten(kind) + " is not among decisions.types"
}

// originReason returns why a decision of this origin does not count, or "".
func (f Filter) originReason(origin string) string {
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

// scenarioReason returns why a decision of this scenario does not count, or "".
func (f Filter) scenarioReason(scenario string) string {
	contains := func(part string) bool { return strings.Contains(scenario, part) }
	if i := slices.IndexFunc(f.ExcludeScenarios, contains); i >= 0 {
		return "scenario contains " + shorten(f.ExcludeScenarios[i]) + ", which is excluded"
	}
	if len(f.IncludeScenarios) > 0 && !slices.ContainsFunc(f.IncludeScenarios, contains) {
		return "scenario contains none of decisions.include_scenarios_containing"
	}
	return ""
}

// checkWidth refuses a range with fewer bits than the configuration allows.
func (f Filter) checkWidth(prefix netip.Prefix) error {
	if f.AddressesOnly && !prefix.IsSingleIP() {
		return refuse(Scope, "range /%d: without SSH only single addresses are blocked (hint: give ssh_password or ssh_private_key_path to block ranges)",
			prefix.Bits())
	}
	least, key := f.MinPrefixIPv6, "min_prefix_ipv6"
	if prefix.Addr().Is4() {
		least, key = f.MinPrefixIPv4, "min_prefix_ipv4"
	}
	if prefix.Bits() < least {
		return refuse(TooWide, "range /%d is wider than decisions.%s (%d)", prefix.Bits(), key, least)
	}
	return nil
}

// AdmitStored returns the prefixes that a stored decision blocks under this filter. There are none if the filter refuses it.
func (f Filter) AdmitStored(stored Decision) []netip.Prefix {
	reasons := f.typeReason(stored.Type) + f.originReason(stored.Origin) + f.scenarioReason(stored.Scenario)
	if reasons != "" && stored.Type != FoundEntry {
		return nil
	}
	parts, err := f.Admit(stored.Range())
	if err != nil {
		return nil
	}
	return parts
}
