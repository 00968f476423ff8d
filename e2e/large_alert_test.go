package e2e

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// receiveLimit is the default limit of a gRPC server, which refuses a longer message.
const receiveLimit = 4 << 20

func TestAnAlertOfTwentyThousandDecisionsArrivesWhole(t *testing.T) {
	forEach(t, []Release{current, older}, []Access{overSSH, overCsh}, func(t *testing.T, env *Environment) {
		decisions := decisionsOn(18_000, 1_000, 1_000)
		asked := time.Now()
		size := env.CrowdSec.Report(t, decisions)
		if size < receiveLimit*5/4 {
			t.Fatalf("the alert has %d bytes, which is too few", size)
		}
		t.Logf("MEASURED the Local API accepted an alert of %d bytes: %s", size, time.Since(asked).Round(time.Millisecond))

		var missing int
		waitForEvery(t, 250*time.Millisecond, 2*time.Minute, "all decisions are on the blacklist", func() (bool, string) {
			list := env.Appliance.Blacklist(t)
			missing = 0
			for _, d := range decisions {
				if _, blocked := list[prefix(d.Value)]; !blocked {
					missing++
				}
			}
			return missing == 0, fmt.Sprintf("%d of %d are missing", missing, len(decisions))
		})
		checkWithin(t, time.Minute, "20,000 decisions enforced", time.Since(asked))
	})
}

// decisionsOn makes decisions on IPv4 addresses (of the range for benchmarks, RFC 2544), IPv6 addresses and IPv6 networks.
func decisionsOn(ipv4, ipv6, networks int) []wireDecision {
	scenario := "e2e/" + strings.Repeat("a-scenario-with-a-long-name-", 8)
	decisions := make([]wireDecision, 0, ipv4+ipv6+networks)
	add := func(scope, value string) {
		decisions = append(decisions, wireDecision{
			Duration: "4h", Origin: "crowdsec", Scenario: scenario, Scope: scope, Type: "ban", Value: value,
		})
	}
	for i := range ipv4 {
		var address [4]byte
		binary.BigEndian.PutUint32(address[:], 198<<24|18<<16+uint32(i))
		add("Ip", netip.AddrFrom4(address).String())
	}
	for i := range ipv6 {
		add("Ip", prefix(fmt.Sprintf("2001:db8:1::%x", i+1)).Addr().String())
	}
	for i := range networks {
		add("Range", netip.MustParsePrefix(fmt.Sprintf("2001:db8:2:%x::/64", i)).String())
	}
	return decisions
}
