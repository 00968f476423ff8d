package outbox

import (
	"context"
	"database/sql"
	"fmt"

	"notification-stormshield/plugin/sqlite"
)

// version is the version of the schema. SQLite keeps it as user_version.
const version = 2

// schema makes the tables. Times are milliseconds since 1970; 0 is none. No statement updates a message, because SQLite would write
// its decisions again. The numbers of messages change in [Outbox.Align] alone.
const schema = `
CREATE TABLE message (
	number    INTEGER PRIMARY KEY,
	at        INTEGER NOT NULL, -- when it was added
	decisions INTEGER NOT NULL, -- how many it has
	total     INTEGER NOT NULL, -- how many it has, and all messages before it since the file was empty
	text      BLOB NOT NULL     -- the decisions, as JSON
);
CREATE TABLE attempted (
	number INTEGER PRIMARY KEY -- of a message that waits, and whose decisions this machine may have blocked
);
CREATE TABLE block_attempt (
	prefix TEXT PRIMARY KEY,
	at     INTEGER NOT NULL -- when this machine last began to block it
) WITHOUT ROWID;
CREATE INDEX block_attempt_at ON block_attempt (at);
CREATE TABLE forwarding (
	last INTEGER PRIMARY KEY, -- the messages up to this number …
	at   INTEGER NOT NULL     -- … were forwarded by this time
);
CREATE TABLE state (
	forwarded  INTEGER NOT NULL DEFAULT 0, -- the last message that was forwarded
	reached    INTEGER NOT NULL DEFAULT 0, -- the highest number that was ever forwarded
	resent     INTEGER NOT NULL DEFAULT 0, -- when forwarded messages last began to wait again
	beat       INTEGER NOT NULL DEFAULT 0, -- the last beat that the shared state counted
	restored   INTEGER NOT NULL DEFAULT 0, -- when this machine noticed that the shared state came from a backup; 0: see Contact.Restored
	away_since INTEGER NOT NULL DEFAULT 0, -- since when the database cannot be used; 0: it can
	away_cause TEXT NOT NULL DEFAULT '',    -- why
	alone      INTEGER NOT NULL DEFAULT 0   -- 1: this machine goes on without the database
);
INSERT INTO state DEFAULT VALUES;
`

// prepare makes the tables of a new file. If the file has another version, prepare returns an error; see [sqlite.CheckVersion].
func (o *Outbox) prepare(ctx context.Context) error {
	return o.write(ctx, func(tx *sql.Tx) error {
		found, err := sqlite.Version(ctx, tx)
		if err != nil {
			return err
		}
		if found > 0 {
			return sqlite.CheckVersion(found, version)
		}
		if _, err := tx.ExecContext(ctx, schema+fmt.Sprintf("PRAGMA user_version = %d;", version)); err != nil {
			return fmt.Errorf("make the tables: %w", err)
		}
		return nil
	})
}
