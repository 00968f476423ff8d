package stormshield_test

import (
	"net"
	"strings"
	"testing"

	"notification-stormshield/appliance"
	"notification-stormshield/stormshield"
	"notification-stormshield/stormshield/flushtest"
	"notification-stormshield/stormshield/shell"
	"notification-stormshield/stormshield/snstest"
)

// logIn logs in to the API and over SSH, and out again.
func logIn(t *testing.T, c stormshield.Config) error {
	t.Helper()
	return logInAs(t, stormshield.New(c))
}

func logInAs(t *testing.T, a *stormshield.Appliance) error {
	t.Helper()
	session, err := a.DialAPI(t.Context())
	if err != nil {
		return err
	}
	if err := session.Close(t.Context()); err != nil {
		t.Error(err)
	}
	client, err := a.DialSSH(t.Context())
	if err != nil {
		return err
	}
	return client.Close()
}

func TestAWrongPasswordIsSentOnceWhateverTheServerOffers(t *testing.T) {
	t.Parallel()
	for name, set := range map[string]func(*snstest.Faults){
		"both":                      func(*snstest.Faults) {},
		"keyboard-interactive only": func(f *snstest.Faults) { f.NoPassword = true },
		"password only":             func(f *snstest.Faults) { f.NoKeyboardInteractive = true },
	} {
		t.Run(name, func(t *testing.T) {
			h := start(t)
			h.Sim.SetFaults(set)
			if err := logIn(t, configFor(t, h.Sim)); err != nil {
				t.Errorf("with the right password: %v", err)
			}
			h.Sim.ResetStats()
			config := configFor(t, h.Sim)
			config.SSH.Password = "wrong"
			_, err := stormshield.New(config).Apply(t.Context(), appliance.Change{Files: true, Begin: begun})
			if flushtest.FailedLogin(err) == nil {
				t.Errorf("a wrong password is not known as such: %v", err)
			}
			if n := h.Sim.Stats().SSHAuthFailed; n != 1 {
				t.Errorf("the appliance counted %d failures for one wrong password", n)
			}
		})
	}
}

func TestOnlyALoginThatTheApplianceAnsweredIsAFailedLogin(t *testing.T) {
	t.Parallel()
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
		h := start(t)
		h.Sim.SetFaults(c.set)
		_, err := h.Flush(addresses(1), nil, false)
		if login := flushtest.FailedLogin(err); err == nil || (login != nil) != c.failed || login != nil && login.Temporary != c.temporary {
			t.Errorf("%s: %v is taken for the failed login %+v", name, err, login)
		}
	}
}

func TestAHostWithAZoneIsReachedOverAPIAndSSH(t *testing.T) {
	t.Parallel()
	probe, err := net.Listen("tcp", "[::1%lo]:0")
	if err != nil {
		t.Skip("no IPv6 on the interface lo: ", err)
	}
	probe.Close()
	for _, kind := range []snstest.CertificateKind{snstest.FactoryCertificate, snstest.ModernCertificate} {
		h := start(t, func(o *snstest.Options) { o.Listen, o.Certificate = "::1", kind })
		config := configFor(t, h.Sim)
		config.API.Host, config.SSH.Host = "::1%lo", "::1%lo"
		if kind == snstest.ModernCertificate { // it has the address as a name
			config.API.Trust.ServerName = ""
		}
		if err := logIn(t, config); err != nil {
			t.Error(err)
		}
	}
}

func TestTheNameInACertificateMatchesInAnyCase(t *testing.T) {
	t.Parallel()
	h := start(t)
	config := configFor(t, h.Sim)
	config.API.Trust.ServerName = strings.ToLower(snstest.DefaultSerialNumber)
	if err := logIn(t, config); err != nil {
		t.Error(err)
	}
}

func TestALoginThatTheApplianceDropsIsARefusedLogin(t *testing.T) {
	t.Parallel()
	for _, answer := range []string{"close", "reset", "change", "second-method"} {
		t.Run(answer, func(t *testing.T) {
			h := start(t)
			h.Sim.SetFaults(func(f *snstest.Faults) { f.LoginAnswer = answer })
			_, err := h.Client.Apply(t.Context(), appliance.Change{Files: true, Begin: begun})
			if flushtest.FailedLogin(err) == nil {
				t.Errorf("no login hold-off follows: %v", err)
			}
		})
	}
}

func TestFlushesOpenOneConnectionEachWhateverTheHostKeysType(t *testing.T) {
	t.Parallel()
	h := start(t)
	h.Sim.SetFaults(func(f *snstest.Faults) { f.HostKeys = []string{"ed25519", "rsa"}; f.NoPassword = true })
	config := configFor(t, h.Sim)
	config.SSH.HostKey = shell.Fingerprint(h.Sim.HostKeys()[1])
	h.Client = stormshield.New(config)
	h.MustFlush(addresses(3), nil, true)
	for range 3 {
		h.Sim.ResetStats()
		h.MustFlush(nil, nil, true)
		if n := h.Sim.Stats().SSHConnections; n != 1 {
			t.Errorf("a flush opened %d SSH connections, want 1", n)
		}
	}
}
