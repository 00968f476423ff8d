package torture

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	_ "modernc.org/sqlite" // reads the plugin's state
)

// stateFile is the plugin's ledger.
func (h *harness) stateFile() string {
	return filepath.Join(h.Configuration.StateDir, h.Configuration.Name+".db")
}

// changeState runs statements on the ledger. The plugin must not run.
func (h *harness) changeState(statements ...string) error {
	db, err := sql.Open("sqlite", h.stateFile())
	if err != nil {
		return err
	}
	defer db.Close()
	for _, s := range statements {
		if _, err := db.ExecContext(h.ctx, s); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	return nil
}

// stateFaults damage the ledger while the plugin does not run.
var stateFaults = []struct {
	name   string
	damage func(*harness) error
}{
	{"the ledger's first pages are overwritten", func(h *harness) error { return h.overwriteState(0, 4096) }},
	{"the ledger is overwritten in the middle", func(h *harness) error {
		return errors.Join(h.changeState("PRAGMA wal_checkpoint(TRUNCATE)"), h.overwriteState(4096, 1<<20))
	}},
	{"the ledger is no database", func(h *harness) error {
		return os.WriteFile(h.stateFile(), []byte("this is no database, however long the text may be"), 0o600)
	}},
	{"the ledger is empty", func(h *harness) error { return os.Truncate(h.stateFile(), 0) }},
	{"the ledger is gone", func(h *harness) error { return os.Remove(h.stateFile()) }},
}

// overwriteState writes noise over a part of the ledger.
func (h *harness) overwriteState(from, to int64) error {
	file, err := os.OpenFile(h.stateFile(), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	noise := make([]byte, max(0, min(to, info.Size())-from))
	for i := range noise {
		noise[i] = byte(h.random.Uint32())
	}
	_, err = file.WriteAt(noise, from)
	return err
}

// fullDisk fills the disk of the state while bans start. The plugin must refuse
// an alert that it does not record, so that CrowdSec repeats it.
func fullDisk(t *try) {
	h := newHarness(t)
	h.stop()
	dir := h.Configuration.StateDir
	// SQLite's log alone grows to 4 MB before a checkpoint.
	h.must(unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=6m,mode=700,uid=%d,gid=%d", nobody.Uid, nobody.Gid)))
	h.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	h.must(h.start())
	h.ban(long, h.draw(10)...)
	h.settle()
	filler := filepath.Join(dir, "filler")
	if os.WriteFile(filler, make([]byte, 8<<20), 0o600) == nil {
		h.Fatal("the disk does not get full")
	}
	var refused [][]netip.Prefix
	for range 20 {
		some := h.drawUpTo(40)
		if h.tryBan(long, some...) != nil {
			refused = append(refused, some)
		}
	}
	if len(refused) == 0 {
		h.report(others, 1, "no alert was refused though the disk is full")
	}
	if h.random.IntN(2) == 0 {
		h.checkLog()
		h.Plugin.Kill()
		_ = h.start() // it may fail to open its state
	}
	h.must(os.Remove(filler))
	h.killed = true
	h.restart()
	for _, some := range refused {
		h.ban(long, some...)
	}
	h.settle()
}

// refusedStates are states on which the plugin cannot work, and which it does not
// change. The function that damage returns repairs the state.
var refusedStates = []struct {
	name   string
	damage func(*harness) (repair func() error, err error)
	says   string // the plugin, at its start
}{
	{"the ledger is of a newer version", func(h *harness) (func() error, error) {
		version, err := h.schemaVersion(h.ctx)
		if err != nil {
			return nil, err
		}
		repair := func() error { return h.changeState(fmt.Sprintf("PRAGMA user_version = %d", version)) }
		return repair, h.changeState(fmt.Sprintf("PRAGMA user_version = %d", version+1))
	}, "install that version again"},
	{"the state's folder is read-only", func(h *harness) (func() error, error) {
		dir := h.Configuration.StateDir
		if err := unix.Mount(dir, dir, "", unix.MS_BIND, ""); err != nil {
			return nil, err
		}
		repair := func() error { return unix.Unmount(dir, unix.MNT_DETACH) }
		if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""); err != nil {
			return nil, errors.Join(err, repair())
		}
		return repair, nil
	}, "read-only"},
}

func (h *harness) schemaVersion(ctx context.Context) (version int, err error) {
	db, err := sql.Open("sqlite", h.stateFile())
	if err != nil {
		return 0, err
	}
	defer db.Close()
	return version, db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version)
}

// refusedState starts the plugin on a state on which it cannot work. It must say
// so, and go on with the state after the repair.
func refusedState(t *try, n int) {
	h := newBusyHarness(t)
	h.ban(5*time.Second, h.drawUpTo(30)...)
	h.stop()
	s := refusedStates[n]
	repair, err := s.damage(h)
	if err != nil {
		h.Fatalf("%s: %v", s.name, err)
	}
	err = h.start()
	h.stop()
	if failed := repair(); failed != nil {
		h.Fatalf("repair after: %s: %v", s.name, failed)
	}
	if err == nil || !strings.Contains(err.Error(), s.says) {
		h.report(others, 1, "%s, and the plugin says: %v", s.name, err)
	}
	h.must(h.start())
	h.settleAfter(s.name)
}

// stateKinds is the number of ways in which badState damages the ledger.
var stateKinds = 1 + len(stateFaults) + len(refusedStates)

// badState damages the ledger. Every entry on the appliance must stay, and every
// new ban must be recorded.
func badState(t *try) {
	n := t.choose(stateKinds)
	switch {
	case n == 0:
		fullDisk(t)
		return
	case n > len(stateFaults):
		refusedState(t, n-1-len(stateFaults))
		return
	}
	h := newHarness(t)
	h.maybeRemoveAwk()
	h.ban(long, h.draw(5+h.random.IntN(40))...)
	h.settle()
	h.stop()
	f := stateFaults[n-1]
	if err := f.damage(h); err != nil {
		h.Fatalf("%s: %v", f.name, err)
	}
	if h.random.IntN(2) == 0 { // root comes first, and must create no file that the plugin cannot write
		if out, err := h.command(h.ctx, nil, "check"); err != nil {
			h.Fatalf("%s: check: %v: %s", f.name, err, out)
		}
	}
	if err := h.start(); err != nil { // CrowdSec would not start
		h.Fatalf("%s: %v", f.name, err)
	}
	h.ban(long, h.drawUpTo(30)...)
	h.ban(time.Second, h.drawUpTo(30)...)
	h.settleAfter(f.name)
}
