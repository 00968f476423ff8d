package follower_test

import (
	"cmp"
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

func TestTheFirstUpdateIsAFullReadAndTheLaterOnesArePolls(t *testing.T) {
	t.Parallel()
	follow(t, nil, func(h *harness) {
		h.wantInForce("at once", 1, 2)
		h.api.add(3)
		h.api.put(4, "10.1.2.3") // never to be blocked
		h.api.remove(1)
		h.at(11 * time.Second)
		h.wantInForce("after a poll", 2, 3)
		if h.changed != 2 || !strings.Contains(h.log.String(), "first=10.1.2.3") {
			t.Errorf("changed %d times:\n%s", h.changed, h.log)
		}
		h.at(time.Minute)
		if h.changed != 2 || h.api.asked != "fpppppp" {
			t.Errorf("asked %s, changed %d times", h.api.asked, h.changed)
		}
	})
}

func TestManyRefusedDecisionsAreOneLineOfTheLog(t *testing.T) {
	t.Parallel()
	change := func(c *follower.Config) { c.Filter = func() ban.Filter { return ban.Filter{AddressesOnly: true} } }
	follow(t, change, func(h *harness) {
		for id := int64(3); id < 1003; id++ {
			h.api.put(id, fmt.Sprintf("198.51.%d.0/24", id&255))
		}
		h.at(50 * time.Second)
		h.wantInForce("after polls", 1, 2)
		if log := h.log.String(); strings.Count(log, "refused=") != 1 || !strings.Contains(log, "refused=1000") || !strings.Contains(log, "give ssh_password") {
			t.Errorf("the log:\n%s", log)
		}
	})
}

func TestNoBanEndsWhileTheLocalAPICannotBeRead(t *testing.T) {
	t.Parallel()
	follow(t, nil, func(h *harness) {
		h.api.fail = &lapi.KeyError{Status: 403}
		h.at(30 * time.Minute)
		h.wantInForce("without the Local API", 1, 2)
		if n := strings.Count(h.log.String(), "[ERROR]"); n < 2 || n > 4 {
			t.Errorf("the error was logged %d times in 30 minutes:\n%s", n, h.log)
		}
		if f := h.following(); time.Since(f.FailingSince) < 29*time.Minute || !strings.Contains(f.Error, "403") {
			t.Errorf("status %+v", f)
		}
		if n := len(h.api.asked); n > 100 {
			t.Errorf("the Local API was asked %d times in 30 minutes", n)
		}
		h.api.fail = nil
		delete(h.api.standing, 1)
		h.api.add(3)
		h.at(30*time.Minute + 31*time.Second)
		h.wantInForce("after the outage", 1, 2, 3)
		h.at(32 * time.Minute)
		h.wantInForce("after a second full read", 2, 3)
		if f := h.following(); !f.FailingSince.IsZero() || f.LastRead.IsZero() {
			t.Errorf("status %+v", f)
		}
		if !strings.Contains(h.log.String(), "is read again") {
			t.Errorf("the log does not report the success:\n%s", h.log)
		}
	})
}

// A Local API whose database fails ends its list as usual (streamDecisions of CrowdSec 1.7.8), for ever.
func TestAFaultyAnswerEndsNoBan(t *testing.T) {
	t.Parallel()
	away := errors.New("HTTP 500")
	for name, c := range map[string]struct {
		fault func(*fakeAPI)
		why   string
	}{
		"a cut list and a failing question":    {func(a *fakeAPI) { a.cut, a.lookupFails = true, away }, "HTTP 500"},
		"an empty list and a failing question": {func(a *fakeAPI) { a.standing, a.lookupFails = nil, away }, "HTTP 500"},
		"a cut list and a question that finds": {func(a *fakeAPI) { a.cut, a.readAboveFails = true, lapi.ErrNoIDs }, "answers are cut"},
		"a list that cannot be read":           {func(a *fakeAPI) { a.standing, a.unreadable = nil, 7 }, "none of the 7 decisions"},
		"a panic":                              {func(a *fakeAPI) { a.panics = true }, "a fault of this program"},
	} {
		follow(t, func(c *follower.Config) { c.ResyncEvery = time.Minute }, func(h *harness) {
			c.fault(h.api)
			h.at(20 * time.Minute)
			h.wantInForce(name, 1, 2)
			if f := h.following(); f.FailingSince.IsZero() || !strings.Contains(f.Error, c.why) {
				t.Errorf("%s: status %+v", name, f)
			}
			if n := strings.Count(h.log.String(), "[ERROR]"); n == 0 || n > 3 {
				t.Errorf("%s: the error was logged %d times:\n%s", name, n, h.log)
			}
		})
	}
}

// A poll of a Local API whose database fails is an empty list. The question for higher IDs fails.
func TestAFailingDatabaseIsNoticedWithinAMinute(t *testing.T) {
	t.Parallel()
	for _, withoutIDs := range []error{nil, lapi.ErrNoIDs} {
		follow(t, nil, func(h *harness) {
			h.api.readAboveFails = withoutIDs
			h.at(2 * time.Minute)
			h.api.lookupFails = errors.New("HTTP 500")
			h.api.readAboveFails = cmp.Or(withoutIDs, h.api.lookupFails)
			h.at(3*time.Minute + 10*time.Second)
			if h.following().FailingSince.IsZero() {
				t.Errorf("questions for IDs end with %v: the ledger has no failure", withoutIDs)
			}
		})
	}
}

func TestPollsGoOnDuringAFullRead(t *testing.T) {
	t.Parallel()
	follow(t, nil, func(h *harness) {
		for id := range int64(2000) {
			h.api.add(3 + id)
		}
		h.at(time.Minute)
		h.api.slow = 100 * time.Millisecond
		h.at(time.Hour + 30*time.Second) // a full read of 200 s is running
		h.api.remove(2000)               // the full read lists it later
		h.api.add(5000)
		h.at(time.Hour + 2*time.Minute)
		if got := h.inForce(); slices.Contains(got, value(2000)) || !slices.Contains(got, value(5000)) {
			t.Errorf("%d in force during the full read", len(got))
		}
		h.wantFullReads("during the second", 2)
		h.at(time.Hour + 10*time.Minute)
		if got := h.inForce(); len(got) != 2002 {
			t.Errorf("%d in force afterwards", len(got))
		}
	})
}

func TestADeletionDuringASlowAnswerIsNotLost(t *testing.T) {
	t.Parallel()
	for name, wait := range map[string]func(*fakeAPI){
		"a full read of 145 s":  func(a *fakeAPI) { a.fullWait = 145 * time.Second },
		"polls of 70 s":         func(a *fakeAPI) { a.pollWait = 70 * time.Second },
		"all answers take 70 s": func(a *fakeAPI) { a.fullWait, a.pollWait = 70*time.Second, 70*time.Second },
	} {
		follow(t, nil, func(h *harness) {
			h.api.fail = errors.New("away") // a full read follows
			wait(h.api)
			h.at(15 * time.Second)
			h.api.fail = nil
			for n := range 6 {
				h.api.add(int64(3 + n))
				h.at(time.Duration(1+n)*15*time.Minute + 40*time.Second)
				h.api.remove(int64(3 + n))
				h.at(time.Duration(1+n)*15*time.Minute + 10*time.Minute)
				if got := h.inForce(); len(got) != 2 {
					t.Errorf("%s: %v in force", name, got)
				}
			}
		})
	}
}

func TestADecisionThatTwoFullReadsLackEnds(t *testing.T) {
	t.Parallel()
	follow(t, nil, func(h *harness) {
		h.api.add(9)
		h.record(value(9)+"/32", time.Now().Add(50*time.Minute))
		for n := range 30 {
			h.at(time.Duration(n) * time.Minute)
			h.api.add(2) // a decision that was made during a read is listed again by the next poll
		}
		h.at(90 * time.Minute)
		h.wantFullReads("a decision of an alert has ended, and one was listed again", 2)
		delete(h.api.standing, 1)
		h.at(2*time.Hour - time.Minute)
		h.wantInForce("before the next full read", 1, 2, 9)
		h.at(2*time.Hour + 15*time.Second)
		h.wantInForce("after one full read", 1, 2, 9)
		h.at(2*time.Hour + 90*time.Second)
		h.wantInForce("after two", 2, 9)
		h.wantFullReads("after two", 4)
	})
}

// A new database of CrowdSec starts its IDs at 1 again. CrowdSec may be away for less time than between two polls.
func TestANewDatabaseEndsTheOldDecisionsWithinTwoFullReads(t *testing.T) {
	t.Parallel()
	for name, resync := range map[string]time.Duration{"the next full read is soon": time.Minute, "the next full read is late": 12 * time.Hour} {
		follow(t, func(c *follower.Config) { c.ResyncEvery = resync }, func(h *harness) {
			h.api.add(500)
			h.at(11 * time.Second)
			h.wantInForce(name+": before", 1, 2, 500)
			clear(h.api.standing)
			h.api.database++
			h.api.put(1, value(99))
			h.api.add(2) // has the ID of before
			h.at(4 * time.Minute)
			h.wantInForce(name+": after two full reads", 99, 2)
			if f := h.following(); !f.FailingSince.IsZero() {
				t.Errorf("%s: status: %s", name, f.Error)
			}
		})
	}
}

func TestAFullReadEndsNoDecisionThatItsQueryLeavesOut(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		query  lapi.Query
		prefix string // of an alert's decision
	}{
		"another origin":                            {lapi.Query{Origins: []string{"CAPI"}}, "198.51.100.9/32"},
		"an origin in other letters":                {lapi.Query{Origins: []string{"CAPI", "Crowdsec"}}, "198.51.100.9/32"},
		"a part of the scenario, in other letters":  {lapi.Query{Exclude: []string{"SSH"}}, "198.51.100.9/32"},
		"no such part of the scenario":              {lapi.Query{Include: []string{"http"}}, "198.51.100.9/32"},
		"scope range, and the value is one address": {lapi.Query{Scopes: []string{"range"}}, "198.51.100.9/32"},
		// An alert may bring a range under scope Ip, and an address under scope Range. The ledger stores no scope.
		"scope range, and a range": {lapi.Query{Scopes: []string{"range"}}, "198.51.100.0/24"},
		"scope Ip, and an address": {lapi.Query{Scopes: []string{"ip"}}, "198.51.100.9/32"},
	} {
		follow(t, func(config *follower.Config) { config.ResyncEvery, config.Query = time.Minute, c.query }, func(h *harness) {
			h.record(c.prefix, time.Now().Add(20*time.Hour))
			h.at(10 * time.Minute)
			if got := h.inForce(); !slices.Contains(got, netip.MustParsePrefix(c.prefix).Addr().String()) {
				t.Errorf("%s: %v", name, got)
			}
		})
	}
}

