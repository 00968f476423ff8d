// Package pacer decides when to flush. It calls a function for that, and knows neither appliances nor bans.
//
// Its main type is [Pacer]:
//
//	p := pacer.New(pacer.Rhythm{Every: 30 * time.Second, Debounce: time.Second})
//	go p.Run(ctx, flush)
//	p.Trigger()    // something changed, and more may follow
//	p.TriggerNow() // something changed, and nothing follows
//	p.Force()      // somebody waits for a flush
//
// Trigger is debounced: the flush begins when nothing was triggered for Debounce, and at the latest Every after the first
// trigger. TriggerNow is not debounced. Two flushes that did something begin at least Every apart. So a single change is
// flushed after Debounce, and a storm costs one flush per Every. Force waits for nothing.
//
// A flush says when the next one is due by the clock. After a failed flush the pacer tries again with growing waits, and only
// Force is faster.
package pacer

import (
	"context"
	"time"

	"notification-stormshield/plugin/failures"
)

const (
	firstRetry = time.Second
	lastRetry  = 5 * time.Minute

	// longestSleep bounds how long the pacer sleeps before it looks at the clock again. The timers of the system stop while a
	// machine is suspended, and do not follow a clock that is set.
	longestSleep = 30 * time.Second
)

// Rhythm is how often to flush.
type Rhythm struct {
	Every    time.Duration // between two flushes that did something
	Debounce time.Duration // without a trigger before a flush
}

// Flush applies what is pending.
type Flush func(ctx context.Context) (Result, error)

// Result is the result of a flush.
type Result struct {
	Acted bool      // there was something to do; other flushes do not count for Rhythm.Every
	Next  time.Time // when the next flush is due by the clock; zero: none is
}

// Pacer calls a function at the right times.
type Pacer struct {
	rhythm              Rhythm
	triggers            chan time.Time
	nowTriggers, forced chan struct{}
	now                 func() time.Time
	retryWait           func(failures int) time.Duration
}

// New returns a pacer. Run starts it.
func New(r Rhythm) *Pacer {
	return &Pacer{
		rhythm: r, triggers: make(chan time.Time, 1), nowTriggers: make(chan struct{}, 1), forced: make(chan struct{}, 1),
		now: time.Now, retryWait: func(n int) time.Duration { return failures.Backoff(n, firstRetry, lastRetry) },
	}
}

// Trigger asks for a flush because something changed. More changes may follow, so the flush is debounced. Trigger never waits.
func (p *Pacer) Trigger() { p.TriggerSince(p.now()) }

// TriggerSince is like Trigger for something that changed at an earlier time. The debounce counts from that time. TriggerSince never waits.
func (p *Pacer) TriggerSince(changed time.Time) {
	if now := p.now(); changed.After(now) { // the clock was set back
		changed = now
	}
	send(p.triggers, changed)
}

// TriggerNow asks for a flush because something changed. Nothing more follows, so the flush is not debounced. TriggerNow never
// waits.
func (p *Pacer) TriggerNow() { send(p.nowTriggers, struct{}{}) }

// Force asks for a flush at once, whatever the rhythm and earlier failures say. Force never waits.
func (p *Pacer) Force() { send(p.forced, struct{}{}) }

// send sends a signal. A signal that nobody received yet stands for the new one too.
func send[T any](signals chan T, signal T) {
	select {
	case signals <- signal:
	default:
	}
}

// Run flushes at once, and then again and again until the context ends.
func (p *Pacer) Run(ctx context.Context, flush Flush) {
	s := schedule{rhythm: p.rhythm, retryWait: p.retryWait, next: p.now()}
	for {
		due := s.due()
		var alarm <-chan time.Time // nil never fires
		if !due.IsZero() {
			alarm = time.After(min(due.Sub(p.now()), longestSleep))
		}
		select {
		case <-ctx.Done():
			return
		case changed := <-p.triggers:
			s.triggered(changed)
		case <-p.nowTriggers:
			s.next = p.now()
		case <-p.forced:
			s.forced(p.now())
		case <-alarm:
			if now := p.now(); !now.Before(due) {
				result, err := flush(ctx)
				s.flushed(now, p.now(), result, err)
			}
		}
	}
}

// schedule computes when to flush. It has no clock.
type schedule struct {
	rhythm       Rhythm
	retryWait    func(failures int) time.Duration
	acted        time.Time // start of the last flush that did something
	firstTrigger time.Time // of those that no flush followed yet; zero: none
	lastTrigger  time.Time
	next         time.Time // when a flush is due by the clock; zero: none is
	failures     int       // in a row
	retry        time.Time // when to try again after a failure; zero: the last flush did not fail
}

func (s *schedule) triggered(changed time.Time) {
	if s.firstTrigger.IsZero() {
		s.firstTrigger = changed
	}
	if changed.After(s.lastTrigger) {
		s.lastTrigger = changed
	}
}

func (s *schedule) forced(now time.Time) {
	s.acted, s.retry, s.next = time.Time{}, time.Time{}, now
}

func (s *schedule) flushed(start, end time.Time, r Result, err error) {
	s.firstTrigger, s.lastTrigger = time.Time{}, time.Time{}
	if err != nil {
		s.failures++
		s.acted, s.retry = start, end.Add(s.retryWait(s.failures))
		return
	}
	s.failures, s.retry = 0, time.Time{}
	s.next = r.Next.Round(0) // without the monotonic clock, because a ban ends by the wall clock
	if r.Acted {
		s.acted = start
	}
}

// due returns when to flush; zero: not before a trigger.
func (s *schedule) due() time.Time {
	if !s.retry.IsZero() {
		return s.retry
	}
	due := s.next
	if !s.firstTrigger.IsZero() {
		debounced := earlier(s.lastTrigger.Add(s.rhythm.Debounce), s.firstTrigger.Add(s.rhythm.Every))
		due = earlier(due, debounced)
	}
	if earliest := s.acted.Add(s.rhythm.Every); !due.IsZero() && !s.acted.IsZero() && due.Before(earliest) {
		due = earliest
	}
	return due
}

// earlier returns the earlier of two times, of which each may be zero (never).
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
