package follower_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
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

// list is a Local API in memory: what is in force by number, and what changed
// since it was last read.
type list struct {
	mu                       sync.Mutex
	standing, added, deleted map[int64]string
	fail                     error
	cut                      bool // the answer ends after the first decision, as an error of its database makes it
	asked                    []bool
	numbers                  []int64 // after which it was asked for all
	numbersFail              error
	hidden                   []lapi.Event // by longer decisions
	lookups                  []netip.Prefix
	lookedUp                 int // of them, those that it had the time for
	lookupFails              error
	slow                     time.Duration
	waited                   time.Duration
	told                     []lapi.Usage
	tellErr                  error
	panics                   bool
}

func newList() *list {
	return &list{standing: map[int64]string{}, added: map[int64]string{}, deleted: map[int64]string{}}
}

func (l *list) add(id int64, value string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.standing[id], l.added[id] = value, value
}

// addLate is as add, but for whoever asks what changed: it was asked meanwhile.
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

// drop removes without a trace, as `cscli alerts delete` does.
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

func (l *list) Stream(_ context.Context, q lapi.Query, do func(lapi.Event) error) (seen lapi.Seen, err error) {
	l.mu.Lock()
	slow := l.slow
	l.mu.Unlock()
	time.Sleep(slow)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked = append(l.asked, q.Startup)
	if l.panics {
		panic("boom")
	}
	if l.fail != nil {
		return seen, l.fail
	}
	fresh := l.added
	if q.Startup {
		fresh = l.standing
	}
	seen.Waited = l.waited
	for _, id := range sorted(fresh) {
		seen.LastID = id
		seen.New++
		if err := do(event(id, fresh[id], time.Until(ends(id)), false)); err != nil {
			return seen, err
		}
		if l.cut {
			return seen, nil
		}
	}
	for _, id := range sorted(l.deleted) {
		if err := do(event(id, l.deleted[id], -time.Second, true)); err != nil {
			return seen, err
		}
	}
	clear(l.added)
	clear(l.deleted)
	return seen, nil
}

func (l *list) Newer(ctx context.Context, _ lapi.Query, than int64, do func(lapi.Event) error) (seen lapi.Seen, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.numbers = append(l.numbers, than)
	if l.numbersFail != nil || ctx.Err() != nil {
		return seen, errors.Join(l.numbersFail, ctx.Err())
	}
	for _, e := range l.hidden {
		if e.ID <= than {
			continue
		}
		seen.LastID = max(seen.LastID, e.ID)
		seen.New++
		if err := do(e); err != nil {
			return seen, err
		}
	}
	for _, id := range slices.Backward(sorted(l.standing)) {
		if id <= than {
			break
		}
		seen.LastID = max(seen.LastID, id)
		seen.New++
		if err := do(event(id, l.standing[id], time.Until(ends(id)), false)); err != nil {
			return seen, err
		}
	}
	return seen, nil
}

func (l *list) Lookup(ctx context.Context, _ lapi.Query, prefix netip.Prefix) (found []lapi.Decision, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lookups = append(l.lookups, prefix)
	if l.lookupFails != nil || ctx.Err() != nil {
		return nil, errors.Join(l.lookupFails, ctx.Err())
	}
	l.lookedUp++
	for _, id := range slices.Backward(sorted(l.standing)) {
		if l.standing[id] == prefix.Addr().String() {
			found = append(found, event(id, l.standing[id], time.Until(ends(id)), false).Decision)
		}
	}
	// One of another type, and a network around it, list it not.
	captcha := event(900, prefix.Addr().String(), time.Hour, false).Decision
	captcha.Type = "captcha"
	around := event(901, "203.0.113.0/24", time.Hour, false).Decision
	around.Scope = "Range"
	return append(found, captcha, around), nil
}

func (l *list) Tell(_ context.Context, u lapi.Usage, _ time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.told = append(l.told, u)
	return l.tellErr
}

// ends is when a decision does: the later, the greater its number.
func ends(id int64) time.Time {
	return time.Date(2000, 1, 2, 0, int(id), 0, 0, time.UTC) // a bubble's time starts a day before
}

func sorted(m map[int64]string) []int64 {
	var ids []int64
	for id := range m {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

func event(id int64, value string, left time.Duration, deleted bool) lapi.Event {
	return lapi.Event{Deleted: deleted, Decision: lapi.Decision{ID: id, Origin: "CAPI", Scenario: "http:scan", Scope: "Ip", Type: "ban", Value: value, Left: left}}
}

// house is a follower at work in a bubble.
type house struct {
	t       *testing.T
	list    *list
	ledger  *ledger.Ledger
	log     *bytes.Buffer
	changed int
	start   time.Time
	last    int64 // that was added in bulk
}

func bubble(t *testing.T, change func(*follower.Config), story func(h *house)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		books, err := ledger.Open(context.Background(), filepath.Join(dir, "test.db"))
		if err != nil {
			t.Fatal(err)
		}
		defer books.Close()
		h := &house{t: t, list: newList(), ledger: books, log: new(bytes.Buffer), start: time.Now()}
		c := follower.Config{
			List: h.list, Ledger: books, Every: 10 * time.Second, Resync: time.Hour, MaxBans: 1000,
			Filter:  ban.Filter{NeverBlock: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}},
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
		story(h)
		cancel()
		<-ended
	})
}

func (h *house) at(since time.Duration) {
	time.Sleep(time.Until(h.start.Add(since)))
	synctest.Wait()
}

func (h *house) want(when string, want ...string) {
	h.t.Helper()
	var got []string
	err := h.ledger.EachBan(context.Background(), time.Now(), func(b ledger.Ban) error {
		got = append(got, b.Prefix.Addr().String())
		return nil
	})
	slices.Sort(got)
	if err != nil || !slices.Equal(got, want) {
		h.t.Errorf("%s: %v in force, want %v (%v)", when, got, want, err)
	}
}

// bulk is how many make one, and more.
const bulk = 120

// until is when a ban ends.
func (h *house) until(address string) (until time.Time) {
	err := h.ledger.EachBan(context.Background(), time.Now(), func(b ledger.Ban) error {
		if b.Prefix.Addr().String() == address {
			until = b.Until
		}
		return nil
	})
	if err != nil {
		h.t.Error(err)
	}
	return until
}

// round waits until the Local API was asked once more.
func (h *house) round() { h.at(time.Since(h.start) + 10*time.Second) }

// bulk adds so many, some of them late.
func (h *house) bulk(n int64, late func(i int64) bool) {
	for i := range n {
		add := h.list.add
		if late(i) {
			add = h.list.addLate
		}
		h.last++
		add(1000+h.last, fmt.Sprintf("198.51.%d.%d", h.last>>8, h.last&255))
	}
}

// full is how often everything was read.
func (h *house) full() (n int) {
	h.list.mu.Lock()
	defer h.list.mu.Unlock()
	for _, full := range h.list.asked {
		if full {
			n++
		}
	}
	return n
}

// wantRead fails unless so many are in force, and everything was read so many times.
func (h *house) wantRead(when string, inForce, full int) {
	h.t.Helper()
	s, err := h.ledger.Status(context.Background(), time.Now())
	if n := h.full(); err != nil || s.InForce != inForce || n != full {
		h.t.Errorf("%s: %d are in force, want %d; everything was read %d times, want %d (%v)", when, s.InForce, inForce, n, full, err)
	}
}