// CrowdSec 1.4.6 gives no UUID. A decision that was added and deleted between two polls is listed as deleted alone.
func TestWithoutUUIDsADeletionEndsItsDecisionAndNoOther(t *testing.T) {
	t.Parallel()
	follow(t, nil, func(h *harness) {
		h.api.readAboveFails, h.api.withoutUUIDs = lapi.ErrNoIDs, true
		h.at(5 * time.Minute)
		h.record(value(9)+"/32", ends(900))
		h.record(value(8)+"/32", ends(901))
		h.api.deleted[800] = value(9) // it has ended, and its row is gone
		h.api.deleted[901] = value(8)
		h.at(5*time.Minute + 15*time.Second)
		h.api.put(900, value(9)) // only now its transaction ends
		h.at(5*time.Minute + 30*time.Second)
		h.wantInForce("after two polls", 1, 2, 8, 9)
		h.at(8 * time.Minute)
		h.wantInForce("after two full reads", 1, 2, 9)
		h.at(15 * time.Minute)
		h.wantInForce("later", 1, 2, 9)
	})
}

func TestTwoSpellingsOfAValueAreTwoDecisions(t *testing.T) {
	t.Parallel()
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
				h.api.withoutUUIDs = withoutUUIDs
				h.api.put(100, long) // the one that ends later has the higher ID
				h.api.put(50, short)
				h.at(15 * time.Second)
				h.api.remove(50)
				h.at(30 * time.Second)
				if got := h.inForce(); len(got) != count {
					t.Errorf("%s after the end of %s: %v", long, short, got)
				}
				h.api.remove(100)
				h.at(45 * time.Second)
				if got := h.inForce(); len(got) != count-1 {
					t.Errorf("%s and %s after both have ended: %v", long, short, got)
				}
			})
		}
	}
}

