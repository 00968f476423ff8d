package plugin_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crowdsecurity/crowdsec/pkg/protobufs"
	"github.com/hashicorp/go-hclog"

	"notification-stormshield/config"
	"notification-stormshield/plugin"
	"notification-stormshield/plugin/plugintest"
)

// fakeLocalAPI lists one decision that may not block. It refuses to list the changes.
type fakeLocalAPI struct {
	mu    sync.Mutex
	asked []string
}

func (a *fakeLocalAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked = append(a.asked, r.Method+" "+r.URL.Path)
	switch {
	case r.URL.Path == "/v1/usage-metrics":
		w.WriteHeader(http.StatusCreated)
	case r.URL.Path == "/v1/decisions":
		_, _ = io.WriteString(w, "[]")
	case r.URL.Query().Get("startup") == "true":
		_, _ = io.WriteString(w, `{"new": [{"id": 1, "scope": "Ip", "type": "ban", "value": "127.0.0.1", "duration": "1h"}]}`)
	default:
		w.WriteHeader(http.StatusInternalServerError)
	}
}

func (a *fakeLocalAPI) has(request string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Contains(a.asked, request)
}

// runWithLocalAPI runs a plugin with some lines of YAML, and a section lapi with more keys.
func runWithLocalAPI(t *testing.T, yaml, keys string) *fakeLocalAPI {
	t.Helper()
	local := &fakeLocalAPI{}
	folder := t.TempDir() // removed after the plugin has ended
	server := httptest.NewServer(local)
	t.Cleanup(server.Close)
	p := plugin.New(plugin.Options{
		Log: hclog.NewNullLogger(), Started: time.Now().Add(-time.Minute),
		Connect: func(config.Document) plugin.Appliance { return &blocking{} },
	})
	t.Cleanup(p.Close)
	text := fmt.Sprintf("%supdate_frequency: 1s\ndebounce: 0s\nlapi: {url: '%s', key: a, %s}\n%s", configuration(folder), server.URL, keys, yaml)
	if _, err := p.Configure(t.Context(), &protobufs.Config{Config: []byte(text)}); err != nil {
		t.Fatal(err)
	}
	return local
}

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not after a minute: %s", what)
		}
	}
}

func TestUsageMetricsAreReportedAlsoWithoutFollowing(t *testing.T) {
	t.Parallel()
	const report, read = "POST /v1/usage-metrics", "GET /v1/decisions/stream"
	for follow, local := range map[bool]*fakeLocalAPI{
		true: runWithLocalAPI(t, "", "follow: true"), false: runWithLocalAPI(t, "", "follow: false"),
	} {
		eventually(t, fmt.Sprintf("with follow: %t, the plugin reports", follow), func() bool { return local.has(report) })
		if follow {
			eventually(t, "the plugin reads", func() bool { return local.has(read) })
		} else if local.has(read) {
			t.Error("with follow: false, the plugin reads decisions")
		}
	}
}

func TestTheMetricsCountWhatTheFollowerRefusesAndItsFailures(t *testing.T) {
	t.Parallel()
	shown := plugintest.NewPrometheus()
	runWithLocalAPI(t, fmt.Sprintf("prometheus: {enabled: on, listen_addr: %s, listen_port: %d}\n", shown.ListenAddr, shown.ListenPort), "update_frequency: 1s")
	eventually(t, "the metrics have both", func() bool {
		response, err := http.Get(shown.URL("/metrics"))
		if err != nil {
			return false
		}
		defer response.Body.Close()
		text, _ := io.ReadAll(response.Body) // a part of it lacks a line
		return strings.Contains(string(text), `crowdsec_stormshield_decisions_refused_total{host="192.0.2.1",name="test",reason="own-address"} 1`) &&
			strings.Contains(string(text), `crowdsec_stormshield_local_api_errors_total{host="192.0.2.1",name="test"} `) &&
			!strings.Contains(string(text), `crowdsec_stormshield_local_api_errors_total{host="192.0.2.1",name="test"} 0`)
	})
}
