// Package plugin is the notification plugin that CrowdSec runs. It serves the two gRPC calls of CrowdSec, Configure and
// Notify, and ends the process with CrowdSec. Its main type is [Plugin], and [Serve] runs one.
//
// Configure opens the state of one YAML document. Notify records the decisions of an alert, and answers when they are on disk.
// For each document, the process that holds the lease also runs an enforcer, which applies the decisions to the appliance,
// and a follower, which reads the Local API.
//
// If several machines share the state (state_url), Notify records in an outbox on this machine, and the process that holds the lease also
// runs a forwarder, which moves the decisions to the shared state. The follower runs on each of these machines. The enforcer runs only on
// the machine that holds the shared lease, or that goes on alone.
//
// The package itself contacts an appliance only for the test alert, which it answers with the result of a check, and to log out.
package plugin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/crowdsecurity/crowdsec/pkg/protobufs"
	"github.com/hashicorp/go-hclog"

	"notification-stormshield/appliance"
	"notification-stormshield/config"
	"notification-stormshield/lapi"
	"notification-stormshield/plugin/ban"
	"notification-stormshield/plugin/enforcer"
	"notification-stormshield/plugin/ledger"
	"notification-stormshield/plugin/metrics"
	"notification-stormshield/plugin/outbox"
	"notification-stormshield/plugin/pacer"
)

// Appliance is the client of one firewall.
type Appliance interface {
	enforcer.Appliance
	// Check returns the first fault of the set-up, with a hint. A failed login is an [appliance.LoginError].
	Check(ctx context.Context) error
	// LogOut ends the session that stays open between flushes, if there is one. It may run beside a flush.
	LogOut()
	// Observed returns what the client saw of its appliance since it was made. It may run beside a flush.
	Observed() appliance.Observed
}

// Options connect a plugin to its surroundings.
type Options struct {
	Log     hclog.Logger                    // its sub-loggers have independent levels
	Connect func(config.Document) Appliance // makes the client of an appliance; opens nothing
	Started time.Time                       // when the process started
	Version string                          // of this program, for the Local API
	// IsCommandError reports whether an error says that the appliance refused a command; nil: none does.
	IsCommandError func(error) bool
	// Interfaces returns the addresses of this machine; nil: [net.InterfaceAddrs].
	Interfaces func() ([]net.Addr, error)
	// Resolve returns the addresses of a name; nil: the system's resolver.
	Resolve func(ctx context.Context, name string) ([]netip.Addr, error)
}

// Plugin is the service. It is safe for concurrent use.
type Plugin struct {
	protobufs.UnimplementedNotifierServer
	options  Options
	awaited  sync.Once // Configure has awaited the end of the process before a reload
	exporter *metrics.Exporter

	mu      sync.Mutex
	running map[string]*notification // by name
	turns   map[string]chan struct{} // by the address of an appliance
}

// New returns a plugin without a configuration.
func New(o Options) *Plugin {
	return &Plugin{
		options: o, exporter: metrics.New(o.Version, o.Log), running: map[string]*notification{}, turns: map[string]chan struct{}{},
	}
}

// notification runs one configuration.
type notification struct {
	options     Options
	document    config.Document
	filter      ban.Filter
	log         hclog.Logger
	appliance   Appliance
	ledger      *ledger.Ledger // nil: stateless, or a shared ledger that could not be opened yet
	stateless   error          // why nothing can be recorded yet; nil: Notify records
	outbox      *outbox.Outbox // nil: no other machine shares the state
	away        error          // why the shared ledger could not be opened yet; nil: it is open
	sharing     *sharing       // nil: no other machine shares the state, or the shared ledger could not be opened yet
	lockout     LoginHoldOff
	endLockout  func() // after the last use of lockout
	enforcer    *enforcer.Enforcer
	localAPI    *lapi.Client // nil: the configuration names none
	credentials string       // a login hold-off counts for these
	own         *ownAddresses
	emptyAlerts emptyAlerts
	counters    *metrics.Counters
	exporter    *metrics.Exporter // of the process

	work  func(ctx context.Context) // the work that start begins
	stop  context.CancelFunc
	ended chan struct{}
}

// Configure starts one YAML document. If the state cannot be opened now, it starts without it and tries again. It does not
// contact the appliance. CrowdSec does not start after an error of Configure.
func (p *Plugin) Configure(ctx context.Context, c *protobufs.Config) (*protobufs.Empty, error) {
	document, err := config.ParseOne(c.GetConfig())
	if err != nil {
		return nil, err
	}
	if err := document.ReadSecrets(); err != nil {
		return nil, err
	}
	if err := p.checkConflicts(document); err != nil {
		return nil, err
	}
	p.awaited.Do(func() { awaitPredecessor(ctx, "/proc") })
	n, err := p.makeNotification(ctx, document)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", document.Name, err)
	}
	p.mu.Lock()
	before := p.running[document.Name]
	p.running[document.Name] = n
	n.start()
	p.mu.Unlock()
	if before != nil {
		before.close()
	}
	return &protobufs.Empty{}, nil
}

