package stormshield_test

import (
	"net/netip"
	"slices"
	"testing"

	"notification-stormshield/appliance"
	"notification-stormshield/stormshield/snstest"
)

// smallChange is how many bytes a flush of few changes may cost over SSH, both ways and with the handshake.
const smallChange = 16 << 10

func TestASmallChangeCostsTheSameHoweverManyBansAreInForce(t *testing.T) {
	t.Parallel()
	for _, shell := range []string{"/bin/sh", "/bin/csh"} {
		t.Run(shell, func(t *testing.T) {
			h := start(t, func(o *snstest.Options) { o.LoginShell = shell })
			many := addresses(5_000)
			h.MustFlush(many, nil, true)
			compared := h.Compared
			next := prefixes("2001:db8::1/128")
			for name, change := range map[string]func() (appliance.Outcome, error){
				"one more":      func() (appliance.Outcome, error) { return h.Flush(next, nil, false) },
				"one ended":     func() (appliance.Outcome, error) { return h.Flush(nil, many[:1], false) },
				"one of each":   func() (appliance.Outcome, error) { return h.Flush(prefixes("203.0.113.9/32"), many[1:2], false) },
				"none, renewed": func() (appliance.Outcome, error) { return h.Flush(nil, nil, true) },
			} {
				h.Sim.ResetStats()
				done, err := change()
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				s := h.Sim.Stats()
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
			if h.Compared != compared {
				t.Error("the files were read whole")
			}
			h.WantInForce()
		})
	}
}

func TestTheFirstFlushSendsAddressesNotLines(t *testing.T) {
	t.Parallel()
	h := start(t)
	many := addresses(5_000)
	h.Sim.ResetStats()
	h.MustFlush(many, nil, true)
	s := h.Sim.Stats()
	if perBan := float64(s.SSHBytesIn) / float64(len(many)); perBan > 25 {
		t.Errorf("%.1f bytes a ban went up", perBan)
	}
	if s.SSHConnections != 1 || s.APILoginsOK != 1 {
		t.Errorf("%d SSH connections, %d API logins", s.SSHConnections, s.APILoginsOK)
	}
	h.WantInForce()
}

// The files must hold the same bytes where the appliance lacks a tool.
func TestAFlushWithoutToolsMakesTheSameBytes(t *testing.T) {
	t.Parallel()
	type files struct{ object, groups string }
	run := func(missing ...string) (after []files) {
		h := start(t)
		h.Sim.SetFaults(func(f *snstest.Faults) { f.MissingTools = missing })
		see := func() { after = append(after, files{string(h.Sim.Read("object")), string(h.Sim.Read("objectgroup"))}) }
		h.MustFlush(append(addresses(30), prefixes("203.0.113.0/24", "2001:db8::7/128")...), nil, false)
		see()
		h.MustFlush(prefixes("192.0.2.9/32"), addresses(2), false)
		see()
		h.MustFlush(nil, append(addresses(20)[2:], prefixes("203.0.113.0/24")...), true)
		see()
		h.WantInForce()
		return after
	}
	with := run()
	for _, missing := range [][]string{{"awk"}, {"cksum"}, {"tail"}, {"ln"}, {"cksum", "ln", "sync", "awk"}} {
		if without := run(missing...); !slices.Equal(with, without) {
			t.Errorf("without %v:\n%s\nwith all:\n%s", missing, without, with)
		}
	}
}

func TestFilesWithAZeroByteAreSentWhole(t *testing.T) {
	t.Parallel()
	h := start(t)
	for _, file := range []string{"object", "objectgroup"} {
		err := h.Sim.AdminEdit(file, func(text []byte) []byte { return append(text, "# \x00 zero\n"...) })
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range 3 {
		h.MustFlush(addresses(i + 1)[i:], nil, false)
	}
	h.MustFlush(nil, []netip.Prefix{addresses(1)[0]}, false)
	h.WantBlacklist() // an appliance may refuse the zero byte
	for _, file := range []string{"object", "objectgroup"} {
		if text := h.Sim.Read(file); !slices.Contains(text, 0) {
			t.Errorf("%s lost its zero byte", file)
		}
	}
}
