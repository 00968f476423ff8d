package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"notification-stormshield/stormshield/snstest"
)

// output is a buffer that can be read during writes.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// launch runs the program with flags until the test ends, and returns its facts.
func launch(t *testing.T, flags ...string) (*facts, *output) {
	t.Helper()
	ready := filepath.Join(t.TempDir(), "ready.json")
	s, err := parseFlags(append(flags, "-ready", ready, "-control", "127.0.0.1:0"), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	out := &output{}
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, s, out) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(ready); !os.IsNotExist(err) {
			t.Errorf("the ready file is still there: %v", err)
		}
	})
	var f facts
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if text, err := os.ReadFile(ready); err == nil {
			if err := json.Unmarshal(text, &f); err != nil {
				t.Fatal(err)
			}
			return &f, out
		}
		select {
		case err := <-ended:
			t.Fatal("it ended at once: ", err)
		case <-tick.C:
		}
	}
}

func get(t *testing.T, url string, into any) {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(into); err != nil {
		t.Fatal(err)
	}
}

func post(t *testing.T, url, body string) int {
	t.Helper()
	response, err := http.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	return response.StatusCode
}

func TestReadyFileHasTheFacts(t *testing.T) {
	f, out := launch(t, "-password", `p"w é`)
	if f.Host != "127.0.0.1" || f.APIPort == 0 || f.SSHPort == 0 || f.Password != `p"w é` || f.PID != os.Getpid() {
		t.Errorf("facts %+v", f)
	}
	if !strings.HasPrefix(f.SSHHostKey, "SHA256:") || !strings.HasPrefix(f.APICertFingerprint, "SHA256:") {
		t.Errorf("identity %+v", f)
	}
	if _, err := os.Stat(filepath.Join(f.ConfigDir, "object")); err != nil {
		t.Error(err)
	}
	for !strings.Contains(out.String(), "# blacklist") {
		time.Sleep(time.Millisecond)
	}
	for _, line := range []string{"stormshield:\n", `  ssh_password: "p\"w é"` + "\n", "  ssh_host_key: \"" + f.SSHHostKey + "\"\n"} {
		if !strings.Contains(out.String(), line) {
			t.Errorf("no %q in %s", line, out)
		}
	}
}

func TestTheControlPortShowsAndChangesTheAppliance(t *testing.T) {
	f, _ := launch(t, "-no-ssh", "-dir", t.TempDir())
	if f.SSHPort != 0 || f.SSHHostKey != "" {
		t.Errorf("facts of an SSH server: %+v", f)
	}
	var list []entry
	get(t, f.Control+"/blacklist", &list)
	if list == nil || len(list) != 0 {
		t.Errorf("blacklist %v, want an empty list", list)
	}
	var problems []string
	get(t, f.Control+"/problems", &problems)
	if problems == nil || len(problems) != 0 {
		t.Errorf("problems %q", problems)
	}
	var stats snstest.Stats
	get(t, f.Control+"/stats", &stats)
	for path, status := range map[string]int{"/reboot": 204, "/nothing": 404, "/stats": 405} {
		if got := post(t, f.Control+path, ""); got != status {
			t.Errorf("POST %s: status %d, want %d", path, got, status)
		}
	}
	if got := post(t, f.Control+"/faults", `{"APIStatus": 503, "Ret": {"NOP": 200}}`); got != 204 {
		t.Errorf("faults: status %d", got)
	}
	if got := post(t, f.Control+"/faults", `{"APIStatus": "x"}`); got != 400 {
		t.Errorf("wrong faults: status %d", got)
	}
}

func TestEachChangeOfTheBlacklistIsPrintedOnce(t *testing.T) {
	shown := map[netip.Prefix]time.Time{}
	now := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	entries := func(seconds ...int) (list []snstest.Entry) {
		for i, s := range seconds {
			if s > 0 {
				p := netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), 32-i)
				list = append(list, snstest.Entry{Source: p, Expires: now.Add(time.Duration(s) * time.Second)})
			}
		}
		return list
	}
	for _, step := range []struct {
		list []snstest.Entry
		want string
	}{
		{entries(60, 30), "10:00:00.000 + 192.0.2.0 60\n10:00:00.000 + 192.0.2.1/31 30\n"},
		{entries(60, 30), ""},
		{entries(90, 0), "10:00:00.000 + 192.0.2.0 90\n10:00:00.000 - 192.0.2.1/31 0\n"},
		{nil, "10:00:00.000 - 192.0.2.0 0\n"},
	} {
		var out strings.Builder
		if err := printDifference(&out, shown, step.list, now); err != nil {
			t.Fatal(err)
		}
		if out.String() != step.want {
			t.Errorf("shown %q, want %q", out.String(), step.want)
		}
	}
}

