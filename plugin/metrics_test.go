package plugin_test

import (
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/crowdsecurity/crowdsec/pkg/protobufs"

	"notification-stormshield/plugin"
	"notification-stormshield/plugin/lease"
	"notification-stormshield/plugin/outbox"
	"notification-stormshield/plugin/plugintest"
)

// configureShown configures a document whose metrics are shown, with more lines of YAML.
func configureShown(t *testing.T, h *harness, name string, shown plugintest.Prometheus, more ...string) {
	t.Helper()
	text := strings.Replace(configuration(h.d.StateDir), "name: test", "name: "+name, 1)
	text = strings.Replace(text, "host: 192.0.2.1", "host: "+name+".example", 1) +
		fmt.Sprintf("prometheus: {enabled: on, listen_addr: %s, listen_port: %d}\n", shown.ListenAddr, shown.ListenPort) + strings.Join(more, "")
	if _, err := h.p.Configure(t.Context(), &protobufs.Config{Config: []byte(text)}); err != nil {
		t.Fatal(err)
	}
}

// awaitMetrics waits until the metrics have all parts.
func awaitMetrics(t *testing.T, shown plugintest.Prometheus, parts ...string) {
	t.Helper()
	eventually(t, "the metrics have "+strings.Join(parts, ", "), func() bool {
		response, err := http.Get(shown.URL("/metrics"))
		if err != nil {
			return false
		}
		defer response.Body.Close()
		text, _ := io.ReadAll(response.Body) // a cut text lacks a part
		return !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(string(text), part) })
	})
}

// After a reload of one of two CrowdSecs, each may have a process with the lease of one document. Only one process can listen.
func TestTheMetricsShowADocumentWhoseLeaseAnotherProcessHolds(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	shown := plugintest.NewPrometheus()
	d := h.d
	d.Name = "elsewhere"
	held, err := lease.Try(plugin.StateOf(d).Lease)
	if err != nil || held == nil {
		t.Fatal(err)
	}
	defer func() { _ = held.Release() }()
	configureShown(t, h, "here", shown)
	configureShown(t, h, d.Name, shown)
	awaitMetrics(t, shown, `working{host="here.example",name="here"} 1`, `working{host="elsewhere.example",name="elsewhere"} 1`)
}

func TestTheMetricsShowThatDecisionsAreNotRecorded(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	shown := plugintest.NewPrometheus()
	configureShown(t, h, "full", shown)
	awaitMetrics(t, shown, `working{host="full.example",name="full"} 1`)
	db, err := sql.Open("sqlite", filepath.Join(h.d.StateDir, "full.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	change := func(statement string) {
		t.Helper()
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	notify := func() error {
		_, err := h.p.Notify(t.Context(), &protobufs.Notification{Name: "full", Text: alert("203.0.113.77", "")})
		return err
	}
	change("CREATE TRIGGER full BEFORE INSERT ON decision BEGIN SELECT RAISE(FAIL, 'the disk is full'); END")
	if err := notify(); err == nil {
		t.Fatal("the decision is recorded")
	}
	awaitMetrics(t, shown, `working{host="full.example",name="full"} 0`, `errors_total{host="full.example",kind="state",name="full"} 1`)
	change("DROP TRIGGER full")
	if err := notify(); err != nil {
		t.Fatal(err)
	}
	awaitMetrics(t, shown, `working{host="full.example",name="full"} 1`)
}

// No PostgreSQL server answers there.
func TestTheMetricsShowThatTheDatabaseOfASharedStateWasNeverReached(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	shown := plugintest.NewPrometheus()
	box, err := outbox.Open(t.Context(), filepath.Join(h.d.StateDir, "away.outbox.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer box.Close()
	if err := box.RecordAlone(t.Context(), true); err != nil { // as a process that crashed while it was alone
		t.Fatal(err)
	}
	configureShown(t, h, "away", shown, "state_url: postgres://app@127.0.0.1:1/crowdsec\n")
	if _, err := h.p.Notify(t.Context(), &protobufs.Notification{Name: "away", Text: alert("203.0.113.77", "")}); err != nil {
		t.Fatal(err)
	}
	awaitMetrics(t, shown, `working{host="away.example",name="away"} 0`, `shared_state_reached{host="away.example",name="away"} 0`,
		`outbox_decisions{host="away.example",name="away"} 1`, `shared_state_alone{host="away.example",name="away"} 0`, `shared_lease_held{host="away.example",name="away"} 0`)
	eventually(t, "status says since when the database is away", func() bool {
		response, err := http.Get(shown.URL("/-/healthy"))
		if err != nil {
			return false
		}
		defer response.Body.Close()
		text, _ := io.ReadAll(response.Body)
		says := strings.HasPrefix(string(text), "away: NOT WORKING: the database of the shared state cannot be used for ")
		return response.StatusCode == http.StatusServiceUnavailable && says && !strings.Contains(string(text), "for 0s") &&
			strings.Contains(string(text), ": this machine records alerts")
	})
}
