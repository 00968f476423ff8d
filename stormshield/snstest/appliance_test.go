package snstest_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"notification-stormshield/stormshield/snstest"
)

func TestRebootForgetsEverythingButTheFiles(t *testing.T) {
	a := snstest.Start(t)
	appendTo(t, a, snstest.GroupFile, "[mine]\nsrv_web\n")
	c, client := monitor(t, a), connectSSH(t, a)
	c.block("192.0.2.1", 60)
	a.AdminTakesModify()
	files := a.Read(snstest.GroupFile)
	a.Reboot()
	wantSources(t, a)
	if held, _ := a.MonitorHeld(); held || a.ModifyHeld() {
		t.Error("a right survived")
	}
	if _, err := client.NewSession(); err == nil {
		t.Error("the SSH connection survived")
	}
	if d := c.run("NOP"); d.Code == 100 {
		t.Error("the session survived")
	}
	if !bytes.Equal(files, a.Read(snstest.GroupFile)) {
		t.Error("the files changed")
	}
	monitor(t, a).want(100, "MONITOR ADDRESSLIST ADD Type=BlackList Name1=mine Timeout=60")
	connectSSH(t, a)
}

func TestPasswordCanChange(t *testing.T) {
	a := snstest.Start(t)
	c := connect(t, a)
	a.SetPassword("another")
	if d := newAPIClient(t, a).loginWith(a.User(), snstest.DefaultPassword, ""); d.Msg != "AUTH_FAILED" {
		t.Errorf("the old password: %s", d.Msg)
	}
	c.want(100, "NOP")
	connect(t, a)
	connectSSH(t, a)
}

