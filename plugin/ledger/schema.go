package ledger

import (
	"context"
	"database/sql"
	"fmt"
)

// migrations bring a schema from one version to the next. The version is
// SQLite's user_version. What expires and written mean stands in the comment of
// the package.
//
// A package's upgrade replaces the binary beneath a plugin that runs: until that
// is restarted, it goes on with its statements on the schema that a command, or a
// test alert, of the new binary made. So a migration adds, with defaults, and
// takes nothing away that the version before it uses.
var migrations = []string{`
CREATE TABLE decision (
	prefix   TEXT NOT NULL,
	source   TEXT NOT NULL,
	uuid     TEXT NOT NULL,
	until    INTEGER NOT NULL,  -- milliseconds since 1970
	origin   TEXT NOT NULL,
	scenario TEXT NOT NULL,
	PRIMARY KEY (prefix, source, uuid)
) WITHOUT ROWID;

CREATE TABLE ban (
	prefix   TEXT PRIMARY KEY,
	until    INTEGER NOT NULL,            -- the latest decision's
	local    INTEGER NOT NULL,            -- 1: a detection of this CrowdSec, not of a list or found on the appliance
	recorded INTEGER NOT NULL,            -- number of the change that brought it
	expires  INTEGER NOT NULL DEFAULT 0,
	written  INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX ban_until ON ban (until);
CREATE INDEX ban_written ON ban (written);
CREATE INDEX ban_lists ON ban (until) WHERE local = 0;

CREATE TABLE fact (
	name  TEXT PRIMARY KEY,
	value TEXT NOT NULL
) WITHOUT ROWID;
`, `
ALTER TABLE ban ADD COLUMN origin TEXT NOT NULL DEFAULT '';    -- of the decision that ends last, for people to read
ALTER TABLE ban ADD COLUMN scenario TEXT NOT NULL DEFAULT '';
UPDATE ban SET (origin, scenario) = (d.origin, d.scenario) FROM decision AS d
	WHERE d.prefix = ban.prefix AND d.until = ban.until;
DROP TABLE decision;

INSERT INTO fact SELECT 'confirmed', value FROM fact WHERE name = 'asserted';
`, `
ALTER TABLE ban ADD COLUMN heard INTEGER NOT NULL DEFAULT 0;   -- the change with which an alert last spoke of it
ALTER TABLE ban ADD COLUMN heard_at INTEGER NOT NULL DEFAULT 0; -- and when that was
ALTER TABLE ban ADD COLUMN alerted INTEGER NOT NULL DEFAULT 0; -- when it ends by alerts, if the Local API lists it too
ALTER TABLE ban ADD COLUMN listed INTEGER NOT NULL DEFAULT 0;  -- the decision by which the Local API lists it
ALTER TABLE ban ADD COLUMN found INTEGER NOT NULL DEFAULT 0;   -- the full read that last found it listed
`}

// migrate runs what the file's version lacks, in one transaction, whoever
// comes first.
func (l *Ledger) migrate(ctx context.Context) error {
	return l.write(ctx, func(tx *sql.Tx) error {
		var version int
		if err := tx.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
			return err
		}
		if version > len(migrations) {
			return fmt.Errorf("%w: its schema is %d, and this program knows %d", ErrNewer, version, len(migrations))
		}
		for i := version; i < len(migrations); i++ {
			if _, err := tx.ExecContext(ctx, migrations[i]+fmt.Sprintf("PRAGMA user_version = %d;", i+1)); err != nil {
				return fmt.Errorf("bring the schema from version %d to %d: %w", i, i+1, err)
			}
		}
		return nil
	})
}
