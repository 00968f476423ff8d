package follower_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"notification-stormshield/lapi"
	"notification-stormshield/plugin/ban"
	"notification-stormshield/plugin/follower"
)

func TestItReadsEverythingAtFirstAndThenWhatChanged(t *testing.T) {
	follow(t, nil, func(h *harness) {
		h.want("at once", "203.0.113.1", "203.0.113.2")
		h.list.add(3, "203.0.113.3")
		h.list.add(4, "10.1.2.3") // never to be blocked
		h.list.remove(1)
		h.at(11 * time.Second)
		h.want("after a poll", "203.0.113.2", "203.0.113.3")
		if h.changed != 2 || !strings.Contains(h.log.String(), "first=10.1.2.3") {
			t.Errorf("changed %d times:\n%s", h.changed, h.log)
		}
		h.at(time.Minute)
		if h.changed != 2 || !slices.Equal(h.list.asked, []bool{true, false, false, false, false, false, false}) {
			t.Errorf("asked %v, changed %d times", h.list.asked, h.changed)
		}
	})
}

func TestNothingEndsWhileTheLocalAPICannotBeRead(t *testing.T) {
	follow(t, nil, func(h *harness) {
		h.list.set(func() { h.list.fail = &lapi.KeyError{Status: 403} })
		h.at(30 * time.Minute)
		h.want("without the Local API", "203.0.113.1", "203.0.113.2")
		if n := strings.Count(h.log.String(), "[ERROR]"); n < 2 || n > 4 {
			t.Errorf("the error was logged %d times in 30 minutes:\n%s", n, h.log)
		}
		if f := h.status().Following; time.Since(f.Failed) < 29*time.Minute || !strings.Contains(f.Why, "403") {
			t.Errorf("status %+v", f)
		}
		if n := len(h.list.asked); n > 70 {
			t.Errorf("it was asked %d times in 30 minutes", n)
		}
		h.list.set(func() { h.list.fail = nil })
		h.list.drop(1)
		h.list.add(3, "203.0.113.3")
		h.at(30*time.Minute + 31*time.Second)
		h.want("once it is back", "203.0.113.1", "203.0.113.2", "203.0.113.3")
		h.at(32 * time.Minute)
		h.want("after a second full read", "203.0.113.2", "203.0.113.3")
		if f := h.status().Following; !f.Failed.IsZero() || f.Read.IsZero() {
			t.Errorf("status %+v", f)
		}
		if !strings.Contains(h.log.String(), "is read again") {
			t.Errorf("the log does not say that it works again:\n%s", h.log)
		}
	})
}

// A Local API whose database fails ends its list as usual (streamDecisions of CrowdSec 1.7.8), for ever.
func TestAnEmptyOrCutListOfAFailingDatabaseEndsNothing(t *testing.T) {
	for name, fault := range map[string]func(*list){
		"a cut list and a failing question": func(l *list) { l.cut, l.lookupFails = true, errors.New("HTTP 500") },
		"an empty list and a failing question": func(l *list) {
			clear(l.standing)
			l.lookupFails = errors.New("HTTP 500")
		},
		"a cut list and a question that finds the decision": func(l *list) { l.cut, l.aboveFails = true, lapi.ErrNoIDs },
	} {
		follow(t, func(c *follower.Config) { c.Resync = time.Minute }, func(h *harness) {
			h.list.set(func() { fault(h.list) })
			h.at(20 * time.Minute)
			if h.want(name, "203.0.113.1", "203.0.113.2"); h.status().Following.Failed.IsZero() {
				t.Errorf("%s: status does not say that the Local API is not followed", name)
			}
			if n := strings.Count(h.log.String(), "[ERROR]"); n == 0 || n > 3 {
				t.Errorf("%s: the error was logged %d times:\n%s", name, n, h.log)
			}
		})
	}
}

