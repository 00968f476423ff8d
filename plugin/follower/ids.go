package follower

import (
	"time"

	"github.com/RoaringBitmap/roaring/v2/roaring64"
)

// idHistory remembers the IDs that were listed in the last minutes, so that the follower can ask for decisions above an older
// ID if some are missing.
type idHistory struct {
	points      []idPoint
	listed      *roaring64.Bitmap
	asked       time.Time // when the follower last asked for the decisions above the highest ID of five minutes ago
	unsupported bool      // the Local API cannot select by ID
	missed      int       // how many decisions these questions found that the ledger did not know, in this minute
	surprises   int       // how many minutes in a row had such decisions
}

// idPoint is the highest ID that any read had listed by a moment.
type idPoint struct {
	at      time.Time
	highest int64
}

// restart begins again after a full read, in which highest was the highest ID.
func (h *idHistory) restart(at time.Time, highest int64) {
	h.points = append(h.points[:0], idPoint{at, highest})
	h.listed = roaring64.New()
	h.asked = at
}

// see adds a read, in which highest was the highest ID.
func (h *idHistory) see(at time.Time, highest int64) {
	h.points = append(h.points, idPoint{at, max(highest, h.newest())})
	for len(h.points) > 1 && at.Sub(h.points[1].at) >= idsBack {
		h.points = h.points[1:]
	}
	h.listed.RemoveRange(0, uint64(h.oldest())+1)
}

// oldest is the highest ID of five minutes ago, and newest is the highest ID of all.
func (h *idHistory) oldest() int64 { return h.points[0].highest }
func (h *idHistory) newest() int64 { return h.points[len(h.points)-1].highest }

// lacks reports whether no read listed some ID above one. That ID may be of a decision that the query leaves out.
func (h *idHistory) lacks(since int64) bool {
	return uint64(h.newest()-since) > h.listed.GetCardinality()-h.listed.Rank(uint64(since))
}
