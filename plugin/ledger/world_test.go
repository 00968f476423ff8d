package ledger_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"notification-stormshield/plugin/ban"
	"notification-stormshield/plugin/ledger"
)

// world is a CrowdSec, a ledger and an appliance, and what the ledger must know.
type world struct {
	*testing.T
	random *rand.Rand
	ledger *ledger.Ledger
	now    time.Time
	limit  int
	filter ban.Filter

	withoutUUIDs bool
	last         int64                  // the ID of the last decision
	api          map[int64]ban.Decision // what the Local API holds
	added, gone  []ban.Decision         // what the next poll lists

	known map[int64]*known

	entries map[netip.Prefix]time.Time // the appliance's blacklist
	files   map[netip.Prefix]bool
	version int
}

// known is a decision that the ledger must know.
type known struct {
	ban.Decision
	lifted bool
	listed bool // the ledger knows its ID
}

func newWorld(t *testing.T, seed uint64) *world {
	return &world{
		T: t, random: rand.New(rand.NewPCG(seed, 0)), ledger: open(t), now: start, limit: many, withoutUUIDs: seed%2 == 1,
		api: map[int64]ban.Decision{}, known: map[int64]*known{}, entries: map[netip.Prefix]time.Time{}, files: map[netip.Prefix]bool{},
	}
}

