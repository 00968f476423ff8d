package outbox_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"notification-stormshield/plugin/outbox"
)

func prefixes(texts ...string) (all []netip.Prefix) {
	for _, text := range texts {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

// attempts returns the prefixes that the outbox keeps at a time.
func attempts(t testing.TB, o *outbox.Outbox, now time.Time) string {
	t.Helper()
	all, err := o.Attempts(t.Context(), now)
	check(t, err)
	var texts []string
	for _, p := range all {
		texts = append(texts, p.String())
	}
	return strings.Join(texts, " ")
}

func countAttempts(t testing.TB, o *outbox.Outbox) (count int) {
	t.Helper()
	check(t, o.DB().QueryRowContext(t.Context(), "SELECT COUNT(*) FROM block_attempt").Scan(&count))
	return count
}

func TestAttemptsAreKeptForADayAfterTheLastOne(t *testing.T) {
	o := open(t)
	want(t, "of a new outbox", attempts(t, o, start), "")
	check(t, o.RecordAttempt(t.Context(), prefixes("203.0.113.2/32", "2001:db8::/126", "203.0.113.1/32"), start))
	check(t, o.RecordAttempt(t.Context(), prefixes("203.0.113.1/32"), start.Add(time.Hour)))
	want(t, "at once", attempts(t, o, start.Add(time.Hour)), "2001:db8::/126 203.0.113.2/32 203.0.113.1/32")
	want(t, "before the day is over", attempts(t, o, start.Add(24*time.Hour-time.Millisecond)), "2001:db8::/126 203.0.113.2/32 203.0.113.1/32")
	want(t, "a day after the first time", attempts(t, o, start.Add(24*time.Hour)), "203.0.113.1/32")
	want(t, "a day after the second time", attempts(t, o, start.Add(25*time.Hour)), "")
}

func TestOldAttemptsAreDeletedInSteps(t *testing.T) {
	o := open(t)
	var many []netip.Prefix
	for _, d := range numbered(0, 2000) {
		many = append(many, d.Prefix)
	}
	check(t, o.RecordAttempt(t.Context(), many, start))
	want(t, "kept", countAttempts(t, o), 2000)
	check(t, o.RecordAttempt(t.Context(), prefixes("198.51.100.1/32"), start.Add(23*time.Hour)))
	want(t, "kept for less than a day", countAttempts(t, o), 2001)
	for n := range 10 {
		before := countAttempts(t, o)
		check(t, o.RecordAttempt(t.Context(), prefixes("198.51.100.1/32"), start.Add(24*time.Hour)))
		gone := before - countAttempts(t, o)
		want(t, fmt.Sprint("step ", n, " is small and not empty"), gone > 0 && gone < 1000, true)
	}
	want(t, "after a day", countAttempts(t, o), 1)
}

func TestAttemptsAreThereAfterTheProcessEnded(t *testing.T) {
	path := t.TempDir() + "/test.outbox.db"
	o := openAt(t, path)
	check(t, o.RecordAttempt(t.Context(), prefixes("203.0.113.1/32"), start))
	check(t, o.Close())
	want(t, "of the next process", attempts(t, openAt(t, path), start), "203.0.113.1/32")
}
