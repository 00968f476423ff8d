package torture

import (
	"context"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"

	"notification-stormshield/plugin/plugintest"
)

// processes starts and ends other processes of the binary while bans start, as
// `crowdsec -t`, `cscli notifications test` and reloads do. One process may flush
// at a time, and each ban must be blocked once.
func processes(t *try) {
	h := newBusyHarness(t)
	if t.choose(2) == 0 { // a second CrowdSec on the same host, by mistake
		second, err := h.StartProcess()
		h.must(err)
		h.spare = second
		h.Cleanup(func() { h.spare.Kill() })
		h.must(second.Configure(h.ctx, h.Configuration.YAML()))
	}
	var once []netip.Prefix
	for range 8 {
		if h.spare != nil {
			h.Plugin, h.spare = h.spare, h.Plugin
		}
		kind := other(h.random.IntN(int(kindsOfOthers)))
		if kind == reload {
			h.settle()
		}
		ban := h.drawUpTo(3)
		h.ban(long, ban...)
		if kind != reload { // a process that ends within its flush blocks a ban that the next one blocks again
			once = append(once, ban...)
		}
		h.runOther(kind)
		h.pauseUpTo(1500 * time.Millisecond)
	}
	h.settle()
	if !t.withoutSSH { // each entry is renewed by itself there
		h.checkBlockedOnce(once)
	}
}

// other is a reason for another process of the binary.
type other int

const (
	configurationTest other = iota // crowdsec -t
	notificationTest               // cscli notifications test
	reload                         // SIGHUP: CrowdSec starts a process before it ends the old one
	rootCommand
	userCommand // by another user than the plugin's
	kindsOfOthers
)

// runOther starts another process. A reload replaces the plugin.
func (h *harness) runOther(kind other) {
	process, err := h.StartProcess()
	h.must(err)
	if err := process.Configure(h.ctx, h.Configuration.YAML()); err != nil {
		process.Kill()
		h.Fatal(err)
	}
	if kind == reload {
		h.checkLog()
		h.Plugin.Kill()
		h.Plugin = process
		return
	}
	if kind == notificationTest {
		if err := process.Notify(h.ctx, h.Configuration.Name, plugintest.TestAlert()); err != nil {
			h.report(others, 1, "the test alert failed: %v", err)
		}
	}
	process.Kill()
	switch kind {
	case rootCommand:
		if out, err := h.command(h.ctx, nil, "check"); err != nil {
			h.report(others, 1, "check: %v: %s", err, out)
		}
	case userCommand:
		out, err := h.command(h.ctx, &syscall.Credential{Uid: 1, Gid: 1}, "check")
		if err == nil || !strings.Contains(out, "hint: run this as root") {
			h.report(others, 1, "check as another user: %v: %s", err, out)
		}
	}
}

// command runs a command of the binary, as a user who can read the configuration.
// The user nil is root.
func (h *harness) command(ctx context.Context, user *syscall.Credential, words string) (string, error) {
	file, err := h.WriteConfiguration("*.yaml")
	if err == nil && user != nil {
		err = os.Chown(file, int(user.Uid), int(user.Gid))
	}
	if err != nil {
		return "", err
	}
	return h.Command(ctx, user, words, file)
}

// checkBlockedOnce looks for addresses that the appliance had to block more than
// once by themselves.
func (h *harness) checkBlockedOnce(prefixes []netip.Prefix) {
	count := map[string]int{}
	for _, command := range h.Appliance.Stats().APICommands {
		for word := range strings.FieldsSeq(command) {
			if name, ok := strings.CutPrefix(word, "Name1="); ok && strings.Contains(command, "ADDRESSLIST ADD") {
				count[name]++
			}
		}
	}
	for _, p := range prefixes {
		for _, name := range []string{p.Addr().String(), object(p)} {
			if count[name] > 1 {
				h.report(others, 1, "%s was blocked %d times", p, count[name])
			}
		}
	}
}
