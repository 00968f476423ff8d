package lease_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"notification-stormshield/plugin/lease"
	"notification-stormshield/plugin/plugintest"
	"notification-stormshield/plugin/postgres"
)

// holderURL is the variable that makes this program hold the shared lease of a database until it is killed.
const holderURL = "TEST_HOLDER_OF"

func TestMain(m *testing.M) {
	if url := os.Getenv(holderURL); url != "" {
		held, err := (&lease.Contender{Database: databaseAt(url)}).Try(context.Background())
		fmt.Println(held != nil, err)
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func databaseAt(url string) postgres.Database { return postgres.Database{URL: url, Name: "test"} }

func needsPostgres(t *testing.T) {
	t.Helper()
	if !plugintest.TestsPostgres() {
		t.Skip("this test needs PostgreSQL: make test-postgres runs it")
	}
	t.Parallel()
}

// contender returns a contender for the lease of a database.
func contender(t *testing.T, url string) *lease.Contender {
	t.Helper()
	c := &lease.Contender{Database: databaseAt(url)}
	t.Cleanup(c.Close)
	return c
}

// take takes a lease that must be free.
func take(t *testing.T, c *lease.Contender) *lease.Shared {
	t.Helper()
	held, err := c.Try(t.Context())
	if err != nil || held == nil {
		t.Fatalf("take a free lease: %v, %v", held, err)
	}
	t.Cleanup(held.Release)
	return held
}

func wantHeldByAnother(t *testing.T, c *lease.Contender) {
	t.Helper()
	if held, err := c.Try(t.Context()); held != nil || err != nil {
		t.Fatalf("a lease that another one holds: %v, %v", held, err)
	}
}

// takeWithin takes a lease that becomes free.
func takeWithin(t *testing.T, c *lease.Contender, limit time.Duration) {
	t.Helper()
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		held, err := c.Try(t.Context())
		if held != nil {
			t.Cleanup(held.Release)
			return
		}
		if time.Since(began) > limit {
			t.Fatalf("not free after %s: %v", limit, err)
		}
	}
}

// wantLostWithin fails the test unless a holder loses its lease in time. Permit must never permit again.
func wantLostWithin(t *testing.T, held *lease.Shared, limit time.Duration) {
	t.Helper()
	for began := time.Now(); held.Permit() == nil; time.Sleep(5 * time.Millisecond) {
		if time.Since(began) > limit {
			t.Fatalf("permitted after %s", limit)
		}
	}
	select {
	case <-held.Lost():
	case <-time.After(time.Minute):
		t.Error("Permit denies, and Lost does not tell")
	}
	if held.Permit() == nil {
		t.Error("permitted again")
	}
}

const (
	// denyWithin is the time in which a holder must stop.
	denyWithin = 5 * time.Second
	// atOnce is how long the server may take to see that a connection ended, on a loaded machine.
	atOnce = 5 * time.Second
)

func TestOneMachineAtATimeHoldsTheSharedLease(t *testing.T) {
	needsPostgres(t)
	url := plugintest.NewDatabase(t)
	first, second := contender(t, url), contender(t, url)
	held := take(t, first)
	if err := held.Permit(); err != nil {
		t.Errorf("the holder: %v", err)
	}
	wantHeldByAnother(t, second)
	other := &lease.Contender{Database: postgres.Database{URL: url, Name: "other"}}
	t.Cleanup(other.Close)
	take(t, other) // the lease of another configuration
	held.Release()
	if held.Permit() == nil {
		t.Error("permitted after the release")
	}
	select {
	case <-held.Lost():
		t.Error("a lease that was given back is not lost")
	default:
	}
	next := take(t, second)
	wantHeldByAnother(t, first)
	held.Release() // of the first holder, again
	if err := next.Permit(); err != nil {
		t.Errorf("the second holder: %v", err)
	}
}

func TestAHolderStaysPermittedWhileTheDatabaseAnswers(t *testing.T) {
	needsPostgres(t)
	c := contender(t, plugintest.NewDatabase(t))
	var denied error
	for range 10 { // on a loaded machine, the database may be slow
		held := take(t, c)
		denied = nil
		for began := time.Now(); denied == nil && time.Since(began) < 4*time.Second; time.Sleep(10 * time.Millisecond) { // an answer counts for 3 s
			denied = held.Permit()
		}
		held.Release()
		if denied == nil {
			return
		}
	}
	t.Error(denied)
}

func TestTheLeaseOfAKilledProcessIsFreeAtOnce(t *testing.T) {
	needsPostgres(t)
	url := plugintest.NewDatabase(t)
	holder := exec.Command(os.Args[0])
	holder.Env = append(os.Environ(), holderURL+"="+url)
	out, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := holder.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 64)
	n, _ := out.Read(answer)
	if text := string(answer[:n]); text != "true <nil>\n" {
		t.Errorf("the holder says %q", text)
	}
	c := contender(t, url)
	wantHeldByAnother(t, c)
	if err := holder.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = holder.Wait()
	takeWithin(t, c, atOnce)
}

