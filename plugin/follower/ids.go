package follower

import (
	"time"
)

// idHistory remembers the highest IDs of the last minutes, and how many decisions were listed, so that the follower can ask
// for decisions above an older ID if IDs are missing.
type idHistory struct {
	points      []idPoint
	asked       time.Time // when the follower last asked for decisions above an ID because a minute had passed
	unsupported bool      // the Local API cannot select by ID
	missed      int       // how many decisions these questions found that no poll had listed, in this minute
	surprises   int       // how many minutes in a row had such decisions
}

// idPoint is the highest ID that any read had listed by a moment, and how many decisions were listed by then.
type idPoint struct {
	at      time.Time
	highest int64
	listed  int64
}

// restart begins again after a full read, in which highest was the highest ID.
func (h *idHistory) restart(at time.Time, highest int64) {
	h.points = append(h.points[:0], idPoint{at: at, highest: highest})
	h.asked = at
}

// see adds a read, which listed new decisions up to the highest ID since a point.
func (h *idHistory) see(at time.Time, highest int64, since idPoint, listed int) {
	last := h.newest()
	h.points = append(h.points, idPoint{at, max(highest, last.highest), max(since.listed+int64(listed), last.listed)})
	for len(h.points) > 1 && at.Sub(h.points[1].at) >= idsBack {
		h.points = h.points[1:]
	}
}

// oldest is the point of five minutes ago, and newest is the last one.
func (h *idHistory) oldest() idPoint { return h.points[0] }
func (h *idHistory) newest() idPoint { return h.points[len(h.points)-1] }

// lacks reports whether CrowdSec has given IDs since a point that no read listed. Some are of decisions that the query leaves
// out.
func (h *idHistory) lacks(since idPoint) bool {
	last := h.newest()
	return last.highest-since.highest > last.listed-since.listed
}
