package health

import (
	"context"
	"errors"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"notification-stormshield/config"
	"notification-stormshield/plugin/ban"
	"notification-stormshield/plugin/lease"
	"notification-stormshield/plugin/ledger"
	"notification-stormshield/plugin/lockout"
	"notification-stormshield/plugin/outbox"
)

// sharedSource returns a source of the machine a, whose database cannot be reached, with its outbox. This process holds the lease.
func sharedSource(t *testing.T) (Source, *outbox.Outbox) {
	t.Helper()
	dir := t.TempDir()
	box, err := outbox.Open(t.Context(), filepath.Join(dir, "outbox.db"))
	check(t, err)
	held, err := lease.Try(filepath.Join(dir, "lease"))
	check(t, err)
	t.Cleanup(func() { check(t, held.Release()); check(t, box.Close()) })
	d := config.Document{Name: "test", Stormshield: config.Stormshield{BlacklistTimeout: 4 * time.Hour}}
	return Source{
		Document: d, Lockout: lockout.File{Path: filepath.Join(dir, "lockout")}, Lease: filepath.Join(dir, "lease"), State: box.Path(),
		Outbox: box, Place: "plugin@db:5432/crowdsec", Machine: "a", NoLedger: errors.New("connection refused"),
	}, box
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, s Source) Report {
	t.Helper()
	r, err := s.Read(t.Context(), now)
	check(t, err)
	return r
}

func TestAReportWithoutTheDatabaseHasTheFactsOfThisMachine(t *testing.T) {
	t.Parallel()
	s, box := sharedSource(t)
	r := read(t, s)
	if r.Contents != nil || r.Working || r.Shared.Waiting != 0 || r.Shared.Machines != nil || r.Shared.Error != "connection refused" {
		t.Errorf("%+v", r.Shared)
	}
	if !strings.HasPrefix(r.Problem, "the database of the shared state cannot be used for 0s: this machine records alerts") {
		t.Errorf("the problem is %q", r.Problem)
	}
	check(t, box.RecordAway(t.Context(), "no route to host", now.Add(-time.Hour)))
	check(t, box.RecordAlone(t.Context(), true))
	decision := ban.Decision{Prefix: netip.MustParsePrefix("203.0.113.7/32"), RangeBits: 32, Type: "ban", Until: now.Add(time.Hour)}
	check(t, box.Add(t.Context(), []ban.Decision{decision, decision}, now.Add(-time.Minute)))
	r = read(t, s)
	if !strings.HasPrefix(r.Problem, "the database of the shared state cannot be used for 1h: this machine goes on alone") || r.Process == nil {
		t.Errorf("the problem is %q", r.Problem)
	}
	if r.Shared.Waiting != 2 || !r.Shared.WaitingSince.Equal(now.Add(-time.Minute)) || r.Shared.Error != "no route to host" || !r.Shared.Alone {
		t.Errorf("%+v", r.Shared)
	}
}

// The process that wrote these facts has ended.
func TestAMachineWithoutAProcessIsNotAlone(t *testing.T) {
	t.Parallel()
	s, box := sharedSource(t)
	s.Lease += ".none"
	check(t, box.RecordAway(t.Context(), "no route to host", now.Add(-time.Hour)))
	check(t, box.RecordAlone(t.Context(), true))
	r := read(t, s)
	if r.Shared.Alone || r.Shared.Error != "connection refused" || !strings.HasPrefix(r.Problem, "no process of the plugin runs") {
		t.Errorf("%q, %+v", r.Problem, r.Shared)
	}
}