func TestAHolderWhoseSessionEndsLosesTheLease(t *testing.T) {
	needsPostgres(t)
	url := plugintest.NewDatabase(t)
	held := take(t, contender(t, url))
	c := contender(t, url)
	wantHeldByAnother(t, c)
	cluster := plugintest.SharedPostgres(t)
	name := url[strings.LastIndex(url, "/")+1 : strings.Index(url, "?")]
	if err := cluster.Exec("postgres", "SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_database d ON d.oid = database "+
		"WHERE locktype = 'advisory' AND granted AND datname = '"+name+"'"); err != nil {
		t.Fatal(err)
	}
	takeWithin(t, c, atOnce)
	wantLostWithin(t, held, denyWithin)
}

func TestAHolderWhoseLockIsGoneLosesTheLease(t *testing.T) {
	needsPostgres(t)
	cluster := plugintest.SharedPostgres(t)
	url := plugintest.NewDatabase(t)
	// A table in a schema before pg_catalog hides the locks, as a pooler does that gives the session to somebody else.
	name := url[strings.LastIndex(url, "/")+1 : strings.Index(url, "?")]
	if err := cluster.Exec(name, "CREATE SCHEMA hiding; CREATE VIEW hiding.pg_locks AS SELECT * FROM pg_catalog.pg_locks WHERE false"); err != nil {
		t.Fatal(err)
	}
	held := take(t, contender(t, url+"&search_path=hiding,pg_catalog"))
	wantLostWithin(t, held, denyWithin)
	if err := held.Permit(); !strings.Contains(err.Error(), "pooler") {
		t.Errorf("the reason is %v", err)
	}
}

func TestAHolderLosesTheLeaseWhenTheServerIsAway(t *testing.T) {
	needsPostgres(t)
	for name, away := range map[string]func(*plugintest.Postgres) error{
		"stopped": (*plugintest.Postgres).Stop,
		"killed":  (*plugintest.Postgres).Kill,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cluster := plugintest.StartPostgres(t)
			held, c := take(t, contender(t, cluster.URL("postgres"))), contender(t, cluster.URL("postgres"))
			wantHeldByAnother(t, c)
			if err := away(cluster); err != nil {
				t.Fatal(err)
			}
			wantLostWithin(t, held, denyWithin)
			if other, err := c.Try(t.Context()); other != nil || !postgres.IsAway(err) || !postgres.IsRefused(err) {
				t.Errorf("while the server is away: %v, %v", other, err)
			}
			if err := cluster.Start(); err != nil {
				t.Fatal(err)
			}
			take(t, c) // without a first failure because of the old connection
		})
	}
}

func TestAHolderLosesTheLeaseWhenTheServerIsSilent(t *testing.T) {
	needsPostgres(t)
	cluster := plugintest.StartPostgres(t)
	held := take(t, contender(t, cluster.URL("postgres")))
	if err := cluster.Suspend(); err != nil {
		t.Fatal(err)
	}
	wantLostWithin(t, held, denyWithin)
	began := time.Now()
	held.Release()
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("the release took %s", took)
	}
	if err := cluster.Resume(); err != nil {
		t.Fatal(err)
	}
	takeWithin(t, contender(t, cluster.URL("postgres")), time.Minute)
}

func TestAHolderLosesTheLeaseWhenTheNetworkHoldsBytesBack(t *testing.T) {
	needsPostgres(t)
	for _, silent := range []string{"to the server", "to the holder"} {
		t.Run(silent, func(t *testing.T) {
			t.Parallel()
			url := plugintest.NewDatabase(t)
			through, hold := startProxy(t, url, silent == "to the server")
			held := take(t, contender(t, through))
			hold()
			wantLostWithin(t, held, denyWithin)
			held.Release() // closes the connection, so that the server frees the lease
			takeWithin(t, contender(t, url), time.Minute)
		})
	}
}

func TestReleaseWithoutAnAnswerEndsSoon(t *testing.T) {
	needsPostgres(t)
	url := plugintest.NewDatabase(t)
	through, hold := startProxy(t, url, false)
	held := take(t, contender(t, through))
	hold()
	began := time.Now()
	held.Release()
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("the release took %s", took)
	}
	takeWithin(t, contender(t, url), 10*time.Second)
}

// startProxy starts a proxy before a database, and returns the URL through it. hold makes it keep back all bytes of one direction.
func startProxy(t *testing.T, to string, toServer bool) (through string, hold func()) {
	t.Helper()
	at, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	server := at.Host
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	held, ended := make(chan struct{}), make(chan struct{})
	var copying sync.WaitGroup
	t.Cleanup(func() {
		listener.Close()
		close(ended)
		copying.Wait()
	})
	pass := func(to, from net.Conn, holds bool) {
		defer to.Close()
		buffer := make([]byte, 64<<10)
		for {
			n, err := from.Read(buffer)
			if err != nil {
				return
			}
			select {
			case <-held:
				if holds {
					continue
				}
			default:
			}
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
	}
	copying.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			upstream, err := net.Dial("tcp", server)
			if err != nil {
				client.Close()
				continue
			}
			copying.Go(func() { pass(upstream, client, toServer) })
			copying.Go(func() { pass(client, upstream, !toServer) })
			copying.Go(func() {
				<-ended
				client.Close()
				upstream.Close()
			})
		}
	})
	at.Host = net.JoinHostPort("127.0.0.1", strconv.Itoa(listener.Addr().(*net.TCPAddr).Port))
	return at.String(), sync.OnceFunc(func() { close(held) })
}
