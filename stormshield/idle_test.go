package stormshield_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"notification-stormshield/appliance"
	"notification-stormshield/stormshield"
	"notification-stormshield/stormshield/blacklist"
	"notification-stormshield/stormshield/snstest"
)

// startIdle starts an appliance whose client leaves its session open between flushes, which are over the API alone.
func startIdle(t *testing.T, idle time.Duration, options ...func(*snstest.Options)) *harness {
	t.Helper()
	h := start(t, options...)
	config := configFor(t, h.Sim)
	config.SessionIdle = idle
	h.Client, h.OverAPI = stormshield.New(config), true
	t.Cleanup(h.Client.LogOut)
	return h
}

// flushOne blocks the ith address.
func (h *harness) flushOne(i int) {
	h.T.Helper()
	h.MustFlush(addresses(i + 1)[i:], nil, false)
}

func (h *harness) wantLogins(n int) {
	h.T.Helper()
	if s := h.Sim.Stats(); s.APILoginsOK != n || s.APILoginsFailed > 0 {
		h.T.Errorf("%d logins, and %d failed; want %d and 0", s.APILoginsOK, s.APILoginsFailed, n)
	}
}

// wantNoSession waits until no session is open.
func (h *harness) wantNoSession() {
	h.T.Helper()
	for began := time.Now(); h.Sim.Stats().SessionsOpen > 0; time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > time.Minute {
			h.T.Fatal("a session stays open")
		}
	}
}

func TestElevenFlushesInAnOpenSessionTakeOneLogin(t *testing.T) {
	t.Parallel()
	cost := func(idle time.Duration) int64 {
		h := startIdle(t, idle)
		h.Sim.AdminTakesModify()
		for i := range 10 {
			h.flushOne(i)
			if held, _ := h.Sim.MonitorHeld(); held {
				t.Error("the monitor right is held between flushes")
			}
		}
		h.MustFlush(nil, addresses(1), false)
		h.Client.LogOut()
		h.WantBlacklist()
		if !h.Sim.AdminHoldsModify() {
			t.Error("the administrator lost the configuration right")
		}
		s := h.Sim.Stats()
		t.Logf("idle %s: %d logins, %d connections, %d requests, %d B", idle, s.APILoginsOK, s.APIConnections, s.APIRequests, s.APIBytesIn+s.APIBytesOut)
		want := 11
		if idle > 0 {
			want = 1
		}
		h.wantLogins(want)
		if s.APIConnections != want {
			t.Errorf("%d connections, want %d", s.APIConnections, want)
		}
		return s.APIBytesIn + s.APIBytesOut
	}
	if open, each := cost(time.Minute), cost(0); open > each/2 {
		t.Errorf("flushes in one session took %d bytes, flushes with a login each %d", open, each)
	}
}

func TestAnIdleSessionLogsOut(t *testing.T) {
	t.Parallel()
	h := startIdle(t, 50*time.Millisecond)
	h.flushOne(0)
	h.wantNoSession()
	h.flushOne(1)
	h.wantNoSession()
	h.wantLogins(2)
	h.WantBlacklist()
}

func TestAFlushLogsInOnceIfTheApplianceEndedTheSession(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		end    func(*snstest.Appliance)
		logins int
	}{
		"the administrator ended it": {(*snstest.Appliance).EndSessions, 2},
		"the appliance restarted":    {(*snstest.Appliance).Reboot, 2},
		"it expired":                 {failOnce(204, 0), 2},
		"it was idle":                {failOnce(0, 203), 2},
		"serverd ended":              {failOnce(502, 0), 2},
		"only the connection ended": {func(a *snstest.Appliance) {
			a.SetFaults(func(f *snstest.Faults) { f.APIRefuse = true })
			a.SetFaults(func(f *snstest.Faults) { f.APIRefuse = false })
		}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := startIdle(t, time.Minute)
			h.flushOne(0)
			c.end(h.Sim)
			h.flushOne(1)
			// A command that is sent before the client notices the end of the connection is not sent again. Then the flush logs in.
			if name != "only the connection ended" || h.Sim.Stats().APILoginsOK != 2 {
				h.wantLogins(c.logins)
			}
			if _, ok := h.Sim.BlockedPrefix(addresses(2)[1]); !ok {
				t.Error("the second flush blocked nothing")
			}
			h.Client.LogOut()
			h.wantNoSession()
		})
	}
}