func TestAFullReadAppliesALoosenedFilter(t *testing.T) {
	t.Parallel()
	var filter atomic.Pointer[ban.Filter]
	filter.Store(&ban.Filter{Origins: []string{"cscli"}})
	follow(t, func(c *follower.Config) { c.Filter = func() ban.Filter { return *filter.Load() } }, func(h *harness) {
		h.wantInForce("while the filter refuses them")
		filter.Store(&ban.Filter{})
		h.at(time.Hour + time.Minute)
		h.wantInForce("after the next full read", 1, 2)
	})
}

// A transaction of the Local API that takes seconds is committed after the poll that should have listed its decisions.
func TestADecisionThatNoPollListedIsFoundByItsID(t *testing.T) {
	t.Parallel()
	type step struct {
		at           time.Duration // in seconds
		listed, late []int64       // what polls list from then on, and what no poll lists
	}
	for name, c := range map[string]struct {
		steps []step
		by    time.Duration // when all must have been found, in seconds
	}{
		"its transaction began before that of a listed one": {[]step{{180, []int64{90}, nil}, {195, nil, []int64{80}}}, 255},
		// CrowdSec 1.7.8 stores an import in one transaction. A poll during that transaction lists nothing, and the next poll
		// lists the decisions that were made after the first poll.
		"a poll lists a part of an import": {[]step{{15, []int64{82}, []int64{80, 81}}}, 20},
		// The poll comes after the last decision was made and before the transaction ends.
		"no poll lists any of an import": {[]step{{15, nil, []int64{80, 81}}}, 20},
		// The Local API lists a decision again that was made while the last poll ran.
		"a poll lists another decision twice": {[]step{{15, []int64{3}, nil}, {25, []int64{3}, nil}, {35, []int64{5}, nil}, {45, nil, []int64{4}}}, 75},
		"the IDs have a great gap":            {[]step{{15, []int64{1<<40 + 40}, nil}, {25, []int64{1<<40 + 41}, nil}, {1200, nil, []int64{1<<40 + 42}}}, 1260},
	} {
		follow(t, nil, func(h *harness) {
			all := []int64{1, 2}
			for _, s := range c.steps {
				h.at(s.at * time.Second)
				h.api.add(s.listed...)
				h.api.addLate(s.late...)
				all = append(append(all, s.listed...), s.late...)
			}
			h.at(c.by * time.Second)
			slices.Sort(all)
			h.wantInForce(name, slices.Compact(all)...)
			h.wantFullReads(name, 1)
			h.at(45 * time.Minute)
			if last := h.api.above[len(h.api.above)-1]; last != slices.Max(all) { // five minutes later, nothing is asked for twice
				t.Errorf("%s: asked above %d", name, last)
			}
		})
	}
}

