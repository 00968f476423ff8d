package follower_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"notification-stormshield/lapi"
	"notification-stormshield/plugin/follower"
)

func TestItReadsEverythingAtFirstAndThenWhatChanged(t *testing.T) {
	bubble(t, nil, func(h *house) {
		h.want("at once", "203.0.113.1", "203.0.113.2")
		h.list.add(3, "203.0.113.3")
		h.list.add(4, "10.1.2.3") // never to be blocked
		h.list.remove(1)
		h.at(11 * time.Second)
		h.want("after a round", "203.0.113.2", "203.0.113.3")
		if h.changed != 2 || !strings.Contains(h.log.String(), "first=10.1.2.3") {
			t.Errorf("changed %d times:\n%s", h.changed, h.log)
		}
		h.at(time.Minute)
		if h.changed != 2 || !slices.Equal(h.list.asked, []bool{true, false, false, false, false, false, false}) {
			t.Errorf("asked %v, changed %d times", h.list.asked, h.changed)
		}
	})
}

func TestNothingEndsBecauseTheListCannotBeRead(t *testing.T) {
	bubble(t, nil, func(h *house) {
		h.list.set(func() { h.list.fail = &lapi.KeyError{Status: 403} })
		h.at(30 * time.Minute)
		h.want("without the Local API", "203.0.113.1", "203.0.113.2")
		if n := strings.Count(h.log.String(), "[ERROR]"); n < 2 || n > 4 {
			t.Errorf("it was said %d times in 30 minutes:\n%s", n, h.log)
		}
		s, err := h.ledger.Status(context.Background(), time.Now())
		if err != nil || time.Since(s.Unread) < 29*time.Minute || !strings.Contains(s.UnreadWhy, "403") {
			t.Errorf("status %+v, %v", s, err)
		}
		if n := len(h.list.asked); n > 70 {
			t.Errorf("it was asked %d times in 30 minutes", n)
		}
		h.list.set(func() { h.list.fail = nil })
		h.list.drop(1) // meanwhile, and nobody says so
		h.list.add(3, "203.0.113.3")
		h.at(30*time.Minute + 31*time.Second)
		h.want("once it is back", "203.0.113.2", "203.0.113.3")
		if s, err := h.ledger.Status(context.Background(), time.Now()); err != nil || !s.Unread.IsZero() || s.Read.IsZero() {
			t.Errorf("status %+v, %v", s, err)
		}
		if !strings.Contains(h.log.String(), "is read again") {
			t.Errorf("the log does not say that it works again:\n%s", h.log)
		}
	})
}

// The Local API ends a list as usual when its database fails in the midst of it.
func TestAListThatEndsEarlyEndsNoBan(t *testing.T) {
	bubble(t, func(c *follower.Config) { c.Resync = time.Minute }, func(h *house) {
		h.list.set(func() { h.list.cut = true })
		h.at(5 * time.Minute)
		h.want("with half a list", "203.0.113.1", "203.0.113.2")
	})
}

func TestEverythingIsReadNowAndThen(t *testing.T) {
	bubble(t, nil, func(h *house) {
		h.list.drop(1)
		h.at(59 * time.Minute)
		if n := len(h.list.asked); !h.list.asked[0] || slices.Contains(h.list.asked[1:], true) || n < 350 {
			t.Errorf("asked %d times: %v", n, h.list.asked[:3])
		}
		h.list.add(5, "203.0.113.5")
		h.at(61 * time.Minute)
		if !slices.Contains(h.list.asked[1:], true) {
			t.Error("not everything was read after an hour")
		}
	})
}

