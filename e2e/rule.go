package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

// The tests send packets between a banned address and this one, which is never banned.
const peer = "192.0.2.200"

// activated is a limit for what waits for an activation of the filter rule. Usually that takes as long as activate_every, which is
// seconds in these tests. Without the activation it would take until the next re-assert.
const activated = time.Minute

// settings are keys of the configuration's section rule.
type settings map[string]any

// enforceBy installs the filter rule of another way to enforce, and reloads the plugin. It waits for the first flush before, so that
// `rule install` and a flush do not write the same group at once.
func (env *Environment) enforceBy(t testing.TB, enforce string, rule settings) {
	t.Helper()
	env.waitUntilFlushed(t)
	env.configureRule(t, enforce, rule)
	if enforce != "blacklist" {
		env.checkRuleCommand(t, "install")
	}
	env.CrowdSec.Reload(t)
	env.Plugin.waitUntilActive(t)
}

// configureRule writes a configuration with another way to enforce.
func (env *Environment) configureRule(t testing.TB, enforce string, rule settings) {
	t.Helper()
	env.Plugin.values["Enforce"], env.Plugin.values["Rule"] = enforce, rule
	env.Plugin.configure(t)
}

// checkRuleCommand runs `rule install` or `rule remove`, which must succeed.
func (env *Environment) checkRuleCommand(t testing.TB, command string) {
	t.Helper()
	if out, err := env.Plugin.Command(t, "rule", command, "--yes"); err != nil {
		t.Fatalf("rule %s: %v\n%s", command, err, out)
	}
}

// waitForPacket waits until the appliance decides in this way about a packet, and returns how long that took.
func (env *Environment) waitForPacket(t testing.TB, source, destination string, want Verdict) time.Duration {
	t.Helper()
	return waitFor(t, activated, fmt.Sprintf("a packet from %s to %s meets %+v", source, destination, want), func() (bool, string) {
		v := env.Appliance.Packet(t, source, destination)
		return v == want, fmt.Sprintf("it meets %+v", v)
	})
}

// checkPacket fails the test if the appliance decides in another way about a packet.
func (env *Environment) checkPacket(t testing.TB, when, source, destination string, want Verdict) {
	t.Helper()
	if v := env.Appliance.Packet(t, source, destination); v != want {
		t.Errorf("%s, a packet from %s to %s meets %+v, want %+v", when, source, destination, v, want)
	}
}

// guardPackets checks that each packet from an address is blocked, until the returned function is called.
func (env *Environment) guardPackets(t testing.TB, source string) (stayedBlocked func()) {
	t.Helper()
	return guardAgainst(t, func(ctx context.Context) []string {
		switch v, err := env.Appliance.packet(ctx, source, peer); {
		case err != nil:
			return []string{err.Error()}
		case v.Action != "block":
			return []string{fmt.Sprintf("a packet from %s meets %+v", source, v)}
		}
		return nil
	})
}

// guardBlacklist checks that the blacklist is empty, until the returned function is called.
func (env *Environment) guardBlacklist(t testing.TB) (stayedEmpty func()) {
	t.Helper()
	return guardAgainst(t, func(ctx context.Context) (faults []string) {
		list, err := env.Appliance.blacklist(ctx)
		if err != nil {
			return []string{err.Error()}
		}
		for entry := range list {
			faults = append(faults, entry.String()+" is on the blacklist")
		}
		return faults
	})
}

// waitUntilNotWorking waits until `status` says that the plugin does not work, and why.
func (env *Environment) waitUntilNotWorking(t testing.TB, reason string) {
	t.Helper()
	waitFor(t, time.Minute, "status says NOT WORKING and "+reason, func() (bool, string) {
		out, err := env.Plugin.Command(t, "status")
		return err != nil && strings.Contains(out, ": NOT WORKING: ") && strings.Contains(out, reason), out
	})
}
