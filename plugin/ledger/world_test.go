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

	withoutUUIDs  bool
	clockGoesBack bool                   // then what is over may come back: only the end is compared
	protects      bool                   // what is never blocked changes
	last          int64                  // the ID of the last decision
	api           map[int64]ban.Decision // what the Local API holds
	added, gone   []ban.Decision         // what the next poll lists

	known    map[int64]*known
	recorded int // how many decisions the ledger recorded

	entries map[netip.Prefix]time.Time // the appliance's blacklist
	files   map[netip.Prefix]bool
	version int
}

// known is a decision that the ledger must know.
type known struct {
	ban.Decision
	order   int // of recording
	lifted  bool
	listed  bool // the ledger knows its ID
	missing int  // how many full reads in a row lacked it
}

func newWorld(t *testing.T, seed uint64) *world {
	l := open(t)
	l.DB().SetMaxOpenConns(1)
	run(t, l, "PRAGMA synchronous = OFF") // most of the time would go to the disk
	return &world{
		T: t, random: rand.New(rand.NewPCG(seed, 0)), ledger: l, now: start, limit: []int{3, 7, many}[seed%3],
		withoutUUIDs: seed%2 == 1, clockGoesBack: seed%6 == 5, protects: seed%4 == 3,
		api: map[int64]ban.Decision{}, known: map[int64]*known{}, entries: map[netip.Prefix]time.Time{}, files: map[netip.Prefix]bool{},
	}
}

func (w *world) check(err error) {
	w.Helper()
	check(w.T, err)
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
var protections = [][]string{
	nil, {"198.51.100.2/32"}, {"198.51.100.8/30", "2001:db8::1/128"}, {"203.0.113.3/32", "198.51.100.0/30"}, {"198.51.100.0/24"},
}

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
		w.recorded++
		k = &known{Decision: d, order: w.recorded}
		w.known[d.ID] = k
	}
	if k != nil && listed && len(w.parts(d)) > 0 {
		k.listed, k.missing = true, 0
	}
}

// value is one of values. The order of bans matters most where many decisions are on few prefixes.
func (w *world) value() netip.Prefix {
	if w.protects {
		return values[w.random.IntN(len(values))]
	}
	return values[w.random.IntN(8)]
}

// decide makes CrowdSec decide on a prefix. The alert may be lost.
func (w *world) decide(p netip.Prefix) {
	w.last++
	// The ends of all decisions are more than a few seconds apart.
	until := w.now.Truncate(time.Hour).Add(time.Hour + time.Duration(w.last*67%360)*10*time.Second)
	origin := []string{"crowdsec", "cscli-import", "lists:tor"}[w.random.IntN(3)]
	d := ban.Decision{ID: w.last, Prefix: p, RangeBits: p.Bits(), Until: until, Type: "ban", Origin: origin, Scenario: "test"}
	if !w.withoutUUIDs {
		d.UUID = ban.ParseUUID(fmt.Sprintf("decision %d", d.ID))
	}
	w.api[d.ID] = d
	w.added = append(w.added, d)
	if w.random.IntN(4) > 0 {
		w.alert(d)
	}
}

// alert delivers a decision by an alert, which does not carry its ID.
func (w *world) alert(d ban.Decision) {
	alert := d
	alert.ID = 0
	_, err := w.ledger.Record(w.Context(), w.parts(alert), w.now, w.limit)
	w.check(err)
	w.learn(d, false)
}

// list delivers decisions as the Local API lists them.
func (w *world) list(r *ledger.FullRead, decisions []ban.Decision) {
	_, err := w.ledger.RecordListed(w.Context(), r, w.listing(decisions), w.now, w.limit)
	w.check(err)
	for _, d := range decisions {
		w.learn(d, true)
	}
}

// pick returns one decision of the Local API, if it has any.
func (w *world) pick() []ban.Decision {
	ids := slices.Sorted(maps.Keys(w.api))
	if len(ids) == 0 {
		return nil
	}
	return []ban.Decision{w.api[ids[w.random.IntN(len(ids))]]}
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
	w.list(nil, w.added)
	_, err := w.ledger.RemoveDeleted(w.Context(), w.listing(w.gone), w.now, w.limit)
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

// fullRead reads everything, twice if what is missing shall end. A read may be cut.
func (w *world) fullRead(times int) {
	w.expire()
	for range times {
		r, err := w.ledger.BeginFullRead(w.Context())
		w.check(err)
		for _, k := range w.known {
			k.missing++ // until it is listed
		}
		var all []ban.Decision
		for _, id := range slices.Sorted(maps.Keys(w.api)) {
			if w.protects || w.random.IntN(4) > 0 {
				all = append(all, w.api[id])
			}
		}
		w.list(r, all)
		lacked, err := w.ledger.EndFullRead(w.Context(), r, func(ban.Decision) bool { return true }, w.now)
		w.check(err)
		if !w.protects && !w.clockGoesBack {
			w.want("lacked", lacked, w.count(func(k *known) bool { return k.missing > 0 && k.Until.After(w.now) }))
		}
	}
	if times == 1 {
		return
	}
	_, err := w.ledger.EndMissing(w.Context(), w.now, w.limit)
	w.check(err)
	maps.DeleteFunc(w.known, func(_ int64, k *known) bool { return k.missing >= 2 })
}

func (w *world) lift() {
	p := w.value()
	lifted, err := w.ledger.Lift(w.Context(), p, w.now, w.limit)
	w.check(err)
	some := false
	for _, k := range w.known {
		if k.Prefix == p && k.Until.After(w.now) {
			some = some || !k.lifted
			k.lifted = true
		}
	}
	w.want("some lifted", len(lifted) > 0, some)
}

// protect changes what is never blocked.
func (w *world) protect() {
	w.filter.NeverBlock = nil
	times := 1
	if w.protects {
		times = len(protections)
	}
	for _, text := range protections[w.random.IntN(times)] {
		w.filter.NeverBlock = append(w.filter.NeverBlock, netip.MustParsePrefix(text))
	}
	_, err := w.ledger.ApplyFilter(w.Context(), w.filter.AdmitStored, w.now, w.limit)
	w.check(err)
	for id, k := range w.known {
		if len(w.parts(k.Decision)) == 0 && !k.lifted {
			delete(w.known, id)
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
