// Package postgres connects to the PostgreSQL database that several CrowdSec machines share. Its main type is [Database].
//
// A pool ([Database.Pool]) is a *sql.DB whose driver accepts statements in SQLite's form, so that the ledger has each statement once.
// A connection of its own ([Database.Connect]) is for a lock that lasts as long as the connection.
//
// The package knows no tables and decides nothing. [IsAway] reports whether the database cannot be used now, and [IsRefused] whether no
// server runs there. Any other error comes from a mistake in the configuration. No error holds the password.
//
// # What the driver translates
//
//   - A parameter `?` or `?2` becomes `$n`. Its type is that of the Go value: int64 is bigint, string is text, []byte is bytea, bool is
//     boolean, float64 is double precision. nil has the type that PostgreSQL infers.
//   - MIN and MAX with several arguments become LEAST and GREATEST. These ignore NULL; in SQLite the result is NULL.
//   - PostgreSQL stores no NUL and no invalid UTF-8 in a text. The driver replaces both with U+FFFD.
//   - A numeric result, such as SUM of a bigint, is an int64 if it is an integer.
//   - Several statements in one text run as they are. They have no parameters.
//
// A transaction that writes waits for all other ones of the same schema: BEGIN and the lock are one round trip. A read-only transaction
// sees one snapshot. A statement is prepared with its first execution, in the same round trip. A new statement may run while the rows of
// another one are open: the driver then reads these into memory.
package postgres

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// Database is a schema in a database. Several machines with the same URL and the same Name share it.
type Database struct {
	URL      string // such as postgres://crowdsec@db.example:5432/crowdsec?sslmode=verify-full, without a password
	Password string // "": none, or one of the files that libpq reads
	Name     string // of the configuration
}

const (
	// longestIdentifier is PostgreSQL's limit for a name, in bytes (NAMEDATALEN - 1). It cuts longer ones without an error.
	longestIdentifier = 63

	schemaPrefix = "stormshield_"

	// maxIdle is how long a connection without work stays open.
	maxIdle = 5 * time.Minute

	// maxAge bounds the age of a connection, so that a changed address or certificate comes into use.
	maxAge = time.Hour
)

// Schema returns the name of the schema. It has lower-case letters, digits and underscores only, so SQL needs no quotes around it.
func (d Database) Schema() string {
	safe := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToLower(d.Name))
	if safe == d.Name && len(schemaPrefix+safe) <= longestIdentifier {
		return schemaPrefix + safe
	}
	// Two names that differ have schemas that differ.
	sum := sha256.Sum256([]byte(d.Name))
	suffix := "_" + hex.EncodeToString(sum[:4])
	return schemaPrefix + safe[:min(len(safe), longestIdentifier-len(schemaPrefix+suffix))] + suffix
}

// LockKey returns the key of the advisory lock for a purpose. Other schemas and other programs have other keys.
func (d Database) LockKey(purpose string) int64 {
	sum := sha256.Sum256([]byte("crowdsec-stormshield\x00" + d.Schema() + "\x00" + purpose))
	return int64(binary.BigEndian.Uint64(sum[:8]))
}

// Place names the database and the schema in messages. It has no password.
func (d Database) Place() string {
	at, err := url.Parse(d.URL)
	if err != nil {
		return "PostgreSQL, schema " + d.Schema()
	}
	host, query := at.Host, at.Query()
	if named := query.Get("host"); named != "" {
		host = named
		if port := query.Get("port"); port != "" {
			host += ":" + port
		}
	}
	if at.User.Username() != "" {
		host = at.User.Username() + "@" + host
	}
	return fmt.Sprintf("%s/%s schema %s", host, strings.TrimPrefix(at.Path, "/"), d.Schema())
}

// Pool makes a pool of connections, at most so many. It opens none. On a pool that is for reading alone, PostgreSQL refuses to write.
func (d Database) Pool(most int, readOnly bool) (*sql.DB, error) {
	config, err := d.config(readOnly)
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(&connector{database: d, config: config, readOnly: readOnly})
	db.SetMaxOpenConns(most)
	db.SetMaxIdleConns(most)
	db.SetConnMaxIdleTime(maxIdle)
	db.SetConnMaxLifetime(maxAge)
	return db, nil
}

// config returns the settings of a connection.
func (d Database) config(readOnly bool) (*pgconn.Config, error) {
	config, err := pgconn.ParseConfig(d.URL)
	if err != nil {
		return nil, fmt.Errorf("read the address of the database: %w", err)
	}
	if d.Password != "" {
		config.Password = d.Password
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	dialer := newDialer()
	config.DialFunc = dialer.DialContext
	config.LookupFunc = func(ctx context.Context, host string) ([]string, error) {
		ctx, cancel := context.WithTimeout(ctx, config.ConnectTimeout)
		defer cancel()
		return net.DefaultResolver.LookupHost(ctx, host)
	}
	// ValidateConnect runs for each host of the URL in turn. So a standby makes pgconn try the next host.
	text, isRight := d.sessionText(config, readOnly), config.ValidateConnect
	config.ValidateConnect = func(ctx context.Context, pg *pgconn.PgConn) error {
		if isRight != nil {
			if err := isRight(ctx, pg); err != nil {
				return err
			}
		}
		return prepareSession(ctx, pg, text)
	}
	return config, nil
}
