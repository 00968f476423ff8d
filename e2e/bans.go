package e2e

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// These limits hold with debounce 1s and update_frequency 2s.
const (
	enforcedWithin = 10 * time.Second // from the decision to the blacklist; a machine at rest needs 2 s
	endedWithin    = 3 * time.Second  // from the decision's end to its absence
)

// limitFor returns how long it may take until a prefix is blocked. A range needs the files. On a busy machine, the edit waits for a
// second before it replaces each of them.
func limitFor(value string) time.Duration {
	if prefix(value).IsSingleIP() {
		return enforcedWithin
	}
	return enforcedWithin + 3*time.Second
}

// prefix parses an address or a network.
func prefix(text string) netip.Prefix {
	if address, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(address, address.BitLen())
	}
	return netip.MustParsePrefix(text)
}

// waitUntilEnforced waits until a ban is on the blacklist. It fails the test if that took longer than the limit since the
// decision was made.
func (env *Environment) waitUntilEnforced(t testing.TB, value string, d Decision, limit time.Duration) {
	t.Helper()
	waitFor(t, limit+20*time.Second, value+" is on the blacklist", func() (bool, string) {
		_, blocked := env.Appliance.Blocked(t, prefix(value))
		return blocked, "it is not"
	})
	checkWithin(t, limit, value+" enforced", time.Since(d.asked))
}

// waitUntilEnded waits until bans have left the blacklist. It fails the test for each ban that left it before its end, or
// too late after it.
func (env *Environment) waitUntilEnded(t testing.TB, bans map[string]Decision) {
	t.Helper()
	env.watchUntilEnded(t, bans)(time.Time{})
}

// watchUntilEnded is waitUntilEnded for a test that does something else meanwhile. The returned function waits. Its argument is when the plugin
// began to run: a ban that ended before may leave the blacklist as long after this time as other bans after their end.
func (env *Environment) watchUntilEnded(t testing.TB, bans map[string]Decision) (wait func(began time.Time)) {
	t.Helper()
	var last time.Time
	for _, d := range bans {
		if d.ends.After(last) {
			last = d.ends
		}
	}
	var mutex sync.Mutex
	left := map[string]time.Time{}
	stop := guardAgainst(t, func(ctx context.Context) []string {
		list, err := env.Appliance.blacklist(ctx)
		if err != nil {
			return []string{err.Error()}
		}
		mutex.Lock()
		defer mutex.Unlock()
		for value := range bans {
			_, blocked := list[prefix(value)]
			if _, seen := left[value]; !blocked && !seen {
				left[value] = time.Now()
			}
		}
		return nil
	})
	return func(began time.Time) {
		t.Helper()
		waitFor(t, max(time.Until(last), 0)+20*time.Second, "the bans have ended", func() (bool, string) {
			mutex.Lock()
			defer mutex.Unlock()
			return len(left) == len(bans), fmt.Sprintf("left so far: %v", left)
		})
		stop()
		allowed := time.Duration(0)
		if env.Plugin.values["LAPIKey"] != "" { // a poll may come before the alert, and the Local API gives the time that remains in whole seconds
			allowed = time.Second
		}
		for value, d := range bans {
			if early := d.ends.Sub(left[value]); early > allowed {
				t.Errorf("%s left the blacklist %s before its end", value, early)
			}
			due := d.ends
			if began.After(due) {
				due = began
			}
			checkWithin(t, endedWithin, value+" unblocked after its end", left[value].Sub(due))
		}
	}
}

// filesName reports whether the file object has an address.
func (env *Environment) filesName(t testing.TB, value string) bool {
	t.Helper()
	return strings.Contains(env.Appliance.Files(t)["object"], "="+value+",")
}

// waitUntilFilesAreClean asks for a flush, because the names of ended bans leave the files with the next one that writes them. Then
// it waits until the appliance's folder has its files, and no object of the plugin in them.
func (env *Environment) waitUntilFilesAreClean(t testing.TB) {
	t.Helper()
	env.checkCommandPrints(t, "flush", "")
	waitFor(t, 15*time.Second, "the files have no object of the plugin", func() (bool, string) {
		files := env.Appliance.Files(t)
		both := files["object"] + files["objectgroup"]
		return len(files) == len(env.before) && !strings.Contains(both, "crowdsec_ip_") && !strings.Contains(both, "crowdsec_net_"), both
	})
}

// banAndWaitUntilRecorded bans with cscli and waits until the plugin logs that it has recorded something.
func (env *Environment) banAndWaitUntilRecorded(t testing.TB, flag, value string, lasts time.Duration) Decision {
	t.Helper()
	const recorded = "msg=recorded "
	before := env.CrowdSec.logged(recorded)
	d := env.CrowdSec.Ban(t, flag, value, lasts)
	waitFor(t, 10*time.Second, "the plugin has recorded "+value, func() (bool, string) {
		return env.CrowdSec.logged(recorded) > before, "its log does not say so"
	})
	return d
}

// checkRangeIsRefused bans a network. It fails the test if the plugin without credentials for SSH does not log why it refuses that.
func (env *Environment) checkRangeIsRefused(t testing.TB, value string) {
	t.Helper()
	env.CrowdSec.Ban(t, "--range", value, time.Hour)
	waitFor(t, 10*time.Second, "the plugin refuses "+value, func() (bool, string) {
		reason := "without SSH only single addresses are blocked (hint: give ssh_password or ssh_private_key_path to block ranges)"
		return env.CrowdSec.logged("first="+value) > 0 && env.CrowdSec.logged(reason) > 0, "its log does not say so"
	})
	if _, blocked := env.Appliance.Blocked(t, prefix(value)); blocked {
		t.Errorf("%s is blocked", value)
	}
}

// guard looks for faults again and again.
type guard struct {
	stop   chan struct{}
	owner  sync.WaitGroup
	looks  int
	faults []string
}

// guardBans checks that bans are on the blacklist, until the returned function is called.
func (env *Environment) guardBans(t testing.TB, values ...string) (stayedBlocked func()) {
	t.Helper()
	return guardAgainst(t, func(ctx context.Context) []string {
		list, err := env.Appliance.blacklist(ctx)
		if err != nil {
			return []string{err.Error()}
		}
		var absent []string
		for _, value := range values {
			if _, blocked := list[prefix(value)]; !blocked {
				absent = append(absent, value+" is not on the blacklist")
			}
		}
		return absent
	})
}

// guardAgainst looks for faults, until the returned function is called, which fails the test if there was a fault.
func guardAgainst(t testing.TB, look func(context.Context) (faults []string)) (stayedRight func()) {
	t.Helper()
	g := &guard{stop: make(chan struct{})}
	g.owner.Go(func() {
		ticker := time.NewTicker(50 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-g.stop:
				return
			case <-ticker.C:
				g.looks++
				g.add(look(t.Context()))
			}
		}
	})
	stop := sync.OnceFunc(func() {
		close(g.stop)
		g.owner.Wait()
	})
	t.Cleanup(stop)
	return func() {
		t.Helper()
		stop()
		if g.looks == 0 || len(g.faults) > 0 {
			t.Errorf("the guard looked %d times and found: %q", g.looks, g.faults)
		}
	}
}

func (g *guard) add(faults []string) {
	for _, fault := range faults {
		if !slices.Contains(g.faults, fault) {
			g.faults = append(g.faults, fault)
		}
	}
}
