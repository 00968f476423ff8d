package stormshield_test

import (
	"context"
	"crypto/x509"
	"sync"
	"testing"
	"time"

	"notification-stormshield/appliance"
	"notification-stormshield/stormshield"
	"notification-stormshield/stormshield/acceptance"
	"notification-stormshield/stormshield/snstest"
)

// unread is how many bytes of a connection the client leaves unread at most when it closes it: a TLS alert, or the end of an SSH channel.
const unread = 100

func TestTheClientCountsWhatTheApplianceCounts(t *testing.T) {
	t.Parallel()
	h := start(t)
	flushed, end := context.WithCancel(t.Context())
	var scrape sync.WaitGroup
	scrape.Go(func() {
		for before := (appliance.Observed{}); flushed.Err() == nil; {
			seen := h.Client.Observed()
			if seen.API.Sent < before.API.Sent || seen.SSH.Received < before.SSH.Received {
				t.Errorf("%+v after %+v", seen, before)
				return
			}
			before = seen
		}
	})
	h.MustFlush(append(addresses(10), prefixes("203.0.113.0/24")...), nil, false)
	h.MustFlush(nil, addresses(10), true)
	end()
	scrape.Wait()
	h.wantCounted(2, 2)
	if err := acceptance.FirstFault(acceptance.Check(t.Context(), h.Client)); err != nil {
		t.Fatal(err)
	}
	h.wantCounted(3, 3)
}

// wantCounted waits until the appliance has read everything and has counted what it sent, and compares its counts with those of the client.
func (h *harness) wantCounted(api, ssh int) {
	h.T.Helper()
	var seen appliance.Observed
	var s snstest.Stats
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		seen, s = h.Client.Observed(), h.Sim.Stats()
		isCounted := seen.API.Received <= s.APIBytesOut && seen.SSH.Received <= s.SSHBytesOut // the appliance counts bytes after it has sent them
		if isCounted && seen.API.Sent == s.APIBytesIn && seen.SSH.Sent == s.SSHBytesIn {
			break
		}
	}
	want := appliance.Observed{
		API:   appliance.Traffic{Logins: int64(s.APILoginsOK), Refused: int64(s.APILoginsFailed), Sent: s.APIBytesIn, Received: seen.API.Received},
		SSH:   appliance.Traffic{Logins: int64(s.SSHAuthOK), Refused: int64(s.SSHAuthFailed), Sent: s.SSHBytesIn, Received: seen.SSH.Received},
		Model: seen.Model, Version: seen.Version, CertificateEnds: seen.CertificateEnds,
	}
	if seen != want {
		h.T.Errorf("the client counts %+v, and the appliance %+v", seen, want)
	}
	for server, left := range map[string][2]int64{
		"API": {s.APIBytesOut - seen.API.Received, int64(s.APIConnections)},
		"SSH": {s.SSHBytesOut - seen.SSH.Received, int64(s.SSHConnections)},
	} {
		if left[0] < 0 || left[0] > left[1]*unread {
			h.T.Errorf("%s: the client counts %d bytes fewer than the appliance sent, in %d connections", server, left[0], left[1])
		}
	}
	if s.APILoginsOK < api || s.SSHAuthOK != ssh {
		h.T.Errorf("%d logins to the API and %d over SSH, want at least %d and %d", s.APILoginsOK, s.SSHAuthOK, api, ssh)
	}
}

func TestOnlyAnAnswerThatRefusesALoginCountsAsRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		config   func(*stormshield.Config)
		faults   func(*snstest.Faults)
		api, ssh appliance.Traffic
	}{
		"wrong password":      {config: func(c *stormshield.Config) { c.API.Password = "wrong" }, api: appliance.Traffic{Refused: 1}},
		"one-time password":   {faults: func(f *snstest.Faults) { f.NeedTOTP = true }, api: appliance.Traffic{Refused: 1}},
		"locked":              {faults: func(f *snstest.Faults) { f.LoginMessage = "ERR_BRUTEFORCE" }},
		"restarting":          {faults: func(f *snstest.Faults) { f.LoginMessage = "ERR_RESTARTING" }},
		"nobody answers":      {faults: func(f *snstest.Faults) { f.APIRefuse = true }},
		"untrusted":           {config: func(c *stormshield.Config) { c.API.Trust.CAPath, c.API.Trust.Fingerprint = "", [32]byte{1} }},
		"wrong SSH password":  {config: func(c *stormshield.Config) { c.SSH.Password = "wrong" }, api: appliance.Traffic{Logins: 1}, ssh: appliance.Traffic{Refused: 1}},
		"another question":    {faults: func(f *snstest.Faults) { f.LoginAnswer = "second-method" }, api: appliance.Traffic{Logins: 1}, ssh: appliance.Traffic{Refused: 1}},
		"SSH ends the login":  {faults: func(f *snstest.Faults) { f.LoginAnswer = "close" }, api: appliance.Traffic{Logins: 1}},
		"nobody answers SSH":  {faults: func(f *snstest.Faults) { f.SSHRefuse = true }, api: appliance.Traffic{Logins: 1}},
		"an untrusted server": {config: func(c *stormshield.Config) { c.SSH.HostKey = "SHA256:other" }, api: appliance.Traffic{Logins: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := start(t)
			config := configFor(t, h.Sim)
			if c.config != nil {
				c.config(&config)
			}
			if c.faults != nil {
				h.Sim.SetFaults(c.faults)
			}
			client := stormshield.New(config)
			if err := logInAs(t, client); err == nil {
				t.Error("the login succeeds")
			}
			seen := client.Observed()
			for _, got := range []*appliance.Traffic{&seen.API, &seen.SSH} {
				got.Sent, got.Received = 0, 0
			}
			if seen.API != c.api || seen.SSH != c.ssh {
				t.Errorf("the client counts %+v, want %+v and %+v", seen, c.api, c.ssh)
			}
		})
	}
}

func TestTheClientObservesTheFirmwareAndTheEndOfTheCertificate(t *testing.T) {
	t.Parallel()
	h := start(t)
	flush := func() {
		t.Helper()
		if _, err := h.Client.Apply(t.Context(), appliance.Change{Pending: appliance.Pending{Block: []appliance.Ban{
			{Prefix: addresses(1)[0], Until: time.Now().Add(time.Hour)}}}, Begin: begun, AskSerial: true}); err != nil {
			t.Fatal(err)
		}
	}
	if seen := h.Client.Observed(); seen != (appliance.Observed{}) {
		t.Errorf("before the first login: %+v", seen)
	}
	flush()
	before := h.Client.Observed()
	if before.Model != "EVA2" || before.Version != "4.8.15" || time.Until(before.CertificateEnds) < 9*365*24*time.Hour {
		t.Errorf("%+v", before)
	}
	ends := time.Now().Add(30 * 24 * time.Hour).Truncate(time.Second)
	h.Sim.ReissueCertificate(func(c *x509.Certificate) { c.NotAfter = ends })
	h.Sim.SetFaults(func(f *snstest.Faults) { f.Version = "4.9.1" })
	flush()
	if after := h.Client.Observed(); after.Version != "4.9.1" || !after.CertificateEnds.Equal(ends) {
		t.Errorf("%+v, want 4.9.1 and %s", after, ends)
	}
}
