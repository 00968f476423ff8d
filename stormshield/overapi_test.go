package stormshield_test

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"notification-stormshield/appliance"
	"notification-stormshield/stormshield"
	"notification-stormshield/stormshield/snstest"
)

// startOverAPI starts an appliance whose files list some bans. The next flushes work over the API.
func startOverAPI(t *testing.T, bans ...netip.Prefix) *harness {
	t.Helper()
	h := start(t)
	h.MustFlush(bans, nil, true)
	h.OverAPI = true
	h.Sim.ResetStats()
	return h
}

// startWithoutSSH starts an appliance whose client has no credentials for SSH.
func startWithoutSSH(t *testing.T, edits ...func(*stormshield.Config)) *harness {
	t.Helper()
	h := start(t)
	h.OverAPI = true
	config := configFor(t, h.Sim)
	config.WithoutSSH, config.SSH.Password = true, ""
	for _, edit := range edits {
		edit(&config)
	}
	h.Client = stormshield.New(config)
	return h
}

// wantOneAPILogin fails the test unless the client logged in once, and not over SSH, since the last ResetStats.
func (h *harness) wantOneAPILogin() {
	h.T.Helper()
	if s := h.Sim.Stats(); s.APILoginsOK != 1 || s.SSHConnections != 0 {
		h.T.Errorf("%d API logins and %d SSH connections, want 1 and 0", s.APILoginsOK, s.SSHConnections)
	}
}

// sent returns how many commands of the API contain a text.
func (h *harness) sent(text string) (n int) {
	for _, command := range h.Sim.Stats().APICommands {
		if strings.Contains(command, text) {
			n++
		}
	}
	return n
}

func TestAFlushWithoutFilesLogsInOnceAndLeavesTheFiles(t *testing.T) {
	t.Parallel()
	ended, renewed := prefixes("203.0.113.0/24"), prefixes("192.0.2.0/24")
	h := startOverAPI(t, slices.Concat(addresses(10), ended, renewed)...)
	object, groups, mark := h.Sim.Read("object"), h.Sim.Read("objectgroup"), h.Mark
	h.Sim.Reboot()
	done := h.MustFlush(slices.Concat(addresses(10)[1:], prefixes("192.0.2.1/32", "2001:db8::1/128"), renewed), append(addresses(1), ended...), false)
	h.wantOneAPILogin()
	if !bytes.Equal(h.Sim.Read("object"), object) || !bytes.Equal(h.Sim.Read("objectgroup"), groups) {
		t.Error("the flush changed the files")
	}
	if len(done.Blocked) != 12 || len(done.Unblocked) != 2 || done.Listed || !done.Compared.IsZero() || done.Mark != mark {
		t.Errorf("done: %+v", done)
	}
	h.WantInForce()
}

func TestAReassertWithoutFilesBlocksEverythingByTheGroup(t *testing.T) {
	t.Parallel()
	h := startOverAPI(t, append(addresses(50), prefixes("203.0.113.0/24")...)...)
	h.Sim.Reboot()
	if done := h.MustFlush(nil, nil, true); done.Asserted.IsZero() {
		t.Errorf("done: %+v", done)
	}
	h.wantOneAPILogin()
	if n := h.sent("ADDRESSLIST ADD"); n != 1 {
		t.Errorf("%d ADD commands, want 1", n)
	}
	h.WantInForce()
}

// The mark would let the next re-asserts name the group again, and the appliance would refuse each of them.
func TestAReassertWithoutFilesThatIsRefusedMakesTheNextOneCompareTheFiles(t *testing.T) {
	t.Parallel()
	h := startOverAPI(t, addresses(20)...)
	h.Sim.Reboot()
	if err := h.Sim.AdminEdit("objectgroup", func([]byte) []byte { return nil }); err != nil { // as after a failover
		t.Fatal(err)
	}
	done, err := h.Flush(nil, nil, true)
	if err == nil || !done.Asserted.IsZero() || done.Mark != "" {
		t.Errorf("asserted %s, mark %q, error %v, want an error and no mark", done.Asserted, done.Mark, err)
	}
	h.OverAPI = false
	h.MustFlush(nil, nil, true)
	h.WantInForce()
}

func TestAFlushWithFilesBlocksAddressesWhileSSHIsDown(t *testing.T) {
	t.Parallel()
	h := startOverAPI(t, addresses(3)...)
	h.OverAPI = false
	h.Sim.SetFaults(func(f *snstest.Faults) { f.SSHRefuse = true })
	added := prefixes("192.0.2.1/32", "203.0.113.0/24")
	done, err := h.Flush(added, addresses(1), false)
	var failed *appliance.FilesError
	if !errors.As(err, &failed) {
		t.Errorf("the error is %v, want a FilesError", err)
	}
	if len(done.Blocked) != 1 || len(done.Unblocked) != 1 || done.Listed || !done.At.IsZero() {
		t.Errorf("done: %+v", done)
	}
	delete(h.InForce, added[1])
	h.WantInForce()
}

