package ledger_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"notification-stormshield/plugin/ledger"
)

// contents are the rows of every table that a copy must keep.
func contents(t *testing.T, l *ledger.Ledger) []string {
	t.Helper()
	var all []string
	for _, query := range []string{
		"SELECT prefix, ends, until, next, class, newest, change, pending_since, expires, written FROM ban ORDER BY id",
		"SELECT ban, id, uuid, lapi_id, bits, until, class, type, origin, scenario, lifted FROM decision ORDER BY ban, id",
		"SELECT class, enforced, waiting FROM tally ORDER BY class", "SELECT target, mark, flushes, decisions, requested, answered FROM flushing",
		"SELECT part, text, count FROM trouble ORDER BY part", "SELECT last_read, error FROM local_api ORDER BY machine", "SELECT at, in_force, waiting, pending FROM sample ORDER BY at",
	} {
		rows, err := l.DB().QueryContext(t.Context(), query)
		check(t, err)
		columns, err := rows.Columns()
		check(t, err)
		for rows.Next() {
			values, places := make([]any, len(columns)), make([]any, len(columns))
			for i := range values {
				places[i] = &values[i]
			}
			check(t, rows.Scan(places...))
			all = append(all, fmt.Sprintf("%.12q %v", query, values))
		}
		check(t, errors.Join(rows.Err(), rows.Close()))
	}
	return all
}

// openSQLite opens a ledger of one machine.
func openSQLite(t *testing.T) *ledger.Ledger {
	t.Helper()
	l, err := ledger.Open(t.Context(), filepath.Join(t.TempDir(), "own.db"))
	check(t, err)
	t.Cleanup(func() { l.Close() })
	return l
}

func TestACopyHasEverythingOfTheLedger(t *testing.T) {
	now := start
	from, to := openSQLite(t), open(t)
	check(t, from.SetTarget(t.Context(), ledger.Target{Host: "192.0.2.1:443", Group: "Crowdsec", DeleteGroup: "Gone"}, now))
	recordAtMost(t, from, 700, now, numbered(1, 600)...)
	flush(t, from, now, byGroup)
	recordAtMost(t, from, 700, now, numbered(601, 200)...)
	record(t, from, now, identified(1, "198.51.100.0/24", now.Add(time.Hour)), decided("2001:db8::1/128", now.Add(time.Minute)))
	_, err := from.Lift(t.Context(), numbered(1, 1)[0].Prefix, now, 700)
	check(t, err)
	check(t, from.RecordRead(t.Context(), now))
	_, err = from.RequestFlush(t.Context())
	check(t, err)

	copied, err := ledger.Copy(t.Context(), from, to, false)
	check(t, err)
	want(t, "content", contents(t, to), contents(t, from))
	want(t, "copied", copied, ledger.Copied{Bans: 802, Decisions: 802, Traces: 600})
	before, after := status(t, from, now), status(t, to, now)
	want(t, "to block", after.ToBlock, before.ToBlock)
	want(t, "in force", after.InForce, before.InForce)
	want(t, "pending", blocks(plan(t, to, now)), blocks(plan(t, from, now)))
	record(t, to, now, decided("203.0.113.9/32", now.Add(time.Hour)))
	want(t, "recorded afterwards", status(t, to, now).Recorded, before.Recorded+1)
}

func TestACopyReplacesBansOnlyWhenItMust(t *testing.T) {
	now := start
	from, to := openSQLite(t), open(t)
	record(t, from, now, decided("192.0.2.1/32", now.Add(time.Hour)))
	record(t, to, now, decided("192.0.2.2/32", now.Add(time.Hour)), decided("192.0.2.3/32", now.Add(time.Hour)))
	before := contents(t, to)
	if _, err := ledger.Copy(t.Context(), from, to, false); !errors.Is(err, ledger.ErrHasBans) {
		t.Errorf("err = %v", err)
	}
	want(t, "content", contents(t, to), before)
	copied, err := ledger.Copy(t.Context(), from, to, true)
	check(t, err)
	want(t, "copied", copied, ledger.Copied{Bans: 1, Decisions: 1})
	want(t, "content", contents(t, to), contents(t, from))
}

// The machines of a state have numbers of their own, so a copy names the sources of the decisions anew.
func TestACopyNamesTheMachineThatDeliveredADecision(t *testing.T) {
	one, two := twoMachines(t)
	own := openSQLite(t)
	mine, other, both := identified(1, "192.0.2.1/32", start.Add(time.Hour)), identified(2, "192.0.2.2/32", start.Add(time.Hour)),
		identified(3, "192.0.2.3/32", start.Add(time.Hour))
	list(t, one, noLimit, other, both)
	list(t, two, noLimit, mine, both)

	_, err := ledger.Copy(t.Context(), two, own, false)
	check(t, err)
	want(t, "sources", lines(t, own, "SELECT sources || ' ' || lapi_id FROM decision ORDER BY lapi_id"), []string{"0 0", "1 1", "1 3"})
	fullRead(t, own) // it lists nothing
	fullRead(t, own)
	endMissing(t, own)
	wantInForce(t, own, "after two full reads", other.Prefix.String())

	_, err = ledger.Copy(t.Context(), own, two, true)
	check(t, err)
	want(t, "sources", lines(t, two, "SELECT CAST(sources AS TEXT) FROM decision"), []string{"0"})
	record(t, own, start, mine)
	_, err = ledger.Copy(t.Context(), own, two, true)
	check(t, err)
	want(t, "sources", lines(t, two, "SELECT CAST(sources AS TEXT) FROM decision ORDER BY id"), []string{"0", "2"})
}
