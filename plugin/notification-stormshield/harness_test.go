package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"notification-stormshield/config"
	"notification-stormshield/plugin/plugintest"
	"notification-stormshield/stormshield/snstest"
)

// harness is a simulated appliance and a configuration file for it.
type harness struct {
	t    testing.TB
	sim  *snstest.Appliance
	file string
	dir  string // the state folder
}

func newHarness(t testing.TB, options ...func(*snstest.Options)) *harness {
	t.Helper()
	h := &harness{t: t, sim: snstest.Start(t, options...), dir: t.TempDir()}
	h.file = filepath.Join(h.dir, "notification.yaml")
	h.write(h.yaml(nil))
	return h
}

// yaml returns the configuration, with other values of some of the appliance's keys. An empty value removes the key.
func (h *harness) yaml(other map[string]string) string {
	text := plugintest.Configuration{Name: "test", StateDir: h.dir, UpdateFrequency: time.Second}.ForAppliance(h.sim).YAML()
	for key, value := range other {
		text = regexp.MustCompile(`(?m)^  `+key+`: .*\n`).ReplaceAllString(text, "")
		if value != "" {
			text += fmt.Sprintf("  %s: %q\n", key, value)
		}
	}
	return text
}

func (h *harness) write(text string) {
	h.t.Helper()
	if err := os.WriteFile(h.file, []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
}

func (h *harness) document() config.Document {
	h.t.Helper()
	documents, err := config.Load(h.file)
	if err != nil {
		h.t.Fatal(err)
	}
	return documents[0]
}

// run runs a command line and returns its exit status and outputs.
func (h *harness) run(args ...string) (status int, stdout, stderr string) {
	h.t.Helper()
	var out, errs bytes.Buffer
	status = run(h.t.Context(), append([]string{}, args...), &out, &errs) // without arguments, args is nil: Cobra would read those of the test
	for _, text := range []string{out.String(), errs.String()} {
		if strings.Contains(text, h.sim.Password()) {
			h.t.Errorf("%v prints the password:\n%s", args, text)
		}
	}
	return status, out.String(), errs.String()
}