// makeNotification makes a notification. The caller starts it.
func (p *Plugin) makeNotification(ctx context.Context, d config.Document) (*notification, error) {
	log := p.options.logOf(d)
	state := StateOf(d)
	if state.IsShared() {
		return p.makeShared(ctx, d, log)
	}
	store, err := openOrReplace(ctx, state, State.Open, log)
	if isTemporary(err) {
		return p.makeStateless(ctx, d, log, err)
	}
	if err != nil {
		return nil, state.withOwnerHint(err)
	}
	return p.makeWithState(ctx, d, store, log)
}

// makeWithState makes a notification with its open state.
func (p *Plugin) makeWithState(ctx context.Context, d config.Document, store *ledger.Ledger, log hclog.Logger) (*notification, error) {
	n, err := p.options.prepare(ctx, d, store, log)
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	n.enforcer.Shared = func(ctx context.Context, some []netip.Prefix) (map[netip.Prefix]time.Time, error) {
		return p.endsOfOtherBans(ctx, n, some)
	}
	n.enforcer.Appliance = sharedAppliance{n.enforcer.Appliance, p.turnOf(d.Stormshield.Address())}
	n.exporter = p.exporter
	n.work = n.run
	log.Debug("configured", "host", d.Stormshield.Host, "state", StateOf(d).Path, "ssh", d.Stormshield.UsesSSH())
	return n, nil
}

// start starts the notification. It runs until it is closed.
func (n *notification) start() {
	running, stop := context.WithCancel(context.Background())
	n.stop = stop
	go func() {
		defer close(n.ended)
		if n.document.Prometheus.Enabled { // without the lease, this process may listen for another document
			defer n.exporter.Show(n.source())()
		}
		n.work(running)
	}()
}

// logOf returns the logger of a configuration.
func (o Options) logOf(d config.Document) hclog.Logger {
	log := o.Log.Named(d.Name)
	log.SetLevel(hclog.LevelFromString(d.LogLevel))
	return log
}

// prepare makes a notification. store is nil if the state cannot be opened yet.
func (o Options) prepare(ctx context.Context, d config.Document, store *ledger.Ledger, log hclog.Logger) (*notification, error) {
	holdOff, end, err := OpenLoginHoldOff(d)
	if err != nil {
		return nil, err
	}
	n := &notification{
		options: o, document: d, filter: d.Filter(), log: log, ledger: store, lockout: holdOff, endLockout: end,
		appliance: o.Connect(d), credentials: Credentials(d), ended: make(chan struct{}),
		counters: metrics.NewCounters(d.Name, d.Stormshield.Host),
	}
	if d.LAPI.IsUsed() {
		if n.localAPI, err = LocalAPI(d, o.Version); err != nil {
			end()
			return nil, err
		}
	}
	n.filter.Own = new(ban.OwnAddresses)
	n.own = newOwnAddresses(d, o, log)
	n.filter.Own.Set(n.own.read(ctx, time.Second))
	var target enforcer.Appliance = n.appliance
	if d.DryRun {
		target = enforcer.DryRun(log)
	}
	n.enforcer = enforcer.New(enforcer.Config{
		Appliance: target, Ledger: store, Target: TargetOf(d), Lockout: n.lockout,
		Rhythm:   pacer.Rhythm{Every: d.UpdateFrequency, Debounce: d.Debounce},
		Reassert: d.Stormshield.ReassertEvery, EntryLife: d.Stormshield.BlacklistTimeout, MaxBans: d.Decisions.MaxBans,
		SingleMax: d.Stormshield.APISingleMax, WithoutSSH: !d.Stormshield.UsesSSH(), Compare: d.Stormshield.CompareEvery,
		Activate: d.Stormshield.Rule.ActivateEvery, Observing: d.Stormshield.IsObserving(),
		Cut: d.Stormshield.CutConnections, Credentials: n.credentials, Filter: func() ban.Filter { return n.filter }, Log: log,
		OnFlush: n.countFlush, OnBlocked: n.counters.ObserveWaits,
	})
	return n, nil
}

// FlushOnce re-asserts all bans of a configuration while no plugin flushes. Its caller closes the ledger.
func FlushOnce(ctx context.Context, d config.Document, store *ledger.Ledger, held *Hold, o Options) error {
	n, err := o.prepare(ctx, d, store, o.logOf(d))
	if err != nil {
		return err
	}
	n.enforcer.Permit = held.Permit
	defer n.endLockout()
	defer n.appliance.LogOut()
	if _, err := store.RequestFlush(ctx); err != nil {
		return err
	}
	for {
		if _, err := n.enforcer.Flush(ctx); err != nil || !n.enforcer.IsUnfinished() {
			return err
		}
	}
}
