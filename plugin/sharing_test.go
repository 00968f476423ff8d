package plugin_test

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crowdsecurity/crowdsec/pkg/protobufs"
	"github.com/hashicorp/go-hclog"

	"notification-stormshield/appliance"
	"notification-stormshield/config"
	"notification-stormshield/plugin"
	"notification-stormshield/plugin/plugintest"
)

// needsPostgres says that a test runs in `make test-postgres` only, which has a server.
func needsPostgres(t *testing.T) {
	t.Helper()
	if !plugintest.TestsPostgres() {
		t.Skip("make test-postgres runs this test")
	}
}

// blacklist is an appliance that several machines share. It has the entries of the blacklist.
type blacklist struct {
	mu      sync.Mutex
	entries map[netip.Prefix]time.Time
	flushes map[string]int // by the machine
	removed []netip.Prefix
}

// clientOf returns the client of one machine.
func (b *blacklist) clientOf(machine string) plugin.Appliance { return &machineClient{b, machine} }

type machineClient struct {
	*blacklist
	machine string
}

func (c *machineClient) Apply(_ context.Context, change appliance.Change) (appliance.Outcome, error) {
	if err := change.Begin(); err != nil {
		return appliance.Outcome{}, err
	}
	if err := change.Permit(); err != nil {
		return appliance.Outcome{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flushes[c.machine]++
	done := appliance.Outcome{At: time.Now(), Unblocked: change.Unblock, Compared: time.Now(), Listed: change.Files, Cleared: change.Files}
	for _, ban := range change.Block {
		c.entries[ban.Prefix] = ban.Until
		done.Blocked = append(done.Blocked, appliance.Entry{Prefix: ban.Prefix, Expires: ban.Until})
	}
	for _, prefix := range change.Unblock {
		delete(c.entries, prefix)
		c.removed = append(c.removed, prefix)
	}
	return done, nil
}

func (c *machineClient) Check(context.Context) error { return nil }

func (c *machineClient) LogOut() {}

func (c *machineClient) Observed() appliance.Observed { return appliance.Observed{} }

func (b *blacklist) has(address string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, found := b.entries[netip.MustParsePrefix(address+"/32")]
	return found
}

func (b *blacklist) flushesOf(machine string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.flushes[machine]
}

func (b *blacklist) hasRemoved(address string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Contains(b.removed, netip.MustParsePrefix(address+"/32"))
}

// machines are two machines that share a state and an appliance.
type machines struct {
	t        *testing.T
	server   *plugintest.Postgres
	database string
	folder   string
	on       *blacklist
}

func newMachines(t *testing.T) *machines {
	t.Helper()
	needsPostgres(t)
	server := plugintest.StartPostgres(t)
	name, err := server.CreateDatabase()
	if err != nil {
		t.Fatal(err)
	}
	return &machines{
		t: t, server: server, database: name, folder: t.TempDir(),
		on: &blacklist{entries: map[netip.Prefix]time.Time{}, flushes: map[string]int{}},
	}
}

// start starts the plugin of a machine.
func (m *machines) start(name string, more ...string) *harness {
	m.t.Helper()
	h := &harness{t: m.t}
	h.p = plugin.New(plugin.Options{
		Log:     hclog.New(&hclog.LoggerOptions{Name: name, Level: hclog.Debug, Output: m.t.Output()}),
		Started: time.Now().Add(-time.Hour), Connect: func(config.Document) plugin.Appliance { return m.on.clientOf(name) },
		Resolve: func(context.Context, string) ([]netip.Addr, error) { return nil, nil },
	})
	m.t.Cleanup(h.p.Close)
	text := fmt.Sprintf("state_url: %s\nstate_machine: %s\nupdate_frequency: 1s\ndebounce: 0s\n", m.server.URL(m.database), name) + strings.Join(more, "") +
		configuration(filepath.Join(m.folder, name))
	if _, err := h.p.Configure(m.t.Context(), &protobufs.Config{Config: []byte(text)}); err != nil {
		m.t.Fatal(err)
	}
	return h
}

// do stops or starts the database.
func (m *machines) do(what func() error) {
	m.t.Helper()
	if err := what(); err != nil {
		m.t.Fatal(err)
	}
}

// query returns the first value that a query reads in the database.
func (m *machines) query(text string) string {
	m.t.Helper()
	rows, err := m.server.Query(m.database, text)
	if err != nil || len(rows) != 1 {
		m.t.Fatalf("%s: %v, %v", text, rows, err)
	}
	return rows[0][0]
}

// awaitBeat waits until the only machine has recorded one more beat. A machine notices a restored backup only if it recorded a beat after the
// backup was made.
func (m *machines) awaitBeat() {
	m.t.Helper()
	const query = "SELECT beat FROM stormshield_test.machine"
	before := m.query(query)
	eventually(m.t, "a beat", func() bool { return m.query(query) != before })
}

// startHolder starts the plugin of the first machine, and waits until it has blocked an address.
func (m *machines) startHolder(address string) *harness {
	m.t.Helper()
	first := m.start("first")
	first.ban(address)
	eventually(m.t, "blocked by the first machine", func() bool { return m.on.has(address) })
	return first
}

func TestOneOfTwoMachinesEnforcesTheBansOfBothAndTheOtherTakesOver(t *testing.T) {
	t.Parallel()
	m := newMachines(t)
	first := m.startHolder("203.0.113.1")
	second := m.start("second")
	second.ban("203.0.113.2")
	eventually(t, "blocked for the second machine", func() bool { return m.on.has("203.0.113.2") })
	if m.on.flushesOf("second") > 0 {
		t.Error("the second machine flushed while the first one held the lease")
	}
	first.p.Close()
	second.ban("203.0.113.3")
	eventually(t, "blocked by the second machine", func() bool { return m.on.has("203.0.113.3") })
	if m.on.hasRemoved("203.0.113.1") || m.on.hasRemoved("203.0.113.2") {
		t.Error("a ban was unblocked at the take-over")
	}
	if m.on.flushesOf("second") == 0 {
		t.Error("the second machine did not flush")
	}
}

func TestWithoutTheDatabaseTheHolderGoesOnAloneAndTheOtherMachineRecords(t *testing.T) {
	t.Parallel()
	m := newMachines(t)
	first := m.startHolder("203.0.113.1")
	second := m.start("second")
	m.do(m.server.Stop)
	first.ban("203.0.113.2")
	second.ban("203.0.113.3")
	eventually(t, "blocked by the machine that is alone", func() bool { return m.on.has("203.0.113.2") })
	if m.on.has("203.0.113.3") || m.on.flushesOf("second") > 0 {
		t.Error("the other machine flushed")
	}
	m.do(m.server.Start)
	eventually(t, "blocked after the database came back", func() bool { return m.on.has("203.0.113.3") })
	if m.on.hasRemoved("203.0.113.1") || m.on.hasRemoved("203.0.113.2") {
		t.Error("a ban was unblocked")
	}
}

func TestAlertsAreRecordedBeforeTheDatabaseWasEverReached(t *testing.T) {
	t.Parallel()
	m := newMachines(t)
	m.do(m.server.Stop)
	first := m.start("first")
	first.ban("203.0.113.1")
	if m.on.flushesOf("first") > 0 {
		t.Error("the machine flushed without the lease")
	}
	m.do(m.server.Start)
	eventually(t, "blocked", func() bool { return m.on.has("203.0.113.1") })
}

func TestMachinesGoOnInAStateThatBeginsAnew(t *testing.T) {
	m := newMachines(t)
	first, second := m.start("first"), m.start("second")
	first.ban("203.0.113.1")
	second.ban("203.0.113.2")
	eventually(t, "blocked", func() bool { return m.on.has("203.0.113.1") && m.on.has("203.0.113.2") })
	eventually(t, "dropped", func() bool { // PostgreSQL may end the first try, as a deadlock with a plugin
		return m.server.Exec(m.database, "DROP SCHEMA stormshield_test CASCADE") == nil
	})
	first.ban("203.0.113.3")
	second.ban("203.0.113.4")
	eventually(t, "blocked in the new state", func() bool { return m.on.has("203.0.113.3") && m.on.has("203.0.113.4") })
	if m.on.hasRemoved("203.0.113.1") || m.on.hasRemoved("203.0.113.2") {
		t.Error("a ban was unblocked")
	}
}

func TestMachinesGoOnAfterTheDatabaseWasKilled(t *testing.T) {
	t.Parallel()
	m := newMachines(t)
	first := m.startHolder("203.0.113.1")
	second := m.start("second")
	m.do(m.server.Kill)
	m.do(m.server.Start)
	first.ban("203.0.113.2")
	second.ban("203.0.113.3")
	eventually(t, "both blocked", func() bool { return m.on.has("203.0.113.2") && m.on.has("203.0.113.3") })
}

func TestAMachineThatIsAloneUnblocksBansThatEnd(t *testing.T) {
	t.Parallel()
	m := newMachines(t)
	first := m.startHolder("203.0.113.2")
	if err := first.notify(strings.Replace(alert("203.0.113.1", ""), "4h", "12s", 1)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "blocked too", func() bool { return m.on.has("203.0.113.1") })
	first.ban("203.0.113.3") // the holder keeps the bans of a flush before the next one begins
	eventually(t, "the next flush", func() bool { return m.on.has("203.0.113.3") })
	m.do(m.server.Stop)
	eventually(t, "unblocked at its end", func() bool { return m.on.hasRemoved("203.0.113.1") })
	if m.on.hasRemoved("203.0.113.2") || m.on.hasRemoved("203.0.113.3") {
		t.Error("a ban was unblocked before its end")
	}
}

func TestAMachineInADryRunLeavesTheLeaseToTheOthers(t *testing.T) {
	t.Parallel()
	m := newMachines(t)
	first := m.start("first", "dry_run: true\n")
	first.ban("203.0.113.1")
	second := m.start("second")
	second.ban("203.0.113.2")
	eventually(t, "blocked by the second machine", func() bool { return m.on.has("203.0.113.1") && m.on.has("203.0.113.2") })
}

func TestAProcessThatEndsHandsTheLeaseOver(t *testing.T) {
	t.Parallel()
	m := newMachines(t)
	first := m.startHolder("203.0.113.1")
	first.p.LogOut() // what a process does before it ends
	if released := m.query("SELECT released FROM stormshield_test.holder"); released != "1" {
		t.Errorf("released: %s", released)
	}
}

func TestADatabaseThatJustStartedMayNameAnOlderHolder(t *testing.T) {
	t.Parallel()
	m := newMachines(t)
	first := m.startHolder("203.0.113.1")
	first.p.Close()
	m.do(m.server.Stop)
	m.do(m.server.Start)
	before := time.Now()
	second := m.start("second")
	second.ban("203.0.113.2")
	eventually(t, "blocked by the second machine", func() bool { return m.on.has("203.0.113.2") })
	if took := time.Since(before); took < 5*time.Second {
		t.Errorf("the second machine flushed after %s", took)
	}
}

func TestAfterABackupTheNextFlushUnblocksABanThatTheLocalAPIDeletedMeanwhile(t *testing.T) {
	t.Parallel()
	m := newMachines(t)
	local := plugintest.NewLocalAPI()
	t.Cleanup(local.Close)
	m.start("first", "lapi: {url: '"+local.URL()+"', key: "+local.Key+", update_frequency: 1s}\n")
	local.Add(plugintest.NewUUID(), "203.0.113.1")
	eventually(t, "blocked before the backup", func() bool { return m.on.has("203.0.113.1") })
	m.do(func() error { return m.server.Backup("one") })
	local.Add(plugintest.NewUUID(), "203.0.113.2")
	eventually(t, "blocked after the backup", func() bool { return m.on.has("203.0.113.2") })
	m.awaitBeat()
	m.do(m.server.Kill)
	local.Delete("203.0.113.2")
	m.do(func() error { return m.server.Restore("one") })
	eventually(t, "unblocked", func() bool { return !m.on.has("203.0.113.2") })
	if m.on.hasRemoved("203.0.113.1") {
		t.Error("a ban was unblocked that the Local API still lists")
	}
}

// Nothing else makes this machine flush.
func TestTheHolderFlushesWhenARestoredDatabaseGotWhatItBlocked(t *testing.T) {
	t.Parallel()
	m := newMachines(t)
	m.startHolder("203.0.113.1")
	m.awaitBeat()
	m.do(func() error {
		return m.server.Exec(m.database, "SET search_path TO stormshield_test; DELETE FROM ban; UPDATE machine SET beat = 0")
	})
	eventually(t, "unblocked", func() bool { return !m.on.has("203.0.113.1") })
}