func TestWrongUsageIsRefused(t *testing.T) {
	for _, flags := range [][]string{{"argument"}, {"-nonsense"}, {"-api-port", "x"}} {
		if _, err := parseFlags(flags, io.Discard); err == nil {
			t.Errorf("%q is accepted", flags)
		}
	}
	for _, flags := range [][]string{{"-control", "0.0.0.0:0"}, {"-control", "x"}, {"-shell", "/no/shell"}} {
		s, err := parseFlags(flags, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		if err := run(t.Context(), s, io.Discard); err == nil {
			t.Errorf("%q runs", flags)
		}
	}
}

func TestFaultsFromTheCommandLineAreInForceFromTheStart(t *testing.T) {
	f, _ := launch(t, "-faults", `{"APIStatus": 503}`)
	response, err := http.Get(f.Control + "/problems")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Errorf("the control port answers %s", response.Status)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	response, err = client.Get("https://" + net.JoinHostPort(f.Host, strconv.Itoa(f.APIPort)) + "/auth/admin.html")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("the API answers %s", response.Status)
	}
}

func TestAFaultThatDoesNotExistIsRefused(t *testing.T) {
	s, err := parseFlags([]string{"-faults", `{"NoSuchFault": true}`}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if err := run(t.Context(), s, io.Discard); err == nil || !strings.Contains(err.Error(), "NoSuchFault") {
		t.Errorf("got %v", err)
	}
}

// A comment stands above the field or above its group.
func TestEveryFaultIsDescribed(t *testing.T) {
	text := snstest.DescribeFaults()
	commented := regexp.MustCompile(`(?m)^//.*\n(//.*\n)*[A-Z].*$`)
	described := strings.Join(commented.FindAllString(text, -1), "\n")
	kind := reflect.TypeFor[snstest.Faults]()
	if kind.NumField() < 30 {
		t.Fatalf("only %d faults", kind.NumField())
	}
	for field := range kind.Fields() {
		if !regexp.MustCompile(`\b` + field.Name + `\b`).MatchString(described) {
			t.Errorf("no comment on %s", field.Name)
		}
	}
}

func TestTheControlPortShowsAndChangesThePolicies(t *testing.T) {
	f, _ := launch(t, "-no-ssh", "-dir", t.TempDir())
	if _, err := os.Stat(filepath.Join(f.ToolDir, "enfilter")); err != nil {
		t.Error(err)
	}
	const block, pass = "block from any to srv_web # é", "pass from any to any"
	for _, change := range []struct {
		path, body string
		status     int
	}{
		{"", `{"slot": 5, "lines": ["` + block + `"]}`, 204}, {"", `{"slot": 5, "lines": ["nonsense"]}`, 400}, {"", `{"slot": 0}`, 400},
		{"", `{"slots": 5}`, 400}, {"/edit", `{"slot": 5, "lines": ["` + block + `", "` + pass + `"]}`, 204},
		{"/edit", `{"slot": 7, "lines": ["` + pass + `"]}`, 204}, {"/activate", `{"slot": 11}`, 400},
	} {
		if got := post(t, f.Control+"/policy"+change.path, change.body); got != change.status {
			t.Errorf("POST /policy%s %s: status %d, want %d", change.path, change.body, got, change.status)
		}
	}
	var p policies
	get(t, f.Control+"/policy", &p)
	if p.Active != 5 || len(p.Slots) != 10 || !reflect.DeepEqual(p.Running, []string{block}) ||
		!reflect.DeepEqual(p.Slots[5], policy{[]string{block}, []string{block, pass}}) || !reflect.DeepEqual(p.Slots[7], policy{[]string{}, []string{pass}}) {
		t.Errorf("policies %+v", p)
	}
	var verdict snstest.Verdict
	const packet = "/packet?source=192.0.2.1&destination=203.0.113.10"
	get(t, f.Control+packet, &verdict)
	if want := (snstest.Verdict{Action: "block", By: "é"}); verdict != want {
		t.Errorf("verdict %+v, want %+v", verdict, want)
	}
	if got := post(t, f.Control+"/policy/activate", `{"slot": 7}`); got != 204 {
		t.Errorf("status %d", got)
	}
	get(t, f.Control+packet, &verdict)
	if want := (snstest.Verdict{Action: "pass", By: pass}); verdict != want {
		t.Errorf("verdict %+v, want %+v", verdict, want)
	}
	response, err := http.Get(f.Control + "/packet?source=192.0.2.1&destination=x")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusBadRequest {
		t.Errorf("status %d", response.StatusCode)
	}
}
