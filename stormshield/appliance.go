// Package stormshield keeps one Stormshield appliance in step with a list of
// bans: it puts addresses and ranges on the appliance's blacklist, takes them
// off again, and keeps the objects and groups that the blacklist names.
//
// It decides nothing about bans, keeps no state between calls, and never takes
// the administrator's configuration right. Its main type is [Appliance]:
//
//	client := stormshield.New(config)
//	outcome, err := client.Apply(ctx, change)   // outcome is what was acknowledged, also with an error
//
// A call opens its own connections and closes them at its end. [Appliance.Cleanup]
// takes everything off. Package acceptance checks whether an appliance behaves as
// this package expects.
package stormshield

import (
	"context"
	"fmt"
	"time"

	"notification-stormshield/stormshield/serverd"
	"notification-stormshield/stormshield/shell"
)

// Config describes one appliance.
type Config struct {
	API serverd.Config
	SSH shell.Config

	ConfigDir     string // the folder of object and objectgroup
	Group         string // lists the bans in force
	DeleteGroup   string // lists ended bans while they are taken off
	ReloadCommand string // run over SSH after a write; "" for none

	// BlacklistTimeout is the longest that an entry stays on the blacklist
	// without being renewed.
	BlacklistTimeout time.Duration
	// Progress is called at the begin of each step, for a user who waits; may be nil.
	Progress func(step string)
	// OneByOneLimit limits how long a flush blocks, and how long it unblocks, one by
	// one because it must not name a group. The next flush goes on. Zero is no limit.
	OneByOneLimit time.Duration
	// SingleMax is how many changes go address by address; more go by group.
	SingleMax int
	// APIPasswordHint and SSHPasswordHint follow the hint about a refused password.
	APIPasswordHint, SSHPasswordHint string
}

// Appliance is one firewall. It holds no connection between calls.
type Appliance struct {
	config Config
	ssh    *shell.Dialer
}

// New returns the appliance described. Nothing is opened.
func New(c Config) *Appliance { return &Appliance{config: c, ssh: shell.NewDialer(c.SSH)} }

func (a *Appliance) doing(format string, args ...any) {
	if a.config.Progress != nil {
		a.config.Progress(fmt.Sprintf(format, args...))
	}
}

// OpenMonitor opens a session that may change the blacklist. FORCE takes the
// monitor right from another monitor session. It does not take the configuration
// right, which an administrator at work holds.
func (a *Appliance) OpenMonitor(ctx context.Context) (*serverd.Session, error) {
	session, err := a.DialAPI(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := session.Run(ctx, "MODIFY MONITOR FORCE ON"); err != nil {
		_ = session.Close(context.WithoutCancel(ctx))
		if serverd.IsForbidden(err) {
			err = fmt.Errorf("%w; give the account %s the right mon_write", err, a.config.API.User)
		}
		return nil, err
	}
	return session, nil
}

// Release gives the monitor right back and logs out. The appliance does both by
// itself when the session ends, so an error does not matter.
func Release(ctx context.Context, session *serverd.Session) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_, _ = session.Run(ctx, "MODIFY MONITOR OFF")
	_ = session.Close(ctx)
}
