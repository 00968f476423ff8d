package postgres_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"notification-stormshield/plugin/plugintest"
	"notification-stormshield/plugin/postgres"
)

// newDatabase returns a database of the test, with its schema.
func newDatabase(t *testing.T) postgres.Database {
	t.Helper()
	needsPostgres(t)
	d := postgres.Database{URL: plugintest.NewDatabase(t), Name: "stormshield_default"}
	exec(t, newPool(t, d, 1, false), "CREATE SCHEMA "+d.Schema()+"; CREATE TABLE ban (id BIGINT PRIMARY KEY, prefix TEXT, uuid BYTEA)")
	return d
}

func needsPostgres(t *testing.T) {
	t.Helper()
	if !plugintest.TestsPostgres() {
		t.Skip("make test-postgres runs this test: it needs PostgreSQL")
	}
}

func newPool(t *testing.T, d postgres.Database, most int, readOnly bool) *sql.DB {
	t.Helper()
	pool, err := d.Pool(most, readOnly)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pool.Close() })
	return pool
}

// runner is a pool, a connection or a transaction.
type runner interface {
	ExecContext(ctx context.Context, text string, parameters ...any) (sql.Result, error)
	QueryRowContext(ctx context.Context, text string, parameters ...any) *sql.Row
	QueryContext(ctx context.Context, text string, parameters ...any) (*sql.Rows, error)
}

func exec(t *testing.T, on runner, text string, parameters ...any) {
	t.Helper()
	if _, err := on.ExecContext(t.Context(), text, parameters...); err != nil {
		t.Fatal(err)
	}
}

func get[T any](t *testing.T, on runner, text string, parameters ...any) (value T) {
	t.Helper()
	if err := on.QueryRowContext(t.Context(), text, parameters...).Scan(&value); err != nil {
		t.Fatal(err)
	}
	return value
}

func begin(t *testing.T, pool *sql.DB, readOnly bool) *sql.Tx {
	t.Helper()
	tx, err := pool.BeginTx(t.Context(), &sql.TxOptions{ReadOnly: readOnly})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.Rollback() })
	return tx
}

func TestAPoolRunsStatementsInSQLitesForm(t *testing.T) {
	pool := newPool(t, newDatabase(t), 2, false)
	tx := begin(t, pool, false)
	insert, err := tx.PrepareContext(t.Context(), "INSERT INTO ban VALUES (?, ?, ?), (?1 + 100, NULL, ?3)")
	if err != nil {
		t.Fatal(err)
	}
	defer insert.Close()
	for i := range 3 {
		result, err := insert.ExecContext(t.Context(), i, "a?\x00b", []byte{1, 0, byte(i)})
		if err != nil {
			t.Fatal(err)
		}
		if n, err := result.RowsAffected(); n != 2 || err != nil {
			t.Errorf("%d rows, %v", n, err)
		}
	}
	rows, err := tx.QueryContext(t.Context(), "SELECT id, prefix, uuid FROM ban WHERE id >= MAX(?2, ?1) ORDER BY id", 0, 2)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var seen []string
	for rows.Next() {
		var id int64
		var prefix sql.NullString
		var uuid []byte
		if err := rows.Scan(&id, &prefix, &uuid); err != nil {
			t.Fatal(err)
		}
		// Another statement runs while the rows are open.
		if sum := get[int64](t, tx, "SELECT SUM(id) FROM ban"); sum != 306 {
			t.Errorf("the sum is %d", sum)
		}
		seen = append(seen, fmt.Sprintf("%d %q %v %x", id, prefix.String, prefix.Valid, uuid))
	}
	want := []string{`2 "a?�b" true 010002`, `100 "" false 010000`, `101 "" false 010001`, `102 "" false 010002`}
	if err := errors.Join(rows.Err(), tx.Commit()); err != nil || !slices.Equal(seen, want) {
		t.Errorf("%q, error %v", seen, err)
	}
	if n := get[int](t, pool, "SELECT COUNT(*) FROM ban"); n != 6 {
		t.Errorf("%d rows are stored", n)
	}
}

