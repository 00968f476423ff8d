package enforcer_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"notification-stormshield/appliance"
	"notification-stormshield/plugin/enforcer"
	"notification-stormshield/plugin/ledger"
)

// withForeignMembers gives the group foreign members. Then each flush blocks a few bans one by one.
func (h *harness) withForeignMembers(bans int) (addresses []string) {
	h.fw.singleMax, h.fw.foreign, h.fw.batch = 5, true, 10
	for i := range bans {
		addresses = append(addresses, fmt.Sprintf("203.0.113.%d", i))
		h.ban(addresses[i], 100*time.Hour)
	}
	slices.Sort(addresses)
	return addresses
}

func TestAReassertOneByOneContinuesInTheNextFlush(t *testing.T) {
	runTest(t, func(h *harness) {
		all := h.withForeignMembers(60)
		e, end := h.startEnforcer(nil)
		defer end()
		h.waitUntil(29 * time.Second)
		var latest []string // the last attackers come first
		for i := 50; i < 60; i++ {
			latest = append(latest, fmt.Sprintf("203.0.113.%d", i))
		}
		h.want("after one flush", latest...)
		h.waitUntil(3 * time.Minute) // six flushes
		h.want("after the first re-assert", all...)
		count := h.fw.count()
		h.waitUntil(12 * time.Minute)
		if h.fw.count() != count {
			t.Errorf("%d flushes though everything is blocked", h.fw.count()-count)
		}
		h.fw.set(func() { clear(h.fw.entries) }) // the appliance was rebooted
		h.waitUntil(13 * time.Minute)            // 10 minutes after the end of the first re-assert, the second is under way
		h.ban("192.0.2.1", time.Hour)
		e.Trigger()
		h.waitUntil(13*time.Minute + 31*time.Second)
		if !slices.Contains(h.fw.blocked(), "192.0.2.1") {
			t.Error("a new ban waits for the re-assert")
		}
		h.waitUntil(17 * time.Minute)
		h.want("after the second re-assert", append([]string{"192.0.2.1"}, all...)...)
		s, err := h.ledger.Status(context.Background(), time.Now())
		if err != nil || s.Confirmed.Before(h.start.Add(15*time.Minute)) || s.ToBlock != 0 || !s.Files.Warning || s.Files.Text != "has foreign members" {
			t.Errorf("status says %+v, %v", s, err)
		}
		if n := strings.Count(h.log.String(), "[WARN]  has foreign members"); n < 1 || n > 3 || strings.Contains(h.log.String(), "[ERROR]") {
			t.Errorf("the log warns %d times in 17 minutes:\n%s", n, h.log)
		}
		h.fw.set(func() { h.fw.foreign = false })
		h.waitUntil(30 * time.Minute)
		if s, err := h.ledger.Status(context.Background(), time.Now()); err != nil || s.Trouble.Count != 0 {
			t.Errorf("without foreign members, status says %+v, %v", s.Trouble, err)
		}
	})
}

// A flush that is cut after a few bans records them, and the next one continues after them.
func TestAReassertOneByOneEndsAlsoIfEachFlushIsCut(t *testing.T) {
	runTest(t, func(h *harness) {
		all := h.withForeignMembers(30)
		h.fw.batch = 1000
		blocked := 0
		h.fw.fault = func(s step) error {
			if s != whileBlocking {
				return nil
			}
			if blocked++; blocked%4 == 0 { // three, and cut
				return errors.New("the session ends")
			}
			return nil
		}
		_, end := h.startEnforcer(func(c *enforcer.Config) { c.Reassert = 0 })
		defer end()
		h.waitUntil(time.Hour)
		h.want("in the end", all...)
		if blocked > 30+10 {
			t.Errorf("%d attempts to block 30 bans, want one each and one for each cut", blocked)
		}
		if s, err := h.ledger.Status(context.Background(), time.Now()); err != nil || s.Confirmed.IsZero() {
			t.Errorf("the re-assert is not recorded: %+v, %v", s, err)
		}
	})
}

