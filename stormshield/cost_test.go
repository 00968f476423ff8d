package stormshield_test

import (
	"net/netip"
	"slices"
	"testing"

	"notification-stormshield/appliance"
	"notification-stormshield/stormshield/snstest"
)

// What a flush of few changes may cost over SSH, both ways and handshake
// included, however much stands.
const smallChange = 16 << 10

func TestASmallChangeCostsTheSameHoweverManyStand(t *testing.T) {
	for _, shell := range []string{"/bin/sh", "/bin/csh"} {
		t.Run(shell, func(t *testing.T) {
			p := start(t, func(o *snstest.Options) { o.LoginShell = shell })
			many := addresses(20_000)
			p.mustFlush(many, nil, true)
			compared := p.compared
			next := prefixes("2001:db8::1/128")
			for name, change := range map[string]func() (appliance.Outcome, error){
				"one more":      func() (appliance.Outcome, error) { return p.flush(next, nil, false) },
				"one ended":     func() (appliance.Outcome, error) { return p.flush(nil, many[:1], false) },
				"one of each":   func() (appliance.Outcome, error) { return p.flush(prefixes("203.0.113.9/32"), many[1:2], false) },
				"none, renewed": func() (appliance.Outcome, error) { return p.flush(nil, nil, true) },
			} {
				p.sim.ResetStats()
				done, err := change()
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				s := p.sim.Stats()
				t.Logf("%s: SSH %d B up, %d B down in %d commands; API %d B up, %d B down", name, s.SSHBytesIn, s.SSHBytesOut, s.SSHCommandCount, s.APIBytesIn, s.APIBytesOut)
				if total := s.SSHBytesIn + s.SSHBytesOut; total > smallChange {
					t.Errorf("%s took %d bytes over SSH", name, total)
				}
				if s.SSHConnections != 1 || s.APILoginsOK != 1 || s.SSHCommandCount != 1 {
					t.Errorf("%s took %d SSH connections, %d commands, %d API logins", name, s.SSHConnections, s.SSHCommandCount, s.APILoginsOK)
				}
				if !done.Listed || !done.Cleared || done.Mark == "" {
					t.Errorf("%s: %+v", name, done)
				}
			}
			if p.compared != compared {
				t.Error("the files were read whole")
			}
			p.wantStanding()
		})
	}
}

func TestTheFirstFlushSendsAddressesNotLines(t *testing.T) {
	p := start(t)
	many := addresses(20_000)
	p.sim.ResetStats()
	p.mustFlush(many, nil, true)
	s := p.sim.Stats()
	if perBan := float64(s.SSHBytesIn) / float64(len(many)); perBan > 25 {
		t.Errorf("%.1f bytes a ban went up", perBan)
	}
	if s.SSHConnections != 1 || s.APILoginsOK != 1 {
		t.Errorf("%d SSH connections, %d API logins", s.SSHConnections, s.APILoginsOK)
	}
	p.wantStanding()
}

// Where the appliance lacks a tool, the files hold the same bytes in the end.
func TestTheWayWithoutToolsMakesTheSameBytes(t *testing.T) {
	type files struct{ object, groups string }
	run := func(missing ...string) (after []files) {
		p := start(t)
		p.sim.SetFaults(func(f *snstest.Faults) { f.MissingTools = missing })
		see := func() { after = append(after, files{string(p.sim.Read("object")), string(p.sim.Read("objectgroup"))}) }
		p.mustFlush(append(addresses(30), prefixes("203.0.113.0/24", "2001:db8::7/128")...), nil, false)
		see()
		p.mustFlush(prefixes("192.0.2.9/32"), addresses(2), false)
		see()
		p.mustFlush(nil, append(addresses(20)[2:], prefixes("203.0.113.0/24")...), true)
		see()
		p.wantStanding()
		return after
	}
	with := run()
	for _, missing := range [][]string{{"awk"}, {"cksum"}, {"tail"}, {"ln"}, {"cksum", "ln", "sync", "awk"}} {
		if without := run(missing...); !slices.Equal(with, without) {
			t.Errorf("without %v:\n%s\nwith all:\n%s", missing, without, with)
		}
	}
}

func TestFilesThatAnAwkMayNotKeepAreWrittenWhole(t *testing.T) {
	p := start(t)
	for _, file := range []string{"object", "objectgroup"} {
		err := p.sim.AdminEdit(file, func(text []byte) []byte { return append(text, "# \x00 zero\n"...) })
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range 3 {
		p.mustFlush(addresses(i + 1)[i:], nil, false)
	}
	p.mustFlush(nil, []netip.Prefix{addresses(1)[0]}, false)
	p.wantBlacklist() // an appliance may think what it likes of the zero byte
	for _, file := range []string{"object", "objectgroup"} {
		if text := p.sim.Read(file); !slices.Contains(text, 0) {
			t.Errorf("%s lost its zero byte", file)
		}
	}
}
