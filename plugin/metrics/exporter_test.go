package metrics

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/crypto/bcrypt"
	"golang.org/x/sys/unix"

	"notification-stormshield/appliance"
	"notification-stormshield/config"
	"notification-stormshield/plugin/ban"
	"notification-stormshield/plugin/health"
	"notification-stormshield/plugin/lease"
	"notification-stormshield/plugin/ledger"
	"notification-stormshield/plugin/lockout"
	"notification-stormshield/plugin/plugintest"
)

const document = `
name: %s
type: stormshield
format: "{{.|toJson}}"
stormshield:
  host: firewall.example
  group: %[1]s
  delete_group: %[1]sDelete
  ssh_username: admin
  ssh_password: secret
  ssh_host_key: SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU
  api_username: admin
  api_password: secret
  api_cert_fingerprint: SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU
prometheus:
  enabled: true
  listen_addr: %s
  web_config_path: %q
`

// sourceOf returns a source with an empty state, whose lease this process holds.
func sourceOf(t *testing.T, name string, address, webConfig string) Source {
	t.Helper()
	d, err := config.ParseOne([]byte(fmt.Sprintf(document, name, address, webConfig)))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	store, err := ledger.Open(t.Context(), filepath.Join(dir, "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	held, err := lease.Try(filepath.Join(dir, "lease"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = held.Release(); _ = store.Close() })
	return Source{
		Health:   health.Source{Document: d, Ledger: store, Lease: filepath.Join(dir, "lease"), Lockout: lockout.File{Path: filepath.Join(dir, "lockout")}},
		Counters: NewCounters(d.Name, d.Stormshield.Host),
		Observed: func() appliance.Observed {
			return appliance.Observed{Model: "EVA1", Version: "4.8.15", CertificateEnds: time.Unix(2e9, 0), API: appliance.Traffic{Logins: 3, Sent: 7}}
		},
	}
}

func (s Source) record(t *testing.T, addresses ...string) {
	t.Helper()
	var decisions []ban.Decision
	for _, a := range addresses {
		decisions = append(decisions, ban.Decision{
			Prefix: netip.MustParsePrefix(a), Until: time.Now().Add(time.Hour), Type: "ban", Origin: "crowdsec", Scenario: "<script>alert(1)</script>",
		})
	}
	if _, err := s.Health.Ledger.Record(t.Context(), decisions, time.Now(), 1000); err != nil {
		t.Fatal(err)
	}
}

// newAddress returns a loopback address that no other test has.
func newAddress() string { return plugintest.NewPrometheus().ListenAddr }

// run shows a document, and listens for it, until the test ends or the function is called.
func run(t *testing.T, e *Exporter, s Source) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer e.Show(s)()
		e.Listen(ctx, s.Health.Document.Prometheus)
	}()
	stop = func() { cancel(); <-ended }
	t.Cleanup(stop)
	return stop
}