// A poll of a Local API whose database fails is an empty list. The question for IDs tells the difference.
func TestAFailingDatabaseIsNoticedWithinAMinute(t *testing.T) {
	for _, withoutIDs := range []bool{false, true} {
		follow(t, nil, func(h *harness) {
			h.list.set(func() {
				if withoutIDs {
					h.list.aboveFails = lapi.ErrNoIDs
				}
			})
			h.at(2 * time.Minute)
			h.list.set(func() {
				h.list.lookupFails = errors.New("HTTP 500")
				if !withoutIDs {
					h.list.aboveFails = h.list.lookupFails
				}
			})
			h.at(3*time.Minute + 10*time.Second)
			if h.status().Following.Failed.IsZero() {
				t.Errorf("without IDs %v: nobody noticed", withoutIDs)
			}
		})
	}
}

func TestAnAnswerOfWhichNothingCanBeReadIsAFailure(t *testing.T) {
	follow(t, nil, func(h *harness) {
		h.list.set(func() {
			clear(h.list.standing)
			h.list.unreadable = 7
		})
		h.at(time.Minute)
		if f := h.status().Following; f.Failed.IsZero() || !strings.Contains(f.Why, "7 decisions") {
			t.Errorf("status %+v", f)
		}
	})
}

func TestPollsGoOnDuringAFullRead(t *testing.T) {
	follow(t, nil, func(h *harness) {
		for n := range int64(2000) {
			h.list.add(100+n, fmt.Sprintf("198.51.%d.%d", n>>8, n&255))
		}
		h.at(time.Minute)
		h.list.set(func() { h.list.slow = 100 * time.Millisecond })
		h.at(time.Hour + 30*time.Second) // a full read of 200 s is under way
		h.list.remove(2000)              // the full read lists it later
		h.list.add(5000, "203.0.113.50")
		h.at(time.Hour + 2*time.Minute)
		got := h.inForce()
		if slices.Contains(got, "198.51.7.108") || !slices.Contains(got, "203.0.113.50") || h.fullReads() != 2 {
			t.Errorf("%d in force after %d full reads", len(got), h.fullReads())
		}
		h.at(time.Hour + 10*time.Minute)
		if got := h.inForce(); len(got) != 2002 {
			t.Errorf("%d in force afterwards", len(got))
		}
	})
}

func TestADecisionThatTwoFullReadsLackEnds(t *testing.T) {
	follow(t, nil, func(h *harness) {
		h.list.drop(1)
		h.at(59 * time.Minute)
		h.want("before the next full read", "203.0.113.1", "203.0.113.2")
		h.at(time.Hour + 15*time.Second)
		h.want("after one full read", "203.0.113.1", "203.0.113.2")
		h.at(time.Hour + 90*time.Second)
		h.want("after two", "203.0.113.2")
		if n := h.fullReads(); n != 3 {
			t.Errorf("everything was read %d times", n)
		}
	})
}

// CrowdSec's database is deleted and made anew: IDs start at 1 again. CrowdSec may be away for less time than between two polls.
func TestADatabaseThatWasMadeAnewEndsTheOldDecisionsWithinTwoFullReads(t *testing.T) {
	for name, resync := range map[string]time.Duration{"the next full read is soon": time.Minute, "the next full read is late": 12 * time.Hour} {
		follow(t, func(c *follower.Config) { c.Resync = resync }, func(h *harness) {
			h.list.add(500, "203.0.113.50")
			h.at(11 * time.Second)
			h.want(name+": before", "203.0.113.1", "203.0.113.2", "203.0.113.50")
			h.list.set(func() {
				clear(h.list.standing)
				h.list.database++
			})
			h.list.add(1, "198.51.100.1")
			h.list.add(2, "203.0.113.2") // has the ID of before
			h.at(4 * time.Minute)
			h.want(name+": after two full reads", "198.51.100.1", "203.0.113.2")
			if f := h.status().Following; !f.Failed.IsZero() {
				t.Errorf("%s: status: %s", name, f.Why)
			}
		})
	}
}

