// Package lockout keeps all processes of one configuration from logging in too often, because three refused logins lock an
// appliance for everybody. A failed login begins a hold-off: until its end, no process logs in.
//
// The hold-off after a refused login lasts 30 minutes, and after each further one in a row twice as long, up to a day. After a
// temporary failure it lasts 1 minute, then 2, 4 and 5. If the appliance asked for a delay, that is added. An accepted login ends
// it. A hold-off counts only for the credentials that failed, so a corrected configuration is tried at once.
//
// The package does not log in. It keeps one small file, which several processes use at once. Its main type is [File]. Several machines
// that share an appliance also share the hold-off: see [Shared].
//
//	hold, active, err := file.Current(credentials, now)       // if active, do not log in
//	hold, err = file.RecordFailure(credentials, failure, now) // after a failed login
//	err = file.RecordSuccess(credentials)                     // after an accepted login
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
	// firstHoldOff follows the first refused login. Three failures lock an appliance for up to an hour, so two in half
	// an hour are safe.
	firstHoldOff = 30 * time.Minute
	longHoldOff  = 24 * time.Hour
	// firstPause follows the first temporary failure.
	firstPause = time.Minute
	longPause  = 5 * time.Minute
	// readWait is how long a reader waits for a process that stores the file.
	readWait = time.Second
)

// Failure is a login that the appliance did not accept.
type Failure struct {
	Reason string `json:"reason"`
	Hint   string `json:"hint"` // what the administrator can do
	// Temporary says that the appliance did not refuse the account: the same login may be accepted later.
	Temporary bool          `json:"temporary"`
	Delay     time.Duration `json:"-"` // for which the appliance asked; 0: it did not ask for one
}

// wait returns how long the hold-off after this failure lasts. The failure is the nth of its kind in a row.
func (f Failure) wait(n int) time.Duration {
	doublings := min(n-1, 10)
	if f.Temporary {
		return f.Delay + min(firstPause<<doublings, longPause)
	}
	return max(min(firstHoldOff<<doublings, longHoldOff), f.Delay+firstPause)
}

// HoldOff says until when no process may log in, and why.
type HoldOff struct {
	Failure            // the last failure
	Until    time.Time `json:"until"`    // to the millisecond, as it is stored
	Failures int       `json:"failures"` // in a row, of this kind
}

// Advice returns the hint, and when a corrected configuration is tried.
func (h HoldOff) Advice() string {
	if h.Temporary {
		return h.Hint
	}
	return h.Hint + "; after a reload of CrowdSec a corrected configuration is tried at once"
}

// File is where a hold-off is stored. It need not exist.
type File struct{ Path string }

// record is the content of the file.
type record struct {
	HoldOff
	Since time.Time `json:"since"`
	Salt  string    `json:"salt"`
	// For is a short code of the credentials. It shows whether they changed. It is too short to guess a password by it.
	For string `json:"for"`
}

func (r record) isFor(credentials string) bool {
	return r.For != "" && r.For == code(r.Salt, credentials)
}

func code(salt, credentials string) string {
	mac := hmac.New(sha256.New, []byte(salt))
	_, _ = io.WriteString(mac, credentials) // never fails
	return hex.EncodeToString(mac.Sum(nil)[:2])
}

// Current returns the hold-off of these credentials. active says that it has not ended. If the clock was set back since the
// hold-off began, the time that passed is unknown: the hold-off begins again, and Current stores its new end.
func (f File) Current(credentials string, now time.Time) (hold HoldOff, active bool, err error) {
	var r record
	err = f.update(func(before record) (record, bool) {
		var restarted bool
		r, restarted = before.restarted(credentials, now, 0)
		return r, restarted
	})
	return r.current(credentials, now, err)
}

// CurrentReadOnly is like Current, and stores nothing. If another process keeps the file locked for readWait, that is an error.
func (f File) CurrentReadOnly(credentials string, now time.Time) (hold HoldOff, active bool, err error) {
	r, err := f.read()
	r, _ = r.restarted(credentials, now, 0)
	return r.current(credentials, now, err)
}

