package follower

import (
	"time"

	"github.com/bits-and-blooms/bitset"
)

// idHistory remembers the IDs that were listed in the last minutes, so that the follower can ask for decisions above an older
// ID if some are missing.
type idHistory struct {
	points      []idPoint
	listed      idSet
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
	h.listed = idSet{above: highest}
	h.asked = at
}

// see adds a read, in which highest was the highest ID.
func (h *idHistory) see(at time.Time, highest int64) {
	h.points = append(h.points, idPoint{at, max(highest, h.newest())})
	for len(h.points) > 1 && at.Sub(h.points[1].at) >= idsBack {
		h.points = h.points[1:]
	}
	h.listed.forget(h.oldest())
}

// oldest is the highest ID of five minutes ago, and newest is the highest ID of all.
func (h *idHistory) oldest() int64 { return h.points[0].highest }
func (h *idHistory) newest() int64 { return h.points[len(h.points)-1].highest }

// lacks reports whether no read listed some ID above one. That ID may be of a decision that the query leaves out.
func (h *idHistory) lacks(since int64) bool {
	return h.newest()-since > h.listed.count(since)
}

// idSet is a set of IDs above a number. It leaves out IDs that are far above it.
type idSet struct {
	above int64
	bits  bitset.BitSet // bit n is the ID above+1+n
}

// mostIDs bounds a set to 512 KiB.
const mostIDs = 1 << 22

func (s *idSet) add(id int64) {
	if n := id - s.above - 1; n >= 0 && n < mostIDs {
		s.bits.Set(uint(n))
	}
}

// count returns how many IDs above one are in the set.
func (s *idSet) count(since int64) int64 {
	n := s.bits.Count()
	if since > s.above {
		n -= s.bits.Rank(uint(since - s.above - 1))
	}
	return int64(n)
}

// forget removes the IDs up to one.
func (s *idSet) forget(until int64) {
	if n := until - s.above; n > 0 {
		s.bits.ShiftRight(uint(n))
		s.bits.Compact()
		s.above = until
	}
}
