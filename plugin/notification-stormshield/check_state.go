package main

import (
	"context"
	"database/sql"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"notification-stormshield/config"
	"notification-stormshield/plugin"
	"notification-stormshield/plugin/health"
	"notification-stormshield/stormshield/acceptance"
)

const (
	// oldestPostgreSQL is the oldest version of PostgreSQL that works.
	oldestPostgreSQL = 13
	// toleratedClock is how far the clocks of a machine and of its database may differ. The times in the state are those of the machine that
	// recorded them.
	toleratedClock = 2 * time.Second
	// databaseTimeout bounds all questions of check to the database.
	databaseTimeout = 20 * time.Second
)

// checkState tries the database that several machines share. It returns nothing if the state is on this machine alone. The plugin's user
// must call it, because a server behind a Unix socket may know the user of a process. The document has its secrets. If the report is
// anonymous, it does not name the machines.
func checkState(ctx context.Context, d config.Document, anonymous bool) []acceptance.Finding {
	state := plugin.StateOf(d)
	if !state.IsShared() {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, databaseTimeout, fmt.Errorf("no answer for %s", health.FormatDuration(databaseTimeout)))
	defer cancel()
	db, err := state.Database.Pool(1, false) // this refuses a standby, although check only reads
	if err != nil {
		return []acceptance.Finding{databaseFinding("", err)}
	}
	defer db.Close()
	c := databaseCheck{state: state, document: d, db: db, anonymous: anonymous}
	first := databaseFinding(c.readVersion(ctx))
	if first.Verdict == acceptance.Wrong {
		return []acceptance.Finding{first}
	}
	findings := []acceptance.Finding{first, c.checkRights(ctx), c.checkEncryption(ctx), c.checkClock(ctx)}
	if c.hasTables {
		findings = append(findings, c.checkMachines(ctx)...)
	}
	return append(findings, c.checkOwnState(ctx)...)
}

// tryDatabase returns an error if the state cannot be shared in the database of a document.
func tryDatabase(ctx context.Context, d config.Document) error {
	return acceptance.FirstFault(checkState(ctx, d, false))
}

func databaseFinding(detail string, err error) acceptance.Finding {
	f := acceptance.Finding{Subject: "database", Detail: detail, Err: err,
		Assumed: fmt.Sprintf("the database under state_url answers: PostgreSQL %d or newer", oldestPostgreSQL)}
	if err != nil {
		f.Verdict = acceptance.Wrong
		f.Hint = "see state_url and state_password_path; all machines that share the state need the database"
	}
	return f
}

// databaseCheck looks at the database that several machines share.
type databaseCheck struct {
	state     plugin.State
	document  config.Document
	db        *sql.DB
	anonymous bool
	hasTables bool // that this program can use
}

// readVersion returns the version of the server. It is the first question.
func (c *databaseCheck) readVersion(ctx context.Context) (string, error) {
	var version string
	var number int
	err := c.db.QueryRowContext(ctx, "SELECT current_setting('server_version'), current_setting('server_version_num')").Scan(&version, &number)
	if err != nil {
		return "", err
	}
	if number/10000 < oldestPostgreSQL {
		return "", fmt.Errorf("%s is PostgreSQL %s, and version %d is the oldest that works", c.state.Database.Place(), version, oldestPostgreSQL)
	}
	return "PostgreSQL " + version + ", " + c.state.Database.Place(), nil
}

// checkRights reports whether the role can make the schema, or owns it.
func (c *databaseCheck) checkRights(ctx context.Context) acceptance.Finding {
	schema := c.state.Database.Schema()
	f := acceptance.Finding{Subject: "database rights", Assumed: "the role may make the schema " + schema + ", or owns it"}
	var role, database, owner string
	var mayCreate, owns bool
	err := c.db.QueryRowContext(ctx, `SELECT current_user::text, current_database()::text, has_database_privilege(current_database(), 'CREATE'),
		COALESCE((SELECT pg_get_userbyid(nspowner)::text FROM pg_namespace WHERE nspname = ?1), ''),
		COALESCE((SELECT pg_has_role(nspowner, 'USAGE') FROM pg_namespace WHERE nspname = ?1), false),
		EXISTS (SELECT FROM pg_tables WHERE schemaname = ?1)`, schema).
		Scan(&role, &database, &mayCreate, &owner, &owns, &c.hasTables)
	switch {
	case err != nil:
		f.Err = err
	case owner == "" && !mayCreate:
		f.Err = fmt.Errorf("the schema %s does not exist, and the role %s may not make it", schema, role)
		f.Hint = fmt.Sprintf("as the owner of the database: GRANT CREATE ON DATABASE %s TO %s", database, role)
	case owner != "" && !owns:
		f.Err = fmt.Errorf("the schema %s belongs to the role %s, and state_url names the role %s", schema, owner, role)
		f.Hint = "write the same role into state_url on each machine"
	case owner == "":
		f.Detail = "the role may make the schema, which does not exist yet"
	case !c.hasTables:
		f.Detail = "the role owns the schema, which is empty"
	default:
		f.Detail, f.Err = c.readSchemaVersion(ctx)
	}
	c.hasTables = c.hasTables && f.Err == nil
	if f.Err != nil {
		f.Verdict, f.Detail = acceptance.Wrong, ""
	}
	return f
}

