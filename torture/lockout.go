package torture

import (
	"errors"
	"os"
	"path/filepath"
	"time"

	"notification-stormshield/plugin/plugintest"
	"notification-stormshield/stormshield/snstest"
)

// lockouts are the reasons for which the appliance refuses an account, and the
// end of each, before the account has another password.
var lockouts = []struct {
	name   string
	refuse func(*harness)
	end    func(*harness)
}{
	{"the password was changed", func(h *harness) { h.Appliance.SetPassword(otherPassword) }, func(*harness) {}},
	{"a one-time password is demanded", func(h *harness) {
		h.Appliance.SetFaults(func(f *snstest.Faults) { f.NeedTOTP = true })
	}, func(h *harness) {
		h.Appliance.SetFaults(func(f *snstest.Faults) { f.NeedTOTP = false })
	}},
	{"another client locked the appliance", lockAppliance, func(h *harness) { h.Appliance.Unlock() }},
}

const otherPassword = "Another-Horse+8"

// lockAppliance logs in with wrong passwords until the appliance is locked.
func lockAppliance(h *harness) {
	other := *h.Harness
	folder, err := os.MkdirTemp("", "stormshield-other-") // another state, without the plugin's hold-off
	h.must(err)
	defer os.RemoveAll(folder)
	other.Folder, other.Configuration.StateDir = folder, filepath.Join(folder, "state")
	other.Configuration.SetPassword("wrong")
	stranger := &harness{try: h.try, Harness: &other}
	for range 5 {
		if h.Appliance.Locked() > 0 {
			return
		}
		_, _ = stranger.command(h.ctx, nil, "check") // it fails
	}
	h.must(errors.New("wrong passwords do not lock the appliance"))
}

// lockOut refuses the account, and then does everything that could make the
// plugin log in: bans, restarts, other processes, test alerts. At most one login
// may be tried. The plugin must try a corrected configuration at once.
func lockOut(t *try) {
	h := newBusyHarness(t)
	way := lockouts[t.choose(len(lockouts))]
	way.refuse(h)
	h.Appliance.ResetStats()
	for range 5 {
		h.provokeLogin()
	}
	if stats := h.Appliance.Stats(); stats.APILoginsFailed+stats.SSHAuthFailed > 1 {
		h.report(others, 1, "%s: %d logins were tried", way.name, stats.APILoginsFailed+stats.SSHAuthFailed)
	}
	way.end(h)
	h.Appliance.SetPassword(otherPassword)
	h.reconfigure(func(c *plugintest.Configuration) { c.SetPassword(otherPassword) })
	h.settle()
}

// provokeLogin does one thing that could make a plugin log in.
func (h *harness) provokeLogin() {
	testAlert := func(p *plugintest.Process) error {
		return p.NotifyWithin(h.ctx, 2*time.Second, h.Configuration.Name, plugintest.TestAlert())
	}
	switch h.random.IntN(4) {
	case 0:
		h.ban(long, h.draw(1)...)
	case 1:
		h.killed = true
		h.restart()
	case 2:
		other, err := h.StartProcess()
		h.must(err)
		defer other.Kill()
		h.must(other.Configure(h.ctx, h.Configuration.YAML()))
		_ = testAlert(other) // it fails
	case 3:
		for range 3 { // CrowdSec repeats a failed notification
			if testAlert(h.Plugin) == nil {
				h.report(others, 1, "the test alert reported success")
			}
		}
	}
	h.pause(time.Second)
	h.pauseUpTo(2500 * time.Millisecond)
}
