package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"notification-stormshield/plugin/plugintest"
)

// cost is what one flush cost.
type cost struct {
	begun, ended time.Time // the first connection, and when all was done

	wall           time.Duration
	sshUp, sshDown int64 // bytes, handshakes included; up is to the appliance
	apiUp, apiDown int64
	shellCPU       time.Duration // of the processes that the appliance's shell ran
	connections    int           // over SSH
	logins         int           // to the API
}

// ssh is all that went over SSH, in bytes.
func (c cost) ssh() int64 { return c.sshUp + c.sshDown }

// outcome is what a flush says it did.
type outcome struct {
	added, removed int
	reasserted     bool
}

// watched is where a flush is waited for: what happened before is of others.
type watched struct{ lines int }

// watch begins to count for the flush that comes next.
func (w *world) watch() watched {
	w.appliance.ResetStats()
	return watched{lines: w.plugin.Log().Len()}
}

// flush waits for the flush that comes next and measures it. One that does
// something else than it should is an error.
func (w *world) flush(ctx context.Context, from watched, want outcome) (cost, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errors.New("no flush came to its end"))
	defer cancel()
	for {
		s := w.appliance.Stats()
		if s.SSHConnections+s.APIConnections > 0 {
			break
		}
		if err := pause(ctx, time.Millisecond); err != nil {
			return cost{}, err
		}
	}
	begun := time.Now()
	end, err := w.plugin.Log().Wait(ctx, from.lines, func(l plugintest.Line) bool { return l.Message == "flushed" })
	if err != nil {
		return cost{}, err
	}
	w.rested = begun.Add(w.frequency)
	reasserted, _ := end.Fields["reasserted"].(bool)
	if got := (outcome{end.Int("added"), end.Int("removed"), reasserted}); got != want {
		return cost{}, fmt.Errorf("a flush did %+v instead of %+v: %s", got, want, end.Text)
	}
	s := w.appliance.Stats()
	return cost{
		begun: begun, ended: end.Received, wall: end.Received.Sub(begun),
		sshUp: s.SSHBytesIn, sshDown: s.SSHBytesOut, apiUp: s.APIBytesIn, apiDown: s.APIBytesOut,
		shellCPU: s.ShellCPU, connections: s.SSHConnections, logins: s.APILoginsOK,
	}, nil
}

// firstFlush lets the plugin reach the appliance, and waits until all that was
// received is blocked.
func (w *world) firstFlush(ctx context.Context) (cost, error) {
	from := w.watch()
	w.reachable(true)
	c, err := w.flush(ctx, from, outcome{added: w.banned, reasserted: w.banned > 0})
	if err != nil {
		return cost{}, err
	}
	return c, w.blocksAll()
}

// more bans so many addresses in one alert and measures their flush.
func (w *world) more(ctx context.Context, n int) (cost, error) {
	if err := w.rest(ctx); err != nil {
		return cost{}, err
	}
	from := w.watch()
	if _, err := w.ban(ctx, banFor, w.fresh.next(n)...); err != nil {
		return cost{}, err
	}
	c, err := w.flush(ctx, from, outcome{added: n, reasserted: true})
	if err != nil {
		return cost{}, err
	}
	return c, w.blocksAll()
}

// margin is how long before a ban's end its flush must be over, so that the
// flush at its end can be told from it.
const margin = 200 * time.Millisecond

// oneMoreAndItsEnd bans one address for a short time and measures two
// flushes: that of the ban, and that of its end. The second is not told of if
// it came too soon after the first.
func (w *world) oneMoreAndItsEnd(ctx context.Context, lasting time.Duration) (more, ended cost, told bool, err error) {
	if err := w.rest(ctx); err != nil {
		return more, ended, false, err
	}
	from, end := w.watch(), time.Now().Add(lasting)
	if _, err := w.ban(ctx, lasting, w.fresh.next(1)...); err != nil {
		return more, ended, false, err
	}
	if more, err = w.flush(ctx, from, outcome{added: 1}); err != nil {
		return more, ended, false, fmt.Errorf("one more ban: %w", err)
	}
	told = time.Until(end) > margin
	next := watched{lines: w.plugin.Log().Len()}
	if told {
		if err := w.blocksAll(); err != nil {
			return more, ended, false, err
		}
		next = w.watch()
	}
	w.banned--
	if ended, err = w.flush(ctx, next, outcome{removed: 1}); err != nil {
		return more, ended, false, fmt.Errorf("one ended ban: %w", err)
	}
	return more, ended, told, w.blocksAll()
}

// reassert has the plugin block everything anew, with nothing else to do: it
// is configured again on the state it has, with a reassert_every that is over
// by then, and with a long one afterwards.
func (w *world) reassert(ctx context.Context, asserted time.Time) (cost, error) {
	const often = 10 * time.Second // the shortest there is
	if err := pause(ctx, time.Until(asserted.Add(often))); err != nil {
		return cost{}, err
	}
	from := w.watch()
	if err := w.configure(ctx, func(c *plugintest.Configuration) { c.ReassertEvery = often }); err != nil {
		return cost{}, err
	}
	c, err := w.flush(ctx, from, outcome{reasserted: true})
	if err != nil {
		return cost{}, err
	}
	if err := w.configure(ctx, nil); err != nil {
		return cost{}, err
	}
	return c, w.blocksAll()
}

// blocksAll says what is wrong if the appliance blocks another number of
// addresses than are banned.
func (w *world) blocksAll() error {
	if n := w.appliance.BlacklistLen(); n != w.banned {
		return fmt.Errorf("after a flush the appliance blocks %s of %s", grouped(n), grouped(w.banned))
	}
	return nil
}
