package ledger_test

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"notification-stormshield/appliance"
	"notification-stormshield/plugin/ban"
	"notification-stormshield/plugin/ledger"
)

// minute is a time after start.
func minute(n int) time.Time { return start.Add(time.Duration(n) * time.Minute) }

// waitsAfter records an outcome, and returns the waits of new bans in order.
func waitsAfter(t *testing.T, l *ledger.Ledger, now time.Time, how func(ledger.Plan, time.Time) appliance.Outcome) []time.Duration {
	t.Helper()
	p := plan(t, l, now)
	waits, err := l.RecordOutcome(t.Context(), p, how(p, now), now)
	check(t, err)
	slices.Sort(waits)
	return waits
}

func wantWaits(t *testing.T, what string, got []time.Duration, wanted ...time.Duration) {
	t.Helper()
	want(t, "waits "+what, got, wanted)
}

// longBan returns a decision for ten days.
func longBan(prefix string) ban.Decision { return decided(prefix, start.Add(240*time.Hour)) }

func TestABanWaitsOnceUntilItIsBlocked(t *testing.T) {
	for name, how := range map[string]func(ledger.Plan, time.Time) appliance.Outcome{"one by one": oneByOne, "by the group": byGroup} {
		t.Run(name, func(t *testing.T) {
			l := open(t)
			record(t, l, start, longBan("203.0.113.1/32"), longBan("203.0.113.2/32"))
			record(t, l, minute(1), longBan("203.0.113.3/32"), longBan("203.0.113.4/32"))
			refused := netip.MustParsePrefix("203.0.113.4/32")
			isRefused := func(e appliance.Entry) bool { return e.Prefix == refused }
			wantWaits(t, "of three bans", waitsAfter(t, l, minute(3), func(p ledger.Plan, now time.Time) appliance.Outcome {
				o := how(p, now)
				o.Refused, o.Blocked = []netip.Prefix{refused}, slices.DeleteFunc(o.Blocked, isRefused)
				return o
			}), 2*time.Minute, 3*time.Minute, 3*time.Minute)
			wantWaits(t, "of a re-assert", waitsAfter(t, l, minute(4), func(p ledger.Plan, now time.Time) appliance.Outcome {
				o := byGroup(p, now)
				o.Refused = []netip.Prefix{refused}
				return o
			}))
			wantWaits(t, "of a ban that the re-assert refused", waitsAfter(t, l, minute(4), oneByOne))
			record(t, l, minute(5), decided("203.0.113.1/32", start.Add(480*time.Hour)), longBan("203.0.113.5/32"))
			wantWaits(t, "of an extended ban and a new one", waitsAfter(t, l, minute(6), how), time.Minute)
			wantWaits(t, "of renewals", waitsAfter(t, l, start.Add(200*time.Hour), how))
			later := start.Add(1000 * time.Hour)
			waitsAfter(t, l, later, how)
			record(t, l, later, decided("203.0.113.1/32", later.Add(time.Hour)))
			wantWaits(t, "of a ban that comes back", waitsAfter(t, l, later.Add(time.Minute), how), time.Minute)
		})
	}
}

func TestABanThatAFlushDidNotBlockWaitsOn(t *testing.T) {
	l := open(t)
	record(t, l, start, longBan("203.0.113.1/32"), longBan("203.0.113.2/32"))
	wantWaits(t, "of a flush that failed halfway", waitsAfter(t, l, minute(1), func(p ledger.Plan, now time.Time) appliance.Outcome {
		check(t, l.RecordAttempt(t.Context(), p))
		return appliance.Outcome{Blocked: oneByOne(p, now).Blocked[:1], Listed: true}
	}), time.Minute)
	back := netip.MustParsePrefix("203.0.113.2/32")
	wantWaits(t, "of the group", waitsAfter(t, l, minute(2), func(p ledger.Plan, now time.Time) appliance.Outcome {
		_, err := l.Lift(t.Context(), back, minute(2), noLimit)
		check(t, err)
		record(t, l, minute(2), decided(back.String(), start.Add(480*time.Hour)), longBan("203.0.113.3/32"))
		return byGroup(p, now)
	}))
	wantWaits(t, "of a ban that came back during a flush, and of a new one", waitsAfter(t, l, minute(3), oneByOne), time.Minute, time.Minute)
}

