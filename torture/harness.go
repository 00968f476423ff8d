package torture

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"notification-stormshield/plugin/plugintest"
	"notification-stormshield/stormshield/snstest"
)

const (
	// Short times, so that many flushes fit into a try.
	updateFrequency = time.Second
	debounce        = 50 * time.Millisecond

	// recovery is how long the plugin may take until nothing differs.
	recovery = 90 * time.Second

	// shortestReassert is the least value of reassert_every.
	shortestReassert = 10 * time.Second

	// steady is how long nothing may differ before a try goes on.
	steady = 400 * time.Millisecond

	long = time.Hour // a ban that outlasts the try
)

// nobody is the user of the plugin, as under CrowdSec.
var nobody = syscall.Credential{Uid: 65534, Gid: 65534}

// harness is an appliance, a plugin, and what must hold there.
type harness struct {
	*try
	*plugintest.Harness
	spare         *plugintest.Process // of a second CrowdSec; nil without one
	expected      expected
	administrator administrator
	kept          map[string]bool // objects that stay, because the administrator uses them
	broken        bool            // the administrator's own lines have faults
	killed        bool            // the torture killed the plugin
	protected     []netip.Prefix  // bans that must stay enforced
	rules         []string        // of the plugin, on the appliance
}

// newHarness makes an appliance, and starts a plugin for it.
func newHarness(t *try, options ...func(*snstest.Options)) *harness {
	t.Helper()
	o := snstest.Options{SessionIdle: 20 * time.Second} // each killed plugin leaves a session
	for _, set := range options {
		set(&o)
	}
	p, err := plugintest.New(plugintest.Options{
		Binary: t.Binary, User: &nobody, Appliance: o,
		Configuration: plugintest.Configuration{
			Name: "torture", UpdateFrequency: updateFrequency, Debounce: debounce, Prometheus: plugintest.NewPrometheus(),
		},
	})
	t.must(err)
	if t.withoutSSH {
		p.Configuration.BlacklistTimeout, p.Configuration.ReassertEvery = time.Minute, shortestReassert // entries are renewed within a try
	}
	if t.byRule {
		p.Configuration.Enforce, p.Configuration.Rule.ActivateEvery = ways[t.random.IntN(2)], activateEvery[t.random.IntN(3)]
	}
	h := &harness{try: t, Harness: p, expected: newExpected(), administrator: newAdministrator(p.Appliance), kept: map[string]bool{}}
	h.setWithoutSSH(t.withoutSSH)
	t.Cleanup(h.end)
	t.Cleanup(h.scrape())
	if t.byRule {
		h.must(h.administrator.writePolicy(manyRules()))
		h.installRule()
	}
	t.must(h.start())
	return h
}

// newBusyHarness is a new harness with a few bans in force.
func newBusyHarness(t *try) *harness {
	t.Helper()
	h := newHarness(t)
	h.ban(long, h.draw(3)...)
	h.settle()
	return h
}

// start starts a plugin on the present state.
func (h *harness) start() error {
	h.killed = false
	return h.Start(h.ctx)
}

// reconfigure sends the plugin a changed configuration.
func (h *harness) reconfigure(edit func(*plugintest.Configuration)) {
	h.Helper()
	edit(&h.Configuration)
	h.must(h.Plugin.Configure(h.ctx, h.Configuration.YAML()))
}

// setWithoutSSH takes the credentials for SSH from the configuration, or puts them back. The plugin reads it at its next start.
// Without them the ranges in force end, and may come back with them. New ranges are refused meanwhile.
func (h *harness) setWithoutSSH(without bool) {
	changed := without != h.Configuration.WithoutSSH
	h.Configuration.WithoutSSH, h.expected.noRanges = without, without
	for p, until := range h.expected.until {
		if changed && !p.IsSingleIP() {
			delete(h.expected.until, p)
			extend(h.expected.unconfirmed, []netip.Prefix{p}, until)
		}
	}
}

// reassertEvery configures the time between two re-asserts.
func (h *harness) reassertEvery(every time.Duration) {
	h.Helper()
	h.reconfigure(func(c *plugintest.Configuration) { c.ReassertEvery = every })
}

// maybeRemoveAwk draws whether the appliance has awk.
func (h *harness) maybeRemoveAwk() {
	if h.random.IntN(2) == 0 {
		h.RemoveAwk()
	}
}

// kill sends SIGKILL to the plugin.
func (h *harness) kill() {
	h.killed = true
	_ = syscall.Kill(h.Plugin.PID(), syscall.SIGKILL)
}

// stop kills the plugin and waits for its end.
func (h *harness) stop() {
	h.checkLog()
	h.kill()
	h.Plugin.Kill()
}

// restart replaces the plugin after its process was killed or has ended.
func (h *harness) restart() {
	h.Helper()
	h.checkLog()
	h.Plugin.Kill()
	h.must(h.start())
}

// draw returns n new prefixes.
func (h *harness) draw(n int) []netip.Prefix { return h.expected.draw(h.random, n) }

// drawAddresses returns n new addresses.
func (h *harness) drawAddresses(n int) []netip.Prefix { return h.expected.drawKind(h.random, n, false) }

// drawUpTo returns 1 to n new prefixes.
func (h *harness) drawUpTo(n int) []netip.Prefix { return h.draw(1 + h.random.IntN(n)) }