// The Local API does not tell who asks for changes while a list is being stored of
// all that is in it.
func TestWhatWasNotToldIsReadByItsNumber(t *testing.T) {
	bubble(t, nil, func(h *house) {
		for wave := range 3 {
			h.bulk(bulk, func(i int64) bool { return i%2 == 0 })
			h.round()
			h.wantRead("with a bulk", 2+(wave+1)*bulk, 1)
		}
		h.bulk(4, func(i int64) bool { return i%2 == 0 })
		h.round()
		h.wantRead("with its end", 2+3*bulk+4, 1)
		asked := len(h.list.numbers)

		h.bulk(bulk, func(int64) bool { return true })
		h.at(time.Since(h.start) + 70*time.Second)
		h.wantRead("without a sign, within a minute", 2+4*bulk+4, 1)

		h.list.set(func() { h.list.waited = 100 * time.Millisecond })
		h.bulk(bulk, func(int64) bool { return true })
		h.round()
		h.wantRead("of which it is a sign that it was kept waiting", 2+5*bulk+4, 1)
		h.list.set(func() { h.list.waited = time.Millisecond })

		h.at(30 * time.Minute)
		h.wantRead("afterwards", 2+5*bulk+4, 1)
		if n := len(h.list.numbers); asked != 4 || n < 28 || n > 4+30 {
			t.Errorf("it was asked for numbers %d times for the bulk, and %d times in half an hour", asked, n)
		}
		if !slices.IsSorted(h.list.numbers) || h.list.numbers[0] != 2 || h.list.numbers[len(h.list.numbers)-1] != 1000+h.last {
			t.Errorf("it was asked after the numbers %v", h.list.numbers)
		}
	})
}

// Of two transactions at once, the one with the smaller numbers may end last.
func TestASmallerNumberThatComesLateIsLookedForWithinTheHour(t *testing.T) {
	bubble(t, func(c *follower.Config) { c.Resync = 0 }, func(h *house) {
		h.list.add(4, "203.0.113.4")
		h.at(5 * time.Minute)
		h.list.addLate(3, "203.0.113.3")
		h.at(59 * time.Minute)
		h.want("when it was not asked for", "203.0.113.1", "203.0.113.2", "203.0.113.4")
		h.at(61 * time.Minute)
		h.want("after an hour", "203.0.113.1", "203.0.113.2", "203.0.113.3", "203.0.113.4")
		h.at(10 * time.Hour)
		if n := h.full(); n != 2 {
			t.Errorf("everything was read %d times", n)
		}
	})
}

func TestADecisionThatALongerOneHidesShortensNothing(t *testing.T) {
	bubble(t, nil, func(h *house) {
		h.list.set(func() {
			h.list.hidden = []lapi.Event{event(3, "203.0.113.1", time.Minute, false), event(4, "10.1.2.3", time.Hour, false)}
		})
		h.at(5 * time.Minute)
		if until := h.until("203.0.113.1"); !until.Equal(ends(1)) {
			t.Errorf("it ends at %s", until)
		}
		h.list.remove(1) // which bans it, whatever number was seen since
		h.round()
		h.want("when it is over", "203.0.113.2")
		if n := h.full(); n != 1 || h.changed != 2 || strings.Contains(h.log.String(), "not turned into bans") {
			t.Errorf("everything was read %d times, %d changes, log:\n%s", n, h.changed, h.log)
		}
	})
}

func TestWhatCannotBeReadByItsNumberIsReadWhole(t *testing.T) {
	bubble(t, nil, func(h *house) {
		h.list.set(func() { h.list.numbersFail = errors.New("database is locked") })
		h.bulk(bulk, func(i int64) bool { return i%2 == 0 })
		h.round()
		h.wantRead("at once", 2+bulk, 2)
		h.at(3 * time.Minute)
		h.list.set(func() { h.list.numbersFail = nil })
		h.bulk(bulk, func(int64) bool { return true })
		h.at(time.Since(h.start) + 70*time.Second)
		h.wantRead("when it can", 2+2*bulk, 2)
		if strings.Contains(h.log.String(), "[ERROR]") {
			t.Errorf("log:\n%s", h.log)
		}
	})
}

// As CrowdSec 1.4.6 has it.
func TestABulkIsReadWholeWhenItBeginsAndWhenItIsOver(t *testing.T) {
	for name, late := range map[string]func(i int64) bool{
		"half of it is seen": func(i int64) bool { return i%2 == 0 },
		"its end is seen":    func(i int64) bool { return i < bulk-1 },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, nil, func(h *house) {
				h.list.set(func() { h.list.numbersFail = lapi.ErrNoNumbers })
				h.bulk(bulk, late)
				h.round()
				h.wantRead("when it begins", 2+bulk, 2)
				for range 3 {
					h.bulk(bulk, late)
					h.round()
				}
				if n := h.full(); n != 2 {
					t.Errorf("everything was read %d times in the midst of it", n)
				}
				h.round()
				h.wantRead("when it is over", 2+4*bulk, 3)

				h.bulk(bulk, late)
				h.round()
				h.bulk(3, func(i int64) bool { return i == 0 })
				h.round()
				h.wantRead("when it ends with a few", 2+5*bulk+3, 5)

				h.at(30 * time.Minute)
				h.wantRead("afterwards", 2+5*bulk+3, 5)
			})
		})
	}
}

