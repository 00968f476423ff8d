package plugin

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

// close stops the work of a notification, logs out, and closes the ledger.
func (n *notification) close() {
	n.stop()
	<-n.ended
	n.appliance.LogOut()
	n.closeState()
}

// closeState closes the ledger, the outbox and the login hold-off.
func (n *notification) closeState() {
	n.endLockout()
	if n.ledger != nil {
		_ = n.ledger.Close()
	}
	if n.outbox != nil {
		_ = n.outbox.Close()
	}
}

// Close stops everything. A process that ends does not need it: all records are durable.
func (p *Plugin) Close() {
	p.mu.Lock()
	running := p.running
	p.running = map[string]*notification{}
	p.mu.Unlock()
	for _, n := range running { // closing waits for a flush, which may need the lock
		n.close()
	}
}

// exitTime bounds LogOut, because a process that CrowdSec ends must be gone within 100 ms.
const exitTime = 50 * time.Millisecond

// LogOut ends the sessions that stay open between flushes, and hands the shared lease over, before the caller ends the process. It waits for
// exitTime at most. The appliance ends the other sessions by itself.
func (p *Plugin) LogOut() {
	p.mu.Lock()
	running := slices.Collect(maps.Values(p.running))
	p.mu.Unlock()
	var leaving sync.WaitGroup
	ending, cancel := context.WithTimeout(context.Background(), exitTime)
	defer cancel()
	for _, n := range running {
		leaving.Go(n.appliance.LogOut)
		if n.sharing != nil {
			leaving.Go(func() { n.sharing.handOver(ending) })
		}
	}
	done := make(chan struct{})
	go func() {
		leaving.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(exitTime):
	}
}
