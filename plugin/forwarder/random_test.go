package forwarder_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"notification-stormshield/plugin/outbox"
)

// disturb adds messages, makes the shared state fail, brings it back from backups, and ends the process, all at random. In the end it
// checks that the shared state has each decision once, in order.
func (h *harness) disturb(seed uint64) {
	random := rand.New(rand.NewPCG(seed, 0))
	var expected []string
	backups := []content{h.ledger.backup()}
	failing, chance := 0, rand.New(rand.NewPCG(seed, 1)) // of ten calls; the lock of the ledger guards both
	h.ledger.set(func() {
		h.ledger.fail = func() (before, after error) {
			if chance.IntN(10) >= failing {
				return nil, nil
			}
			if chance.IntN(2) == 0 {
				return errAway, nil
			}
			return nil, errAway
		}
	})
	add := func(o *outbox.Outbox) {
		count := 1 + random.IntN(3)
		if random.IntN(50) == 0 {
			count = 3000
		}
		some := decisions(len(expected), count)
		h.check(o.Add(context.Background(), some, time.Now()))
		for _, d := range some {
			expected = append(expected, d.Prefix.Addr().String())
		}
	}
	for range 200 {
		switch random.IntN(16) {
		case 0, 1, 2, 3:
			add(h.outbox)
			h.forwarder.Trigger()
		case 4, 5:
			add(h.other)
		case 6, 7:
			h.sleep(time.Duration(random.IntN(20)) * 100 * time.Millisecond)
		case 8:
			h.sleep(time.Duration(random.IntN(20)) * time.Second)
		case 9, 10:
			h.ledger.set(func() { failing = random.IntN(11) })
		case 11:
			h.ledger.set(func() { failing = 0 })
		case 12, 13:
			backups = append(backups, h.ledger.backup())
		case 14:
			h.ledger.restore(backups[len(backups)-1-random.IntN(min(3, len(backups)))])
		case 15:
			h.again()
		}
	}
	h.ledger.set(func() { failing = 0 })
	h.sleep(time.Minute)
	got := h.ledger.backup().got
	for i := range got {
		got[i] = strings.TrimSuffix(got[i], "!")
	}
	if !slices.Equal(got, expected) {
		h.Errorf("the shared state has %d decisions, and not the %d of the alerts once each, in order", len(got), len(expected))
	}
	h.want("waiting", h.waiting(), 0)
	h.want("away", h.away(), "no")
}
