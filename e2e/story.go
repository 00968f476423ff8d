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

// The times an administrator may count on with debounce 1s and update_frequency 2s.
const (
	enforcedWithin = 3 * time.Second // from the decision to the blacklist
	endedWithin    = 3 * time.Second // from the decision's end to its absence
)

// prefix reads an address or a network.
func prefix(text string) netip.Prefix {
	if address, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(address, address.BitLen())
	}
	return netip.MustParsePrefix(text)
}

// waitUntilEnforced waits for a ban on the blacklist, and fails the test when it took longer than the limit since the
// decision was asked for.
func (w *World) waitUntilEnforced(t testing.TB, value string, d Decision, limit time.Duration) {
	t.Helper()
	waitFor(t, limit+20*time.Second, value+" is on the blacklist", func() (bool, string) {
		_, blocked := w.Appliance.Blocked(t, prefix(value))
		return blocked, "it is not"
	})
	within(t, limit, value+" enforced", time.Since(d.asked))
}

// waitUntilEnded waits until bans have left the blacklist, and fails the test for each that left it before its end or
// too long after it.
func (w *World) waitUntilEnded(t testing.TB, bans map[string]Decision) {
	t.Helper()
	var last time.Time
	left := map[string]time.Time{}
	for _, d := range bans {
		if d.ends.After(last) {
			last = d.ends
		}
	}
	waitFor(t, time.Until(last)+20*time.Second, "the bans have ended", func() (bool, string) {
		list := w.Appliance.Blacklist(t)
		for value := range bans {
			_, blocked := list[prefix(value)]
			if _, seen := left[value]; !blocked && !seen {
				left[value] = time.Now()
			}
		}
		return len(left) == len(bans), fmt.Sprintf("left so far: %v", left)
	})
	for value, d := range bans {
		if early := d.ends.Sub(left[value]); early > 0 {
			t.Errorf("%s left the blacklist %s before its end", value, early)
		}
		within(t, endedWithin, value+" off after its end", left[value].Sub(d.ends))
	}
}

// waitUntilTidy waits until the appliance's files hold none of our objects, and nothing lies beside them.
func (w *World) waitUntilTidy(t testing.TB) {
	t.Helper()
	took := waitFor(t, 15*time.Second, "the files hold none of our objects", func() (bool, string) {
		files := w.Appliance.Files(t)
		both := files["object"] + files["objectgroup"]
		return len(files) == len(w.before) && !strings.Contains(both, "crowdsec_ip_") && !strings.Contains(both, "crowdsec_net_"), both
	})
	t.Logf("MEASURED objects gone after the blacklist entries: %s", took.Round(time.Millisecond))
}

// banUntilRecorded bans with cscli and waits until the plugin says in CrowdSec's log that it has recorded something,
// enforced or not.
func (w *World) banUntilRecorded(t testing.TB, flag, value string, lasts time.Duration) Decision {
	t.Helper()
	const recorded = "msg=recorded "
	before := w.CrowdSec.logged(recorded)
	d := w.CrowdSec.Ban(t, flag, value, lasts)
	waitFor(t, 10*time.Second, "the plugin has recorded "+value, func() (bool, string) {
		return w.CrowdSec.logged(recorded) > before, "it has not said so"
	})
	return d
}

// guard watches that bans never leave the blacklist.
type guard struct {
	stop   chan struct{}
	owner  sync.WaitGroup
	looks  int
	absent []string
}

// guardBans starts watching. What it returns ends that, and fails the test when a ban was ever missing.
func (w *World) guardBans(t testing.TB, values ...string) (stayedBlocked func()) {
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
				g.look(t.Context(), w.Appliance, values)
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
		if g.looks == 0 || len(g.absent) > 0 {
			t.Errorf("in %d looks at the blacklist these were missing: %v", g.looks, g.absent)
		}
	}
}

func (g *guard) look(ctx context.Context, a *Appliance, values []string) {
	list, err := a.blacklist(ctx)
	g.looks++
	for _, value := range values {
		if _, blocked := list[prefix(value)]; !blocked {
			g.miss(value, err)
		}
	}
}

func (g *guard) miss(value string, err error) {
	if err != nil {
		value = err.Error()
	}
	if !slices.Contains(g.absent, value) {
		g.absent = append(g.absent, value)
	}
}
