package stormshield_test

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"notification-stormshield/appliance"
	"notification-stormshield/stormshield"
	"notification-stormshield/stormshield/shell"
	"notification-stormshield/stormshield/snstest"
)

func TestALoginThatTheApplianceDropsIsARefusedLogin(t *testing.T) {
	for _, answer := range []string{"close", "reset", "change", "second-method"} {
		t.Run(answer, func(t *testing.T) {
			p := start(t)
			p.sim.SetFaults(func(f *snstest.Faults) { f.LoginAnswer = answer })
			_, err := p.app.Apply(t.Context(), appliance.Change{Begin: begun})
			if failedLogin(err) == nil {
				t.Errorf("no login hold-off follows: %v", err)
			}
		})
	}
}

func TestFlushesOpenOneConnectionEachWhateverTheHostKeysType(t *testing.T) {
	p := start(t)
	p.sim.SetFaults(func(f *snstest.Faults) { f.HostKeys = []string{"ed25519", "rsa"}; f.NoPassword = true })
	config := configFor(t, p.sim)
	config.SSH.HostKey = shell.Fingerprint(p.sim.HostKeys()[1])
	p.app = stormshield.New(config)
	p.mustFlush(addresses(3), nil, true)
	for range 3 {
		p.sim.ResetStats()
		p.mustFlush(nil, nil, true)
		if n := p.sim.Stats().SSHConnections; n != 1 {
			t.Errorf("a flush opened %d SSH connections, want 1", n)
		}
	}
}

func TestTheHintOfASSHLoginFollowsFromTheAnswer(t *testing.T) {
	const pin = "into ssh_host_key"
	text := func(key ssh.PublicKey) string { return string(ssh.MarshalAuthorizedKey(key)) }
	known := func(lines func(p *pair, key string) string) func(*testing.T, *pair, *stormshield.Config) {
		return func(t *testing.T, p *pair, c *stormshield.Config) {
			c.SSH.HostKey, c.SSH.KnownHostsPath = "", save(t, "known_hosts", []byte(lines(p, text(p.sim.HostKey()))))
		}
	}
	named := func(p *pair) string { return fmt.Sprintf("[%s]:%d", p.sim.Host(), p.sim.SSHPort()) }
	faults := func(set func(*snstest.Faults)) func(*testing.T, *pair, *stormshield.Config) {
		return func(_ *testing.T, p *pair, _ *stormshield.Config) { p.sim.SetFaults(set) }
	}
	for name, c := range map[string]struct {
		spoil func(*testing.T, *pair, *stormshield.Config)
		hint  string
	}{
		"another key than the pinned one": {func(_ *testing.T, p *pair, _ *stormshield.Config) { p.sim.ChangeHostKey() }, pin},
		"another key than in known_hosts": {func(t *testing.T, p *pair, c *stormshield.Config) {
			known(func(p *pair, key string) string { return named(p) + " " + key })(t, p, c)
			p.sim.ChangeHostKey()
		}, pin},
		"no line for the port": {known(func(p *pair, key string) string { return p.sim.Host() + " " + key }), "add a line with that name"},
		"revoked":              {known(func(p *pair, key string) string { return "@revoked * " + key + named(p) + " " + key }), "who revoked it"},
		"only a CA is known":   {known(func(p *pair, _ string) string { return "@cert-authority " + named(p) + " " + text(p.sim.HostCA()) }), "CA in the file"},
		"dropped":              {faults(func(f *snstest.Faults) { f.LoginAnswer = "close" }), "may be wrong or expired"},
		"new password":         {faults(func(f *snstest.Faults) { f.LoginAnswer = "change" }), "no password that must be changed"},
		"second factor":        {faults(func(f *snstest.Faults) { f.LoginAnswer = "second-method" }), "no second factor"},
		"keys only":            {faults(func(f *snstest.Faults) { f.PublicKeyOnly = true }), "ssh_private_key_path"},
		"old algorithms":       {faults(func(f *snstest.Faults) { f.LegacyAlgorithmsOnly = true }), "ssh_legacy_algorithms: true"},
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t)
			config := configFor(t, p.sim)
			c.spoil(t, p, &config)
			var hint string
			for _, f := range stormshield.New(config).Check(t.Context()) {
				if f.Subject == "SSH login" {
					hint = f.Hint
				}
			}
			if !strings.Contains(hint, c.hint) {
				t.Errorf("hint %q, want %q", hint, c.hint)
			}
			if c.hint != pin && strings.Contains(hint, pin) {
				t.Errorf("the hint advises to pin the key: %q", hint)
			}
		})
	}
}
