package forwarder_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"notification-stormshield/plugin/forwarder"
	"notification-stormshield/plugin/ledger"
	"notification-stormshield/plugin/outbox"
	"notification-stormshield/plugin/plugintest"
	"notification-stormshield/plugin/postgres"
)

// machine is a machine with an outbox and a forwarder, on a real server.
type machine struct {
	*testing.T
	ledger     *ledger.Ledger
	one, other *outbox.Outbox // of two processes
	forwarder  *forwarder.Forwarder
	log        *bytes.Buffer
	stop       func()
	first      int // the number of the first address
	added      []string
}

// must returns a function that fails the test at an error.
func must[T any](t *testing.T) func(T, error) T {
	return func(value T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

func newMachine(t *testing.T, d postgres.Database, name string, first int) *machine {
	path := filepath.Join(t.TempDir(), "test.outbox.db")
	m := &machine{T: t, first: first, log: new(bytes.Buffer)}
	m.ledger = must[*ledger.Ledger](t)(ledger.OpenShared(t.Context(), d, name))
	m.one, m.other = must[*outbox.Outbox](t)(outbox.Open(t.Context(), path)), must[*outbox.Outbox](t)(outbox.Open(t.Context(), path))
	m.begin()
	t.Cleanup(func() {
		m.stop()
		_, _, _ = m.ledger.Close(), m.one.Close(), m.other.Close()
	})
	return m
}

// begin starts a forwarder.
func (m *machine) begin() {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	m.forwarder = forwarder.New(forwarder.Config{
		Outbox: m.one, Ledger: m.ledger, MaxBans: 1_000_000, Log: hclog.New(&hclog.LoggerOptions{Output: m.log, Level: hclog.Info}),
	})
	go func() {
		defer close(ended)
		m.forwarder.Run(ctx)
	}()
	m.stop = func() {
		cancel()
		<-ended
	}
}

// add adds an alert.
func (m *machine) add(o *outbox.Outbox, count int) {
	m.Helper()
	some := decisions(m.first+len(m.added), count)
	if err := o.Add(context.Background(), some, time.Now()); err != nil {
		m.Fatal(err)
	}
	for _, d := range some {
		m.added = append(m.added, d.Prefix.String())
	}
}

// awaitForwarded waits until the server has all messages of the outbox.
func (m *machine) awaitForwarded(forwarded func() string) {
	m.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		waiting := must[outbox.Waiting](m.T)(m.one.Waiting(context.Background()))
		last := must[int64](m.T)(m.one.Forwarded(context.Background()))
		if waiting.Decisions == 0 && forwarded() == fmt.Sprint(last) {
			return
		}
		if time.Now().After(deadline) {
			m.stop()
			m.Fatalf("%d decisions wait, %d is forwarded here, and %s there:\n%s", waiting.Decisions, last, forwarded(), m.log)
		}
	}
}

// On a real server that is killed, cut and restored from backups: it has each decision once in the end, in the order of the alerts of
// each machine.
func TestNothingIsLostAndNothingTwiceInPostgreSQL(t *testing.T) {
	if !plugintest.TestsPostgres() {
		t.Skip("make test-postgres runs this test: it needs PostgreSQL")
	}
	t.Parallel()
	server := plugintest.StartPostgres(t)
	database := must[string](t)(server.CreateDatabase())
	d := postgres.Database{URL: server.URL(database), Name: "test"}
	machines := []*machine{newMachine(t, d, "one", 0), newMachine(t, d, "two", 1_000_000)}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(server.Backup("0"))
	backup, faults, random := "0", 0, rand.New(rand.NewPCG(1, 2))
	for faults < 20 {
		m := machines[random.IntN(2)]
		switch random.IntN(14) {
		case 0, 1, 2, 3:
			m.add(m.one, 1+random.IntN(3))
			m.forwarder.Trigger()
		case 4, 5:
			m.add(m.other, 1+random.IntN(3))
		case 6:
			m.add(m.one, 1500)
			m.forwarder.Trigger()
		case 7, 8:
			time.Sleep(time.Duration(random.IntN(300)) * time.Millisecond) // the time in which the faults fall is not a condition
		case 9:
			m.stop()
			m.begin()
		case 10:
			faults++
			check(server.Exec(database, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"))
		case 11:
			faults++
			check(server.Kill())
			m.add(m.one, 2)
			check(server.Start())
		case 12:
			faults++
			check(server.Restore(backup))
		case 13:
			backup = fmt.Sprint(faults, "-", len(m.added))
			check(server.Backup(backup))
			faults++
		}
	}
	owners, got := map[string]int{}, make([][]string, len(machines))
	for i, m := range machines {
		m.awaitForwarded(func() string {
			query := fmt.Sprintf("SELECT forwarded FROM %s.machine WHERE number = %d", d.Schema(), i+1)
			return must[[][]string](t)(server.Query(database, query))[0][0]
		})
		for _, prefix := range m.added {
			owners[prefix] = i
		}
	}
	query := fmt.Sprintf("SELECT prefix FROM %s.decision JOIN %[1]s.ban ON ban.id = ban ORDER BY decision.id", d.Schema())
	for _, row := range must[[][]string](t)(server.Query(database, query)) {
		owner := owners[row[0]]
		got[owner] = append(got[owner], row[0])
	}
	for i, m := range machines {
		if len(m.added) < 50 || !slices.Equal(got[i], m.added) {
			t.Errorf("machine %d: the server has %d decisions, and not the %d that were added, once each, in order", i, len(got[i]), len(m.added))
		}
	}
}

func TestASharedStateFromBeforeAMachineJoinedGetsItsMessages(t *testing.T) {
	if !plugintest.TestsPostgres() {
		t.Skip("make test-postgres runs this test: it needs PostgreSQL")
	}
	t.Parallel()
	server := plugintest.SharedPostgres(t)
	database := must[string](t)(server.CreateDatabase())
	d := postgres.Database{URL: server.URL(database), Name: "test"}
	m := newMachine(t, d, "one", 0)
	read := func(query string) string {
		return strings.Trim(fmt.Sprint(must[[][]string](t)(server.Query(database, "SET search_path TO "+d.Schema()+"; "+query))), "[]")
	}
	m.add(m.one, 3)
	m.awaitForwarded(func() string { return read("SELECT forwarded FROM machine") })
	if got := read("DELETE FROM local_api; DELETE FROM machine; DELETE FROM ban; SELECT COUNT(*) FROM decision"); got != "0" {
		t.Fatalf("%s decisions, want 0", got)
	}
	for deadline := time.Now().Add(30 * time.Second); read("SELECT COUNT(*) FROM decision") != "3"; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			m.stop()
			t.Fatalf("the messages are not there again:\n%s", m.log)
		}
	}
	m.awaitForwarded(func() string { return read("SELECT forwarded FROM machine") })
}
