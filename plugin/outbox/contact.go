package outbox

import (
	"context"
	"database/sql"
	"time"
)

// Contact describes this machine's contact with the shared state.
type Contact struct {
	Beat      int64     // the last beat that the shared state counted; 0: none
	AwaySince time.Time // since when the database cannot be used; zero: it can, as far as this machine knows
	Cause     string    // why it cannot
	IsAlone   bool      // this machine goes on without the database
	Restored  time.Time // when this machine noticed that the state came from a backup; zero: never, or ForgetRestored was called since
}

// Contact returns this machine's contact with the shared state.
func (o *Outbox) Contact(ctx context.Context) (c Contact, err error) {
	var since, restored int64
	err = o.db.QueryRowContext(ctx, "SELECT beat, away_since, away_cause, alone, restored FROM state").
		Scan(&c.Beat, &since, &c.Cause, &c.IsAlone, &restored)
	c.AwaySince, c.Restored = timeOf(since), timeOf(restored)
	return c, o.explain(err, "read the contact with the shared state")
}

// RecordBeat records that the shared state counted a beat.
func (o *Outbox) RecordBeat(ctx context.Context, beat int64) error {
	return o.explain(o.update(ctx, "UPDATE state SET beat = ?", beat), "record a beat")
}

// RecordRestored records when this machine noticed that the shared state came from a backup.
func (o *Outbox) RecordRestored(ctx context.Context, now time.Time) error {
	return o.explain(o.update(ctx, "UPDATE state SET restored = ?", now.UnixMilli()), "record that the shared state came from a backup")
}

// ForgetRestored records that the shared state has what this machine began to block.
func (o *Outbox) ForgetRestored(ctx context.Context) error {
	return o.explain(o.update(ctx, "UPDATE state SET restored = 0"), "record what the shared state has")
}

// RecordBack records that the database can be used.
func (o *Outbox) RecordBack(ctx context.Context) error {
	err := o.update(ctx, "UPDATE state SET away_since = 0, away_cause = '', alone = 0 WHERE away_since <> 0 OR alone <> 0")
	return o.explain(err, "record that the database can be used")
}

// RecordAway records that the database cannot be used, and why. The time of the first failure stays.
func (o *Outbox) RecordAway(ctx context.Context, cause string, now time.Time) error {
	const statement = `UPDATE state SET away_since = CASE away_since WHEN 0 THEN ?1 ELSE away_since END, away_cause = ?2
		WHERE away_since = 0 OR away_cause <> ?2`
	err := o.update(ctx, statement, now.UnixMilli(), cause)
	return o.explain(err, "record that the database cannot be used")
}

// RecordAlone records whether this machine goes on alone: it enforces without the database.
func (o *Outbox) RecordAlone(ctx context.Context, isAlone bool) error {
	err := o.update(ctx, "UPDATE state SET alone = ?1 WHERE alone <> ?1", isAlone)
	return o.explain(err, "record whether this machine goes on alone")
}

// update runs one statement in a transaction of its own.
func (o *Outbox) update(ctx context.Context, statement string, parameters ...any) error {
	return o.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, statement, parameters...)
		return err
	})
}
