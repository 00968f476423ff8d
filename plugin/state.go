package plugin

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"

	"notification-stormshield/config"
	"notification-stormshield/plugin/health"
	"notification-stormshield/plugin/lease"
	"notification-stormshield/plugin/ledger"
	"notification-stormshield/plugin/outbox"
	"notification-stormshield/plugin/postgres"
	"notification-stormshield/plugin/sqlite"
)

// State has the places of a configuration's state.
type State struct {
	Path    string // the SQLite file: the ledger or, if several machines share the state, the outbox
	Lease   string // the lock of the process of this machine that acts
	Lockout string // the login hold-off

	Identity string            // of this machine among those that share the state; see [State.ReadIdentity]
	Database postgres.Database // of the shared ledger; zero: no other machine shares the state
	Machine  string            // the name of this machine among those that share the state
}

// StateOf returns the places of a configuration's state. The configuration holds its secrets if the caller opens a shared ledger.
func StateOf(d config.Document) State {
	base := filepath.Join(d.StateDir, d.Name)
	s := State{Path: base + ".db", Lease: base + ".lock", Lockout: base + ".lockout"}
	if d.SharesState() {
		s.Path, s.Identity = base+".outbox.db", base+".identity"
		s.Database = postgres.Database{URL: d.StateURL, Password: d.StatePassword.Reveal(), Name: d.Name}
		s.Machine = cmp.Or(d.StateMachine, hostName())
	}
	return s
}

// IsShared reports whether several machines share the ledger.
func (s State) IsShared() bool { return s.Database != (postgres.Database{}) }

// hostName returns the name of this machine without its domain.
func hostName() string {
	name, err := os.Hostname()
	if err != nil {
		return "unknown"
	}
	name, _, _ = strings.Cut(name, ".")
	return cmp.Or(name, "unknown")
}

// Open opens the ledger. It makes the ledger and the files beside it if there are none. A shared ledger has its files in the state folder of
// the machine too.
func (s State) Open(ctx context.Context) (*ledger.Ledger, error) {
	if s.IsShared() {
		store, err := ledger.OpenShared(ctx, s.Database, s.Machine)
		return store, withSharedHint(err)
	}
	store, err := ledger.Open(ctx, s.Path)
	if err != nil {
		return nil, withStateHint(err)
	}
	if err := s.makeFiles(); err != nil {
		return nil, withStateHint(fmt.Errorf("open the state: %w", errors.Join(err, store.Close())))
	}
	return store, nil
}

// OpenReadOnly opens the ledger for reading. It makes and changes nothing.
func (s State) OpenReadOnly(ctx context.Context) (*ledger.Ledger, error) {
	if s.IsShared() {
		store, err := ledger.OpenSharedReadOnly(ctx, s.Database, s.Machine)
		return store, withSharedHint(err)
	}
	store, err := ledger.OpenReadOnly(ctx, s.Path)
	return store, withStateHint(err)
}

// openOutbox opens the outbox. It makes the outbox and the files beside it if there are none.
func (s State) openOutbox(ctx context.Context) (*outbox.Outbox, error) {
	box, err := outbox.Open(ctx, s.Path)
	if err != nil {
		return nil, withStateHint(err)
	}
	if err := s.makeFiles(); err != nil {
		return nil, withStateHint(fmt.Errorf("open the state: %w", errors.Join(err, box.Close())))
	}
	return box, nil
}

// withSharedHint adds a hint to an error of the database that several machines share.
func withSharedHint(err error) error {
	if errors.Is(err, ledger.ErrUnavailable) {
		return fmt.Errorf("%w (hint: look whether PostgreSQL runs, and whether this machine can connect to it; "+
			"alerts are recorded on this machine meanwhile)", err)
	}
	return err
}

func withStateHint(err error) error {
	switch {
	case errors.Is(err, sqlite.ErrNewer):
		return fmt.Errorf("%w (hint: install that version again, or move the file away)", err)
	case errors.Is(err, ledger.ErrUnreadable):
		return fmt.Errorf("%w (hint: restart CrowdSec; when the plugin starts, it sets the file aside and begins a new one)", err)
	case errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%w (hint: mount that file system for writing; if it went read-only by itself, its disk has errors, see dmesg)", err)
	}
	return err
}

// leaseWait is how long a process that finds an unreadable ledger waits for the lease. Another process that sets the ledger
// aside needs less.
const leaseWait = 5 * time.Second

