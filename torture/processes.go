package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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
		second, err := plugintest.Start(w.binary)
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
	person                // somebody at the command line
	visitors
)

// visit starts another process, or replaces the plugin as a reload does.
func (w *world) visit(ctx context.Context, who visitor) error {
	other, err := plugintest.Start(w.binary)
	if err != nil {
		return err
	}
	if err := other.Configure(ctx, w.configuration.YAML()); err != nil {
		other.Kill()
		return err
	}
	switch who {
	case dry:
		other.Kill()
	case test:
		if err := other.Notify(ctx, notification, plugintest.TestAlert()); err != nil {
			w.found.other++
			w.found.notef("the test alert was refused: %v", err)
		}
		other.Kill()
	case reload:
		w.lookAtLog()
		w.plugin.Kill()
		w.plugin = other
	case person:
		other.Kill()
		if out, err := w.command(ctx, "check"); err != nil {
			w.found.other++
			w.found.notef("check: %v: %s", err, out)
		}
	}
	return nil
}

// command runs a command of the binary on the configuration, as an
// administrator does.
func (w *world) command(ctx context.Context, name string) (string, error) {
	file := filepath.Join(w.folder, "stormshield.yaml")
	if err := os.WriteFile(file, []byte(w.configuration.YAML()), 0o600); err != nil {
		return "", err
	}
	out, err := exec.CommandContext(ctx, w.binary, name, "-c", file).CombinedOutput()
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
