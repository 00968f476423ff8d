package snstest

import (
	"sync"
	"time"
)

// lockout is the brute-force protection. It counts failures in a row over web and SSH together. While it is locked, the right
// password fails too, and failures do not count.
type lockout struct {
	lasts    time.Duration
	counters *counters

	mu       sync.Mutex
	password string
	failures int
	until    time.Time
}

// remaining returns how long the lock still holds; 0 if it does not.
func (l *lockout) remaining() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return max(0, time.Until(l.until))
}

// checkPassword also counts a failure. locked is how long the lock still holds that refused the password.
func (l *lockout) checkPassword(userMatches bool, password string) (ok bool, locked time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if left := time.Until(l.until); left > 0 {
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

// forgetFailures is called after a login that succeeded.
func (l *lockout) forgetFailures() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failures = 0
}

func (l *lockout) unlock() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failures, l.until = 0, time.Time{}
}

// SetPassword changes the account's password for SSH and the API. Open connections and sessions stay.
func (a *Appliance) SetPassword(password string) {
	a.lockout.mu.Lock()
	defer a.lockout.mu.Unlock()
	a.lockout.password = password
}

// Password returns the account's password.
func (a *Appliance) Password() string {
	a.lockout.mu.Lock()
	defer a.lockout.mu.Unlock()
	return a.lockout.password
}

// Unlock ends the brute-force lock and forgets failures.
func (a *Appliance) Unlock() { a.lockout.unlock() }

// Locked returns how long the brute-force lock still holds; 0 if it does not.
func (a *Appliance) Locked() time.Duration { return a.lockout.remaining() }
