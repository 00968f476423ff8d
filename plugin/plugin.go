// Package plugin is the notification plugin as CrowdSec sees it: the gRPC
// service with its two calls, and the life of the process that serves it.
//
// Notify parses, records and answers. For each configuration an enforcer applies
// the decisions, and a follower reads the Local API; both run while this process
// holds the lease. The package contacts an appliance only for the test alert, and
// answers with the result of a check. Its main type is [Plugin]; [Serve] hands it
// to CrowdSec.
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
	"notification-stormshield/plugin/lockout"
	"notification-stormshield/plugin/pacer"
)

// Appliance is a firewall that can be checked.
type Appliance interface {
	enforcer.Appliance
	// Check returns the first thing that is wrong with the set-up, with a
	// hint. A login that failed is an [appliance.LoginError].
	Check(ctx context.Context) error
}

// Options are what a plugin needs from outside.
type Options struct {
	Log     hclog.Logger                    // whose sub-loggers have levels of their own
	Connect func(config.Document) Appliance // makes the client of an appliance; opens nothing
	Started time.Time                       // when the process started
	Version string                          // of this program, for the Local API
	// Interfaces returns the addresses of this machine; nil: [net.InterfaceAddrs].
	Interfaces func() ([]net.Addr, error)
	// Resolve returns the addresses of a name; nil: the system's resolver.
	Resolve func(ctx context.Context, name string) ([]netip.Addr, error)
}

// Plugin is the service. It is safe for concurrent use.
type Plugin struct {
	protobufs.UnimplementedNotifierServer
	options Options
	settle  sync.Once // waits for the process of before a reload

	mu      sync.Mutex
	running map[string]*notification // by name
}

// New returns a plugin without a configuration.
func New(o Options) *Plugin {
	return &Plugin{options: o, running: map[string]*notification{}}
}

// notification is one configuration at work.
type notification struct {
	options     Options
	document    config.Document
	filter      ban.Filter
	log         hclog.Logger
	appliance   Appliance
	ledger      *ledger.Ledger // nil: stateless
	stateless   error          // why the state cannot be opened yet; nil: it is open
	lockout     lockout.File
	enforcer    *enforcer.Enforcer
	localAPI    *lapi.Client // nil: it is not followed
	credentials string       // what a login hold-off counts for
	own         *ownAddresses
	undecided   undecided

	work  func(ctx context.Context) // what begin starts
	stop  context.CancelFunc
	ended chan struct{}
}

// Configure takes one YAML document. It opens the state, or begins without it and
// tries again. It does not contact the appliance: an error of Configure keeps
// CrowdSec from starting.
func (p *Plugin) Configure(ctx context.Context, c *protobufs.Config) (*protobufs.Empty, error) {
	document, err := config.ParseOne(c.GetConfig())
	if err != nil {
		return nil, err
	}
	if err := document.ReadSecrets(); err != nil {
		return nil, err
	}
	if err := p.conflict(document); err != nil {
		return nil, err
	}
	p.settle.Do(func() { awaitPredecessor(ctx, "/proc") })
	n, err := p.start(ctx, document)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", document.Name, err)
	}
	p.mu.Lock()
	before := p.running[document.Name]
	p.running[document.Name] = n
	n.begin()
	p.mu.Unlock()
	if before != nil {
		before.close()
	}
	return &protobufs.Empty{}, nil
}

// start makes a notification that begin starts.
func (p *Plugin) start(ctx context.Context, d config.Document) (*notification, error) {
	log := p.options.logOf(d)
	state := StateOf(d)
	books, err := state.openOrReplace(ctx, log)
	if isTemporary(err) {
		return p.startStateless(ctx, d, log, err)
	}
	if err != nil {
		return nil, state.withCure(err)
	}
	return p.launch(ctx, d, books, log)
}

// launch makes a notification with its open state.
func (p *Plugin) launch(ctx context.Context, d config.Document, books *ledger.Ledger, log hclog.Logger) (*notification, error) {
	n, err := p.options.prepare(ctx, d, books, log)
	if err != nil {
		return nil, errors.Join(err, books.Close())
	}
	n.enforcer.Shared = func(ctx context.Context, some []netip.Prefix) (map[netip.Prefix]time.Time, error) {
		return p.shared(ctx, n, some)
	}
	n.work = n.run
	log.Debug("configured", "host", d.Stormshield.Host, "state", StateOf(d).Path)
	return n, nil
}

// begin starts the work of the notification, which goes on until it is closed.
func (n *notification) begin() {
	running, stop := context.WithCancel(context.Background())
	n.stop = stop
	go func() {
		defer close(n.ended)
		n.work(running)
	}()
}

// logOf is the log of a configuration.
func (o Options) logOf(d config.Document) hclog.Logger {
	log := o.Log.Named(d.Name)
	log.SetLevel(hclog.LevelFromString(d.LogLevel))
	return log
}

