package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// postgres is a private PostgreSQL, with a cluster in a temporary folder and a port on loopback.
type postgres struct {
	*process
	Port           int
	User, Password string
}

// postgresProgram is the path of one of PostgreSQL's server programs, which Debian keeps out of PATH; "" if there is none.
func postgresProgram(name string) string {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	if len(found) == 0 {
		return ""
	}
	return slices.Max(found)
}

// startPostgres makes a cluster and starts it. The test stops it at its end.
func startPostgres(t testing.TB) *postgres {
	t.Helper()
	p := &postgres{Port: freePort(t), User: "crowdsec", Password: "a-database-of-the-e2e-suite"}
	folder := temporaryFolder(t)
	data, secret := filepath.Join(folder, "data"), filepath.Join(folder, "password")
	if err := os.WriteFile(secret, []byte(p.Password), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(data, nobody, nogroup); err != nil {
		t.Fatal(err)
	}
	run(t, p.command(t.Context(), "initdb", "-D", data, "-U", p.User, "--pwfile", secret, "--auth", "scram-sha-256", "--no-sync", "-E", "UTF8", "--locale", "C"))
	p.process = start(t, folder, "postgres", p.command(context.WithoutCancel(t.Context()), "postgres", "-D", data, "-k", data,
		"-p", fmt.Sprint(p.Port), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"))
	t.Cleanup(func() { // a killed server leaves its shared memory behind
		p.signal(t, syscall.SIGINT)
		waitFor(t, 20*time.Second, "PostgreSQL stops", func() (bool, string) { return p.hasEnded(), "it runs" })
	})
	waitFor(t, 20*time.Second, "PostgreSQL answers", func() (bool, string) {
		p.checkRunning(t)
		out, err := p.psql(t.Context(), "SELECT 1").CombinedOutput()
		return err == nil, string(out)
	})
	return p
}

// command returns a command of the server. The server refuses to run as root.
func (p *postgres) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, postgresProgram(program), args...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nogroup}}
	return cmd
}

func (p *postgres) psql(ctx context.Context, statements string) *exec.Cmd {
	return p.psqlIn(ctx, "postgres", statements)
}

func (p *postgres) psqlIn(ctx context.Context, database, statements string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "psql", "-X", "-h", "127.0.0.1", "-p", fmt.Sprint(p.Port), "-U", p.User, "-d", database, "-v", "ON_ERROR_STOP=1", "-Atc", statements)
	cmd.Env = append(os.Environ(), "PGPASSWORD="+p.Password)
	return cmd
}

// sql runs statements and returns the output of the last one.
func (p *postgres) sql(t testing.TB, statements string) string {
	t.Helper()
	return strings.TrimSpace(run(t, p.psql(t.Context(), statements)))
}
