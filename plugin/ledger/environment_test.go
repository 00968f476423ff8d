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

// environment is a CrowdSec, a ledger and an appliance, with the decisions that the ledger must know.
type environment struct {
	*testing.T
	random *rand.Rand
	ledger *ledger.Ledger
	now    time.Time
	limit  int
	filter ban.Filter

	withoutSSH    bool // no flush writes the files
	withoutUUIDs  bool
	clockGoesBack bool                   // ended decisions may come back then, so the test compares only the end
	protects      bool                   // the protected addresses change
	last          int64                  // the ID of the last decision
	api           map[int64]ban.Decision // the decisions of the Local API
	added, gone   []ban.Decision         // the new and the deleted decisions that the next poll lists

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

// newBans makes a table of the bans that a change made pending. See flushRun.record.
const newBans = `
	CREATE TABLE new_ban (prefix TEXT PRIMARY KEY);
	CREATE TRIGGER ban_made AFTER INSERT ON ban BEGIN INSERT INTO new_ban VALUES (NEW.prefix) ON CONFLICT DO NOTHING; END;
	CREATE TRIGGER ban_back AFTER UPDATE OF change ON ban WHEN NEW.change <> OLD.change BEGIN INSERT INTO new_ban VALUES (NEW.prefix) ON CONFLICT DO NOTHING; END;`

const newBansShared = `
	CREATE TABLE new_ban (prefix TEXT PRIMARY KEY);
	CREATE FUNCTION note_ban() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		INSERT INTO new_ban VALUES (NEW.prefix) ON CONFLICT DO NOTHING;
		RETURN NULL;
	END $$;
	CREATE TRIGGER ban_made AFTER INSERT ON ban FOR EACH ROW EXECUTE FUNCTION note_ban();
	CREATE TRIGGER ban_back AFTER UPDATE OF change ON ban FOR EACH ROW WHEN (NEW.change <> OLD.change) EXECUTE FUNCTION note_ban();`

func newEnvironment(t *testing.T, seed uint64) *environment {
	l := open(t)
	if l.IsShared() {
		run(t, l, newBansShared)
	} else {
		l.DB().SetMaxOpenConns(1)
		run(t, l, "PRAGMA synchronous = OFF") // the disk would take most of the time
		run(t, l, newBans)
	}
	withoutSSH := seed%5 == 4
	if !withoutSSH {
		check(t, l.SetTarget(t.Context(), ledger.Target{Group: "Crowdsec", DeleteGroup: "Gone"}, start))
	}
	return &environment{
		T: t, withoutSSH: withoutSSH, filter: ban.Filter{AddressesOnly: withoutSSH}, random: rand.New(rand.NewPCG(seed, 0)), ledger: l, now: start, limit: []int{3, 7, noLimit}[seed%3],
		withoutUUIDs: seed%2 == 1, clockGoesBack: seed%6 == 5, protects: seed%4 == 3,
		api: map[int64]ban.Decision{}, known: map[int64]*known{}, entries: map[netip.Prefix]time.Time{}, files: map[netip.Prefix]bool{},
	}
}

func (e *environment) check(err error) {
	e.Helper()
	check(e.T, err)
}

// values are the prefixes that CrowdSec decides on: addresses, ranges, and addresses inside of these.
var values = func() (all []netip.Prefix) {
	for n := range 10 {
		all = append(all, netip.MustParsePrefix(fmt.Sprintf("203.0.113.%d/32", n)))
	}
	for _, text := range []string{"198.51.100.0/29", "198.51.100.8/29", "198.51.100.1/32", "198.51.100.9/32", "2001:db8::/126"} {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}()

// protections are lists of prefixes that are never blocked. None of them leaves a part of a range that is one of values.
var protections = [][]string{
	nil, {"198.51.100.2/32"}, {"198.51.100.8/30", "2001:db8::1/128"}, {"203.0.113.3/32", "198.51.100.0/30"}, {"198.51.100.0/24"},
}

// parts returns the parts of a decision that the filter admits.
func (e *environment) parts(d ban.Decision) (parts []ban.Decision) {
	for _, p := range e.filter.AdmitStored(d) {
		part := d
		part.Prefix = p
		parts = append(parts, part)
	}
	return parts
}

// learn updates known after a delivery.
func (e *environment) learn(d ban.Decision, listed bool) {
	k := e.known[d.ID]
	if k == nil && d.Until.After(e.now) && len(e.parts(d)) > 0 {
		e.recorded++
		k = &known{Decision: d, order: e.recorded}
		e.known[d.ID] = k
	}
	if k != nil && listed && len(e.parts(d)) > 0 {
		k.listed, k.missing = true, 0
	}
}

// value returns one of values. Without protections it returns one of few, so that many decisions are on the same prefix.
func (e *environment) value() netip.Prefix {
	if e.protects {
		return values[e.random.IntN(len(values))]
	}
	return values[e.random.IntN(8)]
}

// decide adds a decision of CrowdSec. Its alert may be lost.
func (e *environment) decide(p netip.Prefix) {
	e.last++
	// The ends of all decisions are more than a few seconds apart.
	until := e.now.Truncate(time.Hour).Add(time.Hour + time.Duration(e.last*67%360)*10*time.Second)
	origin := []string{"crowdsec", "cscli-import", "lists:tor"}[e.random.IntN(3)]
	d := ban.Decision{ID: e.last, Prefix: p, RangeBits: p.Bits(), Until: until, Type: "ban", Origin: origin, Scenario: "test"}
	if !e.withoutUUIDs {
		d.UUID = ban.ParseUUID(fmt.Sprintf("decision %d", d.ID))
	}
	e.api[d.ID] = d
	e.added = append(e.added, d)
	if e.random.IntN(4) > 0 {
		e.alert(d)
	}
}

// alert delivers a decision by an alert, which does not carry its ID.
func (e *environment) alert(d ban.Decision) {
	alert := d
	alert.ID = 0
	_, err := e.ledger.Record(e.Context(), e.parts(alert), e.now, e.limit)
	e.check(err)
	e.learn(d, false)
}

// list delivers decisions from the Local API.
func (e *environment) list(r *ledger.FullRead, decisions []ban.Decision) {
	_, err := e.ledger.RecordListed(e.Context(), r, e.listing(decisions), e.now, e.limit)
	e.check(err)
	for _, d := range decisions {
		e.learn(d, true)
	}
}

// pick returns one decision of the Local API, if it has any.
func (e *environment) pick() []ban.Decision {
	ids := slices.Sorted(maps.Keys(e.api))
	if len(ids) == 0 {
		return nil
	}
	return []ban.Decision{e.api[ids[e.random.IntN(len(ids))]]}
}

// listing returns decisions as the Local API lists them: with ends in whole seconds, counted from now.
func (e *environment) listing(decisions []ban.Decision) (listed []ban.Decision) {
	for _, d := range decisions {
		d.Until = e.now.Add(d.Until.Sub(e.now).Truncate(time.Second) - time.Duration(e.random.IntN(900))*time.Millisecond)
		listed = append(listed, e.parts(d)...)
	}
	return listed
}

// poll delivers the new and the deleted decisions.
func (e *environment) poll() {
	e.expire()
	e.list(nil, e.added)
	_, err := e.ledger.RemoveDeleted(e.Context(), e.listing(e.gone), e.now, e.limit)
	e.check(err)
	for _, d := range e.gone {
		if k := e.known[d.ID]; k != nil && (k.listed || !e.withoutUUIDs) && len(e.parts(d)) > 0 {
			delete(e.known, d.ID)
		}
	}
	e.added, e.gone = nil, nil
}

// expire makes the Local API report the decisions that have ended.
func (e *environment) expire() {
	for _, id := range slices.Sorted(maps.Keys(e.api)) {
		if !e.api[id].Until.After(e.now) {
			e.remove(id, true)
		}
	}
}

// remove removes a decision from the Local API, which may not report it.
func (e *environment) remove(id int64, reported bool) {
	if reported {
		e.gone = append(e.gone, e.api[id])
	}
	delete(e.api, id)
	e.added = slices.DeleteFunc(e.added, func(d ban.Decision) bool { return d.ID == id })
}

// fullRead reads everything once or twice. The second read ends the missing decisions. A read may lack decisions.
func (e *environment) fullRead(times int) {
	e.expire()
	for range times {
		r, err := e.ledger.BeginFullRead(e.Context())
		e.check(err)
		for _, k := range e.known {
			k.missing++ // until it is listed
		}
		var all []ban.Decision
		for _, id := range slices.Sorted(maps.Keys(e.api)) {
			if e.protects || e.random.IntN(4) > 0 {
				all = append(all, e.api[id])
			}
		}
		e.list(r, all)
		lacked, err := e.ledger.EndFullRead(e.Context(), r, func(ban.Decision) bool { return true }, e.now)
		e.check(err)
		if !e.protects && !e.clockGoesBack {
			e.want("lacked", lacked, e.count(func(k *known) bool { return k.missing > 0 && k.Until.After(e.now) }))
		}
	}
	if times == 1 {
		return
	}
	_, err := e.ledger.EndMissing(e.Context(), e.now, e.limit)
	e.check(err)
	maps.DeleteFunc(e.known, func(_ int64, k *known) bool { return k.missing >= 2 })
}

func (e *environment) lift() {
	p := e.value()
	lifted, err := e.ledger.Lift(e.Context(), p, e.now, e.limit)
	e.check(err)
	some := false
	for _, k := range e.known {
		if k.Prefix == p && k.Until.After(e.now) {
			some = some || !k.lifted
			k.lifted = true
		}
	}
	e.want("some lifted", len(lifted) > 0, some)
}

// protect changes the protected addresses.
func (e *environment) protect() {
	e.filter.NeverBlock = nil
	times := 1
	if e.protects {
		times = len(protections)
	}
	for _, text := range protections[e.random.IntN(times)] {
		e.filter.NeverBlock = append(e.filter.NeverBlock, netip.MustParsePrefix(text))
	}
	_, err := e.ledger.ApplyFilter(e.Context(), e.filter.AdmitStored, e.now, e.limit)
	e.check(err)
	for id, k := range e.known {
		if len(e.parts(k.Decision)) == 0 && !k.lifted {
			delete(e.known, id)
		}
	}
}

// blocked returns the prefixes on the blacklist.
func (e *environment) blocked() []string {
	var all []netip.Prefix
	for p, until := range e.entries {
		if until.After(e.now) {
			all = append(all, p)
		}
	}
	return texts(all)
}
