package metrics

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/net/http2"
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

// webConfigWithTLS returns the path of a web configuration with a self-signed certificate.
func webConfigWithTLS(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	for file, text := range map[string][]byte{
		"web.crt": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}),
		"web.key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
		"web.yml": []byte("tls_server_config:\n  cert_file: web.crt\n  key_file: web.key\n"),
	} {
		if err := os.WriteFile(filepath.Join(folder, file), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(folder, "web.yml")
}

func TestTheNumberOfRequestsOfAConnectionIsBounded(t *testing.T) {
	t.Parallel()
	address := newAddress()
	s := sourceOf(t, "first", address, webConfigWithTLS(t))
	run(t, New("", hclog.NewNullLogger()), s)
	get(t, address, "/metrics") // waits until it listens; the answer refuses plain HTTP
	conn, err := tls.Dial("tcp", s.Health.Document.Prometheus.Address(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	_, _ = io.WriteString(conn, http2.ClientPreface)
	framer := http2.NewFramer(conn, conn)
	if err := framer.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	frame, err := framer.ReadFrame()
	if err != nil {
		t.Fatal(err)
	}
	settings, ok := frame.(*http2.SettingsFrame)
	if !ok {
		t.Fatalf("the first frame is %v", frame)
	}
	if most, _ := settings.Value(http2.SettingMaxConcurrentStreams); most != mostStreams {
		t.Errorf("a connection may have %d requests at once", most)
	}
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

func TestRequestsReadTheStateForAShareOfTheTime(t *testing.T) {
	t.Parallel()
	s := sourceOf(t, "first", newAddress(), "")
	var last reading
	read := func(at time.Time) int {
		t.Helper()
		report, err := last.read(t.Context(), s.Health, at)
		if err != nil {
			t.Fatal(err)
		}
		return report.InForce
	}
	now := time.Now()
	if n := read(now); n != 0 {
		t.Errorf("%d bans in an empty state", n)
	}
	took := last.until.Sub(now) / readShare
	s.record(t, "203.0.113.77/32")
	if n := read(now.Add(9 * took)); n != 0 {
		t.Error("a reading was done again too soon")
	}
	if n := read(now.Add(10*took + 1)); n != 1 {
		t.Errorf("an old reading counts: %d bans", n)
	}
}
