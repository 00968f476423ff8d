package main

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
	_ "modernc.org/sqlite" // to look into the plugin's state
)

// stateFile is the plugin's ledger.
func (w *world) stateFile() string { return filepath.Join(w.folder, "state", notification+".db") }

// inState runs statements on the plugin's ledger. No plugin may run.
func (w *world) inState(ctx context.Context, statements ...string) error {
	db, err := sql.Open("sqlite", w.stateFile())
	if err != nil {
		return err
	}
	defer db.Close()
	for _, s := range statements {
		if _, err := db.ExecContext(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	return nil
}

// stop kills the plugin and waits until it is gone.
func (w *world) stop() {
	w.lookAtLog()
	w.kill()
	w.plugin.Kill()
}

// stateFaults are what happens to the ledger while no plugin runs.
var stateFaults = []struct {
	name string
	do   func(context.Context, *world) error
}{
	{"the ledger's first pages are overwritten", func(_ context.Context, w *world) error {
		return w.overwriteState(0, 4096)
	}},
	{"the ledger is overwritten in the middle", func(ctx context.Context, w *world) error {
		if err := w.inState(ctx, "PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
			return err
		}
		return w.overwriteState(4096, 1<<20)
	}},
	{"the ledger is no database", func(_ context.Context, w *world) error {
		return os.WriteFile(w.stateFile(), []byte("this is no database, however long the text may be"), 0o600)
	}},
	{"the ledger is empty", func(_ context.Context, w *world) error { return os.Truncate(w.stateFile(), 0) }},
	{"the ledger is gone", func(_ context.Context, w *world) error { return os.Remove(w.stateFile()) }},
}

// overwriteState writes noise over a part of the ledger.
func (w *world) overwriteState(from, to int64) error {
	file, err := os.OpenFile(w.stateFile(), os.O_WRONLY, 0)
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
		noise[i] = byte(w.random.Uint32())
	}
	_, err = file.WriteAt(noise, from)
	return err
}

// fullDisk fills the disk that the state is on, while bans come. What was not
// recorded is refused, so that CrowdSec sends it again. It needs root, for a
// file system of its own.
func fullDisk(ctx context.Context, t *trial) error {
	w, err := newWorld(ctx, t)
	if err != nil {
		return err
	}
	defer w.end()
	w.stop()
	dir := filepath.Join(w.folder, "state")
	// SQLite's log alone grows to 4 MB before it is written back.
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=6m,mode=700,uid=%d,gid=%d", nobody.Uid, nobody.Gid)); err != nil {
		return fmt.Errorf("make a small disk, which needs root: %w", err)
	}
	defer func() { _ = unix.Unmount(dir, unix.MNT_DETACH) }()
	if err := w.start(ctx); err != nil {
		return err
	}
	w.mustBan(ctx, long, w.truth.fresh(w.random, 10)...)
	if err := w.settle(ctx); err != nil {
		return err
	}
	filler := filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, make([]byte, 8<<20), 0o600); err == nil {
		return errors.New("the disk does not get full")
	}
	var refused [][]netip.Prefix
	for range 20 {
		some := w.truth.fresh(w.random, 1+w.random.IntN(40))
		if w.ban(ctx, long, some...) != nil {
			refused = append(refused, some)
		}
	}
	if len(refused) == 0 {
		w.found.other++
		w.found.notef("no alert was refused though the disk is full")
	}
	if w.random.IntN(2) == 0 {
		if err := w.restart(ctx); err == nil { // it may as well say that it cannot open its state
			w.killed = true
		}
	}
	if err := os.Remove(filler); err != nil {
		return err
	}
	w.killed = true
	if err := w.restart(ctx); err != nil {
		return err
	}
	for _, some := range refused {
		w.mustBan(ctx, long, some...)
	}
	return w.settle(ctx)
}

