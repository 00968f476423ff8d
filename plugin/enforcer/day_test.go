package enforcer_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"notification-stormshield/appliance"
	"notification-stormshield/plugin/ban"
	"notification-stormshield/plugin/enforcer"
)

const (
	day         = 24 * time.Hour
	banDuration = 4 * time.Hour // CrowdSec's default
	maxBans     = 100_000       // the plugin's default
)

func TestTwoHoursOfABanAMinuteNeedSSHOnlyForReasserts(t *testing.T) {
	banEachMinute(t, 2*time.Hour, 12)
}

func TestLongADayOfABanAMinuteNeedsAtMost150SSHLogins(t *testing.T) { banEachMinute(t, day, 150) }

func TestTwoHoursOfOneListChangeNeedSSHForItAndEachHour(t *testing.T) { changeList(t, 2*time.Hour, 3) }

func TestLongADayOfOneListChangeNeedsAtMost24SSHLogins(t *testing.T) { changeList(t, day, 24) }

// banEachMinute bans an address at the beginning of each minute. At the start as many bans are in force as after days of this.
func banEachMinute(t *testing.T, length time.Duration, most int) {
	t.Helper()
	u := &usage{before: func(u *usage) {
		for left := 15 * time.Second; left < banDuration; left += time.Minute {
			u.add(1, left)
		}
	}}
	u.run(t, fmt.Sprintf("%g hours of one ban a minute", length.Hours()), most, func() {
		random := rand.New(rand.NewPCG(1, 2))
		for range length / time.Minute {
			second := time.Duration(random.IntN(20)) * time.Second
			time.Sleep(second)
			u.add(1, banDuration)
			u.Trigger()
			time.Sleep(time.Minute - second)
		}
	})
}

// changeList replaces 500 bans of a list of 5,000 once.
func changeList(t *testing.T, length time.Duration, most int) {
	t.Helper()
	u := &usage{before: func(u *usage) { u.add(5000, 100*time.Hour) }}
	u.run(t, fmt.Sprintf("%g hours of one list change", length.Hours()), most, func() {
		time.Sleep(length / 2)
		u.remove(500)
		u.add(500, 100*time.Hour)
		u.Trigger()
		time.Sleep(length / 2)
	})
}

// usage is a time in which bans come and go, with the plugin's default settings.
type usage struct {
	*harness
	*enforcer.Enforcer
	before    func(u *usage) // records the bans at the start
	decisions []ban.Decision // of all bans that were not removed
	last      int            // the number of the last decision
}

// run counts the logins while the test runs. The first flush is over then.
func (u *usage) run(t *testing.T, name string, mostSSH int, test func()) {
	t.Helper()
	t.Parallel()
	runTest(t, func(h *harness) {
		u.harness = h
		h.fw.singleMax = 16
		u.before(u)
		var end func()
		u.Enforcer, end = h.startEnforcer(func(c *enforcer.Config) {
			c.Appliance, c.MaxBans, c.Compare = slowFirewall{h.fw}, maxBans, time.Hour
		})
		defer end()
		time.Sleep(time.Minute)
		u.checkBlocked()
		first := h.fw.count()
		test()
		ssh, api := h.fw.logins(first)
		fmt.Fprintf(t.Output(), "%s, in simulated time: %d SSH logins (at most %d), %d API logins\n", name, ssh, mostSSH, api)
		if ssh == 0 || ssh > mostSSH {
			t.Errorf("%d SSH logins, want 1 to %d", ssh, mostSSH)
		}
		time.Sleep(time.Minute)
		u.checkBlocked()
	})
}

// add records decisions on new addresses.
func (u *usage) add(n int, left time.Duration) {
	u.t.Helper()
	some := make([]ban.Decision, n)
	for i := range some {
		u.last++
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{203, 0, byte(u.last >> 8), byte(u.last)}), 32)
		some[i] = ban.Decision{ID: int64(u.last), Prefix: p, RangeBits: 32, Type: "ban", Until: time.Now().Add(left)}
	}
	u.decisions = append(u.decisions, some...)
	if _, err := u.ledger.Record(context.Background(), some, time.Now(), maxBans); err != nil {
		u.t.Fatal(err)
	}
}

// remove ends the oldest decisions.
func (u *usage) remove(n int) {
	u.t.Helper()
	some := u.decisions[:n]
	u.decisions = u.decisions[n:]
	if _, err := u.ledger.RemoveDeleted(context.Background(), some, time.Now(), maxBans); err != nil {
		u.t.Fatal(err)
	}
}

func (u *usage) checkBlocked() {
	u.t.Helper()
	var want []string
	for _, d := range u.decisions {
		if d.Until.After(time.Now()) {
			want = append(want, d.Prefix.Addr().String())
		}
	}
	slices.Sort(want)
	if got := u.fw.blocked(); !slices.Equal(got, want) {
		u.t.Errorf("after %s %d addresses are blocked, want %d", time.Since(u.start), len(got), len(want))
	}
}

// slowFirewall is a firewall whose flushes take a second.
type slowFirewall struct{ *firewall }

func (f slowFirewall) Apply(ctx context.Context, c appliance.Change) (appliance.Outcome, error) {
	time.Sleep(time.Second)
	return f.firewall.Apply(ctx, c)
}

// logins returns how many logins a real appliance would have had since a flush. A re-assert that writes the files logs in to the
// API twice if it changes single addresses first: a session that is open during the write does not see it.
func (f *firewall) logins(first int) (ssh, api int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.changes[first:] {
		api++
		if !c.Files {
			continue
		}
		ssh++
		if singles := len(c.Block) + len(c.Unblock); c.Reassert && singles > 0 && singles <= f.singleMax {
			api++
		}
	}
	return ssh, api
}
