package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"notification-stormshield/plugin/plugintest"
	"notification-stormshield/stormshield/snstest"
)

// lockouts are the ways in which an account is refused, and how the
// administrator ends that, before giving the plugin another password.
var lockouts = []struct {
	name   string
	refuse func(context.Context, *world) error
	end    func(*world)
}{
	{"the password was changed", func(_ context.Context, w *world) error {
		w.appliance.SetPassword(otherPassword)
		return nil
	}, func(*world) {}},
	{"a one-time password is demanded", func(_ context.Context, w *world) error {
		w.appliance.SetFaults(func(f *snstest.Faults) { f.NeedTOTP = true })
		return nil
	}, func(w *world) {
		w.appliance.SetFaults(func(f *snstest.Faults) { f.NeedTOTP = false })
	}},
	{"somebody else locked the appliance", somebodyLocks, func(w *world) { w.appliance.Unlock() }},
}

const otherPassword = "Another-Horse+8"

// somebodyLocks logs in with wrong passwords until the appliance is locked.
func somebodyLocks(ctx context.Context, w *world) error {
	other := *w
	other.folder = filepath.Join(w.folder, "somebody")
	other.configuration.StateDir = filepath.Join(other.folder, "state") // which is not there: no hold-off is kept to
	other.configuration.SetPassword("wrong")
	if err := os.Mkdir(other.folder, 0o700); err != nil {
		return err
	}
	for range 5 {
		if w.appliance.Locked() > 0 {
			return nil
		}
		_, _ = other.command(ctx, "check") // refused
	}
	return errors.New("the appliance is not locked by wrong passwords")
}

// lockOut has the appliance refuse the account, and everything come that could
// make the plugin try it again: bans, restarts, processes beside it, test
// alerts. No more than one login may be tried. A corrected configuration is
// tried at once.
func lockOut(ctx context.Context, t *trial) error {
	w, err := quietWorld(ctx, t)
	if err != nil {
		return err
	}
	defer w.end()
	way := lockouts[t.choose(len(lockouts))]
	if err := way.refuse(ctx, w); err != nil {
		return err
	}
	w.appliance.ResetStats()
	for range 5 {
		if err := w.pester(ctx); err != nil {
			return err
		}
	}
	if stats := w.appliance.Stats(); stats.APILoginsFailed+stats.SSHAuthFailed > 1 {
		w.found.other++
		w.found.notef("%s: %d logins were tried", way.name, stats.APILoginsFailed+stats.SSHAuthFailed)
	}
	way.end(w)
	w.appliance.SetPassword(otherPassword)
	if err := w.reconfigure(ctx, func(c *plugintest.Configuration) { c.SetPassword(otherPassword) }); err != nil {
		return err
	}
	return w.settle(ctx)
}

// pester does one of what could make a plugin log in.
func (w *world) pester(ctx context.Context) error {
	switch w.random.IntN(4) {
	case 0:
		w.mustBan(ctx, long, w.truth.fresh(w.random, 1)...)
	case 1:
		w.killed = true
		if err := w.restart(ctx); err != nil {
			return err
		}
	case 2:
		other, err := w.process()
		if err != nil {
			return err
		}
		defer other.Kill()
		if err := other.Configure(ctx, w.configuration.YAML()); err != nil {
			return err
		}
		_ = other.NotifyWithin(ctx, 2*time.Second, notification, plugintest.TestAlert()) // refused
	case 3:
		for range 3 { // CrowdSec sends again what was refused
			if w.plugin.NotifyWithin(ctx, 2*time.Second, notification, plugintest.TestAlert()) == nil {
				w.found.other++
				w.found.notef("the test alert said that all is well")
			}
		}
	}
	return pause(ctx, time.Duration(1000+w.random.IntN(2500))*time.Millisecond)
}
