package enforcer_test

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"notification-stormshield/appliance"
	"notification-stormshield/plugin/ban"
	"notification-stormshield/plugin/enforcer"
	"notification-stormshield/plugin/ledger"
	"notification-stormshield/plugin/lockout"
	"notification-stormshield/plugin/pacer"
)

// harness is a ledger and an appliance in a synctest bubble.
type harness struct {
	t      *testing.T
	ledger *ledger.Ledger
	fw     *firewall
	log    *logBuffer
	dir    string
	start  time.Time
}

// logBuffer keeps the log.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func runTest(t *testing.T, test func(h *harness)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l, err := ledger.Open(context.Background(), filepath.Join(dir, "test.db"))
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		test(&harness{t: t, ledger: l, fw: newFirewall(), log: new(logBuffer), dir: dir, start: time.Now()})
	})
}

// startEnforcer starts an enforcer. The function that it returns ends it.
func (h *harness) startEnforcer(change func(c *enforcer.Config)) (*enforcer.Enforcer, func()) {
	c := enforcer.Config{
		Appliance: h.fw, Ledger: h.ledger, Target: ledger.Target{Group: "Crowdsec", DeleteGroup: "Gone"}, Lockout: lockout.File{Path: filepath.Join(h.dir, "test.lockout")},
		Rhythm:   pacer.Rhythm{Every: 30 * time.Second, Debounce: time.Second},
		Reassert: 10 * time.Minute, EntryLife: h.fw.life, MaxBans: 1000, SingleMax: h.fw.singleMax, Credentials: "secret",
		Filter: func() ban.Filter { return ban.Filter{} },
		Log:    hclog.New(&hclog.LoggerOptions{Output: h.log, DisableTime: true}),
	}
	if change != nil {
		change(&c)
	}
	e := enforcer.New(c)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		e.Run(ctx)
	}()
	synctest.Wait()
	return e, func() {
		cancel()
		<-ended
	}
}

func (h *harness) waitUntil(since time.Duration) {
	time.Sleep(time.Until(h.start.Add(since)))
	synctest.Wait()
}

func (h *harness) ban(address string, d time.Duration) {
	h.t.Helper()
	addr := netip.MustParseAddr(address)
	b := ban.Decision{Prefix: netip.PrefixFrom(addr, addr.BitLen()), RangeBits: addr.BitLen(), Type: "ban", Until: time.Now().Add(d)}
	if _, err := h.ledger.Record(context.Background(), []ban.Decision{b}, time.Now(), 1000); err != nil {
		h.t.Fatal(err)
	}
}

func (h *harness) want(when string, addresses ...string) {
	h.t.Helper()
	if got := h.fw.blocked(); !slices.Equal(got, addresses) {
		h.t.Errorf("%s: blocked %v, want %v", when, got, addresses)
	}
}

func TestABanIsBlockedAfterTheDebounceAndUnblockedAtItsEnd(t *testing.T) {
	runTest(t, func(h *harness) {
		e, end := h.startEnforcer(nil)
		defer end()
		h.waitUntil(100 * time.Second)
		h.ban("203.0.113.7", 50*time.Second)
		e.Trigger()
		h.waitUntil(100*time.Second + 999*time.Millisecond)
		h.want("before the debounce ends")
		h.waitUntil(101 * time.Second)
		h.want("afterwards", "203.0.113.7")
		h.waitUntil(149 * time.Second)
		h.want("before the end", "203.0.113.7")
		h.waitUntil(150 * time.Second)
		h.want("at the end")
	})
}

func TestTheWaitOfANewBanIsReportedOnce(t *testing.T) {
	runTest(t, func(h *harness) {
		var waits []time.Duration
		e, end := h.startEnforcer(func(c *enforcer.Config) {
			c.OnBlocked = func(some []time.Duration) { waits = append(waits, some...) }
		})
		h.waitUntil(time.Minute)
		h.ban("203.0.113.7", 100*time.Hour)
		e.Trigger()
		h.waitUntil(25 * time.Minute) // two re-asserts
		end()
		if !slices.Equal(waits, []time.Duration{time.Second}) { // the debounce
			t.Errorf("waits %v, want 1s", waits)
		}
	})
}

func TestAnIdlePluginDoesNotFlush(t *testing.T) {
	runTest(t, func(h *harness) {
		_, end := h.startEnforcer(nil)
		defer end()
		h.waitUntil(2 * time.Hour)
		if n := h.fw.count(); n != 1 {
			t.Errorf("%d flushes in two hours without a ban, want only the first", n)
		}
	})
}

