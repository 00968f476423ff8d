package snstest

import (
	"io"
	"net"
	"sync"
	"time"
)

// Link is a network between the appliance and its clients that is slower than the loopback interface. All connections
// share it, SSH and API alike. The zero value is the loopback interface as it is.
//
// It emulates the time that bytes take, the queue behind earlier bytes, the round trip that opens a TCP connection, and
// a sender that waits for a slow reader. It does not emulate losses, packet headers and TCP's slow start, so a real link
// with the same figures is somewhat slower.
type Link struct {
	BitsPerSecond int64         // each way; 0: no limit
	RoundTrip     time.Duration // half of it each way
}

const (
	packetSize      = 4 << 10
	packetsUnderWay = 64 // of one connection and direction: as many bytes as a socket's buffer has
)

// link carries the connections of a Link.
type link struct {
	Link
	up, down direction // up leads to the appliance
}

// direction sends one packet after the other.
type direction struct {
	mu   sync.Mutex
	free time.Time // when everything that was given to it is sent
}

// send returns when a packet of so many bytes arrives.
func (l *link) send(d *direction, bytes int) time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	if now := time.Now(); d.free.Before(now) {
		d.free = now
	}
	if l.BitsPerSecond > 0 {
		d.free = d.free.Add(time.Duration(int64(bytes) * 8 * int64(time.Second) / l.BitsPerSecond))
	}
	return d.free.Add(l.RoundTrip / 2)
}

// connect returns the appliance's end of a connection whose client is at the other end of the link. It adds the
// goroutines that carry bytes to carriers. They end when either side closes its end.
func (l *link) connect(client *countedConn, carriers *sync.WaitGroup) net.Conn {
	server, far := net.Pipe()
	gone := client.gone
	opened := time.Now().Add(l.RoundTrip) // TCP's handshake, for the client; the appliance gets its last packet later
	carriers.Go(func() {
		defer far.Close()
		l.carry(&l.up, client, far, opened, gone)
	})
	carriers.Go(func() {
		defer client.Close() // closes gone
		l.carry(&l.down, far, client, opened.Add(l.RoundTrip/2), gone)
	})
	carriers.Go(func() {
		<-gone
		far.Close()
	})
	return server
}

// packet is some bytes under way. The last one, without bytes, is the end of the connection.
type packet struct {
	arrives time.Time
	bytes   []byte
}

// carry copies from one end to the other until the end of the connection. Each packet takes its time.
func (l *link) carry(d *direction, from io.Reader, to io.Writer, opened time.Time, gone <-chan struct{}) {
	underWay := make(chan packet, packetsUnderWay)
	go func() {
		defer close(underWay)
		for err := error(nil); err == nil && sleepUntil(opened, gone); {
			var n int
			buffer := make([]byte, packetSize)
			n, err = from.Read(buffer)
			underWay <- packet{l.send(d, n), buffer[:n]}
		}
	}()
	open := true
	for p := range underWay { // also when nobody takes it, so that the reader ends
		open = open && sleepUntil(p.arrives, gone)
		if open && len(p.bytes) > 0 {
			_, _ = to.Write(p.bytes) // fails if an end is closed, and then the reader ends too
		}
	}
}

// sleepUntil returns whether the connection is still there at the moment.
func sleepUntil(moment time.Time, gone <-chan struct{}) bool {
	timer := time.NewTimer(time.Until(moment))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-gone:
	}
	select { // above, Go takes either one if both are ready
	case <-gone:
		return false
	default:
		return true
	}
}
