package follower_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
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

func TestItReadsEverythingAtFirstAndThenWhatChanged(t *testing.T) {
	bubble(t, nil, func(h *house) {
		h.want("at once", "203.0.113.1", "203.0.113.2")
		h.list.add(3, "203.0.113.3")
		h.list.add(4, "10.1.2.3") // never to be blocked
		h.list.remove(1)
		h.at(11 * time.Second)
		h.want("after a round", "203.0.113.2", "203.0.113.3")
		if h.changed != 2 || !strings.Contains(h.log.String(), "first=10.1.2.3") {
			t.Errorf("changed %d times:\n%s", h.changed, h.log)
		}
		h.at(time.Minute)
		if h.changed != 2 || !slices.Equal(h.list.asked, []bool{true, false, false, false, false, false, false}) {
			t.Errorf("asked %v, changed %d times", h.list.asked, h.changed)
		}
	})
}

func TestNothingEndsBecauseTheListCannotBeRead(t *testing.T) {
	bubble(t, nil, func(h *house) {
		h.list.set(func() { h.list.fail = &lapi.KeyError{Status: 403} })
		h.at(30 * time.Minute)
		h.want("without the Local API", "203.0.113.1", "203.0.113.2")
		if n := strings.Count(h.log.String(), "[ERROR]"); n < 2 || n > 4 {
			t.Errorf("it was said %d times in 30 minutes:\n%s", n, h.log)
		}
		s, err := h.ledger.Status(context.Background(), time.Now())
		if err != nil || time.Since(s.Unread) < 29*time.Minute || !strings.Contains(s.UnreadWhy, "403") {
			t.Errorf("status %+v, %v", s, err)
		}
		if n := len(h.list.asked); n > 70 {
			t.Errorf("it was asked %d times in 30 minutes", n)
		}
		h.list.set(func() { h.list.fail = nil })
		h.list.drop(1) // meanwhile, and nobody says so
		h.list.add(3, "203.0.113.3")
		h.at(30*time.Minute + 31*time.Second)
		h.want("once it is back", "203.0.113.2", "203.0.113.3")
		if s, err := h.ledger.Status(context.Background(), time.Now()); err != nil || !s.Unread.IsZero() || s.Read.IsZero() {
			t.Errorf("status %+v, %v", s, err)
		}
		if !strings.Contains(h.log.String(), "is read again") {
			t.Errorf("the log does not say that it works again:\n%s", h.log)
		}
	})
}

// The Local API ends a list as usual when its database fails in the midst of it.
func TestAListThatEndsEarlyEndsNoBan(t *testing.T) {
	bubble(t, func(c *follower.Config) { c.Resync = time.Minute }, func(h *house) {
		h.list.set(func() { h.list.cut = true })
		h.at(5 * time.Minute)
		h.want("with half a list", "203.0.113.1", "203.0.113.2")
	})
}

func TestEverythingIsReadNowAndThen(t *testing.T) {
	bubble(t, nil, func(h *house) {
		h.list.drop(1)
		h.at(59 * time.Minute)
		if n := len(h.list.asked); !h.list.asked[0] || slices.Contains(h.list.asked[1:], true) || n < 350 {
			t.Errorf("asked %d times: %v", n, h.list.asked[:3])
		}
		h.list.add(5, "203.0.113.5")
		h.at(61 * time.Minute)
		if !slices.Contains(h.list.asked[1:], true) {
			t.Error("not everything was read after an hour")
		}
	})
}

// The Local API does not tell who asks for changes while a list is being stored of
// all that is in it.
func TestWhatWasNotToldIsReadByItsNumber(t *testing.T) {
	bubble(t, nil, func(h *house) {
		for wave := range 3 {
			h.bulk(bulk, func(i int64) bool { return i%2 == 0 })
			h.round()
			h.wantRead("with a bulk", 2+(wave+1)*bulk, 1)
		}
		h.bulk(4, func(i int64) bool { return i%2 == 0 })
		h.round()
		h.wantRead("with its end", 2+3*bulk+4, 1)
		asked := len(h.list.numbers)

		h.bulk(bulk, func(int64) bool { return true })
		h.at(time.Since(h.start) + 70*time.Second)
		h.wantRead("without a sign, within a minute", 2+4*bulk+4, 1)

		h.list.set(func() { h.list.waited = 100 * time.Millisecond })
		h.bulk(bulk, func(int64) bool { return true })
		h.round()
		h.wantRead("of which it is a sign that it was kept waiting", 2+5*bulk+4, 1)
		h.list.set(func() { h.list.waited = time.Millisecond })

		h.at(30 * time.Minute)
		h.wantRead("afterwards", 2+5*bulk+4, 1)
		if n := len(h.list.numbers); asked != 4 || n < 28 || n > 4+30 {
			t.Errorf("it was asked for numbers %d times for the bulk, and %d times in half an hour", asked, n)
		}
		if !slices.IsSorted(h.list.numbers) || h.list.numbers[0] != 2 || h.list.numbers[len(h.list.numbers)-1] != 1000+h.last {
			t.Errorf("it was asked after the numbers %v", h.list.numbers)
		}
	})
}

