package acceptance_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"notification-stormshield/stormshield"
	"notification-stormshield/stormshield/acceptance"
	"notification-stormshield/stormshield/flushtest"
	"notification-stormshield/stormshield/serverd"
	"notification-stormshield/stormshield/snstest"
)

func TestCheckOfAGoodApplianceFindsNothingWrong(t *testing.T) {
	t.Parallel()
	for _, language := range []string{"en", "fr"} {
		h := start(t, func(o *snstest.Options) { o.Language = language })
		before := h.Sim.Read("object")
		findings := h.check()
		if err := acceptance.FirstFault(findings); err != nil {
			t.Error(err)
		}
		if len(findings) < 8 {
			t.Errorf("only %d findings: %v", len(findings), findings)
		}
		if !bytes.Equal(before, h.Sim.Read("object")) {
			t.Error("a check changed a file")
		}
		h.WantInForce()
	}
}

func TestCheckNamesEachFaultWithAHint(t *testing.T) {
	t.Parallel()
	faults := func(set func(*snstest.Faults)) func(*harness, *stormshield.Config) {
		return func(h *harness, _ *stormshield.Config) { h.Sim.SetFaults(set) }
	}
	for name, c := range map[string]struct {
		prepare  func(*harness, *stormshield.Config)
		subject  string
		says     string
		hint     string
		failures int // logins that the appliance counted as failed
	}{
		"SSH refused":                           {faults(func(f *snstest.Faults) { f.SSHRefuse = true }), "SSH login", "refused", "switch SSH on", 0},
		"host key changed":                      {func(h *harness, _ *stormshield.Config) { h.Sim.ChangeHostKey() }, "SSH login", "not trusted", "ssh_host_key", 0},
		"SSH password wrong":                    {func(_ *harness, c *stormshield.Config) { c.SSH.Password = "wrong" }, "SSH login", "refused the SSH account", "ssh_password", 1},
		"API port closed":                       {faults(func(f *snstest.Faults) { f.APIRefuse = true }), "API login", "refused", "api_port", 0},
		"certificate changed":                   {func(h *harness, _ *stormshield.Config) { h.Sim.ChangeCertificate() }, "API login", "not trusted", "api_ca_path", 0},
		"certificate not trusted":               {func(_ *harness, c *stormshield.Config) { c.API.Trust = serverd.Trust{} }, "API login", "not trusted", "api_cert_fingerprint", 0},
		"certificate of another":                {func(_ *harness, c *stormshield.Config) { c.API.Trust.ServerName = "other" }, "API login", "belongs to", "set api_server_name: " + snstest.DefaultSerialNumber, 0},
		"API password wrong":                    {func(_ *harness, c *stormshield.Config) { c.API.Password = "wrong" }, "API login", "AUTH_FAILED", "api_password", 1},
		"one-time password demanded":            {faults(func(f *snstest.Faults) { f.NeedTOTP = true }), "API login", "NEED_TOTP_AUTH", "without a one-time password", -1},
		"locked by somebody":                    {faults(func(f *snstest.Faults) { f.LoginMessage, f.LoginDelay = "ERR_BRUTEFORCE", "abc" }), "API login", "ERR_BRUTEFORCE", "the account may be right", -1},
		"a login message nobody knows":          {faults(func(f *snstest.Faults) { f.LoginMessage = "ERR_RESTARTING" }), "API login", "ERR_RESTARTING", "the account may be right", -1},
		"not allowed to the web administration": {faults(func(f *snstest.Faults) { f.APIPage, f.APIStatus = "/", 405 }), "API login", "405", "allow this machine", 0},
		"a page for browsers":                   {faults(func(f *snstest.Faults) { f.APIPage = "/" }), "API login", "page for browsers", "api_port", 0},
		"without mon_write":                     {faults(func(f *snstest.Faults) { f.NoMonWrite = true }), "right to the blacklist", "no right", "mon_write", 0},
		"config_dir missing":                    {func(_ *harness, c *stormshield.Config) { c.ConfigDir += "/nowhere" }, "configuration folder", "cannot be entered", "config_dir", 0},
		"[Host] missing": {func(h *harness, _ *stormshield.Config) {
			_ = h.Sim.Write("object", bytes.Replace(h.Sim.Read("object"), []byte("[Host]"), []byte("[Ghost]"), 1))
		}, "object", "no section [Host]", "restore", 0},
		"a foreign member": {func(h *harness, _ *stormshield.Config) {
			_ = h.Sim.Write("objectgroup", append(h.Sim.Read("objectgroup"), "[Crowdsec]\ncrowdsec_ip_1\npc_admin\n"...))
		}, "objectgroup", "group Crowdsec has members that this program did not make: pc_admin", "web administration", 0},
		"a group of the administrator": {func(_ *harness, c *stormshield.Config) { c.DeleteGroup = "internal_servers" },
			"objectgroup", "srv_backup, srv_mail, net_dmz", "groups of its own", 0},
		"cp missing": {faults(func(f *snstest.Faults) { f.MissingTools = []string{"cp"} }), "tools", "lacks cp", "without cp", 0},
	} {
		t.Run(name, func(t *testing.T) {
			h := start(t)
			config := configFor(t, h.Sim)
			c.prepare(h, &config)
			findings := acceptance.Check(t.Context(), stormshield.New(config))
			var bad []acceptance.Finding
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
			if s := h.Sim.Stats(); c.failures >= 0 && s.SSHAuthFailed+s.APILoginsFailed != c.failures {
				t.Errorf("%d failed logins, want %d", s.SSHAuthFailed+s.APILoginsFailed, c.failures)
			}
		})
	}
}

