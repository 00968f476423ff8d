package torture

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"notification-stormshield/plugin/plugintest"
)

// work is the main change of a flush.
type work int

const (
	blocks work = iota
	unblocks
	reasserts
	reassertsByItself // on time, and nobody asks for it
	changesSSH        // a configuration with or without credentials for SSH replaces the other
	changesWay        // a configuration with another way to enforce replaces the other
)

// killedFlush is a kind of flush in which the plugin is killed.
type killedFlush struct {
	name   string
	work   work
	bans   int
	ranges bool // some of the bans are ranges
}

// api_single_max is 16: the plugin blocks and unblocks more bans by the group. Flushes without ranges and with fewer bans leave the files
// as they are, and so do re-asserts of files that do not differ.
var (
	killedFlushes = []killedFlush{
		{"blocks addresses over the API", blocks, 3, false},
		{"blocks addresses and ranges one by one", blocks, 6, true},
		{"blocks by the group", blocks, 20, true},
		{"unblocks addresses and ranges over the API", unblocks, 6, true},
		{"unblocks by the group", unblocks, 20, true},
		{"blocks everything again", reasserts, 20, true},
		{"blocks everything again over the API", reassertsByItself, 20, true},
		{"loses the credentials for SSH", changesSSH, 6, true},
	}
	killedFlushesWithoutSSH = []killedFlush{
		{"blocks addresses without SSH", blocks, 3, false},
		{"unblocks addresses without SSH", unblocks, 3, false},
		{"blocks missing addresses without SSH", reassertsByItself, 3, false},
		{"gets the credentials for SSH", changesSSH, 6, false},
	}
	killedFlushesByRule = []killedFlush{
		{"adds members to the running rule", blocks, 6, true},
		{"takes members from the running rule", unblocks, 6, true},
		{"enforces in another way", changesWay, 6, true},
	}
)

// lanes is the number of tries that share the steps of one kind of flush.
const lanes = 4

// killedLanes is the number of tries for all steps of all kinds.
var (
	killedLanes           = lanes * len(killedFlushes)
	killedLanesWithoutSSH = lanes * len(killedFlushesWithoutSSH)
	killedLanesByRule     = lanes * len(killedFlushesByRule)
)

