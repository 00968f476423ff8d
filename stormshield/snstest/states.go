package snstest

import (
	"net/netip"
	"slices"
)

// flushState is MONITOR FLUSH STATE <address>, which drops the established connections of an address. The appliance
// simulates the command, and no connections.
func (c *call) flushState(address string) answer {
	if !c.mayMonitor("log") {
		return plain(statusLevel)
	}
	addr, err := netip.ParseAddr(address)
	if err != nil || c.faults.NoIPv6 && addr.Is6() {
		return plain(statusArgument)
	}
	counters := c.appliance.counters
	counters.mu.Lock()
	defer counters.mu.Unlock()
	counters.flushed = append(counters.flushed, addr)
	return plain(statusOK)
}

// FlushedStates returns the address of each MONITOR FLUSH STATE that the appliance did, in their order. ResetStats empties
// the list. To refuse the command, set Faults.NoLog or Faults.Ret["MONITOR FLUSH STATE"].
func (a *Appliance) FlushedStates() []netip.Addr {
	a.counters.mu.Lock()
	defer a.counters.mu.Unlock()
	return slices.Clone(a.counters.flushed)
}
