package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"

	"notification-stormshield/plugin/plugintest"
	"notification-stormshield/stormshield/snstest"
)

// noCore is what /proc/PID/limits says of a process whose core is not written.
var noCore = regexp.MustCompile(`(?m)^Max core file size +0 +0 `)

// secrets looks for the password by its value wherever the plugin and its
// commands leave something: what they print, well and in trouble, the process
// list, the state. Of a crash they leave no core.
func secrets(ctx context.Context, t *trial) error {
	w, err := newWorld(ctx, t)
	if err != nil {
		return err
	}
	defer w.end()
	if err := w.reconfigure(ctx, func(c *plugintest.Configuration) { c.LogLevel = "trace" }); err != nil {
		return err
	}
	w.mustBan(ctx, long, w.truth.fresh(w.random, 30)...)
	if err := w.settle(ctx); err != nil {
		return err
	}
	healthy := w.appliance.Faults()
	for _, f := range append([]fault{{"nothing", func(*snstest.Faults, *rand.Rand) {}}}, linkFaults...) {
		w.appliance.SetFaults(func(now *snstest.Faults) { f.set(now, w.random) })
		if f.name != "SSH never answers" && f.name != "the API never answers" {
			for _, command := range []string{"check", "trust"} {
				out, _ := w.command(ctx, command) // which may well fail
				w.lookForSecrets(fmt.Sprintf("what %s prints while %s is wrong", command, f.name), out)
			}
		}
		w.mustBan(ctx, long, w.truth.fresh(w.random, 1)...)
		w.appliance.SetFaults(func(now *snstest.Faults) { *now = healthy })
	}
	for _, of := range []string{"cmdline", "environ", "comm"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", w.plugin.PID(), of))
		if err != nil {
			return err
		}
		w.lookForSecrets("/proc's "+of, string(text))
	}
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", w.plugin.PID()))
	if err != nil {
		return err
	}
	if !noCore.Match(limits) {
		w.found.leaks++
		w.found.notef("a crash would leave a core, with all passwords in it")
	}
	if err := w.settle(ctx); err != nil {
		return err
	}
	return w.lookAtBytes()
}

// lookAtBytes looks for the password in every file of the state.
func (w *world) lookAtBytes() error {
	paths, err := filepath.Glob(filepath.Join(w.folder, "state", "*"))
	if err != nil {
		return err
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		w.lookForSecrets(path, string(text))
	}
	return nil
}