func TestBansInForceAreReassertedOnTime(t *testing.T) {
	runTest(t, func(h *harness) {
		e, end := h.startEnforcer(nil)
		defer end()
		h.ban("203.0.113.7", 100*time.Hour)
		e.Trigger()
		h.waitUntil(5 * time.Minute)
		h.fw.set(func() { clear(h.fw.entries) }) // the appliance was rebooted
		h.waitUntil(11 * time.Minute)
		h.want("after the next re-assert", "203.0.113.7")
		before := h.fw.count()
		h.waitUntil(71 * time.Minute)
		if n := h.fw.count() - before; n != 6 {
			t.Errorf("%d flushes in an hour, want 6", n)
		}
	})
}

func TestAFailedFlushIsTriedAgainAndLosesNothing(t *testing.T) {
	runTest(t, func(h *harness) {
		e, end := h.startEnforcer(nil)
		defer end()
		h.waitUntil(time.Minute)
		h.fw.set(func() { h.fw.fail = errors.New("connection to port 1234 refused") })
		h.ban("203.0.113.7", 30*time.Minute)
		e.Trigger()
		h.waitUntil(20 * time.Minute)
		h.want("while the appliance is away")
		if n := strings.Count(h.log.String(), "refused"); n > 3 {
			t.Errorf("the same error was logged %d times in 19 minutes:\n%s", n, h.log)
		}
		if !strings.Contains(h.log.String(), "failures=") {
			t.Errorf("the error was not logged again with a count:\n%s", h.log)
		}
		h.fw.set(func() { h.fw.fail = nil })
		h.waitUntil(26 * time.Minute)
		h.want("when the appliance answers again", "203.0.113.7")
		if !strings.Contains(h.log.String(), "flushes succeed again") {
			t.Errorf("the log does not report the success after the failures:\n%s", h.log)
		}
		h.waitUntil(32 * time.Minute)
		h.want("after its end")
	})
}

func TestARefusedBanDelaysNoOther(t *testing.T) {
	runTest(t, func(h *harness) {
		e, end := h.startEnforcer(nil)
		defer end()
		h.waitUntil(time.Minute)
		h.fw.set(func() { h.fw.refuses = map[netip.Prefix]bool{single("2001:db8::7"): true} })
		h.ban("2001:db8::7", time.Hour)
		e.Trigger()
		h.waitUntil(2 * time.Minute)
		h.ban("203.0.113.7", 20*time.Minute)
		e.Trigger()
		h.waitUntil(2*time.Minute + 2*time.Second)
		h.want("a moment after its alert", "203.0.113.7")
		h.waitUntil(9 * time.Minute)
		s, err := h.ledger.Status(context.Background(), time.Now())
		if err != nil || s.Trouble.Text != "does not take a ban" || time.Since(s.Trouble.Since) < 7*time.Minute || s.ToBlock != 1 {
			t.Errorf("status says %+v, %v", s, err)
		}
		if n := strings.Count(h.log.String(), "does not take"); n != 1 {
			t.Errorf("the log has this line %d times:\n%s", n, h.log)
		}
		h.fw.set(func() { h.fw.refuses = nil })
		h.waitUntil(19 * time.Minute)
		h.want("when the appliance accepts both", "2001:db8::7", "203.0.113.7")
		if s, err := h.ledger.Status(context.Background(), time.Now()); err != nil || s.Trouble.Count != 0 {
			t.Errorf("status says %+v, %v", s, err)
		}
	})
}

func TestTheAcknowledgedPartOfAFailedFlushIsNotSentAgain(t *testing.T) {
	runTest(t, func(h *harness) {
		e, end := h.startEnforcer(nil)
		defer end()
		h.waitUntil(time.Minute)
		h.fw.set(func() { h.fw.fault = failAt(afterBlocking) })
		h.ban("203.0.113.7", time.Hour)
		e.Trigger()
		h.waitUntil(70 * time.Second)
		h.fw.set(func() { h.fw.fault = nil })
		h.waitUntil(5 * time.Minute)
		var blocked int
		for _, c := range h.fw.changes {
			blocked += len(c.Block)
		}
		if blocked != 1 {
			t.Errorf("one ban was blocked %d times", blocked)
		}
		p, err := h.ledger.Plan(context.Background(), ledger.PlanOptions{Now: time.Now(), Renew: time.Now().Add(time.Hour)})
		if err != nil || p.HasPending() {
			t.Errorf("still pending: %+v, %v", p, err)
		}
	})
}