// After a long import, the question of each minute would bring all of it for five minutes.
func TestDecisionsThatPollsListedAreNotAskedForAgain(t *testing.T) {
	t.Parallel()
	follow(t, nil, func(h *harness) {
		h.at(15 * time.Second)
		for id := range int64(50) {
			h.api.add(3 + id)
		}
		h.at(10*time.Minute + 5*time.Second)
		if want := append([]int64{2}, slices.Repeat([]int64{52}, 59)...); !slices.Equal(h.api.above, want) {
			t.Errorf("asked above %d, want %d", h.api.above, want)
		}
	})
}

// CrowdSec 1.7.8 deletes 256 decisions at a time, all with the end of the first. When that takes seconds, a poll in between is
// the last one that lists deletions with this end.
func TestAFullReadFindsDeletionsThatAPollMissed(t *testing.T) {
	t.Parallel()
	follow(t, nil, func(h *harness) {
		for id := range int64(300) {
			h.api.add(100 + id)
		}
		h.at(2 * time.Minute)
		for id := range int64(256) {
			h.api.remove(100 + id)
		}
		for id := range int64(44) {
			h.api.ended[356+id] = value(356 + id)
			delete(h.api.standing, 356+id)
		}
		h.at(3*time.Minute + 15*time.Second)
		h.wantInForce("a minute later", 1, 2)
		h.at(30 * time.Minute)
		h.api.remove(1)
		h.at(59 * time.Minute)
		h.wantFullReads("a few deletions are one step", 2)
	})
}

// CrowdSec 1.4.6 stores an import in many small transactions. A poll misses the one that is under way.
func TestWithoutIDsAFullReadFollowsUnknownDecisionsAndComesEveryTenMinutes(t *testing.T) {
	t.Parallel()
	follow(t, func(c *follower.Config) { c.ResyncEvery = 0 }, func(h *harness) {
		h.api.readAboveFails, h.api.withoutUUIDs = lapi.ErrNoIDs, true
		h.at(5 * time.Minute)
		h.wantFullReads("at first", 1)
		h.api.add(80)
		h.api.addLate(81)
		h.at(6*time.Minute + 15*time.Second)
		h.wantInForce("a minute later", 1, 2, 80, 81)
		h.at(9 * time.Minute)
		h.wantFullReads("the last full read finds nothing unknown", 3)
		h.api.addLate(82)
		h.at(16 * time.Minute)
		h.wantInForce("within ten minutes", 1, 2, 80, 81)
		h.at(19 * time.Minute)
		h.wantInForce("after ten minutes", 1, 2, 80, 81, 82)
		h.wantFullReads("one more because the one before found a decision", 5)
		if n := len(h.api.above); n != 1 {
			t.Errorf("IDs were asked for %d times", n)
		}
	})
}

func TestASecondReaderWithTheSameKeyIsLogged(t *testing.T) {
	t.Parallel()
	follow(t, nil, func(h *harness) {
		for n := range int64(8) {
			h.api.addLate(100 + n)
			h.at(time.Duration(n+1) * time.Minute)
		}
		if n := strings.Count(h.log.String(), "the same key"); n != 1 {
			t.Errorf("it was logged %d times:\n%s", n, h.log)
		}
	})
}
