package ledger

import (
	"context"
	"database/sql"
	"net/netip"
	"slices"
	"time"

	"notification-stormshield/appliance"
)

const (
	// maybeBlocked is the value of ban.expires for a ban that may have an entry.
	maybeBlocked = 1
	// maybeListed is the value of ban.written for a ban that may be in the files.
	maybeListed = -1
)

// queryMaybeBlocked records that bans may have an entry.
const queryMaybeBlocked = "UPDATE ban SET expires = ? WHERE expires = 0 AND prefix IN (SELECT value FROM json_each(?))"

// RecordAttempt records that the bans in Plan.Block may have entries from now on. A flush calls it before it blocks anything, so that
// the flush after a crash finds every entry.
func (l *Ledger) RecordAttempt(ctx context.Context, p Plan) error {
	err := inChunks(ctx, l.writeAsHolder, l.chunk(), p.Block, func(tx *sql.Tx, bans []appliance.Ban) error {
		prefixes := make([]netip.Prefix, 0, len(bans))
		for _, b := range bans {
			prefixes = append(prefixes, b.Prefix)
		}
		_, err := tx.ExecContext(ctx, queryMaybeBlocked, maybeBlocked, jsonArray(prefixes))
		return err
	})
	return l.explain(err, "record what the appliance is about to get")
}

// RecordUnsure records that the files, and the entries of their group, may differ from the ledger from now on: the next flush compares the
// whole files. A flush calls it before it changes the files. If it ends well, RecordOutcome takes that back.
func (l *Ledger) RecordUnsure(ctx context.Context, p Plan) error {
	err := l.execAsHolder(ctx, "UPDATE flushing SET unsure = ? WHERE unsure = 0", p.now)
	return l.explain(err, "record that a flush begins to change the appliance's files")
}

// RecordOutcome records what the appliance acknowledged. A change that was recorded after the plan was made stays pending. RecordOutcome
// returns how long each new ban waited until the appliance acknowledged it.
func (l *Ledger) RecordOutcome(ctx context.Context, p Plan, o appliance.Outcome, now time.Time) (waits []time.Duration, err error) {
	if !o.Asserted.IsZero() {
		o.Listed = true
	}
	waits, err = l.recordOutcome(ctx, p, o, now)
	return waits, l.explain(err, "record what the appliance acknowledged")
}

// ConfirmedAt returns when the flush had blocked everything in force, by the group or one by one; zero: it did not. Bans that the
// appliance refused do not count. It is also zero if the filter rule is missing, so that the next flush re-asserts.
func (p Plan) ConfirmedAt(o appliance.Outcome) time.Time {
	switch {
	case o.RuleMissing:
		return time.Time{}
	case !o.Asserted.IsZero():
		return o.Asserted
	case !o.Confirmed.IsZero() && len(p.Block) == p.BlockCount:
		return o.Confirmed
	case !p.BlocksAll, o.At.IsZero():
		return time.Time{}
	}
	tried := map[netip.Prefix]bool{}
	for _, e := range o.Blocked {
		tried[e.Prefix] = true
	}
	for _, refused := range o.Refused {
		tried[refused] = true
	}
	for _, b := range p.Block {
		if !tried[b.Prefix] {
			return time.Time{}
		}
	}
	return timeOf(p.now)
}

// EndsFilesFailure reports whether a flush ends a recorded failure of the files. It does if it used the files with success. But if the
// running filter rule still lacks an earlier change, the failure may be one of the activation, so it stays.
func (p Plan) EndsFilesFailure(o appliance.Outcome) bool {
	return !o.Compared.IsZero() && (p.Stale.IsZero() || !o.Activated.IsZero())
}

// recordOutcome records a small outcome in one transaction. A large outcome needs several, and a crash may happen between any two. So the mark
// is removed before rows change, and the new mark is stored after that. If the files did not change, their mark stays.
func (l *Ledger) recordOutcome(ctx context.Context, p Plan, o appliance.Outcome, now time.Time) (waits []time.Duration, err error) {
	readWaits := func(tx *sql.Tx) (err error) {
		waits, err = findWaits(ctx, tx, p, o, now)
		return err
	}
	changed := len(o.Blocked) + len(o.Unblocked) + len(o.Refused) + len(p.Add) + len(p.Remove)
	if changed > chunk || o.EntriesGone {
		_ = l.read(ctx, readWaits) // without them only the metrics lack something
		return waits, outcomeRecorder{l, l.writeAsHolder}.record(ctx, p, o)
	}
	err = l.writeAsHolder(ctx, func(tx *sql.Tx) error {
		if err := readWaits(tx); err != nil {
			return err
		}
		return outcomeRecorder{l, func(_ context.Context, do func(*sql.Tx) error) error { return do(tx) }}.record(ctx, p, o)
	})
	return waits, err
}

