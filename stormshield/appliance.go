// Package stormshield blocks and unblocks addresses and ranges on one Stormshield appliance.
//
// It sends commands to the appliance's blacklist over the API. Over SSH it writes the objects and groups that these commands name to
// the appliance's files; with Config.WithoutSSH it leaves the files as they are. It decides nothing about bans, stores nothing, and
// never takes the administrator's configuration right.
// Its main type is [Appliance]:
//
//	client := stormshield.New(config)
//	outcome, err := client.Apply(ctx, change) // outcome counts also with an error
//
// A call closes its connections at its end. With Config.SessionIdle, Apply keeps its API session open for the next call, and
// [Appliance.LogOut] ends it. [Appliance.Cleanup] removes everything from the appliance.
// Package acceptance checks whether an appliance behaves as this package expects.
package stormshield

import (
	"context"
	"fmt"
	"time"

	"notification-stormshield/stormshield/filter"
	"notification-stormshield/stormshield/serverd"
	"notification-stormshield/stormshield/shell"
)

// Config describes one appliance.
type Config struct {
	API serverd.Config
	SSH shell.Config

	// WithoutSSH says that there are no credentials for SSH. Then only single addresses are blocked, and nothing reads or writes the
	// files. SSH, ConfigDir, the groups and ReloadCommand do not count.
	WithoutSSH bool

	ConfigDir     string // the folder of object and objectgroup
	Group         string // lists the bans in force
	DeleteGroup   string // lists ended bans until they are unblocked
	ReloadCommand string // run over SSH after a write; "" for none

	Rule Rule
	// BlacklistTimeout is how long an entry stays on the blacklist at most, unless a flush renews it.
	BlacklistTimeout time.Duration
	// Progress is called when a step begins, for a user who waits; may be nil.
	Progress func(step string)
	// OneByOneLimit limits how long a flush blocks, and how long it unblocks, one by one because it must not name a group.
	// The next flush continues. Zero is no limit.
	OneByOneLimit time.Duration
	// SingleMax is up to how many changes a flush applies address by address. It applies more by group.
	SingleMax int
	// SessionIdle is how long an API session stays open for the next flush. Zero: each flush logs out.
	SessionIdle time.Duration
	// APIPasswordHint and SSHPasswordHint are added to the hint about a refused password.
	APIPasswordHint, SSHPasswordHint string
}

// Rule describes the filter rule that enforces bans. The zero value is no rule. A flush never installs the rule.
type Rule struct {
	Enforces                bool     // each change of the files must reach the running rule
	Alone                   bool     // bans get no entry on the blacklist
	Observing               bool     // the rule only logs, so nothing is blocked
	AsSource, AsDestination bool     // where the rule names the group
	Activate                []string // commands of the appliance's shell that make the running rule see the group
	// Wanted is the rule that the configuration describes, also if it does not enforce. Only package acceptance reads it.
	Wanted filter.Wanted
}

// Appliance is one firewall.
type Appliance struct {
	config   Config
	ssh      *shell.Dialer
	idle     *idleSession
	observer *observer
}

// New returns an appliance. It opens no connection.
func New(c Config) *Appliance {
	o := new(observer)
	c.API.Wrap, c.API.Trusted, c.SSH.Wrap = o.api.wrap, o.keepCertificate, o.ssh.wrap
	return &Appliance{config: c, ssh: shell.NewDialer(c.SSH), idle: new(idleSession), observer: o}
}

// Config returns the configuration.
func (a *Appliance) Config() Config { return a.config }

func (a *Appliance) progress(format string, args ...any) {
	if a.config.Progress != nil {
		a.config.Progress(fmt.Sprintf(format, args...))
	}
}

const (
	takeMonitor    = "MODIFY MONITOR FORCE ON"
	releaseMonitor = "MODIFY MONITOR OFF"
	releaseTimeout = 5 * time.Second
)

// OpenMonitor opens a session that may change the blacklist. FORCE takes the monitor right from another monitor session. It
// does not take the configuration right, which an administrator at work holds.
func (a *Appliance) OpenMonitor(ctx context.Context) (*serverd.Session, error) {
	return a.openMonitor(ctx, permitAlways)
}

// openMonitor is OpenMonitor with a function that is called before each command of the session.
func (a *Appliance) openMonitor(ctx context.Context, permit func() error) (*serverd.Session, error) {
	if err := permit(); err != nil {
		return nil, err
	}
	session, err := a.DialAPI(ctx)
	if err != nil {
		return nil, err
	}
	session.Permit = permit
	if _, err := session.Run(ctx, takeMonitor); err != nil {
		_ = session.Close(context.WithoutCancel(ctx))
		if serverd.IsForbidden(err) {
			err = fmt.Errorf("%w; give the account %s the right mon_write", err, a.config.API.Account())
		}
		return nil, err
	}
	return session, nil
}

// Release gives the monitor right back and logs out. The appliance does both by itself when the session ends, so an error does
// not matter. It needs no permit.
func Release(ctx context.Context, session *serverd.Session) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
	defer cancel()
	session.Permit = nil
	_, _ = session.Run(ctx, releaseMonitor)
	_ = session.Close(ctx)
}
