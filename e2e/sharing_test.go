package e2e

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

const (
	// takesOverWithin is the time from the kill of a machine until another one has blocked a new ban.
	takesOverWithin = 10 * time.Second
	// slowRoundTrip is the round trip of the network between the plugin and PostgreSQL.
	slowRoundTrip = 50 * time.Millisecond
)

func TestTwoCrowdSecsEnforceOnOneAppliance(t *testing.T) {
	t.Parallel() // it mostly waits
	for name, oneDatabase := range map[string]bool{"a database each": false, "one database": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSharing(t, oneDatabase)
			standing := []string{"203.0.113.101", "2001:db8:101::1", "198.51.100.0/28"}
			s.banAndWait(t, s.machines[0], standing[0])
			s.banAndWait(t, s.machines[1], standing[1])
			s.banAndWait(t, s.machines[1], standing[2])
			stayedBlocked := s.guardBans(t, standing...)

			// Each machine is killed once while it flushes, and once while the other one does.
			for i := range 4 {
				probe := fmt.Sprintf("203.0.113.%d", 110+i)
				victim := s.holder(t, probe)
				standing = append(standing, probe)
				if i%2 == 1 {
					victim = 1 - victim
				}
				standing = append(standing, s.killAndReturn(t, victim, i, standing)...)
			}
			stayedBlocked()

			stayedBlocked = s.guardBans(t, standing...)
			for _, m := range s.machines {
				m.CrowdSec.Stop(t)
				m.Plugin.waitUntilGone(t)
			}
			for _, m := range s.machines {
				m.startMachine(t)
			}
			for i, m := range s.machines {
				value := fmt.Sprintf("203.0.113.%d", 140+i)
				s.banAndWait(t, m, value)
				standing = append(standing, value)
			}
			s.checkBlocks(t, standing...)
			stayedBlocked()
			s.checkNeverUnblocked(t, standing...)

			s.checkDeletions(t, oneDatabase, standing)
			s.checkCleanup(t)
		})
	}
}

// killAndReturn kills a machine and starts it again. It returns the bans that it made meanwhile.
func (s *sharing) killAndReturn(t *testing.T, victim, round int, standing []string) (made []string) {
	t.Helper()
	killed, survivor := s.machines[victim], s.machines[1-victim]
	unsent := fmt.Sprintf("203.0.113.%d", 120+round)
	stayedBlocked := s.guardBans(t, standing...)
	// The plugin may be killed before it has flushed this ban.
	killed.banAndWaitUntilRecorded(t, "--ip", unsent, 4*time.Hour)
	at := killed.killMachine(t)
	while := fmt.Sprintf("203.0.113.%d", 130+round)
	survivor.waitUntilEnforced(t, while, survivor.CrowdSec.Ban(t, "--ip", while, 4*time.Hour), takesOverWithin)
	checkWithin(t, takesOverWithin, fmt.Sprintf("machine %d is killed, and a ban of the other one enforced", victim), time.Since(at))

	killed.startMachine(t)
	started := time.Now()
	killed.waitUntilEnforced(t, unsent, Decision{asked: started}, enforcedWithin)
	s.checkBlocks(t, slices.Concat(standing, []string{unsent, while})...)
	stayedBlocked()
	s.checkNeverUnblocked(t, standing...)
	return []string{unsent, while}
}

// checkDeletions deletes bans at each machine, and bans one address at both. With a database each, the address stays blocked until the
// second of them deletes its decision.
func (s *sharing) checkDeletions(t *testing.T, oneDatabase bool, standing []string) {
	t.Helper()
	const both = "203.0.113.150"
	a, b := s.machines[0], s.machines[1]
	s.banAndWait(t, a, both)
	s.banAndWait(t, b, both)
	if oneDatabase {
		a.CrowdSec.mustCscli(t, "decisions", "delete", "--ip", both)
	} else {
		stayedBlocked := s.guardBans(t, both)
		b.waitUntilReads(t)
		a.CrowdSec.mustCscli(t, "decisions", "delete", "--ip", both)
		a.waitUntilReads(t)
		marker := "203.0.113.151" // its flush comes after that read
		s.banAndWait(t, a, marker)
		stayedBlocked()
		standing = append(standing, marker)
		b.CrowdSec.mustCscli(t, "decisions", "delete", "--ip", both)
	}
	took := s.waitUntilUnblocked(t, both)
	checkWithin(t, 2*(readEvery+2*time.Second), "the last decision on an address deleted, and the address unblocked", took)
	s.checkBlocks(t, standing...)
	for _, m := range s.machines {
		m.CrowdSec.mustCscli(t, "decisions", "delete", "--all")
	}
	s.waitUntilBlocks(t, 0, 30*time.Second)
}

// waitUntilReads waits until the plugin has read its Local API twice more, so that it has seen every change before.
func (env *Environment) waitUntilReads(t testing.TB) {
	t.Helper()
	for range 2 {
		from := time.Now()
		waitFor(t, 20*time.Second, "the plugin reads the Local API again", func() (bool, string) {
			l := env.Plugin.localAPI(t)
			return l.LastRead != nil && l.LastRead.After(from), l.Error
		})
	}
}

// The appliance is on loopback, so its own time is small.
func TestALoneBanIsBlockedSoonOverASlowNetworkToPostgreSQL(t *testing.T) {
	const lone, debounce, limit = 10, time.Second, 2 * time.Second
	t.Parallel() // it mostly waits
	state := startPostgres(t)
	state.newStateDatabase(t)
	slow := newSlowLink(t, state.address(), slowRoundTrip)
	env := newEnvironment(t, Combination{CrowdSec: current, Access: overSSH}, func(env *Environment) {
		env.Plugin.shareState(t, stateURL(slow.address()), "a")
	})
	env.waitUntilQuiet(t)
	for i := range lone {
		value := fmt.Sprintf("203.0.113.%d", 160+i)
		env.Plugin.waitUntilIdle(t)
		before := slow.carried.Load()
		env.banAndWaitUntilRecorded(t, "--ip", value, time.Hour)
		took := waitFor(t, limit+10*time.Second, value+" is on the blacklist", func() (bool, string) {
			_, blocked := env.Appliance.Blocked(t, prefix(value))
			return blocked, "it is not"
		})
		checkWithin(t, limit, fmt.Sprintf("lone ban %d with a round trip of %s, after it was recorded", i+1, slowRoundTrip), took)
		if took < debounce/4 { // otherwise the measurement began too late
			t.Errorf("%s was blocked %s after it was recorded, and the debounce is %s", value, took, debounce)
		}
		if slow.carried.Load() == before {
			t.Errorf("%s was blocked without PostgreSQL", value)
		}
	}
	env.checkCleanup(t)
}
