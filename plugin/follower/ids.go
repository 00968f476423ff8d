package follower

import (
	"time"
)

// idHistory remembers the highest IDs of the last minutes, so that the follower can ask for decisions above an older one.
type idHistory struct {
	points      []idPoint
	asked       time.Time // when the follower last asked for decisions above the highest ID of five minutes ago
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
	h.asked = at
}

// see adds the highest ID of a read.
func (h *idHistory) see(at time.Time, highest int64) {
	if len(h.points) > 0 {
		highest = max(highest, h.newest())
	}
	h.points = append(h.points, idPoint{at, highest})
	for len(h.points) > 1 && at.Sub(h.points[1].at) >= idsBack {
		h.points = h.points[1:]
	}
}

// oldest is the highest ID of five minutes ago, and newest is the highest ID of all.
func (h *idHistory) oldest() int64 { return h.points[0].highest }
func (h *idHistory) newest() int64 { return h.points[len(h.points)-1].highest }
