package snstest

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// connectOver returns both ends of a new connection over a link, and a function that cuts it.
func connectOver(t *testing.T, l *link) (client, server net.Conn, cut func()) {
	g := &gate{link: l, conns: map[*countedConn]struct{}{}}
	client, socket := net.Pipe()
	counted := &countedConn{Conn: socket, gate: g, gone: make(chan struct{})}
	server = l.connect(counted, &g.carriers)
	cut = func() {
		counted.Close()
		g.carriers.Wait()
	}
	t.Cleanup(cut)
	return client, server, cut
}

// The clock of synctest moves only while every goroutine waits, so times are exact.
func TestALinkDelaysBytesAndLosesNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		wantTime := func(what string, least, slack time.Duration) {
			t.Helper()
			if took := time.Since(start); took < least || took > least+slack {
				t.Errorf("%s took %s, want %s and at most %s more", what, took, least, slack)
			}
			start = time.Now()
		}
		l := &link{Link: Link{BitsPerSecond: 1_000_000, RoundTrip: 100 * time.Millisecond}}
		send := func(from, to net.Conn, text []byte) {
			t.Helper()
			go from.Write(text)
			got := make([]byte, len(text))
			if _, err := io.ReadFull(to, got); err != nil || !bytes.Equal(got, text) {
				t.Errorf("%d bytes do not arrive as they were sent: %v", len(text), err)
			}
		}
		client, server, _ := connectOver(t, l)
		send(client, server, []byte{1})
		wantTime("the handshake and one way", 150*time.Millisecond, time.Millisecond)
		send(server, client, []byte{2})
		wantTime("one way", 50*time.Millisecond, time.Millisecond)
		first, firstServer, _ := connectOver(t, l)
		send(firstServer, first, []byte("SSH"))
		wantTime("the handshake and the server's first word", 200*time.Millisecond, time.Millisecond)

		text := make([]byte, 1_000_000)
		for i := range text {
			text[i] = byte(rand.Uint32())
		}
		var both sync.WaitGroup
		both.Go(func() { send(client, server, text) })
		both.Go(func() { send(server, client, text) })
		both.Wait()
		wantTime("8 million bits up, and as many down", 8*time.Second, 200*time.Millisecond)

		other, otherServer, _ := connectOver(t, l)
		go other.Write(text)
		go io.Copy(io.Discard, otherServer)
		send(client, server, text)
		wantTime("8 million bits beside as many of another connection", 12*time.Second, 5*time.Second)

		if _, err := server.Write(text[:100_000]); err != nil {
			t.Fatal(err)
		}
		server.Close()
		if got, err := io.ReadAll(client); err != nil || !bytes.Equal(got, text[:100_000]) {
			t.Errorf("%d bytes arrive before the end, %v", len(got), err)
		}
		wantTime("800,000 bits and the end", 850*time.Millisecond, 200*time.Millisecond)
		if _, err := client.Write([]byte{1}); err == nil {
			t.Error("the client still writes after the end")
		}
		go func() {
			_, _ = first.Write(text[:100_000])
			first.Close()
		}()
		if got, err := io.ReadAll(firstServer); err != nil || !bytes.Equal(got, text[:100_000]) {
			t.Errorf("%d bytes arrive before the client's end, %v", len(got), err)
		}
	})
}

func TestALinkMakesTheSenderWaitForTheReaderAndCanBeCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &link{Link: Link{BitsPerSecond: 1_000_000, RoundTrip: 100 * time.Millisecond}}
		client, server, cut := connectOver(t, l)
		start := time.Now()
		ended := make(chan int, 2)
		for _, conn := range []net.Conn{client, server} {
			go func() {
				n, _ := conn.Write(make([]byte, 10<<20))
				ended <- n
			}()
		}
		time.Sleep(200 * time.Millisecond)
		cut()
		for range 2 {
			if n := <-ended; n < packetsUnderWay*packetSize || n > (packetsUnderWay+3)*packetSize {
				t.Errorf("%d bytes were sent that nobody reads", n)
			}
		}
		if _, err := server.Read(make([]byte, 1)); err == nil {
			t.Error("the appliance reads from a connection that was cut")
		}
		if took := time.Since(start); took != 200*time.Millisecond {
			t.Errorf("the cut took %s", took-200*time.Millisecond)
		}
	})
}
