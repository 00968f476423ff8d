package health_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"notification-stormshield/plugin/health"
	"notification-stormshield/plugin/lease"
	"notification-stormshield/plugin/ledger"
	"notification-stormshield/plugin/outbox"
	"notification-stormshield/plugin/plugintest"
	"notification-stormshield/plugin/postgres"
)

// sharedSource returns a source of a machine that shares a database. This process holds the lease of that machine.
func sharedSource(t *testing.T, d postgres.Database, machine string) health.Source {
	t.Helper()
	s := source(t)
	store, err := ledger.OpenShared(t.Context(), d, machine)
	check(t, err)
	box, err := outbox.Open(t.Context(), filepath.Join(filepath.Dir(s.State), "outbox.db"))
	check(t, err)
	held, err := lease.Try(s.Lease)
	check(t, err)
	t.Cleanup(func() { check(t, errors.Join(held.Release(), box.Close(), store.Close())) })
	s.Ledger, s.Outbox, s.Place, s.Machine = store, box, d.Place(), machine
	return s
}

func TestMachinesThatShareADatabaseSeeEachOther(t *testing.T) {
	if !plugintest.TestsPostgres() {
		t.Skip("make test-postgres runs this")
	}
	t.Parallel()
	server := plugintest.StartPostgres(t)
	name, err := server.CreateDatabase()
	check(t, err)
	d := postgres.Database{URL: server.URL(name), Name: "test"}
	a, b := sharedSource(t, d, "a"), sharedSource(t, d, "b")
	beat := func(s health.Source, at time.Time) {
		t.Helper()
		_, err := s.Ledger.Beat(t.Context(), ledger.Beat{Version: "1.2.3 on " + s.Machine, Waiting: 3, WaitingSince: start}, at)
		check(t, err)
	}
	says := func(s health.Source, at time.Time, holder, sentence string) {
		t.Helper()
		r := read(t, s, at)
		if r.Contents == nil || r.Shared.Holder != holder || !strings.HasPrefix(r.Sentence(), sentence) {
			t.Errorf("%s sees %q and %+v, want the holder %q and %q", s.Machine, r.Sentence(), r.Shared, holder, sentence)
		}
	}
	says(b, start, "", "working")

	_, err = a.Ledger.TakeOver(t.Context(), 1000, start)
	check(t, err)
	beat(a, start)
	beat(b, start)
	for _, s := range []health.Source{a, b} {
		says(s, start, "a", "working")
	}
	r := read(t, b, start)
	if len(r.Shared.Machines) != 2 || !r.Shared.Machines[0].Holder || r.Shared.Machines[0].Version != "1.2.3 on a" || r.Shared.Machines[1].Waiting != 3 {
		t.Errorf("%+v", r.Shared.Machines)
	}

	// The holder gives no sign.
	later := start.Add(45 * time.Second)
	beat(b, later)
	says(b, later, "", "NOT WORKING: no machine has held the shared lease for 45s")

	// The holder hands over, and no machine takes over.
	beat(a, later)
	check(t, a.Ledger.HandOver(t.Context()))
	says(b, later, "", "working")
	later = later.Add(45 * time.Second)
	beat(b, later)
	says(b, later, "", "NOT WORKING: no machine has held the shared lease for 45s")
	_, err = b.Ledger.TakeOver(t.Context(), 1000, later)
	check(t, err)
	says(b, later, "b", "working")

	for what, change := range map[string]struct{ away, back func() error }{
		"stopped": {server.Stop, server.Start}, "hung": {server.Suspend, server.Resume},
	} {
		check(t, change.away())
		if r := read(t, b, later); r.Contents != nil || r.Working || r.Shared.AwaySince == nil || r.Shared.Error == "" {
			t.Errorf("%s: %+v", what, r.Shared)
		}
		check(t, change.back())
		deadline := time.Now().Add(time.Minute)
		for read(t, b, later).Contents == nil {
			if time.Now().After(deadline) {
				t.Fatalf("%s: the database is back, and the report has no numbers", what)
			}
		}
		says(b, later, "b", "working")
	}
}