func TestAReportOfAStateThatCannotBeReadNowHasNoNumbers(t *testing.T) {
	t.Parallel()
	s, _ := sharedSource(t)
	store, err := ledger.Open(t.Context(), filepath.Join(t.TempDir(), "state.db"))
	check(t, err)
	s.NoLedger, s.Ledger = nil, store
	if r := read(t, s); r.Contents == nil || r.Shared.AwaySince != nil || r.Shared.Machines == nil {
		t.Errorf("the state can be read: %+v", r.Shared)
	}
	check(t, store.Close())
	if r := read(t, s); r.Contents != nil || r.Working || r.Shared.AwaySince == nil || r.Shared.Error == "" {
		t.Errorf("the state cannot be read: %+v", r.Shared)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Read(ended, now); err == nil {
		t.Error("a report that was cancelled counts as one without the database")
	}
}

func TestTheMachinesSayWhichOneEnforces(t *testing.T) {
	t.Parallel()
	seen := func(name string, ago time.Duration, isHolder bool) ledger.Machine {
		return ledger.Machine{Name: name, Seen: now.Add(-ago), IsHolder: isHolder}
	}
	for name, test := range map[string]struct {
		machines        []ledger.Machine
		released        time.Duration // how long ago the holder handed over; 0: it did not
		holder, warning string
		unheld          time.Duration
	}{
		"none yet":          {},
		"another":           {machines: []ledger.Machine{seen("a", 0, false), seen("b", 5*time.Second, true)}, holder: "b"},
		"the holder is off": {machines: []ledger.Machine{seen("a", 0, false), seen("b", 50*time.Second, true)}, unheld: 50 * time.Second},
		"handed over":       {machines: []ledger.Machine{seen("a", 0, false), seen("b", 0, false)}, released: 40 * time.Second, unheld: 40 * time.Second},
		"both are off": {machines: []ledger.Machine{seen("a", time.Hour, false), seen("b", 2*time.Minute, true), seen("c", time.Hour, false)},
			unheld: 2 * time.Minute, warning: "b was last seen 2m ago, c was last seen 1h ago"},
		"one that stands by is off": {machines: []ledger.Machine{seen("a", 0, true), seen("b", 2*time.Minute, false)}, holder: "a",
			warning: "b was last seen 2m ago"},
		"one is gone for good": {machines: []ledger.Machine{seen("a", 0, true), seen("b", 8*24*time.Hour, false)}, holder: "a"},
	} {
		shared := Shared{Machine: "a"}
		shared.addMachines(test.machines, ledger.Holder{Machine: "b", Released: test.released > 0, Since: now.Add(-test.released)}, now)
		warning, _, _ := strings.Cut(shared.Warning, " (hint: ")
		if shared.Holder != test.holder || warning != test.warning || len(shared.Machines) != len(test.machines) {
			t.Errorf("%s: %+v", name, shared)
		}
		if got := shared.unheldSince; got.IsZero() != (test.unheld == 0) || test.unheld > 0 && now.Sub(got) != test.unheld {
			t.Errorf("%s: no machine enforces since %s", name, got)
		}
	}
}

func TestTheMachinesHaveWhatTheyReportOfThemselves(t *testing.T) {
	t.Parallel()
	shared := Shared{Machine: "a"}
	shared.addMachines([]ledger.Machine{
		{Name: "a", Seen: now, Version: "1.2.3", Waiting: 3, WaitingSince: now.Add(-time.Minute),
			LocalAPI: ledger.LocalAPI{LastRead: now.Add(-time.Hour), FailingSince: now.Add(-time.Minute), Error: "refused"}},
		{Name: "b"},
	}, ledger.Holder{}, now)
	a := shared.Machines[0]
	if a.Version != "1.2.3" || a.Waiting != 3 || !a.WaitingSince.Equal(*ago(time.Minute)) || !a.LocalAPI.LastRead.Equal(*ago(time.Hour)) ||
		!a.LocalAPI.UnreadSince.Equal(*ago(time.Minute)) || a.LocalAPI.Error != "refused" {
		t.Errorf("%+v", a)
	}
	if b := shared.Machines[1]; b.Seen != nil || b.LocalAPI != nil || b.WaitingSince != nil {
		t.Errorf("%+v", b)
	}
	if texts := shared.Rows(now); !slices.ContainsFunc(texts, func(r Row) bool { return r.IsBad && strings.Contains(r.Text, "not read for 1m: refused") }) {
		t.Errorf("%+v", texts)
	}
}