// After the last step the plugin records the outcome. It is killed at this many
// moments there, each a little later.
const (
	momentsAfter = 8
	later        = 2 * time.Millisecond
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

// endsWhileAway kills the plugin at each step of a flush in turn, and starts it
// again when every ban has ended. Then no entry and no object may be left. A try
// does every step of its lane.
func endsWhileAway(t *try) {
	kinds := killedFlushes
	switch {
	case t.withoutSSH:
		kinds = killedFlushesWithoutSSH
	case t.byRule:
		kinds = killedFlushesByRule
	}
	kind, all := kinds[t.choose(len(kinds))], lanes*len(kinds)
	lane := t.choose(all) / len(kinds)
	if !t.Short && kind.bans > 16 {
		kind.bans = 100
	}
	h, s := newCountedHarness(t)
	h.expected.grace = 0
	if !t.Short && t.choose(2*all) >= all {
		h.RemoveAwk()
	}
	if kind.work == reassertsByItself {
		h.reassertEvery(shortestReassert)
	}
	if t.byRule { // no step is a wait for the next activation
		h.reconfigure(func(c *plugintest.Configuration) { c.Rule.ActivateEvery = activateEvery[0] })
	}
	h.firstFlush(s)
	last := 0
	for step := 1 + lane; last == 0 && !t.Failed(); step += lanes {
		last = h.killAndEnd(s, kind, moment{step, -1})
	}
	for after := lane; after < momentsAfter && !t.Failed(); after += lanes {
		h.killAndEnd(s, kind, moment{last, time.Duration(after) * later})
	}
}

// firstFlush waits for the first flush, which has steps that no other has.
func (h *harness) firstFlush(s *steps) {
	end := time.Now().Add(8 * time.Second)
	h.ban(time.Until(end), h.drawAddresses(1)...)
	h.pause(time.Until(end))
	h.waitForQuiet(s)
	h.settle()
}

var errMissedFlush = errors.New("the bans ended before their flush: this machine is too slow")

// killAndEnd kills the plugin at a moment of a flush, and starts it again when
// every ban has ended. It returns the number of steps of the flush, or 0 if the
// flush was not complete.
func (h *harness) killAndEnd(s *steps, kind killedFlush, at moment) (last int) {
	h.tries++
	shortest := 2 * time.Second
	if kind.work == reassertsByItself {
		shortest += 3*time.Second + shortestReassert
	}
	way := h.Configuration.Enforce
	for duration := shortest; ; duration *= 2 {
		last, err := h.killWithin(s, kind, at, duration)
		missed := errors.Is(err, errMissedFlush)
		if err != nil && (!missed || duration > time.Minute) {
			h.Fatalf("a flush that %s: %v: %s", kind.name, err, h.tail())
		}
		h.restart()
		h.waitForQuiet(s)
		h.settleAfter(fmt.Sprintf("a kill %s of a flush that %s, and the end of all bans", at, kind.name))
		if kind.work == changesSSH { // back to the credentials of the try
			h.setWithoutSSH(h.withoutSSH)
			h.must(h.Plugin.Configure(h.ctx, h.Configuration.YAML()))
			h.ban(shortest, h.drawAddresses(1)...) // the flush after it removes what the files still name
			h.settleAfter("a second change of the credentials for SSH")
		}
		if kind.work == changesWay {
			h.must(h.enforce(way))
			h.settleAfter("a second change of the way to enforce")
		}
		if h.Failed() || !missed {
			return last
		}
	}
}

// killWithin causes a flush about bans of a duration, and kills the plugin in it.
// It returns when the bans have ended.
func (h *harness) killWithin(s *steps, kind killedFlush, at moment, duration time.Duration) (last int, err error) {
	clear(h.expected.until) // no ban that has ended may come back
	clear(h.expected.unconfirmed)
	bans, from := kind.draw(h), h.Plugin.Log().Len()
	end := time.Now().Add(duration)
	if kind.work != blocks {
		h.ban(duration, bans...)
		if err = h.waitForFlush(s, killedFlush{work: blocks}, moment{after: -1}, from, end); err != nil {
			return 0, err
		}
		from = h.Plugin.Log().Len()
	}
	h.killed = true // the plugin may be dead from here on
	if at.after < 0 {
		err = s.arm(at.step, h.Plugin.PID())
	} else {
		err = s.arm(0, 0)
	}
	if err != nil {
		return 0, err
	}
	stop, until := func() {}, end
	switch kind.work {
	case blocks:
		_ = h.tryBan(duration, bans...) // a plugin that is killed meanwhile may not answer
	case unblocks:
		until = end.Add(duration)
	case reasserts:
		stop = h.startFlushCommand()
	case reassertsByItself:
		h.Appliance.Reboot()
	case changesSSH:
		h.setWithoutSSH(!h.withoutSSH)
		_ = h.Plugin.Configure(h.ctx, h.Configuration.YAML()) // the plugin may be killed meanwhile
	case changesWay:
		_ = h.enforce(ways[(slices.Index(ways, h.Configuration.Enforce)+1+h.random.IntN(2))%len(ways)])
	}
	err = h.waitForFlush(s, kind, at, from, until)
	stop()
	if err == nil && !h.Plugin.Exited() {
		last = s.count()
	}
	h.kill()
	return last, errors.Join(err, s.arm(0, 0), plugintest.Pause(h.ctx, time.Until(end.Add(200*time.Millisecond))))
}

// startFlushCommand runs the command flush until the caller calls stop.
func (h *harness) startFlushCommand() (stop func()) {
	ctx, cancel := context.WithCancel(h.ctx)
	var running sync.WaitGroup
	running.Go(func() { _, _ = h.command(ctx, nil, "flush") }) // the plugin may be killed meanwhile
	return func() {
		cancel()
		running.Wait()
	}
}

// draw draws the bans of a flush.
func (k killedFlush) draw(h *harness) (drawn []netip.Prefix) {
	if k.ranges {
		drawn = h.expected.drawKind(h.random, 2, true)
	}
	return append(drawn, h.drawAddresses(k.bans-len(drawn))...)
}

// waitForFlush waits until the plugin has flushed or was killed, and kills it
// some time after a step.
func (h *harness) waitForFlush(s *steps, kind killedFlush, at moment, from int, until time.Time) error {
	interval := 5 * time.Millisecond
	if at.after >= 0 {
		interval = time.Millisecond / 2
	}
	for !h.Plugin.Exited() && !kind.isIn(h.Plugin.Log().Since(from)) {
		if at.after >= 0 && s.count() >= at.step {
			err := plugintest.Pause(h.ctx, at.after)
			h.kill()
			return err
		}
		if time.Now().After(until) {
			return errMissedFlush
		}
		if err := plugintest.Pause(h.ctx, interval); err != nil {
			return err
		}
	}
	return nil
}

// isIn reports whether one of the lines is about a flush of this kind.
func (k killedFlush) isIn(lines []plugintest.Line) bool {
	for _, l := range lines {
		switch {
		case !l.IsFlush():
		case k.work == blocks && l.Int("added") > 0, k.work == unblocks && l.Int("removed") > 0,
			k.work == reasserts && l.UsedSSH() && l.Reasserted(), k.work == reassertsByItself && !l.UsedSSH() && l.Reasserted(),
			k.work == changesSSH, k.work == changesWay:
			return true
		}
	}
	return false
}

// waitForQuiet waits until the plugin does nothing, so that the next step is the
// first of the next flush.
func (h *harness) waitForQuiet(s *steps) {
	const young, quiet = 3 * time.Second, 300 * time.Millisecond // a younger process does not flush
	count, since := s.count(), h.Plugin.Started().Add(young)
	for time.Since(since) < quiet {
		h.pause(10 * time.Millisecond)
		if n := s.count(); n != count {
			count, since = n, time.Now()
		}
	}
}