func TestARequestForAFlushIsAnsweredWhenTheReassertEnds(t *testing.T) {
	runTest(t, func(h *harness) {
		all := h.withForeignMembers(30)
		_, end := h.startEnforcer(nil)
		defer end()
		h.waitUntil(5 * time.Minute)
		h.fw.set(func() { clear(h.fw.entries) })
		request, err := h.ledger.RequestFlush(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		for answered := false; !answered; {
			time.Sleep(time.Second)
			s, err := h.ledger.Status(context.Background(), time.Now())
			if err != nil || s.Trouble.Request >= request || time.Since(h.start) > 10*time.Minute {
				t.Fatalf("no answer: %+v, %v", s, err)
			}
			answered = s.Answered >= request
		}
		h.want("at the answer", all...)
	})
}

type writerFunc func(text []byte) (int, error)

func (f writerFunc) Write(text []byte) (int, error) { return f(text) }

func TestARequestIsAnsweredAfterTheWarningOfItsFlush(t *testing.T) {
	runTest(t, func(h *harness) {
		h.withForeignMembers(5)
		request, err := h.ledger.RequestFlush(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		answers := 0
		log := writerFunc(func(line []byte) (int, error) {
			if !strings.Contains(string(line), "flushed") {
				return len(line), nil
			}
			s, err := h.ledger.Status(context.Background(), time.Now())
			if err != nil || s.Answered >= request && !s.Files.Warning {
				t.Errorf("the request is answered, and status has no warning: %+v, %v", s, err)
			}
			if s.Answered >= request {
				answers++
			}
			return len(line), nil
		})
		_, end := h.startEnforcer(func(c *enforcer.Config) { c.Log = hclog.New(&hclog.LoggerOptions{Output: log}) })
		defer end()
		h.waitUntil(2 * time.Minute)
		if answers == 0 {
			t.Error("the request is not answered")
		}
	})
}

func TestBansToBlockReturnsEveryBanWithAnOldEntry(t *testing.T) {
	runTest(t, func(h *harness) {
		ctx := context.Background()
		for i := range 8 {
			h.ban(fmt.Sprintf("203.0.113.%d", i), 100*time.Hour)
		}
		q := ledger.PlanOptions{Now: time.Now(), Renew: time.Now().Add(12 * time.Hour), SingleMax: 2}
		p, err := h.ledger.Plan(ctx, q)
		if err != nil {
			t.Fatal(err)
		}
		last := time.Now().Add(24 * time.Hour)
		if _, err := h.ledger.RecordOutcome(ctx, p, appliance.Outcome{Listed: true, At: time.Now(), Blocked: []appliance.Entry{
			{Prefix: single("203.0.113.1"), Expires: last},
			{Prefix: single("203.0.113.2"), Expires: last.Add(time.Hour)},
			{Prefix: single("203.0.113.3"), Expires: time.Now().Add(time.Hour)},
		}}, time.Now()); err != nil {
			t.Fatal(err)
		}
		without := []string{"203.0.113.0", "203.0.113.4", "203.0.113.5", "203.0.113.6", "203.0.113.7"} // without an entry
		for least, then := range map[time.Time][]string{
			{}:                       {"203.0.113.3"},
			last.Add(time.Minute):    {"203.0.113.3", "203.0.113.1"},
			last.Add(24 * time.Hour): {"203.0.113.3", "203.0.113.1", "203.0.113.2"},
		} {
			pending, err := h.ledger.BansToBlock(ctx, p, q, least)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, p := range pending {
				got = append(got, p.Addr().String())
			}
			slices.Sort(got[:min(len(without), len(got))])
			if want := slices.Concat(without, then); !slices.Equal(got, want) {
				t.Errorf("pending until %v: %v, want %v", least, got, want)
			}
		}
	})
}