// readSchemaVersion returns an error if this program cannot use the tables in the schema.
func (c *databaseCheck) readSchemaVersion(ctx context.Context) (string, error) {
	l, err := c.state.OpenReadOnly(ctx)
	if err != nil {
		return "", err
	}
	return "the role owns the schema, and this version of the plugin made it", l.Close()
}

// checkEncryption reports whether the connection is encrypted and the server identified.
func (c *databaseCheck) checkEncryption(ctx context.Context) acceptance.Finding {
	f := acceptance.Finding{Subject: "database encryption", Assumed: "the connection is encrypted, and the certificate of the server is checked",
		Detail: "it is (sslmode=verify-full)"}
	settings, err := pgconn.ParseConfig(c.state.Database.URL)
	if err != nil {
		f.Verdict, f.Detail, f.Err = acceptance.Wrong, "", fmt.Errorf("state_url: %w", err)
		return f
	}
	var encrypted bool
	if err := c.db.QueryRowContext(ctx, "SELECT COALESCE((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false)").Scan(&encrypted); err != nil {
		f.Verdict, f.Detail = acceptance.Untried, err.Error()
		return f
	}
	switch {
	case isOnThisMachine(settings.Host):
		f.Detail = "the server is on this machine"
	case !encrypted:
		f.Verdict, f.Detail = acceptance.Differs, "the connection is not encrypted: anybody on the network between can read and change the bans"
	case settings.TLSConfig == nil || settings.TLSConfig.InsecureSkipVerify: // pgconn compares CA and name itself for the lesser modes
		f.Verdict, f.Detail = acceptance.Differs, "the connection is encrypted, and another server could pretend to be this one"
	}
	if f.Verdict == acceptance.Differs {
		f.Hint = "add sslmode=verify-full to state_url, and sslrootcert=FILE if the system does not know the certificate authority"
	}
	return f
}

// isOnThisMachine reports whether the host of a database is a Unix socket or a loopback address.
func isOnThisMachine(host string) bool {
	address, err := netip.ParseAddr(host)
	return strings.HasPrefix(host, "/") || host == "localhost" || err == nil && address.IsLoopback()
}

// checkClock compares the clock of the database with that of this machine.
func (c *databaseCheck) checkClock(ctx context.Context) acceptance.Finding {
	f := acceptance.Finding{Subject: "database clock", Assumed: fmt.Sprintf("the clocks of the database and of this machine differ by less than %s", toleratedClock)}
	var seconds float64
	asked := time.Now()
	err := c.db.QueryRowContext(ctx, "SELECT EXTRACT(EPOCH FROM clock_timestamp())::double precision").Scan(&seconds)
	answered := time.Now()
	if err != nil {
		f.Verdict, f.Detail = acceptance.Untried, err.Error()
		return f
	}
	there := time.Unix(0, int64(seconds*float64(time.Second)))
	difference := there.Sub(asked.Add(answered.Sub(asked) / 2))
	f.Detail = fmt.Sprintf("they differ by %s", max(difference, -difference).Round(time.Millisecond))
	if there.Before(asked.Add(-toleratedClock)) || there.After(answered.Add(toleratedClock)) {
		f.Verdict = acceptance.Differs
		f.Hint = "let NTP set the clock of each machine: an ended ban must be ended on all machines"
	}
	return f
}

// checkOwnState reports that this machine has bans of its own, from before it shared the state, and that the shared state has none. It
// returns nothing otherwise.
func (c *databaseCheck) checkOwnState(ctx context.Context) []acceptance.Finding {
	own := plugin.StateOf(ownState(c.document))
	if _, err := os.Stat(own.Path); err != nil {
		return nil
	}
	before, err := countBans(ctx, own)
	if err != nil || before == 0 {
		return nil
	}
	if c.hasTables {
		if shared, err := countBans(ctx, c.state); err != nil || shared > 0 {
			return nil
		}
	}
	return []acceptance.Finding{{
		Subject: "state of this machine", Assumed: "no bans are left in the state from before this machine shared it", Verdict: acceptance.Differs,
		Detail: fmt.Sprintf("%s has %s in force, and the shared state has none", own.Path, health.FormatCount(before, "ban", "bans")),
		Hint:   "stop CrowdSec, and run `crowdsec-stormshield state copy`",
	}}
}

// countBans counts the bans of a state that are in force or wait.
func countBans(ctx context.Context, state plugin.State) (int, error) {
	l, err := state.OpenReadOnly(ctx)
	if err != nil {
		return 0, err
	}
	defer l.Close()
	s, err := l.Status(ctx, time.Now())
	return s.InForce.Total() + s.Waiting.Total(), err
}

// placesOf returns the texts in a report that name the database.
func placesOf(d config.Document) []string {
	at, err := url.Parse(d.StateURL)
	if !d.SharesState() || err != nil {
		return nil
	}
	return []string{plugin.StateOf(d).Database.Place(), at.Hostname()}
}
