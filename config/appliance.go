package config

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Address returns the appliance's host and API port in one spelling. Letter case, the form of an IPv6 address and a dot at
// the end of a name make no difference. It does not resolve a name.
func (s Stormshield) Address() string {
	host := strings.ToLower(strings.TrimSuffix(unbracketed(s.Host), "."))
	if address, err := netip.ParseAddr(host); err == nil {
		host = address.Unmap().String()
	}
	return net.JoinHostPort(host, strconv.Itoa(s.APIPort))
}

// SharedGroup returns a group that two documents both write on the same appliance; "" if there is none. Two such documents
// must not run, because each would remove the other's bans. A dry run writes nothing, and a document without SSH uses no group.
// Letter case in the names of groups makes no difference, because it may make none on the appliance [?].
func SharedGroup(a, b Document) string {
	if a.DryRun || b.DryRun || !a.Stormshield.UsesSSH() || !b.Stormshield.UsesSSH() || a.Stormshield.Address() != b.Stormshield.Address() {
		return ""
	}
	for _, one := range []string{a.Stormshield.Group, a.Stormshield.DeleteGroup} {
		for _, other := range []string{b.Stormshield.Group, b.Stormshield.DeleteGroup} {
			if strings.EqualFold(one, other) {
				return one
			}
		}
	}
	return ""
}

// SharesRule reports whether two documents use a filter rule of the same name on the same appliance. `rule install` for one document
// would change the rule of the other.
func SharesRule(a, b Document) bool {
	return !a.DryRun && !b.DryRun && a.Stormshield.UsesRule() && b.Stormshield.UsesRule() &&
		a.Stormshield.Address() == b.Stormshield.Address() && strings.EqualFold(a.Stormshield.Rule.Name, b.Stormshield.Rule.Name)
}

// MayFlushAtOnce reports whether two documents enforce on the same appliance, and one of them shares its state with other machines. The lease
// of each document may then be on another machine, and two flushes at once would undo each other's changes of the files. On one machine
// the documents take turns.
func MayFlushAtOnce(a, b Document) bool {
	return !a.DryRun && !b.DryRun && (a.SharesState() || b.SharesState()) && a.Stormshield.Address() == b.Stormshield.Address()
}
