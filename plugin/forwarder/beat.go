package forwarder

import (
	"context"
	"slices"
	"time"

	"notification-stormshield/plugin/ledger"
)

// beat records one beat, and compares the outbox with the last number that the shared state has.
func (f *Forwarder) beat(ctx context.Context) error {
	waiting, err := f.Outbox.Waiting(ctx)
	if err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	now := time.Now()
	beaten, err := f.Ledger.Beat(limited, ledger.Beat{Version: f.Version, Waiting: waiting.Decisions, WaitingSince: waiting.Since}, now)
	if err != nil {
		return err
	}
	if err := f.compare(ctx, beaten); err != nil {
		return err
	}
	f.nextBeat = now.Add(beatEvery)
	return f.recordAttempts(ctx, now)
}

// recordAttempts records in a shared state from a backup what this machine began to block within the last day. By then the other machines and
// the Local APIs have brought their decisions, so the next flush unblocks only what is not in force.
func (f *Forwarder) recordAttempts(ctx context.Context, now time.Time) error {
	contact, err := f.Outbox.Contact(ctx)
	if err != nil || contact.Restored.IsZero() || now.Sub(contact.Restored).Abs() < attemptsWait {
		return err
	}
	attempted, err := f.Outbox.Attempts(ctx, now)
	if err != nil {
		return err
	}
	for some := range slices.Chunk(attempted, mostDecisions) {
		limited, cancel := context.WithTimeout(ctx, callTimeout)
		err := f.Ledger.RecordAttempted(limited, some, now, f.MaxBans)
		cancel()
		if err != nil {
			return err
		}
	}
	if err := f.Outbox.ForgetRestored(ctx); err != nil {
		return err
	}
	if f.OnAttempted != nil {
		f.OnAttempted()
	}
	return nil
}

// compare finds out whether the database came back from a backup, and aligns the outbox with the shared state.
//
// After a backup the shared state counts a beat again that it counted before, or it lacks messages that were forwarded. A count that
// is higher than expected shows no backup: the answer to a beat was lost, or another process of this machine recorded a beat.
func (f *Forwarder) compare(ctx context.Context, beaten ledger.Beaten) error {
	contact, err := f.Outbox.Contact(ctx)
	if err != nil {
		return err
	}
	forwarded, err := f.Outbox.Forwarded(ctx)
	if err != nil {
		return err
	}
	if beaten.Beat <= contact.Beat || beaten.Forwarded < forwarded {
		if !f.restored {
			f.Log.Warn("the shared state is an older one than before: everything is compared and blocked again, and the last decisions are sent again",
				"beat", beaten.Beat, "known_beat", contact.Beat, "hint", "this is expected after a backup was restored, or after a change of state_url")
		}
		f.restored = true
	}
	if f.restored {
		limited, cancel := context.WithTimeout(ctx, callTimeout)
		defer cancel()
		if err := f.Ledger.RecordRestored(limited, time.Now(), f.MaxBans); err != nil {
			return err
		}
		if err := f.Outbox.RecordRestored(ctx, time.Now()); err != nil {
			return err
		}
	}
	if err := f.Outbox.Align(ctx, beaten.Forwarded, time.Now()); err != nil {
		return err
	}
	if err := f.Outbox.RecordBeat(ctx, beaten.Beat); err != nil {
		return err
	}
	if f.restored {
		f.restored = false
		if f.OnRestored != nil {
			f.OnRestored()
		}
	}
	return nil
}
