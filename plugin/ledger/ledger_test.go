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
)

var start = time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)

const many = 1_000_000

func open(t testing.TB) *ledger.Ledger {
	t.Helper()
	return openAt(t, filepath.Join(t.TempDir(), "test.db"))
}

func openAt(t testing.TB, path string) *ledger.Ledger {
	t.Helper()
	l, err := ledger.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// decided returns a decision of an alert without a UUID.
func decided(prefix string, until time.Time) ban.Decision {
	p := netip.MustParsePrefix(prefix)
	return ban.Decision{Prefix: p, Bits: p.Bits(), Until: until, Type: "ban", Origin: "crowdsec", Scenario: "test"}
}

// identified returns a decision whose UUID and ID are made of a number.
func identified(n int64, prefix string, until time.Time) ban.Decision {
	d := decided(prefix, until)
	d.ID, d.UUID = n, ban.ParseUUID(fmt.Sprintf("decision %d", n))
	return d
}

func record(t testing.TB, l *ledger.Ledger, now time.Time, decisions ...ban.Decision) ledger.Recorded {
	t.Helper()
	r, err := l.Record(t.Context(), decisions, now, many)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func plan(t testing.TB, l *ledger.Ledger, now time.Time) ledger.Plan {
	t.Helper()
	p, err := l.Plan(t.Context(), ledger.Question{Now: now, Renew: now.Add(12 * time.Hour), Few: 32})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func standing(t testing.TB, l *ledger.Ledger, p ledger.Plan) []string {
	t.Helper()
	all, err := l.Standing(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return texts(all)
}

func wrote(t testing.TB, l *ledger.Ledger, p ledger.Plan, o appliance.Outcome) {
	t.Helper()
	if err := l.Wrote(t.Context(), p, o); err != nil {
		t.Fatal(err)
	}
}

// all is the outcome of a flush in which everything went well.
func all(p ledger.Plan, now time.Time) appliance.Outcome {
	o := appliance.Outcome{Unblocked: p.Unblock, Listed: true, Cleared: true, Mark: "mark", At: now}
	for _, b := range p.Block {
		o.Blocked = append(o.Blocked, appliance.Entry{Prefix: b.Prefix, Expires: b.Until})
	}
	return o
}

func blocks(p ledger.Plan) []string {
	var out []string
	for _, b := range p.Block {
		out = append(out, b.Prefix.String())
	}
	slices.Sort(out)
	return out
}

func texts(ps []netip.Prefix) []string {
	var out []string
	for _, p := range ps {
		out = append(out, p.String())
	}
	slices.Sort(out)
	return out
}

func want(t *testing.T, what string, got, want any) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}
