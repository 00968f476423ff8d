package ledger_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"notification-stormshield/plugin/ban"
	"notification-stormshield/plugin/ledger"
)

func TestABanEndsWithTheDecisionThatEndsLast(t *testing.T) {
	l := open(t)
	long := decided(address, start.Add(2*time.Hour))
	want(t, "added by one alert", record(t, l, start, decided(address, start.Add(time.Minute)), long, long).Added, 1)
	flush(t, l, start, oneByOne)
	want(t, "unknown", record(t, l, start, decided(address, start.Add(time.Hour)), long).Unknown, 1)
	p := plan(t, l, start)
	want(t, "pending after a shorter and the same", p.HasPending(), false)
	want(t, "in force", p.InForce, 1)
	want(t, "next", p.Next, start.Add(2*time.Hour))
	changes, err := l.Changes(t.Context())
	want(t, "changes after no change to the ban, error", fmt.Sprint(changes, err), fmt.Sprint(ledger.Changes{Change: 1, Own: true}, nil))

	want(t, "extended", record(t, l, start, decided(address, start.Add(3*time.Hour))).Extended, 1)
	p = plan(t, l, start)
	want(t, "to block again", blocks(p), []string{address})
	want(t, "until", p.Block[0].Until, start.Add(3*time.Hour))
}

func TestOneAlertOfManyDecisionsAddsAndExtendsBans(t *testing.T) {
	l := open(t)
	record(t, l, start, numbered(100, 300)...)
	longer := numbered(0, 1000)
	for i := range longer {
		longer[i].Until = start.Add(time.Hour + time.Duration(i%2)*time.Hour) // every other is longer
	}
	r := record(t, l, start, longer...)
	want(t, "recorded", r, ledger.Recorded{Added: 700, Extended: 150, Unknown: 850})
	p := plan(t, l, start)
	want(t, "in force", p.InForce, 1000)
	want(t, "in force", len(inForce(t, l, p)), 1000)
	want(t, "in force an hour later", plan(t, l, start.Add(time.Hour)).InForce, 500)
}

func TestABanKeepsTheThousandDecisionsThatEndLast(t *testing.T) {
	l := open(t)
	const kept = 1000
	var decisions []ban.Decision
	for i := range kept + 100 {
		decisions = append(decisions, identified(int64(i+1), address, start.Add(time.Hour+time.Duration(i)*time.Minute)))
	}
	list(t, l, noLimit, decisions...)
	want(t, "unknown at the second time", list(t, l, noLimit, decisions...).Unknown, 0)
	ends := lines(t, l, "SELECT until FROM decision ORDER BY until")
	want(t, "kept", len(ends), kept)
	want(t, "the first that ends", ends[0], decisions[100].Until.UnixMilli())
	_, err := l.RemoveDeleted(t.Context(), decisions, start, noLimit)
	check(t, err)
	want(t, "in force when all are deleted", plan(t, l, start).InForce, 0)
}

func TestALiftedBanStaysLiftedWhenTheFilterChanges(t *testing.T) {
	l := open(t)
	d := identified(1, "203.0.113.0/24", start.Add(time.Hour))
	record(t, l, start, d)
	flush(t, l, start, oneByOne)
	_, err := l.Lift(t.Context(), d.Prefix, start, noLimit)
	check(t, err)
	want(t, "to unblock", texts(flush(t, l, start, oneByOne).Unblock), []string{"203.0.113.0/24"})
	want(t, "pending afterwards", plan(t, l, start).HasPending(), false)
	inForce := func() []string { return inForce(t, l, plan(t, l, start)) }
	for _, protected := range []string{"203.0.113.0/25", "203.0.113.128/25", "198.51.100.0/24", "203.0.113.0/24", "198.51.100.0/24"} {
		f := ban.Filter{NeverBlock: []netip.Prefix{netip.MustParsePrefix(protected)}}
		_, err := l.ApplyFilter(t.Context(), f.AdmitStored, start, noLimit)
		check(t, err)
		want(t, "in force without "+protected, inForce(), []string(nil))
		for _, part := range f.AdmitStored(d) {
			listed := d
			listed.Prefix = part
			list(t, l, noLimit, listed)
		}
		want(t, "in force after a full read", inForce(), []string(nil))
	}
	list(t, l, noLimit, identified(2, "203.0.113.0/24", start.Add(2*time.Hour)))
	want(t, "in force after a new decision", inForce(), []string{"203.0.113.0/24"})
}

