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

// newLocalAPI starts a CrowdSec without plugins, as on another machine.
func newLocalAPI(t *testing.T, release Release) *CrowdSec {
	t.Helper()
	release.profiles = "profiles-none.yaml"
	c := installCrowdSec(t, temporaryFolder(t), release)
	c.Start(t)
	return c
}

// makeDatabaseAnew deletes CrowdSec's database and starts it with an empty one, in which IDs begin at 1 again.
func (c *CrowdSec) makeDatabaseAnew(t *testing.T) {
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

// sqlite runs a statement in the SQLite database of CrowdSec and returns what it selects.
func (c *CrowdSec) sqlite(t *testing.T, statement string) string {
	t.Helper()
	return strings.TrimSpace(run(t, exec.CommandContext(t.Context(), "sqlite3", "-cmd", ".timeout 20000", c.database(), statement)))
}

func TestADatabaseThatWasMadeAnewIsFollowedWithinTwoFullReads(t *testing.T) {
	meanwhile(t, []Release{current, older}, func(t *testing.T, w *World) {
		other := newLocalAPI(t, w.CrowdSec.release)
		w.followAt(t, other, other.url())
		file, values := bansToImport(t, 600)
		for range 2 { // so that the new database's IDs begin among the old ones
			other.mustCscli(t, "decisions", "import", "-i", file)
		}
		w.waitUntilBlocks(t, len(values), 2*time.Minute)

		stayedBlocked := w.guardBans(t, values[500], values[599])
		other.makeDatabaseAnew(t)
		anew := map[string]bool{}
		var all []map[string]string
		for n := 500; n < 900; n++ {
			value := fmt.Sprintf("198.18.%d.%d", n>>8, n&255)
			anew[value] = true
			all = append(all, map[string]string{"duration": "3h", "scope": "ip", "value": value})
		}
		other.mustCscli(t, "decisions", "import", "-i", decisionsFile(t, all))
		made := time.Now()
		waitForEvery(t, 100*time.Millisecond, 4*time.Minute, "the blacklist is the new database's list", func() (bool, string) {
			list := w.Appliance.Blacklist(t)
			for p := range list {
				if !anew[p.Addr().String()] {
					return false, p.String() + " is blocked"
				}
			}
			return len(list) == len(anew), fmt.Sprintf("it blocks %d", len(list))
		})
		// A full read follows the outage, after up to 30 s.
		within(t, 30*time.Second+confirmAfter+2*readEvery+time.Minute, "the database made anew, and in step with it", time.Since(made))
		stayedBlocked()
		other.mustCscli(t, "decisions", "delete", "--all")
		w.waitUntilBlocks(t, 0, time.Minute)
	})
}

// fullRead is what CrowdSec logs of a full read, less its status.
const fullRead = "startup=true HTTP/1.1 "

// A Local API whose database fails answers with an empty list (1.7.8) or an error (1.4.6), again and again.
func TestNothingEndsWhileTheDatabaseOfTheLocalAPIFails(t *testing.T) {
	meanwhile(t, []Release{current, older}, func(t *testing.T, w *World) {
		w.follow(t)
		file, values := bansToImport(t, 500)
		w.CrowdSec.mustCscli(t, "decisions", "import", "-i", file)
		w.waitUntilBlocks(t, len(values), 2*time.Minute)

		stayedBlocked := w.guardBans(t, values...)
		w.CrowdSec.sqlite(t, "ALTER TABLE decisions RENAME TO lost")
		reads, empty := w.CrowdSec.logged(fullRead), w.CrowdSec.logged(fullRead+"200")
		failed := time.Now()
		waitFor(t, 2*time.Minute, "status says that the Local API cannot be read", func() (bool, string) {
			l := w.Plugin.localAPI(t)
			return l.UnreadSince != nil, fmt.Sprint(l)
		})
		within(t, time.Minute+3*readEvery, "a failing database noticed", time.Since(failed))
		waitFor(t, 3*time.Minute, "everything was read three times", func() (bool, string) {
			return w.CrowdSec.logged(fullRead) > reads+2, "it was not"
		})
		if empty = w.CrowdSec.logged(fullRead+"200") - empty; w.CrowdSec.release.Version == current.Version && empty < 3 {
			t.Errorf("%d full reads got an empty list with status 200: the database does not fail as it should", empty)
		}
		stayedBlocked()
		w.waitUntilBlocks(t, len(values), time.Second)

		w.CrowdSec.sqlite(t, "ALTER TABLE lost RENAME TO decisions")
		waitFor(t, 2*time.Minute, "the Local API is read again", func() (bool, string) {
			l := w.Plugin.localAPI(t)
			return l.UnreadSince == nil, l.Error
		})
		w.waitUntilBlocks(t, len(values), time.Second)
		w.CrowdSec.mustCscli(t, "decisions", "delete", "--all")
		w.waitUntilBlocks(t, 0, time.Minute)
	})
}

// CrowdSec 1.7.8 ends its list as usual where it meets a damaged page of its database.
func TestNothingEndsWhileTheListOfTheLocalAPIIsCut(t *testing.T) {
	meanwhile(t, []Release{current}, func(t *testing.T, w *World) {
		const page = 30_000 // as many decisions CrowdSec reads at once
		w.follow(t)
		file, values := bansToImport(t, page+2000)
		w.CrowdSec.mustCscli(t, "decisions", "import", "-i", file)
		w.waitUntilBlocks(t, len(values), 2*time.Minute)

		w.CrowdSec.Stop(t)
		intact := w.CrowdSec.damage(t, page+1000)
		w.CrowdSec.Start(t)
		waitFor(t, 3*time.Minute, "status says that the Local API cannot be read", func() (bool, string) {
			l := w.Plugin.localAPI(t)
			return l.UnreadSince != nil, fmt.Sprint(l)
		})
		l := w.Plugin.localAPI(t)
		t.Logf("MEASURED what status says of it: %s", l.Error)
		reads := w.CrowdSec.logged(fullRead + "200")
		waitFor(t, 3*time.Minute, "everything was read three times more", func() (bool, string) {
			return w.CrowdSec.logged(fullRead+"200") >= reads+3, "it was not"
		})
		w.waitUntilBlocks(t, len(values), time.Second)

		w.CrowdSec.Stop(t)
		w.CrowdSec.deleteDatabase(t)
		if err := os.WriteFile(w.CrowdSec.database(), intact, 0o600); err != nil {
			t.Fatal(err)
		}
		w.CrowdSec.Start(t)
		w.Plugin.waitUntilActive(t)
		w.CrowdSec.mustCscli(t, "decisions", "delete", "--all")
		w.waitUntilBlocks(t, 0, time.Minute)
	})
}

// damage overwrites the page of the database that holds the decision of an ID, and returns what the file was.
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
		t.Fatalf("which page: %q: %v", found, err)
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
