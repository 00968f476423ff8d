package follower

import (
	"math/bits"
	"time"
)

// idHistory remembers the IDs that were listed in the last minutes, so that the follower can ask for decisions above an older
// ID if some are missing.
type idHistory struct {
	points      []idPoint
	listed      idSet
	asked       time.Time // when the follower last asked for the decisions above the highest ID of five minutes ago
	unsupported bool      // the Local API cannot select by ID
	missed      int       // how many decisions these questions found that no poll had listed, in this minute
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

// lacks reports whether CrowdSec has given IDs above one that no read listed. Some are of decisions that the query leaves
// out.
func (h *idHistory) lacks(since int64) bool { return h.newest()-since > h.listed.count(since) }

// idSet is a set of IDs above a number. It leaves out IDs that are far above it.
type idSet struct {
	above int64
	words []uint64 // bit n is the ID above+1+n
}

// mostWords bounds a set to 4 million IDs, which take 512 KiB.
const mostWords = 1 << 16

func (s *idSet) add(id int64) {
	n := id - s.above - 1
	if n < 0 || n >= 64*mostWords {
		return
	}
	if missing := int(n/64) + 1 - len(s.words); missing > 0 {
		s.words = append(s.words, make([]uint64, missing)...)
	}
	s.words[n/64] |= 1 << (n % 64)
}

// count returns how many IDs above one are in the set.
func (s *idSet) count(since int64) (n int64) {
	skip := max(since-s.above, 0)
	for i := skip / 64; i < int64(len(s.words)); i++ {
		word := s.words[i]
		if i == skip/64 {
			word &= ^uint64(0) << (skip % 64)
		}
		n += int64(bits.OnesCount64(word))
	}
	return n
}

// forget removes IDs up to one, as far as they fill words.
func (s *idSet) forget(until int64) {
	switch n := (until - s.above) / 64; {
	case n <= 0:
	case n >= int64(len(s.words)):
		*s = idSet{above: until}
	default:
		s.words = append([]uint64(nil), s.words[n:]...)
		s.above += 64 * n
	}
}