// outcomeRecorder records an outcome in the transactions that write runs.
type outcomeRecorder struct {
	*Ledger
	write transactor
}

func (r outcomeRecorder) record(ctx context.Context, p Plan, o appliance.Outcome) error {
	flush, err := r.beginOutcome(ctx, p, o)
	if err != nil {
		return err
	}
	if err := r.markBlocked(ctx, o.Blocked); err != nil {
		return err
	}
	gone := o.Unblocked
	if p.Target.WithoutBlacklist && o.Cleared {
		gone = slices.Concat(gone, p.Remove) // these had no entry
	}
	if err := r.markUnblocked(ctx, gone); err != nil {
		return err
	}
	if o.Listed {
		if err := r.markListed(ctx, p, flush); err != nil {
			return err
		}
	}
	if err := r.markRefused(ctx, o.Refused, flush); err != nil {
		return err
	}
	if o.EntriesGone {
		if err := r.forgetEntries(ctx); err != nil {
			return err
		}
	}
	if err := r.deleteEnded(ctx, p, o.Cleared); err != nil {
		return err
	}
	return r.endOutcome(ctx, p, o, flush)
}

// beginOutcome gives the flush its number, and removes the mark if the flush changed the files.
func (r outcomeRecorder) beginOutcome(ctx context.Context, p Plan, o appliance.Outcome) (flush int64, err error) {
	err = r.write(ctx, func(tx *sql.Tx) (err error) {
		err = tx.QueryRowContext(ctx, `UPDATE flushing SET flushes = flushes + 1, flushed = CASE WHEN ?1 > 0 THEN ?1 ELSE flushed END,
			mark = CASE WHEN ?2 THEN mark ELSE '' END RETURNING flushes`, milliseconds(o.At), o.Mark == p.Mark).Scan(&flush)
		if err == nil && !o.At.IsZero() && o.Warning == nil {
			_, err = tx.ExecContext(ctx, queryEndTrouble, WholeFlush)
		}
		if err == nil && (p.EndsFilesFailure(o) && o.FilesWarning == nil || !o.At.IsZero() && p.endsFilesFailure) {
			_, err = tx.ExecContext(ctx, queryEndTrouble, Files)
		}
		return err
	})
	return flush, err
}

// endOutcome stores the facts that become true when all rows have changed.
func (r outcomeRecorder) endOutcome(ctx context.Context, p Plan, o appliance.Outcome, flush int64) error {
	return r.write(ctx, func(tx *sql.Tx) error {
		f, err := readFlushing(ctx, tx)
		if err != nil {
			return err
		}
		if err := learnTarget(ctx, tx, p.Target, o); err != nil {
			return err
		}
		if confirmed := p.ConfirmedAt(o); !confirmed.IsZero() {
			f.confirmed = confirmed
		}
		if !o.Asserted.IsZero() {
			f.asserted, f.assertedFlush, f.assertedUntil = o.Asserted, flush, o.AssertedUntil
		}
		if p.Target.WithoutBlacklist && !o.Activated.IsZero() {
			f.assertedFlush = flush
		}
		if f.assertedFlush == flush {
			f.newAfter = p.change
			if err := f.settle(ctx, tx); err != nil {
				return err
			}
		}
		if o.Leftovers > 0 && !o.Cleared && f.unsure.IsZero() {
			f.unsure = timeOf(p.now) // no row names them
		}
		if !o.At.IsZero() {
			if o.Cleared {
				f.unsure = time.Time{}
			}
			if p.Requested && !o.Unfinished {
				f.answered = p.request
			}
		}
		if !o.Compared.IsZero() {
			f.compared = o.Compared
		}
		if o.EntriesGone {
			f.entries = false
		}
		switch {
		case !p.Target.ByRule:
		case !o.Activated.IsZero():
			f.stale = time.Time{}
		case f.stale.IsZero() && (o.Changed || p.Unsure):
			f.stale = timeOf(p.now)
		}
		f.mark = o.Mark
		return f.storeOutcome(ctx, tx)
	})
}

// RecordActivation records when a flush begins to activate the filter rule. The time until the next activation also counts from a begin
// that fails.
func (l *Ledger) RecordActivation(ctx context.Context, now time.Time) error {
	return l.explain(l.execAsHolder(ctx, "UPDATE flushing SET activated = ?", now.UnixMilli()), "record that a flush activates the filter rule")
}

