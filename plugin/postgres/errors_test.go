package postgres

import (
	"context"
	"crypto/x509"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

func TestIsAwayTellsATroubleThatPassesFromAMistake(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{errors.New("another error"), false},
		{context.Canceled, false},
		{context.DeadlineExceeded, true},
		{io.ErrUnexpectedEOF, true},
		{io.EOF, true},
		{driver.ErrBadConn, true},
		{pgconn.ErrConnClosed, true},
		{errStandby, true},
		{&net.OpError{Op: "read", Err: syscall.ECONNRESET}, true},
		{syscall.EPIPE, true},
		{&net.DNSError{IsNotFound: true}, true},
		{&pgconn.PgError{Code: "08006"}, true},
		{&pgconn.PgError{Code: "08P01"}, false},
		{&pgconn.PgError{Code: "53300"}, true},
		{&pgconn.PgError{Code: "53100"}, true},
		{&pgconn.PgError{Code: "57P01"}, true},
		{&pgconn.PgError{Code: "57P02"}, true},
		{&pgconn.PgError{Code: "57P03"}, true},
		{&pgconn.PgError{Code: "57014"}, true},
		{&pgconn.PgError{Code: "25006"}, true},
		{&pgconn.PgError{Code: "55P03"}, true},
		{&pgconn.PgError{Code: "58030"}, true},
		{&pgconn.PgError{Code: "28P01"}, false}, // wrong password
		{&pgconn.PgError{Code: "3D000"}, false}, // no such database
		{&pgconn.PgError{Code: "42501"}, false}, // no right
		{&pgconn.PgError{Code: "42P01"}, false}, // no such table
		{&pgconn.PgError{Code: "23505"}, false}, // not unique
		{&pgconn.PgError{}, false},
		{errors.Join(&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, x509.HostnameError{Certificate: &x509.Certificate{}}), false},
		{errors.Join(syscall.ECONNRESET, &pgconn.PgError{Code: "28P01"}), false},
	} {
		for _, err := range []error{c.err, fmt.Errorf("record: %w", c.err), explainIfAny(c.err)} {
			if c.err != nil && IsAway(err) != c.want {
				t.Errorf("%v: away is %v, want %v", err, !c.want, c.want)
			}
		}
	}
}

func explainIfAny(err error) error {
	if err == nil {
		return nil
	}
	return explain(err)
}

// server is a fake server on loopback. It answers each login with an error; without a code, with nothing.
func server(t *testing.T, code string) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	t.Cleanup(func() {
		_ = listener.Close()
		all.Wait()
	})
	all.Go(func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer connection.Close()
				backend := pgproto3.NewBackend(connection, connection)
				if _, err := backend.ReceiveStartupMessage(); err == nil && code != "" {
					backend.Send(&pgproto3.ErrorResponse{Severity: "FATAL", SeverityUnlocalized: "FATAL", Code: code, Message: "no"})
					_ = backend.Flush()
					return
				}
				_, _ = io.Copy(io.Discard, connection) // until the client gives up
			})
		}
	})
	return listener.Addr().String()
}

// refusing is an address on which nothing listens: a test cannot have the port 1.
const refusing = "127.0.0.1:1"