func TestCheckDoesNotTryALockedAccountOverSSH(t *testing.T) {
	t.Parallel()
	h := start(t)
	config := configFor(t, h.Sim)
	config.API.Password = "wrong"
	for range 3 {
		acceptance.Check(t.Context(), stormshield.New(config))
	}
	if h.Sim.Locked() == 0 {
		t.Fatal("the appliance does not lock")
	}
	before := h.Sim.Stats()
	findings := h.check()
	err := acceptance.FirstFault(findings)
	if err == nil || !strings.Contains(err.Error(), "ERR_BRUTEFORCE") || !strings.Contains(err.Error(), "wait until the lock ends") {
		t.Errorf("check of a locked appliance: %v", err)
	}
	if login := flushtest.FailedLogin(err); login == nil || !login.Temporary || login.Delay <= 0 {
		t.Errorf("the failure is taken for %+v", login)
	}
	if after := h.Sim.Stats(); after.SSHAuthFailed+after.SSHAuthOK != before.SSHAuthFailed+before.SSHAuthOK {
		t.Error("SSH was tried though the API had refused the login")
	}
}

func TestFirstFaultPrefersAFailedLogin(t *testing.T) {
	t.Parallel()
	h := start(t)
	h.Sim.SetFaults(func(f *snstest.Faults) { f.NoMonWrite = true })
	config := configFor(t, h.Sim)
	config.SSH.Password = "wrong"
	findings := acceptance.Check(t.Context(), stormshield.New(config))
	if flushtest.FailedLogin(acceptance.FirstFault(findings)) == nil {
		t.Errorf("found %v", findings)
	}
}

