package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"notification-stormshield/plugin/sqlite"
)

// The schema of a shared state has the tables of the schema for SQLite. It differs in these ways:
//   - Numbers are BIGINT, and a prefix sorts by its bytes.
//   - A page of the table ban has room for a second version of its rows. No index has the columns written and expires. So a flush that
//     records them for all bans writes no index.
//     https://www.postgresql.org/docs/15/storage-hot.html
//   - Triggers count the tally, and delete the decisions of a ban, once for each statement. A statement may change many thousand rows.
//   - json_each lists an array as SQLite's function of that name does. Each element must be a number or a text.
const (
	postgresTriggers = `
CREATE FUNCTION count_bans() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
	IF TG_OP = 'INSERT' THEN
		UPDATE tally SET enforced = tally.enforced + more.enforced, waiting = tally.waiting + more.waiting FROM (
			SELECT class, COUNT(*) FILTER (WHERE until > 0) AS enforced, COUNT(*) FILTER (WHERE until = 0) AS waiting
			FROM inserted GROUP BY class) AS more WHERE tally.class = more.class;
	ELSIF TG_OP = 'DELETE' THEN
		DELETE FROM decision USING deleted WHERE decision.ban = deleted.id;
		UPDATE tally SET enforced = tally.enforced - less.enforced, waiting = tally.waiting - less.waiting FROM (
			SELECT class, COUNT(*) FILTER (WHERE until > 0) AS enforced, COUNT(*) FILTER (WHERE until = 0) AS waiting
			FROM deleted GROUP BY class) AS less WHERE tally.class = less.class;
	ELSE
		UPDATE tally SET enforced = tally.enforced + changed.enforced, waiting = tally.waiting + changed.waiting FROM (
			SELECT class, SUM(CASE WHEN until > 0 THEN sign ELSE 0 END) AS enforced, SUM(CASE WHEN until = 0 THEN sign ELSE 0 END) AS waiting
			FROM (SELECT class, until, 1 AS sign FROM inserted UNION ALL SELECT class, until, -1 FROM deleted) AS both_sides
			GROUP BY class) AS changed
		WHERE tally.class = changed.class AND (changed.enforced <> 0 OR changed.waiting <> 0);
	END IF;
	RETURN NULL;
END $$;
CREATE TRIGGER ban_inserted AFTER INSERT ON ban REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION count_bans();
CREATE TRIGGER ban_deleted AFTER DELETE ON ban REFERENCING OLD TABLE AS deleted FOR EACH STATEMENT EXECUTE FUNCTION count_bans();
CREATE TRIGGER ban_updated AFTER UPDATE ON ban REFERENCING OLD TABLE AS deleted NEW TABLE AS inserted
	FOR EACH STATEMENT EXECUTE FUNCTION count_bans();
`
	postgresFunctions = `
CREATE FUNCTION json_each(list text) RETURNS TABLE (key bigint, value text) LANGUAGE sql IMMUTABLE AS $$
	SELECT place - 1, element FROM json_array_elements_text(list::json) WITH ORDINALITY AS elements (element, place)
$$;
CREATE TABLE version (number BIGINT NOT NULL);
`
)

// postgresSchema makes the tables in PostgreSQL.
func postgresSchema() string {
	tables, rest, _ := strings.Cut(schema, beginTriggers)
	_, others, _ := strings.Cut(rest, endTriggers)
	changed := strings.NewReplacer(
		"prefix        TEXT", `prefix        TEXT COLLATE "C"`, "INTEGER", "BIGINT", "BLOB", "BYTEA", ") WITHOUT ROWID", ")",
		" REFERENCES ban ON DELETE CASCADE", "",
		"\n);\nCREATE INDEX ban_until", "\n) WITH (fillfactor = 45);\nCREATE INDEX ban_until")
	return changed.Replace(tables) + postgresTriggers + changed.Replace(others) + postgresFunctions +
		fmt.Sprintf("INSERT INTO version VALUES (%d);", version)
}

// prepareShared makes the schema of a shared state, if there is none. If there is one of another version, prepareShared returns an error;
// see [sqlite.CheckVersion]. Two machines may call it at once, because a writer waits for the other ones.
func (l *Ledger) prepareShared(ctx context.Context, name string) error {
	return l.write(ctx, func(tx *sql.Tx) error {
		found, err := sharedVersion(ctx, tx, name)
		if err != nil || found > 0 {
			return errors.Join(err, sqlite.CheckVersion(found, version))
		}
		var exists bool
		if err := tx.QueryRowContext(ctx, "SELECT to_regnamespace(?) IS NOT NULL", name).Scan(&exists); err != nil {
			return err
		}
		text := postgresSchema()
		if !exists { // an administrator may make it for a role that may not
			text = "CREATE SCHEMA " + name + ";\n" + text
		}
		if _, err := tx.ExecContext(ctx, text); err != nil {
			return fmt.Errorf("make the tables: %w", err)
		}
		return nil
	})
}

// sharedVersion returns the version of the schema of a shared state; 0: there is none.
func sharedVersion(ctx context.Context, tx *sql.Tx, name string) (found int, err error) {
	var exists bool
	if err = tx.QueryRowContext(ctx, "SELECT to_regclass(?) IS NOT NULL", name+".version").Scan(&exists); err == nil && exists {
		err = tx.QueryRowContext(ctx, "SELECT number FROM version").Scan(&found)
	}
	return found, err
}
