package postgres_test

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"notification-stormshield/plugin/plugintest"
	"notification-stormshield/plugin/postgres"
)

// outages is a server of its own, with a table, and the pools of one process.
type outages struct {
	*plugintest.Postgres
	pool, reader *sql.DB
}

// The steps share one server and one pair of pools, because each step must leave them usable.
func TestAPoolCanBeUsedAgainAfterEachOutage(t *testing.T) {
	needsPostgres(t)
	p := plugintest.StartPostgres(t)
	name, err := p.CreateDatabase()
	check(t, err)
	d := postgres.Database{URL: p.URL(name), Name: "paris"}
	o := &outages{p, newPool(t, d, 2, false), newPool(t, d, 2, true)}
	exec(t, o.pool, "CREATE SCHEMA "+d.Schema()+"; CREATE TABLE ban (id BIGINT PRIMARY KEY)")
	check(t, o.add(t, 1))
	check(t, p.Backup("one"))
	for _, step := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"a restart costs no error", o.restart},
		{"a crash undoes a transaction", o.crash},
		{"a silent server costs the deadline", o.silence},
		{"a standby cannot write", o.standby},
	} {
		t.Run(step.name, step.run)
	}
}

// add adds a row in a transaction.
func (o *outages) add(t *testing.T, id int) error {
	tx, err := o.pool.BeginTx(t.Context(), nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if _, err = tx.ExecContext(t.Context(), "INSERT INTO ban VALUES (?)", id); err != nil {
		return err
	}
	return tx.Commit()
}

// checkRows fails the test unless the table has so many rows.
func (o *outages) checkRows(t *testing.T, when string, want int) {
	t.Helper()
	if got := get[int](t, o.reader, "SELECT COUNT(*) FROM ban"); got != want {
		t.Errorf("%d rows %s, want %d", got, when, want)
	}
}

// The driver may send the first message of a transaction twice.
func (o *outages) restart(t *testing.T) {
	check(t, o.Stop())
	if err := o.add(t, 2); !postgres.IsRefused(err) || !postgres.IsAway(err) {
		t.Errorf("while it is stopped: %v", err)
	}
	check(t, o.Start())
	check(t, o.add(t, 2))
	o.checkRows(t, "after a restart", 2)
	check(t, o.Stop())
	check(t, o.Start())
	o.checkRows(t, "after another restart", 2)
}

func (o *outages) crash(t *testing.T) {
	tx := begin(t, o.pool, false)
	exec(t, tx, "INSERT INTO ban VALUES (3)")
	check(t, o.Kill())
	if err := tx.Commit(); !postgres.IsAway(err) || postgres.IsRefused(err) {
		t.Errorf("a crash before the commit: %v", err)
	}
	check(t, o.Start())
	check(t, o.add(t, 4))
	o.checkRows(t, "after a crash", 3)
}

func (o *outages) silence(t *testing.T) {
	check(t, o.Suspend())
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := o.pool.BeginTx(ctx, nil); !postgres.IsAway(err) || postgres.IsRefused(err) {
		t.Errorf("a silent server: %v", err)
	}
	check(t, o.Resume())
	check(t, o.add(t, 5))
}

// From the backup, the server begins as a standby.
func (o *outages) standby(t *testing.T) {
	check(t, os.WriteFile(filepath.Join(o.BackupFolder("one"), "standby.signal"), nil, 0o644))
	check(t, o.Restore("one"))
	if err := o.add(t, 6); !postgres.IsAway(err) || !strings.Contains(err.Error(), "standby") {
		t.Errorf("a standby: %v", err)
	}
	o.checkRows(t, "in the backup", 1)
	check(t, o.Exec("postgres", "SELECT pg_promote()"))
	check(t, o.add(t, 6))
	o.checkRows(t, "after the standby became the server", 2)
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
