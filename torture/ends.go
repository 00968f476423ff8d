package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"notification-stormshield/plugin/plugintest"
)

// work is what a flush does when the plugin is killed.
type work int

const (
	blocks work = iota
	unblocks
	reasserts
)

// killedFlush is a kind of flush that the plugin is killed in.
type killedFlush struct {
	name   string
	work   work
	bans   int
	ranges bool // some of the bans are ranges
}

// api_single_max is 16: more bans are blocked and unblocked by the group.
var killedFlushes = []killedFlush{
	{"blocks addresses one by one", blocks, 3, false},
	{"blocks addresses and ranges one by one", blocks, 6, true},
	{"blocks by the group", blocks, 20, true},
	{"unblocks addresses and ranges one by one", unblocks, 6, true},
	{"unblocks by the group", unblocks, 20, true},
	{"blocks everything again", reasserts, 20, true},
}

// lanes is how many tries share the steps of one kind of flush.
const lanes = 4

// killedLanes is how many tries take all steps of all kinds.
var killedLanes = lanes * len(killedFlushes)

// afterwards is how often the plugin is killed after the last step, each time a
// little later: it records the outcome then.
const (
	afterwards = 8
	later      = 2 * time.Millisecond
)

// moment is when the plugin is killed: right before a step, counted from 1, or
// some time after a step.
type moment struct {
	step  int
	after time.Duration // below 0: right before the step
}

func (m moment) String() string {
	if m.after < 0 {
		return fmt.Sprintf("right before step %d", m.step)
	}
	return fmt.Sprintf("%s after step %d", m.after, m.step)
}

// endsWhileAway kills the plugin at each step of a flush, one after the other,
// and starts it again when every ban has ended. Nothing may be left then. A try
// takes every lane-th step.
func endsWhileAway(ctx context.Context, t *trial) error {
	kind := killedFlushes[t.choose(len(killedFlushes))]
	lane := t.choose(killedLanes) / len(killedFlushes)
	if !t.short && kind.bans > 16 {
		kind.bans = 100
	}
	w, s, err := crashWorld(ctx, t)
	if err != nil {
		return err
	}
	defer s.remove()
	defer w.end()
	w.truth.after = 0
	if !t.short && t.choose(2*killedLanes) >= killedLanes {
		w.sendWholeFiles()
	}
	if err := w.firstFlush(ctx, s); err != nil {
		return err
	}
	last := 0
	for step := 1 + lane; last == 0; step += lanes {
		if last, err = w.killAndEnd(ctx, s, kind, moment{step, -1}); err != nil || t.found.any() {
			return err
		}
	}
	for after := lane; after < afterwards; after += lanes {
		if _, err := w.killAndEnd(ctx, s, kind, moment{last, time.Duration(after) * later}); err != nil || t.found.any() {
			return err
		}
	}
	return nil
}

// firstFlush has the plugin do its first flush, which has steps that no other has.
func (w *world) firstFlush(ctx context.Context, s *steps) error {
	end := time.Now().Add(8 * time.Second)
	w.mustBan(ctx, time.Until(end), w.truth.fresh(w.random, 1)...)
	if err := pause(ctx, time.Until(end)); err != nil {
		return err
	}
	if err := w.rest(ctx, s); err != nil {
		return err
	}
	return w.settle(ctx)
}

// errMissedFlush says that the bans ended before the flush that is about them.
var errMissedFlush = errors.New("the bans ended before their flush: this machine is too slow")

// killAndEnd kills the plugin at a moment of a flush, and starts it again when
// every ban has ended. It returns how many steps the flush had, or 0 if it did
// not come to its end.
func (w *world) killAndEnd(ctx context.Context, s *steps, kind killedFlush, at moment) (last int, err error) {
	w.found.tries++
	for lasting := 2 * time.Second; ; lasting *= 2 {
		last, err := w.killWithin(ctx, s, kind, at, lasting)
		missed := errors.Is(err, errMissedFlush)
		if err != nil && (!missed || lasting > 30*time.Second) {
			return 0, fmt.Errorf("a flush that %s: %w: %s", kind.name, err, w.tail())
		}
		if err := w.restart(ctx); err != nil {
			return 0, err
		}
		if err := w.rest(ctx, s); err != nil {
			return 0, err
		}
		if err := w.settleAfter(ctx, fmt.Sprintf("killed %s of a flush that %s, and all bans ended", at, kind.name)); err != nil || !missed {
			return last, err
		}
	}
}

