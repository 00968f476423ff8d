package health_test

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"notification-stormshield/appliance"
	"notification-stormshield/config"
	"notification-stormshield/plugin/ban"
	"notification-stormshield/plugin/health"
	"notification-stormshield/plugin/lease"
	"notification-stormshield/plugin/ledger"
	"notification-stormshield/plugin/lockout"
)

var start = time.Unix(1_800_000_000, 0)

// source returns a source with an empty ledger of a document that follows the Local API.
func source(tb testing.TB) health.Source {
	tb.Helper()
	dir := tb.TempDir()
	store, err := ledger.Open(tb.Context(), filepath.Join(dir, "state.db"))
	check(tb, err)
	tb.Cleanup(func() { store.Close() })
	d := config.Document{Name: "test", UpdateFrequency: 30 * time.Second, LAPI: config.LAPI{URL: "http://127.0.0.1:8080/", Key: "key"}}
	d.Stormshield.Host, d.Stormshield.SSHPassword, d.Stormshield.Enforce = "192.0.2.1", "secret", "blacklist"
	return health.Source{
		Document: d, Ledger: store, Lockout: lockout.File{Path: filepath.Join(dir, "lockout")}, Lease: filepath.Join(dir, "lease"),
		State: filepath.Join(dir, "state.db"), Credentials: "credentials", Target: ledger.Target{Host: "192.0.2.1"},
	}
}

func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func record(tb testing.TB, s health.Source, first, count int, at time.Time) {
	tb.Helper()
	decisions := make([]ban.Decision, count)
	for i := range decisions {
		n := first + i
		a := netip.AddrFrom4([4]byte{20, byte(n >> 16), byte(n >> 8), byte(n)})
		decisions[i] = ban.Decision{Prefix: netip.PrefixFrom(a, 32), RangeBits: 32, Type: "ban", Origin: "crowdsec", Until: start.Add(4 * time.Hour)}
	}
	_, err := s.Ledger.Record(tb.Context(), decisions, at, 1_000_000)
	check(tb, err)
}

func read(tb testing.TB, s health.Source, now time.Time) health.Report {
	tb.Helper()
	r, err := s.Read(tb.Context(), now)
	check(tb, err)
	return r
}

func TestAReportFollowsTheState(t *testing.T) {
	t.Parallel()
	s := source(t)
	says := func(now time.Time, want string) {
		t.Helper()
		r := read(t, s, now)
		if got := r.Sentence(); !strings.HasPrefix(got, want) || r.Working != (want == "working") {
			t.Errorf("%q does not begin with %q", got, want)
		}
	}
	says(start, "NOT WORKING: no process of the plugin runs")
	held, err := lease.Try(s.Lease)
	check(t, err)
	defer func() { check(t, held.Release()) }()
	says(start, "working")
	record(t, s, 0, 3, start)
	says(start.Add(time.Minute), "working")
	says(start.Add(time.Hour), "NOT WORKING: 3 to block and 0 to unblock have been pending for up to 1h")
	_, err = s.Lockout.(lockout.File).RecordFailure("credentials", lockout.Failure{Hint: "correct the password"}, start)
	check(t, err)
	says(start, "NOT WORKING: no login is tried for 30m (hint: correct the password")
	s.Credentials = "new credentials"
	says(start, "working")
	check(t, s.Ledger.SetTarget(t.Context(), ledger.Target{Host: "192.0.2.2"}, start))
	says(start, "NOT WORKING: the state test belongs to the appliance at 192.0.2.2, not to the one at 192.0.2.1")
	if r := read(t, s, start); r.ToBlock != 3 || *r.NextEnd != start.Add(4*time.Hour).UTC() || r.State != s.State {
		t.Errorf("%+v", r)
	}
}

func TestSeveralReadersAtOnceWriteNothing(t *testing.T) {
	t.Parallel()
	s := source(t)
	record(t, s, 0, 1, start)
	before := files(t, filepath.Dir(s.State))
	var reading sync.WaitGroup
	for range 4 {
		reading.Go(func() {
			for range 20 {
				if r, err := s.Read(t.Context(), start); err != nil || r.InForce == 0 {
					t.Errorf("%+v, %v", r, err)
				}
			}
		})
	}
	reading.Wait()
	if after := files(t, filepath.Dir(s.State)); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

// files lists the files of a folder with size and time.
func files(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	check(t, err)
	var text strings.Builder
	for _, e := range entries {
		info, err := e.Info()
		check(t, err)
		if !strings.HasSuffix(e.Name(), "-shm") { // SQLite's readers lock it
			fmt.Fprintln(&text, e.Name(), info.Size(), info.ModTime())
		}
	}
	return text.String()
}

// All bans are on the appliance. A scrape reads them beside alerts in the second case.
func BenchmarkReadAmongMany(b *testing.B) {
	s := source(b)
	for first := 0; first < 300_000; first += 10_000 {
		record(b, s, first, 10_000, start)
	}
	check(b, s.Ledger.SetTarget(b.Context(), s.Target, start))
	p, err := s.Ledger.Plan(b.Context(), ledger.PlanOptions{Now: start, SingleMax: 100})
	check(b, err)
	check(b, s.Ledger.RecordAttempt(b.Context(), p))
	_, err = s.Ledger.RecordOutcome(b.Context(), p, appliance.Outcome{
		Listed: true, Cleared: true, Mark: "mark", Asserted: start, AssertedUntil: start.Add(4 * time.Hour), Compared: start,
	}, start)
	check(b, err)
	b.Run("alone", func(b *testing.B) {
		for b.Loop() {
			if r := read(b, s, start); r.InForce < 300_000 || r.ToBlock > 0 {
				b.Fatalf("%+v", r)
			}
		}
	})
	b.Run("beside alerts", func(b *testing.B) {
		var recording sync.WaitGroup
		ended := make(chan struct{})
		recording.Go(func() {
			for first := 300_000; ; first++ {
				select {
				case <-ended:
					return
				default:
					record(b, s, first, 1, start)
				}
			}
		})
		var longest time.Duration
		for b.Loop() {
			began := time.Now()
			read(b, s, start)
			longest = max(longest, time.Since(began))
		}
		close(ended)
		recording.Wait()
		b.ReportMetric(float64(longest.Milliseconds()), "ms-longest")
	})
}
