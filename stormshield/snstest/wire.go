package snstest

import (
	"bytes"
	"net"
	"os"
	"sync"
	"time"
)

// segmentSize is how many bytes arrive together.
const segmentSize = 4 << 10

// wire is one direction of one connection over a link: what is sent at one end comes out at the other, later. There is
// one sender and one receiver at a time.
type wire struct {
	line  *line
	opens time.Time       // before that, TCP's handshake is under way and nothing is sent
	gone  <-chan struct{} // closed with the socket: nothing is carried any more

	mu        sync.Mutex
	changed   chan struct{} // closed at the next change of anything below
	segments  []segment
	room      int       // how many more bytes the window takes
	severed   error     // what both ends get from now on
	finished  bool      // nothing more may be sent
	sendBy    time.Time // deadlines; zero: none
	receiveBy time.Time
}

// segment is some bytes under way, or the end of all.
type segment struct {
	arrives time.Time
	bytes   []byte
	end     error // what the receiver gets, from here on
}

func newWire(l *line, opens time.Time, gone <-chan struct{}) *wire {
	return &wire{line: l, opens: opens, gone: gone, changed: make(chan struct{}), room: l.link.window()}
}

// send gives bytes to the line. It waits while the window is full.
func (w *wire) send(p []byte) (sent int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		switch err := w.trouble(w.sendBy); {
		case err != nil:
			return sent, err
		case w.finished:
			return sent, net.ErrClosed
		case sent == len(p):
			return sent, nil
		case time.Now().Before(w.opens):
			w.wait(w.opens, w.sendBy)
			continue
		case w.room == 0:
			w.wait(w.sendBy)
			continue
		}
		n := min(len(p)-sent, segmentSize, w.room)
		w.segments = append(w.segments, segment{arrives: w.line.carry(n), bytes: bytes.Clone(p[sent : sent+n])})
		w.room -= n
		sent += n
		w.wake()
	}
}

// receive waits for bytes to arrive, or for the end behind them.
func (w *wire) receive(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		if err := w.trouble(w.receiveBy); err != nil {
			return 0, err
		}
		if len(p) == 0 {
			return 0, nil
		}
		if n, end := w.take(p); n > 0 || end != nil {
			return n, end
		}
		if len(w.segments) == 0 {
			w.wait(w.receiveBy)
		} else {
			w.wait(w.segments[0].arrives, w.receiveBy)
		}
	}
}

// take takes what has arrived. The caller holds mu.
func (w *wire) take(p []byte) (taken int, end error) {
	for now := time.Now(); taken < len(p) && len(w.segments) > 0 && !now.Before(w.segments[0].arrives); {
		head := &w.segments[0]
		if head.end != nil {
			if taken == 0 {
				end = head.end
			}
			break
		}
		n := copy(p[taken:], head.bytes)
		taken += n
		if head.bytes = head.bytes[n:]; len(head.bytes) == 0 {
			w.segments = w.segments[1:]
		}
	}
	if taken > 0 {
		w.room += taken
		w.wake()
	}
	return taken, end
}

// finish sends the end behind what was sent; the receiver gets err.
func (w *wire) finish(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.finished {
		return
	}
	w.finished = true
	arrives := w.line.carry(0)
	if earliest := w.opens.Add(w.line.link.RoundTrip / 2); arrives.Before(earliest) {
		arrives = earliest
	}
	w.segments = append(w.segments, segment{arrives: arrives, end: err})
	w.wake()
}

// sever drops what is under way and lets both ends have err.
func (w *wire) sever(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.severed == nil {
		w.severed, w.segments = err, nil
		w.wake()
	}
}

// deadline sets the deadline of one end. It also counts for a call that waits already.
func (w *wire) deadline(of *time.Time, at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	*of = at
	w.wake()
}

// trouble is why neither end may go on, or why this one may not. The caller holds mu.
func (w *wire) trouble(by time.Time) error {
	select {
	case <-w.gone:
		return net.ErrClosed
	default:
	}
	if w.severed == nil && !by.IsZero() && !time.Now().Before(by) {
		return os.ErrDeadlineExceeded
	}
	return w.severed
}

// wake lets those who wait look again. The caller holds mu.
func (w *wire) wake() {
	close(w.changed)
	w.changed = make(chan struct{})
}

// wait waits for a change, for the earliest of some moments, or for the end of the socket. A zero moment never comes.
// The caller holds mu, but not meanwhile.
func (w *wire) wait(moments ...time.Time) {
	changed := w.changed
	w.mu.Unlock()
	defer w.mu.Lock()
	var first time.Time
	for _, m := range moments {
		if first.IsZero() || !m.IsZero() && m.Before(first) {
			first = m
		}
	}
	var alarm <-chan time.Time
	if !first.IsZero() {
		timer := time.NewTimer(time.Until(first))
		defer timer.Stop()
		alarm = timer.C
	}
	select {
	case <-changed:
	case <-alarm:
	case <-w.gone:
	}
}
