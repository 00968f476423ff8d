package ledger_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"notification-stormshield/appliance"
	"notification-stormshield/plugin/ban"
	"notification-stormshield/plugin/ledger"
)

// ofOrigin is a decision of some origin.
func ofOrigin(origin, prefix string, until time.Time) ban.Decision {
	d := decided(prefix, until)
	d.Origin = origin
	return d
}

func recordAtMost(t *testing.T, l *ledger.Ledger, limit int, now time.Time, decisions ...ban.Decision) {
	t.Helper()
	if _, err := l.Record(t.Context(), decisions, now, limit); err != nil {
		t.Fatal(err)
	}
}

func TestABanGoesBehindOthersWhenTheDecisionThatPutItAheadIsOver(t *testing.T) {
	l := open(t)
	recordAtMost(t, l, 1, start, ofOrigin("crowdsec", "203.0.113.1/32", start.Add(minute)), ofOrigin("lists:tor", "203.0.113.1/32", start.Add(time.Hour)))
	recordAtMost(t, l, 1, start, ofOrigin("cscli-import", "203.0.113.2/32", start.Add(time.Hour)))
	p := plan(t, l, start)
	want(t, "at first", standing(t, l, p), []string{"203.0.113.1/32"})
	want(t, "the order may change", p.Reorder, start.Add(minute))

	later := start.Add(minute)
	want(t, "error", l.Choose(t.Context(), later, 1), nil)
	p = plan(t, l, later)
	want(t, "afterwards", standing(t, l, p), []string{"203.0.113.2/32"})
	want(t, "the order may change again", p.Reorder, start.Add(time.Hour))
	s, err := l.Status(t.Context(), later)
	want(t, "error", err, nil)
	want(t, "in force, waiting", []string{s.InForce.String(), s.Waiting.String()}, []string{"1 imports", "1 lists"})
}

func TestTheClassOfABanIsThatOfTheDecisionsThatRemainAlsoWhenNoneWaits(t *testing.T) {
	l := open(t)
	record(t, l, start, ofOrigin("crowdsec", "203.0.113.1/32", start.Add(minute)), ofOrigin("lists:tor", "203.0.113.1/32", start.Add(time.Hour)))
	want(t, "the order may change", plan(t, l, start).Reorder.IsZero(), true)
	later := start.Add(minute)
	want(t, "error", l.Choose(t.Context(), later, many), nil)
	s, err := l.Status(t.Context(), later)
	want(t, "error", err, nil)
	want(t, "in force", s.InForce.String(), "1 lists")
}

func TestBansThatWaitAndAreOverWaitNoMore(t *testing.T) {
	l := open(t)
	recordAtMost(t, l, 1, start, ofOrigin("lists:tor", "203.0.113.1/32", start.Add(minute)), ofOrigin("crowdsec", "203.0.113.2/32", start.Add(time.Hour)))
	want(t, "waiting at first", plan(t, l, start).Waiting, 1)
	later := start.Add(minute)
	want(t, "error", l.Choose(t.Context(), later, 1), nil)
	p := plan(t, l, later)
	want(t, "waiting", p.Waiting, 0)
	want(t, "in force", p.InForce, 1)
	wrote(t, l, p, all(p, later))
	stored, err := l.Lines(t.Context(), "SELECT prefix FROM ban")
	want(t, "error", err, nil)
	want(t, "stored", stored, []string{"203.0.113.2/32"})
}

func TestANewBanOfAListTakesNoRoomThatABetterBanWaitsFor(t *testing.T) {
	l := open(t)
	recordAtMost(t, l, 2, start, ofOrigin("crowdsec", "203.0.113.1/32", start.Add(minute)), ofOrigin("crowdsec", "203.0.113.2/32", start.Add(time.Hour)),
		ofOrigin("cscli-import", "203.0.113.3/32", start.Add(time.Hour)))
	later := start.Add(minute) // the first is over
	recordAtMost(t, l, 2, later, ofOrigin("lists:tor", "203.0.113.4/32", start.Add(time.Hour)))
	want(t, "enforced", standing(t, l, plan(t, l, later)), []string{"203.0.113.2/32", "203.0.113.3/32"})
}

