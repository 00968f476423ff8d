package plugintest

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

func needsPostgres(t *testing.T) {
	t.Helper()
	if !TestsPostgres() {
		t.Skip("make test-postgres runs this test: it needs PostgreSQL")
	}
}

func TestAClusterComesBackFromABackup(t *testing.T) {
	needsPostgres(t)
	p := StartPostgres(t)
	count := func() string {
		t.Helper()
		rows, err := p.Query("postgres", "SELECT 'ignored'; SELECT COUNT(*) FROM a")
		if err != nil || len(rows) != 1 {
			t.Fatal(rows, err)
		}
		return rows[0][0]
	}
	for _, step := range []func() error{
		func() error { return p.Exec("postgres", "CREATE TABLE a (b BIGINT)") },
		func() error { return p.Backup("empty") },
		func() error { return p.Exec("postgres", "INSERT INTO a VALUES (1)") },
		p.Kill, p.Start, p.Stop, p.Stop, p.Start,
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	if n := count(); n != "1" {
		t.Errorf("%s rows after a crash and a stop", n)
	}
	for range 2 {
		if err := p.Restore("empty"); err != nil {
			t.Fatal(err)
		}
		if n := count(); n != "0" {
			t.Errorf("%s rows after a restore", n)
		}
	}
	p.Close()
	if _, err := os.Stat(p.Folder); !os.IsNotExist(err) {
		t.Errorf("after Close the folder is there: %v", err)
	}
}

// inChild makes this test a process that starts a cluster and waits for its end.
const inChild = "PLUGINTEST_CLUSTER_IN_CHILD"

func TestAClusterEndsWithAProcessThatIsKilled(t *testing.T) {
	needsPostgres(t)
	if os.Getenv(inChild) != "" {
		fmt.Println("folder " + SharedPostgres(t).Folder)
		select {}
	}
	child := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$")
	child.Env = append(os.Environ(), inChild+"=1")
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	folder := ""
	for lines := bufio.NewScanner(out); folder == "" && lines.Scan(); {
		folder, _ = strings.CutPrefix(lines.Text(), "folder ")
	}
	if err := child.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = child.Wait()
	if _, err := os.Stat(folder); err != nil {
		t.Errorf("the folder of the cluster: %v", err)
	}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(folder); os.IsNotExist(err) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the folder %s is still there", folder)
		}
	}
}
