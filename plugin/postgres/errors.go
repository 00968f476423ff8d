package postgres

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"
)

// errStandby says that the server only copies another one, and cannot write.
var errStandby = errors.New("the server is a standby, which cannot write (hint: write the address of the primary server into state_url, " +
	"or the addresses of both)")

// IsAway reports whether an error says that the database cannot be used now: no connection opens, the connection was cut, the server
// stops or starts, it lacks disk, memory or connections, or a lock was not free in time. The same call may succeed later, without a
// change of the configuration.
func IsAway(err error) bool {
	if err == nil || errors.Is(err, context.Canceled) {
		return false
	}
	// The answer of a server counts more than another server that cannot be reached.
	if e := (*pgconn.PgError)(nil); errors.As(err, &e) {
		return isAwayCode(e.Code)
	}
	if isOfTLS(err) {
		return false
	}
	// Not net.Error: a missing file of a certificate is one, too.
	if errors.As(err, new(*net.OpError)) || errors.As(err, new(*net.DNSError)) {
		return true
	}
	for _, is := range []error{
		driver.ErrBadConn, pgconn.ErrConnClosed, errStandby, context.DeadlineExceeded, os.ErrDeadlineExceeded, io.EOF,
		io.ErrUnexpectedEOF, net.ErrClosed, syscall.ECONNRESET, syscall.EPIPE, syscall.ETIMEDOUT,
	} {
		if errors.Is(err, is) {
			return true
		}
	}
	return false
}

// isOfTLS reports whether the client does not accept the certificate of a server, or the server has no encryption.
func isOfTLS(err error) bool {
	return errors.As(err, new(*tls.CertificateVerificationError)) || errors.As(err, new(x509.UnknownAuthorityError)) ||
		errors.As(err, new(x509.HostnameError)) || errors.As(err, new(x509.CertificateInvalidError)) || hasNoTLS(err)
}

// hasNoTLS reports whether the server has no encryption. pgconn has no type for that error.
func hasNoTLS(err error) bool { return strings.Contains(err.Error(), "server refused TLS connection") }

// isAwayCode reports whether a code of the server says that the same call may succeed later.
// https://www.postgresql.org/docs/15/errcodes-appendix.html
func isAwayCode(code string) bool {
	switch code {
	case "08P01": // protocol_violation: a pooler or server that does not understand us
		return false
	case "57P01", "57P02", "57P03", // admin_shutdown, crash_shutdown, cannot_connect_now
		"57P05", "25P03", // idle_session_timeout, idle_in_transaction_session_timeout
		"55P03", "40P01", "40001", // lock_not_available, deadlock_detected, serialization_failure
		"57014", "25006": // query_canceled, read_only_sql_transaction: a server that became a standby
		return true
	}
	switch code[:min(len(code), 2)] {
	case "08", "53", "58": // connection exception, insufficient resources, system error
		return true
	}
	return false
}

// IsRefused reports whether an error says that no server is there: every address answered that nothing listens, or the server says that it
// starts or stops. A server that does not answer, or that cannot be reached, may work for other machines: it has not refused.
func IsRefused(err error) bool {
	var failed *pgconn.ConnectError
	return errors.As(err, &failed) && everyRefused(failed.Unwrap())
}

// everyRefused reports whether each cause of an error is a refusal.
func everyRefused(err error) bool {
	switch e := err.(type) { //nolint:errorlint // this function unwraps by itself, because every branch counts
	case nil:
		return false
	case *pgconn.PgError:
		return e.Code == "57P03" // cannot_connect_now
	case syscall.Errno:
		return e == syscall.ECONNREFUSED || e == syscall.ENOENT // of a socket of Unix
	case interface{ Unwrap() []error }:
		all := e.Unwrap()
		for _, one := range all {
			if !everyRefused(one) {
				return false
			}
		}
		return len(all) > 0
	case interface{ Unwrap() error }:
		return everyRefused(e.Unwrap())
	}
	return false
}

// connectError says in one line, without the password, why no connection opened.
type connectError struct {
	place string
	cause error
}

func (e *connectError) Unwrap() error { return e.cause }

func (e *connectError) Error() string {
	cause := e.cause
	if failed := (*pgconn.ConnectError)(nil); errors.As(cause, &failed) {
		cause = failed.Unwrap() // its own text repeats the place, and has several lines
	}
	var said []string
	for line := range strings.Lines(cause.Error()) {
		if line = strings.TrimSpace(line); line != "" && !slices.Contains(said, line) {
			said = append(said, line)
		}
	}
	text := "connect to PostgreSQL at " + e.place + ": " + strings.Join(said, "; ")
	if hint := hintFor(e.cause); hint != "" {
		text += " (hint: " + hint + ")"
	}
	return text
}

// statementError adds a hint to the server's answer to a statement.
type statementError struct {
	cause error
	hint  string
}

func (e *statementError) Unwrap() error { return e.cause }
func (e *statementError) Error() string { return e.cause.Error() + " (hint: " + e.hint + ")" }

// explain adds a hint to an error, if there is one.
func explain(err error) error {
	if hint := hintFor(err); hint != "" {
		return &statementError{err, hint}
	}
	return err
}

// hints say what the administrator can do about an answer of the server.
var hints = map[string]string{
	"28P01": "write the password of the role into state_password_path",
	"28000": "create the role with LOGIN, allow it in the server's pg_hba.conf, and write its name into state_url",
	"3D000": "create the database, or write the name of an existing one into state_url",
	"42501": "the role needs the right to make its schema: GRANT CREATE, CONNECT ON DATABASE … TO …. An existing schema must belong to it",
	"53100": "the server's disk is full",
	"53300": "the server has no free connection: raise its max_connections",
	"22P05": "make the database with ENCODING 'UTF8'",
	"22021": "make the database with ENCODING 'UTF8'",
}

// hintFor returns what the administrator can do about an error; "": unknown.
func hintFor(err error) string {
	if e := (*pgconn.PgError)(nil); errors.As(err, &e) {
		if e.Code == "28000" && strings.Contains(e.Message, "no encryption") {
			return "the server demands an encrypted connection: add sslmode=verify-full to state_url"
		}
		return hints[e.Code]
	}
	switch {
	case hasNoTLS(err):
		return "the server has no TLS: set ssl = on in its postgresql.conf, or remove sslmode from state_url"
	case isOfTLS(err):
		return "write the path of the certificate authority into state_url: sslrootcert=/etc/ssl/…, and the name in the certificate as the host"
	}
	return ""
}
