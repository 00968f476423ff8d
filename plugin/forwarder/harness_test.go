package forwarder_test

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

	"notification-stormshield/plugin/ban"
	"notification-stormshield/plugin/forwarder"
	"notification-stormshield/plugin/ledger"
	"notification-stormshield/plugin/outbox"
)

var errAway = errors.New("connection refused")

// content is what a shared state has of one machine.
type content struct {
	forwarded, beat int64
	got             []string // the decisions, in the order of recording; ! marks those that may be blocked
}

// fakeLedger is a shared state that keeps the contract of package ledger, and that fails on demand.
type fakeLedger struct {
	sync.Mutex

	content
	fail      func() (before, after error) // the failures of the next call: before its commit, and after it
	waits     bool                         // calls wait until their context ends
	slow      time.Duration                // how long a call takes
	panics    bool
	calls     int
	batches   []int // the decisions of each batch
	beats     []ledger.Beat
	restored  int            // calls of RecordRestored
	attempted []netip.Prefix // of the last call of RecordAttempted
}

// commit runs a transaction. The caller may get an error although the transaction is committed.
func (l *fakeLedger) commit(ctx context.Context, do func() error) error {
	l.Lock()
	defer l.Unlock()
	l.calls++
	if l.panics {
		panic("boom")
	}
	if l.waits {
		l.Unlock()
		<-ctx.Done()
		l.Lock()
		return ctx.Err()
	}
	if l.slow > 0 {
		slow := l.slow
		l.Unlock()
		time.Sleep(slow)
		l.Lock()
	}
	var before, after error
	if l.fail != nil {
		before, after = l.fail()
	}
	if before != nil {
		return before
	}
	if err := do(); err != nil {
		return err
	}
	return after
}

func (l *fakeLedger) Forward(ctx context.Context, batch []ledger.Forwarded, _ time.Time, limit int) (r ledger.Recorded, err error) {
	return r, l.commit(ctx, func() error {
		if limit != 1234 {
			return fmt.Errorf("the limit is %d", limit)
		}
		next, size := l.content, 0
		for _, m := range batch {
			if m.Number <= next.forwarded {
				continue
			}
			if m.After > next.forwarded {
				return ledger.ErrGap
			}
			next.forwarded = m.Number
			for _, d := range m.Decisions {
				name := d.Prefix.Addr().String()
				if m.MaybeBlocked {
					name += "!"
				}
				next.got = append(next.got, name)
				size++
			}
		}
		l.content = next
		l.batches = append(l.batches, size)
		return nil
	})
}

func (l *fakeLedger) Beat(ctx context.Context, b ledger.Beat, _ time.Time) (answer ledger.Beaten, err error) {
	err = l.commit(ctx, func() error {
		l.beat++
		l.beats = append(l.beats, b)
		answer = ledger.Beaten{Beat: l.beat, Forwarded: l.forwarded}
		return nil
	})
	if err != nil {
		return ledger.Beaten{}, err
	}
	return answer, nil
}

func (l *fakeLedger) RecordRestored(ctx context.Context, _ time.Time, _ int) error {
	return l.commit(ctx, func() error {
		l.restored++
		return nil
	})
}

func (l *fakeLedger) RecordAttempted(ctx context.Context, attempted []netip.Prefix, _ time.Time, limit int) error {
	return l.commit(ctx, func() error {
		if limit != 1234 {
			return fmt.Errorf("the limit is %d", limit)
		}
		l.attempted = attempted
		return nil
	})
}

// backup returns a copy of the content.
func (l *fakeLedger) backup() content {
	l.Lock()
	defer l.Unlock()
	copied := l.content
	copied.got = slices.Clone(copied.got)
	return copied
}

// restore replaces the content.
func (l *fakeLedger) restore(c content) {
	l.Lock()
	defer l.Unlock()
	l.content = content{c.forwarded, c.beat, slices.Clone(c.got)}
}

// uses is what a forwarder did with the shared state.
type uses struct {
	calls     int
	batches   []int
	beats     []ledger.Beat
	restored  int
	attempted []netip.Prefix
}

