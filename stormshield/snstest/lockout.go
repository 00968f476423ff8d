package snstest

import (
	"sync"
	"time"
)

// lockout is the brute-force protection. It counts failures in a row over web and SSH together; while it is locked even
// the right password fails, and what fails then counts no further.
type lockout struct {
	lasts    time.Duration
	counters *counters

	mu       sync.Mutex
	password string
	failures int
	until    time.Time
}

// remaining is how long the lock still holds, 0 when it does not. The caller holds mu.
func (l *lockout) remaining() time.Duration {
	return max(0, time.Until(l.until))
}

func (l *lockout) locked() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.remaining()
}

// try checks a password. locked is what is left of the lock that refused it.
func (l *lockout) try(userMatches bool, password string) (ok bool, locked time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if left := l.remaining(); left > 0 {
		return false, left
	}
	if userMatches && password == l.password {
		return true, 0
	}
	l.failures++
	if l.failures >= mostFailures {
		l.failures = 0
		l.until = time.Now().Add(l.lasts)
		l.counters.count(func(s *Stats) { s.Lockouts++ })
	}
	return false, 0
}

// passed forgets earlier failures: someone got in.
func (l *lockout) passed() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failures = 0
}

func (l *lockout) unlock() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failures, l.until = 0, time.Time{}
}

// SetPassword changes the account's password, for SSH and the web. Open connections and sessions stay.
func (a *Appliance) SetPassword(password string) {
	a.lockout.mu.Lock()
	defer a.lockout.mu.Unlock()
	a.lockout.password = password
}

// Password returns the account's present password.
func (a *Appliance) Password() string {
	a.lockout.mu.Lock()
	defer a.lockout.mu.Unlock()
	return a.lockout.password
}

// Unlock ends the brute-force lock, as if its time had passed, and forgets failures.
func (a *Appliance) Unlock() { a.lockout.unlock() }

// Locked returns how long the brute-force lock still holds, 0 when it does not.
func (a *Appliance) Locked() time.Duration { return a.lockout.locked() }
