package postgres_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"notification-stormshield/plugin/plugintest"
	"notification-stormshield/plugin/postgres"
)

func TestAnEncryptedConnectionNeedsTheRightCertificate(t *testing.T) {
	needsPostgres(t)
	p := plugintest.StartPostgres(t)
	trusted := switchTLSOn(t, p)
	other := filepath.Join(t.TempDir(), "other.pem")
	certificate, _ := newCertificate(t)
	writeFile(t, other, certificate)
	for _, c := range []struct{ what, host, options, wrong string }{
		{"the right certificate", "127.0.0.1", "sslmode=verify-full&sslrootcert=" + trusted, ""},
		{"no certificate authority", "127.0.0.1", "sslmode=verify-full", "sslrootcert="},
		{"another authority", "127.0.0.1", "sslmode=verify-full&sslrootcert=" + other, "sslrootcert="},
		{"another name of the host", "localhost", "sslmode=verify-full&sslrootcert=" + trusted, "the name in the certificate"},
		{"any name", "localhost", "sslmode=verify-ca&sslrootcert=" + trusted, ""},
		{"no check", "localhost", "sslmode=require", ""},
	} {
		url := strings.NewReplacer("127.0.0.1", c.host, "sslmode=disable", c.options).Replace(p.URL("postgres"))
		d := postgres.Database{URL: url, Name: "a"}
		connection, err := d.Connect(t.Context())
		if c.wrong != "" {
			if err == nil || !strings.Contains(err.Error(), c.wrong) || postgres.IsAway(err) || postgres.IsRefused(err) {
				t.Errorf("%s: %v; away %v", c.what, err, postgres.IsAway(err))
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.what, err)
			continue
		}
		if !get[bool](t, connection, "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()") {
			t.Errorf("%s: the connection is not encrypted", c.what)
		}
		if err := connection.Close(); err != nil {
			t.Error(err)
		}
	}
}

// switchTLSOn gives a server a certificate for 127.0.0.1. It returns the file of the authority that signed it.
func switchTLSOn(t *testing.T, p *plugintest.Postgres) (authority string) {
	t.Helper()
	certificate, key := newCertificate(t)
	data := filepath.Join(p.Folder, "data")
	owner, err := os.Stat(data)
	if err != nil {
		t.Fatal(err)
	}
	user := owner.Sys().(*syscall.Stat_t)
	for name, text := range map[string][]byte{"server.crt": certificate, "server.key": key} {
		path := filepath.Join(data, name)
		writeFile(t, path, text)
		if err := os.Chown(path, int(user.Uid), int(user.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Exec("postgres", "ALTER SYSTEM SET ssl = on"); err != nil {
		t.Fatal(err)
	}
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	authority = filepath.Join(t.TempDir(), "authority.pem")
	writeFile(t, authority, certificate)
	return authority
}

func writeFile(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// newCertificate returns a certificate for 127.0.0.1 that signs itself, and its key.
func newCertificate(t *testing.T) (certificate, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	signed, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	bytes, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: signed}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: bytes})
}
