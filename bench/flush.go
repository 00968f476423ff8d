package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"notification-stormshield/plugin/plugintest"
)

// cost is the cost of one flush.
type cost struct {
	begun, ended time.Time // the first connection, and the flush's line in the log

	wall           time.Duration
	sshUp, sshDown int64 // bytes, handshakes included; up is to the appliance
	apiUp, apiDown int64
	shellCPU       time.Duration // of the processes that the appliance's shell ran
	connections    int           // over SSH
	logins         int           // to the API
}

// ssh is the number of bytes over SSH in both directions.
func (c cost) ssh() int64 { return c.sshUp + c.sshDown }

// outcome is the result of a flush, by its line in the log.
type outcome struct {
	added, removed int
	reasserted     bool
}

// startCounting resets the appliance's counts. It returns the length of the log.
func (h *harness) startCounting() (logged int) {
	h.Appliance.ResetStats()
	return h.Plugin.Log().Len()
}

// flush waits for the next flush after a line of the log and measures it. Any
// outcome but the wanted one is an error.
func (h *harness) flush(ctx context.Context, logged int, want outcome) (cost, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errors.New("no flush was complete in time"))
	defer cancel()
	for {
		s := h.Appliance.Stats()
		if s.SSHConnections+s.APIConnections > 0 {
			break
		}
		if err := plugintest.Pause(ctx, time.Millisecond); err != nil {
			return cost{}, err
		}
	}
	begun := time.Now()
	end, err := h.Plugin.Log().Wait(ctx, logged, plugintest.Line.IsFlush)
	if err != nil {
		return cost{}, err
	}
	h.nextFlush = begun.Add(h.frequency)
	if got := (outcome{end.Int("added"), end.Int("removed"), end.Reasserted()}); got != want {
		return cost{}, fmt.Errorf("the outcome of a flush is %+v instead of %+v: %s", got, want, end.Text)
	}
	s := h.Appliance.Stats()
	return cost{
		begun: begun, ended: end.Received, wall: end.Received.Sub(begun),
		sshUp: s.SSHBytesIn, sshDown: s.SSHBytesOut, apiUp: s.APIBytesIn, apiDown: s.APIBytesOut,
		shellCPU: s.ShellCPU, connections: s.SSHConnections, logins: s.APILoginsOK,
	}, nil
}

// firstFlush opens the appliance's ports and measures the flush that blocks all
// bans.
func (h *harness) firstFlush(ctx context.Context) (cost, error) {
	logged := h.startCounting()
	h.SetReachable(true)
	c, err := h.flush(ctx, logged, outcome{added: h.banned, reasserted: h.banned > 0})
	if err != nil {
		return c, err
	}
	return c, h.checkBlacklist()
}

// flushOfBans bans addresses in one alert and measures their flush.
func (h *harness) flushOfBans(ctx context.Context, n int, byGroup bool) (c cost, prefixes []netip.Prefix, err error) {
	if err := h.waitForFrequency(ctx); err != nil {
		return c, nil, err
	}
	prefixes, logged := h.fresh.next(n), h.startCounting()
	if _, err := h.ban(ctx, banFor, prefixes...); err != nil {
		return c, nil, err
	}
	c, err = h.flush(ctx, logged, outcome{added: n, reasserted: byGroup})
	return c, prefixes, err
}

// margin is the least time between a flush and the end of its ban. A shorter time
// does not separate the two flushes.
const margin = 200 * time.Millisecond

// oneMoreAndItsEnd bans one address for a short time and measures two flushes:
// that of the ban, and that of its end. The second is not valid if it follows too
// soon on the first.
func (h *harness) oneMoreAndItsEnd(ctx context.Context, duration time.Duration) (more, ended cost, valid bool, err error) {
	if err = h.waitForFrequency(ctx); err != nil {
		return more, ended, false, err
	}
	logged, end := h.startCounting(), time.Now().Add(duration)
	if _, err = h.ban(ctx, duration, h.fresh.next(1)...); err != nil {
		return more, ended, false, err
	}
	if more, err = h.flush(ctx, logged, outcome{added: 1}); err != nil {
		return more, ended, false, fmt.Errorf("one more ban: %w", err)
	}
	logged = h.Plugin.Log().Len()
	if valid = time.Until(end) > margin; valid {
		if err = h.checkBlacklist(); err != nil {
			return more, ended, false, err
		}
		logged = h.startCounting()
	}
	h.banned--
	if ended, err = h.flush(ctx, logged, outcome{removed: 1}); err != nil {
		return more, ended, false, fmt.Errorf("one ended ban: %w", err)
	}
	return more, ended, valid, h.checkBlacklist()
}

// reassert measures a re-assert without other changes. It configures the plugin
// again with a short reassert_every that has passed, and afterwards with a long one.
func (h *harness) reassert(ctx context.Context, last time.Time) (c cost, err error) {
	const shortest = 10 * time.Second
	if err := plugintest.Pause(ctx, time.Until(last.Add(shortest))); err != nil {
		return c, err
	}
	logged := h.startCounting()
	if err := h.configure(ctx, func(c *plugintest.Configuration) { c.ReassertEvery = shortest }); err != nil {
		return c, err
	}
	if c, err = h.flush(ctx, logged, outcome{reasserted: true}); err != nil {
		return c, err
	}
	return c, errors.Join(h.configure(ctx, unchanged), h.checkBlacklist())
}

// checkBlacklist compares the number of entries with the number of bans.
func (h *harness) checkBlacklist() error {
	if n := h.Appliance.BlacklistLen(); n != h.banned {
		return fmt.Errorf("after a flush the appliance blocks %s of %s addresses", grouped(n), grouped(h.banned))
	}
	return nil
}
