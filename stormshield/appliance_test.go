package stormshield_test

import (
	"cmp"
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
	"notification-stormshield/stormshield"
	"notification-stormshield/stormshield/serverd"
	"notification-stormshield/stormshield/shell"
	"notification-stormshield/stormshield/snstest"
)

// configFor describes a simulated appliance as a configuration would.
func configFor(t testing.TB, sim *snstest.Appliance) stormshield.Config {
	t.Helper()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, sim.CA(), 0o600); err != nil {
		t.Fatal(err)
	}
	return stormshield.Config{
		API: serverd.Config{
			Host: sim.Host(), Port: sim.APIPort(), User: sim.User(), Password: sim.Password(),
			Trust: serverd.Trust{CAPath: ca, ServerName: sim.CertificateName()}, Timeout: 10 * time.Second,
		},
		SSH: shell.Config{
			Host: sim.Host(), Port: sim.SSHPort(), User: sim.User(), Password: sim.Password(),
			HostKey: sim.HostKeyFingerprint(), Timeout: 10 * time.Second,
		},
		ConfigDir: sim.ConfigDir(), Group: "Crowdsec", DeleteGroup: "CrowdsecDeleteGroup",
		BlacklistTimeout: 24 * time.Hour, SingleMax: 4,
	}
}

// pair is a simulated appliance and its client.
type pair struct {
	t   *testing.T
	sim *snstest.Appliance
	app *stormshield.Appliance

	standing map[netip.Prefix]bool
	mark     string // of the files after the last flush; "": not known
	compared int    // how often a flush read the files whole

	acknowledged map[netip.Prefix]bool // blocked one by one
}

func start(t *testing.T, options ...func(*snstest.Options)) *pair {
	t.Helper()
	sim := snstest.Start(t, options...)
	return &pair{t: t, sim: sim, app: stormshield.New(configFor(t, sim)), standing: map[netip.Prefix]bool{}, acknowledged: map[netip.Prefix]bool{}}
}

func prefixes(texts ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range texts {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func addresses(n int) []netip.Prefix {
	var out []netip.Prefix
	for i := range n {
		out = append(out, netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}), 32))
	}
	return out
}

// begun is a Begin that succeeds.
func begun() error { return nil }

// flush adds and removes bans in one Apply, and returns what came of it. A warning
// counts as an error.
func (p *pair) flush(add, remove []netip.Prefix, reassert bool) (appliance.Outcome, error) {
	p.t.Helper()
	change := appliance.Change{
		Pending:  appliance.Pending{Unblock: remove, Add: add, Remove: remove, Mark: p.mark},
		Reassert: reassert, Begin: begun, AllInForce: p.all, OneByOne: p.each,
	}
	for _, b := range add {
		p.standing[b] = true
		change.Block = append(change.Block, appliance.Ban{Prefix: b, Until: time.Now().Add(time.Hour)})
	}
	for _, b := range remove {
		delete(p.standing, b)
	}
	change.InForce = len(p.standing)
	done, err := p.app.Apply(p.t.Context(), change)
	p.mark = done.Mark
	for _, b := range done.Blocked {
		p.acknowledged[b.Prefix] = true
	}
	return done, cmp.Or(err, done.Warning)
}

// each answers a flush that must not name the group: all that stand and were
// not blocked one by one since p.acknowledged was emptied.
func (p *pair) each(context.Context) ([]netip.Prefix, error) {
	var pending []netip.Prefix
	for _, b := range slices.SortedFunc(maps.Keys(p.standing), netip.Prefix.Compare) {
		if !p.acknowledged[b] {
			pending = append(pending, b)
		}
	}
	return pending, nil
}

// all answers a flush that compares the files whole.
func (p *pair) all(context.Context, []netip.Prefix) ([]netip.Prefix, error) {
	p.compared++
	return slices.Collect(maps.Keys(p.standing)), nil
}

func (p *pair) mustFlush(add, remove []netip.Prefix, reassert bool) appliance.Outcome {
	p.t.Helper()
	done, err := p.flush(add, remove, reassert)
	if err != nil {
		p.t.Fatal(err)
	}
	return done
}

// wantStanding says that the blacklist holds what stands, that nothing is left
// beside the files or open, and that an appliance can read the files.
func (p *pair) wantStanding() {
	p.t.Helper()
	p.wantBlacklist()
	if problems := p.sim.Problems(); len(problems) > 0 {
		p.t.Errorf("an appliance would choke on its files: %q", problems[:min(5, len(problems))])
	}
}

