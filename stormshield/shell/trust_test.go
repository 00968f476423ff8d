package shell_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"notification-stormshield/stormshield/shell"
	"notification-stormshield/stormshield/snstest"
)

// withKeys starts an appliance with these kinds of host key.
func withKeys(t *testing.T, kinds ...string) *snstest.Appliance {
	t.Helper()
	sim := snstest.Start(t)
	sim.SetFaults(func(f *snstest.Faults) { f.HostKeys = kinds })
	return sim
}

// knownHosts makes a configuration trust the lines of a file alone.
func knownHosts(t *testing.T, c shell.Config, lines ...string) shell.Config {
	t.Helper()
	c.HostKey, c.KnownHostsPath = "", filepath.Join(t.TempDir(), "known_hosts")
	if err := os.WriteFile(c.KnownHostsPath, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return c
}

func line(name string, key ssh.PublicKey) string {
	return fmt.Sprintf("%s %s %s", name, key.Type(), base64.StdEncoding.EncodeToString(key.Marshal()))
}

func nameOf(sim *snstest.Appliance) string { return fmt.Sprintf("[%s]:%d", sim.Host(), sim.SSHPort()) }

func mustDial(t *testing.T, d *shell.Dialer) {
	t.Helper()
	client, err := d.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	client.Close()
}

func TestASecondLoginWithAPinnedKeyOfAnyTypeCostsOneConnection(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"password", "keyboard-interactive"} {
		for i, kind := range []string{"ed25519", "ecdsa", "rsa"} {
			t.Run(kind+", "+method, func(t *testing.T) {
				t.Parallel()
				sim := withKeys(t, "ed25519", "ecdsa", "rsa")
				sim.SetFaults(func(f *snstest.Faults) { f.NoPassword = method != "password" })
				config := configFor(sim)
				config.HostKey = shell.Fingerprint(sim.HostKeys()[i])
				dialer := shell.NewDialer(config)
				mustDial(t, dialer)
				if n := sim.Stats().SSHConnections; n != i+1 {
					t.Errorf("the first login took %d connections, want %d", n, i+1)
				}
				sim.ResetStats()
				mustDial(t, dialer)
				if n := sim.Stats().SSHConnections; n != 1 {
					t.Errorf("the second login took %d connections, want 1", n)
				}
			})
		}
	}
}

func TestAKeyOfKnownHostsOfAnyTypeCostsOneConnection(t *testing.T) {
	t.Parallel()
	for i, kind := range []string{"ed25519", "ecdsa", "rsa"} {
		for form, name := range map[string]func(string) string{
			"plain": func(n string) string { return n }, "hashed": knownhosts.HashHostname,
		} {
			t.Run(kind+", "+form, func(t *testing.T) {
				t.Parallel()
				sim := withKeys(t, "ed25519", "ecdsa", "rsa")
				mustDial(t, shell.NewDialer(knownHosts(t, configFor(sim), line(name(nameOf(sim)), sim.HostKeys()[i]))))
				if n := sim.Stats().SSHConnections; n != 1 {
					t.Errorf("%d connections, want 1", n)
				}
			})
		}
	}
}

// Two nodes of a pair may share a name in the file, with a key each.
func TestALoginAsksForAnotherKnownKeyIfTheFirstDiffers(t *testing.T) {
	t.Parallel()
	sim := withKeys(t, "ed25519", "rsa")
	config := knownHosts(t, configFor(sim), line(nameOf(sim), key(t, 1)), line(nameOf(sim), sim.HostKeys()[1]))
	dialer := shell.NewDialer(config)
	mustDial(t, dialer)
	sim.ResetStats()
	mustDial(t, dialer)
	if n := sim.Stats().SSHConnections; n != 1 {
		t.Errorf("the second login took %d connections, want 1", n)
	}
}

func TestACertificateOfAKnownAuthorityIsTrusted(t *testing.T) {
	t.Parallel()
	sim := withKeys(t, "ed25519", "rsa")
	sim.SetFaults(func(f *snstest.Faults) { f.HostCertificates = true })
	mustDial(t, shell.NewDialer(knownHosts(t, configFor(sim), "@cert-authority "+line(nameOf(sim), sim.HostCA()))))
	mustDial(t, shell.NewDialer(configFor(sim))) // the pinned key counts, whatever certifies it
	if n := sim.Stats().SSHConnections; n != 2 {
		t.Errorf("%d connections, want one a login", n)
	}
}