func TestABanThatWaitsForRoomWaitsFromThenOn(t *testing.T) {
	l := open(t)
	record(t, l, start, longBan("203.0.113.1/32"))
	waitsAfter(t, l, start, oneByOne)
	recordAtMost(t, l, 1, minute(1), ofOrigin("lists:tor", "203.0.113.2/32", start.Add(48*time.Hour)))
	wantWaits(t, "without room", waitsAfter(t, l, minute(2), oneByOne))
	check(t, l.ApplyLimit(t.Context(), minute(3), 2))
	wantWaits(t, "with room", waitsAfter(t, l, minute(4), oneByOne), time.Minute)
	recordAtMost(t, l, 2, minute(5), longBan("203.0.113.3/32"))
	wantWaits(t, "of a new ban that makes another one wait", waitsAfter(t, l, minute(7), oneByOne), 2*time.Minute)
}

func TestABanThatMustBeBlockedAgainIsNotNew(t *testing.T) {
	t.Parallel()
	first := ledger.Target{Host: "one", Group: "Crowdsec", DeleteGroup: "Gone"}
	other, alone := first, first
	other.Host, alone.ByRule, alone.WithoutBlacklist = "other", true, true
	activated := func(p ledger.Plan, now time.Time) appliance.Outcome {
		o := byGroup(p, time.Time{})
		o.At, o.Activated = now, now
		return o
	}
	targets := []struct {
		name   string
		target ledger.Target
		how    func(ledger.Plan, time.Time) appliance.Outcome
	}{
		{"another appliance", other, oneByOne}, {"the first one by the group", first, byGroup}, {"the rule alone", alone, activated},
		{"the blacklist again", first, oneByOne}, {"the rule alone once more", alone, activated},
	}
	l := open(t)
	check(t, l.SetTarget(t.Context(), first, start))
	record(t, l, start, longBan("203.0.113.1/32"))
	wantWaits(t, "on the first appliance", waitsAfter(t, l, minute(1), oneByOne), time.Minute)
	entriesGone := func(p ledger.Plan, now time.Time) appliance.Outcome {
		return appliance.Outcome{Mark: p.Mark, At: now, EntriesGone: true}
	}
	for i, to := range targets {
		check(t, l.SetTarget(t.Context(), to.target, minute(2)))
		if to.target.WithoutBlacklist {
			wantWaits(t, "of a flush that takes the entries off", waitsAfter(t, l, minute(2), entriesGone))
		}
		wantWaits(t, "after the change to "+to.name, waitsAfter(t, l, minute(3), to.how))
		record(t, l, minute(4), longBan(netip.PrefixFrom(netip.AddrFrom4([4]byte{203, 0, 113, byte(i + 2)}), 32).String()))
		wantWaits(t, "of a new ban after the change to "+to.name, waitsAfter(t, l, minute(5), to.how), time.Minute)
	}
	check(t, l.RecordCleanup(t.Context(), minute(6)))
	check(t, l.SetTarget(t.Context(), first, minute(7)))
	wantWaits(t, "after a clean-up", waitsAfter(t, l, minute(8), byGroup))
}

func TestWhereARuleEnforcesAloneABanWaitsUntilItIsActivated(t *testing.T) {
	l := open(t)
	check(t, l.SetTarget(t.Context(), ledger.Target{Host: "one", Group: "Crowdsec", DeleteGroup: "Gone", ByRule: true, WithoutBlacklist: true}, start))
	outcome := func(activated, missing bool) func(ledger.Plan, time.Time) appliance.Outcome {
		return func(_ ledger.Plan, now time.Time) appliance.Outcome {
			o := appliance.Outcome{Listed: true, Cleared: true, Changed: true, At: now, RuleMissing: missing}
			if activated {
				o.Activated = now
			}
			return o
		}
	}
	record(t, l, start, longBan("203.0.113.1/32"))
	wantWaits(t, "of a ban in the files", waitsAfter(t, l, minute(1), outcome(false, false)))
	record(t, l, minute(1), longBan("203.0.113.2/32"))
	wantWaits(t, "of both in the running rule", waitsAfter(t, l, minute(2), outcome(true, false)), time.Minute, 2*time.Minute)
	record(t, l, minute(3), longBan("203.0.113.3/32"))
	wantWaits(t, "of a ban without a rule", waitsAfter(t, l, minute(4), outcome(true, true)))
	wantWaits(t, "of the same ban later", waitsAfter(t, l, minute(5), outcome(true, false)))
}
