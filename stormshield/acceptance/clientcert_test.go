package acceptance_test

import (
	"crypto/x509"
	"errors"
	"strings"
	"testing"
	"time"

	"notification-stormshield/appliance"
	"notification-stormshield/stormshield"
	"notification-stormshield/stormshield/acceptance"
	"notification-stormshield/stormshield/flushtest"
	"notification-stormshield/stormshield/snstest"
)

func TestCheckLogsInWithAClientCertificate(t *testing.T) {
	t.Parallel()
	h := start(t)
	config := flushtest.Certified(t, configFor(t, h.Sim), h.Sim, func(*x509.Certificate) {})
	findings := acceptance.CheckAndWrite(t.Context(), stormshield.New(config))
	if err := acceptance.FirstFault(findings); err != nil {
		t.Error(err)
	}
	if f := finding(findings, "API login"); !strings.HasPrefix(f.Detail, "of the client certificate "+config.API.ClientCertPath+", rights base") {
		t.Errorf("found %+v", f)
	}
	h.Sim.SetFaults(func(f *snstest.Faults) { f.NoMonWrite = true })
	findings = acceptance.Check(t.Context(), stormshield.New(config))
	if f := finding(findings, "right to the blacklist"); !strings.Contains(f.Hint, "give the account of the client certificate "+config.API.ClientCertPath+" the right mon_write") {
		t.Errorf("found %v (hint: %s)", f.Err, f.Hint)
	}
}

func TestCheckNamesTheKeysOfAClientCertificate(t *testing.T) {
	t.Parallel()
	h := start(t)
	expired := flushtest.Certified(t, configFor(t, h.Sim), h.Sim, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Hour) })
	var refused *appliance.LoginError
	if err := acceptance.FirstFault(acceptance.Check(t.Context(), stormshield.New(expired))); !errors.As(err, &refused) || !strings.Contains(err.Error(), "(hint: correct api_client_cert_path and api_client_key_path:") {
		t.Errorf("an expired certificate: %v", err)
	}
	missing := flushtest.Certified(t, configFor(t, h.Sim), h.Sim, func(*x509.Certificate) {})
	missing.API.ClientKeyPath += ".gone"
	if err := acceptance.FirstFault(acceptance.Check(t.Context(), stormshield.New(missing))); err == nil ||
		!strings.Contains(err.Error(), "api_client_key_path: "+missing.API.ClientKeyPath) || !strings.Contains(err.Error(), "see the api_ keys") {
		t.Errorf("no key: %v", err)
	}
}
