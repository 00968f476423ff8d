package ledger

import (
	"context"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"
)

const (
	// firstHoldOff follows the first refused login. Three failures lock an
	// appliance for up to an hour, so that two in half an hour are safe.
	firstHoldOff = 30 * time.Minute
	longHoldOff  = 24 * time.Hour

	factHoldOffSince    = "holdoff_since"
	factHoldOffUntil    = "holdoff_until"
	factHoldOffFailures = "holdoff_failures"
	factHoldOffReason   = "holdoff_reason"
	factHoldOffFor      = "holdoff_credentials"
	factSalt            = "salt"
)

// HoldOff says until when no process may try to log in, and why.
type HoldOff struct {
	Until    time.Time
	Failures int // in a row
	Reason   string

	since time.Time
}

// HeldOff returns the hold-off that stands for these credentials, if any. A
// hold-off that other credentials earned does not count: a corrected
// configuration is tried at once. One that began later than now did so before
// the clock was set back, and begins anew: nobody knows how long ago that was,
// and it must not last until the clock has come as far again.
func (l *Ledger) HeldOff(ctx context.Context, credentials string, now time.Time) (HoldOff, bool, error) {
	var h HoldOff
	held := false
	err := l.read(ctx, func(tx *sql.Tx) (err error) {
		h, held, err = heldOff(ctx, tx, credentials)
		return err
	})
	if err == nil && held && now.Before(h.since) {
		h.since, h.Until = now, now.Add(h.Until.Sub(h.since))
		err = l.write(ctx, func(tx *sql.Tx) error {
			return setFacts(ctx, tx, map[string]int64{factHoldOffSince: h.since.UnixMilli(), factHoldOffUntil: h.Until.UnixMilli()})
		})
	}
	if err != nil {
		return HoldOff{}, false, fmt.Errorf("read the login hold-off in %s: %w", l.path, err)
	}
	return h, held && now.Before(h.Until), nil
}

// LoginRefused records that a login with these credentials was refused, and
// returns the hold-off that follows. Each refusal in a row doubles it. asked
// is how long the appliance wants to be left alone, if it said so.
func (l *Ledger) LoginRefused(ctx context.Context, credentials, reason string, asked time.Duration, now time.Time) (HoldOff, error) {
	var h HoldOff
	err := l.write(ctx, func(tx *sql.Tx) error {
		before, same, err := heldOff(ctx, tx, credentials)
		if err != nil {
			return err
		}
		if same {
			h.Failures = before.Failures
		}
		wait := min(firstHoldOff<<min(h.Failures, 10), longHoldOff)
		h.Failures++
		h.Until, h.Reason = now.Add(max(wait, asked+time.Minute)), reason
		digest, err := digest(ctx, tx, credentials)
		if err != nil {
			return err
		}
		for name, value := range map[string]string{
			factHoldOffSince: strconv.FormatInt(now.UnixMilli(), 10),
			factHoldOffUntil: strconv.FormatInt(h.Until.UnixMilli(), 10), factHoldOffFailures: strconv.Itoa(h.Failures),
			factHoldOffReason: reason, factHoldOffFor: digest,
		} {
			if err := setFact(ctx, tx, name, value); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return HoldOff{}, fmt.Errorf("record the login hold-off in %s: %w", l.path, err)
	}
	return h, nil
}

// LoginAccepted ends the hold-off that these credentials earned, if there is
// one. That of others stands: a process with an older configuration may log in
// well while the corrected one is wrong.
func (l *Ledger) LoginAccepted(ctx context.Context, credentials string) error {
	earned, err := fact(ctx, l.db, factHoldOffFor)
	if err == nil && earned != "" {
		err = l.write(ctx, func(tx *sql.Tx) error {
			if _, mine, err := heldOff(ctx, tx, credentials); err != nil || !mine {
				return err
			}
			_, err := tx.ExecContext(ctx, "DELETE FROM fact WHERE name IN (?, ?, ?, ?, ?)",
				factHoldOffSince, factHoldOffUntil, factHoldOffFailures, factHoldOffReason, factHoldOffFor)
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("end the login hold-off in %s: %w", l.path, err)
	}
	return nil
}

func heldOff(ctx context.Context, tx *sql.Tx, credentials string) (h HoldOff, same bool, err error) {
	earned, err := fact(ctx, tx, factHoldOffFor)
	if err != nil || earned == "" {
		return HoldOff{}, false, err
	}
	mine, err := digest(ctx, tx, credentials)
	if err != nil || mine != earned {
		return HoldOff{}, false, err
	}
	until, err := number(fact(ctx, tx, factHoldOffUntil))
	if err != nil {
		return HoldOff{}, false, err
	}
	since, err := number(fact(ctx, tx, factHoldOffSince))
	if err != nil {
		return HoldOff{}, false, err
	}
	failures, err := number(fact(ctx, tx, factHoldOffFailures))
	if err != nil {
		return HoldOff{}, false, err
	}
	h = HoldOff{Until: moment(until), Failures: int(failures), since: moment(since)}
	h.Reason, err = fact(ctx, tx, factHoldOffReason)
	return h, true, err
}

// digest makes of credentials what may be stored: it tells whether they are
// the same, and is slow to guess from.
func digest(ctx context.Context, tx *sql.Tx, credentials string) (string, error) {
	salt, err := fact(ctx, tx, factSalt)
	if err != nil {
		return "", err
	}
	if salt == "" {
		salt = rand.Text()
		if err := setFact(ctx, tx, factSalt, salt); err != nil {
			return "", err
		}
	}
	key, err := pbkdf2.Key(sha256.New, credentials, []byte(salt), 20_000, 32)
	return hex.EncodeToString(key), err
}
