package e2e

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The role and the database of a shared state. The role has no more rights than the plugin needs.
const (
	stateRole, stateDatabase = "stormshield", "stormshield"
	statePassword            = "a-state-of-the-e2e-suite"
)

// newStateDatabase makes the role and the database for a shared state.
func (p *postgres) newStateDatabase(t testing.TB) {
	t.Helper()
	p.sql(t, fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD '%s'", stateRole, statePassword))
	p.sql(t, "CREATE DATABASE "+stateDatabase)
	p.sql(t, fmt.Sprintf("REVOKE ALL ON DATABASE %s FROM PUBLIC", stateDatabase))
	p.sql(t, fmt.Sprintf("GRANT CONNECT, CREATE ON DATABASE %s TO %s", stateDatabase, stateRole))
}

// stateURL is the value of state_url for a server at host:port.
func stateURL(address string) string {
	return fmt.Sprintf("postgres://%s@%s/%s?sslmode=disable", stateRole, address, stateDatabase)
}

func (p *postgres) address() string { return fmt.Sprintf("127.0.0.1:%d", p.Port) }

// shareState configures the plugin with a shared state, and a name of its machine.
func (p *Plugin) shareState(t testing.TB, url, machine string) {
	t.Helper()
	p.values["StateURL"], p.values["StatePassword"], p.values["StateMachine"] = url, statePassword, machine
	p.configure(t)
}

// sharing is two machines, each with a CrowdSec and a plugin. Both enforce on one appliance and share their state.
type sharing struct {
	*Environment // the appliance alone
	state        *postgres
	machines     [2]*Environment
}

// newSharing starts all programs and waits until both plugins are ready. The two CrowdSecs have one database, or one each.
func newSharing(t *testing.T, oneDatabase bool) *sharing {
	t.Helper()
	folder := temporaryFolder(t)
	s := &sharing{Environment: newApplianceEnvironment(t, folder, overSSH.LoginShell), state: startPostgres(t)}
	s.state.newStateDatabase(t)
	release := current
	if oneDatabase {
		release.postgres = s.state // in another database of the same server
	}
	for i, name := range []string{"a", "b"} {
		own := filepath.Join(folder, name)
		if err := os.Mkdir(own, 0o755); err != nil {
			t.Fatal(err)
		}
		m := *s.Environment
		m.CrowdSec = installCrowdSec(t, own, release)
		m.Plugin = installPlugin(t, own, m.CrowdSec, m.Appliance, m.SSH)
		// In one database the Local API stores for each key what its bouncer has read.
		key := bouncerKey + "-" + name
		m.CrowdSec.mustCscli(t, "bouncers", "add", "stormshield-"+name, "-k", key)
		m.Plugin.values["LAPIURL"], m.Plugin.values["LAPIKey"] = m.CrowdSec.url(), key
		m.Plugin.values["APIUser"] = []string{user, otherUser}[i] // the appliance tells the machines apart by their accounts
		m.Plugin.shareState(t, stateURL(s.state.address()), name)
		s.machines[i] = &m
	}
	for _, m := range s.machines {
		m.startMachine(t)
	}
	return s
}

// startMachine starts the CrowdSec of a machine, and waits until its plugin has read its Local API.
func (env *Environment) startMachine(t testing.TB) {
	t.Helper()
	env.CrowdSec.Start(t)
	env.Plugin.waitUntilActive(t)
	waitFor(t, 10*time.Second, "the plugin reads the Local API", func() (bool, string) {
		l := env.Plugin.localAPI(t)
		return l.LastRead != nil, l.Error
	})
}

// killMachine kills CrowdSec and its plugin with SIGKILL, and returns when.
func (env *Environment) killMachine(t testing.TB) time.Time {
	t.Helper()
	at := time.Now()
	env.CrowdSec.signal(t, syscall.SIGKILL)
	killAll(env.Plugin.binary)
	env.CrowdSec.kill()
	env.Plugin.waitUntilGone(t)
	return at
}

// flushes counts the flushes that the plugin of a machine has logged.
func (env *Environment) flushes() int { return env.CrowdSec.logged("msg=flushed ") }

// holder bans an address, and returns the index of the machine that blocks it.
func (s *sharing) holder(t testing.TB, address string) int {
	t.Helper()
	before := [2]int{s.machines[0].flushes(), s.machines[1].flushes()}
	s.banAndWait(t, s.machines[0], address)
	holder := -1
	waitFor(t, 5*time.Second, "a machine has logged the flush", func() (bool, string) {
		for i, m := range s.machines {
			if m.flushes() > before[i] {
				holder = i
			}
		}
		return holder >= 0, "no machine has"
	})
	if other := 1 - holder; s.machines[other].flushes() > before[other] {
		t.Errorf("both machines flushed for the ban of %s", address)
	}
	return holder
}

// banAndWait bans an address at a machine, and waits until the appliance blocks it.
func (s *sharing) banAndWait(t testing.TB, m *Environment, value string) {
	t.Helper()
	flag := "--ip"
	if !prefix(value).IsSingleIP() {
		flag = "--range"
	}
	m.waitUntilEnforced(t, value, m.CrowdSec.Ban(t, flag, value, 4*time.Hour), limitFor(value))
}

// checkNeverUnblocked fails the test if the appliance ever unblocked one of these.
func (env *Environment) checkNeverUnblocked(t testing.TB, values ...string) {
	t.Helper()
	for _, value := range values {
		p := prefix(value)
		shown := p.String()
		if p.IsSingleIP() {
			shown = p.Addr().String()
		}
		if times := env.Appliance.logged(" - " + shown + " "); times > 0 {
			t.Errorf("%s was unblocked %d times", value, times)
		}
	}
}

// checkBlocks fails the test unless the appliance blocks exactly these.
func (s *sharing) checkBlocks(t testing.TB, values ...string) {
	t.Helper()
	want := map[netip.Prefix]bool{}
	for _, value := range values {
		want[prefix(value)] = true
	}
	waitFor(t, 15*time.Second, "the appliance blocks the bans of both machines", func() (bool, string) {
		var wrong []string
		got := s.Appliance.Blacklist(t)
		for p := range want {
			if _, blocked := got[p]; !blocked {
				wrong = append(wrong, p.String()+" is not blocked")
			}
		}
		for p := range got {
			if !want[p] {
				wrong = append(wrong, p.String()+" is blocked")
			}
		}
		return len(wrong) == 0, strings.Join(wrong, ", ")
	})
}

// checkCleanup stops one machine, and then checks the appliance as for a single machine.
func (s *sharing) checkCleanup(t *testing.T) {
	t.Helper()
	if overlaps := s.Appliance.Overlaps(t); len(overlaps) > 0 {
		t.Errorf("both machines flushed at the same time: %q", overlaps)
	}
	s.machines[1].CrowdSec.Stop(t)
	s.machines[1].Plugin.waitUntilGone(t)
	s.machines[0].checkCleanup(t)
}