// A decision that was made during a full read is listed again by the next poll.
func TestADecisionThatIsListedAgainIsNoNewDatabase(t *testing.T) {
	follow(t, nil, func(h *harness) {
		for n := range 30 {
			h.at(time.Duration(n) * time.Minute)
			h.list.add(2, "203.0.113.2")
		}
		if n := h.fullReads(); n != 1 {
			t.Errorf("everything was read %d times", n)
		}
	})
}

func TestAFullReadSaysNothingAboutWhatItsFilterLeavesOut(t *testing.T) {
	for name, query := range map[string]lapi.Query{
		"another origin":                            {Origins: []string{"CAPI"}},
		"an origin in other letters":                {Origins: []string{"CAPI", "Crowdsec"}},
		"a part of the scenario, in other letters":  {Exclude: []string{"SSH"}},
		"no such part of the scenario":              {Include: []string{"http"}},
		"scope range, and the value is one address": {Scopes: []string{"range"}},
	} {
		follow(t, func(c *follower.Config) {
			c.Resync = time.Minute
			c.Query = query
		}, func(h *harness) {
			h.record(ban.Decision{Prefix: prefix("203.0.113.9"), Bits: 32})
			h.at(10 * time.Minute)
			if got := h.inForce(); !slices.Contains(got, "203.0.113.9") {
				t.Errorf("%s: %v", name, got)
			}
		})
	}
}

// An alert may bring a range under scope Ip, and an address under scope Range. The ledger stores no scope.
func TestAFullReadOfOneScopeSaysNothingAboutWhatTheLocalAPINeverListed(t *testing.T) {
	for scope, d := range map[string]ban.Decision{
		"range": {Prefix: netip.MustParsePrefix("198.51.100.0/24"), Bits: 24},
		"ip":    {Prefix: prefix("198.51.100.0"), Bits: 32},
	} {
		follow(t, func(c *follower.Config) {
			c.Resync = time.Minute
			c.Query.Scopes = []string{scope}
		}, func(h *harness) {
			part := ban.Decision{Prefix: prefix("203.0.113.8"), Bits: 31} // the rest of a range around what is never blocked
			if scope == "ip" {
				h.record(part)
			}
			h.record(d)
			h.at(10 * time.Minute)
			got := h.inForce()
			if !slices.Contains(got, "198.51.100.0") || scope == "ip" && !slices.Contains(got, "203.0.113.8") {
				t.Errorf("scope %s: %v", scope, got)
			}
		})
	}
}

func TestADecisionThatIsOverCausesNoFullRead(t *testing.T) {
	follow(t, nil, func(h *harness) {
		h.list.add(9, "203.0.113.9")
		h.recordUntil(ban.Decision{Prefix: prefix("203.0.113.9"), Bits: 32}, time.Now().Add(50*time.Minute))
		h.at(2 * time.Hour)
		if n := h.fullReads(); n != 3 {
			t.Errorf("everything was read %d times in two hours, want 3", n)
		}
	})
}

// CrowdSec 1.4.6 gives no UUID, and a decision that was added and deleted between two polls is listed as deleted alone.
func TestADecisionThatWasDeletedBeforeItWasListedEndsWithinMinutes(t *testing.T) {
	follow(t, nil, func(h *harness) {
		h.list.set(func() { h.list.aboveFails, h.list.withoutUUIDs = lapi.ErrNoIDs, true })
		h.at(5 * time.Minute)
		h.recordUntil(ban.Decision{Prefix: prefix("203.0.113.9"), Bits: 32}, ends(900))
		h.list.set(func() { h.list.deleted[900] = "203.0.113.9" })
		h.at(5*time.Minute + 30*time.Second)
		h.want("after a poll", "203.0.113.1", "203.0.113.2", "203.0.113.9")
		h.at(8 * time.Minute)
		h.want("after two full reads", "203.0.113.1", "203.0.113.2")
	})
}

