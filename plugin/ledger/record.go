package ledger

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"time"

	"notification-stormshield/plugin/ban"
)

// Recorded counts what a change did.
type Recorded struct {
	Added    int // bans that were not enforced, or would have ended within a minute
	Extended int // bans that now end later
	Ended    int // bans that ended before their time
	Unknown  int // decisions that the ledger did not know
	// Unmatched counts deletions on a ban that match none of its decisions, although one of these has neither UUID nor ID. Only a
	// full read finds out whether that one was deleted.
	Unmatched int
	LowestID  int64 // the lowest ID that the ledger did not know; 0: there was none
}

// Add adds the counts of another change.
func (r *Recorded) Add(more Recorded) {
	r.Added, r.Extended, r.Ended = r.Added+more.Added, r.Extended+more.Extended, r.Ended+more.Ended
	r.Unknown, r.Unmatched = r.Unknown+more.Unknown, r.Unmatched+more.Unmatched
	r.learnID(more.LowestID)
}

// learnID keeps the lowest ID that the ledger did not know.
func (r *Recorded) learnID(id int64) {
	if id != 0 && (r.LowestID == 0 || id < r.LowestID) {
		r.LowestID = id
	}
}

// Record stores decisions of alerts. When it has returned, they survive any crash. A known decision gets no second row, but Record
// may add its UUID or move its end. limit is how many bans are enforced at most; the package comment says which.
func (l *Ledger) Record(ctx context.Context, decisions []ban.Decision, now time.Time, limit int) (Recorded, error) {
	ctx = context.WithoutCancel(ctx) // CrowdSec would send the alert of a cancelled call again
	recorded, err := l.transact(ctx, now, limit, func(t *transaction) error { return t.addAll(ctx, sortedByPrefix(decisions), ignoreRow) })
	return recorded, l.explain(err, "record %d decisions", len(decisions))
}

// ignoreRow is for a caller of addAll that needs no rows.
func ignoreRow(*storedDecision) {}

// sortedByPrefix returns the decisions in the order of their prefixes, so that neighbours are on the same page of the file.
func sortedByPrefix(decisions []ban.Decision) []ban.Decision {
	order := make([]int, len(decisions)) // sorting decisions themselves is slower, because they are large
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

// RecordFound stores bans for prefixes that were found on the appliance, such as those of the older Python component or of a lost
// state. A prefix that has a ban stays as it is.
func (l *Ledger) RecordFound(ctx context.Context, found []netip.Prefix, until, now time.Time, limit int) (Recorded, error) {
	recorded, err := l.transact(ctx, now, limit, func(t *transaction) error {
		for some := range slices.Chunk(found, chunk) {
			err := t.update(ctx, some, func(bans map[netip.Prefix]*storedBan) {
				for _, p := range some {
					if bans[p] == nil {
						t.add(bans, &ban.Decision{Prefix: p, RangeBits: p.Bits(), Until: until,
							Type: ban.FoundEntry, Origin: ban.FoundEntry, Scenario: "found on the appliance"}, t.machine)
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