func TestABanThatMustWaitIsPendingFromThenOn(t *testing.T) {
	l := open(t)
	record(t, l, start, ofOrigin("lists:tor", "203.0.113.1/32", start.Add(time.Hour)))
	p := plan(t, l, start)
	wrote(t, l, p, all(p, start))
	later := start.Add(10 * minute)
	recordAtMost(t, l, 1, later, ofOrigin("crowdsec", "203.0.113.2/32", start.Add(time.Hour)))
	p = plan(t, l, later)
	wrote(t, l, p, appliance.Outcome{Blocked: []appliance.Entry{{Prefix: p.Block[0].Prefix, Expires: p.Block[0].Until}}, Mark: p.Mark})
	s, err := l.Status(t.Context(), later.Add(minute))
	want(t, "error", err, nil)
	want(t, "to unblock", s.ToUnblock, 1)
	want(t, "pending since", s.Pending, later)
}

func TestAnAddressThatWaitsCountsOnceHoweverManyDecisionsItHas(t *testing.T) {
	l := open(t)
	recordAtMost(t, l, 1, start, ofOrigin("crowdsec", "203.0.113.1/32", start.Add(time.Hour)))
	for i := range 5 {
		recordAtMost(t, l, 1, start, ofOrigin("lists:tor", "203.0.113.2/32", start.Add(time.Duration(i+1)*time.Hour)))
	}
	want(t, "waiting", plan(t, l, start).Waiting, 1)
	s, err := l.Status(t.Context(), start)
	want(t, "error", err, nil)
	want(t, "waiting, by class", s.Waiting.String(), "1 lists")
}

// The Local API gives what is left in whole seconds, so that the ends of one list differ from read to read.
func TestAListThatIsLongerThanTheLimitSwapsNothingWhenItIsReadAgain(t *testing.T) {
	l := open(t)
	var listed []ban.Decision
	for i := range 40 {
		d := identified(int64(i+1), fmt.Sprintf("203.0.113.%d/32", i), start.Add(time.Hour))
		d.Origin = "lists:tor"
		listed = append(listed, d)
	}
	read := func(after time.Duration) {
		t.Helper()
		again := slices.Clone(listed)
		for i := range again {
			again[i].Until = again[i].Until.Add(time.Duration(i*977%2000-1000) * time.Millisecond)
		}
		slices.Reverse(again)
		if _, err := l.List(t.Context(), nil, again, start.Add(after), 20); err != nil {
			t.Fatal(err)
		}
	}
	read(0)
	p := plan(t, l, start)
	wrote(t, l, p, asserted(p, start))
	enforced := standing(t, l, p)
	for i := range 5 {
		read(time.Duration(i) * minute)
		p = plan(t, l, start.Add(time.Duration(i)*minute))
		want(t, "due", p.Due(), false)
		want(t, "enforced", standing(t, l, p), enforced)
	}
}

func TestOfTheDecisionsOnOnePrefixThoseThatEndLastAreKept(t *testing.T) {
	l := open(t)
	const kept = 1000
	var decisions []ban.Decision
	for i := range kept + 100 {
		decisions = append(decisions, identified(int64(i+1), again, start.Add(time.Hour+time.Duration(i)*minute)))
	}
	list(t, l, decisions...)
	r, err := l.List(t.Context(), nil, decisions, start, many)
	want(t, "error", err, nil)
	want(t, "unknown at the second time", r.Unknown, 0)
	ends, err := l.Lines(t.Context(), "SELECT until FROM decision ORDER BY until")
	want(t, "error", err, nil)
	want(t, "kept", len(ends), kept)
	want(t, "the first that ends", ends[0], fmt.Sprint(decisions[100].Until.UnixMilli()))
	if _, err := l.Unlist(t.Context(), decisions, start, many); err != nil {
		t.Fatal(err)
	}
	want(t, "in force when all are deleted", plan(t, l, start).InForce, 0)
}
