package main

import (
	"context"
	"time"

	"notification-stormshield/plugin/plugintest"
	"notification-stormshield/stormshield/snstest"
)

// strangers has somebody else answer in the appliance's place: another host
// key, another certificate. Nothing is sent to them, and bans go on being
// recorded.
func strangers(ctx context.Context, t *trial) error {
	w, err := quietWorld(ctx, t)
	if err != nil {
		return err
	}
	defer w.end()
	// Each of the two ends is told apart by itself: with another certificate the
	// SSH server is still the one that is known.
	change, seen := w.appliance.ChangeCertificate, func(s snstest.Stats) int { return s.APILoginsOK + s.APILoginsFailed }
	if t.choose(2) == 0 {
		change, seen = w.appliance.ChangeHostKey, func(s snstest.Stats) int { return s.SSHAuthOK + s.SSHAuthFailed }
	}
	change()
	w.appliance.ResetStats()
	w.mustBan(ctx, long, w.truth.fresh(w.random, 20)...)
	if err := pause(ctx, 5*time.Second); err != nil {
		return err
	}
	if n := seen(w.appliance.Stats()); n > 0 {
		w.found.leaks++
		w.found.notef("a stranger saw the credentials %d times", n)
	}
	if err := w.reconfigure(ctx, func(c *plugintest.Configuration) {
		c.HostKey, c.CertFingerprint = w.appliance.HostKeyFingerprint(), w.appliance.CertificateFingerprint()
	}); err != nil {
		return err
	}
	return w.settle(ctx)
}
