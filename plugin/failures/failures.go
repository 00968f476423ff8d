// Package failures helps a loop that tries the same thing again and again. [Log] logs its failures without flooding the log,
// and [Backoff] says how long it waits before it tries again.
//
//	log := failures.NewLog(logger)
//	for failed := 0; ; {
//		if err := try(); err == nil {
//			failed = 0
//			log.Succeeded("it works again")
//		} else {
//			failed++
//			log.Failed(hclog.Error, "it does not work", "error", err)
//			time.Sleep(failures.Backoff(failed, time.Second, time.Minute))
//		}
//	}
//
// The package knows nothing of what the loop does.
package failures

import (
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

// RepeatEvery is how often a failure that goes on is logged again.
const RepeatEvery = 10 * time.Minute

// Log logs the failures of one loop: a new one at once, and one that goes on every ten minutes with the number of failures in
// a row. It is safe for concurrent use.
type Log struct {
	logger hclog.Logger

	mu     sync.Mutex
	kind   string    // the last message without digits
	logged time.Time // when that kind was last logged
	count  int       // failures in a row
}

// NewLog returns a log that writes to logger.
func NewLog(logger hclog.Logger) *Log { return &Log{logger: logger} }

// Failed logs a failure, unless one with the same message was logged within the last ten minutes. Two messages that differ
// only in digits are the same: ports, times and counts change while the failure stays.
func (l *Log) Failed(level hclog.Level, message string, details ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count++
	now, kind := time.Now(), withoutDigits(message)
	if kind == l.kind && now.Sub(l.logged) < RepeatEvery {
		return
	}
	l.kind, l.logged = kind, now
	if l.count > 1 {
		details = append(details, "failures", l.count)
	}
	l.logger.Log(level, message, details...)
}

// Succeeded ends the failures. If there were any, it logs the message at info with their number.
func (l *Log) Succeeded(message string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.count > 0 {
		l.logger.Info(message, "failures", l.count)
	}
	l.kind, l.count = "", 0
}

// Backoff returns how long to wait after a number of failures in a row. The wait doubles from first to longest. A random part
// shortens it to half at most, so that loops which failed together do not try again together.
func Backoff(failures int, first, longest time.Duration) time.Duration {
	wait := min(first<<min(max(failures, 1)-1, 16), longest)
	return wait - rand.N(wait/2+1) //nolint:gosec // nobody gains by guessing a wait
}

func withoutDigits(text string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return -1
		}
		return r
	}, text)
}
