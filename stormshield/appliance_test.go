package stormshield_test

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"notification-stormshield/appliance"
	"notification-stormshield/stormshield/flushtest"
	"notification-stormshield/stormshield/snstest"
)

func TestFewBansGoByAddressAndManyByGroup(t *testing.T) {
	t.Parallel()
	for _, shell := range []string{"/bin/sh", "/bin/csh"} {
		for _, n := range []int{1, 4, 5, 300} {
			t.Run(fmt.Sprintf("%d under %s", n, shell), func(t *testing.T) {
				h := start(t, func(o *snstest.Options) { o.LoginShell = shell })
				bans := append(addresses(n-1), netip.MustParsePrefix("2001:db8::7/128"))
				done := h.MustFlush(bans, nil, false)
				h.WantInForce()
				if few := n <= 4; few != (len(done.Blocked) == n) || few != done.Asserted.IsZero() || !done.Listed || !done.Cleared {
					t.Errorf("done: %d blocked one by one, asserted %v, listed %t, cleared %t", len(done.Blocked), done.Asserted, done.Listed, done.Cleared)
				}
				done = h.MustFlush(nil, bans, false)
				h.WantInForce()
				if len(done.Unblocked) != n {
					t.Errorf("%d acknowledged as unblocked, want %d", len(done.Unblocked), n)
				}
			})
		}
	}
}

func TestARangeIsBlockedByItsObject(t *testing.T) {
	t.Parallel()
	h := start(t)
	ranges := prefixes("203.0.113.0/24", "2001:db8:1::/48")
	h.MustFlush(append(ranges, prefixes("192.0.2.1/32")...), nil, false)
	h.WantInForce()
	h.MustFlush(nil, ranges, false)
	h.WantInForce()
}

func TestAnEntryLastsAsLongAsItsBan(t *testing.T) {
	t.Parallel()
	h := start(t)
	done := h.MustFlush(addresses(1), nil, false)
	entry, ok := h.Sim.BlockedPrefix(addresses(1)[0])
	if left := time.Until(entry.Expires); !ok || left > time.Hour+time.Second || left < 59*time.Minute {
		t.Errorf("an entry for an hour lasts %s", left)
	}
	if off := done.Blocked[0].Expires.Sub(entry.Expires).Abs(); off > 2*time.Second {
		t.Errorf("acknowledged end is %s off", off)
	}
}

func TestAReassertBlocksEverythingAgainAfterAReboot(t *testing.T) {
	t.Parallel()
	h := start(t)
	h.MustFlush(addresses(20), nil, false)
	h.Sim.Reboot()
	if len(h.Sim.Blacklist()) != 0 {
		t.Fatal("a reboot left the blacklist")
	}
	if done := h.MustFlush(nil, nil, true); done.Asserted.IsZero() {
		t.Error("the re-assert is not acknowledged")
	}
	h.WantInForce()
}

func TestAFlushRemovesTheBansOfTheOlderComponent(t *testing.T) {
	t.Parallel()
	h := start(t)
	h.MustFlush(addresses(3), nil, true)
	h.InForce, h.Mark = map[netip.Prefix]bool{}, "" // the state is lost
	if done := h.MustFlush(prefixes("192.0.2.1/32"), nil, false); done.Leftovers != 3 {
		t.Errorf("%d leftovers, want 3", done.Leftovers)
	}
	h.WantInForce()
}

func TestAComparisonPassesTheMembersOfTheGroup(t *testing.T) {
	t.Parallel()
	h := start(t)
	h.MustFlush(addresses(3), nil, true)
	var listed []netip.Prefix
	_, err := h.Client.Apply(t.Context(), appliance.Change{Files: true, Begin: begun, AllInForce: func(_ context.Context, found []netip.Prefix) ([]netip.Prefix, error) {
		listed = slices.Clone(found)
		return found, nil
	}})
	slices.SortFunc(listed, netip.Prefix.Compare)
	if err != nil || !slices.Equal(listed, addresses(3)) {
		t.Errorf("listed: %v, %v", listed, err)
	}
	h.WantInForce()
}

