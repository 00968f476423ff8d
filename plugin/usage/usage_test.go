package usage_test

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"notification-stormshield/lapi"
	"notification-stormshield/plugin/ban"
	"notification-stormshield/plugin/ledger"
	"notification-stormshield/plugin/usage"
)

// fakeAPI keeps the reports that it accepts. A scenario changes it while the reporter waits.
type fakeAPI struct {
	sync.Mutex // the scenario holds it, except while time passes

	fail   error
	panics bool
	asked  int
	got    []lapi.Usage
}

func (a *fakeAPI) SendUsage(_ context.Context, u lapi.Usage, _ time.Time) error {
	a.Lock()
	defer a.Unlock()
	if a.asked++; a.panics {
		panic("boom")
	}
	if a.fail == nil {
		a.got = append(a.got, u)
	}
	return a.fail
}

// harness runs a reporter under a clock of its own.
type harness struct {
	t      *testing.T
	api    *fakeAPI
	ledger *ledger.Ledger
	log    *bytes.Buffer
	start  time.Time
}

// runReporter starts a reporter for a ledger with three decisions, one of which waits, and runs a scenario.
func runReporter(t *testing.T, scenario func(h *harness)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		store, err := ledger.Open(context.Background(), filepath.Join(dir, "test.db"))
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		h := &harness{t, &fakeAPI{}, store, new(bytes.Buffer), time.Now()}
		h.record("203.0.113.1/32", "CAPI", 48*time.Hour)
		h.record("203.0.113.2/32", "crowdsec", 30*time.Minute)
		h.record("203.0.113.3/32", "CAPI", 48*time.Hour)
		r := usage.Reporter{
			LocalAPI: h.api, Ledger: store, Program: lapi.Usage{Type: "test"},
			Log: hclog.New(&hclog.LoggerOptions{Output: h.log, DisableTime: true, Level: hclog.Info}),
		}
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			r.Run(ctx)
		}()
		synctest.Wait()
		h.api.Lock()
		scenario(h)
		h.api.Unlock()
		cancel()
		<-ended
	})
}

// record records a decision, of which two are enforced at most.
func (h *harness) record(prefix, origin string, left time.Duration) {
	h.t.Helper()
	p := netip.MustParsePrefix(prefix)
	d := ban.Decision{Prefix: p, RangeBits: p.Bits(), Until: time.Now().Add(left), Type: "ban", Origin: origin}
	if _, err := h.ledger.Record(context.Background(), []ban.Decision{d}, time.Now(), 2); err != nil {
		h.t.Fatal(err)
	}
}

// at lets time pass until a moment since the start.
func (h *harness) at(since time.Duration) {
	h.api.Unlock()
	defer h.api.Lock()
	time.Sleep(time.Until(h.start.Add(since)))
	synctest.Wait()
}

// wantReports fails the test unless there are n reports, and the last one has these bans.
func (h *harness) wantReports(when string, n int, active map[string]int, leftOut int) {
	h.t.Helper()
	if len(h.api.got) != n {
		h.t.Fatalf("%s: %d reports, want %d: %+v", when, len(h.api.got), n, h.api.got)
	}
	last := h.api.got[n-1]
	if !maps.Equal(last.Active, active) || last.LeftOut != leftOut || last.Type != "test" || last.Window != 15*time.Minute {
		h.t.Errorf("%s: the last report is %+v, want %v and %d that wait", when, last, active, leftOut)
	}
}

func TestAReportCountsTheBansByOriginAndThoseThatWait(t *testing.T) {
	t.Parallel()
	runReporter(t, func(h *harness) {
		h.wantReports("at once", 1, map[string]int{"CAPI": 1, "crowdsec": 1}, 1)
		h.at(time.Minute)
		h.wantReports("after a minute", 2, map[string]int{"CAPI": 1, "crowdsec": 1}, 1)
		h.at(16 * time.Minute)
		h.wantReports("a quarter of an hour later", 3, map[string]int{"CAPI": 1, "crowdsec": 1}, 1)
	})
}

// cscli would show the old number.
func TestAReportSaysZeroOnceForAnOriginThatIsGone(t *testing.T) {
	t.Parallel()
	runReporter(t, func(h *harness) {
		h.at(31 * time.Minute)
		h.wantReports("after the end of a ban", 4, map[string]int{"CAPI": 1, "crowdsec": 0}, 1)
		h.at(46 * time.Minute)
		h.wantReports("later", 5, map[string]int{"CAPI": 1}, 1)
	})
}

func TestReportsGoOnAfterAFailure(t *testing.T) {
	t.Parallel()
	runReporter(t, func(h *harness) {
		h.api.fail = errors.New("away")
		h.at(time.Minute)
		h.api.fail, h.api.panics = nil, true
		h.at(16 * time.Minute)
		h.api.panics = false
		if n := strings.Count(h.log.String(), "[WARN]  usage metrics could not be sent"); n != 2 {
			t.Errorf("%d warnings, want 2:\n%s", n, h.log)
		}
		h.at(31 * time.Minute)
		if len(h.api.got) != 2 {
			t.Errorf("%d reports, want that at the start and that after the failures", len(h.api.got))
		}
	})
}

func TestALocalAPIWithoutUsageMetricsIsAskedOnce(t *testing.T) {
	t.Parallel()
	runReporter(t, func(h *harness) {
		h.api.fail = lapi.ErrNoMetrics
		h.at(5 * time.Hour)
		if h.api.asked != 2 || h.log.Len() > 0 {
			t.Errorf("asked %d times, want once after the first:\n%s", h.api.asked, h.log)
		}
	})
}
