package snstest

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Link is a network between the appliance and its clients, slower than the loopback interface: so many bits in a second
// each way, and so long from one end to the other and back. All connections share it, SSH and API alike. The zero value
// is the loopback interface as it is.
//
// Emulated are the time that bytes take on the line and on their way, the wait behind those that were sent before (first
// come, first served, as in a router), the round trip that opens a TCP connection, and a sender that has to wait when
// the other end does not read. Not emulated are losses, the headers of packets and TCP's slow start, so that a real link
// of the same figures is somewhat slower.
type Link struct {
	BitsPerSecond int64         // each way; 0: no limit
	RoundTrip     time.Duration // half of it each way
}

// bitUnits are the units of a rate; the last one ends like the others.
var bitUnits = []struct {
	name string
	bits int64
}{{"kbit", 1e3}, {"mbit", 1e6}, {"gbit", 1e9}, {"bit", 1}}

// UnmarshalText reads a rate and a round trip, such as 20mbit,20ms; units of the rate are bit, kbit, mbit and gbit, and
// 0bit is no limit. "none" is the zero value.
func (l *Link) UnmarshalText(text []byte) error {
	if string(text) == "none" {
		*l = Link{}
		return nil
	}
	wrong := func() error {
		return fmt.Errorf("%q is no link: write a rate and a round trip, such as 20mbit,20ms", text)
	}
	rate, trip, ok := strings.Cut(string(text), ",")
	roundTrip, err := time.ParseDuration(trip)
	if !ok || err != nil || roundTrip < 0 {
		return wrong()
	}
	for _, unit := range bitUnits {
		number, ok := strings.CutSuffix(rate, unit.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(number, 10, 32)
		if err != nil || n < 0 {
			return wrong()
		}
		*l = Link{BitsPerSecond: n * unit.bits, RoundTrip: roundTrip}
		return nil
	}
	return wrong()
}

// MarshalText writes what UnmarshalText reads.
func (l Link) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// String is the link as UnmarshalText reads it.
func (l Link) String() string {
	if l == (Link{}) {
		return "none"
	}
	rate, name := l.BitsPerSecond, "bit"
	for _, unit := range bitUnits {
		if unit.bits > 1 && rate > 0 && l.BitsPerSecond%unit.bits == 0 {
			rate, name = l.BitsPerSecond/unit.bits, unit.name
		}
	}
	return fmt.Sprintf("%d%s,%s", rate, name, l.RoundTrip)
}

const (
	// socketBuffer is what a sender may be ahead of a reader beyond what the link itself holds.
	socketBuffer = 256 << 10
	// largestWindow is about what Linux gives a connection at most.
	largestWindow = 6 << 20
)

// window is how many bytes of one connection and direction may be under way or waiting to be read.
func (l Link) window() int {
	if l.BitsPerSecond == 0 {
		return largestWindow
	}
	underWay := float64(l.BitsPerSecond) / 8 * l.RoundTrip.Seconds()
	return int(min(underWay+socketBuffer, largestWindow))
}

// cable is a link that carries something: a line each way.
type cable struct {
	link     Link
	up, down *line // up leads to the appliance
}

// newCable returns nil where nothing is to be emulated.
func newCable(l Link) *cable {
	if l == (Link{}) {
		return nil
	}
	return &cable{link: l, up: &line{link: l}, down: &line{link: l}}
}

// line is one direction of a link. It sends one thing after the other.
type line struct {
	link Link

	mu   sync.Mutex
	free time.Time // when all that was given to it so far is sent
}

// carry takes so many bytes and returns when the last of them arrives.
func (l *line) carry(bytes int) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := time.Now(); l.free.Before(now) {
		l.free = now
	}
	if l.link.BitsPerSecond > 0 {
		l.free = l.free.Add(time.Duration(int64(bytes) * 8 * int64(time.Second) / l.link.BitsPerSecond))
	}
	return l.free.Add(l.link.RoundTrip / 2)
}
