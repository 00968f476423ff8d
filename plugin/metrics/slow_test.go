package metrics

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
)

// slowClient takes no byte of an answer until it is released.
type slowClient struct {
	http.ResponseWriter
	begun, released chan struct{}
}

func (c slowClient) Write(p []byte) (int, error) {
	c.begun <- struct{}{}
	<-c.released
	return len(p), nil
}

func TestAClientThatReadsItsAnswerSlowlyDelaysNoOtherOne(t *testing.T) {
	t.Parallel()
	handler := limit(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "answer") }))
	request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil)
	begun, released := make(chan struct{}), make(chan struct{})
	var slow sync.WaitGroup
	defer slow.Wait()
	defer close(released)
	slow.Go(func() { handler.ServeHTTP(slowClient{httptest.NewRecorder(), begun, released}, request) })
	<-begun
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, request)
	if answer.Code != http.StatusOK || answer.Body.String() != "answer" {
		t.Errorf("%d %s", answer.Code, answer.Body)
	}
}

func TestOneRequestAtATimeReadsTheState(t *testing.T) {
	t.Parallel()
	begun, released := make(chan struct{}, 2), make(chan struct{})
	handler := limit(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		begun <- struct{}{}
		<-released
	}))
	var reading sync.WaitGroup
	reading.Go(func() {
		handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
	})
	<-begun
	impatient, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, httptest.NewRequestWithContext(impatient, http.MethodGet, "/", nil))
	if answer.Code != http.StatusServiceUnavailable || len(begun) > 0 {
		t.Errorf("%d while another request reads", answer.Code)
	}
	close(released)
	reading.Wait()
}

func TestTheNumberOfConnectionsIsBounded(t *testing.T) {
	t.Parallel()
	address := newAddress()
	s := sourceOf(t, "first", address, "")
	run(t, New("", hclog.NewNullLogger()), s)
	get(t, address, "/metrics")
	dial := func() net.Conn {
		conn, err := net.Dial("tcp", s.Health.Document.Prometheus.Address())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		_, _ = io.WriteString(conn, "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n") // if it fails, no answer comes
		return conn
	}
	answers := func(conn net.Conn, within time.Duration) bool {
		_ = conn.SetReadDeadline(time.Now().Add(within))
		answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			return false
		}
		defer answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	}
	var open []net.Conn
	for range mostConnections {
		open = append(open, dial())
	}
	for _, conn := range open {
		if !answers(conn, time.Minute) {
			t.Fatal("no answer")
		}
	}
	late := dial()
	if answers(late, 200*time.Millisecond) {
		t.Error("a connection too many is answered")
	}
	_ = open[0].Close()
	if !answers(late, time.Minute) {
		t.Error("a connection that waits is not answered after another one ended")
	}
}
