// Package lockout keeps every process of one configuration from logging in too often: three refused logins lock an
// appliance for everybody. A login that failed holds off all further logins, in all processes.
//
// A refused login holds off for 30 minutes, and each further one in a row for twice as long, up to a day. A temporary
// failure holds off for 1 minute, then 2, 4 and 5. If the appliance asked for a delay, that is added. The hold-off ends when
// its time has passed or a login is accepted. It counts only for the credentials that earned it, so a corrected configuration
// is tried at once.
//
// The package does not log in, and knows nothing of the reasons. It keeps one small file, which several processes use at
// once. Its main type is [File].
//
//	hold, held, err := file.Current(credentials, now)   // must nobody log in now?
//	hold, err = file.RecordFailure(credentials, failure, now)  // a login failed
//	err = file.RecordSuccess(credentials)                    // a login was accepted
package lockout

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// firstHoldOff follows the first refused login. Three failures lock an appliance for up to an hour, so that two in
	// half an hour are safe.
	firstHoldOff = 30 * time.Minute
	longHoldOff  = 24 * time.Hour
	// firstPause follows a login that failed for a reason that may pass.
	firstPause = time.Minute
	longPause  = 5 * time.Minute
)

// Failure is a login that the appliance did not accept.
type Failure struct {
	Reason string `json:"reason"`
	Hint   string `json:"hint"` // what the administrator can do
	// Temporary says that the appliance did not refuse the account: the same login may be accepted later.
	Temporary bool          `json:"temporary"`
	Delay     time.Duration `json:"-"` // how long the appliance wants no login; 0: it did not say
}

// wait returns for how long nobody logs in after this failure, the nth of its kind in a row.
func (f Failure) wait(n int) time.Duration {
	doublings := min(n-1, 10)
	if f.Temporary {
		return f.Delay + min(firstPause<<doublings, longPause)
	}
	return max(min(firstHoldOff<<doublings, longHoldOff), f.Delay+firstPause)
}

// HoldOff says until when no process may log in, and why.
type HoldOff struct {
	Failure            // the last one
	Until    time.Time `json:"until"`    // to the millisecond, as it is stored
	Failures int       `json:"failures"` // of this kind in a row
}

// Advice returns the hint, and when a corrected configuration counts.
func (h HoldOff) Advice() string {
	if h.Temporary {
		return h.Hint
	}
	return h.Hint + "; after a reload of CrowdSec a corrected configuration is tried at once"
}

// File is where a hold-off is stored. It need not exist.
type File struct{ Path string }

// stored is what the file holds.
type stored struct {
	HoldOff
	Since time.Time `json:"since"`
	Salt  string    `json:"salt"`
	// For is a short code of the credentials. It shows whether they changed, and it is too short to guess the password from.
	For string `json:"for"`
}

func (s stored) isFor(credentials string) bool {
	return s.For != "" && s.For == code(s.Salt, credentials)
}

func code(salt, credentials string) string {
	mac := hmac.New(sha256.New, []byte(salt))
	_, _ = io.WriteString(mac, credentials) // never fails
	return hex.EncodeToString(mac.Sum(nil)[:2])
}

// Current returns the hold-off that stands for these credentials, if any. A hold-off that other credentials earned does
// not count: a corrected configuration is tried at once. A hold-off that began later than now was set before the clock
// was set back. It begins again, for nobody knows how long ago that was, and Current stores its new end.
func (f File) Current(credentials string, now time.Time) (HoldOff, bool, error) {
	var s stored
	err := f.use(func(before stored) (stored, bool) {
		var restarted bool
		s, restarted = before.at(credentials, now)
		return s, restarted
	})
	return s.standing(credentials, now, err)
}

// CurrentReadOnly is Current for a command that only reads: it stores nothing.
func (f File) CurrentReadOnly(credentials string, now time.Time) (HoldOff, bool, error) {
	var s stored
	file, err := os.Open(f.Path)
	if err == nil {
		defer file.Close()
		if err = lock(file, unix.LOCK_SH); err == nil {
			s, err = load(file)
		}
	} else if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	s, _ = s.at(credentials, now)
	return s.standing(credentials, now, err)
}

// at returns the hold-off as it stands now. If the clock was set back since it began, it begins again.
func (s stored) at(credentials string, now time.Time) (_ stored, restarted bool) {
	if !s.isFor(credentials) || !now.Before(s.Since) {
		return s, false
	}
	s.Since, s.Until = now, now.Add(s.Until.Sub(s.Since))
	return s, true
}

// standing is the result of Current and CurrentReadOnly.
func (s stored) standing(credentials string, now time.Time, err error) (HoldOff, bool, error) {
	if err != nil {
		return HoldOff{}, false, fmt.Errorf("read the login hold-off: %w", err)
	}
	return s.HoldOff, s.isFor(credentials) && now.Before(s.Until), nil
}

// RecordFailure records that a login with these credentials failed, and returns the hold-off that follows. Each failure of the
// same kind in a row makes it longer.
func (f File) RecordFailure(credentials string, failure Failure, now time.Time) (HoldOff, error) {
	h := HoldOff{Failure: failure, Failures: 1}
	err := f.use(func(before stored) (stored, bool) {
		if before.isFor(credentials) && before.Temporary == failure.Temporary {
			h.Failures += before.Failures
		}
		h.Until = now.Add(failure.wait(h.Failures)).Truncate(time.Millisecond)
		salt := rand.Text()
		return stored{HoldOff: h, Since: now, Salt: salt, For: code(salt, credentials)}, true
	})
	if err != nil {
		return h, fmt.Errorf("record the login hold-off: %w", err)
	}
	return h, nil
}

// RecordSuccess ends the hold-off that these credentials earned, if there is one. A hold-off of other credentials
// stays: an older process may log in while the corrected configuration fails.
func (f File) RecordSuccess(credentials string) error {
	err := f.use(func(before stored) (stored, bool) { return stored{}, before.isFor(credentials) })
	if err != nil {
		return fmt.Errorf("end the login hold-off: %w", err)
	}
	return nil
}

// use reads the file, and writes what change returns if write is true. Other processes wait meanwhile.
func (f File) use(change func(stored) (after stored, write bool)) (err error) {
	file, err := os.OpenFile(f.Path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		if _, write := change(stored{}); !write {
			return nil
		}
		file, err = os.OpenFile(f.Path, os.O_RDWR|os.O_CREATE, 0o600)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if err := lock(file, unix.LOCK_EX); err != nil {
		return err
	}
	before, err := load(file)
	if err != nil {
		return err
	}
	after, write := change(before)
	if !write {
		return nil
	}
	return store(file, after)
}

func lock(file *os.File, how int) error {
	if err := unix.Flock(int(file.Fd()), how); err != nil {
		return fmt.Errorf("lock %s: %w", file.Name(), err)
	}
	return nil
}

// load reads what the file holds. A file that cannot be parsed counts as no hold-off: at worst one more login is tried.
func load(file *os.File) (s stored, err error) {
	text, err := io.ReadAll(io.LimitReader(file, 1<<20))
	if err == nil && json.Unmarshal(text, &s) != nil {
		s = stored{}
	}
	return s, err
}

// store writes the file anew, over its old text: a file that does not grow needs no room on a disk that is full.
func store(file *os.File, s stored) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		return err
	}
	blanks := max(int(info.Size())-len(text)-1, 0) // over the rest of the old text
	text = append(append(text, bytes.Repeat([]byte{' '}, blanks)...), '\n')
	if _, err := file.WriteAt(text, 0); err != nil {
		return err
	}
	return file.Sync()
}
