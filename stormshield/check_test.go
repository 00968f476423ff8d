package stormshield_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"notification-stormshield/appliance"
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
		"SSH refused":                           {faults(func(f *snstest.Faults) { f.SSHRefuse = true }), "SSH login", "refused", "switch SSH on", 0},
		"host key changed":                      {func(p *pair, _ *stormshield.Config) { p.sim.ChangeHostKey() }, "SSH login", "not trusted", "ssh_host_key", 0},
		"SSH password wrong":                    {func(_ *pair, c *stormshield.Config) { c.SSH.Password = "wrong" }, "SSH login", "refused the SSH account", "ssh_password", 1},
		"API port closed":                       {faults(func(f *snstest.Faults) { f.APIRefuse = true }), "API login", "refused", "api_port", 0},
		"certificate changed":                   {func(p *pair, _ *stormshield.Config) { p.sim.ChangeCertificate() }, "API login", "not trusted", "api_ca_path", 0},
		"certificate not trusted":               {func(_ *pair, c *stormshield.Config) { c.API.Trust = serverd.Trust{} }, "API login", "not trusted", "api_cert_fingerprint", 0},
		"certificate of another":                {func(_ *pair, c *stormshield.Config) { c.API.Trust.ServerName = "other" }, "API login", "belongs to", "set api_server_name: " + snstest.DefaultSerialNumber, 0},
		"API password wrong":                    {func(_ *pair, c *stormshield.Config) { c.API.Password = "wrong" }, "API login", "AUTH_FAILED", "api_password", 1},
		"one-time password demanded":            {faults(func(f *snstest.Faults) { f.NeedTOTP = true }), "API login", "NEED_TOTP_AUTH", "without a one-time password", -1},
		"locked by somebody":                    {faults(func(f *snstest.Faults) { f.LoginMessage, f.LoginDelay = "ERR_BRUTEFORCE", "abc" }), "API login", "ERR_BRUTEFORCE", "the account may be right", -1},
		"a login message nobody knows":          {faults(func(f *snstest.Faults) { f.LoginMessage = "ERR_RESTARTING" }), "API login", "ERR_RESTARTING", "the account may be right", -1},
		"not allowed to the web administration": {faults(func(f *snstest.Faults) { f.APIPage, f.APIStatus = "/", 405 }), "API login", "405", "allow this machine", 0},
		"a page for browsers":                   {faults(func(f *snstest.Faults) { f.APIPage = "/" }), "API login", "page for browsers", "api_port", 0},
		"without mon_write":                     {faults(func(f *snstest.Faults) { f.NoMonWrite = true }), "right to the blacklist", "no right", "mon_write", 0},
		"config_dir missing":                    {func(_ *pair, c *stormshield.Config) { c.ConfigDir += "/nowhere" }, "configuration folder", "cannot be entered", "config_dir", 0},
		"[Host] missing": {func(p *pair, _ *stormshield.Config) {
			_ = p.sim.Write("object", bytes.Replace(p.sim.Read("object"), []byte("[Host]"), []byte("[Ghost]"), 1))
		}, "object", "no section [Host]", "restore", 0},
		"a foreign member": {func(p *pair, _ *stormshield.Config) {
			_ = p.sim.Write("objectgroup", append(p.sim.Read("objectgroup"), "[Crowdsec]\ncrowdsec_ip_1\npc_admin\n"...))
		}, "objectgroup", "group Crowdsec has members that this program did not make: pc_admin", "web administration", 0},
		"a group of the administrator": {func(_ *pair, c *stormshield.Config) { c.DeleteGroup = "internal_servers" },
			"objectgroup", "srv_backup, srv_mail, net_dmz", "groups of its own", 0},
		"cp missing": {faults(func(f *snstest.Faults) { f.MissingTools = []string{"cp"} }), "tools", "lacks cp", "without cp", 0},
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