// Of two transactions at once, the one with the smaller numbers may end last.
func TestASmallerNumberThatComesLateIsLookedForWithinTheHour(t *testing.T) {
	bubble(t, func(c *follower.Config) { c.Resync = 0 }, func(h *house) {
		h.list.add(4, "203.0.113.4")
		h.at(5 * time.Minute)
		h.list.addLate(3, "203.0.113.3")
		h.at(59 * time.Minute)
		h.want("when it was not asked for", "203.0.113.1", "203.0.113.2", "203.0.113.4")
		h.at(61 * time.Minute)
		h.want("after an hour", "203.0.113.1", "203.0.113.2", "203.0.113.3", "203.0.113.4")
		h.at(10 * time.Hour)
		if n := h.full(); n != 2 {
			t.Errorf("everything was read %d times", n)
		}
	})
}

func TestADecisionThatALongerOneHidesShortensNothing(t *testing.T) {
	bubble(t, nil, func(h *house) {
		h.list.set(func() {
			h.list.hidden = []lapi.Event{event(3, "203.0.113.1", time.Minute, false), event(4, "10.1.2.3", time.Hour, false)}
		})
		h.at(5 * time.Minute)
		if until := h.until("203.0.113.1"); !until.Equal(ends(1)) {
			t.Errorf("it ends at %s", until)
		}
		h.list.remove(1) // which bans it, whatever number was seen since
		h.round()
		h.want("when it is over", "203.0.113.2")
		if n := h.full(); n != 1 || h.changed != 2 || strings.Contains(h.log.String(), "not turned into bans") {
			t.Errorf("everything was read %d times, %d changes, log:\n%s", n, h.changed, h.log)
		}
	})
}

func TestWhatCannotBeReadByItsNumberIsReadWhole(t *testing.T) {
	bubble(t, nil, func(h *house) {
		h.list.set(func() { h.list.numbersFail = errors.New("database is locked") })
		h.bulk(bulk, func(i int64) bool { return i%2 == 0 })
		h.round()
		h.wantRead("at once", 2+bulk, 2)
		h.at(3 * time.Minute)
		h.list.set(func() { h.list.numbersFail = nil })
		h.bulk(bulk, func(int64) bool { return true })
		h.at(time.Since(h.start) + 70*time.Second)
		h.wantRead("when it can", 2+2*bulk, 2)
		if strings.Contains(h.log.String(), "[ERROR]") {
			t.Errorf("log:\n%s", h.log)
		}
	})
}

// As CrowdSec 1.4.6 has it.
func TestABulkIsReadWholeWhenItBeginsAndWhenItIsOver(t *testing.T) {
	for name, late := range map[string]func(i int64) bool{
		"half of it is seen": func(i int64) bool { return i%2 == 0 },
		"its end is seen":    func(i int64) bool { return i < bulk-1 },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, nil, func(h *house) {
				h.list.set(func() { h.list.numbersFail = lapi.ErrNoNumbers })
				h.bulk(bulk, late)
				h.round()
				h.wantRead("when it begins", 2+bulk, 2)
				for range 3 {
					h.bulk(bulk, late)
					h.round()
				}
				if n := h.full(); n != 2 {
					t.Errorf("everything was read %d times in the midst of it", n)
				}
				h.round()
				h.wantRead("when it is over", 2+4*bulk, 3)

				h.bulk(bulk, late)
				h.round()
				h.bulk(3, func(i int64) bool { return i == 0 })
				h.round()
				h.wantRead("when it ends with a few", 2+5*bulk+3, 5)

				h.at(30 * time.Minute)
				h.wantRead("afterwards", 2+5*bulk+3, 5)
			})
		})
	}
}

