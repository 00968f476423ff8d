package torture

import (
	"fmt"
	"net/netip"
	"time"
)

const (
	// soon is how long an address may take to the blacklist while SSH is down. It is the debounce and some seconds.
	soon = 10 * time.Second
	// sshTimeout is how long a flush that needs the files waits for a silent server. No other flush runs meanwhile.
	sshTimeout = time.Minute
)

// sshOutages takes SSH away again and again, and never the API. Meanwhile each new address must be blocked soon, and each ban that
// ends must be unblocked. Ranges and the files follow when SSH is back.
func sshOutages(t *try) {
	h := newHarness(t)
	h.ban(long, h.draw(30)...)
	h.settle()
	faults := sshFaults
	if t.Short { // the last one takes as long as all others
		faults = faults[:len(faults)-1]
	}
	for i := range faults {
		down, limit := faults[(i+h.choose(len(faults)))%len(faults)], soon
		if down.name == silentSSH.name {
			limit += sshTimeout
		}
		end := down.begin(h)
		for range 3 {
			addresses := h.drawAddresses(1 + h.random.IntN(25))
			h.ban(long, addresses...)
			h.ban(time.Duration(1+h.random.IntN(4))*time.Second, h.drawUpTo(4)...)
			h.reportAfter(h.await(func(time.Time) difference { return h.missing(addresses) }, limit), down.name)
			h.pauseUpTo(2 * time.Second)
		}
		end()
		h.pauseUpTo(2 * time.Second)
	}
	h.settleAfter("outages of SSH")
}

// missing returns the prefixes that are not on the blacklist.
func (h *harness) missing(some []netip.Prefix) (d difference) {
	for _, p := range some {
		if _, blocked := h.Appliance.BlockedPrefix(p); !blocked {
			d.missing = append(d.missing, p.String()+" on the blacklist")
		}
	}
	return d
}

// rebootAfterSmallFlush restarts the appliance right after a flush that wrote no files. The next re-assert must block everything
// again.
func rebootAfterSmallFlush(t *try) {
	h := newHarness(t)
	h.reassertEvery(shortestReassert)
	h.ban(long, h.draw(5+h.random.IntN(40))...)
	h.settle()
	rounds := 3
	if t.Short {
		rounds = 1
	}
	for range rounds {
		h.pauseUpTo(shortestReassert)
		addresses := h.drawAddresses(1 + h.random.IntN(4))
		h.ban(long, addresses...)
		h.reportAfter(h.await(func(time.Time) difference { return h.missing(addresses) }, soon), "none")
		h.Appliance.Reboot()
		h.reportAfter(h.await(h.compareEnforced, shortestReassert+soon/2), fmt.Sprintf("a reboot after a flush of %d addresses", len(addresses)))
	}
	h.settle()
}
