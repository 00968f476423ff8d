package plugin

import (
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
	"notification-stormshield/plugin/lockout"
)

// State has the paths of a configuration's state.
type State struct {
	Path    string // the ledger
	Lease   string // the lock of the process that flushes
	Lockout string // the login hold-off
}

// StateOf returns the paths of a configuration's state.
func StateOf(d config.Document) State {
	base := filepath.Join(d.StateDir, d.Name)
	return State{Path: base + ".db", Lease: base + ".lock", Lockout: base + ".lockout"}
}

// Open opens the ledger. It makes the ledger and the files beside it if there are none.
func (s State) Open(ctx context.Context) (*ledger.Ledger, error) {
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
	store, err := ledger.OpenReadOnly(ctx, s.Path)
	return store, withStateHint(err)
}

func withStateHint(err error) error {
	switch {
	case errors.Is(err, ledger.ErrNewer):
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

// openOrReplace opens the ledger for the plugin. It replaces an unreadable one by a new one. Only the holder of the lease does
// that: otherwise two processes could each move away the new file of the other. While another process holds the lease and does not
// replace it, the error is an [errLeaseHeld].
func (s State) openOrReplace(ctx context.Context, log hclog.Logger) (*ledger.Ledger, error) {
	for deadline := time.Now().Add(leaseWait); ; {
		store, err := s.Open(ctx)
		if !errors.Is(err, ledger.ErrUnreadable) {
			return store, err
		}
		held, failed := s.tryLease()
		switch {
		case failed != nil:
			return nil, fmt.Errorf("%w, and %w", err, failed)
		case held != nil:
			defer func() { _ = held.Release() }()
			return s.replace(ctx, log)
		case time.Now().After(deadline) || !pause(ctx, 100*time.Millisecond):
			return nil, fmt.Errorf("%w, and %w", err, errLeaseHeld)
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

// replace sets an unreadable ledger aside and opens a new one. Its caller holds the lease.
func (s State) replace(ctx context.Context, log hclog.Logger) (*ledger.Ledger, error) {
	store, err := s.Open(ctx)
	if !errors.Is(err, ledger.ErrUnreadable) {
		return store, err // the holder before this one replaced it
	}
	aside, failed := ledger.SetAside(s.Path, time.Now())
	if failed != nil {
		return nil, errors.Join(err, failed)
	}
	log.Error("the state could not be read: it was set aside, and a new one begins; its bans stay on the appliance for four hours",
		"error", err, "aside", aside)
	return s.Open(ctx)
}

// HealthSource returns the places that the health of a configuration is read from. The configuration holds its secrets, because a
// login hold-off counts for them.
func HealthSource(d config.Document, store *ledger.Ledger) health.Source {
	state := StateOf(d)
	return health.Source{
		Document: d, Ledger: store, Lockout: lockout.File{Path: state.Lockout}, Lease: state.Lease, State: state.Path,
		Credentials: Credentials(d), Target: TargetOf(d),
	}
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
