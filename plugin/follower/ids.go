package follower

import (
	"time"
)

// idHistory remembers the highest IDs of the last minutes, so that the follower can ask for decisions above an older one.
type idHistory struct {
	points      []idPoint
	asked       time.Time // when the follower last asked for decisions above an ID
	unsupported bool      // the Local API cannot select by ID
	surprises   int       // how many of these questions in a row found decisions that no poll had listed
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
		highest = max(highest, h.points[len(h.points)-1].highest)
	}
	h.points = append(h.points, idPoint{at, highest})
	for len(h.points) > 1 && at.Sub(h.points[1].at) >= idsBack {
		h.points = h.points[1:]
	}
}

// base is the highest ID of five minutes ago.
func (h *idHistory) base() int64 { return h.points[0].highest }
