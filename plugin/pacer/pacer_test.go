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

// diary runs a pacer in a bubble and notes when it flushed, in time since the
// start.
type diary struct {
	*pacer.Pacer
	start   time.Time
	flushes []time.Duration
	answer  func(n int) (pacer.Result, error) // of the nth flush, from 1
}

func run(t *testing.T, r pacer.Rhythm, answer func(n int) (pacer.Result, error), story func(d *diary)) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		d := &diary{Pacer: pacer.New(r), start: time.Now(), answer: answer}
		go d.Run(ctx, func(context.Context) (pacer.Result, error) {
			d.flushes = append(d.flushes, time.Since(d.start))
			return d.answer(len(d.flushes))
		})
		synctest.Wait()
		story(d)
		synctest.Wait()
	})
}

// at waits until that time since the start.
func (d *diary) at(since time.Duration) {
	time.Sleep(time.Until(d.start.Add(since)))
	synctest.Wait()
}

func (d *diary) want(t *testing.T, want ...time.Duration) {
	t.Helper()
	if fmt.Sprint(d.flushes) != fmt.Sprint(want) {
		t.Errorf("flushed at %v, want %v", d.flushes, want)
	}
}

var usual = pacer.Rhythm{Every: 30 * time.Second, Debounce: time.Second}

func acts(int) (pacer.Result, error) { return pacer.Result{Acted: true}, nil }

func idleAtFirst(n int) (pacer.Result, error) { return pacer.Result{Acted: n > 1}, nil }

func TestALonePokeIsServedAfterTheDebounce(t *testing.T) {
	run(t, usual, idleAtFirst, func(d *diary) {
		d.at(100 * time.Second)
		d.Trigger()
		d.at(200 * time.Second)
		d.want(t, 0, 101*time.Second)
	})
}

func TestAStormCostsOneFlushPerRhythm(t *testing.T) {
	run(t, usual, acts, func(d *diary) {
		for i := range 1000 {
			d.at(100*time.Second + time.Duration(i)*100*time.Millisecond)
			d.Trigger()
		}
		d.at(300 * time.Second)
		d.want(t, 0, 130*time.Second, 160*time.Second, 190*time.Second, 220*time.Second)
	})
}

func TestASecondPokeWaitsForTheRhythm(t *testing.T) {
	run(t, usual, idleAtFirst, func(d *diary) {
		d.at(100 * time.Second)
		d.Trigger()
		d.at(105 * time.Second)
		d.Trigger()
		d.at(200 * time.Second)
		d.want(t, 0, 101*time.Second, 131*time.Second)
	})
}

func TestWhatIsDueWaitsForTheRhythmAlone(t *testing.T) {
	run(t, usual, func(n int) (pacer.Result, error) {
		if n == 4 {
			return pacer.Result{}, errors.New("no answer")
		}
		return pacer.Result{Acted: n > 1}, nil
	}, func(d *diary) {
		d.at(100 * time.Second)
		d.TriggerNow()
		d.at(105 * time.Second)
		d.TriggerNow()
		d.at(200 * time.Second)
		d.TriggerNow()
		d.at(200*time.Second + 500*time.Millisecond)
		d.TriggerNow() // does not hasten a retry
		d.at(300 * time.Second)
		d.want(t, 0, 100*time.Second, 130*time.Second, 200*time.Second, 201*time.Second)
	})
}

func TestAFlushThatFoundNothingToDoDelaysNobody(t *testing.T) {
	run(t, usual, func(int) (pacer.Result, error) { return pacer.Result{}, nil }, func(d *diary) {
		d.at(10 * time.Second)
		d.Trigger()
		d.at(12 * time.Second)
		d.Trigger()
		d.at(100 * time.Second)
		d.want(t, 0, 11*time.Second, 13*time.Second)
	})
}

func TestWhatIsDueByTheClockIsServedInTheRhythm(t *testing.T) {
	start := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // when every bubble's time starts
	run(t, usual, func(n int) (pacer.Result, error) {
		switch n {
		case 1:
			return pacer.Result{Next: start.Add(500 * time.Second)}, nil
		case 2:
			return pacer.Result{Acted: true, Next: start.Add(501 * time.Second)}, nil
		}
		return pacer.Result{Acted: true}, nil
	}, func(d *diary) {
		d.at(1000 * time.Second)
		d.want(t, 0, 500*time.Second, 530*time.Second)
	})
}

func TestAFailureIsTriedAgainWithGrowingWaitsAndThenByTheRhythm(t *testing.T) {
	run(t, usual, func(n int) (pacer.Result, error) {
		if n <= 11 {
			return pacer.Result{}, errors.New("no answer")
		}
		return pacer.Result{Acted: true}, nil
	}, func(d *diary) {
		d.at(2 * time.Second)
		d.Trigger() // does not hasten a retry
		d.at(2000 * time.Second)
		s := time.Second
		d.want(t, 0, 1*s, 3*s, 7*s, 15*s, 31*s, 63*s, 127*s, 255*s, 511*s, 811*s, 1111*s)
		d.Trigger()
		d.at(2010 * time.Second)
		if last := d.flushes[len(d.flushes)-1]; last != 2001*s {
			t.Errorf("after the first success, a poke was served at %v", last)
		}
	})
}

func TestWhatIsDueByTheClockIsServedSoonAfterASuspend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		p := pacer.New(usual)
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

func TestWhoeverHurriesWaitsNeitherForTheRhythmNorForARetry(t *testing.T) {
	run(t, usual, func(n int) (pacer.Result, error) {
		if n > 1 && n < 8 {
			return pacer.Result{}, errors.New("no answer")
		}
		return pacer.Result{Acted: true}, nil
	}, func(d *diary) {
		d.at(10 * time.Second) // 20 s before the rhythm
		d.Force()
		d.at(60 * time.Second) // the next retry is at 73 s
		d.Force()
		d.at(100 * time.Second)
		s := time.Second
		d.want(t, 0, 10*s, 11*s, 13*s, 17*s, 25*s, 41*s, 60*s)
	})
}

func TestNothingToDoMeansNoCalls(t *testing.T) {
	run(t, usual, func(int) (pacer.Result, error) { return pacer.Result{}, nil }, func(d *diary) {
		d.at(24 * time.Hour)
		d.want(t, 0)
	})
}
