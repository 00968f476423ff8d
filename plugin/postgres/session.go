package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sys/unix"
)

const (
	// connectTimeout bounds the search of an address, the connection and the login, for each address.
	connectTimeout = 5 * time.Second

	// A peer that vanished is noticed after keepAlive plus 2 times keepAlive while nothing is sent, and after userTimeout while
	// something is.
	keepAlive   = 5 * time.Second
	probes      = 2
	userTimeout = 10 * time.Second
)

// newDialer makes a dialer whose connections notice a peer that vanished.
func newDialer() *net.Dialer {
	return &net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: keepAlive, Interval: keepAlive, Count: probes},
		Control: func(network, _ string, connection syscall.RawConn) error {
			if !strings.HasPrefix(network, "tcp") {
				return nil
			}
			var failed error
			err := connection.Control(func(fd uintptr) {
				failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(userTimeout.Milliseconds()))
			})
			return errors.Join(err, failed)
		},
	}
}

// settings are the settings of each session, unless the URL sets them. They are set by SET, and not at the start of the connection,
// because PgBouncer refuses a start with settings that it does not know. A socket of Unix ignores those of TCP.
// https://www.postgresql.org/docs/15/runtime-config-connection.html
var settings = []struct{ name, value string }{
	{"application_name", "crowdsec-stormshield"},
	{"client_encoding", "UTF8"},
	{"standard_conforming_strings", "on"}, // translate reads strings so
	{"bytea_output", "hex"},               // rows read it so
	{"tcp_keepalives_idle", "5"},
	{"tcp_keepalives_interval", "5"},
	{"tcp_keepalives_count", "2"},
	{"tcp_user_timeout", "15000"},
	{"idle_in_transaction_session_timeout", "60000"}, // a machine that hangs does not keep the lock of all writers
	{"lock_timeout", "30000"},
	{"jit", "off"}, // it takes longer than our statements

	// Most statements find their rows by an index. While a table grows fast, PostgreSQL has no statistics of it, and would read it whole.
	// https://www.postgresql.org/docs/15/runtime-config-query.html
	{"enable_seqscan", "off"},
}

// writerSettings are those of a session that writes. Its statements change few rows of a large table.
var writerSettings = []string{"enable_hashjoin", "enable_mergejoin"}

// sessionText returns the text that prepares a session.
func (d Database) sessionText(config *pgconn.Config, readOnly bool) string {
	var text strings.Builder
	set := func(name, value string) {
		if _, isSet := config.RuntimeParams[name]; !isSet {
			fmt.Fprintf(&text, "SET %s = %s; ", name, value)
		}
	}
	for _, s := range settings {
		set(s.name, "'"+s.value+"'")
	}
	set("search_path", d.Schema())
	if readOnly {
		fmt.Fprint(&text, "SET default_transaction_read_only = on; ")
	} else {
		for _, name := range writerSettings {
			set(name, "off")
		}
		fmt.Fprint(&text, "SELECT pg_is_in_recovery()")
	}
	return text.String()
}

// prepareSession prepares a session in one round trip. It fails on a standby, which cannot write.
func prepareSession(ctx context.Context, pg *pgconn.PgConn, text string) error {
	results, err := pg.Exec(ctx, text).ReadAll()
	if err != nil {
		return err
	}
	if last := results[len(results)-1]; len(last.Rows) == 1 && string(last.Rows[0][0]) == "t" {
		return errStandby
	}
	return nil
}
