// Package pacer decides when to flush. It debounces what comes in bursts,
// keeps a rhythm, wakes for what is due by the clock, and waits longer and
// longer after failures.
//
// It knows no device and no bans: it calls a function. Its main type is
// [Pacer].
//
//	p := pacer.New(pacer.Rhythm{Every: 30 * time.Second, Debounce: time.Second})
//	go p.Run(ctx, flush)
//	p.Trigger()    // something changed, and more may follow: flush soon
//	p.TriggerNow() // something changed, and that is all of it
//
// Two calls that did something are at least Every apart. Within that, a call
// waits until nothing was poked for Debounce, yet not longer than Every after
// the first poke. So a lone change is served after Debounce, and a storm by
// one call per Every. What is Due waits for the rhythm alone.
package pacer

import (
	"context"
	"time"
)

const (
	firstRetry = time.Second
	lastRetry  = 5 * time.Minute

	// nap bounds how long a wait goes by the monotonic clock, which stands
	// still while a machine is suspended and does not follow a clock that is
	// set.
	nap = 30 * time.Second
)

// Rhythm is how often.
type Rhythm struct {
	Every    time.Duration // between two flushes that did something
	Debounce time.Duration // of silence before a flush
}

// Flush looks what is to be done and does it.
type Flush func(ctx context.Context) (Result, error)

// Result says what came of a flush.
type Result struct {
	Acted bool      // there was something to do; only then the rhythm counts it
	Next  time.Time // when something is due by the clock; zero: nothing
}

// Pacer calls a function at the right moments.
type Pacer struct {
	rhythm Rhythm
	pokes  chan struct{}
	due    chan struct{}
	hurry  chan struct{}
	now    func() time.Time
}

// New returns a pacer. Run makes it go.
func New(r Rhythm) *Pacer {
	return &Pacer{rhythm: r, pokes: make(chan struct{}, 1), due: make(chan struct{}, 1), hurry: make(chan struct{}, 1), now: time.Now}
}

// Trigger says that something changed. It never waits.
func (p *Pacer) Trigger() {
	select {
	case p.pokes <- struct{}{}:
	default: // one that is not taken yet says the same
	}
}

// TriggerNow says that something changed, and that nothing belongs to it which is yet to
// come: there is no silence to wait for. It never waits.
func (p *Pacer) TriggerNow() {
	select {
	case p.due <- struct{}{}:
	default:
	}
}

// Force says that somebody waits: flush at once, whatever the rhythm and
// earlier failures say. It never waits.
func (p *Pacer) Force() {
	select {
	case p.hurry <- struct{}{}:
	default:
	}
}

// Run calls flush, at first at once, until the context ends.
func (p *Pacer) Run(ctx context.Context, flush Flush) {
	s := schedule{rhythm: p.rhythm}
	s.next = p.now()
	for {
		due := s.due()
		var alarm <-chan time.Time // without a due moment, it never rings
		if !due.IsZero() {
			alarm = time.After(min(due.Sub(p.now()), nap))
		}
		select {
		case <-ctx.Done():
			return
		case <-p.pokes:
			s.poked(p.now())
		case <-p.due:
			s.next = p.now()
		case <-p.hurry:
			s.hurried(p.now())
		case <-alarm:
			if now := p.now(); !now.Before(due) {
				result, err := flush(ctx)
				s.flushed(now, p.now(), result, err)
			}
		}
	}
}

// schedule is the arithmetic of Run, without a clock.
type schedule struct {
	rhythm    Rhythm
	acted     time.Time // start of the last flush that did something
	firstPoke time.Time // of those not served yet; zero: none
	lastPoke  time.Time
	next      time.Time // what is due by the clock; zero: nothing
	failures  int
	retry     time.Time // not before, after a failure
}

func (s *schedule) poked(now time.Time) {
	if s.firstPoke.IsZero() {
		s.firstPoke = now
	}
	s.lastPoke = now
}

func (s *schedule) hurried(now time.Time) {
	s.acted, s.retry, s.next = time.Time{}, time.Time{}, now
}

func (s *schedule) flushed(start, end time.Time, r Result, err error) {
	s.firstPoke, s.lastPoke = time.Time{}, time.Time{}
	if err != nil {
		s.acted = start
		s.retry = end.Add(min(firstRetry<<min(s.failures, 16), lastRetry))
		s.failures++
		return
	}
	s.failures, s.retry = 0, time.Time{}
	s.next = r.Next.Round(0) // the wall clock's: a ban ends by it
	if r.Acted {
		s.acted = start
	}
}

// due returns when to flush; zero: not before a poke.
func (s *schedule) due() time.Time {
	if !s.retry.IsZero() {
		return s.retry
	}
	due := s.next
	if !s.firstPoke.IsZero() {
		quiet := earlier(s.lastPoke.Add(s.rhythm.Debounce), s.firstPoke.Add(s.rhythm.Every))
		due = earlier(due, quiet)
	}
	if earliest := s.acted.Add(s.rhythm.Every); !due.IsZero() && !s.acted.IsZero() && due.Before(earliest) {
		due = earliest
	}
	return due
}

// earlier returns the earlier of two moments; zero is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
