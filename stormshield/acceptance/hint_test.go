package acceptance_test

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"notification-stormshield/stormshield"
	"notification-stormshield/stormshield/acceptance"
	"notification-stormshield/stormshield/flushtest"
	"notification-stormshield/stormshield/snstest"
)

func TestTheHintOfASSHLoginFollowsFromTheAnswer(t *testing.T) {
	t.Parallel()
	const pin = "into ssh_host_key"
	text := func(key ssh.PublicKey) string { return string(ssh.MarshalAuthorizedKey(key)) }
	known := func(lines func(h *harness, key string) string) func(*testing.T, *harness, *stormshield.Config) {
		return func(t *testing.T, h *harness, c *stormshield.Config) {
			c.SSH.HostKey, c.SSH.KnownHostsPath = "", flushtest.WriteFile(t, "known_hosts", []byte(lines(h, text(h.Sim.HostKey()))))
		}
	}
	named := func(h *harness) string { return fmt.Sprintf("[%s]:%d", h.Sim.Host(), h.Sim.SSHPort()) }
	faults := func(set func(*snstest.Faults)) func(*testing.T, *harness, *stormshield.Config) {
		return func(_ *testing.T, h *harness, _ *stormshield.Config) { h.Sim.SetFaults(set) }
	}
	for name, c := range map[string]struct {
		prepare func(*testing.T, *harness, *stormshield.Config)
		hint    string
	}{
		"another key than the pinned one": {func(_ *testing.T, h *harness, _ *stormshield.Config) { h.Sim.ChangeHostKey() }, pin},
		"another key than in known_hosts": {func(t *testing.T, h *harness, c *stormshield.Config) {
			known(func(h *harness, key string) string { return named(h) + " " + key })(t, h, c)
			h.Sim.ChangeHostKey()
		}, pin},
		"no line for the port": {known(func(h *harness, key string) string { return h.Sim.Host() + " " + key }), "add a line with that name"},
		"revoked":              {known(func(h *harness, key string) string { return "@revoked * " + key + named(h) + " " + key }), "who revoked it"},
		"only a CA is known":   {known(func(h *harness, _ string) string { return "@cert-authority " + named(h) + " " + text(h.Sim.HostCA()) }), "CA in the file"},
		"dropped":              {faults(func(f *snstest.Faults) { f.LoginAnswer = "close" }), "may be wrong or expired"},
		"new password":         {faults(func(f *snstest.Faults) { f.LoginAnswer = "change" }), "no password that must be changed"},
		"second factor":        {faults(func(f *snstest.Faults) { f.LoginAnswer = "second-method" }), "no second factor"},
		"keys only":            {faults(func(f *snstest.Faults) { f.PublicKeyOnly = true }), "ssh_private_key_path"},
		"old algorithms":       {faults(func(f *snstest.Faults) { f.LegacyAlgorithmsOnly = true }), "ssh_legacy_algorithms: true"},
	} {
		t.Run(name, func(t *testing.T) {
			h := start(t)
			config := configFor(t, h.Sim)
			c.prepare(t, h, &config)
			var hint string
			for _, f := range acceptance.Check(t.Context(), stormshield.New(config)) {
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