func TestAHostKeyErrorNamesItsCause(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		kinds        []string
		certificates bool
		lines        func(sim *snstest.Appliance) []string
		distrust     shell.Distrust
		says         []string
	}{
		"another key of the same type": {
			lines:    func(sim *snstest.Appliance) []string { return []string{"# mine", line(nameOf(sim), key(t, 1))} },
			distrust: shell.KeyDiffers, says: []string{"has for [127.0.0.1]:PORT: ssh-ed25519 " + shell.Fingerprint(key(t, 1)) + " in line 2"},
		},
		"only a key of a type that is not shown": {
			kinds:    []string{"ecdsa"},
			lines:    func(sim *snstest.Appliance) []string { return []string{line(nameOf(sim), key(t, 1))} },
			distrust: shell.KeyDiffers, says: []string{"ssh-ed25519 " + shell.Fingerprint(key(t, 1))},
		},
		"the name without the port": {
			lines:    func(sim *snstest.Appliance) []string { return []string{line(sim.Host(), sim.HostKey())} },
			distrust: shell.NameUnknown, says: []string{"has no line for [127.0.0.1]:PORT; its line for 127.0.0.1 is only for port 22"},
		},
		"another name": {
			lines:    func(sim *snstest.Appliance) []string { return []string{line("192.0.2.1", sim.HostKey())} },
			distrust: shell.NameUnknown, says: []string{"has no line for [127.0.0.1]:PORT"},
		},
		"revoked": {
			lines: func(sim *snstest.Appliance) []string {
				return []string{line(nameOf(sim), sim.HostKey()), "@revoked " + line("*", sim.HostKey())}
			},
			distrust: shell.KeyRevoked, says: []string{"it is revoked by a line @revoked of "},
		},
		"revoked, of a server with other keys": {
			kinds: []string{"ecdsa", "ed25519", "rsa"},
			lines: func(sim *snstest.Appliance) []string {
				return []string{line(nameOf(sim), sim.HostKey()), "@revoked " + line("*", sim.HostKey())}
			},
			distrust: shell.KeyRevoked, says: []string{"it is revoked by a line @revoked of "},
		},
		"revoked authority": {
			certificates: true,
			lines: func(sim *snstest.Appliance) []string {
				return []string{"@cert-authority " + line(nameOf(sim), sim.HostCA()), "@revoked " + line("*", sim.HostCA())}
			},
			distrust: shell.KeyRevoked, says: []string{"it is revoked by a line @revoked of "},
		},
		"an authority for port 22 alone": {
			certificates: true,
			lines:        func(sim *snstest.Appliance) []string { return []string{"@cert-authority " + line("*", sim.HostCA())} },
			distrust:     shell.NameUnknown, says: []string{"has no line for [127.0.0.1]:PORT; its line for 127.0.0.1 is only for port 22"},
		},
		"an authority, and no certificate": {
			lines: func(sim *snstest.Appliance) []string {
				return []string{"@cert-authority " + line(nameOf(sim), sim.HostCA())}
			},
			distrust: shell.NotCertified, says: []string{"names a CA for [127.0.0.1]:PORT (@cert-authority), and the key has no certificate"},
		},
		"another authority": {
			certificates: true,
			lines: func(sim *snstest.Appliance) []string {
				return []string{"@cert-authority " + line(nameOf(sim), key(t, 1))}
			},
			distrust: shell.NotCertified, says: []string{"its certificate is of the CA SHA256:", "names another one for [127.0.0.1]:PORT"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sim := withKeys(t, c.kinds...)
			sim.SetFaults(func(f *snstest.Faults) { f.HostCertificates = c.certificates })
			_, err := shell.NewDialer(knownHosts(t, configFor(sim), c.lines(sim)...)).Dial(t.Context())
			var refused *shell.HostKeyError
			if !errors.As(err, &refused) {
				t.Fatalf("error %v, want a host key that is not trusted", err)
			}
			if refused.Distrust != c.distrust {
				t.Errorf("distrust %d, want %d: %v", refused.Distrust, c.distrust, err)
			}
			fingerprint := func(k ssh.PublicKey) bool { return shell.Fingerprint(k) == refused.Shown }
			if !slices.ContainsFunc(sim.HostKeys(), fingerprint) {
				t.Errorf("the fingerprint %s is of none of the appliance's keys", refused.Shown)
			}
			for _, says := range c.says {
				if says = strings.ReplaceAll(says, "PORT", fmt.Sprint(sim.SSHPort())); !strings.Contains(err.Error(), says) {
					t.Errorf("the error lacks %q: %v", says, err)
				}
			}
			if n := sim.Stats().CredentialsSeen; n > 0 {
				t.Errorf("%d passwords were sent", n)
			}
		})
	}
}