// Another session, a slow appliance and a wrong answer do not mean that a right is missing.
func TestCheckNamesAMissingRightOnlyIfTheAnswerDoes(t *testing.T) {
	t.Parallel()
	answer := func(root, ret int) func(*harness) {
		return func(h *harness) {
			h.Sim.SetFaults(func(f *snstest.Faults) {
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
		prepare func(*harness)
		verdict acceptance.Verdict
		right   bool
		says    string
	}{
		"held by another session, ret 204": {func(h *harness) { h.Sim.HoldMonitor() }, acceptance.Holds, false, "another session holds it"},
		"held by another session, ret 200": {answer(0, 200), acceptance.Differs, false, "FORCE"},
		"no privilege, ret 205":            {answer(0, 205), acceptance.Wrong, true, ""},
		"no privilege, ret 202":            {answer(0, 202), acceptance.Wrong, true, ""},
		"no licence, ret 206":              {answer(0, 206), acceptance.Wrong, false, "licence"},
		"the session is over, root 203":    {answer(203, 0), acceptance.Wrong, false, "ended the new session"},
		"serverd is away, root 501":        {answer(501, 0), acceptance.Wrong, false, "serverd"},
		"a page for browsers": {func(h *harness) {
			h.Sim.SetFaults(func(f *snstest.Faults) { f.APIPage = "/api/command" })
		}, acceptance.Wrong, false, "does not come from the API"},
		"a slow answer": {func(h *harness) {
			release := make(chan struct{})
			h.T.Cleanup(func() { close(release) })
			h.Sim.SetFaults(func(f *snstest.Faults) {
				f.Answer = func(command string) (int, int) {
					if command == "MODIFY MONITOR ON" {
						<-release
					}
					return 0, 0
				}
			})
		}, acceptance.Wrong, false, "did not answer in time"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := start(t)
			c.prepare(h)
			config := configFor(t, h.Sim)
			if name == "a slow answer" {
				config.API.Timeout = 2 * time.Second
			}
			found := map[string]acceptance.Finding{}
			for _, f := range acceptance.Check(t.Context(), stormshield.New(config)) {
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

func TestCheckReadsAnswersInAnotherEncoding(t *testing.T) {
	t.Parallel()
	for name, set := range flushtest.OtherEncodings() {
		t.Run(name, func(t *testing.T) {
			h := start(t)
			h.Sim.SetFaults(set)
			if err := acceptance.FirstFault(h.check()); err != nil {
				t.Error(err)
			}
		})
	}
}

// Without credentials for SSH the findings are those of the API, also where SSH is off.
func TestCheckWithoutSSHTriesOnlyTheAPI(t *testing.T) {
	t.Parallel()
	h := start(t)
	h.Sim.SetFaults(func(f *snstest.Faults) { f.SSHRefuse = true })
	config := configFor(t, h.Sim)
	config.WithoutSSH, config.SSH.Password, config.SSH.HostKey = true, "", ""
	object, objectgroup := h.Sim.Read("object"), h.Sim.Read("objectgroup")
	for _, c := range []struct {
		check    func(context.Context, *stormshield.Appliance) []acceptance.Finding
		subjects []string
	}{
		{acceptance.Check, []string{"SSH", "API login", "firmware", "right to the blacklist"}},
		{acceptance.CheckAndWrite, []string{"SSH", "API login", "firmware", "right to the blacklist", "blocking an address", "what SHOW prints",
			"renewing an entry", "unblocking an address", "IPv6 address", "nothing is left behind"}},
	} {
		var subjects []string
		for _, f := range c.check(t.Context(), stormshield.New(config)) {
			subjects = append(subjects, f.Subject)
			if f.Verdict != acceptance.Holds || f.Detail == "" {
				t.Errorf("%s: %s, %s %v", f.Subject, f.Verdict, f.Detail, f.Err)
			}
			if f.Subject == "SSH" && (!strings.Contains(f.Detail, "no ranges") || !strings.Contains(f.Hint, "ssh_password")) {
				t.Errorf("the row SSH says %q (hint: %s)", f.Detail, f.Hint)
			}
		}
		if !slices.Equal(subjects, c.subjects) {
			t.Errorf("found %q, want %q", subjects, c.subjects)
		}
	}
	h.wantUntouched(object, objectgroup)
	if s := h.Sim.Stats(); s.SSHAuthOK+s.SSHAuthFailed > 0 {
		t.Errorf("%+v", s)
	}
}
