package plugin_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crowdsecurity/crowdsec/pkg/protobufs"
	"github.com/hashicorp/go-hclog"

	"notification-stormshield/appliance"
	"notification-stormshield/config"
	"notification-stormshield/plugin"
	"notification-stormshield/plugin/ledger"
	"notification-stormshield/plugin/plugintest"
)

// firewall is an appliance that only counts its calls.
type firewall struct {
	mu      sync.Mutex
	checks  int
	calls   int
	logOuts int   // how often LogOut was called
	fault   error // the result of a check
}

func (f *firewall) Apply(context.Context, appliance.Change) (appliance.Outcome, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	return appliance.Outcome{}, nil
}

func (f *firewall) Check(context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.checks++
	return f.fault
}

func (f *firewall) Observed() appliance.Observed { return appliance.Observed{} }

func (f *firewall) LogOut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.logOuts++
}

// harness is a plugin with one configuration, and its firewall.
type harness struct {
	t  *testing.T
	p  *plugin.Plugin
	fw *firewall
	d  config.Document
}

func newHarness(t *testing.T) *harness {
	t.Helper()
	folder := t.TempDir() // removed after the plugin has ended
	h := &harness{t: t, fw: &firewall{}}
	h.p = plugin.New(plugin.Options{
		Log: hclog.NewNullLogger(), Started: time.Now().Add(time.Hour), // prevents a flush
		Connect: func(config.Document) plugin.Appliance { return h.fw },
	})
	t.Cleanup(h.p.Close)
	text := configuration(folder)
	if _, err := h.p.Configure(t.Context(), &protobufs.Config{Config: []byte(text)}); err != nil {
		t.Fatal(err)
	}
	var err error
	if h.d, err = config.ParseOne([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return h
}

func configuration(dir string) string {
	return `type: stormshield
name: test
format: "{{.|toJson}}"
state_dir: ` + dir + `
stormshield:
  host: 192.0.2.1
  ssh_password: "one"
  ssh_insecure_ignore_host_key: true
  api_password: "two"
  api_insecure_skip_verify: true
`
}

func (h *harness) notify(text string) error {
	_, err := h.p.Notify(h.t.Context(), &protobufs.Notification{Name: "test", Text: text})
	return err
}

// recordedBans returns the bans in force. It opens the ledger as another process does.
func (h *harness) recordedBans() []string {
	h.t.Helper()
	l, err := ledger.Open(h.t.Context(), plugin.StateOf(h.d).Path)
	if err != nil {
		h.t.Fatal(err)
	}
	defer l.Close()
	p, err := l.Plan(h.t.Context(), ledger.PlanOptions{Now: time.Now()})
	if err != nil {
		h.t.Fatal(err)
	}
	bans, err := l.BansInForce(h.t.Context(), p)
	if err != nil {
		h.t.Fatal(err)
	}
	var out []string
	for _, s := range bans {
		out = append(out, s.String())
	}
	slices.Sort(out)
	return out
}

func alert(value, more string) string {
	return fmt.Sprintf(`[{"decisions":[{"duration":"4h","origin":"crowdsec","scenario":"crowdsecurity/ssh-bf","scope":"Ip","type":"ban","uuid":"1","value":%q%s}],"stop_at":%q}]`,
		value, more, time.Now().UTC().Format(time.RFC3339Nano))
}

func TestNotifyAnswersAfterItRecordedEveryBan(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	text := alert("203.0.113.7", "")
	for range 2 { // the same message twice is the same as once
		if err := h.notify(text); err != nil {
			t.Fatal(err)
		}
	}
	if got := fmt.Sprint(h.recordedBans()); got != "[203.0.113.7/32]" {
		t.Errorf("recorded: %s", got)
	}
	if h.fw.calls+h.fw.checks > 0 {
		t.Error("Notify talked to the appliance")
	}
}

func TestAPluginLogsOutWhenANotificationIsReplacedAndWhenItEnds(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	logOuts := func() int {
		h.fw.mu.Lock()
		defer h.fw.mu.Unlock()
		return h.fw.logOuts
	}
	if _, err := h.p.Configure(t.Context(), &protobufs.Config{Config: []byte(configuration(h.d.StateDir))}); err != nil {
		t.Fatal(err)
	}
	if n := logOuts(); n != 1 {
		t.Errorf("the plugin logged out %d times at the reload, want 1", n)
	}
	h.p.LogOut()
	if n := logOuts(); n != 2 {
		t.Errorf("the plugin logged out %d times before its process ends, want 2", n)
	}
	h.p.Close()
	if n := logOuts(); n != 3 {
		t.Errorf("the plugin logged out %d times when it ended, want 3", n)
	}
}

func TestConfigureRefusesASecretWhoseFileCannotBeRead(t *testing.T) {
	t.Parallel()
	p := plugin.New(plugin.Options{Log: hclog.NewNullLogger(), Connect: func(config.Document) plugin.Appliance { return &firewall{} }})
	t.Cleanup(p.Close)
	text := strings.Replace(configuration(t.TempDir()), `api_password: "two"`, "api_password_path: /nowhere/secret", 1)
	_, err := p.Configure(t.Context(), &protobufs.Config{Config: []byte(text)})
	if err == nil || !strings.Contains(err.Error(), "stormshield.api_password_path: stat /nowhere/secret: no such file") {
		t.Errorf("err = %v", err)
	}
}

func TestANewSecretInAFileEndsTheHoldOff(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "secret")
	credentials := func(secret string) string {
		t.Helper()
		if err := os.WriteFile(path, []byte(secret), 0o600); err != nil {
			t.Fatal(err)
		}
		d, err := config.ParseOne([]byte(strings.Replace(configuration(t.TempDir()), `api_password: "two"`, "api_password_path: "+path, 1)))
		if err = errors.Join(err, d.ReadSecrets()); err != nil {
			t.Fatal(err)
		}
		return plugin.Credentials(d)
	}
	if one, other := credentials("one"), credentials("other"); one == other {
		t.Error("a new secret in the file does not end the hold-off")
	}
}

func TestANewClientCertificateEndsTheHoldOff(t *testing.T) {
	t.Parallel()
	cert, key := filepath.Join(t.TempDir(), "cert"), filepath.Join(t.TempDir(), "key")
	d, err := config.ParseOne([]byte(strings.Replace(configuration(t.TempDir()), `api_password: "two"`,
		"api_client_cert_path: "+cert+"\n  api_client_key_path: "+key, 1)))
	if err != nil {
		t.Fatal(err)
	}
	before := plugin.Credentials(d)
	for _, path := range []string{cert, key} {
		if err := os.WriteFile(path, []byte("renewed"), 0o600); err != nil {
			t.Fatal(err)
		}
		now := plugin.Credentials(d)
		if now == before {
			t.Errorf("new content of %s does not end the hold-off", path)
		}
		before = now
	}
}

func TestAMalformedNotificationLosesNoCompleteAlert(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	whole := strings.TrimSuffix(alert("203.0.113.7", ""), "]")
	if err := h.notify(whole + `, {"decisions":`); err == nil || !strings.Contains(err.Error(), "format") {
		t.Errorf("a cut notification: %v", err)
	}
	if got := fmt.Sprint(h.recordedBans()); got != "[203.0.113.7/32]" {
		t.Errorf("recorded: %s", got)
	}
}

func TestTheAppliancesOwnAddressIsNeverBlocked(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	if err := h.notify(alert("192.0.2.1", "")); err != nil {
		t.Fatal(err)
	}
	if got := h.recordedBans(); len(got) > 0 {
		t.Errorf("recorded: %s", got)
	}
}

func TestTheTestAlertChecksTheApplianceAndRecordsNoBan(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	if err := h.notify(plugintest.TestAlert()); err != nil {
		t.Errorf("a test of a good set-up: %v", err)
	}
	h.fw.fault = errors.New("the folder is missing")
	if err := h.notify(plugintest.TestAlert()); err == nil || !strings.Contains(err.Error(), "the folder is missing") {
		t.Errorf("a test of a bad set-up: %v", err)
	}
	if h.fw.checks != 2 || len(h.recordedBans()) > 0 {
		t.Errorf("%d checks, recorded: %s", h.fw.checks, h.recordedBans())
	}
}

func TestARepeatedTestWithAWrongPasswordMakesOneAttempt(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.fw.fault = &appliance.LoginError{Err: errors.New("AUTH_FAILED")}
	for range 5 {
		if err := h.notify(plugintest.TestAlert()); err == nil || !strings.Contains(err.Error(), "AUTH_FAILED") {
			t.Errorf("a test with a wrong password: %v", err)
		}
	}
	if h.fw.checks != 1 {
		t.Errorf("%d attempts", h.fw.checks)
	}
}

func TestNotifyForAnUnknownNameIsAnError(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	_, err := h.p.Notify(t.Context(), &protobufs.Notification{Name: "other", Text: alert("203.0.113.7", "")})
	if err == nil || !strings.Contains(err.Error(), `"other"`) {
		t.Errorf("error: %v", err)
	}
}

func TestConfigureRefusesAFaultyConfiguration(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	text := strings.Replace(configuration(t.TempDir()), "ssh_insecure_ignore_host_key", "ssh_insecure_ignore_hostkey", 1)
	_, err := h.p.Configure(t.Context(), &protobufs.Config{Config: []byte(text)})
	if err == nil || !strings.Contains(err.Error(), "ssh_insecure_ignore_host_key") || !strings.Contains(err.Error(), "trust") {
		t.Errorf("error: %v", err)
	}
}

func TestConfigureGivesAHintWhenTheStateCannotBeOpened(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	text := configuration("/proc/nowhere")
	_, err := h.p.Configure(t.Context(), &protobufs.Config{Config: []byte(text)})
	if err == nil || !strings.Contains(err.Error(), "install -d -m 700") {
		t.Errorf("error: %v", err)
	}
}

func TestASecondConfigureOfANameKeepsItsBans(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	if err := h.notify(alert("203.0.113.7", "")); err != nil {
		t.Fatal(err)
	}
	if _, err := h.p.Configure(t.Context(), &protobufs.Config{Config: []byte(configuration(h.d.StateDir))}); err != nil {
		t.Fatal(err)
	}
	if err := h.notify(alert("203.0.113.8", "")); err != nil {
		t.Fatal(err)
	}
	if got := h.recordedBans(); len(got) != 2 {
		t.Errorf("recorded: %s in %s", got, filepath.Base(h.d.StateDir))
	}
}

func TestAPanicInACallIsAnError(t *testing.T) {
	t.Parallel()
	p := plugin.New(plugin.Options{
		Log: hclog.NewNullLogger(), Started: time.Now().Add(time.Hour),
		Connect: func(config.Document) plugin.Appliance { panic("boom") },
	})
	_, err := plugin.SurvivePanics(hclog.NewNullLogger())(t.Context(), &protobufs.Config{Config: []byte(configuration(t.TempDir()))},
		plugin.CallInfo("Configure"), func(ctx context.Context, request any) (any, error) {
			return p.Configure(ctx, request.(*protobufs.Config))
		})
	if err == nil || !strings.Contains(err.Error(), "boom") {
		t.Errorf("error: %v", err)
	}
}
