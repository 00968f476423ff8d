package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"notification-stormshield/plugin/plugintest"
)

// TestSharedStateScripts runs the scripts in testdata/shared, which share a state in PostgreSQL. `make test-postgres` runs them. Each script has
// an empty database, and a role named app that may make its schema there. The URL of the database for this role is in $STATE_URL. The role
// with_password has the password Battery+Staple. These commands exist beside those of TestScripts:
//
//	database STATEMENT             runs a statement of SQL in the database, as its superuser
//	machine NAME start|stop        starts or stops the plugin on another machine, whose configuration is NAME.yaml
func TestSharedStateScripts(t *testing.T) {
	if !plugintest.TestsPostgres() {
		t.Skip("make test-postgres runs this")
	}
	cluster := plugintest.SharedPostgres(t)
	for _, role := range []string{"app LOGIN", "with_password LOGIN PASSWORD 'Battery+Staple'"} { // they may be there from an earlier run
		if err := cluster.Exec("postgres", "DO $$ BEGIN CREATE ROLE "+role+"; EXCEPTION WHEN duplicate_object THEN NULL; END $$"); err != nil {
			t.Fatal(err)
		}
	}
	runScripts(t, "shared", func(s *script, env *testscript.Env) (err error) {
		s.postgres = cluster
		if s.database, err = cluster.CreateDatabase(); err != nil {
			return err
		}
		env.Setenv("DATABASE", s.database)
		env.Setenv("PORT", strconv.Itoa(cluster.Port))
		env.Setenv("STATE_URL", cluster.URLFor("app", s.database))
		return s.databaseCommand([]string{"GRANT CREATE ON DATABASE " + s.database + " TO app"})
	})
}

func (s *script) databaseCommand(args []string) error {
	if len(args) != 1 || s.postgres == nil {
		return fmt.Errorf("database STATEMENT, not %q", args)
	}
	return s.postgres.Exec(s.database, args[0])
}

func (s *script) machineCommand(args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("machine NAME start or stop, not %q", args)
	}
	name, running := args[0], s.machines[args[0]]
	folder := filepath.Join(s.Folder, "state-"+name)
	switch args[1] {
	case "start":
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return err
		}
		yaml := regexp.MustCompile(`(?m)^state_(dir|machine): .*\n`).ReplaceAllString(s.yaml, "") + "state_dir: " + folder + "\nstate_machine: " + name + "\n"
		if err := os.WriteFile(filepath.Join(s.Folder, name+".yaml"), []byte(yaml), 0o600); err != nil {
			return err
		}
		p, err := startPlugin(yaml)
		s.machines[name] = p
		return err
	case "stop":
		running.Close()
		delete(s.machines, name)
		return awaitFreeLease(filepath.Join(folder, s.Configuration.Name+".lock"))
	}
	return fmt.Errorf("machine NAME start or stop, not %q", args)
}
