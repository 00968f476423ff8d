package postgres

import (
	"context"
	"database/sql"
	"errors"
)

// Conn is one connection to the database. It never connects again: after a connection is lost, every call fails.
type Conn struct {
	*sql.Conn
	pool *sql.DB
}

// Connect opens one connection, for a lock that lasts as long as the connection. Both ends notice within 15 s that the other one vanished.
// When the context of a call ends first, the connection closes.
func (d Database) Connect(ctx context.Context) (*Conn, error) {
	pool, err := d.Pool(1, false)
	if err != nil {
		return nil, err
	}
	pool.SetConnMaxLifetime(0)
	pool.SetConnMaxIdleTime(0)
	one, err := pool.Conn(ctx)
	if err != nil {
		return nil, errors.Join(err, pool.Close())
	}
	return &Conn{one, pool}, nil
}

// Close closes the connection. The server then frees its locks.
func (c *Conn) Close() error { return errors.Join(c.Conn.Close(), c.pool.Close()) }
