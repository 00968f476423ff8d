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

// list is a Local API in memory. Its maps hold values by ID: of the decisions in force, of those that the next poll lists as
// new or as deleted, and of those that only a full read lists as deleted. A scenario changes it while the follower waits.
type list struct {
	sync.Mutex // the scenario holds it, except while time goes by

	standing, added, deleted, over map[int64]string

	fail, aboveFails, lookupFails, tellFails error
	panics, withoutUUIDs                     bool
	cut                                      bool          // each answer ends after its first decision
	slow                                     time.Duration // how long a full read takes for each decision
	fullWait, pollWait                       time.Duration // how long a full read, or a poll, takes before its first decision
	began                                    time.Time     // when the last stream began
	unreadable                               int           // decisions in each answer that cannot be read
	database                                 int           // which one it is: its decisions have other UUIDs

	asked string  // a letter for each read: f is a full read, p is a poll
	above []int64 // the IDs above which decisions were asked for
	told  []lapi.Usage
}

// value is the address of a decision, unless a scenario gives another.
func value(id int64) string { return fmt.Sprintf("203.0.%d.%d", 113+id>>8&127, id&255) }

// add adds decisions that the next poll lists.
func (l *list) add(ids ...int64) {
	for _, id := range ids {
		l.put(id, value(id))
	}
}

func (l *list) put(id int64, value string) { l.standing[id], l.added[id] = value, value }

// addLate adds decisions that no poll lists.
func (l *list) addLate(ids ...int64) {
	for _, id := range ids {
		l.standing[id] = value(id)
	}
}

func (l *list) remove(id int64) {
	l.deleted[id] = l.standing[id]
	delete(l.standing, id)
	delete(l.added, id)
}

func (l *list) Stream(_ context.Context, q lapi.Query, do func(lapi.Event) error) (lapi.Summary, error) {
	l.Lock()
	defer l.Unlock()
	kind, fresh, wait, began := "p", l.added, l.pollWait, time.Now()
	if q.Startup {
		kind, fresh, wait = "f", l.standing, l.fullWait
	}
	l.asked += kind
	if l.panics {
		panic("boom")
	}
	if l.fail != nil {
		return lapi.Summary{}, l.fail
	}
	events, pause := l.events(fresh, false), time.Duration(0)
	if q.Startup {
		maps.Copy(l.deleted, l.over)
		pause = l.slow
	}
	if !l.cut {
		events = append(events, l.events(l.deleted, true)...)
		clear(l.added)
		clear(l.deleted)
	}
	unreadable := l.unreadable
	l.Unlock()
	time.Sleep(wait)
	l.Lock()
	seen, err := l.send(events, pause, do)
	seen.Unreadable, l.began = unreadable, began
	return seen, err
}

func (l *list) ReadAbove(_ context.Context, _ lapi.Query, above int64, do func(lapi.Event) error) (lapi.Summary, error) {
	l.Lock()
	defer l.Unlock()
	l.forget()
	l.above = append(l.above, above)
	if l.aboveFails != nil {
		return lapi.Summary{}, l.aboveFails
	}
	newer := maps.Clone(l.standing)
	maps.DeleteFunc(newer, func(id int64, _ string) bool { return id <= above })
	return l.send(l.events(newer, false), 0, do)
}

func (l *list) Lookup(_ context.Context, _ lapi.Query, prefix netip.Prefix) (found []lapi.Decision, err error) {
	l.Lock()
	defer l.Unlock()
	l.forget()
	same := maps.Clone(l.standing)
	maps.DeleteFunc(same, func(_ int64, value string) bool { return value != prefix.Addr().String() })
	for _, e := range l.events(same, false) {
		found = append(found, e.Decision)
	}
	return found, l.lookupFails
}

// forget loses what was deleted, if the last stream began more than a minute ago: by this question the Local API counts as
// read now (GetDecision of CrowdSec 1.7.8).
func (l *list) forget() {
	if time.Since(l.began) >= time.Minute {
		clear(l.deleted)
	}
}

func (l *list) SendUsage(_ context.Context, u lapi.Usage, _ time.Time) error {
	l.Lock()
	defer l.Unlock()
	l.told = append(l.told, u)
	return l.tellFails
}

// ends is when a decision ends: the later, the greater its ID.
func ends(id int64) time.Time {
	return time.Date(2000, 1, 2, 0, int(id), 0, 0, time.UTC) // synctest's time starts a day before
}

// events is what an answer says about decisions, in the order of their IDs.
func (l *list) events(decisions map[int64]string, deleted bool) (events []lapi.Event) {
	for _, id := range slices.Sorted(maps.Keys(decisions)) {
		d := lapi.Decision{ID: id, Origin: "CAPI", Scenario: "http:scan", Scope: "Ip", Type: "ban", Value: decisions[id], Left: time.Until(ends(id))}
		if deleted {
			d.Left = -time.Second
		}
		if !l.withoutUUIDs {
			d.UUID = fmt.Sprintf("decision %d on %s in database %d", id, d.Value, l.database)
		}
		events = append(events, lapi.Event{Decision: d, Deleted: deleted})
	}
	if l.cut {
		events = events[:min(1, len(events))]
	}
	return events
}

// send gives the follower an answer. The follower may ask again meanwhile.
func (l *list) send(events []lapi.Event, pause time.Duration, do func(lapi.Event) error) (seen lapi.Summary, err error) {
	l.Unlock()
	defer l.Lock()
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

// harness is a follower at work, with a clock of its own.
type harness struct {
	t       *testing.T
	list    *list
	ledger  *ledger.Ledger
	log     *bytes.Buffer
	changed int
	start   time.Time
}

// follow starts a follower of a list with decisions 1 and 2, and runs a scenario.
func follow(t *testing.T, change func(*follower.Config), scenario func(h *harness)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		books, err := ledger.Open(context.Background(), filepath.Join(dir, "test.db"))
		if err != nil {
			t.Fatal(err)
		}
		defer books.Close()
		local := &list{standing: map[int64]string{}, added: map[int64]string{}, deleted: map[int64]string{}, over: map[int64]string{}}
		local.add(1, 2)
		h := &harness{t: t, list: local, ledger: books, log: new(bytes.Buffer), start: time.Now()}
		c := follower.Config{
			LocalAPI: local, Ledger: books, PollEvery: 10 * time.Second, ResyncEvery: time.Hour, MaxBans: 1000,
			Filter:   func() ban.Filter { return ban.Filter{NeverBlock: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}} },
			Usage:    lapi.Usage{Type: "test"},
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

func (h *harness) at(since time.Duration) {
	h.list.Unlock()
	defer h.list.Lock()
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

// inForce are the addresses of the bans in force.
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

// want wants the bans of decisions to be in force, and no others.
func (h *harness) want(when string, ids ...int64) {
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

// wantFullReads wants everything to have been read so often.
func (h *harness) wantFullReads(when string, want int) {
	h.t.Helper()
	if n := strings.Count(h.list.asked, "f"); n != want {
		h.t.Errorf("%s: everything was read %d times, want %d", when, n, want)
	}
}

// following is how the ledger says that reading goes.
func (h *harness) following() ledger.LocalAPI {
	h.t.Helper()
	s, err := h.ledger.Status(context.Background(), time.Now())
	if err != nil {
		h.t.Fatal(err)
	}
	return s.LocalAPI
}
