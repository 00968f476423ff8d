package stormshield_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"notification-stormshield/stormshield/flushtest"
	"notification-stormshield/stormshield/serverd"
	"notification-stormshield/stormshield/shell"
	"notification-stormshield/stormshield/snstest"
)

// newKey returns a new key, and the file of its private part.
func newKey(t *testing.T) (ssh.PublicKey, string) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return key, flushtest.WriteFile(t, "key", pem.EncodeToMemory(block))
}

// passphrase is that of testdata/key, which no appliance accepts. That file has one bcrypt round (ssh-keygen -a 1), so that a
// login is fast.
const passphrase = "open sesame"

func keyWithPassphrase(t *testing.T) (ssh.PublicKey, string) {
	t.Helper()
	const path = "testdata/key"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.ParsePrivateKeyWithPassphrase(text, []byte(passphrase))
	if err != nil {
		t.Fatal(err)
	}
	return key.PublicKey(), path
}

func TestAKeyLogsInOnlyIfTheApplianceKnowsIt(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		key        func(*testing.T) (ssh.PublicKey, string)
		passphrase string
	}{"plain": {newKey, ""}, "with a passphrase": {keyWithPassphrase, passphrase}} {
		t.Run(name, func(t *testing.T) {
			sim := snstest.Start(t)
			sim.SetFaults(func(f *snstest.Faults) { f.PublicKeyOnly = true })
			config := configFor(t, sim)
			key, path := c.key(t)
			config.SSH.Password, config.SSH.PrivateKeyPath, config.SSH.PrivateKeyPassphrase = "", path, c.passphrase
			if err := logIn(t, config); err == nil || !strings.Contains(err.Error(), "refused the SSH account") {
				t.Errorf("with a key that the appliance does not know: %v", err)
			}
			sim.AuthorizeKey(key)
			if err := logIn(t, config); err != nil {
				t.Errorf("with a key that the appliance knows: %v", err)
			}
			config.SSH.PrivateKeyPassphrase = "wrong"
			if err := logIn(t, config); c.passphrase != "" && (err == nil || !strings.Contains(err.Error(), "ssh_private_key_passphrase")) {
				t.Errorf("with a wrong passphrase: %v", err)
			}
		})
	}
}

func TestALoginTrustsOnlyAKeyInKnownHosts(t *testing.T) {
	t.Parallel()
	sim := snstest.Start(t)
	config := configFor(t, sim)
	config.SSH.HostKey = ""
	config.SSH.KnownHostsPath = flushtest.WriteFile(t, "known_hosts", []byte(sim.KnownHosts()+"\n"))
	if err := logIn(t, config); err != nil {
		t.Errorf("with the right known_hosts: %v", err)
	}
	sim.ChangeHostKey()
	sim.ResetStats()
	if err := logIn(t, config); err == nil || !strings.Contains(err.Error(), "ssh_known_hosts_path") {
		t.Errorf("with another key than in known_hosts: %v", err)
	}
	if n := sim.Stats().CredentialsSeen; n != 1 {
		t.Errorf("%d credentials were sent, want only the one of the API", n)
	}
}

func TestOldFirmwareNeedsLegacyAlgorithms(t *testing.T) {
	t.Parallel()
	sim := snstest.Start(t)
	sim.SetFaults(func(f *snstest.Faults) { f.LegacyAlgorithmsOnly = true })
	config := configFor(t, sim)
	if err := logIn(t, config); err == nil || !strings.Contains(err.Error(), "algorithm") {
		t.Errorf("without legacy algorithms: %v", err)
	}
	config.SSH.LegacyAlgorithms = true
	if err := logIn(t, config); err != nil {
		t.Errorf("with legacy algorithms: %v", err)
	}
}

