package ledger_test

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"time"

	"notification-stormshield/plugin/ban"
	"notification-stormshield/plugin/ledger"
)

func (e *environment) count(which func(*known) bool) (n int) {
	for _, k := range e.known {
		if which(k) {
			n++
		}
	}
	return n
}

func (e *environment) want(what string, got, wanted any) {
	e.Helper()
	if want(e.T, what, got, wanted); e.Failed() {
		e.FailNow()
	}
}

// wantTime compares ends. The ledger's may be a little earlier, because the Local API gives whole seconds.
func (e *environment) wantTime(what string, got, wanted time.Time) {
	e.Helper()
	if wanted.Sub(got).Abs() > 2*time.Second {
		e.Fatalf("%s: got %v, want %v", what, got, wanted)
	}
}

// wanted is a ban that the ledger must know.
type wanted struct {
	prefix netip.Prefix
	class  ban.Class
	newest int
	ends   time.Time
}

// wanted returns the bans that the ledger must know, in the order in which max_bans keeps them.
func (e *environment) wanted() []*wanted {
	bans := map[netip.Prefix]*wanted{}
	for _, k := range e.known {
		if k.lifted || !k.Until.After(e.now) {
			continue
		}
		for _, part := range e.parts(k.Decision) {
			b := bans[part.Prefix]
			if b == nil {
				b = &wanted{prefix: part.Prefix, class: k.Class()}
				bans[part.Prefix] = b
			}
			b.class, b.newest, b.ends = min(b.class, k.Class()), max(b.newest, k.order), later(b.ends, k.Until)
		}
	}
	return slices.SortedFunc(maps.Values(bans), func(a, b *wanted) int {
		return cmp.Or(cmp.Compare(a.class, b.class), cmp.Compare(b.newest, a.newest))
	})
}

// verify compares the bans that the ledger enforces with the bans that it must enforce.
func (e *environment) verify() {
	e.Helper()
	e.check(e.ledger.ApplyLimit(e.Context(), e.now, e.limit))
	p := plan(e.T, e.ledger, e.now)
	enforced, all := inForce(e.T, e.ledger, p), e.wanted()
	e.want("in force", p.InForce, len(enforced))
	var best []netip.Prefix
	inForce, waiting := ledger.Counts{}, ledger.Counts{}
	for i, b := range all {
		if i >= e.limit {
			waiting[b.class]++
			continue
		}
		inForce[b.class]++
		best = append(best, b.prefix)
	}
	s := status(e.T, e.ledger, e.now)
	e.want("in force, waiting", s.InForce.String()+"; "+s.Waiting.String(), inForce.String()+"; "+waiting.String())
	if !e.protects { // a range that was split again has another place in the order
		e.want("enforced", enforced, texts(best))
	}
	var next, first time.Time // the first ends, of the bans that are enforced and of all decisions
	rightly := 0
	for _, b := range all {
		if slices.Contains(enforced, b.prefix.String()) {
			next = earlier(next, b.ends)
			rightly++
		}
	}
	e.want("rightly enforced", rightly, len(enforced))
	for _, k := range e.known {
		if !k.lifted && k.Until.After(e.now) {
			first = earlier(first, k.Until)
		}
	}
	e.want("waiting", p.Waiting, waiting.Total())
	e.wantTime("the next ban ends", p.Next, next)
	if p.Waiting > 0 {
		e.wantTime("the order may change", earlier(p.Next, p.NextDecision), first)
		return
	}
	e.want("the order may change", p.NextDecision, time.Time{})
}

// earlier returns the earlier of two times, of which each may be zero.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