func TestAllProcessesTogetherTryOneLoginPerHoldOff(t *testing.T) {
	runTest(t, func(h *harness) {
		h.fw.fail = &appliance.LoginError{Err: errors.New("AUTH_FAILED")}
		for i := range 60 { // a process a minute, as after many restarts
			e, end := h.startEnforcer(nil)
			h.ban("203.0.113.7", 5*time.Hour)
			e.Trigger()
			h.waitUntil(time.Duration(i+1) * time.Minute)
			end()
		}
		if n := h.fw.count(); n != 2 { // at once, and after 30 minutes
			t.Errorf("%d logins were tried in an hour, want 2", n)
		}
		attempts := strings.Count(h.log.String(), "no further login is tried")
		if attempts == 0 {
			t.Errorf("the log does not name the hold-off:\n%s", h.log)
		}
		h.fw.set(func() { h.fw.fail = nil })
		e, end := h.startEnforcer(func(c *enforcer.Config) { c.Credentials = "corrected" })
		defer end()
		h.ban("203.0.113.8", 5*time.Hour)
		e.Trigger()
		h.waitUntil(61 * time.Minute)
		h.want("with a corrected configuration, at once", "203.0.113.7", "203.0.113.8")
	})
}

func TestOneProcessTriesOneLoginPerHoldOff(t *testing.T) {
	runTest(t, func(h *harness) {
		e, end := h.startEnforcer(nil)
		defer end()
		h.waitUntil(time.Minute)
		before := h.fw.count()
		h.fw.set(func() { h.fw.fail = &appliance.LoginError{Err: errors.New("AUTH_FAILED")} })
		h.ban("203.0.113.7", 100*time.Hour)
		e.Trigger()
		h.waitUntil(time.Minute + 4*time.Hour)
		// 0, 30 min, 1 h 30, 3 h 30
		if n := h.fw.count() - before; n != 4 {
			t.Errorf("%d attempts in four hours, want 4", n)
		}
	})
}

func TestATemporaryLoginFailureIsRetriedAfterAMinute(t *testing.T) {
	runTest(t, func(h *harness) {
		e, end := h.startEnforcer(nil)
		defer end()
		h.waitUntil(time.Minute)
		before := h.fw.count()
		h.fw.set(func() {
			h.fw.fail = &appliance.LoginError{Temporary: true, Hint: "it may be busy", Err: errors.New("ERR_BUSY")}
		})
		h.ban("203.0.113.7", 100*time.Hour)
		e.Trigger()
		h.waitUntil(time.Minute + 50*time.Second)
		if n := h.fw.count() - before; n != 1 {
			t.Errorf("%d attempts within a minute, want 1", n)
		}
		h.waitUntil(21 * time.Minute) // at 0, 1, 3, 7, 12, 17 min
		if n := h.fw.count() - before; n != 6 {
			t.Errorf("%d attempts within 20 minutes, want 6", n)
		}
		if n := strings.Count(h.log.String(), "no further login is tried"); n != 2 || !strings.Contains(h.log.String(), "it may be busy") {
			t.Errorf("the log has this line %d times in 20 minutes, want 2:\n%s", n, h.log)
		}
		h.fw.set(func() { h.fw.fail = nil })
		h.waitUntil(26 * time.Minute)
		h.want("when it is accepted", "203.0.113.7")
	})
}

func TestAHoldOffIsLoggedOnceAndRecordedAlsoByACancelledFlush(t *testing.T) {
	runTest(t, func(h *harness) {
		e, end := h.startEnforcer(nil)
		h.waitUntil(time.Minute)
		before := h.fw.count()
		ctx, cancel := context.WithCancel(context.Background())
		h.fw.set(func() {
			h.fw.fault = func(step) error {
				cancel()
				return &appliance.LoginError{Err: errors.New("AUTH_FAILED")}
			}
		})
		h.ban("203.0.113.7", 100*time.Hour)
		time.Sleep(123456789 * time.Nanosecond) // no whole millisecond
		if _, err := e.Flush(ctx); err != nil {
			t.Errorf("the flush says %v", err)
		}
		e.Trigger()
		h.waitUntil(5 * time.Minute)
		end()
		if n := strings.Count(h.log.String(), "no further login is tried"); n != 1 {
			t.Errorf("the log has this line %d times:\n%s", n, h.log)
		}
		if n := h.fw.count() - before; n != 1 {
			t.Errorf("%d logins, want 1", n)
		}
	})
}

// Nothing can be written to /dev/full, as to a disk that is full.
func TestAHoldOffCountsAlsoIfItCannotBeRecorded(t *testing.T) {
	runTest(t, func(h *harness) {
		h.fw.fail = &appliance.LoginError{Err: errors.New("AUTH_FAILED")}
		e, end := h.startEnforcer(func(c *enforcer.Config) { c.Lockout = lockout.File{Path: "/dev/full"} })
		defer end()
		h.ban("203.0.113.7", 5*time.Hour)
		e.Trigger()
		h.waitUntil(29 * time.Minute)
		if n := h.fw.count(); n != 1 {
			t.Errorf("%d logins in 29 minutes, want 1", n)
		}
		if s, err := h.ledger.Status(context.Background(), time.Now()); err != nil || !strings.Contains(s.Trouble.Text, "no space left") {
			t.Errorf("status says %+v, %v", s.Trouble, err)
		}
	})
}