func (w *world) check(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// values are what CrowdSec decides on: addresses, ranges, and addresses inside of these.
var values = func() (all []netip.Prefix) {
	for n := range 10 {
		all = append(all, netip.MustParsePrefix(fmt.Sprintf("203.0.113.%d/32", n)))
	}
	for _, text := range []string{"198.51.100.0/29", "198.51.100.8/29", "198.51.100.1/32", "198.51.100.9/32", "2001:db8::/126"} {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}()

// protections are what is never blocked, at one time and another. No part of a range that they leave is one of values.
var protections = [][]string{nil, {"198.51.100.2/32"}, {"198.51.100.8/30", "2001:db8::1/128"}, {"203.0.113.3/32", "198.51.100.0/30"}, {"198.51.100.0/24"}}

// parts returns a decision as it arrives through the filter.
func (w *world) parts(d ban.Decision) (parts []ban.Decision) {
	for _, p := range w.filter.AdmitStored(d) {
		part := d
		part.Prefix = p
		parts = append(parts, part)
	}
	return parts
}

// learn is what a delivery teaches the ledger.
func (w *world) learn(d ban.Decision, listed bool) {
	k := w.known[d.ID]
	if k == nil && d.Until.After(w.now) && len(w.parts(d)) > 0 {
		k = &known{Decision: d}
		w.known[d.ID] = k
	}
	if k != nil && listed {
		k.listed = true
	}
}

// decide makes CrowdSec decide. The alert may be lost.
func (w *world) decide() {
	w.last++
	// The ends of all decisions are more than a few seconds apart.
	until := w.now.Add(time.Duration(1+w.random.IntN(90))*time.Minute + time.Duration(w.last)*10*time.Second)
	p := values[w.random.IntN(len(values))]
	origin := []string{"crowdsec", "cscli-import", "lists:tor"}[w.random.IntN(3)]
	d := ban.Decision{ID: w.last, Prefix: p, Bits: p.Bits(), Until: until, Type: "ban", Origin: origin, Scenario: "test"}
	if !w.withoutUUIDs {
		d.UUID = ban.ParseUUID(fmt.Sprintf("decision %d", d.ID))
	}
	w.api[d.ID] = d
	w.added = append(w.added, d)
	if w.random.IntN(4) == 0 {
		return
	}
	alert := d
	alert.ID = 0
	_, err := w.ledger.Record(w.Context(), w.parts(alert), w.now, w.limit)
	w.check(err)
	w.learn(d, false)
}

// listing is what the Local API lists of decisions: the ends in whole seconds, counted from now.
func (w *world) listing(decisions []ban.Decision) (listed []ban.Decision) {
	for _, d := range decisions {
		d.Until = w.now.Add(d.Until.Sub(w.now).Truncate(time.Second) - time.Duration(w.random.IntN(900))*time.Millisecond)
		listed = append(listed, w.parts(d)...)
	}
	return listed
}

// poll delivers what changed.
func (w *world) poll() {
	w.expire()
	_, err := w.ledger.List(w.Context(), nil, w.listing(w.added), w.now, w.limit)
	w.check(err)
	for _, d := range w.added {
		w.learn(d, true)
	}
	_, err = w.ledger.Unlist(w.Context(), w.listing(w.gone), w.now, w.limit)
	w.check(err)
	for _, d := range w.gone {
		if k := w.known[d.ID]; k != nil && (k.listed || !w.withoutUUIDs) && len(w.parts(d)) > 0 {
			delete(w.known, d.ID)
		}
	}
	w.added, w.gone = nil, nil
}

// expire makes the Local API report what is over.
func (w *world) expire() {
	for _, id := range slices.Sorted(maps.Keys(w.api)) {
		if !w.api[id].Until.After(w.now) {
			w.remove(id, true)
		}
	}
}

// remove removes a decision from the Local API. Not all ways to remove one are reported.
func (w *world) remove(id int64, reported bool) {
	if reported {
		w.gone = append(w.gone, w.api[id])
	}
	delete(w.api, id)
	w.added = slices.DeleteFunc(w.added, func(d ban.Decision) bool { return d.ID == id })
}

// fullRead reads everything, twice if what is missing shall end.
func (w *world) fullRead(times int) {
	w.expire()
	for range times {
		r, err := w.ledger.BeginFullRead(w.Context())
		w.check(err)
		var all []ban.Decision
		for _, id := range slices.Sorted(maps.Keys(w.api)) {
			all = append(all, w.api[id])
		}
		_, err = w.ledger.List(w.Context(), r, w.listing(all), w.now, w.limit)
		w.check(err)
		for _, d := range all {
			w.learn(d, true)
		}
		_, err = w.ledger.EndFullRead(w.Context(), r, func(ban.Decision) bool { return true }, w.now)
		w.check(err)
	}
	if times == 1 {
		return
	}
	_, err := w.ledger.EndMissing(w.Context(), w.now, w.limit)
	w.check(err)
	for id := range w.known {
		if _, listed := w.api[id]; !listed || len(w.parts(w.api[id])) == 0 {
			delete(w.known, id)
		}
	}
}

func (w *world) lift() {
	p := values[w.random.IntN(len(values))]
	_, err := w.ledger.Lift(w.Context(), p, w.now, w.limit)
	w.check(err)
	for _, k := range w.known {
		if k.Prefix == p && k.Until.After(w.now) {
			k.lifted = true
		}
	}
}

// protect changes what is never blocked.
func (w *world) protect() {
	w.filter.NeverBlock = nil
	for _, text := range protections[w.random.IntN(len(protections))] {
		w.filter.NeverBlock = append(w.filter.NeverBlock, netip.MustParsePrefix(text))
	}
	_, err := w.ledger.Admit(w.Context(), w.filter.AdmitStored, w.now, w.limit)
	w.check(err)
	for id, k := range w.known {
		if len(w.parts(k.Decision)) == 0 && !k.lifted {
			delete(w.known, id)
		}
	}
}

// wanted are the prefixes to block, by their class.
func (w *world) wanted() map[string]ban.Class {
	wanted := map[string]ban.Class{}
	for _, k := range w.known {
		if k.lifted || !k.Until.After(w.now) {
			continue
		}
		for _, part := range w.parts(k.Decision) {
			text := part.Prefix.String()
			if class, has := wanted[text]; !has || k.Class() < class {
				wanted[text] = k.Class()
			}
		}
	}
	return wanted
}

// verify compares the bans that the ledger enforces with those that it must.
func (w *world) verify(p ledger.Plan) {
	w.Helper()
	enforced, wanted := standing(w.T, w.ledger, p), w.wanted()
	if p.InForce != len(enforced) || len(enforced) != min(len(wanted), w.limit) {
		w.Fatalf("%d are in force, %v are enforced, want %d of %v", p.InForce, enforced, w.limit, wanted)
	}
	worst := ban.Local
	for _, prefix := range enforced {
		if wanted[prefix] == 0 {
			w.Fatalf("%s is enforced; want %v", prefix, wanted)
		}
		worst = max(worst, wanted[prefix])
		delete(wanted, prefix)
	}
	for prefix, class := range wanted {
		if class < worst {
			w.Fatalf("%s waits behind %s", prefix, worst)
		}
	}
}

// blocked are the prefixes on the blacklist.
func (w *world) blocked() []string {
	var all []netip.Prefix
	for p, until := range w.entries {
		if until.After(w.now) {
			all = append(all, p)
		}
	}
	return texts(all)
}