func TestAPasswordThatSSHRefusesIsAFailedLoginAndNoErrorOfTheFiles(t *testing.T) {
	t.Parallel()
	h := startOverAPI(t, addresses(3)...)
	config := configFor(t, h.Sim)
	config.SSH.Password = "wrong"
	h.Client, h.OverAPI = stormshield.New(config), false
	_, err := h.Flush(prefixes("203.0.113.0/24"), nil, false)
	var login *appliance.LoginError
	var failed *appliance.FilesError
	if !errors.As(err, &login) || errors.As(err, &failed) {
		t.Errorf("the error is %v, want a LoginError", err)
	}
	if n := h.Sim.Stats().SSHAuthFailed; n != 1 {
		t.Errorf("%d passwords were sent, want 1", n)
	}
}

func TestWithoutSSHAReassertBlocksWhatTheBlacklistLacks(t *testing.T) {
	t.Parallel()
	h := startWithoutSSH(t)
	h.MustFlush(append(addresses(20), prefixes("2001:db8::1/128")...), nil, false)
	h.WantInForce()
	for _, missing := range []int{21, 0} {
		if missing > 0 {
			h.Sim.Reboot()
		}
		h.Sim.ResetStats()
		if done := h.MustFlush(nil, nil, true); done.Confirmed.IsZero() || len(done.Blocked) != missing {
			t.Errorf("blocked %d, confirmed %s, want %d", len(done.Blocked), done.Confirmed, missing)
		}
		h.wantOneAPILogin()
		if shows, adds := h.sent("ADDRESSLIST SHOW"), h.sent("ADDRESSLIST ADD"); shows != 1 || adds != missing {
			t.Errorf("%d SHOW and %d ADD commands, want 1 and %d", shows, adds, missing)
		}
		h.WantInForce()
	}
}

func TestWithoutSSHARefusedBanDelaysNoOther(t *testing.T) {
	t.Parallel()
	h := startWithoutSSH(t)
	refused := netip.MustParsePrefix("2001:db8::7/128")
	h.Sim.SetFaults(func(f *snstest.Faults) { f.NoIPv6 = true })
	for round, add := range [][]netip.Prefix{append(addresses(5), refused), nil} {
		h.Sim.Reboot()
		h.Sim.ResetStats()
		done, err := h.Flush(add, nil, true)
		if err == nil || !strings.Contains(err.Error(), refused.Addr().String()) || !slices.Equal(done.Refused, []netip.Prefix{refused}) || done.At.IsZero() {
			t.Errorf("flush %d refused %v and returned %v", round, done.Refused, err)
		}
		if n := h.sent("Name1=" + refused.Addr().String()); n != 1 {
			t.Errorf("flush %d tried the refused ban %d times", round, n)
		}
		delete(h.InForce, refused)
		h.WantInForce()
		h.InForce[refused] = true
	}
}

// Blocking an address twice renews its entry. A missing entry is worse.
func TestWithoutSSHAReassertBlocksWhatSHOWDoesNotShowClearly(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		set  func(*snstest.Faults)
		adds int
	}{
		"sections":          {func(f *snstest.Faults) { f.ShowSectionLine = true }, 0},
		"ranges":            {func(f *snstest.Faults) { f.ShowRanges = true }, 0},
		"one foreign line":  {func(f *snstest.Faults) { f.ShowExtra = "no line that a client knows" }, 0},
		"an unknown format": {func(f *snstest.Faults) { f.ShowOtherwise = true }, 10},
		"a range over these": {func(f *snstest.Faults) {
			f.ShowExtra = "src=198.18.0.0-198.18.0.20 dstrange=0.0.0.0-255.255.255.255 timeout=25"
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := startWithoutSSH(t)
			h.MustFlush(addresses(10), nil, false)
			h.Sim.SetFaults(c.set)
			h.Sim.ResetStats()
			h.MustFlush(nil, nil, true)
			if n := h.sent("ADDRESSLIST ADD"); n != c.adds {
				t.Errorf("%d ADD commands, want %d", n, c.adds)
			}
			h.Sim.Reboot()
			h.MustFlush(nil, nil, true)
			h.WantInForce()
		})
	}
}