func (p *pair) wantBlacklist() {
	p.t.Helper()
	var listed, want []string
	for _, e := range p.sim.Blacklist() {
		listed = append(listed, e.Source.String())
	}
	for b := range p.standing {
		want = append(want, b.String())
	}
	slices.Sort(listed)
	slices.Sort(want)
	if !slices.Equal(listed, want) {
		p.t.Errorf("on the blacklist: %d entries %.200v, want %d %.200v", len(listed), listed, len(want), want)
	}
	if left := p.sim.Leftovers(); len(left) > 0 {
		p.t.Errorf("left beside the files: %q", left)
	}
	if n := p.sim.Stats().Evictions; n > 0 {
		p.t.Errorf("the administrator's right was taken %d times", n)
	}
	if held, _ := p.sim.MonitorHeld(); held {
		p.t.Error("the monitor right was not given back")
	}
	if n := p.sim.Stats().SessionsOpen; n != 0 {
		p.t.Errorf("%d sessions stay open", n)
	}
}

func TestFewBansGoByAddressAndManyByGroup(t *testing.T) {
	for _, shell := range []string{"/bin/sh", "/bin/csh"} {
		for _, n := range []int{1, 4, 5, 300} {
			t.Run(fmt.Sprintf("%d under %s", n, shell), func(t *testing.T) {
				p := start(t, func(o *snstest.Options) { o.LoginShell = shell })
				bans := append(addresses(n-1), netip.MustParsePrefix("2001:db8::7/128"))
				done := p.mustFlush(bans, nil, false)
				p.wantStanding()
				if few := n <= 4; few != (len(done.Blocked) == n) || few != done.Asserted.IsZero() || !done.Listed || !done.Cleared {
					t.Errorf("done: %d blocked one by one, asserted %v, listed %t, cleared %t", len(done.Blocked), done.Asserted, done.Listed, done.Cleared)
				}
				done = p.mustFlush(nil, bans, false)
				p.wantStanding()
				if len(done.Unblocked) != n {
					t.Errorf("%d acknowledged as unblocked, want %d", len(done.Unblocked), n)
				}
			})
		}
	}
}

func TestARangeIsBlockedByItsObject(t *testing.T) {
	p := start(t)
	ranges := prefixes("203.0.113.0/24", "2001:db8:1::/48")
	p.mustFlush(append(ranges, prefixes("192.0.2.1/32")...), nil, false)
	p.wantStanding()
	p.mustFlush(nil, ranges, false)
	p.wantStanding()
}

func TestAnEntryLastsAsLongAsItsBan(t *testing.T) {
	p := start(t)
	done := p.mustFlush(addresses(1), nil, false)
	entry, ok := p.sim.BlockedPrefix(addresses(1)[0])
	if left := time.Until(entry.Expires); !ok || left > time.Hour+time.Second || left < 59*time.Minute {
		t.Errorf("an entry for an hour lasts %s", left)
	}
	if off := done.Blocked[0].Expires.Sub(entry.Expires).Abs(); off > 2*time.Second {
		t.Errorf("acknowledged end is %s off", off)
	}
}

func TestAReassertBringsBackWhatARebootTook(t *testing.T) {
	p := start(t)
	p.mustFlush(addresses(20), nil, false)
	p.sim.Reboot()
	if len(p.sim.Blacklist()) != 0 {
		t.Fatal("a reboot left the blacklist")
	}
	if done := p.mustFlush(nil, nil, true); done.Asserted.IsZero() {
		t.Error("the re-assert is not acknowledged")
	}
	p.wantStanding()
}

func TestWhatTheOlderComponentLeftIsTakenOff(t *testing.T) {
	p := start(t)
	p.mustFlush(addresses(3), nil, true)
	p.standing, p.mark = map[netip.Prefix]bool{}, "" // nobody remembers them
	if done := p.mustFlush(prefixes("192.0.2.1/32"), nil, false); done.Leftovers != 3 {
		t.Errorf("%d leftovers, want 3", done.Leftovers)
	}
	p.wantStanding()
}

