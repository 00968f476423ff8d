package torture

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"time"

	"notification-stormshield/plugin/plugintest"
	"notification-stormshield/stormshield/snstest"
)

// strangers are servers in the place of the appliance. Only SSH or only the API
// is another server each time.
var strangers = []struct {
	name   string
	byCA   bool // the plugin trusts the certificate by its CA, and pins none
	appear func(*snstest.Appliance)
	seen   func(snstest.Stats) int // how often the other server received credentials
}{
	{"another host key", false, (*snstest.Appliance).ChangeHostKey, sshLogins},
	{"another certificate than the pinned one", false, (*snstest.Appliance).ChangeCertificate, apiLogins},
	{"a certificate of another CA", true, (*snstest.Appliance).ChangeCertificate, apiLogins},
	{"an expired certificate", true, func(a *snstest.Appliance) {
		a.ReissueCertificate(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
	}, apiLogins},
	{"a certificate of another name", true, func(a *snstest.Appliance) {
		a.ReissueCertificate(func(c *x509.Certificate) { c.Subject.CommonName = "another" })
	}, apiLogins},
}

func sshLogins(s snstest.Stats) int { return s.SSHAuthOK + s.SSHAuthFailed }
func apiLogins(s snstest.Stats) int { return s.APILoginsOK + s.APILoginsFailed }

// stranger replaces the appliance by another server. The plugin must send it no
// credentials, continue to record bans, and recover when the configuration trusts
// the other server.
func stranger(t *try) {
	h := newBusyHarness(t)
	s := strangers[t.choose(len(strangers))]
	if s.byCA {
		ca := filepath.Join(h.Folder, "ca.pem")
		t.must(os.WriteFile(ca, h.Appliance.CA(), 0o600))
		t.must(os.Chown(ca, int(nobody.Uid), int(nobody.Gid)))
		h.reconfigure(func(c *plugintest.Configuration) {
			c.CertFingerprint, c.CAPath, c.ServerName = "", ca, h.Appliance.CertificateName()
		})
		h.ban(long, h.draw(5)...)
		h.settle()
	}
	s.appear(h.Appliance)
	h.Appliance.ResetStats()
	h.ban(long, h.draw(20)...)
	h.pause(5 * time.Second)
	if n := s.seen(h.Appliance.Stats()); n > 0 {
		h.report(leaks, 1, "%s: the other server received the credentials %d times", s.name, n)
	}
	h.reconfigure(func(c *plugintest.Configuration) {
		c.SSHHostKey, c.CertFingerprint = h.Appliance.HostKeyFingerprint(), h.Appliance.CertificateFingerprint()
		c.CAPath, c.ServerName = "", ""
	})
	h.settleAfter(s.name)
}
