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

func TestTwoHoursOfOneStandingBanNeedOneAPILoginPerReassert(t *testing.T) {
	standingBan(t, 2*time.Hour)
}

func TestLongADayOfOneStandingBanNeedsOneAPILoginPerReassert(t *testing.T) { standingBan(t, day) }

// standingBan waits while one ban is in force. Each re-assert logs in to the API, and each comparison of the files over SSH.
func standingBan(t *testing.T, length time.Duration) {
	for _, way := range ruleWays {
		u := &usage{way: way, before: func(u *usage) { u.add(1, 100*time.Hour) }}
		u.mostAPI = int(length/(10*time.Minute)) + 1
		u.run(t, fmt.Sprintf("%g hours of one standing ban, %s", length.Hours(), way), int(length/time.Hour)+1, func() { time.Sleep(length) })
	}
}

func TestTwoHoursOfABanAMinuteInTheRule(t *testing.T) { banEachMinuteByRule(t, 2*time.Hour) }

func TestLongADayOfABanAMinuteInTheRule(t *testing.T) { banEachMinuteByRule(t, day) }

// banEachMinuteByRule bans an address at the beginning of each minute, and 20 of them stay in force. Each beginning and each end of a ban
// must reach the files, and is activated at most once a minute.
func banEachMinuteByRule(t *testing.T, length time.Duration) {
	for _, way := range ruleWays {
		u := &usage{way: way, before: func(u *usage) { u.add(1, 100*time.Hour) }}
		minutes := int(length / time.Minute)
		u.mostAPI = map[string]int{"rule": int(length/(10*time.Minute)) + 1, "both": 2*minutes + minutes/5}[way]
		u.run(t, fmt.Sprintf("%g hours of one ban a minute, %s", length.Hours(), way), 2*minutes+minutes/5, func() {
			for range minutes {
				u.add(1, 20*time.Minute+20*time.Second)
				u.Trigger()
				time.Sleep(time.Minute)
			}
		})
		if u.activations > minutes+1 {
			t.Errorf("%s: %d activations in %d minutes", way, u.activations, minutes)
		}
	}
}

// ruleWays are the ways to enforce by a filter rule.
var ruleWays = []string{"rule", "both"}

func TestALoneBanInTheRuleNeedsOneSSHLoginAndNoAPILogin(t *testing.T) {
	u := &usage{way: "rule", before: func(u *usage) { u.add(1, 100*time.Hour) }}
	u.run(t, "a lone ban, rule", 1, func() {
		time.Sleep(5 * time.Minute) // the next re-assert is not due
		u.add(1, 100*time.Hour)
		u.Trigger()
		time.Sleep(time.Minute)
	})
}

func TestAnIdleDayWithAFilterRuleIsSilent(t *testing.T) {
	eachWay(t, func(h *harness, alone bool) {
		_, end := h.startEnforcer(byRule(h, alone))
		defer end()
		h.waitUntil(day)
		if n := h.fw.count(); n != 1 {
			h.t.Errorf("%d flushes in a day without a ban, want only the first", n)
		}
	})
}

// usage is a time in which bans come and go, with the plugin's default settings.
type usage struct {
	*harness
	*enforcer.Enforcer
	before    func(u *usage) // records the bans at the start
	decisions []ban.Decision // of all bans that were not removed
	last      int            // the number of the last decision

	way         string // rule or both; "": blacklist
	mostAPI     int    // logins to the API; 0 for the blacklist: any number
	activations int
}

// run counts the logins while the test runs. The first flush is over then.
func (u *usage) run(t *testing.T, name string, mostSSH int, test func()) {
	t.Helper()
	if u.way == "" {
		t.Parallel()
	}
	runTest(t, func(h *harness) {
		u.harness = h
		h.fw.singleMax, h.fw.byRule, h.fw.alone = 16, u.way != "", u.way == "rule"
		u.before(u)
		var end func()
		u.Enforcer, end = h.startEnforcer(func(c *enforcer.Config) {
			c.Appliance, c.MaxBans, c.Compare = slowFirewall{h.fw}, maxBans, time.Hour
			c.Activate, c.Target.ByRule, c.Target.WithoutBlacklist = time.Minute, h.fw.byRule, h.fw.alone
		})
		defer end()
		time.Sleep(time.Minute)
		u.checkBlocked()
		first, activations := h.fw.count(), h.fw.activationCount()
		test()
		u.activations = h.fw.activationCount() - activations
		ssh, api := h.fw.logins(first)
		fmt.Fprintf(t.Output(), "%s, in simulated time: %d SSH logins (at most %d), %d API logins, %d activations\n", name, ssh, mostSSH, api, u.activations)
		if u.way != "" && api > u.mostAPI {
			t.Errorf("%s: %d API logins, want at most %d", name, api, u.mostAPI)
		}
		if ssh == 0 || ssh > mostSSH {
			t.Errorf("%d SSH logins, want 1 to %d", ssh, mostSSH)
		}
		time.Sleep(time.Minute)
		if u.way != "" {
			time.Sleep(25 * time.Minute) // the last bans end, and the rule is activated after that
		}
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
	if got := u.fw.blocked(); u.way != "rule" && !slices.Equal(got, want) {
		u.t.Errorf("after %s %d addresses are blocked, want %d", time.Since(u.start), len(got), len(want))
	}
	if got := u.running(); u.way != "" && !slices.Equal(got, want) {
		u.t.Errorf("after %s the running rule has %d addresses, want %d", time.Since(u.start), len(got), len(want))
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
		if !f.alone || !c.Files || c.Reassert || c.EntriesLeft || c.AskSerial || len(c.Unblock) > 0 {
			api++
		}
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
