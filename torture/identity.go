package main

import (
	"context"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"time"

	"notification-stormshield/plugin/plugintest"
	"notification-stormshield/stormshield/snstest"
)

// strangers are who answers in the appliance's place. Each of its two ends is
// told apart by itself: with another certificate the SSH server is still the one
// that is known.
var strangers = []struct {
	name   string
	byCA   bool // the certificate is trusted by its CA, and not pinned
	appear func(*snstest.Appliance)
	seen   func(snstest.Stats) int // credentials that the end was shown
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

// stranger has somebody else answer in the appliance's place. Nothing is sent
// there, bans go on being recorded, and all is well once the configuration says
// who is to be trusted.
func stranger(ctx context.Context, t *trial) error {
	w, err := quietWorld(ctx, t)
	if err != nil {
		return err
	}
	defer w.end()
	s := strangers[t.choose(len(strangers))]
	if s.byCA {
		ca := filepath.Join(w.folder, "ca.pem")
		if err := errors.Join(os.WriteFile(ca, w.appliance.CA(), 0o600), os.Chown(ca, int(nobody.Uid), int(nobody.Gid))); err != nil {
			return err
		}
		if err := w.reconfigure(ctx, func(c *plugintest.Configuration) {
			c.CertFingerprint, c.CAPath, c.ServerName = "", ca, w.appliance.CertificateName()
		}); err != nil {
			return err
		}
		w.mustBan(ctx, long, w.truth.fresh(w.random, 5)...)
		if err := w.settle(ctx); err != nil {
			return err
		}
	}
	s.appear(w.appliance)
	w.appliance.ResetStats()
	w.mustBan(ctx, long, w.truth.fresh(w.random, 20)...)
	if err := pause(ctx, 5*time.Second); err != nil {
		return err
	}
	if n := s.seen(w.appliance.Stats()); n > 0 {
		w.found.leaks++
		w.found.notef("%s: it saw the credentials %d times", s.name, n)
	}
	if err := w.reconfigure(ctx, func(c *plugintest.Configuration) {
		c.SSHHostKey, c.CertFingerprint = w.appliance.HostKeyFingerprint(), w.appliance.CertificateFingerprint()
		c.CAPath, c.ServerName = "", ""
	}); err != nil {
		return err
	}
	return w.settleAfter(ctx, s.name)
}