// uses returns what forwarders did.
func (l *fakeLedger) uses() uses {
	l.Lock()
	defer l.Unlock()
	return uses{l.calls, slices.Clone(l.batches), slices.Clone(l.beats), l.restored, slices.Clone(l.attempted)}
}

// set changes the ledger while a forwarder uses it.
func (l *fakeLedger) set(change func()) {
	l.Lock()
	defer l.Unlock()
	change()
}

// harness is a machine with an outbox and a forwarder, under a clock of its own.
type harness struct {
	*testing.T
	path   string
	ledger *fakeLedger
	outbox *outbox.Outbox // of the process that forwards
	other  *outbox.Outbox // of another process
	log    *bytes.Buffer
	start  time.Time

	forwarder                                *forwarder.Forwarder
	stop                                     func()
	forwarded, restored, attempted, caughtUp int // calls
}

// run runs a scenario with a new machine.
func run(t *testing.T, scenario func(h *harness)) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "test.outbox.db")
	synctest.Test(t, func(t *testing.T) {
		h := &harness{T: t, path: path, ledger: &fakeLedger{}, log: new(bytes.Buffer), start: time.Now()}
		h.outbox, h.other = h.open(), h.open()
		h.begin()
		synctest.Wait()
		scenario(h)
		h.stop()
		h.check(errors.Join(h.outbox.Close(), h.other.Close()))
	})
}

func (h *harness) check(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

func (h *harness) want(what string, got, want any) {
	h.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		h.Errorf("%s: %v, want %v", what, got, want)
	}
}

func (h *harness) open() *outbox.Outbox {
	h.Helper()
	o, err := outbox.Open(context.Background(), h.path)
	h.check(err)
	return o
}

// begin starts a forwarder.
func (h *harness) begin() {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	h.forwarder = forwarder.New(forwarder.Config{
		Outbox: h.outbox, Ledger: h.ledger, MaxBans: 1234, Version: "1.2.3",
		Log:         hclog.New(&hclog.LoggerOptions{Output: h.log, DisableTime: true, Level: hclog.Info}),
		OnForwarded: func(time.Time) { h.forwarded++ }, OnRestored: func() { h.restored++ },
		OnAttempted: func() { h.attempted++ }, OnCaughtUp: func() { h.caughtUp++ },
	})
	go func() {
		defer close(ended)
		h.forwarder.Run(ctx)
	}()
	h.stop = func() {
		cancel()
		<-ended
	}
}

// again starts another forwarder, as the next process does.
func (h *harness) again() {
	h.stop()
	h.begin()
}

// sleep lets time pass.
func (h *harness) sleep(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// decisions returns decisions on addresses with these numbers.
func decisions(first, count int) []ban.Decision {
	all := make([]ban.Decision, count)
	for i := range all {
		n := first + i
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{20, byte(n >> 16), byte(n >> 8), byte(n)}), 32)
		all[i] = ban.Decision{Prefix: p, RangeBits: 32, Until: time.Now().Add(time.Hour), Type: "ban", Origin: "crowdsec", Scenario: "test"}
	}
	return all
}

// add adds a message for each number to the outbox, and triggers the forwarder.
func (h *harness) add(numbers ...int) {
	h.Helper()
	for _, n := range numbers {
		h.check(h.outbox.Add(context.Background(), decisions(n, 1), time.Now()))
	}
	h.forwarder.Trigger()
	synctest.Wait()
}

// got returns the last number of each address that the shared state has.
func (h *harness) got() string {
	var names []string
	for _, text := range h.ledger.backup().got {
		names = append(names, text[strings.LastIndex(text, ".")+1:])
	}
	return strings.Join(names, " ")
}

// waiting returns how many decisions wait in the outbox.
func (h *harness) waiting() int {
	h.Helper()
	w, err := h.outbox.Waiting(context.Background())
	h.check(err)
	return w.Decisions
}

// away returns since when the outbox says that the shared state is away, as a time since the start, and why.
func (h *harness) away() string {
	h.Helper()
	c, err := h.outbox.Contact(context.Background())
	h.check(err)
	if c.AwaySince.IsZero() {
		return "no"
	}
	return fmt.Sprint(c.AwaySince.Sub(h.start.UTC().Truncate(time.Millisecond)), " ", c.Cause)
}
