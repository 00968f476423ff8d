package main

import (
	"context"
	"database/sql"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"notification-stormshield/config"
	"notification-stormshield/plugin/health"
	"notification-stormshield/plugin/postgres"
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
// must call it, because a server behind a Unix socket may know the user of a process. The document has its secrets.
func checkState(ctx context.Context, d config.Document) []acceptance.Finding {
	if !d.SharesState() {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, databaseTimeout, fmt.Errorf("no answer for %s", health.FormatDuration(databaseTimeout)))
	defer cancel()
	db, err := databaseOf(d).Pool(1, true)
	if err != nil {
		return []acceptance.Finding{databaseFinding("", err)}
	}
	defer db.Close()
	c := databaseCheck{database: databaseOf(d), db: db}
	first := databaseFinding(c.readVersion(ctx))
	if first.Verdict == acceptance.Wrong {
		return []acceptance.Finding{first}
	}
	return []acceptance.Finding{first, c.checkRights(ctx), c.checkEncryption(ctx), c.checkClock(ctx)}
}

// tryDatabase returns an error if the state cannot be shared in the database of a document.
func tryDatabase(ctx context.Context, d config.Document) error {
	return acceptance.FirstFault(checkState(ctx, d))
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
	database postgres.Database
	db       *sql.DB
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
		return "", fmt.Errorf("%s is PostgreSQL %s, and version %d is the oldest that works", c.database.Place(), version, oldestPostgreSQL)
	}
	return "PostgreSQL " + version + ", " + c.database.Place(), nil
}

// checkRights reports whether the role can make the schema, or owns it.
func (c *databaseCheck) checkRights(ctx context.Context) acceptance.Finding {
	schema := c.database.Schema()
	f := acceptance.Finding{Subject: "database rights", Assumed: "the role may make the schema " + schema + ", or owns it"}
	var role, database, owner string
	var mayCreate, owns bool
	err := c.db.QueryRowContext(ctx, `SELECT current_user::text, current_database()::text, has_database_privilege(current_database(), 'CREATE'),
		COALESCE((SELECT pg_get_userbyid(nspowner)::text FROM pg_namespace WHERE nspname = ?1), ''),
		COALESCE((SELECT pg_has_role(nspowner, 'USAGE') FROM pg_namespace WHERE nspname = ?1), false)`, schema).
		Scan(&role, &database, &mayCreate, &owner, &owns)
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
	default:
		f.Detail = "the role owns the schema"
	}
	if f.Err != nil {
		f.Verdict, f.Detail = acceptance.Wrong, ""
	}
	return f
}

// checkEncryption reports whether the connection is encrypted and the server identified.
func (c *databaseCheck) checkEncryption(ctx context.Context) acceptance.Finding {
	f := acceptance.Finding{Subject: "database encryption", Assumed: "the connection is encrypted, and the certificate of the server is checked",
		Detail: "it is (sslmode=verify-full)"}
	settings, err := pgconn.ParseConfig(c.database.URL)
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

// databaseOf returns the database under state_url.
func databaseOf(d config.Document) postgres.Database {
	return postgres.Database{URL: d.StateURL, Password: d.StatePassword.Reveal(), Name: d.Name}
}

// placesOf returns the texts in a report that name the database.
func placesOf(d config.Document) []string {
	at, err := url.Parse(d.StateURL)
	if !d.SharesState() || err != nil {
		return nil
	}
	return []string{databaseOf(d).Place(), at.Hostname()}
}
