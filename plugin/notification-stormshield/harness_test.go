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
	w := &harness{t: t, sim: snstest.Start(t, options...), dir: t.TempDir()}
	w.file = filepath.Join(w.dir, "notification.yaml")
	w.write(w.yaml(nil))
	return w
}

// yaml returns the configuration, with other values of some of the appliance's keys. An empty value removes the key.
func (w *harness) yaml(other map[string]string) string {
	text := plugintest.Configuration{Name: "test", StateDir: w.dir, UpdateFrequency: time.Second}.For(w.sim).YAML()
	for key, value := range other {
		text = regexp.MustCompile(`(?m)^  `+key+`: .*\n`).ReplaceAllString(text, "")
		if value != "" {
			text += fmt.Sprintf("  %s: %q\n", key, value)
		}
	}
	return text
}

func (w *harness) write(text string) {
	w.t.Helper()
	if err := os.WriteFile(w.file, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func (w *harness) document() config.Document {
	w.t.Helper()
	documents, err := config.Load(w.file)
	if err != nil {
		w.t.Fatal(err)
	}
	return documents[0]
}

// run runs a command line and returns its exit status and outputs.
func (w *harness) run(args ...string) (status int, stdout, stderr string) {
	w.t.Helper()
	var out, errs bytes.Buffer
	status = run(w.t.Context(), args, &out, &errs)
	for _, text := range []string{out.String(), errs.String()} {
		if strings.Contains(text, w.sim.Password()) {
			w.t.Errorf("%v prints the password:\n%s", args, text)
		}
	}
	return status, out.String(), errs.String()
}
