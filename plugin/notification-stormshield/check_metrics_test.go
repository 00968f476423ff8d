package main

import (
	"net"
	"path/filepath"
	"strings"
	"testing"

	"notification-stormshield/config"
	"notification-stormshield/plugin"
	"notification-stormshield/plugin/lease"
	"notification-stormshield/stormshield/acceptance"
)

// The listener of this test stands for one that all machines reach.
func TestCheckWarnsOfMetricsThatOthersCanRead(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	d := config.Document{Name: "test", StateDir: t.TempDir()}
	held, err := lease.Try(plugin.StateOf(d).Lease)
	if err != nil || held == nil {
		t.Fatalf("the lease: %v", err)
	}
	defer func() { _ = held.Release() }()
	d.Prometheus = config.Prometheus{Enabled: true, ListenAddr: "0.0.0.0", ListenPort: listener.Addr().(*net.TCPAddr).Port}
	findings := checkMetrics(t.Context(), filepath.Join(d.StateDir, "none.yaml"), d)
	if len(findings) != 1 || findings[0].Verdict != acceptance.Differs || !strings.Contains(findings[0].Detail, "serves them at 0.0.0.0:") ||
		!strings.Contains(findings[0].Hint, "can read which addresses are banned") {
		t.Errorf("findings: %+v", findings)
	}
}