func TestAdministratorsEditsDoNotLoseEachOther(t *testing.T) {
	a := snstest.Start(t)
	var all sync.WaitGroup
	for n := range 8 {
		all.Go(func() {
			for i := range 10 {
				edit := a.AdminEdit
				if i%2 == 0 {
					edit = a.AdminEditInPlace
				}
				if err := edit(snstest.ObjectFile, func(old []byte) []byte {
					return fmt.Appendf(old, "[Host]\nedit_%d_%d=192.0.2.1\n", n, i)
				}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if got := strings.Count(string(a.Read(snstest.ObjectFile)), "edit_"); got != 80 {
		t.Errorf("%d edits, want 80", got)
	}
	if got := a.Leftovers(); len(got) != 0 {
		t.Errorf("leftovers %q", got)
	}
}

func TestEditInPlaceKeepsTheInode(t *testing.T) {
	a := snstest.Start(t)
	inode := func() os.FileInfo {
		info, err := os.Stat(filepath.Join(a.ConfigDir(), snstest.ObjectFile))
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	grow := func(old []byte) []byte { return append(old, '\n') }
	before := inode()
	if err := a.AdminEditInPlace(snstest.ObjectFile, grow); err != nil || !os.SameFile(before, inode()) {
		t.Errorf("another file after an edit in place, %v", err)
	}
	if err := a.AdminEdit(snstest.ObjectFile, grow); err != nil || os.SameFile(before, inode()) {
		t.Errorf("the same file after an edit by renaming, %v", err)
	}
}

func TestFilesOfAnExistingDiskAreKept(t *testing.T) {
	dir := t.TempDir()
	first, err := snstest.New(snstest.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Write(snstest.ObjectFile, []byte("[Host]\nmine=192.0.2.1\n")); err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second := snstest.Start(t, func(o *snstest.Options) { o.Dir = dir })
	if got := string(second.Read(snstest.ObjectFile)); got != "[Host]\nmine=192.0.2.1\n" {
		t.Errorf("file %q", got)
	}
}

func TestSystemPropertyReportsHighAvailability(t *testing.T) {
	for _, on := range []bool{false, true} {
		c := connect(t, snstest.Start(t, func(o *snstest.Options) { o.HighAvailability = on }))
		keys := c.want(100, "SYSTEM PROPERTY").Serverd[0].Data.Sections[0].Keys
		want := keyXML{"HighAvail", map[bool]string{true: "1", false: "0"}[on]}
		if !slices.Contains(keys, want) {
			t.Errorf("no %v in %v", want, keys)
		}
	}
}

func TestHAInfoDescribesBothAppliancesOfAPair(t *testing.T) {
	connect(t, snstest.Start(t)).want(200, "HA INFO")
	a := snstest.Start(t, func(o *snstest.Options) { o.HighAvailability = true })
	c := connect(t, a)
	for _, passive := range []bool{false, true} {
		a.SetFaults(func(f *snstest.Faults) { f.Passive = passive })
		sections := c.want(100, "HA INFO").Serverd[0].Data.Sections
		if len(sections) != 2 || sections[0].Title != snstest.DefaultSerialNumber || sections[1].Title != snstest.PeerSerialNumber {
			t.Fatalf("sections %+v", sections)
		}
		for i, section := range sections {
			if want := (keyXML{"Mode", map[bool]string{true: "Passive", false: "Active"}[passive == (i == 0)]}); section.Keys[0] != want {
				t.Errorf("%s: %v, want %v", section.Title, section.Keys[0], want)
			}
		}
	}
	a.SetFaults(func(f *snstest.Faults) { f.HAInfo = "other text" })
	if data := c.want(100, "HA INFO").Serverd[0].Data; data.Format != "raw" || data.Raw != "other text" {
		t.Errorf("format %s: %q", data.Format, data.Raw)
	}
}

func handshake(t *testing.T, a *snstest.Appliance, config *tls.Config) (*x509.Certificate, error) {
	t.Helper()
	conn, err := tls.Dial("tcp", net.JoinHostPort(a.Host(), strconv.Itoa(a.APIPort())), config)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0], nil
}

func TestFactoryCertificateHasTheSerialNumberAndNoOtherName(t *testing.T) {
	a := snstest.Start(t)
	leaf, err := handshake(t, a, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	if leaf.Subject.CommonName != a.CertificateName() || a.CertificateName() != snstest.DefaultSerialNumber {
		t.Errorf("common name %q, want %q", leaf.Subject.CommonName, a.CertificateName())
	}
	if len(leaf.DNSNames)+len(leaf.IPAddresses) != 0 {
		t.Errorf("it has other names: %v %v", leaf.DNSNames, leaf.IPAddresses)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(a.CA())
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: pool}); err != nil {
		t.Errorf("its chain: %v", err)
	}
	if _, err := handshake(t, a, &tls.Config{RootCAs: pool, ServerName: a.CertificateName()}); err == nil {
		t.Error("Go looked at the common name")
	}
	sum := sha256.Sum256(leaf.Raw)
	if want := "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:]); a.CertificateFingerprint() != want {
		t.Errorf("fingerprint %s, want %s", a.CertificateFingerprint(), want)
	}
}

func TestOtherCertificatesAreValidForTheirName(t *testing.T) {
	for _, kind := range []snstest.CertificateKind{snstest.ModernCertificate, snstest.SelfSigned} {
		a := snstest.Start(t, func(o *snstest.Options) { o.Certificate = kind })
		verify := func() error {
			pool := x509.NewCertPool()
			pool.AppendCertsFromPEM(a.CA())
			for _, name := range []string{"", a.CertificateName()} { // "": the address dialled
				if _, err := handshake(t, a, &tls.Config{RootCAs: pool, ServerName: name}); err != nil {
					return err
				}
			}
			return nil
		}
		if err := verify(); err != nil {
			t.Errorf("kind %d: %v", kind, err)
		}
		before := a.CertificateFingerprint()
		a.ChangeCertificate()
		if a.CertificateFingerprint() == before {
			t.Errorf("kind %d: the certificate stayed", kind)
		}
		if err := verify(); err != nil {
			t.Errorf("kind %d after a change: %v", kind, err)
		}
	}
}
