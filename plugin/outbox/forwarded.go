package outbox

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

const (
	// keptFor is how long a message stays after it was forwarded, and a prefix after this machine began to block it. A backup of
	// the shared state is rarely older than a day when it comes back, and the decisions of most alerts end within hours.
	keptFor = 24 * time.Hour
	// tidyEvery is how often MarkForwarded deletes old messages.
	tidyEvery = time.Minute
	// mostDeleted is how many messages one transaction of tidy deletes, so that Add does not wait long. RecordAttempt deletes at most as many
	// prefixes, and one more for each prefix that it records.
	mostDeleted = 200
)

// Forwarded returns the number of the last message that was forwarded. All messages up to it were, and all later ones wait.
func (o *Outbox) Forwarded(ctx context.Context) (number int64, err error) {
	err = o.db.QueryRowContext(ctx, "SELECT forwarded FROM state").Scan(&number)
	return number, o.explain(err, "read what was forwarded")
}

// MarkAttempted records that the appliance may have entries of some messages, because this machine is about to block their
// decisions without the shared state.
func (o *Outbox) MarkAttempted(ctx context.Context, numbers []int64) error {
	err := o.write(ctx, func(tx *sql.Tx) error {
		insert, err := tx.PrepareContext(ctx, "INSERT OR IGNORE INTO attempted (number) VALUES (?)")
		if err != nil {
			return err
		}
		defer func() { _ = insert.Close() }()
		for _, number := range numbers {
			if _, err := insert.ExecContext(ctx, number); err != nil {
				return err
			}
		}
		return nil
	})
	return o.explain(err, "record that %d messages may be blocked", len(numbers))
}

// MarkForwarded records that the shared state has all messages up to a number. The outbox keeps them for a day.
func (o *Outbox) MarkForwarded(ctx context.Context, last int64, now time.Time) error {
	isDue := false
	err := o.write(ctx, func(tx *sql.Tx) error {
		isDue = now.Sub(o.tidied).Abs() >= tidyEvery
		return markForwarded(ctx, tx, last, now)
	})
	if err == nil && isDue {
		err = o.tidy(ctx, now)
	}
	return o.explain(err, "record what was forwarded")
}

func markForwarded(ctx context.Context, tx *sql.Tx, last int64, now time.Time) error {
	result, err := tx.ExecContext(ctx, "UPDATE state SET forwarded = ?1, reached = MAX(reached, ?1) WHERE forwarded < ?1", last)
	if err != nil {
		return err
	}
	if changed, err := result.RowsAffected(); err != nil || changed == 0 {
		return err
	}
	if _, err := tx.ExecContext(ctx, "INSERT OR IGNORE INTO forwarding (last, at) VALUES (?, ?)", last, now.UnixMilli()); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, "DELETE FROM attempted WHERE number <= ?", last)
	return err
}

// tidy deletes the messages that were forwarded long ago.
func (o *Outbox) tidy(ctx context.Context, now time.Time) error {
	for deleted := int64(mostDeleted); deleted == mostDeleted; {
		err := o.write(ctx, func(tx *sql.Tx) error {
			o.tidied = now
			var last sql.NullInt64 // of the messages that may go
			before := now.Add(-keptFor).UnixMilli()
			if err := tx.QueryRowContext(ctx, "SELECT MAX(last) FROM forwarding WHERE at <= ?", before).Scan(&last); err != nil {
				return err
			}
			const statement = "DELETE FROM message WHERE number IN (SELECT number FROM message WHERE number <= ? ORDER BY number LIMIT ?)"
			result, err := tx.ExecContext(ctx, statement, last.Int64, mostDeleted)
			if err == nil {
				deleted, err = result.RowsAffected()
			}
			if err == nil {
				_, err = tx.ExecContext(ctx, "DELETE FROM forwarding WHERE last < ?", last.Int64) // the last one stays until the messages are gone
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Align compares the outbox with the last number that the shared state has of this machine.
//
//   - The shared state has less: it came back from a backup. The later messages wait again, as far as the outbox still has them.
//   - It has a message that waits: the answer to its forwarding was lost. The messages up to it are forwarded.
//   - It has a higher number that is no message's: this outbox began anew after the clock was set back, or it came back from a
//     backup itself. The messages that wait get higher numbers, so that they are forwarded.
func (o *Outbox) Align(ctx context.Context, shared int64, now time.Time) error {
	err := o.write(ctx, func(tx *sql.Tx) error {
		var forwarded int64
		var isMessage bool
		if err := tx.QueryRowContext(ctx, "SELECT forwarded, EXISTS (SELECT * FROM message WHERE number = ?) FROM state", shared).
			Scan(&forwarded, &isMessage); err != nil {
			return err
		}
		switch {
		case shared < forwarded:
			return rewind(ctx, tx, shared, now)
		case shared > forwarded && !isMessage:
			if err := renumber(ctx, tx, forwarded, shared); err != nil {
				return err
			}
		}
		return markForwarded(ctx, tx, shared, now)
	})
	return o.explain(err, "compare with the shared state")
}

// rewind makes the messages after a number wait again.
func rewind(ctx context.Context, tx *sql.Tx, to int64, now time.Time) error {
	if _, err := tx.ExecContext(ctx, "UPDATE state SET forwarded = ?, resent = ?", to, now.UnixMilli()); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, "DELETE FROM forwarding WHERE last > ?", to)
	return err
}

// renumber gives the messages after a number higher numbers than another one, in the same order.
func renumber(ctx context.Context, tx *sql.Tx, after, above int64) error {
	var first sql.NullInt64
	if err := tx.QueryRowContext(ctx, "SELECT MIN(number) FROM message WHERE number > ?", after).Scan(&first); err != nil {
		return err
	}
	if !first.Valid || first.Int64 > above {
		return nil
	}
	by := above - first.Int64 + 1
	for _, statement := range []string{ // two for each table, because SQLite compares a new number with the old ones at each row
		"UPDATE message SET number = -(number + ?1) WHERE number > ?2", "UPDATE message SET number = -number WHERE number < 0",
		"UPDATE attempted SET number = -(number + ?1) WHERE number > ?2", "UPDATE attempted SET number = -number WHERE number < 0",
	} {
		if _, err := tx.ExecContext(ctx, statement, by, after); err != nil {
			return err
		}
	}
	return nil
}

func ignoreNoRows(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	return err
}

// timeOf returns a stored time.
func timeOf(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
