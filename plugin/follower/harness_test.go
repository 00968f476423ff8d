package follower_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
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

// list is a Local API in memory: the decisions in force by ID, and what changed since the last poll.
type list struct {
	mu                       sync.Mutex
	standing, added, deleted map[int64]string
	over                     map[int64]string // deletions that only a full read lists
	fail                     error
	slow                     time.Duration // how long a full read takes for each decision
	cut                      bool          // each answer ends after its first decision
	unreadable               int           // decisions in each answer that cannot be read
	asked                    []bool
	above                    []int64 // the IDs above which decisions were asked for
	aboveFails               error
	lookups                  []netip.Prefix
	lookupFails              error
	withoutUUIDs             bool
	database                 int // which one it is: its decisions have other UUIDs
	told                     []lapi.Usage
	tellErr                  error
	panics                   bool
}

func newList() *list {
	return &list{standing: map[int64]string{}, added: map[int64]string{}, deleted: map[int64]string{}, over: map[int64]string{}}
}

func (l *list) add(id int64, value string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.standing[id], l.added[id] = value, value
}

// addLate adds a decision that no poll lists.
func (l *list) addLate(id int64, value string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.standing[id] = value
}

func (l *list) remove(id int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.deleted[id] = l.standing[id]
	delete(l.standing, id)
	delete(l.added, id)
}

// removeLate removes a decision whose deletion only a full read lists.
func (l *list) removeLate(id int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over[id] = l.standing[id]
	delete(l.standing, id)
}

// drop removes a decision that no poll lists as deleted, as `cscli alerts delete` does.
func (l *list) drop(id int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.standing, id)
	delete(l.added, id)
}

func (l *list) set(do func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	do()
}

func (l *list) Stream(_ context.Context, q lapi.Query, do func(lapi.Event) error) (lapi.Seen, error) {
	events, seen, err := l.answer(q)
	for _, e := range events {
		if q.Startup {
			time.Sleep(l.slow)
		}
		if err := do(e); err != nil {
			return seen, err
		}
	}
	return seen, err
}

func (l *list) answer(q lapi.Query) (events []lapi.Event, seen lapi.Seen, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked = append(l.asked, q.Startup)
	if l.panics {
		panic("boom")
	}
	if l.fail != nil {
		return nil, seen, l.fail
	}
	seen.Unreadable = l.unreadable
	fresh := l.added
	if q.Startup {
		fresh = l.standing
	}
	for _, id := range sorted(fresh) {
		seen.LastID = id
		seen.New++
		events = append(events, l.event(id, fresh[id], time.Until(ends(id)), false))
		if l.cut {
			return events, seen, nil
		}
	}
	if q.Startup {
		maps.Copy(l.deleted, l.over)
	}
	for _, id := range sorted(l.deleted) {
		seen.Deleted++
		events = append(events, l.event(id, l.deleted[id], -time.Second, true))
	}
	clear(l.added)
	clear(l.deleted)
	return events, seen, nil
}

func (l *list) Above(_ context.Context, _ lapi.Query, above int64, do func(lapi.Event) error) (seen lapi.Seen, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.above = append(l.above, above)
	if l.aboveFails != nil {
		return seen, l.aboveFails
	}
	for _, id := range sorted(l.standing) {
		if id <= above {
			continue
		}
		seen.LastID = id
		seen.New++
		if err := do(l.event(id, l.standing[id], time.Until(ends(id)), false)); err != nil {
			return seen, err
		}
	}
	return seen, nil
}

func (l *list) Lookup(_ context.Context, _ lapi.Query, prefix netip.Prefix) (found []lapi.Decision, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lookups = append(l.lookups, prefix)
	if l.lookupFails != nil {
		return nil, l.lookupFails
	}
	for _, id := range sorted(l.standing) {
		if l.standing[id] == prefix.Addr().String() {
			found = append(found, l.event(id, l.standing[id], time.Until(ends(id)), false).Decision)
		}
	}
	return found, nil
}

func (l *list) Tell(_ context.Context, u lapi.Usage, _ time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.told = append(l.told, u)
	return l.tellErr
}

// ends is when a decision ends: the later, the greater its ID.
func ends(id int64) time.Time {
	return time.Date(2000, 1, 2, 0, int(id), 0, 0, time.UTC) // synctest's time starts a day before
}

func sorted(m map[int64]string) []int64 {
	var ids []int64
	for id := range m {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

func (l *list) event(id int64, value string, left time.Duration, deleted bool) lapi.Event {
	uuid := fmt.Sprintf("decision %d on %s in database %d", id, value, l.database)
	if l.withoutUUIDs {
		uuid = ""
	}
	return lapi.Event{Deleted: deleted, Decision: lapi.Decision{ID: id, UUID: uuid, Origin: "CAPI", Scenario: "http:scan", Scope: "Ip", Type: "ban", Value: value, Left: left}}
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

func follow(t *testing.T, change func(*follower.Config), scenario func(h *harness)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		books, err := ledger.Open(context.Background(), filepath.Join(dir, "test.db"))
		if err != nil {
			t.Fatal(err)
		}
		defer books.Close()
		h := &harness{t: t, list: newList(), ledger: books, log: new(bytes.Buffer), start: time.Now()}
		c := follower.Config{
			List: h.list, Ledger: books, Every: 10 * time.Second, Resync: time.Hour, MaxBans: 1000,
			Filter: func() ban.Filter {
				return ban.Filter{NeverBlock: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
			},
			Usage:   lapi.Usage{Type: "test"},
			Changed: func() { h.changed++ },
			Log:     hclog.New(&hclog.LoggerOptions{Output: h.log, DisableTime: true, Level: hclog.Info}),
		}
		if change != nil {
			change(&c)
		}
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan struct{})
		h.list.add(1, "203.0.113.1")
		h.list.add(2, "203.0.113.2")
		go func() {
			defer close(ended)
			follower.New(c).Run(ctx)
		}()
		synctest.Wait()
		scenario(h)
		cancel()
		<-ended
	})
}

func (h *harness) at(since time.Duration) {
	time.Sleep(time.Until(h.start.Add(since)))
	synctest.Wait()
}

// record records a decision of an alert that lasts.
func (h *harness) record(d ban.Decision) { h.recordUntil(d, time.Now().Add(20*time.Hour)) }

func (h *harness) recordUntil(d ban.Decision, until time.Time) {
	h.t.Helper()
	d.Until, d.Type, d.Origin, d.Scenario = until, "ban", "crowdsec", "crowdsecurity/ssh-bf"
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
	slices.Sort(got)
	return got
}

func (h *harness) want(when string, want ...string) {
	h.t.Helper()
	if got := h.inForce(); !slices.Equal(got, want) {
		h.t.Errorf("%s: %v in force, want %v", when, got, want)
	}
}

// fullReads is how often everything was read.
func (h *harness) fullReads() (n int) {
	h.list.mu.Lock()
	defer h.list.mu.Unlock()
	for _, full := range h.list.asked {
		if full {
			n++
		}
	}
	return n
}

func (h *harness) status() ledger.Status {
	h.t.Helper()
	s, err := h.ledger.Status(context.Background(), time.Now())
	if err != nil {
		h.t.Fatal(err)
	}
	return s
}

func prefix(address string) netip.Prefix {
	a := netip.MustParseAddr(address)
	return netip.PrefixFrom(a, a.BitLen())
}