func TestThePasswordIsSentOnlyToATrustedCertificate(t *testing.T) {
	t.Parallel()
	byCA := func(sim *snstest.Appliance, ca string) serverd.Trust {
		return serverd.Trust{CAPath: ca, ServerName: sim.CertificateName()}
	}
	expired := func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }
	early := func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) }
	renamed := func(c *x509.Certificate) {
		c.Subject.CommonName, c.DNSNames, c.IPAddresses = "another", []string{"another.example"}, nil
	}
	renewed := func(*x509.Certificate) {}
	for name, c := range map[string]struct {
		kind    snstest.CertificateKind
		trust   func(sim *snstest.Appliance, ca string) serverd.Trust
		trusted bool
		reissue func(*x509.Certificate) // after it is trusted; nil: it stays
	}{
		"factory, CA and serial number, renewed":       {snstest.FactoryCertificate, byCA, true, renewed},
		"factory, CA and serial number, expired":       {snstest.FactoryCertificate, byCA, false, expired},
		"factory, CA and serial number, not yet valid": {snstest.FactoryCertificate, byCA, false, early},
		"factory, CA and serial number, of another":    {snstest.FactoryCertificate, byCA, false, renamed},
		"modern, CA and name, renewed":                 {snstest.ModernCertificate, byCA, true, renewed},
		"modern, CA and name, expired":                 {snstest.ModernCertificate, byCA, false, expired},
		"modern, CA and name, of another":              {snstest.ModernCertificate, byCA, false, renamed},
		"factory, CA and serial number":                {snstest.FactoryCertificate, byCA, true, nil},
		"factory, CA and no name": {snstest.FactoryCertificate, func(_ *snstest.Appliance, ca string) serverd.Trust {
			return serverd.Trust{CAPath: ca}
		}, false, nil},
		"modern, CA and no name": {snstest.ModernCertificate, func(_ *snstest.Appliance, ca string) serverd.Trust {
			return serverd.Trust{CAPath: ca}
		}, true, nil},
		"fingerprint": {snstest.SelfSigned, func(sim *snstest.Appliance, _ string) serverd.Trust {
			return serverd.Trust{Fingerprint: fingerprint(t, sim)}
		}, true, nil},
		"another fingerprint": {snstest.SelfSigned, func(*snstest.Appliance, string) serverd.Trust {
			return serverd.Trust{Fingerprint: sha256.Sum256(nil)}
		}, false, nil},
		"self-signed, nothing configured": {snstest.SelfSigned, func(*snstest.Appliance, string) serverd.Trust {
			return serverd.Trust{}
		}, false, nil},
		"any": {snstest.SelfSigned, func(*snstest.Appliance, string) serverd.Trust {
			return serverd.Trust{Insecure: true}
		}, true, nil},
	} {
		t.Run(name, func(t *testing.T) {
			sim := snstest.Start(t, func(o *snstest.Options) { o.Certificate = c.kind })
			config := configFor(t, sim)
			config.API.Trust = c.trust(sim, flushtest.WriteFile(t, "ca.pem", sim.CA()))
			if c.reissue != nil {
				sim.ReissueCertificate(c.reissue)
			}
			session, err := serverd.Dial(t.Context(), config.API)
			if c.trusted != (err == nil) {
				t.Errorf("login: %v, want it trusted: %t", err, c.trusted)
			}
			if err != nil && (!strings.Contains(err.Error(), "not trusted") || sim.Stats().CredentialsSeen > 0) {
				t.Errorf("error: %v; credentials shown: %d", err, sim.Stats().CredentialsSeen)
			}
			if session != nil {
				if err := session.Close(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// fingerprint is what `trust` would show.
func fingerprint(t *testing.T, sim *snstest.Appliance) [32]byte {
	t.Helper()
	certificate, err := serverd.Certificate(t.Context(), sim.Host(), sim.APIPort())
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(certificate.Raw)
	if shown := serverd.Fingerprint(sum); shown != sim.CertificateFingerprint() {
		t.Errorf("fingerprint %s, the appliance says %s", shown, sim.CertificateFingerprint())
	}
	return sum
}

func TestAScriptThatALoginShellWouldMisreadIsRefused(t *testing.T) {
	t.Parallel()
	sim := snstest.Start(t)
	client, err := shell.NewDialer(configFor(t, sim).SSH).Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for _, script := range []string{"echo 'a'", "echo !!", "echo a\necho b", "echo a\x00"} {
		if out, err := client.Run(t.Context(), script, nil); err == nil {
			t.Errorf("%q was run: %s", script, out)
		}
	}
}