// formsOfSHOW are the forms in which an appliance may print its blacklist.
var formsOfSHOW = map[string]func(*snstest.Faults){
	"as the vendor's tool shows it":      func(*snstest.Faults) {},
	"as the vendor's reference shows it": func(f *snstest.Faults) { f.ShowRanges = true },
	"as section_line":                    func(f *snstest.Faults) { f.ShowSectionLine = true },
	"the reference's, as section_line":   func(f *snstest.Faults) { f.ShowRanges, f.ShowSectionLine = true, true },
	"under other names":                  func(f *snstest.Faults) { f.ShowOtherwise = true },
}

func TestAnEntryThatTimedOutCountsAsUnblocked(t *testing.T) {
	t.Parallel()
	for name, form := range formsOfSHOW {
		t.Run(name, func(t *testing.T) {
			h := start(t)
			h.Sim.SetFaults(func(f *snstest.Faults) { f.DeleteUnknownFails = true; form(f) })
			h.MustFlush(addresses(10), nil, true)
			h.Sim.Reboot() // all entries are gone
			done := h.MustFlush(nil, addresses(10), false)
			if len(done.Unblocked) != 10 {
				t.Errorf("%d acknowledged, want 10", len(done.Unblocked))
			}
			h.WantInForce()
		})
	}
}

func TestAnEndedBanStaysPendingWhileItMayBeListed(t *testing.T) {
	t.Parallel()
	forms := maps.Clone(formsOfSHOW)
	forms["with a line that nobody can read"] = func(f *snstest.Faults) { f.ShowExtra = "too many entries" }
	for name, form := range forms {
		for _, n := range []int{2, 10} { // one by one, and by group
			t.Run(fmt.Sprintf("%d %s", n, name), func(t *testing.T) {
				h := start(t)
				ended := append(addresses(n-1), prefixes("203.0.113.0/24")...)
				h.MustFlush(ended, nil, true)
				if strings.Contains(name, "nobody") {
					h.Sim.Reboot() // SHOW lists nothing, and the test appliance hides that
				}
				h.Sim.SetFaults(func(f *snstest.Faults) {
					f.Ret = map[string]int{"MONITOR ADDRESSLIST DELETE": 200}
					form(f)
				})
				if done, err := h.Flush(nil, ended, false); err == nil || len(done.Unblocked) > 0 {
					t.Errorf("%d acknowledged as unblocked, %v", len(done.Unblocked), err)
				}
			})
		}
	}
}

func TestAnswersInAnotherEncodingAreRead(t *testing.T) {
	t.Parallel()
	for name, set := range flushtest.OtherEncodings() {
		t.Run(name, func(t *testing.T) {
			h := start(t)
			h.Sim.SetFaults(func(f *snstest.Faults) { set(f); f.DeleteUnknownFails = true })
			h.MustFlush(addresses(10), nil, true)
			h.MustFlush(nil, addresses(3), false)
			h.WantInForce()
		})
	}
}

func TestAFlushWorksWithoutSomeTools(t *testing.T) {
	t.Parallel()
	for _, missing := range [][]string{{"cksum"}, {"ln"}, {"sync"}, {"cksum", "ln", "sync", "awk"}} {
		t.Run(fmt.Sprint(missing), func(t *testing.T) {
			h := start(t)
			h.Sim.SetFaults(func(f *snstest.Faults) { f.MissingTools = missing })
			h.MustFlush(addresses(20), nil, false)
			h.MustFlush(nil, addresses(7), false)
			h.WantInForce()
		})
	}
}

func TestAFlushKeepsTheModeOfAFile(t *testing.T) {
	t.Parallel()
	h := start(t)
	path := filepath.Join(h.Sim.ConfigDir(), "object")
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	h.MustFlush(addresses(1), nil, false)
	after, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if before.Mode() != after.Mode() {
		t.Errorf("mode was %v and is %v", before.Mode(), after.Mode())
	}
	if os.SameFile(before, after) {
		t.Error("the file was written in place")
	}
}