func TestADeletionOfAnOlderDecisionEndsNoNewOne(t *testing.T) {
	follow(t, nil, func(h *harness) {
		h.list.set(func() { h.list.aboveFails, h.list.withoutUUIDs = lapi.ErrNoIDs, true })
		h.at(5 * time.Minute)
		h.recordUntil(ban.Decision{Prefix: prefix("203.0.113.9"), Bits: 32}, ends(900))
		h.list.set(func() { h.list.deleted[800] = "203.0.113.9" }) // it is over, and its row is gone
		h.at(5*time.Minute + 15*time.Second)
		h.list.add(900, "203.0.113.9") // only now its transaction ends
		h.at(15 * time.Minute)
		h.want("always", "203.0.113.1", "203.0.113.2", "203.0.113.9")
	})
}

func TestEachDecisionCountsByItselfHoweverItsValueIsSpelled(t *testing.T) {
	protected := func() ban.Filter {
		return ban.Filter{NeverBlock: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/25")}}
	}
	for long, short := range map[string]string{
		"203.0.113.5": "203.0.113.5/32", "203.0.113.5/32": "203.0.113.5", "192.0.2.77/24": "192.0.2.0/24", "::ffff:203.0.113.6": "203.0.113.6",
		"2001:DB8::A": "2001:db8::a", "198.51.100.0/24": "198.51.100.128/25", "198.51.100.128/25": "198.51.100.7/24",
	} {
		for _, withoutUUIDs := range []bool{false, true} {
			follow(t, func(c *follower.Config) { c.Filter = protected }, func(h *harness) {
				count := len(h.inForce()) + 1
				h.list.set(func() { h.list.withoutUUIDs = withoutUUIDs })
				for _, first := range []int64{100, 50} { // the longer one has the higher ID
					h.list.add(first, map[int64]string{100: long, 50: short}[first])
				}
				h.at(15 * time.Second)
				h.list.remove(50)
				h.at(30 * time.Second)
				if got := h.inForce(); len(got) != count {
					t.Errorf("%s after the end of %s: %v", long, short, got)
				}
				h.list.remove(100)
				h.at(45 * time.Second)
				if got := h.inForce(); len(got) != count-1 {
					t.Errorf("%s and %s after both have ended: %v", long, short, got)
				}
			})
		}
	}
}

func TestAFilterThatWasLoosenedCountsAtTheNextFullRead(t *testing.T) {
	var loosened atomic.Bool
	follow(t, func(c *follower.Config) {
		c.Filter = func() ban.Filter {
			if loosened.Load() {
				return ban.Filter{}
			}
			return ban.Filter{Origins: []string{"cscli"}}
		}
	}, func(h *harness) {
		h.want("while the filter refuses them")
		loosened.Store(true)
		h.at(time.Hour + time.Minute)
		h.want("after the next full read", "203.0.113.1", "203.0.113.2")
	})
}

// A transaction of the Local API that takes seconds is committed after the poll that should have listed its decisions.
func TestADecisionThatNoPollListedIsFoundByItsID(t *testing.T) {
	follow(t, nil, func(h *harness) {
		h.at(3 * time.Minute)
		h.list.add(90, "203.0.113.90")
		h.at(3*time.Minute + 15*time.Second)
		h.list.addLate(80, "203.0.113.80") // its transaction began before that of 90
		h.at(4*time.Minute + 15*time.Second)
		h.want("a minute later", "203.0.113.1", "203.0.113.2", "203.0.113.80", "203.0.113.90")
		if n := h.fullReads(); n != 1 {
			t.Errorf("everything was read %d times", n)
		}
		h.at(15 * time.Minute)
		if last := h.list.above[len(h.list.above)-1]; last != 90 {
			t.Errorf("asked above %d", last)
		}
	})
}

// CrowdSec 1.7.8 stores an import in one transaction. A poll during that transaction lists nothing, and the next poll lists
// the decisions that were made after the first poll.
func TestAPollThatListsAPartOfAnImportBringsTheOtherPartToo(t *testing.T) {
	follow(t, nil, func(h *harness) {
		h.at(15 * time.Second)
		h.list.addLate(80, "203.0.113.80")
		h.list.addLate(81, "203.0.113.81")
		h.list.add(82, "203.0.113.82")
		h.at(20 * time.Second)
		h.want("after that poll", "203.0.113.1", "203.0.113.2", "203.0.113.80", "203.0.113.81", "203.0.113.82")
	})
}

// The poll comes after the last decision was made and before the transaction ends.
func TestAnImportOfWhichNoPollListsAnyIsFoundByTheNextPoll(t *testing.T) {
	follow(t, nil, func(h *harness) {
		h.at(15 * time.Second)
		h.list.addLate(80, "203.0.113.80")
		h.list.addLate(81, "203.0.113.81")
		h.at(20 * time.Second)
		h.want("after that poll", "203.0.113.1", "203.0.113.2", "203.0.113.80", "203.0.113.81")
	})
}

// The Local API lists a decision again that was made while the last poll ran.
func TestADecisionThatIsListedTwiceHidesNoMissingOne(t *testing.T) {
	follow(t, nil, func(h *harness) {
		for _, at := range []time.Duration{15, 25} {
			h.at(at * time.Second)
			h.list.add(3, "203.0.113.3")
		}
		h.at(35 * time.Second)
		h.list.add(5, "203.0.113.5")
		h.at(45 * time.Second)
		h.list.addLate(4, "203.0.113.4") // stored only now
		h.at(75 * time.Second)
		h.want("a minute later", "203.0.113.1", "203.0.113.2", "203.0.113.3", "203.0.113.4", "203.0.113.5")
	})
}

func TestAGreatGapOfIDsIsAskedForForFiveMinutes(t *testing.T) {
	follow(t, nil, func(h *harness) {
		h.at(15 * time.Second)
		h.list.add(1<<40, "203.0.113.40")
		h.at(25 * time.Second)
		h.list.add(1<<40+1, "203.0.113.41")
		h.at(20 * time.Minute)
		h.list.add(1<<40+2, "203.0.113.42")
		h.at(21 * time.Minute)
		h.want("with IDs far apart", "203.0.113.1", "203.0.113.2", "203.0.113.40", "203.0.113.41", "203.0.113.42")
		if last := h.list.above[len(h.list.above)-1]; last != 1<<40+2 {
			t.Errorf("asked above %d", h.list.above)
		}
	})
}

// After a long import, the question of each minute would bring all of it for five minutes.
func TestDecisionsThatPollsListedAreNotAskedForAgain(t *testing.T) {
	follow(t, nil, func(h *harness) {
		h.at(15 * time.Second)
		for id := range int64(50) {
			h.list.add(3+id, fmt.Sprintf("198.51.100.%d", id))
		}
		h.at(10*time.Minute + 5*time.Second)
		if want := append([]int64{2}, slices.Repeat([]int64{52}, 59)...); !slices.Equal(h.list.above, want) {
			t.Errorf("asked above %d, want %d", h.list.above, want)
		}
	})
}

// CrowdSec 1.7.8 deletes 256 decisions at a time, all with the end of the first. When that takes seconds, a poll in the midst is the last
// one that lists deletions with this end.
func TestDeletionsThatAPollBetweenTwoStepsMissedAreFoundWithinAMinute(t *testing.T) {
	follow(t, nil, func(h *harness) {
		for n := range int64(300) {
			h.list.add(100+n, fmt.Sprintf("198.51.%d.%d", n>>8, n&255))
		}
		h.at(2 * time.Minute)
		for n := range int64(256) {
			h.list.remove(100 + n)
		}
		for n := range int64(44) {
			h.list.removeLate(356 + n)
		}
		h.at(3*time.Minute + 15*time.Second)
		h.want("a minute later", "203.0.113.1", "203.0.113.2")
		h.at(30 * time.Minute)
		h.list.remove(1)
		h.at(59 * time.Minute)
		if n := h.fullReads(); n != 2 { // a few deletions are one step
			t.Errorf("everything was read %d times", n)
		}
	})
}

// CrowdSec 1.4.6 stores an import in many small transactions. A poll misses the one that is under way.
func TestWithoutIDsAPartOfAnImportThatNoPollListedIsFoundWithinAMinute(t *testing.T) {
	follow(t, func(c *follower.Config) { c.Resync = 0 }, func(h *harness) {
		h.list.set(func() { h.list.aboveFails, h.list.withoutUUIDs = lapi.ErrNoIDs, true })
		h.at(5 * time.Minute)
		reads := h.fullReads()
		h.list.add(80, "203.0.113.80")
		h.list.addLate(81, "203.0.113.81")
		h.at(6*time.Minute + 15*time.Second)
		h.want("a minute later", "203.0.113.1", "203.0.113.2", "203.0.113.80", "203.0.113.81")
		h.at(9 * time.Minute)
		if n := h.fullReads() - reads; n != 2 { // the second finds nothing unknown, and is the last
			t.Errorf("everything was read %d times more", n)
		}
	})
}

func TestWithoutIDsEverythingIsReadEveryTenMinutes(t *testing.T) {
	follow(t, func(c *follower.Config) { c.Resync = 0 }, func(h *harness) {
		h.list.set(func() { h.list.aboveFails, h.list.withoutUUIDs = lapi.ErrNoIDs, true })
		h.at(5 * time.Minute)
		h.list.addLate(80, "203.0.113.80")
		h.at(12 * time.Minute)
		h.want("after a full read", "203.0.113.1", "203.0.113.2", "203.0.113.80")
		if n := h.fullReads(); n != 3 || len(h.list.above) != 1 { // the third because the second found it
			t.Errorf("everything was read %d times, IDs were asked for %d times", n, len(h.list.above))
		}
	})
}

func TestASecondReaderWithTheSameKeyIsNoticed(t *testing.T) {
	follow(t, nil, func(h *harness) {
		for n := range 8 {
			h.list.addLate(int64(100+n), fmt.Sprintf("198.51.100.%d", n))
			h.at(time.Duration(n+1) * time.Minute)
		}
		if n := strings.Count(h.log.String(), "the same key"); n != 1 {
			t.Errorf("it was said %d times:\n%s", n, h.log)
		}
	})
}

func TestAPanicDoesNotEndTheFollower(t *testing.T) {
	follow(t, nil, func(h *harness) {
		h.list.set(func() { h.list.panics = true })
		h.at(30 * time.Second)
		h.list.set(func() { h.list.panics = false })
		h.list.add(3, "203.0.113.3")
		h.at(2 * time.Minute)
		h.want("afterwards", "203.0.113.1", "203.0.113.2", "203.0.113.3")
		if !strings.Contains(h.log.String(), "a fault of this program") {
			t.Errorf("the log does not say so:\n%s", h.log)
		}
	})
}

func TestCrowdSecGetsUsageMetrics(t *testing.T) {
	follow(t, nil, func(h *harness) {
		h.at(16 * time.Minute)
		if len(h.list.told) != 2 || h.list.told[1].Active["CAPI"] != 2 || h.list.told[1].Window != 15*time.Minute {
			t.Errorf("sent %+v", h.list.told)
		}
	})
	follow(t, nil, func(h *harness) {
		h.list.set(func() { h.list.tellErr = lapi.ErrNoMetrics })
		h.at(time.Hour)
		if n := len(h.list.told); n > 2 {
			t.Errorf("an old Local API was asked %d times", n)
		}
	})
	follow(t, nil, func(h *harness) {
		h.list.set(func() { h.list.tellErr = errors.New("away") })
		h.at(16 * time.Minute)
		h.want("though metrics fail", "203.0.113.1", "203.0.113.2")
	})
}
