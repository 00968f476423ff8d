package stormshield_test

import (
	"bytes"
	"strings"
	"testing"

	"notification-stormshield/stormshield"
	"notification-stormshield/stormshield/serverd"
	"notification-stormshield/stormshield/snstest"
)

func TestCheckOfAGoodApplianceFindsNothingWrong(t *testing.T) {
	for _, language := range []string{"en", "fr"} {
		p := start(t, func(o *snstest.Options) { o.Language = language })
		before := p.sim.Read("object")
		findings := p.app.Check(t.Context())
		if err := stormshield.FirstFault(findings); err != nil {
			t.Error(err)
		}
		if len(findings) < 8 {
			t.Errorf("only %d findings: %v", len(findings), findings)
		}
		if !bytes.Equal(before, p.sim.Read("object")) {
			t.Error("a check changed a file")
		}
		p.wantStanding()
	}
}

func TestCheckSaysWhatIsWrongAndWhatToDo(t *testing.T) {
	faults := func(set func(*snstest.Faults)) func(*pair, *stormshield.Config) {
		return func(p *pair, _ *stormshield.Config) { p.sim.SetFaults(set) }
	}
	for name, c := range map[string]struct {
		spoil    func(*pair, *stormshield.Config)
		subject  string
		says     string
		hint     string
		failures int // logins that the appliance counted as failed
	}{
		"SSH refused":                {faults(func(f *snstest.Faults) { f.SSHRefuse = true }), "SSH login", "refused", "switch SSH on", 0},
		"host key changed":           {func(p *pair, _ *stormshield.Config) { p.sim.ChangeHostKey() }, "SSH login", "not trusted", "ssh_host_key", 0},
		"SSH password wrong":         {func(_ *pair, c *stormshield.Config) { c.SSH.Password = "wrong" }, "SSH login", "refused the SSH account", "ssh_password", 1},
		"API port closed":            {faults(func(f *snstest.Faults) { f.APIRefuse = true }), "API login", "refused", "api_port", 0},
		"certificate changed":        {func(p *pair, _ *stormshield.Config) { p.sim.ChangeCertificate() }, "API login", "not trusted", "api_ca_path", 0},
		"certificate not trusted":    {func(_ *pair, c *stormshield.Config) { c.API.Trust = serverd.Trust{} }, "API login", "not trusted", "api_cert_fingerprint", 0},
		"certificate of another":     {func(_ *pair, c *stormshield.Config) { c.API.Trust.ServerName = "other" }, "API login", "belongs to", "api_cert_fingerprint", 0},
		"API password wrong":         {func(_ *pair, c *stormshield.Config) { c.API.Password = "wrong" }, "API login", "AUTH_FAILED", "api_password", 1},
		"one-time password demanded": {faults(func(f *snstest.Faults) { f.NeedTOTP = true }), "API login", "NEED_TOTP_AUTH", "without a one-time password", -1},
		"without mon_write":          {faults(func(f *snstest.Faults) { f.NoMonWrite = true }), "right to the blacklist", "no right", "mon_write", 0},
		"config_dir missing":         {func(_ *pair, c *stormshield.Config) { c.ConfigDir += "/nowhere" }, "configuration folder", "cannot be entered", "config_dir", 0},
		"[Host] missing": {func(p *pair, _ *stormshield.Config) {
			_ = p.sim.Write("object", bytes.Replace(p.sim.Read("object"), []byte("[Host]"), []byte("[Ghost]"), 1))
		}, "object", "no section [Host]", "restore", 0},
		"cp missing": {faults(func(f *snstest.Faults) { f.MissingTools = []string{"cp"} }), "tools", "lacks cp", "cp is needed", 0},
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t)
			config := configFor(t, p.sim)
			c.spoil(p, &config)
			findings := stormshield.New(config).Check(t.Context())
			var bad []stormshield.Finding
			for _, f := range findings {
				if f.Err != nil {
					bad = append(bad, f)
				}
			}
			if len(bad) != 1 {
				t.Fatalf("%d faults found, want one: %v", len(bad), bad)
			}
			if f := bad[0]; !strings.Contains(f.Subject, c.subject) || !strings.Contains(f.Err.Error(), c.says) || !strings.Contains(f.Hint, c.hint) {
				t.Errorf("found %q: %v (hint: %s)", f.Subject, f.Err, f.Hint)
			}
			if s := p.sim.Stats(); c.failures >= 0 && s.SSHAuthFailed+s.APILoginsFailed != c.failures {
				t.Errorf("%d failed logins, want %d", s.SSHAuthFailed+s.APILoginsFailed, c.failures)
			}
		})
	}
}

func TestALockedOutAccountIsNamedAndNotTriedFurther(t *testing.T) {
	p := start(t)
	config := configFor(t, p.sim)
	config.API.Password = "wrong"
	for range 3 {
		stormshield.New(config).Check(t.Context())
	}
	if p.sim.Locked() == 0 {
		t.Fatal("the appliance does not lock")
	}
	before := p.sim.Stats()
	findings := p.app.Check(t.Context())
	err := stormshield.FirstFault(findings)
	if err == nil || !strings.Contains(err.Error(), "ERR_BRUTEFORCE") || !strings.Contains(err.Error(), "wait until the lock is over") {
		t.Errorf("check of a locked appliance: %v", err)
	}
	if delay, refused := stormshield.LoginRefused(err); !refused || delay <= 0 {
		t.Errorf("the lock is to last %s", delay)
	}
	if after := p.sim.Stats(); after.SSHAuthFailed+after.SSHAuthOK != before.SSHAuthFailed+before.SSHAuthOK {
		t.Error("SSH was tried though the API had refused the login")
	}
}

func TestOneWrongPasswordIsOneFailureWhateverTheServerOffers(t *testing.T) {
	for name, set := range map[string]func(*snstest.Faults){
		"both":                      func(*snstest.Faults) {},
		"keyboard-interactive only": func(f *snstest.Faults) { f.NoPassword = true },
		"password only":             func(f *snstest.Faults) { f.NoKeyboardInteractive = true },
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t)
			p.sim.SetFaults(set)
			if err := stormshield.FirstFault(p.app.Check(t.Context())); err != nil {
				t.Errorf("with the right password: %v", err)
			}
			p.sim.ResetStats()
			config := configFor(t, p.sim)
			config.SSH.Password = "wrong"
			_, err := stormshield.New(config).Apply(t.Context(), stormshield.Change{})
			if _, refused := stormshield.LoginRefused(err); !refused {
				t.Errorf("a wrong password is not known as such: %v", err)
			}
			if n := p.sim.Stats().SSHAuthFailed; n != 1 {
				t.Errorf("the appliance counted %d failures for one wrong password", n)
			}
		})
	}
}

func TestARefusedLoginIsKnownAsSuchWhateverElseIsWrong(t *testing.T) {
	p := start(t)
	p.sim.SetFaults(func(f *snstest.Faults) { f.NoMonWrite = true })
	config := configFor(t, p.sim)
	config.SSH.Password = "wrong"
	findings := stormshield.New(config).Check(t.Context())
	if _, refused := stormshield.LoginRefused(stormshield.FirstFault(findings)); !refused {
		t.Errorf("found %v", findings)
	}
}