func TestAStormIsNotReadWholeAllTheTime(t *testing.T) {
	const rounds = 60 // ten minutes
	for name, gap := range map[string]int{"without a pause": 0, "that comes and goes": 2} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(c *follower.Config) { c.MaxBans = 100_000 }, func(h *house) {
				h.list.set(func() { h.list.numbersFail = lapi.ErrNoNumbers })
				for i := range rounds {
					if gap == 0 || i%gap == 0 {
						h.bulk(bulk, func(i int64) bool { return i%2 == 0 })
					}
					h.round()
				}
				if n := h.full(); n < 9 || n > 16 { // the first one, four, and one a minute
					t.Errorf("everything was read %d times in ten minutes", n)
				}
				h.at(15 * time.Minute)
				n := rounds * bulk
				if gap > 0 {
					n /= gap
				}
				h.wantRead("when it is over", 2+n, h.full())
			})
		})
	}
}

func TestADoubtIsSettledByAQuestion(t *testing.T) {
	bubble(t, nil, func(h *house) {
		for id := range int64(3) {
			h.list.add(10+id, fmt.Sprintf("198.51.100.%d", id))
		}
		h.round()
		h.list.drop(10) // its end is told of another decision
		h.list.set(func() {
			h.list.deleted[7], h.list.deleted[8] = "198.51.100.0", "198.51.100.1"
			h.list.deleted[6] = "198.51.100.0"
			h.list.standing[9] = "198.51.100.1" // and ends before what is known, which is over too
			h.list.standing[6] = "198.51.100.1"
			delete(h.list.standing, 11)
		})
		h.round()
		h.want("when it was asked", "198.51.100.1", "198.51.100.2", "203.0.113.1", "203.0.113.2")
		if want := []netip.Prefix{netip.MustParsePrefix("198.51.100.0/32"), netip.MustParsePrefix("198.51.100.1/32")}; !slices.Equal(h.list.lookups, want) {
			t.Errorf("looked up %v", h.list.lookups)
		}
		if until := h.until("198.51.100.1"); !until.Equal(ends(9)) {
			t.Errorf("what is left ends at %s", until)
		}
		h.list.drop(6)
		h.list.remove(9)
		h.round()
		h.want("when that is over", "198.51.100.2", "203.0.113.1", "203.0.113.2")
		if n := h.full(); n != 1 || len(h.list.lookups) != 2 {
			t.Errorf("everything was read %d times; looked up %v", n, h.list.lookups)
		}
	})
}

func TestManyDoubtsOrOneWithoutAnAnswerAreSettledByReadingEverything(t *testing.T) {
	for name, doubts := range map[string]int{"no answer": 1, "many": 21} {
		t.Run(name, func(t *testing.T) {
			bubble(t, nil, func(h *house) {
				h.list.set(func() {
					if doubts == 1 {
						h.list.lookupFails = errors.New("database is locked")
					}
				})
				for id := range int64(doubts) {
					h.list.add(10+id, fmt.Sprintf("198.51.100.%d", id))
				}
				h.round()
				for id := range int64(doubts) {
					h.list.drop(10 + id)
					h.list.set(func() { h.list.deleted[100+id] = fmt.Sprintf("198.51.100.%d", id) })
				}
				h.list.add(200, "203.0.113.3")
				h.round()
				h.want("at once", "203.0.113.1", "203.0.113.2", "203.0.113.3")
				if !slices.Equal(h.list.asked, []bool{true, false, false, true}) || len(h.list.lookups) > 1 || strings.Contains(h.log.String(), "[ERROR]") {
					t.Errorf("asked %v, looked up %v, log:\n%s", h.list.asked, h.list.lookups, h.log)
				}
			})
		})
	}
}

// A list that says so each time is not read whole for ever.
func TestADoubtThatStaysIsSettledOnceAReading(t *testing.T) {
	bubble(t, nil, func(h *house) {
		h.list.set(func() { h.list.lookupFails = errors.New("database is locked") })
		for range 6 {
			h.list.set(func() { h.list.deleted[7] = "203.0.113.2" })
			h.round()
		}
		if n := h.full(); n > 4 {
			t.Errorf("everything was read %d times of %d", n, len(h.list.asked))
		}
		h.want("in doubt", "203.0.113.1", "203.0.113.2")
	})
}

