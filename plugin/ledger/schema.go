package ledger

import (
	"context"
	"database/sql"
	"fmt"

	"notification-stormshield/plugin/sqlite"
)

// version is the version of the schema. SQLite keeps it as user_version, and PostgreSQL in a table.
const version = 20

// These enclose the triggers, which PostgreSQL has in another form.
const (
	beginTriggers = "-- begin of the triggers\n"
	endTriggers   = "-- end of the triggers\n"
)

// schema makes the tables in SQLite; see postgresSchema. Times are milliseconds since 1970; 0 is none.
const schema = `
CREATE TABLE ban (
	id            INTEGER PRIMARY KEY,
	prefix        TEXT NOT NULL UNIQUE,
	ends          INTEGER NOT NULL,           -- the latest end of its decisions
	until         INTEGER NOT NULL,           -- until when it is enforced: ends, or 0 while it waits for room
	next          INTEGER NOT NULL,           -- when the first of its decisions ends; 0: all end together, or the ban has ended
	class         INTEGER NOT NULL,           -- the best class of its decisions
	newest        INTEGER NOT NULL,           -- its decision that was recorded last
	change        INTEGER NOT NULL,           -- the number of the change that made it pending
	pending_since INTEGER NOT NULL,           -- since when it is pending; if its own end or that of its entry is later, that counts
	expires       INTEGER NOT NULL DEFAULT 0, -- when its own entry on the blacklist ends; 0: it has none; 1: it may have one
	written       INTEGER NOT NULL DEFAULT 0, -- the flush that wrote it to the files; 0: it is not in them; -1: it may be
	look          INTEGER NOT NULL            -- the flush from which on a plan must look at it; see flushing.settled
);
CREATE INDEX ban_until ON ban (until) WHERE until > 0;
CREATE INDEX ban_look ON ban (look);
CREATE INDEX ban_enforced ON ban (class DESC, newest) WHERE until > 0;
CREATE INDEX ban_next ON ban (next) WHERE next > 0;
CREATE INDEX ban_waiting ON ban (class, newest DESC) WHERE until = 0;

-- How many bans there are of each class. Triggers keep the counts true in every transaction.
CREATE TABLE tally (
	class    INTEGER PRIMARY KEY,        -- 0: of a ban that never had a decision in force
	enforced INTEGER NOT NULL DEFAULT 0, -- rows with until > 0, also of bans that have ended
	waiting  INTEGER NOT NULL DEFAULT 0  -- rows with until = 0, also of bans that have ended
);
` + beginTriggers + `CREATE TRIGGER ban_inserted AFTER INSERT ON ban BEGIN
	UPDATE tally SET enforced = enforced + (NEW.until > 0), waiting = waiting + (NEW.until = 0) WHERE class = NEW.class;
END;
CREATE TRIGGER ban_deleted AFTER DELETE ON ban BEGIN
	UPDATE tally SET enforced = enforced - (OLD.until > 0), waiting = waiting - (OLD.until = 0) WHERE class = OLD.class;
END;
CREATE TRIGGER ban_updated AFTER UPDATE OF until, class ON ban WHEN (NEW.until > 0) <> (OLD.until > 0) OR NEW.class <> OLD.class BEGIN
	UPDATE tally SET enforced = enforced - (OLD.until > 0), waiting = waiting - (OLD.until = 0) WHERE class = OLD.class;
	UPDATE tally SET enforced = enforced + (NEW.until > 0), waiting = waiting + (NEW.until = 0) WHERE class = NEW.class;
END;
` + endTriggers + `
CREATE TABLE decision (
	ban      INTEGER NOT NULL REFERENCES ban ON DELETE CASCADE,
	id       INTEGER NOT NULL,           -- in the order of recording
	uuid     BLOB NOT NULL,              -- empty: it has none
	lapi_id  INTEGER NOT NULL,           -- its ID at the Local API that delivered it first; 0: not known
	bits     INTEGER NOT NULL,           -- the length of the range that CrowdSec decided on
	until    INTEGER NOT NULL,           -- its end
	class    INTEGER NOT NULL,
	type     TEXT NOT NULL,
	origin   TEXT NOT NULL,
	scenario TEXT NOT NULL,
	lifted   INTEGER NOT NULL DEFAULT 0, -- 1: somebody lifted it by hand, and it never blocks again

	-- Sets of machines. A machine is the bit of its number; see bitOf.
	sources      INTEGER NOT NULL,           -- those that delivered it, and whose Local API may still have it
	missed_once  INTEGER NOT NULL DEFAULT 0, -- those whose last full read lacked it
	missed_twice INTEGER NOT NULL DEFAULT 0, -- those whose last two full reads lacked it
	PRIMARY KEY (ban, id)
) WITHOUT ROWID;

CREATE TABLE flushing (
	changes        INTEGER NOT NULL DEFAULT 0, -- the number of the last change to the bans that must be blocked
	decisions      INTEGER NOT NULL DEFAULT 0, -- the decision that was recorded last
	flushes        INTEGER NOT NULL DEFAULT 0, -- the number of the last flush
	flushed        INTEGER NOT NULL DEFAULT 0, -- when the last flush that ended well ended
	target         TEXT NOT NULL DEFAULT '',   -- the appliance and the groups that the acknowledgements are about, as JSON
	mark           TEXT NOT NULL DEFAULT '',   -- of the appliance's files after the last write; '': not known
	confirmed      INTEGER NOT NULL DEFAULT 0, -- when everything in force was last blocked
	compared       INTEGER NOT NULL DEFAULT 0, -- when the files were last compared with the bans in force; 0: never; 1: see comparedElsewhere
	asserted       INTEGER NOT NULL DEFAULT 0, -- when the group last blocked everything in force
	asserted_flush INTEGER NOT NULL DEFAULT 0, -- the flush that did this, or that last activated a filter rule that enforces alone
	asserted_until INTEGER NOT NULL DEFAULT 0, -- when these entries end
	new_after      INTEGER NOT NULL DEFAULT 0, -- bans of later changes are new until the appliance acknowledges them
	unsure         INTEGER NOT NULL DEFAULT 0, -- since when the rows may lack a trace, so that the whole files must be compared; 0: they lack none
	entries        INTEGER NOT NULL DEFAULT 0, -- 1: the filter rule enforces alone now, and bans may still have entries on the blacklist
	stale          INTEGER NOT NULL DEFAULT 0, -- since when the running filter rule lacks changes of the files; 0: it lacks none
	activated      INTEGER NOT NULL DEFAULT 0, -- when a flush last began to activate the filter rule; 0: never
	requested      INTEGER NOT NULL DEFAULT 0, -- the number of the last request for a flush
	answered       INTEGER NOT NULL DEFAULT 0, -- the last request whose flush ended well
	settled        INTEGER NOT NULL DEFAULT 0, -- 0, or asserted_flush: which bans of this look or an earlier one are settled, see settle
	max_bans       INTEGER NOT NULL DEFAULT 0  -- how many bans the holder enforces at most; 0: there was no holder
);
CREATE TABLE trouble (
	part    INTEGER PRIMARY KEY,        -- 0: a whole flush; 1: only the appliance's files
	text    TEXT NOT NULL DEFAULT '',   -- of the last failure or warning; '': there is none
	since   INTEGER NOT NULL DEFAULT 0,
	last    INTEGER NOT NULL DEFAULT 0,
	count   INTEGER NOT NULL DEFAULT 0,
	warning INTEGER NOT NULL DEFAULT 0, -- 1: flushes end well, and all bans are enforced
	request INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE machine (
	number        INTEGER PRIMARY KEY,        -- 1 to 60; its bit is in the sets of a decision
	name          TEXT NOT NULL UNIQUE,
	identity      TEXT NOT NULL DEFAULT '',   -- tells it from another machine with the same name; '': not known
	beaten        INTEGER NOT NULL DEFAULT 0, -- the time of its last beat, by the clock of the database
	seen          INTEGER NOT NULL DEFAULT 0, -- the time of its last beat
	beat          INTEGER NOT NULL DEFAULT 0, -- the number of its beats
	forwarded     INTEGER NOT NULL DEFAULT 0, -- the last message of its outbox that was recorded
	version       TEXT NOT NULL DEFAULT '',   -- of its plugin
	waiting       INTEGER NOT NULL DEFAULT 0, -- decisions in its outbox
	waiting_since INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE holder (
	machine  INTEGER NOT NULL DEFAULT 0, -- the number of the machine that took over last; 0: none did
	term     INTEGER NOT NULL DEFAULT 0, -- how often a machine took over
	released INTEGER NOT NULL DEFAULT 0, -- 1: it handed over
	since    INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE local_api (
	machine       INTEGER PRIMARY KEY, -- the number of the machine that reads it
	last_read     INTEGER NOT NULL DEFAULT 0,
	failing_since INTEGER NOT NULL DEFAULT 0, -- 0: it can be read
	error         TEXT NOT NULL DEFAULT ''
);
CREATE TABLE sample (
	place    INTEGER PRIMARY KEY, -- in the ring of the last 24 hours: one place for each five minutes
	at       INTEGER NOT NULL,
	in_force INTEGER NOT NULL,
	waiting  INTEGER NOT NULL,
	pending  INTEGER NOT NULL     -- bans to block and bans to unblock
);
INSERT INTO tally (class) VALUES (0), (1), (2), (3);
INSERT INTO flushing DEFAULT VALUES;
INSERT INTO trouble (part) VALUES (0), (1);
INSERT INTO holder DEFAULT VALUES;
`

// oneMachine is the only machine of a state in SQLite.
const oneMachine = "INSERT INTO machine (number, name) VALUES (1, ''); INSERT INTO local_api (machine) VALUES (1);"

// prepare makes the tables of a new file. If the file has another version, prepare returns an error; see [sqlite.CheckVersion].
func (l *Ledger) prepare(ctx context.Context) error {
	return l.write(ctx, func(tx *sql.Tx) error {
		found, err := sqlite.Version(ctx, tx)
		if err != nil {
			return err
		}
		if found > 0 {
			return sqlite.CheckVersion(found, version)
		}
		if _, err := tx.ExecContext(ctx, schema+oneMachine+fmt.Sprintf("PRAGMA user_version = %d;", version)); err != nil {
			return fmt.Errorf("make the tables: %w", err)
		}
		return nil
	})
}
