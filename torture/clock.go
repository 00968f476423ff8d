package main

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"notification-stormshield/plugin/plugintest"
)

// badClock has the plugin stand still for a while, as on a machine that is
// suspended, while bans end and the appliance restarts. Then it has it find, at a start, that the clock was set by days: what
// its ledger says happened hours ahead, or long ago. And it sends alerts that
// are over already, or end in the year 9999.
func badClock(ctx context.Context, t *trial) error {
	w, err := newWorld(ctx, t)
	if err != nil {
		return err
	}
	defer w.end()
	if err := w.reconfigure(ctx, func(c *plugintest.Configuration) { c.ReassertEvery = 10 * time.Second }); err != nil {
		return err
	}
	w.mustBan(ctx, 100*24*time.Hour, w.truth.fresh(w.random, 5+w.random.IntN(40))...)
	w.alert(ctx, time.Now().Add(-2*time.Hour), time.Hour)
	w.alert(ctx, time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), time.Hour)
	w.alert(ctx, time.Now(), 290*365*24*time.Hour)
	if err := w.settle(ctx); err != nil {
		return err
	}
	if err := w.suspend(ctx); err != nil {
		return err
	}
	w.stop()
	// The clock moves by so much, seen from what was written until now.
	moved := time.Duration(w.random.IntN(6*24)-3*24) * time.Hour
	back := fmt.Sprint(-moved.Milliseconds())
	if err := w.inState(ctx,
		"UPDATE ban SET ends = ends + "+back+", since = since + "+back+", until = CASE until WHEN 0 THEN 0 ELSE until + "+back+" END, "+
			"expires = CASE WHEN expires > 1 THEN expires + "+back+" ELSE expires END",
		"UPDATE decision SET until = until + "+back,
		"UPDATE flushing SET flushed = flushed + "+back+", confirmed = confirmed + "+back+", asserted = asserted + "+back+", asserted_until = asserted_until + "+back,
	); err != nil {
		return err
	}
	for p, until := range w.truth.until {
		if until.Before(time.Now()) {
			delete(w.truth.until, p) // nobody remembers it, whatever the clock says
		} else {
			w.truth.until[p] = until.Add(-moved)
		}
	}
	w.appliance.Reboot() // only a re-assert blocks again what stood
	if err := w.start(ctx); err != nil {
		return err
	}
	w.mustBan(ctx, long, w.truth.fresh(w.random, 1+w.random.IntN(30))...)
	return w.settleAfter(ctx, fmt.Sprintf("the clock moved by %s", moved))
}

// suspend stops the plugin's process for some seconds in which bans end and the
// appliance forgets those that do not.
func (w *world) suspend(ctx context.Context) error {
	w.mustBan(ctx, 2*time.Second, w.truth.fresh(w.random, 1+w.random.IntN(20))...)
	if err := pause(ctx, time.Duration(w.random.IntN(2000))*time.Millisecond); err != nil {
		return err
	}
	if err := syscall.Kill(w.plugin.PID(), syscall.SIGSTOP); err != nil {
		return err
	}
	w.appliance.Reboot()
	paused := pause(ctx, time.Duration(3000+w.random.IntN(4000))*time.Millisecond)
	if err := errors.Join(paused, syscall.Kill(w.plugin.PID(), syscall.SIGCONT)); err != nil {
		return err
	}
	return w.settleAfter(ctx, "the machine was suspended")
}

// alert sends an alert of its own time.
func (w *world) alert(ctx context.Context, stop time.Time, lasting time.Duration) {
	prefixes := w.truth.fresh(w.random, 1)
	a := plugintest.Ban(lasting, prefixes...)
	a.StopAt = stop
	if err := w.plugin.Notify(ctx, notification, a.Text()); err != nil {
		w.found.other++
		w.found.notef("an alert of %s for %s was refused: %v", stop, lasting, err)
		return
	}
	w.truth.banned(prefixes, a.End())
}
