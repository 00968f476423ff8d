package ledger_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"notification-stormshield/plugin/ledger"
	"notification-stormshield/plugin/plugintest"
	"notification-stormshield/plugin/postgres"
)

// schemas are the names of the schemas that stand for files.
var schemas struct {
	sync.Mutex
	database string
	names    map[string]string
	last     atomic.Int64
}

// databaseAt returns the shared state for which a path stands. All states of a test process are schemas of one database.
func databaseAt(t testing.TB, path string) postgres.Database {
	t.Helper()
	p := plugintest.SharedPostgres(t)
	schemas.Lock()
	defer schemas.Unlock()
	if schemas.names == nil {
		database, err := p.CreateDatabase()
		check(t, err)
		schemas.database, schemas.names = database, map[string]string{}
	}
	name := schemas.names[path]
	d := postgres.Database{URL: p.URL(schemas.database), Name: name}
	if name == "" {
		d.Name = fmt.Sprintf("state%d", schemas.last.Add(1))
		schemas.names[path] = d.Name
		t.Cleanup(func() { check(t, p.Exec(schemas.database, "DROP SCHEMA IF EXISTS "+d.Schema()+" CASCADE")) })
	}
	return d
}

func openShared(t testing.TB, d postgres.Database, machine string) *ledger.Ledger {
	t.Helper()
	l, err := ledger.OpenShared(t.Context(), d, machine)
	check(t, err)
	t.Cleanup(func() { l.Close() })
	return l
}

// onlySQLite skips a test about files or query plans of SQLite, if the tests use PostgreSQL.
func onlySQLite(t *testing.T) {
	if plugintest.TestsPostgres() {
		t.Skip("it is about SQLite")
	}
}

// failAt makes each statement fail that does something to a row.
func failAt(t *testing.T, l *ledger.Ledger, event, when string) {
	t.Helper()
	if l.IsShared() {
		run(t, l, "CREATE OR REPLACE FUNCTION crash() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'crash'; END $$; "+
			"CREATE TRIGGER crash BEFORE "+event+" FOR EACH ROW WHEN ("+when+") EXECUTE FUNCTION crash()")
		return
	}
	run(t, l, "CREATE TRIGGER crash BEFORE "+event+" WHEN "+when+" BEGIN SELECT RAISE(ABORT, 'crash'); END")
}