// The Local API takes a question for a reading when there was none for a minute.
func TestALongReadingIsFollowedByNoQuestion(t *testing.T) {
	bubble(t, nil, func(h *house) {
		h.list.set(func() { h.list.slow = 31 * time.Second })
		h.list.set(func() { h.list.deleted[7] = "203.0.113.2" })
		h.at(3 * time.Minute)
		if n := h.full(); n != 2 || h.list.lookedUp != 0 {
			t.Errorf("everything was read %d times; looked up %v", n, h.list.lookups)
		}
	})
}

func TestANumberThatIsMissingIsLookedForWithinTheHour(t *testing.T) {
	bubble(t, func(c *follower.Config) { c.Resync = 0 }, func(h *house) {
		h.list.set(func() { h.list.numbersFail = lapi.ErrNoNumbers })
		h.list.addLate(3, "203.0.113.3")
		h.at(30 * time.Minute)
		h.want("without a sign", "203.0.113.1", "203.0.113.2")
		h.list.add(4, "203.0.113.4")
		h.at(59 * time.Minute)
		h.want("with a sign", "203.0.113.1", "203.0.113.2", "203.0.113.4")
		h.at(61 * time.Minute)
		h.want("after an hour", "203.0.113.1", "203.0.113.2", "203.0.113.3", "203.0.113.4")
		h.at(10 * time.Hour)
		if n := h.full(); n != 2 {
			t.Errorf("everything was read %d times", n)
		}
	})
}

// What did not fit is taken in once there is room, and not looked for all the time.
func TestWhatWasLeftOutIsReadOnceThereIsRoom(t *testing.T) {
	bubble(t, func(c *follower.Config) { c.MaxBans, c.Resync = 3, 24*time.Hour }, func(h *house) {
		h.list.add(3, "203.0.113.3")
		h.list.add(4, "203.0.113.4")
		h.list.add(5, "203.0.113.5")
		h.at(time.Minute)
		h.want("when full", "203.0.113.3", "203.0.113.4", "203.0.113.5")
		if full := slices.Index(h.list.asked[1:], true); full >= 0 {
			t.Errorf("everything was read again though there is no room: %v", h.list.asked)
		}
		if s, err := h.ledger.Status(context.Background(), time.Now()); err != nil || s.LeftOut != 2 {
			t.Errorf("status %+v, %v", s, err)
		}
		h.list.remove(4)
		h.at(time.Minute + 21*time.Second)
		h.want("with room for one", "203.0.113.2", "203.0.113.3", "203.0.113.5")
		h.at(16 * time.Minute)
		if last := h.list.told[len(h.list.told)-1]; last.LeftOut != 1 || last.Active["CAPI"] != 3 {
			t.Errorf("told %+v", last)
		}
		if len(h.list.numbers) > 0 {
			t.Errorf("what was left out was read by its number: %v", h.list.numbers)
		}
	})
}

func TestAPanicDoesNotEndTheFollower(t *testing.T) {
	bubble(t, nil, func(h *house) {
		h.list.set(func() { h.list.panics = true })
		h.at(30 * time.Second)
		h.list.set(func() { h.list.panics = false })
		h.list.add(3, "203.0.113.3")
		h.at(2 * time.Minute)
		h.want("afterwards", "203.0.113.1", "203.0.113.2", "203.0.113.3")
		if !strings.Contains(h.log.String(), "a fault of this program") {
			t.Errorf("the log does not say so:\n%s", h.log)
		}
	})
}

func TestCrowdSecIsToldWhatIsEnforced(t *testing.T) {
	bubble(t, nil, func(h *house) {
		h.at(16 * time.Minute)
		if len(h.list.told) != 2 || h.list.told[1].Active["CAPI"] != 2 || h.list.told[1].Window != 15*time.Minute {
			t.Errorf("told %+v", h.list.told)
		}
	})
	bubble(t, nil, func(h *house) {
		h.list.set(func() { h.list.tellErr = lapi.ErrNoMetrics })
		h.at(time.Hour)
		if n := len(h.list.told); n > 2 {
			t.Errorf("an old Local API was told %d times", n)
		}
	})
	bubble(t, nil, func(h *house) {
		h.list.set(func() { h.list.tellErr = errors.New("away") })
		h.at(16 * time.Minute)
		h.want("though metrics fail", "203.0.113.1", "203.0.113.2")
	})
}
