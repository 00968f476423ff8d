package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// newLocalAPI starts a CrowdSec without plugins, like one on another machine.
func newLocalAPI(t *testing.T, release Release) *CrowdSec {
	t.Helper()
	release.profiles = "profiles-none.yaml"
	c := installCrowdSec(t, temporaryFolder(t), release)
	c.Start(t)
	return c
}

// recreateDatabase deletes CrowdSec's database and starts CrowdSec with an empty one, in which IDs begin at 1 again.
func (c *CrowdSec) recreateDatabase(t *testing.T) {
	t.Helper()
	c.Stop(t)
	c.deleteDatabase(t)
	c.register(t)
	c.addBouncer(t)
	c.Start(t)
}

// deleteDatabase deletes every file of the SQLite database.
func (c *CrowdSec) deleteDatabase(t *testing.T) {
	t.Helper()
	files, err := filepath.Glob(c.database() + "*")
	if err != nil || len(files) == 0 {
		t.Fatalf("no file of the database: %v", err)
	}
	for _, file := range files {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
}

func (c *CrowdSec) database() string { return filepath.Join(c.dir, "data", "crowdsec.db") }

// sqlite runs a statement in CrowdSec's SQLite database and returns its output.
func (c *CrowdSec) sqlite(t *testing.T, statement string) string {
	t.Helper()
	return strings.TrimSpace(run(t, exec.CommandContext(t.Context(), "sqlite3", "-cmd", ".timeout 20000", c.database(), statement)))
}

func TestARecreatedDatabaseIsFollowedWithinTwoFullReads(t *testing.T) {
	inParallel(t, []Release{current, older}, func(t *testing.T, env *Environment) {
		other := newLocalAPI(t, env.CrowdSec.release)
		env.followAt(t, other, other.url())
		file, values := bansToImport(t, 600)
		for range 2 { // so that the new database's IDs begin among the old ones
			other.mustCscli(t, "decisions", "import", "-i", file)
		}
		env.waitUntilBlocks(t, len(values), 2*time.Minute)

		stayedBlocked := env.guardBans(t, values[500], values[599])
		other.recreateDatabase(t)
		added := map[string]bool{}
		var all []map[string]string
		for n := 500; n < 900; n++ {
			value := fmt.Sprintf("198.18.%d.%d", n>>8, n&255)
			added[value] = true
			all = append(all, map[string]string{"duration": "3h", "scope": "ip", "value": value})
		}
		other.mustCscli(t, "decisions", "import", "-i", decisionsFile(t, all))
		made := time.Now()
		waitForEvery(t, 100*time.Millisecond, 4*time.Minute, "the blacklist matches the new database", func() (bool, string) {
			list := env.Appliance.Blacklist(t)
			for p := range list {
				if !added[p.Addr().String()] {
					return false, p.String() + " is blocked"
				}
			}
			return len(list) == len(added), fmt.Sprintf("it blocks %d", len(list))
		})
		// A full read follows the outage, after up to 30 s.
		checkWithin(t, 30*time.Second+confirmAfter+2*readEvery+time.Minute, "the blacklist matches the recreated database", time.Since(made))
		stayedBlocked()
		other.mustCscli(t, "decisions", "delete", "--all")
		env.waitUntilBlocks(t, 0, time.Minute)
	})
}

// fullRead is part of the line that CrowdSec logs for a full read. The HTTP status follows it.
const fullRead = "startup=true HTTP/1.1 "

// A Local API whose database fails answers with an empty list (1.7.8) or an error (1.4.6), again and again.
func TestNoBanEndsWhileTheDatabaseOfTheLocalAPIFails(t *testing.T) {
	inParallel(t, []Release{current, older}, func(t *testing.T, env *Environment) {
		env.follow(t)
		values := env.importBans(t, 500)
		env.waitUntilBlocks(t, len(values), 2*time.Minute)

		stayedBlocked := env.guardBans(t, values...)
		env.CrowdSec.sqlite(t, "ALTER TABLE decisions RENAME TO lost")
		reads, empty := env.CrowdSec.logged(fullRead), env.CrowdSec.logged(fullRead+"200")
		failed := time.Now()
		env.Plugin.waitUntilUnread(t)
		checkWithin(t, time.Minute+3*readEvery, "status reports the failing database", time.Since(failed))
		waitFor(t, 3*time.Minute, "three full reads", func() (bool, string) {
			return env.CrowdSec.logged(fullRead) > reads+2, "there were fewer"
		})
		if empty = env.CrowdSec.logged(fullRead+"200") - empty; env.CrowdSec.release.Version == current.Version && empty < 3 {
			t.Errorf("%d full reads got an empty list with status 200: the database does not fail as expected", empty)
		}
		stayedBlocked()
		env.waitUntilBlocks(t, len(values), time.Second)

		env.CrowdSec.sqlite(t, "ALTER TABLE lost RENAME TO decisions")
		waitFor(t, 2*time.Minute, "the Local API is read again", func() (bool, string) {
			l := env.Plugin.localAPI(t)
			return l.UnreadSince == nil, l.Error
		})
		env.waitUntilBlocks(t, len(values), time.Second)
		env.endAllBans(t, time.Minute)
	})
}

// At a damaged page of its database, CrowdSec 1.7.8 ends its answer as if it were complete.
func TestNoBanEndsWhileAnswersOfTheLocalAPIAreCut(t *testing.T) {
	inParallel(t, []Release{current}, func(t *testing.T, env *Environment) {
		const page = 30_000 // CrowdSec reads this many decisions at once
		env.follow(t)
		values := env.importBans(t, page+2000)
		env.waitUntilBlocks(t, len(values), 2*time.Minute)

		env.CrowdSec.Stop(t)
		intact := env.CrowdSec.damage(t, page+1000)
		env.CrowdSec.Start(t)
		t.Logf("MEASURED the reason in status: %s", env.Plugin.waitUntilUnread(t))
		reads := env.CrowdSec.logged(fullRead + "200")
		waitFor(t, 3*time.Minute, "three more full reads", func() (bool, string) {
			return env.CrowdSec.logged(fullRead+"200") >= reads+3, "there were fewer"
		})
		env.waitUntilBlocks(t, len(values), time.Second)

		env.CrowdSec.Stop(t)
		env.CrowdSec.deleteDatabase(t)
		if err := os.WriteFile(env.CrowdSec.database(), intact, 0o600); err != nil {
			t.Fatal(err)
		}
		env.CrowdSec.Start(t)
		env.Plugin.waitUntilActive(t)
		env.endAllBans(t, time.Minute)
	})
}

// damage overwrites the page of the database that holds the decision of an ID, and returns the intact file.
func (c *CrowdSec) damage(t *testing.T, id int) (intact []byte) {
	t.Helper()
	c.sqlite(t, "PRAGMA wal_checkpoint(TRUNCATE)")
	intact, err := os.ReadFile(c.database())
	if err != nil {
		t.Fatal(err)
	}
	var size, number int
	found := c.sqlite(t, fmt.Sprintf(`SELECT pgsize, pageno FROM dbstat WHERE name = 'decisions' AND pagetype = 'leaf' ORDER BY path
		LIMIT 1 OFFSET (SELECT COUNT(*) * %d / (SELECT MAX(id) FROM decisions) FROM dbstat WHERE name = 'decisions' AND pagetype = 'leaf')`, id))
	if _, err := fmt.Sscanf(found, "%d|%d", &size, &number); err != nil {
		t.Fatalf("find the page: %q: %v", found, err)
	}
	damaged := append([]byte{}, intact...)
	for i := range size {
		damaged[(number-1)*size+i] = 0xff
	}
	if err := os.WriteFile(c.database(), damaged, 0o600); err != nil {
		t.Fatal(err)
	}
	return intact
}