func TestAStormIsNotReadWholeAllTheTime(t *testing.T) {
	const rounds = 60 // ten minutes
	for name, gap := range map[string]int{"without a pause": 0, "that comes and goes": 2} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(c *follower.Config) { c.MaxBans = 100_000 }, func(h *house) {
				h.list.set(func() { h.list.numbersFail = lapi.ErrNoNumbers })
				for i := range rounds {
					if gap == 0 || i%gap == 0 {
						h.bulk(bulk, func(i int64) bool { return i%2 == 0 })
					}
					h.round()
				}
				if n := h.full(); n < 9 || n > 16 { // the first one, four, and one a minute
					t.Errorf("everything was read %d times in ten minutes", n)
				}
				h.at(15 * time.Minute)
				n := rounds * bulk
				if gap > 0 {
					n /= gap
				}
				h.wantRead("when it is over", 2+n, h.full())
			})
		})
	}
}

func TestADoubtIsSettledByAQuestion(t *testing.T) {
	bubble(t, nil, func(h *house) {
		for id := range int64(3) {
			h.list.add(10+id, fmt.Sprintf("198.51.100.%d", id))
		}
		h.round()
		h.list.drop(10) // its end is told of another decision
		h.list.set(func() {
			h.list.deleted[7], h.list.deleted[8] = "198.51.100.0", "198.51.100.1"
			h.list.deleted[6] = "198.51.100.0"
			h.list.standing[9] = "198.51.100.1" // and ends before what is known, which is over too
			h.list.standing[6] = "198.51.100.1"
			delete(h.list.standing, 11)
		})
		h.round()
		h.want("when it was asked", "198.51.100.1", "198.51.100.2", "203.0.113.1", "203.0.113.2")
		if want := []netip.Prefix{netip.MustParsePrefix("198.51.100.0/32"), netip.MustParsePrefix("198.51.100.1/32")}; !slices.Equal(h.list.lookups, want) {
			t.Errorf("looked up %v", h.list.lookups)
		}
		if until := h.until("198.51.100.1"); !until.Equal(ends(9)) {
			t.Errorf("what is left ends at %s", until)
		}
		h.list.drop(6)
		h.list.remove(9)
		h.round()
		h.want("when that is over", "198.51.100.2", "203.0.113.1", "203.0.113.2")
		if n := h.full(); n != 1 || len(h.list.lookups) != 2 {
			t.Errorf("everything was read %d times; looked up %v", n, h.list.lookups)
		}
	})
}

func TestManyDoubtsOrOneWithoutAnAnswerAreSettledByReadingEverything(t *testing.T) {
	for name, doubts := range map[string]int{"no answer": 1, "many": 21} {
		t.Run(name, func(t *testing.T) {
			bubble(t, nil, func(h *house) {
				h.list.set(func() {
					if doubts == 1 {
						h.list.lookupFails = errors.New("database is locked")
					}
				})
				for id := range int64(doubts) {
					h.list.add(10+id, fmt.Sprintf("198.51.100.%d", id))
				}
				h.round()
				for id := range int64(doubts) {
					h.list.drop(10 + id)
					h.list.set(func() { h.list.deleted[100+id] = fmt.Sprintf("198.51.100.%d", id) })
				}
				h.list.add(200, "203.0.113.3")
				h.round()
				h.want("at once", "203.0.113.1", "203.0.113.2", "203.0.113.3")
				if !slices.Equal(h.list.asked, []bool{true, false, false, true}) || len(h.list.lookups) > 1 || strings.Contains(h.log.String(), "[ERROR]") {
					t.Errorf("asked %v, looked up %v, log:\n%s", h.list.asked, h.list.lookups, h.log)
				}
			})
		})
	}
}

