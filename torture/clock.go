package torture

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"notification-stormshield/plugin/plugintest"
)

// badClock suspends the plugin while bans end and the appliance restarts. Then it
// moves the clock by days between two processes: it moves the times in the ledger
// instead. It also sends alerts that have ended, or that end in the year 9999.
func badClock(t *try) {
	h := newHarness(t)
	h.reassertEvery(shortestReassert)
	h.ban(100*24*time.Hour, h.draw(5+h.random.IntN(40))...)
	h.alert(time.Now().Add(-2*time.Hour), time.Hour)
	h.alert(time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), time.Hour)
	h.alert(time.Now(), 290*365*24*time.Hour)
	h.settle()
	h.suspend()
	h.stop()
	moved := time.Duration(h.random.IntN(6*24)-3*24) * time.Hour
	back := fmt.Sprint(-moved.Milliseconds())
	h.must(h.changeState(
		"UPDATE ban SET ends = ends + "+back+", pending_since = pending_since + "+back+", until = CASE until WHEN 0 THEN 0 ELSE until + "+back+" END, "+
			"expires = CASE WHEN expires > 1 THEN expires + "+back+" ELSE expires END",
		"UPDATE decision SET until = until + "+back,
		"UPDATE flushing SET flushed = flushed + "+back+", confirmed = confirmed + "+back+", asserted = asserted + "+back+
			", asserted_until = asserted_until + "+back+", compared = CASE WHEN compared > 1 THEN compared + "+back+" ELSE compared END",
	))
	for p, until := range h.expected.until {
		if until.Before(time.Now()) {
			delete(h.expected.until, p) // it has ended, and the ledger has forgotten it
		} else {
			h.expected.until[p] = until.Add(-moved)
		}
	}
	h.Appliance.Reboot() // only a re-assert blocks the bans again
	h.must(h.start())
	h.ban(long, h.drawUpTo(30)...)
	h.settleAfter(fmt.Sprintf("the clock moved by %s", moved))
}

// suspend stops the plugin's process for some seconds. Meanwhile bans end, and
// the appliance restarts.
func (h *harness) suspend() {
	h.ban(2*time.Second, h.drawUpTo(20)...)
	h.pauseUpTo(2 * time.Second)
	h.must(syscall.Kill(h.Plugin.PID(), syscall.SIGSTOP))
	h.Appliance.Reboot()
	paused := plugintest.Pause(h.ctx, 3*time.Second+time.Duration(h.random.IntN(4000))*time.Millisecond)
	h.must(errors.Join(paused, syscall.Kill(h.Plugin.PID(), syscall.SIGCONT)))
	h.settleAfter("the machine was suspended")
}

// alert sends an alert of another time.
func (h *harness) alert(stop time.Time, duration time.Duration) {
	prefixes := h.draw(1)
	a := plugintest.Ban(duration, prefixes...)
	a.StopAt = stop
	if err := h.Plugin.Notify(h.ctx, h.Configuration.Name, a.Text()); err != nil {
		h.report(others, 1, "an alert of %s for %s was refused: %v", stop, duration, err)
		return
	}
	extend(h.expected.until, prefixes, a.End())
}
