package ledger

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"time"

	"notification-stormshield/plugin/ban"
)

// Recorded is what a change did to the bans.
type Recorded struct {
	Added    int // bans that were not enforced, or would have ended within a minute
	Extended int // bans that now end later
	Ended    int // bans that ended before their time
	Unknown  int // decisions that the ledger did not know
	// Unmatched are deletions that match no decision of a ban that has one without UUID and ID. Only a full read finds out
	// whether that one was deleted.
	Unmatched int
	LowestID  int64 // the lowest ID that the ledger did not know; 0: there was none
}

// Add adds up what several changes did.
func (r *Recorded) Add(more Recorded) {
	r.Added, r.Extended, r.Ended = r.Added+more.Added, r.Extended+more.Extended, r.Ended+more.Ended
	r.Unknown, r.Unmatched = r.Unknown+more.Unknown, r.Unmatched+more.Unmatched
	r.learnID(more.LowestID)
}

// learnID counts an ID that the ledger did not know; 0 is none.
func (r *Recorded) learnID(id int64) {
	if id != 0 && (r.LowestID == 0 || id < r.LowestID) {
		r.LowestID = id
	}
}

// Record stores decisions of alerts. Once it has returned they survive any crash. A known decision gets
// no second row; Record may complete its UUID or move its end. At most limit bans are enforced; see the package comment for which.
func (l *Ledger) Record(ctx context.Context, decisions []ban.Decision, now time.Time, limit int) (Recorded, error) {
	ctx = context.WithoutCancel(ctx) // CrowdSec would send the alert of a cancelled call again
	recorded, err := l.transact(ctx, now, limit, func(t *transaction) error { return t.addAll(ctx, ordered(decisions), ignoreRow) })
	return recorded, l.explain(err, "record %d decisions", len(decisions))
}

// ignoreRow is for a caller of arrive that needs no rows.
func ignoreRow(*storedDecision) {}

// ordered sorts decisions by their prefix, so that neighbours use the same page of the file.
func ordered(decisions []ban.Decision) []ban.Decision {
	order := make([]int, len(decisions)) // a decision is large, and sorting moves it often
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Or(decisions[a].Prefix.Compare(decisions[b].Prefix), a-b) })
	sorted := make([]ban.Decision, len(decisions))
	for i, of := range order {
		sorted[i] = decisions[of]
	}
	return sorted
}

// RecordFound stores bans that were found on the appliance and that no decision explains, such as those of the older
// Python component or of a lost state. A prefix that the ledger knows stays as it is.
func (l *Ledger) RecordFound(ctx context.Context, found []netip.Prefix, until, now time.Time, limit int) (Recorded, error) {
	recorded, err := l.transact(ctx, now, limit, func(t *transaction) error {
		for some := range slices.Chunk(found, chunk) {
			err := t.update(ctx, some, func(bans map[netip.Prefix]*storedBan) {
				for _, p := range some {
					if bans[p] == nil {
						t.add(bans, &ban.Decision{Prefix: p, RangeBits: p.Bits(), Until: until, Type: ban.FoundEntry, Origin: ban.FoundEntry, Scenario: "found on the appliance"})
					}
				}
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	return recorded, l.explain(err, "record %d bans that were found on the appliance", len(found))
}
