package ledger_test

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"notification-stormshield/appliance"
	"notification-stormshield/plugin/ban"
	"notification-stormshield/plugin/ledger"
	"notification-stormshield/plugin/plugintest"
)

var start = time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)

const (
	noLimit = 1_000_000
	address = "203.0.113.1/32"
)

func open(t testing.TB) *ledger.Ledger {
	t.Helper()
	return openAt(t, filepath.Join(t.TempDir(), "test.db"))
}

// openAt opens the ledger in a file. If the tests use PostgreSQL, the path stands for a shared state, of which this machine is the holder.
func openAt(t testing.TB, path string) *ledger.Ledger {
	t.Helper()
	if plugintest.TestsPostgres() {
		l := openShared(t, databaseAt(t, path), "one")
		_, err := l.TakeOver(t.Context(), noLimit, start)
		check(t, err)
		return l
	}
	l, err := ledger.Open(t.Context(), path)
	check(t, err)
	t.Cleanup(func() { l.Close() })
	return l
}

// run runs statements in the ledger's file.
func run(t testing.TB, l *ledger.Ledger, statements string) {
	t.Helper()
	_, err := l.DB().ExecContext(t.Context(), statements)
	check(t, err)
}

// lines returns the last column of a query. The columns before it go to others.
func lines(t testing.TB, l *ledger.Ledger, query string, others ...any) (lines []string) {
	t.Helper()
	rows, err := l.DB().QueryContext(t.Context(), query)
	check(t, err)
	defer rows.Close()
	for rows.Next() {
		var line string
		check(t, rows.Scan(append(others, &line)...))
		lines = append(lines, line)
	}
	check(t, rows.Err())
	return lines
}

// decided returns a decision of an alert without a UUID.
func decided(prefix string, until time.Time) ban.Decision { return ofOrigin("crowdsec", prefix, until) }

func ofOrigin(origin, prefix string, until time.Time) ban.Decision {
	p := netip.MustParsePrefix(prefix)
	return ban.Decision{Prefix: p, RangeBits: p.Bits(), Until: until, Type: "ban", Origin: origin, Scenario: "test"}
}

// identified returns a decision whose UUID and ID are made of a number.
func identified(n int64, prefix string, until time.Time) ban.Decision {
	d := decided(prefix, until)
	d.ID, d.UUID = n, ban.ParseUUID(fmt.Sprintf("decision %d", n))
	return d
}

// numbered returns decisions for an hour, each on another address.
func numbered(first, count int) []ban.Decision {
	decisions := make([]ban.Decision, count)
	for i := range decisions {
		n := first + i
		decisions[i] = decided(fmt.Sprintf("203.%d.%d.%d/32", byte(n>>16), byte(n>>8), byte(n)), start.Add(time.Hour))
	}
	return decisions
}

func record(t testing.TB, l *ledger.Ledger, now time.Time, decisions ...ban.Decision) ledger.Recorded {
	t.Helper()
	return recordAtMost(t, l, noLimit, now, decisions...)
}

func recordAtMost(t testing.TB, l *ledger.Ledger, limit int, now time.Time, decisions ...ban.Decision) ledger.Recorded {
	t.Helper()
	r, err := l.Record(t.Context(), decisions, now, limit)
	check(t, err)
	return r
}

func list(t testing.TB, l *ledger.Ledger, limit int, decisions ...ban.Decision) ledger.Recorded {
	t.Helper()
	r, err := l.RecordListed(t.Context(), nil, decisions, start, limit)
	check(t, err)
	return r
}

func plan(t testing.TB, l *ledger.Ledger, now time.Time) ledger.Plan {
	t.Helper()
	p, err := l.Plan(t.Context(), ledger.PlanOptions{Now: now, Renew: now.Add(12 * time.Hour), SingleMax: 32})
	check(t, err)
	return p
}

func inForce(t testing.TB, l *ledger.Ledger, p ledger.Plan) []string {
	t.Helper()
	all, err := l.BansInForce(t.Context(), p)
	check(t, err)
	return texts(all)
}

// status returns the status. It compares the counts with a full count.
func status(t testing.TB, l *ledger.Ledger, now time.Time) ledger.Status {
	t.Helper()
	s, err := l.Status(t.Context(), now)
	check(t, err)
	wantStatus(t, l, now, s)
	return s
}

func recordOutcome(t testing.TB, l *ledger.Ledger, p ledger.Plan, o appliance.Outcome) {
	t.Helper()
	_, err := l.RecordOutcome(t.Context(), p, o, start)
	check(t, err)
}

// oneByOne is the outcome of a flush that blocked each ban by itself, and in which everything went well.
func oneByOne(p ledger.Plan, now time.Time) appliance.Outcome {
	o := appliance.Outcome{Unblocked: p.Unblock, Listed: true, Cleared: true, Mark: "mark", At: now}
	for _, b := range p.Block {
		o.Blocked = append(o.Blocked, appliance.Entry{Prefix: b.Prefix, Expires: b.Until})
	}
	return o
}

// byGroup is the outcome of a flush that blocked everything by the group, and in which everything went well.
func byGroup(p ledger.Plan, now time.Time) appliance.Outcome {
	o := oneByOne(p, now)
	o.Blocked, o.Asserted, o.AssertedUntil = nil, now, now.Add(24*time.Hour)
	return o
}

// flush applies what is pending.
func flush(t testing.TB, l *ledger.Ledger, now time.Time, how func(ledger.Plan, time.Time) appliance.Outcome) ledger.Plan {
	t.Helper()
	p := plan(t, l, now)
	recordOutcome(t, l, p, how(p, now))
	return p
}

func blocks(p ledger.Plan) []string {
	var all []netip.Prefix
	for _, b := range p.Block {
		all = append(all, b.Prefix)
	}
	return texts(all)
}

func texts(ps []netip.Prefix) []string {
	var out []string
	for _, p := range ps {
		out = append(out, p.String())
	}
	slices.Sort(out)
	return out
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func want(t testing.TB, what string, got, want any) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}