// failedLogin returns the failed login that an error is about; nil: it is about none.
func failedLogin(err error) *appliance.LoginError {
	var login *appliance.LoginError
	errors.As(err, &login)
	return login
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
	if login := failedLogin(err); login == nil || !login.Temporary || login.Delay <= 0 {
		t.Errorf("the failure is taken for %+v", login)
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
			_, err := stormshield.New(config).Apply(t.Context(), appliance.Change{Begin: begun})
			if failedLogin(err) == nil {
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
	if failedLogin(stormshield.FirstFault(findings)) == nil {
		t.Errorf("found %v", findings)
	}
}

// What another session does, an appliance that is slow and one that answers
// something else are no missing right.
func TestCheckSpeaksOfARightOnlyIfTheAnswerDoes(t *testing.T) {
	answer := func(root, ret int) func(*pair) {
		return func(p *pair) {
			p.sim.SetFaults(func(f *snstest.Faults) {
				f.Answer = func(command string) (int, int) {
					if strings.HasPrefix(command, "MODIFY MONITOR ON") {
						return root, ret
					}
					return 0, 0
				}
			})
		}
	}
	for name, c := range map[string]struct {
		spoil   func(*pair)
		verdict stormshield.Verdict
		right   bool
		says    string
	}{
		"held by another session, ret 204": {func(p *pair) { p.sim.HoldMonitor() }, stormshield.Holds, false, "another session holds it"},
		"held by another session, ret 200": {answer(0, 200), stormshield.Differs, false, "FORCE"},
		"no privilege, ret 205":            {answer(0, 205), stormshield.Wrong, true, ""},
		"no privilege, ret 202":            {answer(0, 202), stormshield.Wrong, true, ""},
		"no licence, ret 206":              {answer(0, 206), stormshield.Wrong, false, "licence"},
		"the session is over, root 203":    {answer(203, 0), stormshield.Wrong, false, "ended the new session"},
		"serverd is away, root 501":        {answer(501, 0), stormshield.Wrong, false, "serverd"},
		"a page for browsers": {func(p *pair) {
			p.sim.SetFaults(func(f *snstest.Faults) { f.APIPage = "/api/command" })
		}, stormshield.Wrong, false, "does not come from the API"},
		"a slow answer": {func(p *pair) {
			release := make(chan struct{})
			p.t.Cleanup(func() { close(release) })
			p.sim.SetFaults(func(f *snstest.Faults) {
				f.Answer = func(command string) (int, int) {
					if strings.HasPrefix(command, "MODIFY") {
						<-release
					}
					return 0, 0
				}
			})
		}, stormshield.Wrong, false, "did not answer in time"},
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t)
			c.spoil(p)
			config := configFor(t, p.sim)
			if name == "a slow answer" {
				config.API.Timeout = 500 * time.Millisecond
			}
			found := map[string]stormshield.Finding{}
			for _, f := range stormshield.New(config).Check(t.Context()) {
				found[f.Subject] = f
			}
			f := found["right to the blacklist"]
			text := fmt.Sprint(f.Detail, f.Err, f.Hint)
			if f.Verdict != c.verdict || strings.Contains(f.Hint, "the right mon_write") != c.right || !strings.Contains(text, c.says) {
				t.Errorf("%s: %s", f.Verdict, text)
			}
			if firmware := found["firmware"]; strings.Contains(firmware.Hint, "right") {
				t.Errorf("of the firmware: %v (hint: %s)", firmware.Err, firmware.Hint)
			}
		})
	}
}

func TestOnlyALoginThatTheApplianceAnsweredIsAFailedLogin(t *testing.T) {
	for name, c := range map[string]struct {
		set               func(*snstest.Faults)
		failed, temporary bool
	}{
		"a command without a right, ret 205":     {func(f *snstest.Faults) { f.Ret = map[string]int{"": 205} }, false, false},
		"a command without a right, ret 202":     {func(f *snstest.Faults) { f.Ret = map[string]int{"": 202} }, false, false},
		"the session is known no longer":         {func(f *snstest.Faults) { f.RootCode = 205 }, false, false},
		"a page for browsers":                    {func(f *snstest.Faults) { f.APIPage = "/" }, false, false},
		"a one-time password is demanded":        {func(f *snstest.Faults) { f.NeedTOTP = true }, true, false},
		"locked":                                 {func(f *snstest.Faults) { f.LoginMessage = "ERR_BRUTEFORCE" }, true, true},
		"locked, with a delay that is no number": {func(f *snstest.Faults) { f.LoginMessage, f.LoginDelay = "ERR_BRUTEFORCE", "abc" }, true, true},
		"a message that nobody knows":            {func(f *snstest.Faults) { f.LoginMessage = "ERR_RESTARTING" }, true, true},
	} {
		p := start(t)
		p.sim.SetFaults(c.set)
		_, err := p.flush(addresses(1), nil, false)
		if login := failedLogin(err); err == nil || (login != nil) != c.failed || login != nil && login.Temporary != c.temporary {
			t.Errorf("%s: %v is taken for the failed login %+v", name, err, login)
		}
	}
}

func TestAHostWithAZoneIsReachedOverAPIAndSSH(t *testing.T) {
	probe, err := net.Listen("tcp", "[::1%lo]:0")
	if err != nil {
		t.Skip("no IPv6 on the interface lo: ", err)
	}
	probe.Close()
	for _, kind := range []snstest.CertificateKind{snstest.FactoryCertificate, snstest.ModernCertificate} {
		p := start(t, func(o *snstest.Options) { o.Listen, o.Certificate = "::1", kind })
		config := configFor(t, p.sim)
		config.API.Host, config.SSH.Host = "::1%lo", "::1%lo"
		if kind == snstest.ModernCertificate { // it has the address as a name
			config.API.Trust.ServerName = ""
		}
		if err := stormshield.FirstFault(stormshield.New(config).Check(t.Context())); err != nil {
			t.Error(err)
		}
	}
}

func TestTheNameInACertificateIsComparedWhateverItsCase(t *testing.T) {
	p := start(t)
	config := configFor(t, p.sim)
	config.API.Trust.ServerName = strings.ToLower(snstest.DefaultSerialNumber)
	if err := stormshield.FirstFault(stormshield.New(config).Check(t.Context())); err != nil {
		t.Error(err)
	}
}
