package enforcer_test

import (
	"context"
	"database/sql"
	"net/netip"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"notification-stormshield/plugin/ban"
	"notification-stormshield/plugin/enforcer"
	"notification-stormshield/plugin/ledger"
)

// The process that holds the lease lists a decision that another process recorded less than a second before.
func TestABanThatTwoProcessesRecordIsEnforced(t *testing.T) {
	runTest(t, func(h *harness) {
		_, end := h.startEnforcer(nil)
		defer end()
		h.waitUntil(100*time.Second + 100*time.Millisecond)
		other, err := ledger.Open(context.Background(), filepath.Join(h.dir, "test.db"))
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		d := ban.Decision{UUID: ban.ParseUUID("u"), Prefix: netip.MustParsePrefix("203.0.113.7/32"), RangeBits: 32, Type: "ban", Origin: "crowdsec", Until: time.Now().Add(4 * time.Hour)}
		if _, err := other.Record(context.Background(), []ban.Decision{d}, time.Now(), 1000); err != nil {
			t.Fatal(err)
		}
		h.waitUntil(100*time.Second + 400*time.Millisecond)
		d.ID = 7
		if r, err := h.ledger.RecordListed(context.Background(), nil, []ban.Decision{d}, time.Now(), 1000); err != nil || r.Added > 0 {
			t.Fatal(r, err)
		}
		h.waitUntil(time.Hour)
		h.want("an hour later", "203.0.113.7")
	})
}

// The state's disk is full when an address of this machine changes.
func TestAFilterThatFailedToApplyIsAppliedLater(t *testing.T) {
	runTest(t, func(h *harness) {
		var never atomic.Bool
		e, end := h.startEnforcer(func(c *enforcer.Config) {
			c.Filter = func() ban.Filter {
				if never.Load() {
					return ban.Filter{NeverBlock: []netip.Prefix{netip.MustParsePrefix("203.0.113.7/32")}}
				}
				return ban.Filter{}
			}
		})
		defer end()
		h.ban("203.0.113.7", 10*time.Hour)
		e.Trigger()
		h.waitUntil(100 * time.Second)
		h.want("at first", "203.0.113.7")
		db, err := sql.Open("sqlite", filepath.Join(h.dir, "test.db"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.Exec("CREATE TRIGGER full BEFORE DELETE ON decision BEGIN SELECT RAISE(FAIL, 'database or disk is full'); END"); err != nil {
			t.Fatal(err)
		}
		never.Store(true)
		e.ReapplyFilter()
		h.waitUntil(110 * time.Second)
		if _, err := db.Exec("DROP TRIGGER full"); err != nil {
			t.Fatal(err)
		}
		db.Close()
		h.waitUntil(time.Hour)
		h.want("an hour later")
	})
}
