package pacer

import "time"

// Suspend adds to the wall clock the time that passed while the machine was suspended, in which no timer runs. A test calls
// it before Run. passed returns that time.
func (p *Pacer) Suspend(passed func() time.Duration) {
	p.now = func() time.Time { return time.Now().Add(passed()) }
}

// DoubleRetryWaits makes the waits after failures 1 s, 2 s, 4 s and so on, without the random part.
func (p *Pacer) DoubleRetryWaits() {
	p.retryWait = func(n int) time.Duration { return min(firstRetry<<(n-1), lastRetry) }
}
