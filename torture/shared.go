package torture

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"notification-stormshield/plugin/plugintest"
	"notification-stormshield/stormshield/snstest"
)

const (
	// sharedRecovery is recovery for machines that share their state. A decision that is deleted while its machine does not read ends
	// within two full reads.
	sharedRecovery = 5 * time.Minute
	// takeover is how long a ban may take to the blacklist after the holder of the lease has vanished: 30 s, and the flush.
	takeover = 45 * time.Second
	// alone is how long a ban may take to the blacklist while PostgreSQL is stopped.
	alone = 30 * time.Second
	// seenBackup is how old a backup must be before it is restored. By then each machine has recorded a beat that the backup lacks, so that
	// it notices the backup.
	seenBackup = 7 * time.Second
	// statePassword is that of the role in PostgreSQL.
	statePassword = "a-role-of-the-torture"
)

// sharedState causes outages of PostgreSQL, of the network and of the plugins of two machines that share their state. Bans come and end
// meanwhile. Each machine has a Local API. Those of half of the tries list the same, as with one database of CrowdSec.
func sharedState(t *try) {
	s := newSite(t)
	rounds := 10
	if t.Short {
		rounds = 5
	}
	for round := range rounds {
		t.tries = round + 1
		if round == 0 || t.random.IntN(3) == 0 {
			s.backup()
		}
		o := siteOutages[(t.choose(len(siteOutages))+round*5)%len(siteOutages)]
		t.Logf("round %d: %s", round, o.name)
		s.change()
		o.cause(s)
		s.settled = false
		s.change()
		if round == rounds-1 || t.random.IntN(2) == 0 {
			s.settle(fmt.Sprintf("round %d: %s", round, o.name))
		}
	}
}

// site is two machines with one appliance and one PostgreSQL.
type site struct {
	*try
	state     *plugintest.Postgres
	machines  [2]*machine
	together  bool // the Local APIs list the same
	backups   int
	backedUp  time.Time // when the last backup was made
	decisions []siteDecision
	settled   bool // there was no trouble since the last settle

	mu       sync.Mutex
	standing map[netip.Prefix]bool // bans that are blocked, and must stay so
}

// machine is a plugin and a Local API in a namespace.
type machine struct {
	*harness
	network *network
	api     *plugintest.LocalAPI
}

// siteDecision is a decision of a Local API.
type siteDecision struct {
	machine int // -1: of both
	prefix  netip.Prefix
	until   time.Time
}

func newSite(t *try) *site {
	t.Helper()
	s := &site{try: t, together: t.choose(2) == 1, standing: map[netip.Prefix]bool{}}
	first, err := plugintest.New(plugintest.Options{
		Binary: t.Binary, User: &nobody, Appliance: snstest.Options{SessionIdle: 20 * time.Second}, // each killed plugin leaves a session
		Configuration: plugintest.Configuration{Name: "torture", UpdateFrequency: updateFrequency, Debounce: debounce},
	})
	t.must(err)
	h := &harness{try: t, Harness: first, expected: newExpected(), administrator: newAdministrator(first.Appliance), kept: map[string]bool{}}
	t.Cleanup(first.Close)
	var listen []string
	for i, name := range []string{"a", "b"} {
		m := s.newMachine(h, i, name)
		listen = append(listen, m.network.here)
	}
	s.state, err = plugintest.NewPostgres(plugintest.PostgresOptions{Listen: listen})
	t.must(err)
	t.Cleanup(s.state.Close)
	database, err := s.state.CreateDatabase()
	t.must(err)
	t.must(s.state.Exec("postgres", fmt.Sprintf("CREATE ROLE with_password LOGIN PASSWORD '%s'; GRANT CREATE ON DATABASE %s TO with_password", statePassword, database)))
	for i, m := range s.machines {
		m.Configuration.StateURL = (&url.URL{
			Scheme: "postgres", User: url.User("with_password"), Host: net.JoinHostPort(listen[i], strconv.Itoa(s.state.Port)),
			Path: database, RawQuery: "sslmode=disable",
		}).String()
		t.must(m.start())
	}
	t.Cleanup(s.watch())
	return s
}

