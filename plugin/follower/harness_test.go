package follower_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"notification-stormshield/lapi"
	"notification-stormshield/plugin/ban"
	"notification-stormshield/plugin/follower"
	"notification-stormshield/plugin/ledger"
)

// fakeAPI is a Local API in memory. A scenario changes it while the follower waits.
type fakeAPI struct {
	sync.Mutex // the scenario holds it, except while time passes

	// Values by ID: of the decisions in force, of those that the next poll lists as new or as deleted, and of those that only
	// a full read lists as deleted.
	standing, added, deleted, ended map[int64]string

	fail, readAboveFails, lookupFails error
	panics, withoutUUIDs              bool
	cut                               bool          // each answer ends after its first decision
	slow                              time.Duration // how long a full read takes for each decision
	fullWait, pollWait                time.Duration // how long a full read, or a poll, takes before its first decision
	began                             time.Time     // when the last stream began
	unreadable                        int           // decisions in each answer that cannot be read
	database                          int           // its number: each database gives other UUIDs

	asked string  // a letter for each stream: f for everything, p for a poll
	above []int64 // the IDs above which decisions were asked for
}

// value is the address of a decision, unless a scenario gives another.
func value(id int64) string { return fmt.Sprintf("203.0.%d.%d", 113+id>>8&127, id&255) }

// add adds decisions that the next poll lists.
func (a *fakeAPI) add(ids ...int64) {
	for _, id := range ids {
		a.put(id, value(id))
	}
}

func (a *fakeAPI) put(id int64, value string) { a.standing[id], a.added[id] = value, value }

// addLate adds decisions that no poll lists.
func (a *fakeAPI) addLate(ids ...int64) {
	for _, id := range ids {
		a.standing[id] = value(id)
	}
}

func (a *fakeAPI) remove(id int64) {
	a.deleted[id] = a.standing[id]
	delete(a.standing, id)
	delete(a.added, id)
}

func (a *fakeAPI) Stream(_ context.Context, q lapi.Query, do func(lapi.Event) error) (lapi.Summary, error) {
	a.Lock()
	defer a.Unlock()
	kind, fresh, wait, began := "p", a.added, a.pollWait, time.Now()
	if q.Startup {
		kind, fresh, wait = "f", a.standing, a.fullWait
	}
	a.asked += kind
	if a.panics {
		panic("boom")
	}
	if a.fail != nil {
		return lapi.Summary{}, a.fail
	}
	events, pause := a.events(fresh, false), time.Duration(0)
	if q.Startup {
		maps.Copy(a.deleted, a.ended)
		pause = a.slow
	}
	if !a.cut {
		events = append(events, a.events(a.deleted, true)...)
		clear(a.added)
		clear(a.deleted)
	}
	unreadable := a.unreadable
	a.Unlock()
	time.Sleep(wait)
	a.Lock()
	seen, err := a.send(events, pause, do)
	seen.Unreadable, a.began = unreadable, began
	return seen, err
}

func (a *fakeAPI) ReadAbove(_ context.Context, _ lapi.Query, above int64, do func(lapi.Event) error) (lapi.Summary, error) {
	a.Lock()
	defer a.Unlock()
	a.loseDeleted()
	a.above = append(a.above, above)
	if a.readAboveFails != nil {
		return lapi.Summary{}, a.readAboveFails
	}
	newer := maps.Clone(a.standing)
	maps.DeleteFunc(newer, func(id int64, _ string) bool { return id <= above })
	return a.send(a.events(newer, false), 0, do)
}

func (a *fakeAPI) Lookup(_ context.Context, _ lapi.Query, prefix netip.Prefix) (found []lapi.Decision, err error) {
	a.Lock()
	defer a.Unlock()
	a.loseDeleted()
	same := maps.Clone(a.standing)
	maps.DeleteFunc(same, func(_ int64, value string) bool { return value != prefix.Addr().String() })
	for _, e := range a.events(same, false) {
		found = append(found, e.Decision)
	}
	return found, a.lookupFails
}

// loseDeleted loses the deletions, if the last stream began more than a minute ago: by this question the Local API counts as
// read now (GetDecision of CrowdSec 1.7.8).
func (a *fakeAPI) loseDeleted() {
	if time.Since(a.began) >= time.Minute {
		clear(a.deleted)
	}
}

// ends is when a decision ends. A higher ID ends later.
func ends(id int64) time.Time {
	return time.Date(2000, 1, 2, 0, int(id), 0, 0, time.UTC) // synctest's time starts a day before
}

