package snstest_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"notification-stormshield/stormshield/snstest"
)

func far(o *snstest.Options) {
	o.Link = snstest.Link{BitsPerSecond: 20_000_000, RoundTrip: 20 * time.Millisecond}
}

// atLeast fails when less time has passed. There is no upper bound: a busy machine is as slow as it likes.
func atLeast(t *testing.T, what string, start time.Time, want time.Duration) {
	t.Helper()
	if got := time.Since(start); got < want {
		t.Errorf("%s took %s, which is less than %s", what, got, want)
	}
}

func TestSSHOverALinkTakesItsTimeAndLosesNothing(t *testing.T) {
	a := snstest.Start(t, far)
	start := time.Now()
	client := connectSSH(t, a)
	atLeast(t, "a log-in, of four round trips and more", start, 80*time.Millisecond)
	start = time.Now()
	runSSH(t, client, "true", nil)
	atLeast(t, "a command", start, 20*time.Millisecond)

	text := make([]byte, 500_000)
	for i := range text {
		text[i] = byte(rand.Uint32())
	}
	start = time.Now()
	echoed := runSSH(t, client, "cat", bytes.NewReader(text))
	atLeast(t, "4 million bits at 20 million a second", start, 200*time.Millisecond)
	if echoed.out != string(text) {
		t.Error("other bytes came back than were sent")
	}
	client.Close()
	eventually(t, "the connection counts on both sides", func() bool {
		s := a.Stats()
		return s.SSHConnections == 1 && s.SSHBytesIn > 500_000 && s.SSHBytesOut > 500_000
	})
}

func TestTheAPIAnswersOverALink(t *testing.T) {
	a := snstest.Start(t, far)
	start := time.Now()
	w := monitor(t, a)
	atLeast(t, "a session, of five round trips and more", start, 100*time.Millisecond)
	for range 20 {
		w.block("192.0.2.1", 60)
	}
	atLeast(t, "and 20 commands, a round trip each", start, 500*time.Millisecond)
	wantSources(t, a, "192.0.2.1/32")
}

func TestNothingIsLeftBehindByAFarAppliance(t *testing.T) {
	http.DefaultClient.CloseIdleConnections()
	before := runtime.NumGoroutine()
	a, err := snstest.New(snstest.Options{Link: snstest.Link{BitsPerSecond: 8_000, RoundTrip: time.Minute}})
	if err != nil {
		t.Fatal(err)
	}
	var conns []net.Conn
	for range 5 {
		conn, err := net.Dial("tcp", net.JoinHostPort(a.Host(), strconv.Itoa(a.SSHPort())))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, strings.Repeat("never to arrive", 1000))
		conns = append(conns, conn)
	}
	eventually(t, "all connections", func() bool { return a.Stats().SSHConnections == len(conns) })
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	eventually(t, "no goroutine of it", func() bool { return runtime.NumGoroutine() <= before })
}

func TestLinksAreReadAndWritten(t *testing.T) {
	for text, want := range map[string]snstest.Link{
		"20mbit,20ms": {BitsPerSecond: 20_000_000, RoundTrip: 20 * time.Millisecond},
		"1500kbit,1s": {BitsPerSecond: 1_500_000, RoundTrip: time.Second},
		"2gbit,0s":    {BitsPerSecond: 2_000_000_000},
		"1200bit,5µs": {BitsPerSecond: 1200, RoundTrip: 5 * time.Microsecond},
		"0bit,50ms":   {RoundTrip: 50 * time.Millisecond},
		"none":        {},
	} {
		var l snstest.Link
		if err := l.UnmarshalText([]byte(text)); err != nil || l != want {
			t.Errorf("%s is read as %+v, %v", text, l, err)
		}
		var again snstest.Link
		if err := again.UnmarshalText([]byte(l.String())); err != nil || again != want {
			t.Errorf("%s is written as %s", text, l)
		}
	}
	for _, text := range []string{"", "20mbit", "20ms", "mbit,20ms", "-1mbit,20ms", "20mbit,-1ms", "20,20ms", "20Mb/s,20ms", "1.5mbit,20ms", "99999999999gbit,1s"} {
		if err := new(snstest.Link).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
	if _, err := snstest.New(snstest.Options{Link: snstest.Link{RoundTrip: -1}}); err == nil {
		t.Error("a negative round trip is accepted")
	}
}