// prepare makes a notification of a configuration and its state; nil: the state cannot be opened yet.
func (o Options) prepare(ctx context.Context, d config.Document, books *ledger.Ledger, log hclog.Logger) (*notification, error) {
	n := &notification{
		options: o, document: d, filter: d.Filter(), log: log, ledger: books, lockout: lockout.File{Path: StateOf(d).Lockout},
		appliance: o.Connect(d), credentials: Credentials(d), ended: make(chan struct{}),
	}
	if d.LAPI.Followed() {
		var err error
		if n.localAPI, err = LocalAPI(d, o.Version); err != nil {
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
		Appliance: target, Ledger: books, Target: TargetOf(d), Lockout: n.lockout,
		Rhythm:   pacer.Rhythm{Every: d.UpdateFrequency, Debounce: d.Debounce},
		Reassert: d.Stormshield.ReassertEvery, EntryLife: d.Stormshield.BlacklistTimeout, MaxBans: d.Decisions.MaxBans,
		SingleMax: d.Stormshield.APISingleMax, Credentials: n.credentials, Filter: func() ban.Filter { return n.filter }, Log: log,
	})
	return n, nil
}

// FlushOnce flushes the appliance of a configuration, and blocks everything in force again, in place of a plugin that
// does not run. Its caller holds the lease, and closes the ledger.
func FlushOnce(ctx context.Context, d config.Document, books *ledger.Ledger, o Options) error {
	n, err := o.prepare(ctx, d, books, o.logOf(d))
	if err != nil {
		return err
	}
	if _, err := books.RequestFlush(ctx); err != nil {
		return err
	}
	for {
		if _, err := n.enforcer.Flush(ctx); err != nil || !n.enforcer.IsUnfinished() {
			return err
		}
	}
}

func (n *notification) close() {
	n.stop()
	<-n.ended
	if n.ledger != nil {
		_ = n.ledger.Close()
	}
}

// Close stops everything. A process that ends need not call it: what is
// recorded is durable.
func (p *Plugin) Close() {
	p.mu.Lock()
	running := p.running
	p.running = map[string]*notification{}
	p.mu.Unlock()
	for _, n := range running { // a flush may wait for the lock
		n.close()
	}
}

// Notify takes the text of one notification. When it has answered without an
// error, every ban in the text is durable.
func (p *Plugin) Notify(ctx context.Context, message *protobufs.Notification) (*protobufs.Empty, error) {
	p.mu.Lock()
	n := p.running[message.GetName()]
	p.mu.Unlock()
	if n == nil {
		return nil, fmt.Errorf("there is no configuration named %.100q", message.GetName())
	}
	if err := n.notify(ctx, message.GetText(), time.Now()); err != nil {
		n.log.Error("notification failed", "error", err)
		return nil, err
	}
	return &protobufs.Empty{}, nil
}

func (n *notification) notify(ctx context.Context, text string, now time.Time) error {
	result, malformed := ban.Read(text, n.filter, now)
	if len(result.Decisions) > 0 {
		if n.stateless != nil {
			return n.stateless
		}
		recorded, err := n.ledger.Record(ctx, result.Decisions, now, n.document.Decisions.MaxBans)
		if err != nil {
			return err
		}
		n.enforcer.Trigger()
		n.log.Debug("recorded", "added", recorded.Added, "extended", recorded.Extended, "known", len(result.Decisions)-recorded.Unknown)
	}
	n.report(result, now)
	if malformed != nil {
		return malformed
	}
	if result.HasTest {
		return n.test(ctx)
	}
	return nil
}

// report says what did not become a ban.
func (n *notification) report(r ban.Result, now time.Time) {
	n.undecided.add(r.WithoutDecisions, now, n.log)
	if r.Refused.Total > 0 {
		first := r.Refused.First[0]
		n.log.Warn("decisions were not turned into bans", "refused", r.Refused.Total, "first", first.Value, "reason", first.Reason)
	}
	if r.Ignored.Total > 0 {
		first := r.Ignored.First[0]
		n.log.Debug("decisions were passed over", "ignored", r.Ignored.Total, "first", first.Value, "reason", first.Reason)
	}
}

// test answers `cscli notifications test` with how a check of the appliance
// went. It keeps to the login hold-off, so that the repetitions of a failing
// test make no further attempt.
func (n *notification) test(ctx context.Context) error {
	if deadline, ok := ctx.Deadline(); ok {
		// Leave time for the answer itself.
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-500*time.Millisecond))
		defer cancel()
	}
	hold, held, err := n.lockout.Current(n.credentials, time.Now())
	if err != nil {
		return err
	}
	if held {
		return fmt.Errorf("no login is tried before %s: %s (hint: %s)",
			hold.Until.Local().Format(time.DateTime), hold.Reason, hold.Advice())
	}
	err = n.appliance.Check(ctx)
	var login *appliance.LoginError
	if errors.As(err, &login) {
		_, failed := n.lockout.RecordFailure(n.credentials, enforcer.FailureOf(login), time.Now())
		return errors.Join(fmt.Errorf("%w (hint: %s)", login, login.Hint), failed)
	}
	if err != nil {
		return err
	}
	n.log.Info("the test alert arrived, and the appliance is set up well")
	return n.lockout.RecordSuccess(n.credentials)
}