// killWithin makes a flush about bans that last so long, and kills the plugin
// in it. It returns when the bans have ended.
func (w *world) killWithin(ctx context.Context, s *steps, kind killedFlush, at moment, lasting time.Duration) (last int, err error) {
	w.truth.forget() // none that has ended may come back
	bans, from := kind.draw(w), w.plugin.Log().Len()
	end := time.Now().Add(lasting)
	if kind.work != blocks {
		w.mustBan(ctx, lasting, bans...)
		if err = w.awaitFlush(ctx, s, killedFlush{work: blocks}, moment{after: -1}, from, end); err != nil {
			return 0, err
		}
		from = w.plugin.Log().Len()
	}
	w.killed = true // from here on it may be
	if at.after < 0 {
		err = s.arm(at.step, w.plugin.PID())
	} else {
		err = s.arm(0, 0)
	}
	if err != nil {
		return 0, err
	}
	stop, until := func() {}, end
	switch kind.work {
	case blocks:
		_ = w.ban(ctx, lasting, bans...) // killed meanwhile, it may not answer
	case unblocks:
		until = end.Add(lasting)
	case reasserts:
		stop = w.askForFlush(ctx)
	}
	err = w.awaitFlush(ctx, s, kind, at, from, until)
	stop()
	if err == nil && !w.plugin.Exited() {
		last = s.count()
	}
	w.kill()
	return last, errors.Join(err, s.arm(0, 0), pause(ctx, time.Until(end.Add(200*time.Millisecond))))
}

// askForFlush runs the command flush beside the plugin until stop is called.
func (w *world) askForFlush(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var asking sync.WaitGroup
	asking.Go(func() { _, _ = w.command(ctx, "flush") }) // the plugin may be killed meanwhile
	return func() {
		cancel()
		asking.Wait()
	}
}

// draw draws the bans of a flush.
func (k killedFlush) draw(w *world) (drawn []netip.Prefix) {
	for len(drawn) < k.bans {
		wantsRange := k.ranges && len(drawn) < 2
		if p := w.truth.fresh(w.random, 1)[0]; p.IsSingleIP() != wantsRange {
			drawn = append(drawn, p)
		}
	}
	return drawn
}

// awaitFlush waits until the plugin has flushed or was killed, and kills it some
// time after a step.
func (w *world) awaitFlush(ctx context.Context, s *steps, kind killedFlush, at moment, from int, until time.Time) error {
	look := 5 * time.Millisecond
	if at.after >= 0 {
		look = time.Millisecond / 2
	}
	for !w.plugin.Exited() && !kind.isIn(w.plugin.Log().Since(from)) {
		if at.after >= 0 && s.count() >= at.step {
			if err := pause(ctx, at.after); err != nil {
				return err
			}
			w.kill()
			return nil
		}
		if time.Now().After(until) {
			return errMissedFlush
		}
		if err := pause(ctx, look); err != nil {
			return err
		}
	}
	return nil
}

// isIn reports whether one of the lines is about a flush of this kind.
func (k killedFlush) isIn(lines []plugintest.Line) bool {
	for _, l := range lines {
		again, _ := l.Fields["reasserted"].(bool)
		switch {
		case l.Message != "flushed":
		case k.work == blocks && l.Int("added") > 0, k.work == unblocks && l.Int("removed") > 0, k.work == reasserts && again:
			return true
		}
	}
	return false
}

// rest waits until the plugin has nothing more to do, so that the steps from now
// on are those of the next flush.
func (w *world) rest(ctx context.Context, s *steps) error {
	const young, still = 3 * time.Second, 300 * time.Millisecond // a younger process does not flush
	count, since := s.count(), w.plugin.Started().Add(young)
	for time.Since(since) < still {
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return err
		}
		if n := s.count(); n != count {
			count, since = n, time.Now()
		}
	}
	return nil
}
