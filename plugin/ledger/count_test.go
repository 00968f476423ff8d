package ledger_test

import (
	"testing"
	"time"

	"notification-stormshield/plugin/ban"
	"notification-stormshield/plugin/ledger"
)

// wantStatus compares the counts of a status with a count of every ban.
func wantStatus(t testing.TB, l *ledger.Ledger, now time.Time, s ledger.Status) {
	t.Helper()
	got := []int64{int64(s.ToBlock), int64(s.ToUnblock), int64(s.Ranges), int64(s.ToWrite), milliseconds(s.Pending), milliseconds(s.Next)}
	for _, class := range []ban.Class{ban.Local, ban.Imported, ban.Remote} {
		got = append(got, int64(s.InForce[class]), int64(s.Waiting[class]))
	}
	counted := make([]int64, len(got))
	var pointers []any
	for i := range counted {
		pointers = append(pointers, &counted[i])
	}
	target, err := l.Target(t.Context())
	check(t, err)
	check(t, l.DB().QueryRowContext(t.Context(), fullCount, now.UnixMilli(), target.Group != "", target.ByRule, target.WithoutBlacklist).Scan(pointers...))
	want(t, "status at "+now.String(), got, counted)
}

func milliseconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// fullCount reads every ban and uses no counter.
const fullCount = `
	WITH facts AS (SELECT unsure, CASE WHEN asserted_until > ?1 THEN asserted_flush ELSE 0 END AS asserted,
			CASE WHEN asserted_until > ?1 THEN 0 ELSE asserted_until END AS lapsed, ?2 AS files, ?3 AS by_rule, ?4 AS alone FROM flushing),
		counted AS (SELECT *, ends > ?1 AND until > ?1 AS in_force, ends > ?1 AND until = 0 AS waits,
			until > ?1 AND (by_rule AND written <= 0 OR NOT alone AND (written <= 0 OR written > asserted) AND expires <= ?1) AS blocks,
			until <= ?1 AND (written > 0 OR expires > 0) AS unblocks,
			files AND (until > ?1 AND written <= 0 OR until <= ?1 AND written <> 0) AS writes
			FROM ban, facts)
	SELECT COUNT(*) FILTER (WHERE blocks), COUNT(*) FILTER (WHERE unblocks),
		COUNT(*) FILTER (WHERE blocks AND NOT (prefix LIKE '%.%/32' OR prefix LIKE '%:%/128')), COUNT(*) FILTER (WHERE writes),
		COALESCE(NULLIF(MIN(COALESCE(MIN(MAX(pending_since, expires, lapsed)) FILTER (WHERE blocks), 9000000000000000000),
			COALESCE(MIN(MAX(until, pending_since)) FILTER (WHERE unblocks), 9000000000000000000),
			(SELECT CASE WHEN unsure > 0 THEN unsure ELSE 9000000000000000000 END FROM facts)), 9000000000000000000), 0), COALESCE(MIN(until) FILTER (WHERE in_force), 0),
		COUNT(*) FILTER (WHERE in_force AND class = 1), COUNT(*) FILTER (WHERE waits AND class = 1),
		COUNT(*) FILTER (WHERE in_force AND class = 2), COUNT(*) FILTER (WHERE waits AND class = 2),
		COUNT(*) FILTER (WHERE in_force AND class = 3), COUNT(*) FILTER (WHERE waits AND class = 3)
	FROM counted`

func TestStatusCountsAsAFullCountForEachWayToEnforce(t *testing.T) {
	l := open(t)
	record(t, l, start, append(numbered(0, 60), decided("198.51.100.0/24", start.Add(time.Hour)))...)
	flush(t, l, start, byGroup)
	record(t, l, start.Add(time.Minute), numbered(60, 5)...)
	flush(t, l, start.Add(time.Minute), oneByOne)
	record(t, l, start.Add(2*time.Minute), ofOrigin("lists:tor", "2001:db8::/64", start.Add(30*time.Hour)), decided("2001:db8::1/128", start.Add(time.Minute*3)))
	recordAtMost(t, l, 40, start.Add(2*time.Minute), decided("203.0.113.9/32", start.Add(time.Hour)))
	for _, target := range targets {
		storeTarget(t, l, target)
		for _, after := range []time.Duration{0, 3 * time.Minute, time.Hour, 25 * time.Hour} {
			status(t, l, start.Add(after)) // compares
		}
	}
}

// targets are the ways to enforce.
var targets = []string{
	"", `{"host":"one"}`, `{"host":"one","group":"Crowdsec"}`, `{"host":"one","group":"Crowdsec","by_rule":true}`,
	`{"host":"one","group":"Crowdsec","by_rule":true,"without_blacklist":true}`,
}

// storeTarget changes the stored target alone.
func storeTarget(t testing.TB, l *ledger.Ledger, target string) {
	t.Helper()
	run(t, l, "UPDATE flushing SET target = '"+target+"'")
}