func TestEachValueComesBackAsItIs(t *testing.T) {
	pool := newPool(t, newDatabase(t), 1, false)
	for range 2 { // the second time with a prepared statement
		for _, n := range []int64{0, -1, math.MaxInt64, math.MinInt64} {
			if got := get[int64](t, pool, "SELECT ?", n); got != n {
				t.Errorf("%d becomes %d", n, got)
			}
		}
		for _, text := range []string{"", "'", "203.0.113.7/32", "ü\n\\", strings.Repeat("x", 5<<20)} {
			if got := get[string](t, pool, "SELECT ?", text); got != text {
				t.Errorf("a text of %d bytes becomes one of %d", len(text), len(got))
			}
		}
		for _, bytes := range [][]byte{{}, {0}, []byte(`\x00`)} {
			if got := get[[]byte](t, pool, "SELECT ?", bytes); got == nil || string(got) != string(bytes) {
				t.Errorf("%x becomes %#v", bytes, got)
			}
		}
		if !get[bool](t, pool, "SELECT ? AND NOT ?", true, false) || get[float64](t, pool, "SELECT ?", 0.1) != 0.1 {
			t.Error("a truth or a fraction changed")
		}
		if got := get[sql.NullInt64](t, pool, "SELECT ? + 1", sql.NullInt64{}); got.Valid {
			t.Errorf("NULL becomes %v", got)
		}
	}
	var count, last int64
	rows, err := pool.QueryContext(t.Context(), "SELECT generate_series(1, ?)", 100_000)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := rows.Scan(&last); err != nil {
			t.Fatal(err)
		}
		count++
	}
	if rows.Err() != nil || count != 100_000 || last != count {
		t.Errorf("%d rows, the last is %d: %v", count, last, rows.Err())
	}
}

func TestAStatementIsPreparedOnceForEachSetOfTypes(t *testing.T) {
	pool := newPool(t, newDatabase(t), 1, false)
	count := func() int {
		return get[int](t, pool, "SELECT COUNT(*) FROM pg_prepared_statements WHERE statement LIKE 'SELECT $1 IS NOT NULL%'")
	}
	for i := range 3 {
		get[bool](t, pool, "SELECT ? IS NOT NULL", i)
		get[bool](t, pool, "SELECT ? IS NOT NULL", "text")
	}
	if n := count(); n != 2 {
		t.Errorf("%d statements are prepared", n)
	}
	for i := range 300 {
		get[bool](t, pool, fmt.Sprintf("SELECT ? IS NOT NULL -- %d", i), 1)
	}
	if n := count(); n > 200 || n < 100 {
		t.Errorf("%d statements are prepared", n)
	}
	// A statement that fails does no harm to the next ones.
	for range 3 {
		if _, err := pool.ExecContext(t.Context(), "SELECT 1 / ?", 0); err == nil || !strings.Contains(err.Error(), "division by zero") {
			t.Error(err)
		}
		if _, err := pool.ExecContext(t.Context(), "SELECT FROM WHERE ?", 0); err == nil || !strings.Contains(err.Error(), "syntax error") {
			t.Error(err)
		}
	}
	if got := get[int](t, pool, "SELECT 6 / ?", 2); got != 3 {
		t.Errorf("6 / 2 is %d", got)
	}
	if _, err := pool.ExecContext(t.Context(), "SELECT ?, ?", 1); err == nil || !strings.Contains(err.Error(), "2 parameters, and 1 values") {
		t.Error(err)
	}
}

func TestATableThatChangedCostsOneError(t *testing.T) {
	pool := newPool(t, newDatabase(t), 1, false)
	other := newPoolLike(t, pool)
	read := func() error {
		rows, err := pool.QueryContext(t.Context(), "SELECT * FROM ban")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			continue
		}
		return rows.Err()
	}
	if err := read(); err != nil {
		t.Fatal(err)
	}
	exec(t, other, "ALTER TABLE ban ADD COLUMN later BIGINT")
	_ = read()
	if err := read(); err != nil {
		t.Error(err)
	}
}

// newPoolLike returns a pool of the same database, with connections of its own.
func newPoolLike(t *testing.T, pool *sql.DB) *sql.DB {
	t.Helper()
	name := get[string](t, pool, "SELECT current_database()")
	return newPool(t, postgres.Database{URL: plugintest.SharedPostgres(t).URL(name), Name: "stormshield_default"}, 1, false)
}

func TestAPoolForReadingCannotWrite(t *testing.T) {
	pool := newPool(t, newDatabase(t), 2, true)
	for _, on := range []runner{pool, begin(t, pool, false)} {
		if _, err := on.ExecContext(t.Context(), "INSERT INTO ban (id) VALUES (1)"); err == nil || !strings.Contains(err.Error(), "read-only") {
			t.Errorf("the error is %v", err)
		}
	}
}