// failOnce answers the next command with a root code or a ret.
func failOnce(root, ret int) func(*snstest.Appliance) {
	return func(a *snstest.Appliance) {
		var once sync.Once
		a.SetFaults(func(f *snstest.Faults) {
			f.Answer = func(string) (rootCode, serverdRet int) {
				once.Do(func() { rootCode, serverdRet = root, ret })
				return rootCode, serverdRet
			}
		})
	}
}

func TestARefusedLoginAfterTheEndOfASessionIsTriedOnce(t *testing.T) {
	t.Parallel()
	h := startIdle(t, time.Minute)
	h.flushOne(0)
	h.Sim.SetPassword("another")
	h.Sim.EndSessions()
	_, err := h.Flush(addresses(2)[1:], nil, false)
	if s := h.Sim.Stats(); !errors.As(err, new(*appliance.LoginError)) || s.APILoginsFailed != 1 {
		t.Errorf("%d failed logins, and the error %v", s.APILoginsFailed, err)
	}
}

func TestAFlushThatFailsLeavesNoSessionOpen(t *testing.T) {
	t.Parallel()
	h := startIdle(t, time.Minute)
	h.flushOne(0)
	h.Sim.SetFaults(func(f *snstest.Faults) { f.Ret = map[string]int{"MONITOR ADDRESSLIST": 202} })
	if _, err := h.Flush(addresses(2)[1:], nil, false); err == nil {
		t.Error("the flush did not fail")
	}
	h.wantNoSession()
}

// A session sees the files as they were when it was opened.
func TestASessionOfAnEarlierFlushIsNotUsedForTheGroupOrARange(t *testing.T) {
	t.Parallel()
	h := startIdle(t, time.Minute)
	h.flushOne(0)
	mine, written := h.Client, append(addresses(6)[1:], prefixes("203.0.113.0/24")...)
	h.Client, h.OverAPI = stormshield.New(configFor(t, h.Sim)), false
	h.MustFlush(append(written, addresses(1)...), nil, false)
	other, err := h.Client.OpenMonitor(t.Context())
	if err == nil {
		err = blacklist.Unblock(t.Context(), other, "Crowdsec")
		stormshield.Release(t.Context(), other)
	}
	if n := h.Sim.BlacklistLen(); err != nil || n > 0 {
		t.Fatalf("%d entries stay (%v)", n, err)
	}
	h.Client, h.OverAPI = mine, true
	h.MustFlush(nil, nil, true)
	if n := h.Sim.Stats().SessionsOpen; n != 1 {
		t.Errorf("%d sessions are open, want the latest one alone", n)
	}
	h.Client.LogOut()
	h.WantInForce()

	h.flushOne(7)
	h.Client, h.OverAPI = stormshield.New(configFor(t, h.Sim)), false
	h.MustFlush(prefixes("198.51.100.0/24"), nil, false)
	h.Client, h.OverAPI = mine, true
	h.MustFlush(addresses(9)[8:], prefixes("198.51.100.0/24"), false) // it blocks first, in the session of the earlier flush
	h.Client.LogOut()
	h.WantInForce()
}

func TestAnIdleSessionHasOneUserAtATime(t *testing.T) {
	t.Parallel()
	h := startIdle(t, time.Millisecond)
	stop := make(chan struct{})
	var leaving sync.WaitGroup
	leaving.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				h.Client.LogOut()
			}
		}
	})
	for i := range 50 {
		h.flushOne(i)
	}
	close(stop)
	leaving.Wait()
	h.Client.LogOut()
	h.WantBlacklist()
}

func TestLongAFlushLogsInIfTheOpenSessionHangs(t *testing.T) {
	t.Parallel()
	h := startIdle(t, time.Minute)
	h.flushOne(0)
	h.Sim.SetFaults(func(f *snstest.Faults) { f.APIHang = true })
	timer := time.AfterFunc(7*time.Second, func() { h.Sim.SetFaults(func(f *snstest.Faults) { f.APIHang = false }) })
	defer timer.Stop()
	h.flushOne(1)
	h.wantLogins(2)
	h.Client.LogOut()
	h.WantBlacklist()
}
