package follower

import (
	"time"

	"github.com/bits-and-blooms/bitset"
)

// The follower asks for the decisions above an old ID every oldIDEvery, and oldIDAge is how old that ID is. A full read finds
// the decisions of a transaction that took longer.
const (
	oldIDEvery = time.Minute
	oldIDAge   = 5 * time.Minute
)

// idHistory remembers the IDs of the last minutes. It finds out above which ID decisions may be missing.
type idHistory struct {
	points      []idPoint
	listed      idSet     // the IDs that polls listed
	wentBack    time.Time // when the follower last asked for the decisions above the highest ID of five minutes ago
	unsupported bool      // the Local API cannot select by ID
	missed      int       // how many unknown decisions the questions for higher IDs found in this minute
	missMinutes int       // how many minutes in a row had such decisions
}

// idPoint is the highest ID that was listed before a moment.
type idPoint struct {
	at      time.Time
	highest int64
}

// reset begins again after a full read, in which highest was the highest ID.
func (h *idHistory) reset(at time.Time, highest int64) {
	h.points = append(h.points[:0], idPoint{at, highest})
	h.listed = idSet{above: highest}
	h.wentBack = at
}

// addAnswer adds an answer, in which highest was the highest ID.
func (h *idHistory) addAnswer(at time.Time, highest int64) {
	h.points = append(h.points, idPoint{at, max(highest, h.highest())})
	for len(h.points) > 1 && at.Sub(h.points[1].at) >= oldIDAge {
		h.points = h.points[1:]
	}
	h.listed.removeUpTo(h.oldHighest())
}

// oldHighest is the highest ID of five minutes ago.
func (h *idHistory) oldHighest() int64 { return h.points[0].highest }

// highest is the highest ID; 0 before the first full read.
func (h *idHistory) highest() int64 {
	if len(h.points) == 0 {
		return 0
	}
	return h.points[len(h.points)-1].highest
}

// nextQuestion returns the ID above which the follower asks for decisions. before is the highest ID before the last poll. Once
// a minute, the question goes back to the highest ID of five minutes ago, because transactions may take that long. If polls
// listed all IDs above the returned one already, nextQuestion returns the highest ID instead.
func (h *idHistory) nextQuestion(now time.Time, before int64) (above int64, goesBack bool) {
	above, goesBack = before, now.Sub(h.wentBack) >= oldIDEvery
	if goesBack {
		above, h.wentBack = h.oldHighest(), now
	}
	if h.highest()-above <= h.listed.countAbove(above) {
		above = h.highest()
	}
	return above, goesBack
}

// idSet is a set of IDs above a number. It leaves out IDs that are far above it.
type idSet struct {
	above int64
	bits  bitset.BitSet // bit n is the ID above+1+n
}

// mostIDs bounds a set to 512 KiB.
const mostIDs = 1 << 22

// add adds an ID. It returns false if the ID is in the set, or not above the number.
func (s *idSet) add(id int64) (isNew bool) {
	n := id - s.above - 1
	if n < 0 || n >= mostIDs {
		return n >= 0
	}
	isNew = !s.bits.Test(uint(n))
	s.bits.Set(uint(n))
	return isNew
}

// countAbove returns how many IDs above one are in the set.
func (s *idSet) countAbove(id int64) int64 {
	n := s.bits.Count()
	if id > s.above {
		n -= s.bits.Rank(uint(id - s.above - 1))
	}
	return int64(n)
}

func (s *idSet) removeUpTo(id int64) {
	if n := id - s.above; n > 0 {
		s.bits.ShiftRight(uint(n))
		s.bits.Compact()
		s.above = id
	}
}
