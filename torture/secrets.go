package torture

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"notification-stormshield/plugin/plugintest"
)

// noCore matches /proc/PID/limits of a process that writes no core.
var noCore = regexp.MustCompile(`(?m)^Max core file size +0 +0 `)

// secrets looks for the password wherever the plugin and its commands write,
// with and without faults: outputs, the process list, the state. A crash must
// not write a core.
func secrets(t *try) {
	h := newHarness(t)
	h.reconfigure(func(c *plugintest.Configuration) { c.LogLevel = "trace" })
	h.ban(long, h.draw(30)...)
	h.settle()
	none := fault{"no fault", func(*harness) func() { return func() {} }}
	for _, f := range slices.Concat([]fault{none}, linkFaults) {
		end := f.begin(h)
		if f.name != silentSSH.name && f.name != silentAPI.name {
			for _, command := range []string{"check", "trust"} {
				out, _ := h.command(h.ctx, nil, command) // it may fail
				h.checkSecrets(fmt.Sprintf("the output of %s during: %s", command, f.name), out)
			}
		}
		h.ban(long, h.draw(1)...)
		end()
	}
	for _, of := range []string{"cmdline", "environ", "comm"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", h.Plugin.PID(), of))
		h.must(err)
		h.checkSecrets("/proc's "+of, string(text))
	}
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", h.Plugin.PID()))
	h.must(err)
	if !noCore.Match(limits) {
		h.report(leaks, 1, "a crash would write a core, which contains the passwords")
	}
	h.settle()
	paths, err := filepath.Glob(filepath.Join(h.Configuration.StateDir, "*"))
	h.must(err)
	for _, path := range paths {
		text, err := os.ReadFile(path)
		h.must(err)
		h.checkSecrets(path, string(text))
	}
}
