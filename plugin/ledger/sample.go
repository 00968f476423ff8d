package ledger

import (
	"context"
	"database/sql"
	"net/netip"
	"time"

	"notification-stormshield/plugin/ban"
)

// Sample is how many bans there were at one time.
type Sample struct {
	At      time.Time
	InForce int
	Waiting int
	Pending int // bans to block and bans to unblock
}

// SampleEvery is how often the caller records a sample.
const SampleEvery = 5 * time.Minute

// historyOf is the time of all samples together.
const historyOf = 24 * time.Hour

// RecordSample records a sample of the bans for [Ledger.History]. It replaces the sample of the same five minutes.
func (l *Ledger) RecordSample(ctx context.Context, now time.Time) error {
	s, err := l.Status(ctx, now)
	if err != nil {
		return err
	}
	place := now.UnixMilli() / SampleEvery.Milliseconds() % int64(historyOf/SampleEvery)
	err = l.exec(ctx, `INSERT INTO sample (place, at, in_force, waiting, pending) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (place) DO UPDATE SET at = excluded.at, in_force = excluded.in_force, waiting = excluded.waiting, pending = excluded.pending`,
		place, now.UnixMilli(), s.InForce.Total(), s.Waiting.Total(), s.ToBlock+s.ToUnblock)
	return l.explain(err, "record a sample of the bans")
}

// History returns the samples of the last 24 hours, the oldest first.
func (l *Ledger) History(ctx context.Context, now time.Time) (samples []Sample, err error) {
	err = query(ctx, l.db, func(rows *sql.Rows) error {
		var s Sample
		err := rows.Scan(scanInto(&s.At), &s.InForce, &s.Waiting, &s.Pending)
		samples = append(samples, s)
		return err
	}, "SELECT at, in_force, waiting, pending FROM sample WHERE at > ? AND at <= ? ORDER BY at", now.Add(-historyOf).UnixMilli(), now.UnixMilli())
	return samples, l.explain(err, "read the samples of the bans")
}

// RecentBan is a ban that is enforced.
type RecentBan struct {
	Prefix   netip.Prefix
	Until    time.Time
	Class    ban.Class
	Origin   string // of its decision that was recorded last
	Scenario string
	Blocked  bool // the appliance acknowledged it
}

// queryRecent reads the newest bans of each class by one end of an index. Classes are 1 to 3.
const queryRecent = `SELECT prefix, recent.until, recent.class, origin, scenario, written > 0 OR expires > ?1 FROM (
	SELECT * FROM (SELECT * FROM ban WHERE class = 1 AND until > 0 AND until > ?1 ORDER BY newest DESC LIMIT ?2) AS local UNION ALL
	SELECT * FROM (SELECT * FROM ban WHERE class = 2 AND until > 0 AND until > ?1 ORDER BY newest DESC LIMIT ?2) AS imported UNION ALL
	SELECT * FROM (SELECT * FROM ban WHERE class = 3 AND until > 0 AND until > ?1 ORDER BY newest DESC LIMIT ?2) AS remote) AS recent
	JOIN decision ON decision.ban = recent.id AND decision.id = newest
	ORDER BY newest DESC LIMIT ?2`

// Recent returns the bans that are enforced and have the newest decisions, at most n, the newest first.
func (l *Ledger) Recent(ctx context.Context, now time.Time, n int) (bans []RecentBan, err error) {
	err = query(ctx, l.db, func(rows *sql.Rows) error {
		var b RecentBan
		err := rows.Scan(scanInto(&b.Prefix), scanInto(&b.Until), &b.Class, &b.Origin, &b.Scenario, &b.Blocked)
		bans = append(bans, b)
		return err
	}, queryRecent, now.UnixMilli(), n)
	return bans, l.explain(err, "list the newest bans")
}
