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
	"notification-stormshield/plugin/ledger"
)

// State says where a configuration keeps its state.
type State struct {
	Path  string // the ledger
	Lease string // the lock of whoever flushes
}

// StateOf returns where a configuration keeps its state.
func StateOf(d config.Document) State {
	base := filepath.Join(d.StateDir, d.Name)
	return State{Path: base + ".db", Lease: base + ".lock"}
}

// Open opens the ledger, and makes the lock file beside it. A ledger that cannot be
// read is set aside for people to look at, and a new one begins; the log says so. A
// ledger of a newer version stays as it is.
func (s State) Open(ctx context.Context, log hclog.Logger) (*ledger.Ledger, error) {
	books, err := ledger.Open(ctx, s.Path)
	switch {
	case errors.Is(err, ledger.ErrNewer):
		return nil, fmt.Errorf("%w (hint: install that version again, or move the file away)", err)
	case errors.Is(err, ledger.ErrUnreadable):
		aside, failed := ledger.SetAside(s.Path, time.Now())
		if failed != nil {
			return nil, errors.Join(err, failed)
		}
		log.Error("the state could not be read and was set aside; bans recorded in it stay on the appliance for a while, and new ones are recorded anew",
			"error", err, "aside", aside)
		books, err = ledger.Open(ctx, s.Path)
	}
	if err == nil {
		if err = s.makeLease(); err == nil {
			return books, nil
		}
		err = fmt.Errorf("open the state: %w", errors.Join(err, books.Close()))
	}
	if errors.Is(err, syscall.EROFS) {
		err = fmt.Errorf("%w (hint: mount that file system for writing; if it went read-only by itself, its disk has errors, see dmesg)", err)
	}
	return nil, err
}

// TargetOf returns the appliance and the groups that a configuration names.
func TargetOf(d config.Document) ledger.Target {
	s := d.Stormshield
	identity := []string{s.SSHHostKey, s.SSHKnownHostsPath, s.APICAPath, s.APIServerName}
	if !s.APICertFingerprint.IsZero() {
		identity = append(identity, s.APICertFingerprint.String())
	}
	return ledger.Target{Host: s.Address(), Identity: strings.Join(identity, " "), Group: s.Group, DeleteGroup: s.DeleteGroup}
}

// Credentials returns what a login hold-off counts for: with another account,
// password, key or host, a login is tried at once.
func Credentials(d config.Document) string {
	s := d.Stormshield
	key := ""
	if s.SSHPrivateKeyPath != "" {
		if pem, err := os.ReadFile(s.SSHPrivateKeyPath); err == nil { // what is wrong with it, the login says
			key = fmt.Sprintf("%x", sha256.Sum256(pem))
		}
	}
	return strings.Join([]string{
		s.Host, fmt.Sprint(s.SSHPort, s.APIPort), s.SSHUsername, s.SSHPassword.Reveal(), key,
		s.SSHPrivateKeyPassphrase.Reveal(), s.APIUsername, s.APIPassword.Reveal(),
	}, "\x00")
}