// forgetEntries records that no ban has an entry on the blacklist.
func (r outcomeRecorder) forgetEntries(ctx context.Context) error {
	for last, more := int64(0), int64(1); more > 0; last += chunk {
		err := r.write(ctx, func(tx *sql.Tx) (err error) {
			if _, err = tx.ExecContext(ctx, "UPDATE ban SET expires = 0 WHERE id > ?1 AND id <= ?1 + ?2 AND expires <> 0", last, chunk); err == nil {
				err = tx.QueryRowContext(ctx, "SELECT COUNT(*) FROM (SELECT id FROM ban WHERE id > ?1 + ?2 LIMIT 1) AS next", last, chunk).Scan(&more)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// markBlocked records when entries on the blacklist end.
func (r outcomeRecorder) markBlocked(ctx context.Context, blocked []appliance.Entry) error {
	return inChunks(ctx, r.write, r.chunk(), blocked, func(tx *sql.Tx, some []appliance.Entry) error {
		var prefixes []netip.Prefix
		var expires []int64
		for _, e := range some {
			prefixes, expires = append(prefixes, e.Prefix), append(expires, milliseconds(e.Expires))
		}
		_, err := tx.ExecContext(ctx, updateBlocked, jsonArray(prefixes), jsonArray(expires))
		return err
	})
}

// updateBlocked materializes the list of ends, because SQLite then makes an index of it. Otherwise SQLite reads the list anew for each
// prefix.
const updateBlocked = `WITH ends AS MATERIALIZED (SELECT key, value FROM json_each(?2))
	UPDATE ban SET expires = CAST(ends.value AS BIGINT) FROM json_each(?1) AS entry JOIN ends ON ends.key = entry.key WHERE prefix = entry.value`

// markUnblocked records that prefixes have no entry on the blacklist. A prefix that was in the files may still be there.
func (r outcomeRecorder) markUnblocked(ctx context.Context, unblocked []netip.Prefix) error {
	return inChunks(ctx, r.write, r.chunk(), unblocked, func(tx *sql.Tx, some []netip.Prefix) error {
		_, err := tx.ExecContext(ctx, `UPDATE ban SET written = CASE written WHEN 0 THEN 0 ELSE ? END, expires = 0,
			look = (SELECT flushes + 1 FROM flushing) WHERE prefix IN (SELECT value FROM json_each(?))`, maybeListed, jsonArray(some))
		return err
	})
}

// markRefused records that the re-assert of this flush by the group gave refused bans no entry: those in the files count as written by
// the next flush. An earlier entry of their own may still stand, so its end stays recorded.
func (r outcomeRecorder) markRefused(ctx context.Context, refused []netip.Prefix, flush int64) error {
	return inChunks(ctx, r.write, r.chunk(), refused, func(tx *sql.Tx, some []netip.Prefix) error {
		_, err := tx.ExecContext(ctx, "UPDATE ban SET written = ?1, look = ?1 WHERE written > 0 AND prefix IN (SELECT value FROM json_each(?2))",
			flush+1, jsonArray(some))
		return err
	})
}

// markListed records which flush wrote the plan's new bans to the files. A ban that ended after the plan was made is in the files
// too. A ban that came back after that has a later change: it stays pending, and gets the traces of this flush.
func (r outcomeRecorder) markListed(ctx context.Context, p Plan, flush int64) error {
	return inChunks(ctx, r.write, r.chunk(), p.Add, func(tx *sql.Tx, added []netip.Prefix) error {
		_, err := tx.ExecContext(ctx, `UPDATE ban SET written = CASE WHEN change <= ?1 THEN ?2 ELSE ?3 END,
			expires = CASE WHEN change <= ?1 THEN expires ELSE MAX(expires, ?4) END
			FROM json_each(?5) AS listed WHERE prefix = listed.value AND written <= 0`, p.change, flush, maybeListed, maybeBlocked, jsonArray(added))
		return err
	})
}

// transactor runs a function in a transaction.
type transactor func(ctx context.Context, do func(tx *sql.Tx) error) error

// inChunks calls do for some items at a time, each time in a transaction.
func inChunks[T any](ctx context.Context, write transactor, chunk int, items []T, do func(*sql.Tx, []T) error) error {
	for some := range slices.Chunk(items, chunk) {
		if err := write(ctx, func(tx *sql.Tx) error { return do(tx, some) }); err != nil {
			return err
		}
	}
	return nil
}