func TestALoginAsksForEveryTypeOfAPinnedKey(t *testing.T) {
	t.Parallel()
	sim := withKeys(t, "rsa", "ecdsa", "ed25519")
	config := configFor(sim)
	config.HostKey = shell.Fingerprint(key(t, 1))
	_, err := shell.NewDialer(config).Dial(t.Context())
	var refused *shell.HostKeyError
	if !errors.As(err, &refused) || refused.Distrust != shell.KeyDiffers || refused.Shown != shell.Fingerprint(sim.HostKeys()[2]) {
		t.Errorf("error %v", err)
	}
	if s := sim.Stats(); s.CredentialsSeen > 0 || s.SSHConnections > 4 {
		t.Errorf("%d passwords in %d connections", s.CredentialsSeen, s.SSHConnections)
	}
}

func TestHostKeysReturnsEveryKeyWithoutALogin(t *testing.T) {
	t.Parallel()
	for name, certificates := range map[string]bool{"plain": false, "certified": true} {
		t.Run(name, func(t *testing.T) {
			sim := withKeys(t, "rsa", "ecdsa", "ed25519")
			sim.SetFaults(func(f *snstest.Faults) { f.HostCertificates = certificates })
			keys, err := shell.HostKeys(t.Context(), shell.Config{Host: sim.Host(), Port: sim.SSHPort()})
			if err != nil {
				t.Fatal(err)
			}
			var got, want []string
			for _, k := range keys {
				got = append(got, shell.Fingerprint(k))
			}
			for _, k := range slices.Backward(sim.HostKeys()) {
				want = append(want, ssh.FingerprintSHA256(k))
			}
			if !slices.Equal(got, want) {
				t.Errorf("keys %q, want %q", got, want)
			}
			if n := sim.Stats().CredentialsSeen; n > 0 {
				t.Errorf("%d credentials were sent", n)
			}
		})
	}
}

func TestACertificateHasTheFingerprintOfItsKey(t *testing.T) {
	t.Parallel()
	certificate := &ssh.Certificate{Key: key(t, 1), SignatureKey: key(t, 2)}
	if got, want := shell.Fingerprint(certificate), ssh.FingerprintSHA256(key(t, 1)); got != want {
		t.Errorf("fingerprint %s, want %s", got, want)
	}
}

func TestNeedsLegacyRecognizesAServerWithOldAlgorithmsOnly(t *testing.T) {
	t.Parallel()
	sim := snstest.Start(t)
	sim.SetFaults(func(f *snstest.Faults) { f.LegacyAlgorithmsOnly = true })
	config := configFor(sim)
	if _, err := shell.NewDialer(config).Dial(t.Context()); !shell.NeedsLegacy(err) {
		t.Errorf("the login's error does not say so: %v", err)
	}
	if _, err := shell.HostKeys(t.Context(), config); !shell.NeedsLegacy(err) {
		t.Errorf("the error about host keys does not say so: %v", err)
	}
	config.LegacyAlgorithms = true
	mustDial(t, shell.NewDialer(config))
	config.Password = "wrong"
	if _, err := shell.NewDialer(config).Dial(t.Context()); shell.NeedsLegacy(err) {
		t.Errorf("another error says so: %v", err)
	}
}
