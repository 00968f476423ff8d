package pacer_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"notification-stormshield/plugin/pacer"
)

// harness is a running pacer in a synctest bubble.
type harness struct {
	*pacer.Pacer
	start   time.Time
	flushes []time.Duration // when each began, since the start
}

// run runs a pacer whose flushes return results(1), results(2) and so on.
func run(t *testing.T, results func(n int) (pacer.Result, error), do func(h *harness)) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		h := &harness{Pacer: pacer.New(rhythm), start: time.Now()}
		h.DoubleRetryWaits()
		go h.Run(ctx, func(context.Context) (pacer.Result, error) {
			h.flushes = append(h.flushes, time.Since(h.start))
			return results(len(h.flushes))
		})
		synctest.Wait()
		do(h)
		synctest.Wait()
	})
}

// waitUntil waits until that time since the start.
func (h *harness) waitUntil(since time.Duration) {
	time.Sleep(time.Until(h.start.Add(since)))
	synctest.Wait()
}

func (h *harness) want(t *testing.T, want ...time.Duration) {
	t.Helper()
	if fmt.Sprint(h.flushes) != fmt.Sprint(want) {
		t.Errorf("flushed at %v, want %v", h.flushes, want)
	}
}

var rhythm = pacer.Rhythm{Every: 30 * time.Second, Debounce: time.Second}

func actsAlways(int) (pacer.Result, error) { return pacer.Result{Acted: true}, nil }

func actsLater(n int) (pacer.Result, error) { return pacer.Result{Acted: n > 1}, nil }

func TestASingleTriggerIsFlushedAfterTheDebounce(t *testing.T) {
	run(t, actsLater, func(h *harness) {
		h.waitUntil(100 * time.Second)
		h.Trigger()
		h.waitUntil(200 * time.Second)
		h.want(t, 0, 101*time.Second)
	})
}

func TestTheDebounceCountsFromTheTimeOfTheChange(t *testing.T) {
	for at, want := range map[time.Duration]time.Duration{
		99500 * time.Millisecond: 100500 * time.Millisecond,
		50 * time.Second:         100 * time.Second,
		time.Hour:                101 * time.Second, // the clock was set back meanwhile
	} {
		run(t, actsLater, func(h *harness) {
			began := time.Now()
			h.waitUntil(100 * time.Second)
			h.TriggerSince(began.Add(at))
			h.waitUntil(200 * time.Second)
			h.want(t, 0, want)
		})
	}
}

func TestAStormOfTriggersCostsOneFlushPerRhythm(t *testing.T) {
	run(t, actsAlways, func(h *harness) {
		for i := range 1000 {
			h.waitUntil(100*time.Second + time.Duration(i)*100*time.Millisecond)
			h.Trigger()
		}
		h.waitUntil(300 * time.Second)
		h.want(t, 0, 130*time.Second, 160*time.Second, 190*time.Second, 220*time.Second)
	})
}

func TestASecondTriggerWaitsForTheRhythm(t *testing.T) {
	run(t, actsLater, func(h *harness) {
		h.waitUntil(100 * time.Second)
		h.Trigger()
		h.waitUntil(105 * time.Second)
		h.Trigger()
		h.waitUntil(200 * time.Second)
		h.want(t, 0, 101*time.Second, 131*time.Second)
	})
}

func TestTriggerNowWaitsOnlyForTheRhythm(t *testing.T) {
	run(t, func(n int) (pacer.Result, error) {
		if n == 4 {
			return pacer.Result{}, errors.New("no answer")
		}
		return pacer.Result{Acted: n > 1}, nil
	}, func(h *harness) {
		h.waitUntil(100 * time.Second)
		h.TriggerNow()
		h.waitUntil(105 * time.Second)
		h.TriggerNow()
		h.waitUntil(200 * time.Second)
		h.TriggerNow()
		h.waitUntil(200*time.Second + 500*time.Millisecond)
		h.TriggerNow() // does not make the retry earlier
		h.waitUntil(300 * time.Second)
		h.want(t, 0, 100*time.Second, 130*time.Second, 200*time.Second, 201*time.Second)
	})
}

func TestAFlushThatDidNothingDelaysNoOther(t *testing.T) {
	run(t, func(int) (pacer.Result, error) { return pacer.Result{}, nil }, func(h *harness) {
		h.waitUntil(10 * time.Second)
		h.Trigger()
		h.waitUntil(12 * time.Second)
		h.Trigger()
		h.waitUntil(100 * time.Second)
		h.want(t, 0, 11*time.Second, 13*time.Second)
	})
}

