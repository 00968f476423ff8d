package postgres

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// closeTimeout bounds how long the end of a connection or the rollback of a transaction waits for the server.
const closeTimeout = 2 * time.Second

// connector opens the connections of a pool.
type connector struct {
	database Database
	config   *pgconn.Config
	readOnly bool
}

// Connect implements driver.Connector.
func (c *connector) Connect(ctx context.Context) (driver.Conn, error) {
	pg, err := pgconn.ConnectConfig(ctx, c.config)
	if err != nil {
		return nil, &connectError{c.database.Place(), err}
	}
	return &conn{pg: pg, connector: c, prepared: map[string]*statement{}}, nil
}

// Driver implements driver.Connector.
func (c *connector) Driver() driver.Driver { return onlyPools{} }

// onlyPools is a driver without addresses, because Database.Pool makes the pools.
type onlyPools struct{}

func (onlyPools) Open(string) (driver.Conn, error) {
	return nil, errors.New("a pool of PostgreSQL comes from Database.Pool")
}

// conn is one connection of a pool.
type conn struct {
	*connector
	pg       *pgconn.PgConn
	used     bool // it has answered before
	outdated bool // its prepared statements are of an older schema
	prepared map[string]*statement
	open     *rows // whose rows the server still sends; nil: none
}

// Prepare implements driver.Conn. It sends nothing: the first execution prepares.
func (c *conn) Prepare(text string) (driver.Stmt, error) { return &stmt{c, text}, nil }

// Begin implements driver.Conn.
func (c *conn) Begin() (driver.Tx, error) { return c.BeginTx(context.Background(), driver.TxOptions{}) }

// Close implements driver.Conn.
func (c *conn) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	return c.pg.Close(ctx)
}

// IsValid implements driver.Validator.
func (c *conn) IsValid() bool { return !c.pg.IsClosed() && !c.outdated && c.pg.TxStatus() == 'I' }

// ResetSession implements driver.SessionResetter.
func (c *conn) ResetSession(context.Context) error {
	if !c.IsValid() {
		return driver.ErrBadConn
	}
	return nil
}

// Ping implements driver.Pinger.
func (c *conn) Ping(ctx context.Context) error {
	_, err := c.ExecContext(ctx, "SELECT 1", nil)
	return c.retry(err)
}

// BeginTx implements driver.ConnBeginTx. A transaction that writes waits for the other ones of the schema. Its snapshots begin after that.
func (c *conn) BeginTx(ctx context.Context, options driver.TxOptions) (driver.Tx, error) {
	text := fmt.Sprintf("BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE; SELECT pg_advisory_xact_lock(%d)", c.database.LockKey("write"))
	if options.ReadOnly || c.readOnly {
		text = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY"
	}
	if options.Isolation != driver.IsolationLevel(sql.LevelDefault) {
		return nil, errors.New("a transaction has no other isolation level than the driver's")
	}
	if _, err := c.runScript(ctx, text); err != nil {
		c.rollBack()
		return nil, c.retry(err)
	}
	return &transaction{c, ctx}, nil
}

// retry lets database/sql try a call again on another connection, if this one was cut while it had no work. Only calls that may run
// twice use it.
func (c *conn) retry(err error) error {
	if err != nil && c.used && c.pg.IsClosed() && IsAway(err) && !errors.Is(err, context.DeadlineExceeded) {
		return driver.ErrBadConn
	}
	return err
}

// QueryContext implements driver.QueryerContext.
func (c *conn) QueryContext(ctx context.Context, text string, arguments []driver.NamedValue) (driver.Rows, error) {
	found, err := c.run(ctx, text, arguments)
	if err == nil {
		return found, nil
	}
	if c.readOnly && c.pg.TxStatus() != 'T' {
		err = c.retry(err)
	}
	return nil, err
}

// ExecContext implements driver.ExecerContext.
func (c *conn) ExecContext(ctx context.Context, text string, arguments []driver.NamedValue) (driver.Result, error) {
	found, err := c.run(ctx, text, arguments)
	if err != nil {
		return nil, err
	}
	if err := found.Close(); err != nil {
		return nil, err
	}
	return driver.RowsAffected(found.changed), nil
}

// runScript runs one or several statements without parameters, as they are. It returns the number of rows that the last one changed.
func (c *conn) runScript(ctx context.Context, text string) (int64, error) {
	if err := c.bufferOpen(); err != nil {
		return 0, err
	}
	results, err := c.pg.Exec(ctx, text).ReadAll()
	if err != nil {
		return 0, c.handleError(err)
	}
	c.used = true
	if len(results) == 0 {
		return 0, nil
	}
	tag := results[len(results)-1].CommandTag
	if text == "COMMIT" && tag.String() != "COMMIT" { // the server rolled back a transaction with an error in it
		return 0, errors.New("PostgreSQL did not commit the transaction, because a statement of it failed")
	}
	return tag.RowsAffected(), nil
}

// handleError adds a hint to an error. It marks the connection if its prepared statements are outdated.
func (c *conn) handleError(err error) error {
	if e := (*pgconn.PgError)(nil); errors.As(err, &e) {
		switch e.Code {
		case "0A000", "26000": // a cached plan of an older table, a prepared statement that a pooler does not know
			c.outdated = true
		}
	}
	return explain(err)
}

// bufferOpen reads the rows that are open into memory, because the connection does one thing at a time.
func (c *conn) bufferOpen() error {
	if c.open == nil {
		return nil
	}
	return c.open.buffer()
}

// rollBack ends a transaction, if there is one.
func (c *conn) rollBack() {
	if c.pg.IsClosed() || c.pg.TxStatus() == 'I' && c.open == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	_, _ = c.runScript(ctx, "ROLLBACK")
}

// transaction implements driver.Tx.
type transaction struct {
	*conn
	ctx context.Context // of its beginning: driver.Tx has none of its own
}

// Commit implements driver.Tx.
func (t *transaction) Commit() error {
	_, err := t.runScript(t.ctx, "COMMIT")
	return err
}

// Rollback implements driver.Tx.
func (t *transaction) Rollback() error {
	t.rollBack()
	return nil // a connection on which it failed is not used again, and the server rolls back
}

// stmt implements driver.Stmt. It is a text only.
type stmt struct {
	*conn
	text string
}

func (s *stmt) Close() error  { return nil }
func (s *stmt) NumInput() int { return -1 } // unknown: the server counts

func (s *stmt) Exec([]driver.Value) (driver.Result, error) { return nil, driver.ErrSkip }
func (s *stmt) Query([]driver.Value) (driver.Rows, error)  { return nil, driver.ErrSkip }

func (s *stmt) ExecContext(ctx context.Context, arguments []driver.NamedValue) (driver.Result, error) {
	return s.conn.ExecContext(ctx, s.text, arguments)
}

func (s *stmt) QueryContext(ctx context.Context, arguments []driver.NamedValue) (driver.Rows, error) {
	return s.conn.QueryContext(ctx, s.text, arguments)
}