// A list that says so each time is not read whole for ever.
func TestADoubtThatStaysIsSettledOnceAReading(t *testing.T) {
	bubble(t, nil, func(h *house) {
		h.list.set(func() { h.list.lookupFails = errors.New("database is locked") })
		for range 6 {
			h.list.set(func() { h.list.deleted[7] = "203.0.113.2" })
			h.round()
		}
		if n := h.full(); n > 4 {
			t.Errorf("everything was read %d times of %d", n, len(h.list.asked))
		}
		h.want("in doubt", "203.0.113.1", "203.0.113.2")
	})
}

// The Local API takes a question for a reading when there was none for a minute.
func TestALongReadingIsFollowedByNoQuestion(t *testing.T) {
	bubble(t, nil, func(h *house) {
		h.list.set(func() { h.list.slow = 31 * time.Second })
		h.list.set(func() { h.list.deleted[7] = "203.0.113.2" })
		h.at(3 * time.Minute)
		if n := h.full(); n != 2 || h.list.lookedUp != 0 {
			t.Errorf("everything was read %d times; looked up %v", n, h.list.lookups)
		}
	})
}

func TestANumberThatIsMissingIsLookedForWithinTheHour(t *testing.T) {
	bubble(t, func(c *follower.Config) { c.Resync = 0 }, func(h *house) {
		h.list.set(func() { h.list.numbersFail = lapi.ErrNoNumbers })
		h.list.addLate(3, "203.0.113.3")
		h.at(30 * time.Minute)
		h.want("without a sign", "203.0.113.1", "203.0.113.2")
		h.list.add(4, "203.0.113.4")
		h.at(59 * time.Minute)
		h.want("with a sign", "203.0.113.1", "203.0.113.2", "203.0.113.4")
		h.at(61 * time.Minute)
		h.want("after an hour", "203.0.113.1", "203.0.113.2", "203.0.113.3", "203.0.113.4")
		h.at(10 * time.Hour)
		if n := h.full(); n != 2 {
			t.Errorf("everything was read %d times", n)
		}
	})
}

// What did not fit is taken in once there is room, and not looked for all the time.
func TestWhatWasLeftOutIsReadOnceThereIsRoom(t *testing.T) {
	bubble(t, func(c *follower.Config) { c.MaxBans, c.Resync = 3, 24*time.Hour }, func(h *house) {
		h.list.add(3, "203.0.113.3")
		h.list.add(4, "203.0.113.4")
		h.list.add(5, "203.0.113.5")
		h.at(time.Minute)
		h.want("when full", "203.0.113.3", "203.0.113.4", "203.0.113.5")
		if full := slices.Index(h.list.asked[1:], true); full >= 0 {
			t.Errorf("everything was read again though there is no room: %v", h.list.asked)
		}
		if s, err := h.ledger.Status(context.Background(), time.Now()); err != nil || s.LeftOut != 2 {
			t.Errorf("status %+v, %v", s, err)
		}
		h.list.remove(4)
		h.at(time.Minute + 21*time.Second)
		h.want("with room for one", "203.0.113.2", "203.0.113.3", "203.0.113.5")
		h.at(16 * time.Minute)
		if last := h.list.told[len(h.list.told)-1]; last.LeftOut != 1 || last.Active["CAPI"] != 3 {
			t.Errorf("told %+v", last)
		}
		if len(h.list.numbers) > 0 {
			t.Errorf("what was left out was read by its number: %v", h.list.numbers)
		}
	})
}

func TestAPanicDoesNotEndTheFollower(t *testing.T) {
	bubble(t, nil, func(h *house) {
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

func TestCrowdSecIsToldWhatIsEnforced(t *testing.T) {
	bubble(t, nil, func(h *house) {
		h.at(16 * time.Minute)
		if len(h.list.told) != 2 || h.list.told[1].Active["CAPI"] != 2 || h.list.told[1].Window != 15*time.Minute {
			t.Errorf("told %+v", h.list.told)
		}
	})
	bubble(t, nil, func(h *house) {
		h.list.set(func() { h.list.tellErr = lapi.ErrNoMetrics })
		h.at(time.Hour)
		if n := len(h.list.told); n > 2 {
			t.Errorf("an old Local API was told %d times", n)
		}
	})
	bubble(t, nil, func(h *house) {
		h.list.set(func() { h.list.tellErr = errors.New("away") })
		h.at(16 * time.Minute)
		h.want("though metrics fail", "203.0.113.1", "203.0.113.2")
	})
}
