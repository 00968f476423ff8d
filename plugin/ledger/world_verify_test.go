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

func (w *world) count(which func(*known) bool) (n int) {
	for _, k := range w.known {
		if which(k) {
			n++
		}
	}
	return n
}

func (w *world) want(what string, got, wanted any) {
	w.Helper()
	if want(w.T, what, got, wanted); w.Failed() {
		w.FailNow()
	}
}

// wantTime compares ends, of which the ledger's may be some earlier by the delivery.
func (w *world) wantTime(what string, got, wanted time.Time) {
	w.Helper()
	if wanted.Sub(got).Abs() > 2*time.Second {
		w.Fatalf("%s: got %v, want %v", what, got, wanted)
	}
}

// wanted is a ban that the ledger must know.
type wanted struct {
	prefix netip.Prefix
	class  ban.Class
	newest int
	ends   time.Time
}

// wanted returns the bans that the ledger must know, the first in line first.
func (w *world) wanted() []*wanted {
	bans := map[netip.Prefix]*wanted{}
	for _, k := range w.known {
		if k.lifted || !k.Until.After(w.now) {
			continue
		}
		for _, part := range w.parts(k.Decision) {
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

// verify compares the bans that the ledger enforces with those that it must.
func (w *world) verify() {
	w.Helper()
	w.check(w.ledger.ApplyLimit(w.Context(), w.now, w.limit))
	p := plan(w.T, w.ledger, w.now)
	enforced, all := standing(w.T, w.ledger, p), w.wanted()
	w.want("in force", p.InForce, len(enforced))
	var best []netip.Prefix
	inForce, waiting := ledger.Counts{}, ledger.Counts{}
	for i, b := range all {
		if i >= w.limit {
			waiting[b.class]++
			continue
		}
		inForce[b.class]++
		best = append(best, b.prefix)
	}
	s := status(w.T, w.ledger, w.now)
	w.want("in force, waiting", s.InForce.String()+"; "+s.Waiting.String(), inForce.String()+"; "+waiting.String())
	if !w.protects { // a range that was split again is in another place in line
		w.want("enforced", enforced, texts(best))
	}
	var next, first time.Time // the first ends, of the bans that are enforced and of all decisions
	rightly := 0
	for _, b := range all {
		if slices.Contains(enforced, b.prefix.String()) {
			next = earlier(next, b.ends)
			rightly++
		}
	}
	w.want("rightly enforced", rightly, len(enforced))
	for _, k := range w.known {
		if !k.lifted && k.Until.After(w.now) {
			first = earlier(first, k.Until)
		}
	}
	w.want("waiting", p.Waiting, waiting.Total())
	w.wantTime("the next ban ends", p.Next, next)
	if p.Waiting > 0 {
		w.wantTime("the order may change", earlier(p.Next, p.NextDecision), first)
		return
	}
	w.want("the order may change", p.NextDecision, time.Time{})
}

// earlier returns the earlier of two moments, of which each may be none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
