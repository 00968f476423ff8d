package config

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Address is the appliance's host and API port, spelled in one way for each
// appliance, whatever letter case, form of an IPv6 address or dot at the end the
// host is written with. A name is not resolved.
func (s Stormshield) Address() string {
	host := strings.ToLower(strings.TrimSuffix(unbracketed(s.Host), "."))
	if address, err := netip.ParseAddr(host); err == nil {
		host = address.Unmap().String()
	}
	return net.JoinHostPort(host, strconv.Itoa(s.APIPort))
}

// SharedGroup returns a group that two documents both write on the same
// appliance; "" if there is none. Two such documents must not run: each would
// remove the other's bans. A dry run writes nothing. The names of groups are
// compared without letter case, which an appliance may not tell apart [?].
func SharedGroup(a, b Document) string {
	if a.DryRun || b.DryRun || a.Stormshield.Address() != b.Stormshield.Address() {
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
