package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"notification-stormshield/plugin/plugintest"
)

// processes has other processes of the binary come and go beside the plugin, as
// `crowdsec -t`, `cscli notifications test` and reloads make them, while bans
// come. One of them flushes at a time, and each ban is blocked once.
func processes(ctx context.Context, t *trial) error {
	w, err := quietWorld(ctx, t)
	if err != nil {
		return err
	}
	defer w.end()
	if t.choose(2) == 0 { // a second CrowdSec on the same host, by mistake
		second, err := w.process()
		if err != nil {
			return err
		}
		defer func() { w.spare.Kill() }()
		w.spare = second
		if err := second.Configure(ctx, w.configuration.YAML()); err != nil {
			return err
		}
	}
	var once []netip.Prefix
	for range 8 {
		if w.spare != nil {
			w.plugin, w.spare = w.spare, w.plugin
		}
		who := visitor(w.random.IntN(int(visitors)))
		if who == reload {
			if err := w.settle(ctx); err != nil {
				return err
			}
		}
		ban := w.truth.fresh(w.random, 1+w.random.IntN(3))
		w.mustBan(ctx, long, ban...)
		if who != reload { // a process that goes within its flush has blocked what the next one blocks again
			once = append(once, ban...)
		}
		if err := w.visit(ctx, who); err != nil {
			return err
		}
		if err := pause(ctx, time.Duration(w.random.IntN(1500))*time.Millisecond); err != nil {
			return err
		}
	}
	if err := w.settle(ctx); err != nil {
		return err
	}
	w.blockedOnce(once)
	return nil
}

// visitor is what starts another process of the binary.
type visitor int

const (
	dry    visitor = iota // crowdsec -t
	test                  // cscli notifications test
	reload                // SIGHUP: the new one starts while the old one goes
	root                  // at the command line
	other                 // user than the plugin's, at the command line
	visitors
)

// visit starts another process, or replaces the plugin as a reload does.
func (w *world) visit(ctx context.Context, who visitor) error {
	process, err := w.process()
	if err != nil {
		return err
	}
	if err := process.Configure(ctx, w.configuration.YAML()); err != nil {
		process.Kill()
		return err
	}
	switch who {
	case dry:
		process.Kill()
	case test:
		if err := process.Notify(ctx, notification, plugintest.TestAlert()); err != nil {
			w.found.other++
			w.found.notef("the test alert was refused: %v", err)
		}
		process.Kill()
	case reload:
		w.lookAtLog()
		w.plugin.Kill()
		w.plugin = process
	case root:
		process.Kill()
		if out, err := w.command(ctx, "check"); err != nil {
			w.found.other++
			w.found.notef("check: %v: %s", err, out)
		}
	case other:
		process.Kill()
		if out, err := w.commandAs(ctx, &syscall.Credential{Uid: 1, Gid: 1}, "check"); err == nil || !strings.Contains(out, "hint: run this as root") {
			w.found.other++
			w.found.notef("check as another user: %v: %s", err, out)
		}
	}
	return nil
}

// command runs a command of the binary on the configuration, as root.
func (w *world) command(ctx context.Context, name string) (string, error) {
	return w.commandAs(ctx, nil, name)
}

// commandAs runs a command of the binary on the configuration, as a user who
// can read that file.
func (w *world) commandAs(ctx context.Context, user *syscall.Credential, name string) (string, error) {
	file, err := os.CreateTemp(w.folder, "stormshield-*.yaml")
	if err != nil {
		return "", err
	}
	defer file.Close()
	if _, err := file.WriteString(w.configuration.YAML()); err != nil {
		return "", err
	}
	if user != nil {
		if err := file.Chown(int(user.Uid), int(user.Gid)); err != nil {
			return "", err
		}
	}
	command := exec.CommandContext(ctx, w.binary, name, "-c", file.Name())
	command.SysProcAttr = &syscall.SysProcAttr{Credential: user}
	out, err := command.CombinedOutput()
	return string(out), err
}

// blockedOnce finds addresses that the appliance was asked more than once to
// block by themselves.
func (w *world) blockedOnce(prefixes []netip.Prefix) {
	count := map[string]int{}
	for _, command := range w.appliance.Stats().APICommands {
		for word := range strings.FieldsSeq(command) {
			if name, ok := strings.CutPrefix(word, "Name1="); ok && strings.Contains(command, "ADDRESSLIST ADD") {
				count[name]++
			}
		}
	}
	for _, p := range prefixes {
		for _, name := range []string{p.Addr().String(), object(p)} {
			if count[name] > 1 {
				w.found.other++
				w.found.notef("%s was blocked %d times", fmt.Sprint(p), count[name])
			}
		}
	}
}