func TestLiftOfARangeLiftsOnlyItsParts(t *testing.T) {
	l := open(t)
	part := func(number int64, prefix string, bits int) ban.Decision {
		d := identified(number, prefix, start.Add(time.Hour))
		d.RangeBits = bits
		return d
	}
	record(t, l, start, part(1, "203.0.113.0/25", 24), part(1, "203.0.113.192/26", 24), // around 203.0.113.128/26
		part(2, "203.0.113.7/32", 32), part(3, "203.0.113.192/26", 26), part(4, "203.0.0.0/16", 16), part(5, "198.51.100.0/25", 24))
	lifted, err := l.Lift(t.Context(), netip.MustParsePrefix("203.0.113.0/24"), start, noLimit)
	check(t, err)
	want(t, "lifted", texts(lifted), []string{"203.0.113.0/25", "203.0.113.192/26"})
	want(t, "in force", inForce(t, l, plan(t, l, start)), []string{"198.51.100.0/25", "203.0.0.0/16", "203.0.113.192/26", "203.0.113.7/32"})
}

func TestRecordFoundChangesNoKnownBan(t *testing.T) {
	l := open(t)
	record(t, l, start, decided("203.0.113.1/32", start.Add(time.Hour)))
	flush(t, l, start, oneByOne)
	record(t, l, start, decided("203.0.113.2/32", start.Add(time.Minute)))
	found := []netip.Prefix{netip.MustParsePrefix("203.0.113.1/32"), netip.MustParsePrefix("203.0.113.2/32"), netip.MustParsePrefix("203.0.113.3/32")}
	r, err := l.RecordFound(t.Context(), found, start.Add(4*time.Hour), start, noLimit)
	check(t, err)
	want(t, "added", r.Added, 1)
	want(t, "in force once their own ends have come", inForce(t, l, plan(t, l, start.Add(2*time.Hour))), []string{"203.0.113.3/32"})
}

func TestAFullReadFindsThousandsOfMissingDecisions(t *testing.T) {
	l := open(t)
	var decisions []ban.Decision
	for i, d := range numbered(0, 3500) {
		decisions = append(decisions, identified(int64(i+1), d.Prefix.String(), d.Until))
	}
	list(t, l, noLimit, decisions...)
	for range 2 {
		r, err := l.BeginFullRead(t.Context())
		check(t, err)
		_, err = l.RecordListed(t.Context(), r, decisions[:1200], start, noLimit)
		check(t, err)
		lacked, err := l.EndFullRead(t.Context(), r, func(ban.Decision) bool { return true }, start)
		check(t, err)
		want(t, "lacked", lacked, 2300)
	}
	m, err := l.Missing(t.Context(), start)
	check(t, err)
	want(t, "missing, sample", []int{m.Count, len(m.Sample)}, []int{2300, 8})
	_, err = l.EndMissing(t.Context(), start, noLimit)
	check(t, err)
	want(t, "in force", plan(t, l, start).InForce, 1200)
}

// A slow answer of the Local API gives a later end. So an alert without UUID and the listed decision may make two rows, and the end
// of a known decision does not move.
func TestADecisionMatchesByIDBeforeItMatchesByEnd(t *testing.T) {
	l := open(t)
	ends := start.Add(time.Hour)
	listed := decided(address, ends.Add(10*time.Second))
	listed.ID = 7
	record(t, l, start, decided(address, ends))
	list(t, l, noLimit, listed)
	listed.Until = ends
	want(t, "unknown", list(t, l, noLimit, listed).Unknown, 0)
	want(t, "until", plan(t, l, start).Next, ends.Add(10*time.Second))
	want(t, "IDs", lines(t, l, "SELECT lapi_id FROM decision ORDER BY id"), []string{"0", "7"})
}

func TestABanThatLosesADecisionIsComparedWithWaitingBans(t *testing.T) {
	hour := start.Add(time.Hour)
	l := open(t)
	recordAtMost(t, l, 1, start, ofOrigin("lists:tor", "203.0.113.9/32", hour)) // it waits
	recordAtMost(t, l, 1, start, ofOrigin("lists:tor", address, hour))
	recordAtMost(t, l, 1, start, ofOrigin("crowdsec", address, start.Add(time.Minute)))
	p := plan(t, l, start)
	recordOutcome(t, l, p, oneByOne(p, start))
	check(t, l.ApplyLimit(t.Context(), start.Add(time.Minute), 1))
	want(t, "pending when it stays the best", plan(t, l, start.Add(time.Minute)).HasPending(), false)

	l = open(t)
	for _, d := range []ban.Decision{ofOrigin("lists:tor", "203.0.113.2/32", hour), ofOrigin("lists:tor", address, hour),
		ofOrigin("crowdsec", "203.0.113.5/32", start.Add(time.Minute)), ofOrigin("cscli-import", "203.0.113.5/32", hour), ofOrigin("crowdsec", "203.0.113.4/32", hour)} {
		recordAtMost(t, l, 3, start, d)
	}
	check(t, l.ApplyLimit(t.Context(), start.Add(time.Minute), 2))
	want(t, "enforced when the limit becomes lower too", inForce(t, l, plan(t, l, start.Add(time.Minute))), []string{"203.0.113.4/32", "203.0.113.5/32"})
}
