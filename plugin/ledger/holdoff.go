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
	// firstPause is the pause after a first login that failed with Temporary.
	firstPause = time.Minute
	longPause  = 5 * time.Minute

	factHoldOffSince     = "holdoff_since"
	factHoldOffUntil     = "holdoff_until"
	factHoldOffFailures  = "holdoff_failures"
	factHoldOffReason    = "holdoff_reason"
	factHoldOffHint      = "holdoff_hint"
	factHoldOffTemporary = "holdoff_temporary"
	factHoldOffFor       = "holdoff_credentials"
	factSalt             = "salt"
)

// LoginFailure is a login that the appliance did not accept.
type LoginFailure struct {
	Reason string
	Hint   string // what the administrator can do
	// Temporary says that the appliance did not refuse the account: it may accept
	// the same login later.
	Temporary bool
	Delay     time.Duration // how long the appliance asks to wait; 0: it names no time
}

// wait returns for how long no login is tried after this failure. It is the nth of
// its kind in a row.
func (f LoginFailure) wait(n int) time.Duration {
	doublings := min(n-1, 10)
	if f.Temporary {
		return f.Delay + min(firstPause<<doublings, longPause)
	}
	return max(min(firstHoldOff<<doublings, longHoldOff), f.Delay+firstPause)
}

// HoldOff says until when no process may try to log in, and why.
type HoldOff struct {
	LoginFailure           // the last failure, without its Delay
	Until        time.Time // to the millisecond, as it is stored
	Failures     int       // of this kind in a row

	since time.Time
}

// Advice returns the hint, and says when a corrected configuration is tried.
func (h HoldOff) Advice() string {
	if h.Temporary {
		return h.Hint
	}
	return h.Hint + "; after a reload of CrowdSec a corrected configuration is tried at once"
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

// LoginFailed records that a login with these credentials failed, and returns
// the hold-off that follows. Each failure of the same kind in a row makes it
// longer.
func (l *Ledger) LoginFailed(ctx context.Context, credentials string, f LoginFailure, now time.Time) (HoldOff, error) {
	h := HoldOff{LoginFailure: f, Failures: 1}
	err := l.write(ctx, func(tx *sql.Tx) error {
		before, same, err := heldOff(ctx, tx, credentials)
		if err != nil {
			return err
		}
		if same && before.Temporary == f.Temporary {
			h.Failures += before.Failures
		}
		h.Until = now.Add(f.wait(h.Failures)).Truncate(time.Millisecond)
		digest, err := digest(ctx, tx, credentials)
		if err != nil {
			return err
		}
		for name, value := range map[string]string{
			factHoldOffSince: strconv.FormatInt(now.UnixMilli(), 10),
			factHoldOffUntil: strconv.FormatInt(h.Until.UnixMilli(), 10), factHoldOffFailures: strconv.Itoa(h.Failures),
			factHoldOffReason: f.Reason, factHoldOffHint: f.Hint, factHoldOffTemporary: strconv.FormatBool(f.Temporary), factHoldOffFor: digest,
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
			_, err := tx.ExecContext(ctx, "DELETE FROM fact WHERE name IN (?, ?, ?, ?, ?, ?, ?)", factHoldOffSince, factHoldOffUntil,
				factHoldOffFailures, factHoldOffReason, factHoldOffHint, factHoldOffTemporary, factHoldOffFor)
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
	numbers := map[string]int64{}
	for _, name := range []string{factHoldOffUntil, factHoldOffSince, factHoldOffFailures} {
		if numbers[name], err = number(fact(ctx, tx, name)); err != nil {
			return HoldOff{}, false, err
		}
	}
	texts := map[string]string{}
	for _, name := range []string{factHoldOffReason, factHoldOffHint, factHoldOffTemporary} {
		if texts[name], err = fact(ctx, tx, name); err != nil {
			return HoldOff{}, false, err
		}
	}
	return HoldOff{
		LoginFailure: LoginFailure{
			Reason: texts[factHoldOffReason], Hint: texts[factHoldOffHint], Temporary: texts[factHoldOffTemporary] == strconv.FormatBool(true),
		},
		Until: moment(numbers[factHoldOffUntil]), Failures: int(numbers[factHoldOffFailures]), since: moment(numbers[factHoldOffSince]),
	}, true, nil
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