func TestIsRefusedNeedsARefusalOfEachAddress(t *testing.T) {
	silent := server(t, "")
	for name, c := range map[string]struct {
		url             string
		refused, isAway bool
	}{
		"nothing listens":               {url: "postgres://a@" + refusing + "/b?sslmode=disable", refused: true, isAway: true},
		"nothing listens, with TLS":     {url: "postgres://a@" + refusing + "/b?sslmode=prefer", refused: true, isAway: true},
		"no socket":                     {url: "postgres://a@/b?host=" + filepath.Join(t.TempDir(), "no"), refused: true, isAway: true},
		"the server starts":             {url: "postgres://a@" + server(t, "57P03") + "/b?sslmode=disable", refused: true, isAway: true},
		"the server was stopped just":   {url: "postgres://a@" + server(t, "57P01") + "/b?sslmode=disable", refused: false, isAway: true},
		"the server is full":            {url: "postgres://a@" + server(t, "53300") + "/b?sslmode=disable", refused: false, isAway: true},
		"the server does not answer":    {url: "postgres://a@" + silent + "/b?sslmode=disable&connect_timeout=1", refused: false, isAway: true},
		"a wrong password":              {url: "postgres://a@" + server(t, "28P01") + "/b?sslmode=disable", refused: false, isAway: false},
		"one refuses, one is silent":    {url: two(refusing, silent), refused: false, isAway: true},
		"both refuse":                   {url: two(refusing, refusing), refused: true, isAway: true},
		"one refuses, one starts":       {url: two(refusing, server(t, "57P03")), refused: true, isAway: true},
		"one starts, one has no room":   {url: two(server(t, "57P03"), server(t, "53300")), refused: false, isAway: true},
		"the name of no host":           {url: "postgres://a@no.invalid/b", refused: false, isAway: true},
		"one refuses, one has no name":  {url: "postgres://a@127.0.0.1,no.invalid/b?sslmode=disable&port=1", refused: false, isAway: true},
		"the server refuses encryption": {url: "postgres://a@" + server(t, "28000") + "/b?sslmode=disable", refused: false, isAway: false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			connection, err := Database{URL: c.url, Password: "the-password"}.Connect(t.Context())
			if err == nil {
				t.Fatal("connected", connection.Close())
			}
			if IsRefused(err) != c.refused || IsAway(err) != c.isAway || IsRefused(fmt.Errorf("%w (%w)", io.ErrNoProgress, err)) != c.refused {
				t.Errorf("refused %v, want %v; away %v, want %v: %v", IsRefused(err), c.refused, IsAway(err), c.isAway, err)
			}
			if text := err.Error(); strings.Contains(text, "\n") || strings.Contains(text, "the-password") ||
				!strings.HasPrefix(text, "connect to PostgreSQL at a@") {
				t.Errorf("the error is %q", text)
			}
			if took := time.Since(began); took > 2*connectTimeout {
				t.Errorf("it took %s", took)
			}
		})
	}
	if IsRefused(&net.OpError{Op: "write", Err: syscall.ECONNREFUSED}) {
		t.Error("an error of an open connection is a refusal")
	}
}

// two returns the URL of two servers.
func two(a, b string) string {
	hostA, portA, _ := net.SplitHostPort(a)
	hostB, portB, _ := net.SplitHostPort(b)
	return fmt.Sprintf("postgres://a@/b?host=%s,%s&port=%s,%s&sslmode=disable&connect_timeout=1", hostA, hostB, portA, portB)
}

func TestAnErrorHasAHint(t *testing.T) {
	for code, want := range map[string]string{
		"28P01": "state_password_path", "28000": "pg_hba.conf", "3D000": "create the database", "53300": "max_connections",
	} {
		_, err := Database{URL: "postgres://a@" + server(t, code) + "/b?sslmode=disable"}.Connect(t.Context())
		if err == nil || strings.Count(err.Error(), "(hint: ") != 1 || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", code, err)
		}
	}
	err := explain(&pgconn.PgError{Severity: "ERROR", Code: "42501", Message: "permission denied for database bans"})
	if want := "GRANT CREATE"; !strings.Contains(err.Error(), want) || !errors.As(err, new(*pgconn.PgError)) {
		t.Errorf("%v lacks %q", err, want)
	}
	noEncryption := &pgconn.PgError{Code: "28000", Message: `no pg_hba.conf entry for host "192.0.2.1", user "a", database "b", no encryption`}
	if got := hintFor(noEncryption); !strings.Contains(got, "sslmode=verify-full") {
		t.Errorf("the hint is %q", got)
	}
	plain := &pgconn.PgError{Code: "23505"}
	if err := explain(plain); !errors.Is(err, plain) || errors.As(err, new(*statementError)) {
		t.Errorf("an error without a hint becomes %v", err)
	}
}