func TestTheFirstFlushTakesOverTheBansOfAnEarlierInstallation(t *testing.T) {
	runTest(t, func(h *harness) {
		h.fw.blockByEarlierInstallation("203.0.113.50", "192.0.2.1")
		_, end := h.startEnforcer(func(c *enforcer.Config) {
			c.Filter = func() ban.Filter { return ban.Filter{NeverBlock: []netip.Prefix{single("192.0.2.1")}} }
		})
		defer end()
		h.waitUntil(time.Minute)
		h.want("at first", "203.0.113.50")
		h.waitUntil(4*time.Hour + time.Minute)
		h.want("after four hours")
	})
}

func TestATakenOverBanEndsWhenTheConfigurationProtectsIt(t *testing.T) {
	runTest(t, func(h *harness) {
		h.fw.blockByEarlierInstallation("203.0.113.50", "203.0.113.51")
		_, end := h.startEnforcer(nil)
		h.waitUntil(time.Minute)
		end()
		_, end = h.startEnforcer(func(c *enforcer.Config) {
			c.Filter = func() ban.Filter {
				return ban.Filter{Origins: []string{"CAPI"}, NeverBlock: []netip.Prefix{single("203.0.113.51")}}
			}
		})
		defer end()
		h.waitUntil(2 * time.Minute)
		h.want("with the new configuration", "203.0.113.50")
	})
}

func TestABanEndsWhenTheConfigurationProtectsIt(t *testing.T) {
	runTest(t, func(h *harness) {
		e, end := h.startEnforcer(nil)
		h.ban("203.0.113.7", time.Hour)
		e.Trigger()
		h.waitUntil(time.Minute)
		h.want("at first", "203.0.113.7")
		end()
		_, end = h.startEnforcer(func(c *enforcer.Config) {
			c.Filter = func() ban.Filter { return ban.Filter{NeverBlock: []netip.Prefix{single("203.0.113.7")}} }
		})
		defer end()
		h.waitUntil(2 * time.Minute)
		h.want("with the new configuration")
	})
}

func TestABanEndsWhenItsAddressBecomesOneOfThisMachine(t *testing.T) {
	runTest(t, func(h *harness) {
		own := new(ban.OwnAddresses)
		e, end := h.startEnforcer(func(c *enforcer.Config) { c.Filter = func() ban.Filter { return ban.Filter{Own: own} } })
		defer end()
		h.ban("203.0.113.7", time.Hour)
		h.ban("203.0.113.8", time.Hour)
		e.Trigger()
		h.waitUntil(time.Minute)
		h.want("at first", "203.0.113.7", "203.0.113.8")
		own.Set(map[netip.Addr]string{netip.MustParseAddr("203.0.113.7"): "an address of this machine"})
		e.ReapplyFilter()
		h.waitUntil(2 * time.Minute)
		h.want("with the new address", "203.0.113.8")
		if !strings.Contains(h.log.String(), "first=203.0.113.7") {
			t.Errorf("log:\n%s", h.log)
		}
	})
}

func TestAPanicDoesNotEndTheLoop(t *testing.T) {
	runTest(t, func(h *harness) {
		h.fw.panics = true
		e, end := h.startEnforcer(nil)
		defer end()
		h.ban("203.0.113.7", time.Hour)
		e.Trigger()
		h.waitUntil(10 * time.Second)
		h.fw.set(func() { h.fw.panics = false })
		h.waitUntil(time.Minute)
		h.want("afterwards", "203.0.113.7")
	})
}

func TestADryRunAcknowledgesNothing(t *testing.T) {
	runTest(t, func(h *harness) {
		e, end := h.startEnforcer(func(c *enforcer.Config) { c.Appliance = enforcer.DryRun(c.Log) })
		h.waitUntil(time.Minute)
		h.ban("203.0.113.7", time.Hour)
		e.Trigger()
		h.waitUntil(2 * time.Minute)
		if !strings.Contains(h.log.String(), "dry run") || h.fw.count() != 0 {
			t.Errorf("calls: %d, log:\n%s", h.fw.count(), h.log)
		}
		end()
		_, end = h.startEnforcer(nil)
		defer end()
		h.waitUntil(3 * time.Minute)
		h.want("after the dry run", "203.0.113.7")
	})
}