// refusedStates are those that the plugin cannot work on, and leaves as they
// are. Each gives what undoes it.
var refusedStates = []struct {
	name  string
	spoil func(context.Context, *world) (mend func() error, err error)
	says  string // what the plugin does when it is started
}{
	{"the ledger is of a newer version", func(ctx context.Context, w *world) (func() error, error) {
		version, err := w.version(ctx)
		if err != nil {
			return nil, err
		}
		mend := func() error { return w.inState(ctx, fmt.Sprintf("PRAGMA user_version = %d", version)) }
		return mend, w.inState(ctx, fmt.Sprintf("PRAGMA user_version = %d", version+1))
	}, "install that version again"},
	{"the state's folder is read-only", func(_ context.Context, w *world) (func() error, error) {
		dir := filepath.Join(w.folder, "state")
		if err := unix.Mount(dir, dir, "", unix.MS_BIND, ""); err != nil {
			return nil, err
		}
		mend := func() error { return unix.Unmount(dir, unix.MNT_DETACH) }
		if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""); err != nil {
			return nil, errors.Join(err, mend())
		}
		return mend, nil
	}, "read-only"},
}

// version is the ledger's schema.
func (w *world) version(ctx context.Context) (version int, err error) {
	db, err := sql.Open("sqlite", w.stateFile())
	if err != nil {
		return 0, err
	}
	defer db.Close()
	return version, db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version)
}

// refusedState starts the plugin on a state that it cannot work on. It says so,
// and once that is mended, goes on with what it knew.
func refusedState(ctx context.Context, t *trial, n int) error {
	w, err := quietWorld(ctx, t)
	if err != nil {
		return err
	}
	defer w.end()
	w.mustBan(ctx, 5*time.Second, w.truth.fresh(w.random, 1+w.random.IntN(30))...)
	w.stop()
	s := refusedStates[n]
	mend, err := s.spoil(ctx, w)
	if err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	err = w.start(ctx)
	w.stop()
	if mended := mend(); mended != nil {
		return fmt.Errorf("mend that %s: %w", s.name, mended)
	}
	if err == nil || !strings.Contains(err.Error(), s.says) {
		w.found.other++
		w.found.notef("%s, and the plugin says: %v", s.name, err)
	}
	if err := w.start(ctx); err != nil {
		return err
	}
	return w.settleAfter(ctx, s.name)
}

// stateKinds is how many ways there are.
var stateKinds = 1 + len(stateFaults) + len(refusedStates)

// badState spoils the ledger. What was blocked stays so, for the appliance
// still has it, and what comes from then on is recorded.
func badState(ctx context.Context, t *trial) error {
	n := t.choose(stateKinds)
	switch {
	case n == 0:
		return fullDisk(ctx, t)
	case n > len(stateFaults):
		return refusedState(ctx, t, n-1-len(stateFaults))
	}
	w, err := newWorld(ctx, t)
	if err != nil {
		return err
	}
	defer w.end()
	w.way()
	w.mustBan(ctx, long, w.truth.fresh(w.random, 5+w.random.IntN(40))...)
	if err := w.settle(ctx); err != nil {
		return err
	}
	w.stop()
	f := stateFaults[n-1]
	if err := f.do(ctx, w); err != nil {
		return fmt.Errorf("%s: %w", f.name, err)
	}
	if w.random.IntN(2) == 0 { // root comes first, and must not leave what the plugin cannot write
		if out, err := w.command(ctx, "check"); err != nil {
			return fmt.Errorf("%s: check: %w: %s", f.name, err, out)
		}
	}
	if err := w.start(ctx); err != nil { // which would keep CrowdSec from starting
		return fmt.Errorf("%s: %w", f.name, err)
	}
	w.mustBan(ctx, long, w.truth.fresh(w.random, 1+w.random.IntN(30))...)
	w.mustBan(ctx, time.Second, w.truth.fresh(w.random, 1+w.random.IntN(30))...)
	return w.settleAfter(ctx, f.name)
}