// ban sends the plugin an alert that it must acknowledge.
func (h *harness) ban(duration time.Duration, prefixes ...netip.Prefix) {
	if err := h.tryBan(duration, prefixes...); err != nil {
		h.report(others, 1, "a ban was refused: %v", err)
	}
}

// tryBan sends the plugin an alert. After an error the plugin may know the ban.
func (h *harness) tryBan(duration time.Duration, prefixes ...netip.Prefix) error {
	alert := plugintest.Ban(duration, prefixes...)
	if err := h.Plugin.Notify(h.ctx, h.Configuration.Name, alert.Text()); err != nil {
		extend(h.expected.unconfirmed, prefixes, alert.End())
		return fmt.Errorf("notify: %w", err)
	}
	extend(h.expected.until, prefixes, alert.End())
	return nil
}

// settle waits until the appliance is as it must be, and stays so. It reports
// each difference that remains.
func (h *harness) settle() { h.settleAfter("none") }

// settleAfter is settle. If a difference remains, its report names the trouble before it. What enforces must become right by itself.
// Without a filter rule, a small change does not write the files, so settleAfter asks for flushes until they are right.
func (h *harness) settleAfter(trouble string) { h.settleWithin(recovery, trouble) }

// settleWithin is settleAfter with another time for the plugin.
func (h *harness) settleWithin(recovery time.Duration, trouble string) {
	h.Helper()
	if h.usesRule() {
		h.reportAfter(h.await(h.compareAll, recovery), trouble)
		return
	}
	d := h.await(h.compareEnforced, recovery)
	for end := time.Now().Add(recovery); d.isEmpty() && !h.Configuration.WithoutSSH; {
		out, err := h.command(h.ctx, nil, "flush")
		if d = h.await(h.compareAll, 3*time.Second); d.isEmpty() {
			return
		}
		if time.Now().Before(end) {
			d = difference{} // bans may have ended since the flush
		} else if err != nil {
			h.Logf("flush: %v: %s", err, out)
		}
	}
	h.reportAfter(d, trouble)
}

// reportAfter reports a difference that remains, and names the trouble before it.
func (h *harness) reportAfter(d difference, trouble string) {
	h.Helper()
	if d.report(h.try); !d.isEmpty() {
		h.Logf("this is so after the trouble: %s\n    %s", trouble, h.tail())
	}
}

// await waits until a comparison finds no difference for some time. It returns the difference that remains.
func (h *harness) await(compare func(time.Time) difference, within time.Duration) difference {
	h.Helper()
	deadline := time.Now().Add(within)
	var since time.Time // nothing differs
	for {
		now := time.Now()
		d := compare(now)
		switch {
		case !d.isEmpty():
			since = time.Time{}
		case since.IsZero():
			since = now
		case now.Sub(since) > steady:
			return d
		}
		if !d.isEmpty() && now.After(deadline) {
			return d
		}
		h.pause(20 * time.Millisecond)
	}
}

// tail returns the end of the plugin's log.
func (h *harness) tail() string {
	log := h.Plugin.Log()
	var text []string
	for _, line := range log.Since(max(0, log.Len()-6)) {
		text = append(text, line.Text)
	}
	return strings.Join(text, "\n    ")
}

// checkSecrets looks for a password in a text.
func (h *harness) checkSecrets(where, text string) {
	h.checkFor(where, text, h.Appliance.Password(), h.Configuration.SSHPassword)
}

// checkFor reports a secret in a text.
func (h *harness) checkFor(where, text string, secrets ...string) {
	for _, secret := range secrets {
		for _, form := range []string{secret, url.QueryEscape(secret), base64.StdEncoding.EncodeToString([]byte(secret))} {
			if strings.Contains(text, form) {
				h.report(leaks, 1, "a password in %s: %s", where, text)
				return
			}
		}
	}
}

// checkLog looks for passwords and crashes in the plugin's log.
func (h *harness) checkLog() {
	for _, line := range h.Plugin.Log().Since(0) {
		h.checkSecrets("the log", line.Text)
		if strings.Contains(line.Text, "panic") || line.Level == "" && strings.Contains(line.Text, "goroutine") {
			h.report(crashes, 1, "a crash: %s", line.Text)
		}
	}
	if !h.killed && h.Plugin.Exited() {
		h.report(crashes, 1, "the plugin ended by itself: %s", h.tail())
	}
}

// checkState looks for files of the state that others can read, or that the
// plugin cannot write.
func (h *harness) checkState() {
	err := filepath.WalkDir(h.Configuration.StateDir, func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			h.report(leaks, 1, "others can read %s: %s", path, info.Mode())
		}
		if err == nil && info.Sys().(*syscall.Stat_t).Uid != nobody.Uid {
			h.report(others, 1, "the plugin cannot write %s", path)
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // SQLite's files come and go
		h.report(others, 1, "the state: %v", err)
	}
}

// end checks what must hold after every try, and closes the harness.
func (h *harness) end() {
	defer h.Close()
	if h.Plugin == nil {
		return
	}
	h.checkLog()
	h.checkState()
	stats := h.Appliance.Stats()
	if stats.Lockouts > 0 {
		h.report(lockedOut, stats.Lockouts, "%d lock-outs", stats.Lockouts)
	}
	if stats.Evictions > 0 {
		h.report(evictions, stats.Evictions, "%d evictions", stats.Evictions)
	}
}
