package postgres_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"
	"time"

	"notification-stormshield/plugin/postgres"
)

func TestTransactionsThatWriteWaitForEachOther(t *testing.T) {
	d := newDatabase(t)
	first := begin(t, newPool(t, d, 1, false), false)
	exec(t, first, "INSERT INTO ban (id) VALUES (1)")

	other := d
	other.Name = "another"
	begin(t, newPool(t, other, 1, false), false) // another configuration does not wait
	reader := begin(t, newPool(t, d, 1, false), true)
	if n := get[int](t, reader, "SELECT COUNT(*) FROM ban"); n != 0 {
		t.Errorf("a reader sees %d rows that are not committed", n)
	}

	second, counted := newPool(t, d, 1, false), make(chan int)
	go func() {
		defer close(counted)
		tx, err := second.BeginTx(t.Context(), nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = tx.Rollback() }()
		n := -1
		if err := tx.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM ban").Scan(&n); err != nil {
			t.Error(err)
		}
		counted <- n
	}()
	observer := newPool(t, d, 1, true)
	waitUntil(t, "the second transaction waits", func() bool {
		return get[int](t, observer, "SELECT COUNT(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())") == 1
	})
	if err := first.Commit(); err != nil {
		t.Fatal(err)
	}
	if n := <-counted; n != 1 {
		t.Errorf("the second transaction sees %d rows of the first one", n)
	}
	if n := get[int](t, reader, "SELECT COUNT(*) FROM ban"); n != 0 {
		t.Errorf("the reader's snapshot changed: %d rows", n)
	}
}

func waitUntil(t *testing.T, what string, isTrue func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !isTrue(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after 30 s it is not true that %s", what)
		}
	}
}

func TestAWaitForTheWriteLockEndsWithItsContext(t *testing.T) {
	d := newDatabase(t)
	first := begin(t, newPool(t, d, 1, false), false)
	second := newPool(t, d, 1, false)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := second.BeginTx(ctx, nil); !errors.Is(err, context.DeadlineExceeded) || !postgres.IsAway(err) {
		t.Errorf("the error is %v", err)
	}
	if err := first.Rollback(); err != nil {
		t.Fatal(err)
	}
	exec(t, begin(t, second, false), "INSERT INTO ban (id) VALUES (1)")
}

func TestTheServerEndsAWaitForTheWriteLock(t *testing.T) {
	d := newDatabase(t)
	begin(t, newPool(t, d, 1, false), false)
	d.URL += "&lock_timeout=20"
	second := newPool(t, d, 1, false)
	for range 2 {
		if _, err := second.BeginTx(t.Context(), nil); !postgres.IsAway(err) || !strings.Contains(err.Error(), "lock timeout") {
			t.Errorf("the error is %v", err)
		}
	}
	if n := get[int](t, second, "SELECT 1"); n != 1 {
		t.Error("the connection is not usable afterwards")
	}
}

func TestCommitFailsAfterAStatementThatFailed(t *testing.T) {
	pool := newPool(t, newDatabase(t), 1, false)
	tx := begin(t, pool, false)
	exec(t, tx, "INSERT INTO ban (id) VALUES (1)")
	if _, err := tx.ExecContext(t.Context(), "INSERT INTO ban (id) VALUES (1)"); err == nil || postgres.IsAway(err) {
		t.Errorf("the error of the statement is %v", err)
	}
	if err := tx.Commit(); err == nil {
		t.Error("the transaction is committed")
	}
	if n := get[int](t, pool, "SELECT COUNT(*) FROM ban"); n != 0 {
		t.Errorf("%d rows are stored", n)
	}
	exec(t, begin(t, pool, false), "INSERT INTO ban (id) VALUES (1)")
}

func TestACancelledTransactionIsRolledBack(t *testing.T) {
	pool := newPool(t, newDatabase(t), 1, false)
	ctx, cancel := context.WithCancel(t.Context())
	tx, err := pool.BeginTx(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	exec(t, tx, "INSERT INTO ban (id) VALUES (1)")
	cancel()
	if err := tx.Commit(); !errors.Is(err, context.Canceled) && !errors.Is(err, sql.ErrTxDone) || postgres.IsAway(err) {
		t.Errorf("the error is %v", err)
	}
	if n := get[int](t, begin(t, pool, false), "SELECT COUNT(*) FROM ban"); n != 0 {
		t.Errorf("%d rows are stored", n)
	}
}
