package snstest

import (
	"net/netip"
	"slices"
	"sync"
	"time"
)

// keptCommands is how many commands Stats lists at most; keptLength is how much of each it keeps.
const (
	keptCommands = 2000
	keptLength   = 8 << 10
)

// Stats counts what clients did since the appliance started, or since ResetStats.
type Stats struct {
	// SSHBytesIn and SSHBytesOut are counted at the socket, with handshakes. In is towards the appliance.
	SSHBytesIn, SSHBytesOut int64
	SSHConnections          int
	// SSHCommands are the latest 2000, as they were sent, each cut to 8 KiB. SSHCommandCount counts all.
	SSHCommands     []string
	SSHCommandCount int
	// SSHUploaded counts the bytes that commands got on standard input.
	SSHUploaded int64
	// SSHAuthOK counts logins, SSHAuthFailed refused passwords, answers and keys.
	SSHAuthOK, SSHAuthFailed int
	// ShellCPU is the user and system time of the SSH commands that have ended.
	ShellCPU time.Duration

	APIBytesIn, APIBytesOut      int64
	APIConnections               int
	APIRequests                  int
	APILoginsOK, APILoginsFailed int
	APICommands                  []string // like SSHCommands
	SessionsOpen                 int      // now

	// CredentialsSeen counts passwords, answers, keys and certificates that SSH or the API got, right or wrong.
	CredentialsSeen int
	// Lockouts counts how often brute-force protection locked the appliance.
	Lockouts int
	// Evictions counts how often a session took the configuration right from the administrator who held it.
	Evictions int
	// Overlaps counts how often a flush changed something amid a flush of another machine; see Appliance.Overlaps.
	Overlaps int
	// FilterCommands counts the API commands on slots and rules. Activations counts how often the active slot was loaded by
	// CONFIG SLOT ACTIVATE, enfilter -u or Faults.FilterActivateLoads.
	FilterCommands, Activations int
}

// counters collects Stats.
type counters struct {
	mu      sync.Mutex
	s       Stats
	flushed []netip.Addr // of MONITOR FLUSH STATE
}

// count changes the numbers.
func (c *counters) count(change func(*Stats)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(&c.s)
}

func (c *counters) sshCommand(line string) {
	c.count(func(s *Stats) {
		s.SSHCommandCount++
		s.SSHCommands = remember(s.SSHCommands, line)
	})
}

func (c *counters) apiCommand(line string) {
	c.count(func(s *Stats) {
		s.APICommands = remember(s.APICommands, line)
	})
}

// remember keeps up to twice as many as keptCommands, so that it seldom copies. Stats returns the latest ones.
func remember(list []string, line string) []string {
	if len(line) > keptLength {
		line = line[:keptLength]
	}
	if len(list) >= 2*keptCommands {
		list = append(list[:0], list[len(list)-keptCommands:]...)
	}
	return append(list, line)
}

func latest(list []string) []string {
	if len(list) > keptCommands {
		list = list[len(list)-keptCommands:]
	}
	return slices.Clone(list)
}

// Stats returns what clients did so far.
func (a *Appliance) Stats() Stats {
	a.counters.mu.Lock()
	s := a.counters.s
	s.SSHCommands = latest(s.SSHCommands)
	s.APICommands = latest(s.APICommands)
	a.counters.mu.Unlock()

	s.SessionsOpen = a.sessions.countOpen()
	s.APIBytesIn, s.APIBytesOut = a.apiGate.in.Load(), a.apiGate.out.Load()
	s.APIConnections = int(a.apiGate.accepted.Load())
	if a.sshGate != nil {
		s.SSHBytesIn, s.SSHBytesOut = a.sshGate.in.Load(), a.sshGate.out.Load()
		s.SSHConnections = int(a.sshGate.accepted.Load())
	}
	return s
}

// ResetStats sets every number of Stats to zero, except SessionsOpen, and empties FlushedStates and Overlaps.
func (a *Appliance) ResetStats() {
	a.counters.mu.Lock()
	a.counters.s, a.counters.flushed = Stats{}, nil
	a.counters.mu.Unlock()
	a.overlaps.forget()
	a.apiGate.resetCounts()
	if a.sshGate != nil {
		a.sshGate.resetCounts()
	}
}
