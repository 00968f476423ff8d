package pacer

import "time"

// Suspend lets so much time pass on the wall's clock, in which no timer goes. It
// must be called before Run, with what tells the time passed by then.
func (p *Pacer) Suspend(passed func() time.Duration) {
	p.now = func() time.Time { return time.Now().Add(passed()) }
}
