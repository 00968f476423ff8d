package follower_test

import (
	"errors"
	"maps"
	"net/netip"
	"testing"
	"time"

	"notification-stormshield/plugin/ban"
	"notification-stormshield/plugin/follower"
)

// The questions for higher IDs and the full reads list decisions again.
func TestEachRefusedDecisionCountsOnce(t *testing.T) {
	t.Parallel()
	counted, failures := map[ban.Kind]int{}, 0
	change := func(c *follower.Config) {
		c.OnRefused = func(kind ban.Kind, n int) { counted[kind] += n }
		c.OnFailure = func() { failures++ }
	}
	follow(t, change, func(h *harness) {
		want := func(when string, private, malformed int) {
			t.Helper()
			want := map[ban.Kind]int{ban.NeverBlocked: private, ban.Malformed: malformed}
			maps.DeleteFunc(want, func(_ ban.Kind, n int) bool { return n == 0 })
			if !maps.Equal(counted, want) {
				t.Errorf("%s: counted %v, want %v", when, counted, want)
			}
		}
		h.api.put(10, "10.0.0.1")
		h.api.put(500, "nowhere") // the gap makes the follower ask again for what polls listed
		h.at(11 * time.Second)
		want("after a poll", 1, 1)
		h.api.standing[490] = "10.0.0.2" // no poll lists it
		h.at(5 * time.Minute)
		want("after questions for higher IDs", 2, 1)
		h.at(3*time.Hour + time.Minute)
		h.wantFullReads("by then", 4)
		want("after full reads", 2, 1)
		h.api.fail = errors.New("away")
		h.api.put(501, "10.0.0.3")
		h.at(3*time.Hour + 2*time.Minute)
		if failures < 2 {
			t.Errorf("%d failures", failures)
		}
		h.api.fail = nil
		h.api.remove(10)
		h.at(4 * time.Hour)
		want("after an outage", 3, 1)
	})
}

func TestTheFirstFullReadCountsWhatItRefuses(t *testing.T) {
	t.Parallel()
	counted := 0
	change := func(c *follower.Config) {
		c.Filter = func() ban.Filter {
			return ban.Filter{NeverBlock: []netip.Prefix{netip.MustParsePrefix("203.0.112.0/23")}}
		}
		c.OnRefused = func(_ ban.Kind, n int) { counted += n }
	}
	follow(t, change, func(h *harness) {
		h.at(2 * time.Hour)
		if counted != 2 {
			t.Errorf("counted %d, want 2", counted)
		}
	})
}
