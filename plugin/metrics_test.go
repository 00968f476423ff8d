package plugin_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/crowdsecurity/crowdsec/pkg/protobufs"

	"notification-stormshield/plugin"
	"notification-stormshield/plugin/lease"
	"notification-stormshield/plugin/plugintest"
)

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
	for _, name := range []string{"here", d.Name} {
		text := strings.Replace(configuration(d.StateDir), "name: test", "name: "+name, 1)
		text = strings.Replace(text, "host: 192.0.2.1", "host: "+name+".example", 1) +
			fmt.Sprintf("prometheus: {enabled: on, listen_addr: %s, listen_port: %d}\n", shown.ListenAddr, shown.ListenPort)
		if _, err := h.p.Configure(t.Context(), &protobufs.Config{Config: []byte(text)}); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the metrics show both documents", func() bool {
		response, err := http.Get(shown.URL("/metrics"))
		if err != nil {
			return false
		}
		defer response.Body.Close()
		text, _ := io.ReadAll(response.Body) // a part of it lacks a line
		return strings.Contains(string(text), `working{host="here.example",name="here"} 1`) &&
			strings.Contains(string(text), `working{host="elsewhere.example",name="elsewhere"} 1`)
	})
}
