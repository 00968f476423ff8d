package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Appliance is a simulated appliance without its SSH server. It runs as a process, and a test reads its state from its
// control address.
type Appliance struct {
	*process
	port        int
	fingerprint string // of the API's certificate
	configDir   string
	toolDir     string // has the appliance's own programs
	control     string
}

// startAppliance starts an appliance. The SSH user owns its disk.
func startAppliance(t testing.TB, folder, disk string) *Appliance {
	t.Helper()
	ready := filepath.Join(folder, "appliance.ready")
	a := &Appliance{process: start(t, folder, "appliance", exec.CommandContext(t.Context(), cached("appliance"),
		"-no-ssh", "-dir", disk, "-user", user, "-other-user", otherUser, "-password", password, "-control", "127.0.0.1:0", "-ready", ready))}

	var facts struct {
		APIPort            int    `json:"api_port"`
		APICertFingerprint string `json:"api_cert_fingerprint"`
		ConfigDir          string `json:"config_dir"`
		ToolDir            string `json:"tool_dir"`
		Control            string `json:"control"`
	}
	waitFor(t, 10*time.Second, "the appliance is ready", func() (bool, string) {
		a.checkRunning(t)
		text, err := os.ReadFile(ready)
		if err != nil {
			return false, err.Error()
		}
		err = json.Unmarshal(text, &facts)
		return err == nil, fmt.Sprint(err)
	})
	a.port, a.fingerprint = facts.APIPort, facts.APICertFingerprint
	a.configDir, a.toolDir, a.control = facts.ConfigDir, facts.ToolDir, facts.Control

	err := filepath.WalkDir(disk, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chown(path, userID, userID)
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// ask sends a request without a body to the control address.
func (a *Appliance) ask(ctx context.Context, method, path string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, a.control+path, nil)
	if err != nil {
		return nil, err
	}
	return http.DefaultClient.Do(request)
}

// get reads JSON from the control address.
func (a *Appliance) get(ctx context.Context, path string, answer any) error {
	response, err := a.ask(ctx, http.MethodGet, path)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", path, response.Status)
	}
	return json.NewDecoder(response.Body).Decode(answer)
}

// reboot restarts the appliance. Its blacklist is empty then.
func (a *Appliance) reboot(t testing.TB) {
	t.Helper()
	response, err := a.ask(t.Context(), http.MethodPost, "/reboot")
	if err != nil {
		t.Fatalf("ask the appliance: %v", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusNoContent {
		t.Fatalf("POST /reboot: %s", response.Status)
	}
}

// setFaults changes the faults that the JSON names.
func (a *Appliance) setFaults(t testing.TB, faults string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, a.control+"/faults", strings.NewReader(faults))
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatalf("ask the appliance: %v", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusNoContent {
		t.Fatalf("POST /faults: %s", response.Status)
	}
}

func (a *Appliance) mustGet(t testing.TB, path string, answer any) {
	t.Helper()
	if err := a.get(t.Context(), path, answer); err != nil {
		t.Fatalf("ask the appliance: %v", err)
	}
}

// blacklist returns the entries of the blacklist and their ends.
func (a *Appliance) blacklist(ctx context.Context) (map[netip.Prefix]time.Time, error) {
	var entries []struct {
		Source  netip.Prefix `json:"source"`
		Expires time.Time    `json:"expires"`
	}
	if err := a.get(ctx, "/blacklist", &entries); err != nil {
		return nil, err
	}
	list := make(map[netip.Prefix]time.Time, len(entries))
	for _, e := range entries {
		list[e.Source] = e.Expires
	}
	return list, nil
}

// Blacklist returns the entries of the blacklist and their ends.
func (a *Appliance) Blacklist(t testing.TB) map[netip.Prefix]time.Time {
	t.Helper()
	list, err := a.blacklist(t.Context())
	if err != nil {
		t.Fatalf("ask the appliance: %v", err)
	}
	return list
}

// Blocked reports whether exactly this prefix is on the blacklist, and the end of its entry.
func (a *Appliance) Blocked(t testing.TB, prefix netip.Prefix) (expires time.Time, blocked bool) {
	t.Helper()
	expires, blocked = a.Blacklist(t)[prefix]
	return expires, blocked
}

// Problems returns the faults that an appliance would find in its files.
func (a *Appliance) Problems(t testing.TB) []string {
	t.Helper()
	var problems []string
	a.mustGet(t, "/problems", &problems)
	return problems
}

// Overlaps describes the changes that one account made amid the flush of another one. The SSH server counts none.
func (a *Appliance) Overlaps(t testing.TB) []string {
	t.Helper()
	var overlaps []string
	a.mustGet(t, "/overlaps", &overlaps)
	return overlaps
}

// Stats counts requests to the appliance's API, and activations of its filter policy.
type Stats struct {
	APILoginsOK, APILoginsFailed int
	APICommands                  []string
	Lockouts, Evictions          int
	Activations                  int
}

// Stats returns the requests to the appliance's API so far.
func (a *Appliance) Stats(t testing.TB) Stats {
	t.Helper()
	var s Stats
	a.mustGet(t, "/stats", &s)
	return s
}

// Policy returns the filter policies as JSON: the running one, and each slot with its inactive edits.
func (a *Appliance) Policy(t testing.TB) string {
	t.Helper()
	var policies json.RawMessage
	a.mustGet(t, "/policy", &policies)
	return string(policies)
}

// Verdict is what the appliance does with a packet.
type Verdict struct {
	Action string // pass, block or reset
	Logged bool
	By     string // blacklist, or the name of the filter rule; "" if neither decides
}

func (a *Appliance) packet(ctx context.Context, source, destination string) (v Verdict, err error) {
	err = a.get(ctx, "/packet?source="+source+"&destination="+destination, &v)
	return v, err
}

// Packet returns what the appliance does with a packet.
func (a *Appliance) Packet(t testing.TB, source, destination string) Verdict {
	t.Helper()
	v, err := a.packet(t.Context(), source, destination)
	if err != nil {
		t.Fatalf("ask the appliance: %v", err)
	}
	return v
}

// Files returns the texts of all files in the configuration folder. A folder, such as that of a flush, has an empty text.
func (a *Appliance) Files(t testing.TB) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(a.configDir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, e := range entries {
		if e.IsDir() {
			files[e.Name()] = ""
			continue
		}
		text, err := os.ReadFile(filepath.Join(a.configDir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = string(text)
	}
	return files
}
