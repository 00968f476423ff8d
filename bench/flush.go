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
	begun    time.Time // the first connection, or the first request in an open session
	wall     time.Duration
	api, ssh traffic
	took     time.Duration // as the plugin logs it: with what it records before and after
	shellCPU time.Duration // of the processes that the appliance's shell ran
}

// traffic is what a flush causes over one protocol.
type traffic struct {
	up, down            int64 // bytes, handshakes included; up is to the appliance
	connections, logins int
}

func (t traffic) bytes() int64 { return t.up + t.down }

// bytes is the number of bytes over both protocols.
func (c cost) bytes() int64 { return c.api.bytes() + c.ssh.bytes() }

// outcome is the result of a flush, by its line in the log.
type outcome struct {
	added, removed  int
	reasserted, ssh bool
}

// byGroup is the outcome of a flush that writes the files and blocks everything by the group.
func byGroup(added int) outcome { return outcome{added: added, reasserted: true, ssh: true} }

// startCounting resets the appliance's counts. It returns the length of the log.
func (h *harness) startCounting() (logged int) {
	h.Appliance.ResetStats()
	return h.Plugin.Log().Len()
}

// flush waits for the next flush after a line of the log and measures it. Any
// outcome but the wanted one is an error. Without SSH a flush ends after half a minute and
// the next one goes on, so the measurement ends with the flush after which every ban is blocked.
func (h *harness) flush(ctx context.Context, logged int, want outcome) (cost, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errors.New("no flush was complete in time"))
	defer cancel()
	for {
		s := h.Appliance.Stats()
		if s.SSHConnections+s.APIConnections+s.APIRequests > 0 {
			break
		}
		if err := plugintest.Pause(ctx, time.Millisecond); err != nil {
			return cost{}, err
		}
	}
	begun := time.Now()
	var got outcome // of all flushes together
	end, err := h.Plugin.Log().Wait(ctx, logged, func(l plugintest.Line) bool {
		if !l.IsFlush() {
			return false
		}
		got = outcome{got.added + l.Int("added"), got.removed + l.Int("removed"), got.reasserted || l.Reasserted(), got.ssh || l.Fields["ssh"] == true}
		return want.ssh || h.Appliance.BlacklistLen() == h.banned
	})
	if err != nil {
		return cost{}, err
	}
	if got != want {
		return cost{}, fmt.Errorf("the outcome of a flush is %+v instead of %+v: %s", got, want, end.Text)
	}
	h.nextFlush = begun.Add(h.frequency)
	if want.reasserted {
		h.reasserted = end.Received
	}
	s := h.Appliance.Stats()
	text, _ := end.Fields["took"].(string)
	took, err := time.ParseDuration(text)
	if err != nil {
		return cost{}, fmt.Errorf("%s: %w", end.Text, err)
	}
	return cost{
		begun: begun, wall: end.Received.Sub(begun), took: took, shellCPU: s.ShellCPU,
		api: traffic{s.APIBytesIn, s.APIBytesOut, s.APIConnections, s.APILoginsOK},
		ssh: traffic{s.SSHBytesIn, s.SSHBytesOut, s.SSHConnections, s.SSHAuthOK},
	}, h.checkBlacklist()
}

// firstFlush ends the dry run of the plugin and measures the flush that blocks all bans.
func (h *harness) firstFlush(ctx context.Context) (cost, error) {
	logged, want := h.startCounting(), byGroup(h.banned)
	switch {
	case h.way == withoutSSH:
		want = outcome{added: h.banned}
	case h.banned == 0:
		want = outcome{ssh: true}
	}
	if err := h.configure(ctx, unchanged); err != nil {
		return cost{}, err
	}
	return h.flush(ctx, logged, want)
}

// flushOfBans bans prefixes in one alert and measures their flush.
func (h *harness) flushOfBans(ctx context.Context, duration time.Duration, prefixes []netip.Prefix, want outcome) (cost, error) {
	if err := h.waitForFrequency(ctx); err != nil {
		return cost{}, err
	}
	logged := h.startCounting()
	if _, err := h.ban(ctx, duration, prefixes...); err != nil {
		return cost{}, err
	}
	return h.flush(ctx, logged, want)
}

// oneMore bans one address for a short time and measures its flush. oneEnded follows.
func (h *harness) oneMore(ctx context.Context) (cost, error) {
	const duration = 5 * time.Second // longer than the flush, and shorter than update_frequency
	c, err := h.flushOfBans(ctx, duration, h.fresh.next(1), outcome{added: 1})
	h.banned--
	h.beforeEnd = h.startCounting()
	return c, err
}

// oneEnded measures the flush of the end of that ban.
func (h *harness) oneEnded(ctx context.Context) (cost, error) {
	return h.flush(ctx, h.beforeEnd, outcome{removed: 1})
}

// oneRange bans a range for long and measures its flush.
func (h *harness) oneRange(ctx context.Context) (cost, error) {
	const bits = 24
	p, err := h.fresh.next(1)[0].Addr().Prefix(bits)
	if err != nil {
		return cost{}, err
	}
	return h.flushOfBans(ctx, banFor, []netip.Prefix{p}, outcome{added: 1, ssh: true})
}

// reassert measures a re-assert without other changes. It configures the plugin
// again with a short reassert_every that has passed, and afterwards with a long one.
func (h *harness) reassert(ctx context.Context, ssh bool) (c cost, err error) {
	const shortest = 10 * time.Second
	if err := plugintest.Pause(ctx, time.Until(h.reasserted.Add(shortest))); err != nil {
		return c, err
	}
	logged := h.startCounting()
	if err := h.configure(ctx, func(c *plugintest.Configuration) { c.ReassertEvery = shortest }); err != nil {
		return c, err
	}
	if c, err = h.flush(ctx, logged, outcome{reasserted: true, ssh: ssh}); err != nil {
		return c, fmt.Errorf("re-assert: %w", err)
	}
	return c, h.configure(ctx, unchanged)
}

// checkBlacklist compares the number of entries with the number of bans.
func (h *harness) checkBlacklist() error {
	if n := h.Appliance.BlacklistLen(); n != h.banned {
		return fmt.Errorf("after a flush the appliance blocks %s of %s addresses", grouped(n), grouped(h.banned))
	}
	return nil
}
