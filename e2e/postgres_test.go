package e2e

import (
	"fmt"
	"testing"
	"time"
)

// With PostgreSQL the decisions of a long transaction have lower IDs than decisions that others store before it ends. A poll
// before its end does not see them.
func TestASlowImportIntoPostgreSQLIsBlockedWithConcurrentDecisions(t *testing.T) {
	const many, single = 20_000, "203.0.113.%d"
	t.Parallel() // it mostly waits
	release := current
	release.postgres = startPostgres(t)
	env := newEnvironment(t, Combination{CrowdSec: release, Access: overSSH})
	env.follow(t)
	// CrowdSec stores the alert last. The transaction lasts longer than several polls.
	release.postgres.sql(t, fmt.Sprintf(`CREATE FUNCTION be_slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(10); RETURN NEW; END';
		CREATE TRIGGER be_slow BEFORE INSERT ON alerts FOR EACH ROW WHEN (NEW.events_count = %d) EXECUTE FUNCTION be_slow()`, many))

	file, _ := bansToImport(t, many)
	done := make(chan error, 1)
	go func() {
		out, err := env.CrowdSec.Cscli(t, "decisions", "import", "-i", file)
		if err != nil {
			err = fmt.Errorf("%w\n%s", err, out)
		}
		done <- err
	}()
	added := 0
	for importing := true; importing; {
		value := fmt.Sprintf(single, added)
		env.CrowdSec.mustCscli(t, "decisions", "import", "-i", decisionsFile(t, []map[string]string{{"duration": "4h", "scope": "ip", "value": value}}))
		added++
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			importing = false
		case <-time.After(200 * time.Millisecond):
		}
	}
	imported := time.Now()
	if lower := release.postgres.sql(t, `SELECT MAX(id) FILTER (WHERE value LIKE '198.%') < MAX(id) FILTER (WHERE value LIKE '203.%') FROM decisions`); lower != "t" || added < 2 {
		t.Fatalf("the import ended before others stored decisions: %d were added (%s)", added, lower)
	}
	env.waitUntilBlocks(t, many+added, 3*time.Minute)
	checkWithin(t, time.Minute+2*readEvery+30*time.Second, fmt.Sprintf("%d imported into PostgreSQL and %d singly, enforced", many, added), time.Since(imported))

	env.endAllBans(t, time.Minute)
	env.checkCleanup(t)
}