// newMachine makes a machine, and does not start its plugin.
func (s *site) newMachine(of *harness, i int, name string) *machine {
	s.Helper()
	one := *of.Harness
	m := &machine{harness: &harness{
		try: s.try, Harness: &one, expected: of.expected, administrator: of.administrator, kept: of.kept,
	}}
	s.machines[i] = m
	var err error
	m.network, err = newNetwork(s.ctx)
	s.must(err)
	s.Cleanup(m.network.close)
	state := filepath.Join(one.Folder, "state-"+name)
	s.must(errors.Join(os.Mkdir(state, 0o700), os.Chown(state, int(nobody.Uid), int(nobody.Gid))))
	m.api = plugintest.NewLocalAPI()
	s.Cleanup(m.api.Close)
	m.Configuration.StateDir, m.Configuration.StateMachine, m.Configuration.StatePassword = state, name, statePassword
	m.Configuration.LAPI = m.api.Section()
	local, err := url.Parse(m.api.URL())
	s.must(err)
	port, err := strconv.Atoi(local.Port())
	s.must(err)
	for _, p := range []int{one.Appliance.SSHPort(), one.Appliance.APIPort(), port} {
		s.must(m.network.bridge(p, net.IPv4(127, 0, 1, byte(1+i))))
	}
	s.Cleanup(m.end)
	return m
}

// start starts the plugin in the namespace of the machine.
func (m *machine) start() error {
	m.killed = false
	return m.network.inside(func() (err error) {
		if m.Plugin, err = m.StartProcess(); err != nil {
			return err
		}
		return m.Plugin.Configure(m.ctx, m.Configuration.YAML())
	})
}

// end checks what must hold after a try, and ends the plugin.
func (m *machine) end() {
	if m.Plugin == nil {
		return
	}
	m.checkLog()
	for _, line := range m.Plugin.Log().Since(0) {
		m.checkFor("the log", line.Text, statePassword)
	}
	m.checkState()
	m.Plugin.Kill()
}

// backup copies PostgreSQL's cluster. A later outage restores the last copy.
func (s *site) backup() {
	s.Helper()
	s.backups++
	s.must(s.state.Backup(strconv.Itoa(s.backups)))
	s.backedUp = time.Now()
}

// change starts and ends a few bans at random.
func (s *site) change() {
	s.Helper()
	for range 1 + s.random.IntN(4) {
		i := s.random.IntN(len(s.machines))
		switch s.random.IntN(10) {
		case 0, 1:
			s.ban(i, time.Duration(2+s.random.IntN(8))*time.Second, true, s.draw(1+s.random.IntN(3))...)
		case 2, 3:
			s.ban(i, long, false, s.draw(1+s.random.IntN(30))...)
		case 4: // a machine bans what the other one has banned
			if d := s.anyDecision(); d != nil {
				s.ban(i, long, true, d.prefix)
			}
		case 5:
			if d := s.anyDecision(); d != nil {
				s.unban(i, d.prefix)
			}
		default:
			s.ban(i, long, true, s.draw(1+s.random.IntN(3))...)
		}
	}
}

func (s *site) draw(n int) []netip.Prefix { return s.machines[0].draw(n) }

func (s *site) anyDecision() *siteDecision {
	if len(s.decisions) == 0 {
		return nil
	}
	return &s.decisions[s.random.IntN(len(s.decisions))]
}

// ban makes decisions at a Local API. With an alert, the plugin also gets them at once, if it runs. It must record them, whatever
// PostgreSQL does.
func (s *site) ban(i int, duration time.Duration, alert bool, prefixes ...netip.Prefix) {
	s.Helper()
	m, of := s.machines[i], i
	if s.together {
		of = -1
	}
	for _, p := range prefixes {
		a := plugintest.Ban(duration, p)
		a.UUID = plugintest.NewUUID()
		for j, other := range s.machines {
			if j == i || s.together {
				other.api.AddUntil(a.UUID, value(p), a.End())
			}
		}
		s.decisions = append(s.decisions, siteDecision{of, p, a.End()})
		s.expect(p)
		if !alert || m.killed {
			continue
		}
		if err := m.Plugin.Notify(s.ctx, m.Configuration.Name, a.Text()); err != nil {
			s.report(others, 1, "machine %s refused a ban: %v", m.Configuration.StateMachine, err)
		}
	}
}