func TestASessionHasTheSettings(t *testing.T) {
	d := newDatabase(t)
	for name, c := range map[string]struct {
		pool *sql.DB
		want map[string]string
	}{
		"TCP": {newPool(t, d, 1, false), map[string]string{
			"application_name": "crowdsec-stormshield", "search_path": d.Schema(), "tcp_keepalives_idle": "5", "tcp_keepalives_interval": "5",
			"tcp_keepalives_count": "2", "tcp_user_timeout": "15000", "idle_in_transaction_session_timeout": "1min", "lock_timeout": "30s",
			"default_transaction_read_only": "off",
		}},
		"the URL sets some": {newPool(t, withOptions(d, "&application_name=other&lock_timeout=7s&tcp_keepalives_idle=60"), 1, true),
			map[string]string{
				"application_name": "other", "lock_timeout": "7s", "tcp_keepalives_idle": "60", "tcp_keepalives_count": "2",
				"default_transaction_read_only": "on", "search_path": d.Schema(),
			}},
	} {
		for setting, want := range c.want {
			if got := get[string](t, c.pool, "SELECT current_setting(?)", setting); got != want {
				t.Errorf("%s: %s is %q, want %q", name, setting, got, want)
			}
		}
	}
	name := get[string](t, newPool(t, d, 1, true), "SELECT current_database()")
	socket := newPool(t, postgres.Database{URL: plugintest.SharedPostgres(t).SocketURL(name), Name: d.Name}, 1, false)
	if got := get[string](t, socket, "SELECT COALESCE(host(inet_client_addr()), '') || current_setting('search_path')"); got != d.Schema() {
		t.Errorf("over the socket: %q", got)
	}
}

func withOptions(d postgres.Database, options string) postgres.Database {
	d.URL += options
	return d
}

func TestALoginThatFailsHasAHint(t *testing.T) {
	d := newDatabase(t)
	p := plugintest.SharedPostgres(t)
	name := get[string](t, newPool(t, d, 1, true), "SELECT current_database()")
	if err := p.Exec("postgres", "CREATE ROLE with_password LOGIN PASSWORD 'right'"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Exec("postgres", "DROP ROLE with_password"); err != nil {
			t.Error(err)
		}
	})
	missing := d
	missing.URL = p.URL("missing")
	encrypted := d
	encrypted.URL = strings.Replace(d.URL, "sslmode=disable", "sslmode=require", 1)
	login := func(password string) postgres.Database {
		return postgres.Database{URL: p.URLFor("with_password", name), Password: password, Name: "of_the_role"}
	}
	for hint, d := range map[string]postgres.Database{
		"state_password_path": login("wrong-password"), "create the database": missing, "ssl = on": encrypted,
	} {
		connection, err := d.Connect(t.Context())
		if err == nil {
			t.Fatal("connected", connection.Close())
		}
		if text := err.Error(); !strings.Contains(text, "(hint: ") || !strings.Contains(text, hint) || strings.Contains(text, "wrong-password") ||
			postgres.IsAway(err) || postgres.IsRefused(err) {
			t.Errorf("the error is %v; away %v", err, postgres.IsAway(err))
		}
	}
	pool := newPool(t, login("right"), 1, false)
	_, err := pool.ExecContext(t.Context(), "CREATE SCHEMA "+login("").Schema())
	if err == nil || !strings.Contains(err.Error(), "GRANT CREATE") || postgres.IsAway(err) {
		t.Errorf("a role without the right: %v", err)
	}
}

func TestALockLastsAsLongAsItsConnection(t *testing.T) {
	d := newDatabase(t)
	connect := func() *postgres.Conn {
		connection, err := d.Connect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = connection.Close() })
		return connection
	}
	first, second := connect(), connect()
	try := func(c *postgres.Conn) bool {
		return get[bool](t, c, "SELECT pg_try_advisory_lock(?)", d.LockKey("lease"))
	}
	if !try(first) || try(second) {
		t.Fatal("not one connection has the lock")
	}
	begin(t, newPool(t, d, 1, false), false) // the lock of writers is another one
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "the lock is free", func() bool { return try(second) })
	pid := get[int](t, second, "SELECT pg_backend_pid()")
	exec(t, newPool(t, d, 1, false), "SELECT pg_terminate_backend(?::int)", pid)
	for range 2 { // it does not connect again
		waitUntil(t, "the connection is lost", func() bool {
			_, err := second.ExecContext(t.Context(), "SELECT 1")
			if err != nil && !postgres.IsAway(err) {
				t.Errorf("the error is %v", err)
			}
			return err != nil
		})
	}
}