func TestWithoutSSHEntriesEndInTheLastQuarterOfTheirLife(t *testing.T) {
	t.Parallel()
	const life = 20 * time.Minute
	h := startWithoutSSH(t, func(c *stormshield.Config) { c.BlacklistTimeout = life })
	began := time.Now()
	h.MustFlush(addresses(200), nil, false) // each ban ends in an hour
	var left []time.Duration
	for _, e := range h.Sim.Blacklist() {
		left = append(left, e.Expires.Sub(began))
	}
	slices.Sort(left)
	if first, last := left[0], left[len(left)-1]; first < life*3/4 || last > life+time.Since(began)+time.Second {
		t.Errorf("entries end after %s to %s, want within the last quarter of %s", first, last, life)
	}
	if spread := left[len(left)-1] - left[0]; spread < life/8 { // by chance less than once in 10⁵⁰ runs
		t.Errorf("200 entries end within %s", spread)
	}
}

func TestConnectionsOfBlockedAddressesAreCut(t *testing.T) {
	t.Parallel()
	cut := addresses(3)[1:]
	one := func(*harness) appliance.Change {
		return appliance.Change{Pending: appliance.Pending{Block: untilInAnHour(addresses(3))}}
	}
	group := func(h *harness) appliance.Change {
		h.MustFlush(addresses(3), nil, true)
		h.Sim.ResetStats()
		return appliance.Change{Pending: appliance.Pending{Mark: h.Mark, InForce: 3}, Reassert: true}
	}
	withFiles := func(h *harness) appliance.Change {
		change := group(h)
		change.Files = true
		return change
	}
	both := func(h *harness) appliance.Change {
		change := withFiles(h)
		change.Block = untilInAnHour(addresses(3))
		return change
	}
	for name, changeFor := range map[string]func(*harness) appliance.Change{
		"one by one": one, "by the group": group, "by the group, with the files": withFiles, "one by one and by the group": both,
	} {
		for _, refused := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				h := start(t)
				h.Sim.SetFaults(func(f *snstest.Faults) { f.NoLog = refused })
				change := changeFor(h)
				change.Cut, change.Begin, change.AllInForce, change.GroupListsAll = cut, begun, h.AllInForce, true
				done, err := h.Client.Apply(t.Context(), change)
				if err != nil || done.Warning != nil || done.At.IsZero() {
					t.Fatalf("the flush returned %v, with the warning %v", err, done.Warning)
				}
				var want []netip.Addr
				commands := 1 // the flush does not repeat a refused one
				if !refused {
					want, commands = []netip.Addr{cut[0].Addr(), cut[1].Addr()}, 2
				}
				if got := h.Sim.FlushedStates(); !slices.Equal(got, want) || h.sent("MONITOR FLUSH STATE") != commands {
					t.Errorf("connections cut: %v, want %v; %d commands, want %d", got, want, h.sent("MONITOR FLUSH STATE"), commands)
				}
				if (done.CutWarning != nil) != refused {
					t.Errorf("the warning is %v", done.CutWarning)
				}
				for _, p := range addresses(3) {
					h.InForce[p] = true
				}
				h.WantInForce()
			})
		}
	}
}

// untilInAnHour returns bans that end in an hour.
func untilInAnHour(some []netip.Prefix) (bans []appliance.Ban) {
	for _, p := range some {
		bans = append(bans, appliance.Ban{Prefix: p, Until: time.Now().Add(time.Hour)})
	}
	return bans
}

func TestACommandThatTakesAllTheTimeOfAFlushIsAFailureOfTheFiles(t *testing.T) {
	t.Parallel()
	h := start(t)
	h.Sim.SetFaults(func(f *snstest.Faults) { f.InsteadOfShell = "sleep 2" })
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := h.Client.Apply(ctx, appliance.Change{Files: true, Begin: begun, AllInForce: h.AllInForce})
	if !errors.As(err, new(*appliance.FilesError)) {
		t.Errorf("the error is no failure of the files: %v", err)
	}
}

func TestAnErrorOfTheLedgerBeforeAWriteIsNoFailureOfTheFiles(t *testing.T) {
	t.Parallel()
	h := start(t)
	h.MustFlush(addresses(2), nil, true)
	object, full := h.Sim.Read("object"), errors.New("the disk is full")
	_, err := h.Client.Apply(t.Context(), appliance.Change{
		Pending: appliance.Pending{Add: addresses(3)[2:], InForce: 3, Mark: h.Mark},
		Files:   true, Begin: begun, BeginFiles: func() error { return full }, AllInForce: h.AllInForce,
	})
	if !errors.Is(err, full) || errors.As(err, new(*appliance.FilesError)) {
		t.Errorf("the error is %v, want that of the ledger alone", err)
	}
	if !bytes.Equal(h.Sim.Read("object"), object) {
		t.Error("the flush wrote the files")
	}
}
