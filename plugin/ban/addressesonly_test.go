package ban_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"notification-stormshield/plugin/ban"
)

// An alert, the Local API's list and the state refuse a range alike, also one of which never-block leaves single addresses.
func TestAFilterForAddressesOnlyRefusesRanges(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for _, prefix := range []string{"203.0.113.7/32", "2001:db8::7/128", "203.0.113.0/24", "203.0.113.8/31", "2001:db8::/64"} {
		filter := ban.Filter{NeverBlock: prefixes("203.0.113.8/32")}
		wanted := netip.MustParsePrefix(prefix)
		for _, only := range []bool{false, true} {
			filter.AddressesOnly = only
			admits := !only || wanted.IsSingleIP()

			text := `[{"decisions":[{"duration":"4h","origin":"cscli","scope":"Range","type":"ban","value":"` + prefix + `"}]}]`
			result, err := ban.Read(text, filter, now)
			if err != nil || (len(result.Decisions) > 0) != admits || (result.Refused.ByKind[ban.Scope] == 0) != admits {
				t.Errorf("an alert on %s, addresses only %t: %+v, %v", prefix, only, result, err)
			}
			decisions, skip := filter.AdmitListed(ban.Listed{Origin: "lists", Scope: "Range", Type: "ban", Value: prefix, Left: time.Hour}, now)
			if (len(decisions) > 0) != admits || (skip.Kind == ban.Scope) == admits {
				t.Errorf("a listed decision on %s, addresses only %t: %v, %+v", prefix, only, decisions, skip)
			}
			if !admits && !strings.Contains(skip.Reason, "give ssh_password or ssh_private_key_path") {
				t.Errorf("the reason for %s does not say what would allow it: %s", prefix, skip.Reason)
			}
			stored := ban.Decision{Prefix: wanted, RangeBits: wanted.Bits(), Type: "ban"}
			if parts := filter.AdmitStored(stored); (len(parts) > 0) != admits {
				t.Errorf("a stored decision on %s, addresses only %t: %v", prefix, only, parts)
			}
		}
	}
}
