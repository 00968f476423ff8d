package plugintest

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// TestsPostgres reports whether the tests of this process use PostgreSQL, as `make test-postgres` demands.
func TestsPostgres() bool { return os.Getenv("TEST_STATE") == "postgres" }

// PostgresOptions are what NewPostgres makes a cluster with.
type PostgresOptions struct {
	Fsync  bool     // a commit waits for the disk
	Base   string   // where the folder of the cluster goes; "": where temporary files go
	Listen []string // more addresses than 127.0.0.1. There only the role with_password may log in, from the networks of this machine
}

// Postgres is a private PostgreSQL cluster. It listens on 127.0.0.1 and on a socket of Unix in its folder. Its superuser is postgres, without
// a password. A role named with_password needs one, over TCP. It ends, and its folder goes, at the latest with this process.
type Postgres struct {
	Folder string // with the socket of Unix
	Port   int

	as      *syscall.Credential
	options PostgresOptions
	guard   *exec.Cmd      // removes the cluster when this process has ended
	alive   io.WriteCloser // its standard input
	server  *exec.Cmd      // nil: stopped
	ended   chan struct{}  // closed after the server ended
	made    atomic.Int64   // databases
}

// StartPostgres starts a cluster for one test. It fails the test where PostgreSQL is not installed.
func StartPostgres(tb testing.TB) *Postgres {
	tb.Helper()
	p, err := NewPostgres(PostgresOptions{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(p.Close)
	return p
}

// shared is the cluster of all tests of this process.
var shared = sync.OnceValues(func() (*Postgres, error) { return NewPostgres(PostgresOptions{}) })

// SharedPostgres returns the cluster that all tests of this process use. It ends with the process. A test must not stop it.
func SharedPostgres(tb testing.TB) *Postgres {
	tb.Helper()
	p, err := shared()
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// NewDatabase makes an empty database in the shared cluster, and returns its URL. It drops the database after the test.
func NewDatabase(tb testing.TB) string {
	tb.Helper()
	p := SharedPostgres(tb)
	name, err := p.CreateDatabase()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := p.Exec("postgres", "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			tb.Error(err)
		}
	})
	return p.URL(name)
}

// NewPostgres starts a cluster. The caller calls Close.
func NewPostgres(o PostgresOptions) (p *Postgres, err error) {
	p = &Postgres{options: o}
	if p.as, err = serverUser(); err != nil {
		return nil, err
	}
	base := cmp.Or(o.Base, os.TempDir())
	if o.Base == "" && len(base) > 60 { // the path of a socket of Unix has at most 107 bytes
		base = "/tmp"
	}
	if p.Folder, err = os.MkdirTemp(base, "postgres-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			p.Close()
			_ = os.RemoveAll(p.Folder)
		}
	}()
	if p.as != nil {
		if err := os.Chown(p.Folder, int(p.as.Uid), int(p.as.Gid)); err != nil {
			return nil, err
		}
	}
	if err := p.startGuard(); err != nil {
		return nil, err
	}
	err = p.program("initdb", "--pgdata="+p.data(), "--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C",
		"--no-sync", "--no-instructions")
	if err != nil {
		return nil, err
	}
	access := hostAccess
	if len(o.Listen) > 0 {
		access += "host  all         with_password samenet      scram-sha-256\n"
	}
	if err := os.WriteFile(filepath.Join(p.data(), "pg_hba.conf"), []byte(access), 0o600); err != nil {
		return nil, err
	}
	// Another process may take a port between its choice and the start.
	for range 5 {
		if p.Port, err = freePort(); err != nil {
			return nil, err
		}
		if err = p.Start(); err == nil {
			return p, nil
		}
	}
	return nil, err
}

// URL returns the URL of a database, for the superuser.
func (p *Postgres) URL(database string) string { return p.URLFor("postgres", database) }

// URLFor returns the URL of a database over TCP, for a role.
func (p *Postgres) URLFor(role, database string) string {
	return fmt.Sprintf("postgres://%s@127.0.0.1:%d/%s?sslmode=disable", role, p.Port, database)
}

// SocketURL returns the URL of a database over the socket of Unix, for the superuser.
func (p *Postgres) SocketURL(database string) string {
	return fmt.Sprintf("postgres://postgres@/%s?host=%s&port=%d", database, p.Folder, p.Port)
}

// CreateDatabase makes an empty database, and returns its name.
func (p *Postgres) CreateDatabase() (name string, err error) {
	name = fmt.Sprintf("test_%d", p.made.Add(1))
	// The strategy is new in PostgreSQL 15. It is the faster one without fsync.
	return name, p.Exec("postgres", "CREATE DATABASE "+name+" TEMPLATE template0 STRATEGY file_copy")
}

// Exec runs statements in a database, as the superuser.
func (p *Postgres) Exec(database, text string) error {
	_, err := p.Query(database, text)
	return err
}

// Query runs statements in a database, as the superuser. It returns the rows of the last one.
func (p *Postgres) Query(database, text string) (rows [][]string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	connection, err := pgconn.Connect(ctx, p.SocketURL(database))
	if err != nil {
		return nil, err
	}
	defer connection.Close(ctx)
	results, err := connection.Exec(ctx, text).ReadAll()
	if err != nil || len(results) == 0 {
		return nil, err
	}
	for row := range slices.Values(results[len(results)-1].Rows) {
		texts := make([]string, len(row))
		for i, value := range row {
			texts[i] = string(value)
		}
		rows = append(rows, texts)
	}
	return rows, nil
}

// Log returns the log of the server.
func (p *Postgres) Log() string {
	text, _ := os.ReadFile(filepath.Join(p.Folder, "log"))
	return string(text)
}