// errLeaseHeld means that another process holds the lease. This one may not set an unreadable ledger aside.
var errLeaseHeld = errors.New("another process holds the lease")

// openOrReplace opens the ledger or the outbox for the plugin. It replaces an unreadable file by a new one. Only the holder of the lease
// does that: otherwise two processes could each move away the new file of the other. While another process holds the lease and does not
// replace it, the error is an [errLeaseHeld].
func openOrReplace[T any](ctx context.Context, s State, open func(State, context.Context) (T, error), log hclog.Logger) (none T, _ error) {
	for deadline := time.Now().Add(leaseWait); ; {
		store, err := open(s, ctx)
		if !isUnreadable(err) {
			return store, err
		}
		held, failed := s.tryLease()
		switch {
		case failed != nil:
			return none, fmt.Errorf("%w, and %w", err, failed)
		case held != nil:
			defer func() { _ = held.Release() }()
			return replaceFile(ctx, s, open, log)
		case time.Now().After(deadline) || !pause(ctx, 100*time.Millisecond):
			return none, fmt.Errorf("%w, and %w", err, errLeaseHeld)
		}
	}
}

// tryLease takes the lease; nil: another process holds it.
func (s State) tryLease() (*lease.Lease, error) {
	if err := s.makeFiles(); err != nil {
		return nil, err
	}
	return lease.Try(s.Lease)
}

// isUnreadable reports whether a file of the state is damaged.
func isUnreadable(err error) bool {
	return errors.Is(err, ledger.ErrUnreadable) || errors.Is(err, outbox.ErrUnreadable)
}

// replaceFile sets an unreadable file aside and opens a new one. Its caller holds the lease.
func replaceFile[T any](ctx context.Context, s State, open func(State, context.Context) (T, error), log hclog.Logger) (none T, _ error) {
	store, err := open(s, ctx)
	if !isUnreadable(err) {
		return store, err // the previous holder replaced it
	}
	aside, failed := sqlite.SetAside(s.Path, time.Now())
	if failed != nil {
		return none, errors.Join(err, failed)
	}
	log.Error("the state could not be read: it was set aside, and a new one begins; its bans stay on the appliance for four hours",
		"error", err, "aside", aside)
	return open(s, ctx)
}

// HealthSource returns the places that the health of a configuration is read from. The configuration holds its secrets, because a
// login hold-off counts for them. If several machines share the state, box is the outbox of this one. If the database cannot be
// used, store is nil, and why is the reason.
func HealthSource(d config.Document, holdOff LoginHoldOff, store *ledger.Ledger, box *outbox.Outbox, why error) health.Source {
	state := StateOf(d)
	source := health.Source{
		Document: d, Ledger: store, Lockout: holdOff, Lease: state.Lease, State: state.Path,
		Credentials: Credentials(d), Target: TargetOf(d),
	}
	if box != nil {
		source.Outbox, source.Place, source.Machine, source.NoLedger = box, state.Database.Place(), state.Machine, why
	}
	return source
}

// TargetOf returns the appliance that a configuration names, its groups if there are credentials for SSH, and what enforces the bans.
func TargetOf(d config.Document) ledger.Target {
	s := d.Stormshield
	identity := []string{s.SSHHostKey, s.SSHKnownHostsPath, s.APICAPath, s.APIServerName}
	if !s.APICertFingerprint.IsZero() {
		identity = append(identity, s.APICertFingerprint.String())
	}
	target := ledger.Target{Host: s.Address(), Identity: strings.Join(identity, " ")}
	if s.UsesSSH() {
		target.Group, target.DeleteGroup = s.Group, s.DeleteGroup
	}
	target.ByRule, target.WithoutBlacklist = s.UsesRule(), !s.UsesBlacklist()
	return target
}

// Credentials returns the credentials and hosts that a login hold-off counts for. A change of any of them ends the hold-off.
func Credentials(d config.Document) string {
	s := d.Stormshield
	return strings.Join([]string{
		s.Host, fmt.Sprint(s.SSHPort, s.APIPort), s.SSHUsername, s.SSHPassword.Reveal(), sumOfFile(s.SSHPrivateKeyPath),
		s.SSHPrivateKeyPassphrase.Reveal(), s.APIUsername, s.APIPassword.Reveal(), sumOfFile(s.APIClientCertPath), sumOfFile(s.APIClientKeyPath),
	}, "\x00")
}

// sumOfFile returns a checksum of a file; "" if it cannot be read, which the login reports.
func sumOfFile(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%x", sha256.Sum256(text))
}