func TestAComparisonIsToldWhatTheGroupLists(t *testing.T) {
	p := start(t)
	p.mustFlush(addresses(3), nil, true)
	var listed []netip.Prefix
	_, err := p.app.Apply(t.Context(), appliance.Change{Begin: begun, AllInForce: func(_ context.Context, found []netip.Prefix) ([]netip.Prefix, error) {
		listed = slices.Clone(found)
		return found, nil
	}})
	slices.SortFunc(listed, netip.Prefix.Compare)
	if err != nil || !slices.Equal(listed, addresses(3)) {
		t.Errorf("listed: %v, %v", listed, err)
	}
	p.wantStanding()
}

// formsOfSHOW are how an appliance may print its blacklist.
var formsOfSHOW = map[string]func(*snstest.Faults){
	"as the vendor's tool shows it":      func(*snstest.Faults) {},
	"as the vendor's reference shows it": func(f *snstest.Faults) { f.ShowRanges = true },
	"as section_line":                    func(f *snstest.Faults) { f.ShowSectionLine = true },
	"the reference's, as section_line":   func(f *snstest.Faults) { f.ShowRanges, f.ShowSectionLine = true, true },
	"under other names":                  func(f *snstest.Faults) { f.ShowOtherwise = true },
}

func TestAnEntryThatTimedOutIsNoLongerOwed(t *testing.T) {
	for name, form := range formsOfSHOW {
		t.Run(name, func(t *testing.T) {
			p := start(t)
			p.sim.SetFaults(func(f *snstest.Faults) { f.DeleteUnknownFails = true; form(f) })
			p.mustFlush(addresses(10), nil, true)
			p.sim.Reboot() // all entries are gone
			done := p.mustFlush(nil, addresses(10), false)
			if len(done.Unblocked) != 10 {
				t.Errorf("%d acknowledged, want 10", len(done.Unblocked))
			}
			p.wantStanding()
		})
	}
}

func TestAnEndedBanStaysPendingWhileItMayBeListed(t *testing.T) {
	forms := maps.Clone(formsOfSHOW)
	forms["with a line that nobody can read"] = func(f *snstest.Faults) { f.ShowExtra = "too many entries" }
	for name, form := range forms {
		for _, n := range []int{2, 10} { // one by one, and by group
			t.Run(fmt.Sprintf("%d %s", n, name), func(t *testing.T) {
				p := start(t)
				ended := append(addresses(n-1), prefixes("203.0.113.0/24")...)
				p.mustFlush(ended, nil, true)
				if strings.Contains(name, "nobody") {
					p.sim.Reboot() // nothing is listed, and that cannot be seen
				}
				p.sim.SetFaults(func(f *snstest.Faults) {
					f.Ret = map[string]int{"MONITOR ADDRESSLIST DELETE": 200}
					form(f)
				})
				if done, err := p.flush(nil, ended, false); err == nil || len(done.Unblocked) > 0 {
					t.Errorf("%d acknowledged as unblocked, %v", len(done.Unblocked), err)
				}
			})
		}
	}
}

func TestAnswersInAnotherEncodingAreRead(t *testing.T) {
	for name, set := range map[string]func(*snstest.Faults){
		"gzip that nobody asked for":    func(f *snstest.Faults) { f.CompressAnyway = true },
		"Latin-1 that is not declared":  func(f *snstest.Faults) { f.Latin1, f.Language = true, "fr" },
		"Latin-1, compressed with gzip": func(f *snstest.Faults) { f.Latin1, f.Language, f.CompressAnyway = true, "fr", true },
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t)
			p.sim.SetFaults(func(f *snstest.Faults) { set(f); f.DeleteUnknownFails = true })
			p.mustFlush(addresses(10), nil, true)
			p.mustFlush(nil, addresses(3), false)
			p.wantStanding()
			if err := stormshield.FirstFault(p.app.Check(t.Context())); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAWayWithoutTools(t *testing.T) {
	for _, missing := range [][]string{{"cksum"}, {"ln"}, {"sync"}, {"cksum", "ln", "sync", "awk"}} {
		t.Run(fmt.Sprint(missing), func(t *testing.T) {
			p := start(t)
			p.sim.SetFaults(func(f *snstest.Faults) { f.MissingTools = missing })
			p.mustFlush(addresses(20), nil, false)
			p.mustFlush(nil, addresses(7), false)
			p.wantStanding()
		})
	}
}

func TestModeAndOwnerStay(t *testing.T) {
	p := start(t)
	path := filepath.Join(p.sim.ConfigDir(), "object")
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	p.mustFlush(addresses(1), nil, false)
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