// events are the events of an answer, in the order of their IDs.
func (a *fakeAPI) events(decisions map[int64]string, deleted bool) (events []lapi.Event) {
	for _, id := range slices.Sorted(maps.Keys(decisions)) {
		d := lapi.Decision{ID: id, Origin: "CAPI", Scenario: "http:scan", Scope: "Ip", Type: "ban", Value: decisions[id], Left: time.Until(ends(id))}
		if deleted {
			d.Left = -time.Second
		}
		if !a.withoutUUIDs {
			d.UUID = fmt.Sprintf("decision %d on %s in database %d", id, d.Value, a.database)
		}
		events = append(events, lapi.Event{Decision: d, Deleted: deleted})
	}
	if a.cut {
		events = events[:min(1, len(events))]
	}
	return events
}

// send passes an answer to the follower, which may ask again meanwhile.
func (a *fakeAPI) send(events []lapi.Event, pause time.Duration, do func(lapi.Event) error) (seen lapi.Summary, err error) {
	a.Unlock()
	defer a.Lock()
	for _, e := range events {
		if e.Deleted {
			seen.Deleted++
		} else {
			seen.New++
			seen.HighestID = e.ID
		}
		time.Sleep(pause)
		if err := do(e); err != nil {
			return seen, err
		}
	}
	return seen, nil
}

// harness runs a follower under a clock of its own.
type harness struct {
	t       *testing.T
	api     *fakeAPI
	ledger  *ledger.Ledger
	log     *bytes.Buffer
	changed int
	start   time.Time
}

// follow starts a follower of a Local API with the decisions 1 and 2, and runs a scenario.
func follow(t *testing.T, change func(*follower.Config), scenario func(h *harness)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		store, err := ledger.Open(context.Background(), filepath.Join(dir, "test.db"))
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		local := &fakeAPI{standing: map[int64]string{}, added: map[int64]string{}, deleted: map[int64]string{}, ended: map[int64]string{}}
		local.add(1, 2)
		h := &harness{t: t, api: local, ledger: store, log: new(bytes.Buffer), start: time.Now()}
		c := follower.Config{
			LocalAPI: local, Ledger: store, PollEvery: 10 * time.Second, ResyncEvery: time.Hour, MaxBans: 1000,
			Filter:   func() ban.Filter { return ban.Filter{NeverBlock: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}} },
			OnChange: func() { h.changed++ },
			Log:      hclog.New(&hclog.LoggerOptions{Output: h.log, DisableTime: true, Level: hclog.Info}),
		}
		if change != nil {
			change(&c)
		}
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			follower.New(c).Run(ctx)
		}()
		synctest.Wait()
		local.Lock()
		scenario(h)
		local.Unlock()
		cancel()
		<-ended
	})
}

// at lets time pass until a moment since the start.
func (h *harness) at(since time.Duration) {
	h.api.Unlock()
	defer h.api.Lock()
	time.Sleep(time.Until(h.start.Add(since)))
	synctest.Wait()
}

// record records a decision of an alert.
func (h *harness) record(prefix string, until time.Time) {
	h.t.Helper()
	p := netip.MustParsePrefix(prefix)
	d := ban.Decision{Prefix: p, RangeBits: p.Bits(), Until: until, Type: "ban", Origin: "crowdsec", Scenario: "crowdsecurity/ssh-bf"}
	if _, err := h.ledger.Record(context.Background(), []ban.Decision{d}, time.Now(), 10); err != nil {
		h.t.Fatal(err)
	}
}

// inForce returns the addresses of the bans in force.
func (h *harness) inForce() (got []string) {
	h.t.Helper()
	if err := h.ledger.EachBan(context.Background(), time.Now(), func(b ledger.Ban) error {
		got = append(got, b.Prefix.Addr().String())
		return nil
	}); err != nil {
		h.t.Fatal(err)
	}
	return got
}

// wantInForce fails the test unless the bans of these decisions are in force, and no others.
func (h *harness) wantInForce(when string, ids ...int64) {
	h.t.Helper()
	var want []string
	for _, id := range ids {
		want = append(want, value(id))
	}
	got := h.inForce()
	slices.Sort(want)
	if slices.Sort(got); !slices.Equal(got, want) {
		h.t.Errorf("%s: %v in force, want %v", when, got, want)
	}
}

// wantFullReads fails the test after any other number of full reads.
func (h *harness) wantFullReads(when string, want int) {
	h.t.Helper()
	if n := strings.Count(h.api.asked, "f"); n != want {
		h.t.Errorf("%s: %d full reads, want %d", when, n, want)
	}
}

// following returns the ledger's status of the Local API.
func (h *harness) following() ledger.LocalAPI {
	h.t.Helper()
	s, err := h.ledger.Status(context.Background(), time.Now())
	if err != nil {
		h.t.Fatal(err)
	}
	return s.LocalAPI
}
