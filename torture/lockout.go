package main

import (
	"context"
	"time"

	"notification-stormshield/plugin/plugintest"
	"notification-stormshield/stormshield/snstest"
)

// lockouts are the ways in which an account is refused.
var lockouts = []struct {
	name   string
	refuse func(*world)
	accept func(context.Context, *world) error
}{
	{"the password was changed", func(w *world) { w.appliance.SetPassword("Another-Horse+8") }, func(ctx context.Context, w *world) error {
		return w.reconfigure(ctx, func(c *plugintest.Configuration) { c.Password = "Another-Horse+8" })
	}},
	{"a one-time password is demanded", func(w *world) {
		w.appliance.SetFaults(func(f *snstest.Faults) { f.NeedTOTP = true })
	}, func(ctx context.Context, w *world) error {
		w.appliance.SetFaults(func(f *snstest.Faults) { f.NeedTOTP = false })
		w.appliance.SetPassword("Another-Horse+8") // the administrator makes an account that needs none
		return w.reconfigure(ctx, func(c *plugintest.Configuration) { c.Password = "Another-Horse+8" })
	}},
}

// lockOut has the appliance refuse the account, and everything come that could
// make the plugin try it again: bans, restarts, processes beside it, test
// alerts. No more than one login may be tried. A corrected configuration is
// tried at once.
func lockOut(ctx context.Context, t *trial) error {
	w, err := newWorld(ctx, t)
	if err != nil {
		return err
	}
	defer w.end()
	w.mustBan(ctx, long, w.truth.fresh(w.random, 3)...)
	if err := w.settle(ctx); err != nil {
		return err
	}
	way := lockouts[t.number%len(lockouts)]
	way.refuse(w)
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
	if err := way.accept(ctx, w); err != nil {
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
		other, err := plugintest.Start(w.binary)
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
