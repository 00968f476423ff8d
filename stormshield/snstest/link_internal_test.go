package snstest

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// slow is a link whose times are easy to tell: 1,000 bytes take 8 ms.
var slow = Link{BitsPerSecond: 1_000_000, RoundTrip: 100 * time.Millisecond}

// farGate is a gate behind a link that listens nowhere.
func farGate(l Link) *gate {
	return &gate{cable: newCable(l), conns: map[*countedConn]struct{}{}, changed: make(chan struct{})}
}

// connect makes a connection over the gate's link, whose client's end does not keep anything.
func (g *gate) connect(t *testing.T) (client, server net.Conn) {
	client, socket := net.Pipe()
	counted := &countedConn{Conn: socket, gate: g, gone: make(chan struct{})}
	g.conns[counted] = struct{}{}
	server = g.linked(counted)
	t.Cleanup(func() {
		client.Close()
		g.cut()
		g.carriers.Wait()
	})
	return client, server
}

// took fails unless so much time has passed since start. The clock of a bubble moves only while everybody waits, so
// that it is exact.
func took(t *testing.T, what string, start time.Time, want time.Duration) {
	t.Helper()
	if got := time.Since(start); got != want {
		t.Errorf("%s took %s, want %s", what, got, want)
	}
}

func mustRead(t *testing.T, conn net.Conn, n int) []byte {
	t.Helper()
	p := make([]byte, n)
	if _, err := io.ReadFull(conn, p); err != nil {
		t.Fatalf("read %d bytes: %v", n, err)
	}
	return p
}

func mustWrite(t *testing.T, conn net.Conn, p []byte) {
	t.Helper()
	if n, err := conn.Write(p); n != len(p) || err != nil {
		t.Fatalf("%d of %d bytes written: %v", n, len(p), err)
	}
}

func TestAByteThereAndBackTakesARoundTripAndTheHandshakeAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := farGate(Link{RoundTrip: slow.RoundTrip}).connect(t)
		start := time.Now()
		mustWrite(t, client, []byte{1})
		mustRead(t, server, 1)
		took(t, "handshake and one way", start, 150*time.Millisecond)
		mustWrite(t, server, []byte{2})
		mustRead(t, client, 1)
		took(t, "handshake and there and back", start, 200*time.Millisecond)

		start = time.Now()
		mustWrite(t, client, []byte{3})
		mustRead(t, server, 1)
		mustWrite(t, server, []byte{4})
		mustRead(t, client, 1)
		took(t, "there and back", start, 100*time.Millisecond)
	})
}

func TestTheServersFirstWordWaitsForTheHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := farGate(Link{RoundTrip: slow.RoundTrip}).connect(t)
		start := time.Now()
		go server.Write([]byte("SSH"))
		mustRead(t, client, 3)
		took(t, "handshake and a word", start, 200*time.Millisecond)
	})
}

func TestBytesArriveIntactAndAtTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := farGate(slow).connect(t)
		sent := make([]byte, 1_000_000)
		for i := range sent {
			sent[i] = byte(rand.Uint32())
		}
		for name, ends := range map[string][2]net.Conn{"up": {client, server}, "down": {server, client}} {
			start := time.Now()
			from, to := ends[0], ends[1]
			go from.Write(sent)
			if got := mustRead(t, to, len(sent)); !bytes.Equal(got, sent) {
				t.Errorf("%s: other bytes arrived than were sent", name)
			}
			if got := time.Since(start); got < 8*time.Second || got > 8*time.Second+200*time.Millisecond {
				t.Errorf("%s: 8 million bits took %s at a million a second", name, got)
			}
		}
	})
}

func TestAllConnectionsShareTheRateOfADirection(t *testing.T) {
	for _, up := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			g := farGate(slow)
			start := time.Now()
			read := make(chan struct{})
			const conns, each = 4, 100_000
			for range conns {
				from, to := g.connect(t)
				if !up {
					from, to = to, from
				}
				go from.Write(make([]byte, each))
				go func() {
					_, _ = io.ReadFull(to, make([]byte, each))
					read <- struct{}{}
				}()
			}
			for range conns {
				<-read
			}
			line := conns * each * 8 * time.Microsecond
			if got := time.Since(start); got < line || got > line+3*slow.RoundTrip {
				t.Errorf("up %t: %s, want about %s", up, got, line)
			}
		})
	}
}

func TestTheDirectionsDoNotShareTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := farGate(slow).connect(t)
		start := time.Now()
		const each = 100_000
		go client.Write(make([]byte, each))
		go server.Write(make([]byte, each))
		read := make(chan struct{})
		go func() {
			_, _ = io.ReadFull(client, make([]byte, each))
			close(read)
		}()
		mustRead(t, server, each)
		<-read
		if got, both := time.Since(start), 2*each*8*time.Microsecond; got >= both {
			t.Errorf("%s, as if one waited for the other", got)
		}
	})
}

func TestASenderWaitsForAReaderWhoDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := farGate(slow).connect(t)
		for name, ends := range map[string][2]net.Conn{"up": {client, server}, "down": {server, client}} {
			from, to := ends[0], ends[1]
			_ = from.SetWriteDeadline(time.Now().Add(time.Hour))
			n, err := from.Write(make([]byte, 10<<20))
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("%s: error %v, want a timeout", name, err)
			}
			// Beside the window, what the carrier holds in its hand.
			if window := slow.window(); n < window || n > window+64<<10 {
				t.Errorf("%s: %d bytes written that nobody reads, the window is %d", name, n, window)
			}
			_ = from.SetWriteDeadline(time.Time{})
			mustRead(t, to, n)
			go from.Write([]byte{7})
			if got := mustRead(t, to, 1); got[0] != 7 {
				t.Errorf("%s: %d after the pause, want 7", name, got)
			}
		}
	})
}

func TestDeadlinesCountAlsoForACallThatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := farGate(slow).connect(t)
		start := time.Now()
		_ = server.SetDeadline(start.Add(time.Second))
		_, err := server.Read(make([]byte, 1))
		var timeout net.Error
		if !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("error %v, want a timeout", err)
		}
		took(t, "a read with a deadline", start, time.Second)
		if _, err := server.Write([]byte{1}); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("write after the deadline: %v", err)
		}

		_ = server.SetReadDeadline(time.Time{})
		ended := make(chan error)
		go func() {
			_, err := server.Read(make([]byte, 1))
			ended <- err
		}()
		synctest.Wait()
		_ = server.SetReadDeadline(time.Unix(1, 0)) // as http.Server does to end a read
		if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("error %v, want a timeout", err)
		}
		took(t, "a deadline that has passed", start, time.Second)

		_ = server.SetDeadline(time.Time{})
		mustWrite(t, client, []byte{5})
		mustRead(t, server, 1)
	})
}

func TestTheEndTravelsBehindTheData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := farGate(slow).connect(t)
		sent := bytes.Repeat([]byte("end"), 20_000)
		start := time.Now()
		mustWrite(t, server, sent)
		server.Close()
		got, err := io.ReadAll(client)
		if err != nil || !bytes.Equal(got, sent) {
			t.Errorf("%d of %d bytes before the end, %v", len(got), len(sent), err)
		}
		if line := time.Since(start); line < 480*time.Millisecond {
			t.Errorf("the end came after %s", line)
		}
		if _, err := server.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("read of a closed connection: %v", err)
		}
		if _, err := server.Write([]byte{1}); !errors.Is(err, net.ErrClosed) {
			t.Errorf("write to a closed connection: %v", err)
		}

		client, server = farGate(slow).connect(t)
		mustWrite(t, client, []byte{1})
		mustRead(t, server, 1)
		start = time.Now()
		server.Close()
		_, err = client.Read(make([]byte, 1))
		if !errors.Is(err, io.EOF) {
			t.Errorf("the end is %v", err)
		}
		took(t, "the end alone", start, slow.RoundTrip/2)

		client, server = farGate(slow).connect(t)
		go func() {
			_, _ = client.Write(sent)
			client.Close()
		}()
		if got, err := io.ReadAll(server); err != nil || !bytes.Equal(got, sent) {
			t.Errorf("%d of %d bytes before the client's end, %v", len(got), len(sent), err)
		}
	})
}

func TestACutConnectionIsOverAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := farGate(slow)
		_, server := g.connect(t)
		start := time.Now()
		ended := make(chan error)
		go func() {
			_, err := server.Read(make([]byte, 1))
			ended <- err
		}()
		go func() {
			_, err := server.Write(make([]byte, 10<<20))
			ended <- err
		}()
		synctest.Wait()
		g.cut()
		for range 2 {
			if err := <-ended; !errors.Is(err, net.ErrClosed) {
				t.Errorf("error %v", err)
			}
		}
		g.carriers.Wait()
		took(t, "a cut", start, 0)
	})
}
