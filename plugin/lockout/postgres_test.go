package lockout_test

import (
	"sync"
	"testing"
	"time"

	"notification-stormshield/plugin/lockout"
	"notification-stormshield/plugin/plugintest"
	"notification-stormshield/plugin/postgres"
)

func TestMachinesShareAHoldOffInPostgreSQL(t *testing.T) {
	if !plugintest.TestsPostgres() {
		t.Skip("this test needs PostgreSQL: make test-postgres runs it")
	}
	database := postgres.Database{URL: plugintest.NewDatabase(t), Name: "test"}
	db, err := database.Pool(4, false)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	h := openShared(t, db)
	for range 2 { // the ledger makes the schema
		h.wantActive("without a table", h.Shared, "wrong", start, false)
		if err := h.RecordSuccess("wrong"); err != nil {
			t.Error(err)
		}
		if _, err := db.Exec("CREATE SCHEMA IF NOT EXISTS " + database.Schema()); err != nil {
			t.Fatal(err)
		}
	}
	var machines sync.WaitGroup
	for range 8 { // the first ones make the table at once
		one := lockout.NewShared(open(t), db)
		machines.Go(func() {
			if _, err := one.RecordFailure("wrong", lockout.Failure{Reason: "AUTH_FAILED"}, start); err != nil {
				t.Error(err)
			}
		})
	}
	machines.Wait()
	want(t, "failures in a row", h.fail(h.other, "wrong", start).Failures, 9)
	h.wantActive("a machine that did not fail", h.Shared, "wrong", start.Add(23*time.Hour), true)
	if err := h.other.RecordSuccess("wrong"); err != nil {
		t.Fatal(err)
	}
	h.wantActive("after a success", h.Shared, "wrong", start.Add(23*time.Hour), false)
	readOnly, err := database.Pool(1, true)
	if err != nil {
		t.Fatal(err)
	}
	defer readOnly.Close()
	reader := lockout.NewShared(open(t), readOnly)
	h.fail(h.Shared, "wrong", start)
	if _, active, err := reader.CurrentReadOnly("wrong", start); !active || err != nil {
		t.Errorf("a reader: %t, %v", active, err)
	}
}