// value is how a Local API lists a prefix.
func value(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// unban deletes the decisions of a Local API on a prefix.
func (s *site) unban(i int, p netip.Prefix) {
	of := i
	if s.together {
		of = -1
	}
	s.mu.Lock()
	delete(s.standing, p)
	s.mu.Unlock()
	var left []siteDecision
	for _, d := range s.decisions {
		if d.prefix != p || d.machine != of {
			left = append(left, d)
		}
	}
	s.decisions = left
	for j, m := range s.machines {
		if j == i || s.together {
			m.api.Delete(value(p))
		}
	}
	s.expect(p)
}

// expect computes until when a prefix must be blocked.
func (s *site) expect(p netip.Prefix) {
	until := s.machines[0].expected.until // both machines have this map
	delete(until, p)
	for _, d := range s.decisions {
		if d.prefix == p {
			extend(until, []netip.Prefix{p}, d.until)
		}
	}
}

// settle waits until the appliance blocks what both Local APIs list. From then on the long bans must stay blocked.
func (s *site) settle(trouble string) {
	s.Helper()
	began := time.Now()
	s.machines[s.random.IntN(len(s.machines))].settleWithin(sharedRecovery, trouble)
	s.Logf("%s: the appliance is right after %s", trouble, time.Since(began).Round(time.Second))
	appliance := s.machines[0].Appliance
	stats := appliance.Stats()
	if stats.Overlaps > 0 {
		s.report(others, stats.Overlaps, "flushes of both machines at the same time: %q", appliance.Overlaps())
	}
	if stats.Lockouts > 0 {
		s.report(lockedOut, stats.Lockouts, "%d lock-outs", stats.Lockouts)
	}
	if s.Failed() {
		for _, m := range s.machines {
			s.Logf("machine %s:\n    %s", m.Configuration.StateMachine, m.tail())
		}
		s.FailNow()
	}
	s.settled = true
	s.mu.Lock()
	defer s.mu.Unlock()
	for p, until := range s.machines[0].expected.until {
		if time.Until(until) > long/2 {
			s.standing[p] = true
		}
	}
}

// forgive ends the demand that bans stay blocked, until the next settle. A database from a backup does not know the latest ones.
func (s *site) forgive() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.standing)
}

// watch reports the bans that do not stay blocked, until stop is called.
func (s *site) watch() (stop func()) {
	ctx, cancel := context.WithCancel(s.ctx)
	appliance := s.machines[0].Appliance
	var watching sync.WaitGroup
	watching.Go(func() {
		for {
			changed := appliance.BlacklistChanged()
			s.mu.Lock()
			for p := range s.standing {
				if _, blocked := appliance.BlockedPrefix(p); !blocked {
					delete(s.standing, p)
					s.report(lostBans, 1, "%s was unblocked at %s", p, time.Now().Format("15:04:05.000"))
				}
			}
			s.mu.Unlock()
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
		}
	})
	return func() { cancel(); watching.Wait() }
}

// checkBanOf bans an address at a machine. It must be blocked in time.
func (s *site) checkBanOf(i int, within time.Duration, trouble string) {
	s.Helper()
	m := s.machines[i]
	addresses := s.machines[0].drawAddresses(1)
	s.ban(i, long, true, addresses...)
	m.reportAfter(m.await(func(time.Time) difference { return m.missing(addresses) }, within), trouble)
}

// checkAlone bans an address at each machine while no PostgreSQL listens. The last holder of the lease must block its own one.
func (s *site) checkAlone(trouble string) {
	s.Helper()
	if !s.settled { // perhaps no machine holds the lease
		return
	}
	m, either := s.machines[0], s.machines[0].drawAddresses(2)
	for i, p := range either {
		s.ban(i, long, true, p)
	}
	m.reportAfter(m.await(func(time.Time) difference {
		if d := m.missing(either); len(d.missing) == len(either) {
			return d
		}
		return difference{}
	}, alone), trouble)
}