// read returns the content of the file.
func (f File) read() (r record, err error) {
	file, err := os.Open(f.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return record{}, nil
	}
	if err != nil {
		return record{}, err
	}
	defer file.Close()
	if err := lockToRead(file); err != nil {
		return record{}, err
	}
	return load(file)
}

// restarted returns the record with a hold-off that begins now, if the clock was set back since it began, by more than skew.
func (r record) restarted(credentials string, now time.Time, skew time.Duration) (_ record, changed bool) {
	if !r.isFor(credentials) || r.Until.IsZero() || !now.Add(skew).Before(r.Since) {
		return r, false
	}
	r.Since, r.Until = now, now.Add(r.Until.Sub(r.Since))
	return r, true
}

// current returns the results of Current and CurrentReadOnly.
func (r record) current(credentials string, now time.Time, err error) (hold HoldOff, active bool, _ error) {
	if err != nil {
		return HoldOff{}, false, fmt.Errorf("read the login hold-off: %w", err)
	}
	return r.HoldOff, r.isFor(credentials) && now.Before(r.Until), nil
}

// RecordFailure records that a login with these credentials failed, and returns the hold-off that follows.
func (f File) RecordFailure(credentials string, failure Failure, now time.Time) (HoldOff, error) {
	var r record
	err := f.update(func(before record) (record, bool) {
		r = before.failed(credentials, failure, now)
		return r, true
	})
	if err != nil {
		if r.For == "" { // the file could not be read
			r = r.failed(credentials, failure, now)
		}
		return r.HoldOff, fmt.Errorf("record the login hold-off: %w", err)
	}
	return r.HoldOff, nil
}

// failed returns the record after one more failed login.
func (r record) failed(credentials string, failure Failure, now time.Time) record {
	h := HoldOff{Failure: failure, Failures: 1}
	if r.isFor(credentials) && r.Temporary == failure.Temporary {
		h.Failures += r.Failures
	}
	h.Until = now.Add(failure.wait(h.Failures)).Truncate(time.Millisecond)
	return newRecord(credentials, h, now)
}

func newRecord(credentials string, h HoldOff, since time.Time) record {
	salt := rand.Text()
	return record{HoldOff: h, Since: since, Salt: salt, For: code(salt, credentials)}
}

// RecordSuccess ends the hold-off of these credentials. A hold-off of other credentials stays, because an older process may log in
// while a new configuration fails.
func (f File) RecordSuccess(credentials string) error {
	err := f.update(func(before record) (record, bool) { return record{}, before.isFor(credentials) })
	if err != nil {
		return fmt.Errorf("end the login hold-off: %w", err)
	}
	return nil
}

// update reads the file, calls change, and writes the new record if write is true. Other processes wait meanwhile.
func (f File) update(change func(before record) (after record, write bool)) (err error) {
	file, err := os.OpenFile(f.Path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		if _, write := change(record{}); !write {
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

// lockToRead does not wait for ever, because a process may hang while it stores the file, and the metrics show several documents.
func lockToRead(file *os.File) error {
	for deadline := time.Now().Add(readWait); ; {
		err := lock(file, unix.LOCK_SH|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) || time.Now().After(deadline) {
			return err
		}
		<-time.After(10 * time.Millisecond)
	}
}

// load reads the file. A file that cannot be parsed counts as no hold-off: at worst one more login is tried.
func load(file *os.File) (r record, err error) {
	text, err := io.ReadAll(io.LimitReader(file, 1<<20))
	if err == nil && json.Unmarshal(text, &r) != nil {
		r = record{}
	}
	return r, err
}

// store overwrites the text of the file. A file that does not grow needs no room on a full disk.
func store(file *os.File, r record) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		return err
	}
	blanks := max(int(info.Size())-len(text)-1, 0) // over the end of the old text
	text = append(append(text, bytes.Repeat([]byte{' '}, blanks)...), '\n')
	if _, err := file.WriteAt(text, 0); err != nil {
		return err
	}
	return file.Sync()
}