// get waits for an answer.
func get(t *testing.T, address, path string, edit ...func(*http.Request)) (status int, text string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for deadline := time.Now().Add(time.Minute); ; {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+net.JoinHostPort(address, "60602")+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range edit {
			e(r)
		}
		answer, err := client.Do(r)
		if err == nil {
			body, err := io.ReadAll(answer.Body)
			answer.Body.Close()
			if err == nil {
				return answer.StatusCode, string(body)
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", path, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func TestTheMetricsAreThoseOfTheState(t *testing.T) {
	t.Parallel()
	address := newAddress()
	s := sourceOf(t, "first", address, "")
	s.record(t, "203.0.113.77/32", "2001:db8::77/128")
	s.Counters.CountFlush(Failed, 2*time.Second)
	s.Counters.CountFailure(NetworkError)
	s.Counters.CountRefused(ban.Scope, 3)
	s.Counters.ObserveWaits([]time.Duration{time.Second, 3 * time.Second})
	run(t, New("1.2.3", hclog.NewNullLogger()), s)
	status, text := get(t, address, "/metrics")
	const labels = `host="firewall.example",name="first"`
	for _, want := range []string{
		`crowdsec_stormshield_build_info{goversion="`, `version="1.2.3"} 1`,
		`crowdsec_stormshield_bans_in_force{class="local",` + labels + `} 2`, `crowdsec_stormshield_bans_waiting{class="lists",` + labels + `} 0`,
		`crowdsec_stormshield_pending_bans{change="block",` + labels + `} 2`, `crowdsec_stormshield_decisions_recorded_total{` + labels + `} 2`,
		`crowdsec_stormshield_flushes_total{` + labels + `,result="failure"} 1`, `crowdsec_stormshield_flushes_total{` + labels + `,result="success"} 0`,
		`crowdsec_stormshield_errors_total{host="firewall.example",kind="network",name="first"} 1`, `crowdsec_stormshield_decisions_refused_total{` + labels + `,reason="scope"} 3`,
		`crowdsec_stormshield_decision_to_blocked_seconds_count{` + labels + `} 2`, `crowdsec_stormshield_decision_to_blocked_seconds_bucket{` + labels + `,le="2"} 1`,
		`crowdsec_stormshield_logins_total{` + labels + `,protocol="api",result="accepted"} 3`, `crowdsec_stormshield_appliance_info{host="firewall.example",model="EVA1",name="first",version="4.8.15"} 1`,
		`crowdsec_stormshield_certificate_end_timestamp_seconds{` + labels + `} 2e+09`, `go_goroutines `, `process_resident_memory_bytes `,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("missing: %s", want)
		}
	}
	if status != http.StatusOK {
		t.Errorf("status %d", status)
	}
	if strings.Contains(text, "203.0.113.77") || strings.Contains(text, "2001:db8::77") {
		t.Error("a metric names a banned address")
	}
}

func TestAScrapeSurvivesAPanicAndALabelThatIsNoText(t *testing.T) {
	t.Parallel()
	address := newAddress()
	e := New("", hclog.NewNullLogger())
	well, panics, strange := sourceOf(t, "well", address, ""), sourceOf(t, "panics", address, ""), sourceOf(t, "strange", address, "")
	panics.Observed = func() appliance.Observed { panic("a fault") }
	strange.Observed = func() appliance.Observed {
		return appliance.Observed{Version: "\xff", API: appliance.Traffic{Logins: 3}}
	}
	run(t, e, well)
	defer e.Show(panics)()
	defer e.Show(strange)()
	for range 2 {
		status, text := get(t, address, "/metrics")
		for _, name := range []string{"well", "panics", "strange"} {
			if status != http.StatusOK || !strings.Contains(text, `working{host="firewall.example",name="`+name+`"} 1`) {
				t.Errorf("status %d, the document %s is missing", status, name)
			}
		}
		if !strings.Contains(text, `logins_total{host="firewall.example",name="strange",protocol="api",result="accepted"} 3`) {
			t.Error("a wrong label takes other metrics along")
		}
	}
}

func TestTheHealthIsThatOfEachDocument(t *testing.T) {
	t.Parallel()
	address := newAddress()
	e := New("", hclog.NewNullLogger())
	well, ill := sourceOf(t, "well", address, ""), sourceOf(t, "ill", address, "")
	run(t, e, well)
	if status, text := get(t, address, "/-/healthy"); status != http.StatusOK || !strings.HasPrefix(text, "well: ") {
		t.Errorf("%d %s", status, text)
	}
	if err := ill.Health.Ledger.RecordFailure(t.Context(), ledger.WholeFlush, "the appliance is away", 0, time.Now()); err != nil {
		t.Fatal(err)
	}
	ill.record(t, "203.0.113.77/32")
	stop := run(t, e, ill)
	for len(e.sources()) < 2 {
		time.Sleep(time.Millisecond)
	}
	if status, text := get(t, address, "/-/healthy"); status != http.StatusServiceUnavailable || !strings.Contains(text, "ill: ") {
		t.Errorf("%d %s", status, text)
	}
	stop()
	hide := e.Show(Source{Health: ill.Health, NoState: errors.New("the disk is full"), Counters: ill.Counters, Observed: ill.Observed})
	if status, text := get(t, address, "/-/healthy"); status != http.StatusServiceUnavailable || !strings.Contains(text, "the disk is full") {
		t.Errorf("%d %s", status, text)
	}
	if _, text := get(t, address, "/metrics"); !strings.Contains(text, `working{host="firewall.example",name="ill"} 0`) {
		t.Error("the metrics of a document without its state lack crowdsec_stormshield_working")
	}
	if status, _ := get(t, address, "/"); status != http.StatusOK {
		t.Errorf("the page without a state: %d", status)
	}
	hide()
	if status, text := get(t, address, "/-/healthy"); status != http.StatusOK || strings.Contains(text, "ill") {
		t.Errorf("%d %s", status, text)
	}
}

func TestADocumentWhoseHoldOffIsLockedHidesNoOtherOne(t *testing.T) {
	t.Parallel()
	address := newAddress()
	e := New("", hclog.NewNullLogger())
	hung, well := sourceOf(t, "hung", address, ""), sourceOf(t, "well", address, "")
	file, err := os.Create(hung.Health.Lockout.(lockout.File).Path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX); err != nil { // as a process does that hangs on its disk
		t.Fatal(err)
	}
	t.Cleanup(e.Show(well))
	run(t, e, hung)
	_, text := get(t, address, "/metrics")
	for _, want := range []string{`working{host="firewall.example",name="hung"} 0`, `working{host="firewall.example",name="well"} 1`} {
		if !strings.Contains(text, want) {
			t.Errorf("missing: %s", want)
		}
	}
}

func TestAnotherDocumentListensWhenTheFirstOneEnds(t *testing.T) {
	t.Parallel()
	address := newAddress()
	e := New("", hclog.NewNullLogger())
	stop := run(t, e, sourceOf(t, "first", address, ""))
	get(t, address, "/metrics")
	run(t, e, sourceOf(t, "second", address, ""))
	stop()
	if _, text := get(t, address, "/metrics"); !strings.Contains(text, `name="second"`) || strings.Contains(text, `name="first"`) {
		t.Error(text)
	}
}

func TestABusyPortIsLoggedOnceAndTriedAgain(t *testing.T) {
	t.Parallel()
	var log lockedBuffer
	address := newAddress()
	holder, err := net.Listen("tcp", net.JoinHostPort(address, "60602"))
	if err != nil {
		t.Fatal(err)
	}
	e := New("", hclog.New(&hclog.LoggerOptions{Output: &log}))
	run(t, e, sourceOf(t, "first", address, ""))
	refusals := regexp.MustCompile(`(?m)^.*\[WARN\].*not served: .*address already in use.*hint=.*$`)
	for !refusals.MatchString(log.String()) {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(3 * listenEvery)
	if n := len(refusals.FindAllString(log.String(), -1)); n != 1 {
		t.Errorf("logged %d times:\n%s", n, log.String())
	}
	holder.Close()
	get(t, address, "/metrics")
	for !strings.Contains(log.String(), "are served: failures=") {
		time.Sleep(time.Millisecond)
	}
}

func TestAForeignHostIsRefusedUnlessAPasswordProtectsThePage(t *testing.T) {
	t.Parallel()
	foreign := func(r *http.Request) { r.Host = "attacker.example" }
	address := newAddress()
	run(t, New("", hclog.NewNullLogger()), sourceOf(t, "first", address, ""))
	for _, path := range []string{"/", "/metrics", "/-/healthy"} {
		if status, text := get(t, address, path, foreign); status != http.StatusMisdirectedRequest || !strings.Contains(text, "Host header") {
			t.Errorf("%s: %d %s", path, status, text)
		}
	}
	if status, _ := get(t, address, "/other"); status != http.StatusNotFound {
		t.Errorf("another path: %d", status)
	}

	hash, err := bcrypt.GenerateFromPassword([]byte("right"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	webConfig := filepath.Join(t.TempDir(), "web.yml")
	if err := os.WriteFile(webConfig, fmt.Appendf(nil, "basic_auth_users:\n  prometheus: %s\n", hash), 0o600); err != nil {
		t.Fatal(err)
	}
	address = newAddress()
	run(t, New("", hclog.NewNullLogger()), sourceOf(t, "second", address, webConfig))
	for password, want := range map[string]int{"right": http.StatusOK, "wrong": http.StatusUnauthorized} {
		if status, _ := get(t, address, "/metrics", foreign, func(r *http.Request) { r.SetBasicAuth("prometheus", password) }); status != want {
			t.Errorf("password %s: %d", password, status)
		}
	}
	if err := os.WriteFile(webConfig, []byte("rate_limit:\n  burst: 100\n"), 0o600); err != nil { // the passwords are gone while it runs
		t.Fatal(err)
	}
	if status, _ := get(t, address, "/metrics", foreign); status != http.StatusMisdirectedRequest {
		t.Errorf("a web configuration without passwords: %d", status)
	}
}

func TestAWrongWebConfigurationServesNothing(t *testing.T) {
	t.Parallel()
	var log lockedBuffer
	address := newAddress()
	stop := run(t, New("", hclog.New(&hclog.LoggerOptions{Output: &log})), sourceOf(t, "first", address, "/nonexistent/web.yml"))
	for !strings.Contains(log.String(), "web_config_path") {
		time.Sleep(time.Millisecond)
	}
	if conn, err := net.Dial("tcp", net.JoinHostPort(address, "60602")); err == nil {
		conn.Close()
		t.Error("it listens without its passwords")
	}
	stop()
}

// lockedBuffer is a buffer for several goroutines.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
