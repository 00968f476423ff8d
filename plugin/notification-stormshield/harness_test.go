package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"notification-stormshield/config"
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

// yaml is the configuration with some of its keys set otherwise.
func (w *harness) yaml(other map[string]string) string {
	keys := map[string]string{
		"host": w.sim.Host(), "ssh_port": fmt.Sprint(w.sim.SSHPort()), "api_port": fmt.Sprint(w.sim.APIPort()),
		"ssh_password": w.sim.Password(), "api_password": w.sim.Password(), "config_dir": w.sim.ConfigDir(),
		"ssh_host_key": w.sim.HostKeyFingerprint(), "api_cert_fingerprint": w.sim.CertificateFingerprint(),
	}
	for k, v := range other {
		keys[k] = v
	}
	text := "type: stormshield\nname: test\nformat: \"{{.|toJson}}\"\nstate_dir: " + w.dir + "\nupdate_frequency: 1s\ndebounce: 0s\nstormshield:\n"
	for k, v := range keys {
		if v != "" {
			text += fmt.Sprintf("  %s: %q\n", k, v)
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

// run carries out a command line and returns its exit status and what it said.
func (w *harness) run(args ...string) (status int, stdout, stderr string) {
	w.t.Helper()
	var out, complaint bytes.Buffer
	status = run(w.t.Context(), args, &out, &complaint)
	for _, text := range []string{out.String(), complaint.String()} {
		if strings.Contains(text, w.sim.Password()) {
			w.t.Errorf("%v prints the password:\n%s", args, text)
		}
	}
	return status, out.String(), complaint.String()
}