func TestAFlushThatIsDueByTheClockKeepsTheRhythm(t *testing.T) {
	start := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // when the time of every bubble starts
	run(t, func(n int) (pacer.Result, error) {
		switch n {
		case 1:
			return pacer.Result{Next: start.Add(500 * time.Second)}, nil
		case 2:
			return pacer.Result{Acted: true, Next: start.Add(501 * time.Second)}, nil
		}
		return pacer.Result{Acted: true}, nil
	}, func(h *harness) {
		h.waitUntil(1000 * time.Second)
		h.want(t, 0, 500*time.Second, 530*time.Second)
	})
}

func TestAFailedFlushIsRetriedWithGrowingWaits(t *testing.T) {
	run(t, func(n int) (pacer.Result, error) {
		if n <= 11 {
			return pacer.Result{}, errors.New("no answer")
		}
		return pacer.Result{Acted: true}, nil
	}, func(h *harness) {
		h.waitUntil(2 * time.Second)
		h.Trigger() // does not make the retry earlier
		h.waitUntil(2000 * time.Second)
		s := time.Second
		h.want(t, 0, 1*s, 3*s, 7*s, 15*s, 31*s, 63*s, 127*s, 255*s, 511*s, 811*s, 1111*s)
		h.Trigger()
		h.waitUntil(2010 * time.Second)
		if last := h.flushes[len(h.flushes)-1]; last != 2001*s {
			t.Errorf("after the first success, a trigger was flushed at %v", last)
		}
	})
}

func TestAFlushThatIsDueByTheClockRunsSoonAfterASuspend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		p := pacer.New(rhythm)
		var suspended atomic.Int64 // for how long
		p.Suspend(func() time.Duration { return time.Duration(suspended.Load()) })
		start := time.Now()
		var flushes []time.Duration
		go p.Run(ctx, func(context.Context) (pacer.Result, error) {
			flushes = append(flushes, time.Since(start))
			if len(flushes) == 1 {
				return pacer.Result{Next: start.Add(2 * time.Hour)}, nil
			}
			return pacer.Result{}, nil
		})
		time.Sleep(10 * time.Minute)
		suspended.Store(int64(3 * time.Hour))
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if len(flushes) != 2 || flushes[1] > 10*time.Minute+30*time.Second {
			t.Errorf("flushed at %v of the timers' time, want it within 30 s of the suspend's end", flushes)
		}
	})
}

func TestForceWaitsNeitherForTheRhythmNorForARetry(t *testing.T) {
	run(t, func(n int) (pacer.Result, error) {
		if n > 1 && n < 8 {
			return pacer.Result{}, errors.New("no answer")
		}
		return pacer.Result{Acted: true}, nil
	}, func(h *harness) {
		h.waitUntil(10 * time.Second) // 20 s before the rhythm
		h.Force()
		h.waitUntil(60 * time.Second) // the next retry is at 73 s
		h.Force()
		h.waitUntil(100 * time.Second)
		s := time.Second
		h.want(t, 0, 10*s, 11*s, 13*s, 17*s, 25*s, 41*s, 60*s)
	})
}

func TestWithoutTriggersNothingIsFlushed(t *testing.T) {
	run(t, func(int) (pacer.Result, error) { return pacer.Result{}, nil }, func(h *harness) {
		h.waitUntil(24 * time.Hour)
		h.want(t, 0)
	})
}

func TestTheWaitsAfterFailuresHaveARandomPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var last time.Time
		var waits []time.Duration
		go pacer.New(rhythm).Run(ctx, func(context.Context) (pacer.Result, error) {
			if !last.IsZero() {
				waits = append(waits, time.Since(last))
			}
			last = time.Now()
			return pacer.Result{}, errors.New("no answer")
		})
		time.Sleep(time.Hour)
		synctest.Wait()
		random := false
		for i, wait := range waits {
			full := min(time.Second<<i, 5*time.Minute)
			if wait < full/2 || wait > full {
				t.Errorf("wait %d was %v, want %v to %v", i+1, wait, full/2, full)
			}
			random = random || wait != full
		}
		if len(waits) < 12 || !random {
			t.Errorf("the waits of an hour were %v, want at least 12 with a random part", waits)
		}
	})
}
