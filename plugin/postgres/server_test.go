package postgres_test

import (
	"context"
	"errors"
	"testing"

	"notification-stormshield/plugin/plugintest"
	"notification-stormshield/plugin/postgres"
)

// open returns a database of the test, and a pool of it that writes.
func newDatabase(t *testing.T) postgres.Database {
	t.Helper()
	if !plugintest.TestsPostgres() {
		t.Skip("this test needs PostgreSQL: make test-postgres runs it")
	}
	return postgres.Database{URL: plugintest.NewDatabase(t), Name: "stormshield_default"}
}

func TestAPoolRunsStatementsInSQLitesForm(t *testing.T) {
	d := newDatabase(t)
	pool, err := d.Pool(2, false)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	ctx := context.Background()
	if _, err := pool.ExecContext(ctx, "CREATE SCHEMA "+d.Schema()+"; CREATE TABLE ban (id BIGINT PRIMARY KEY, prefix TEXT, uuid BYTEA)"); err != nil {
		t.Fatal(err)
	}
	tx, err := pool.BeginTx(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		result, err := tx.ExecContext(ctx, "INSERT INTO ban VALUES (?, ?, ?)", i, "a?\x00b", []byte{1, 0, byte(i)})
		if err != nil {
			t.Fatal(err)
		}
		if n, _ := result.RowsAffected(); n != 1 {
			t.Errorf("%d rows", n)
		}
	}
	rows, err := tx.QueryContext(ctx, "SELECT id, prefix, uuid FROM ban WHERE id >= MAX(?2, ?1) ORDER BY id", 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var seen []int64
	for rows.Next() {
		var id, sum int64
		var prefix string
		var uuid []byte
		if err := rows.Scan(&id, &prefix, &uuid); err != nil {
			t.Fatal(err)
		}
		if err := tx.QueryRowContext(ctx, "SELECT SUM(id) FROM ban").Scan(&sum); err != nil || sum != 3 {
			t.Fatal(sum, err)
		}
		if prefix != "a?\uFFFDb" || len(uuid) != 3 || int64(uuid[2]) != id {
			t.Errorf("%q %x", prefix, uuid)
		}
		seen = append(seen, id)
	}
	if err := errors.Join(rows.Err(), tx.Commit()); err != nil || len(seen) != 2 {
		t.Fatal(seen, err)
	}
}
