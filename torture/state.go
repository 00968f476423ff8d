package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
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
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m,mode=700"); err != nil {
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
	if err := os.WriteFile(filler, make([]byte, 2<<20), 0o600); err == nil {
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

// badState spoils the ledger. What was blocked stays so, for the appliance
// still has it, and what comes from then on is recorded.
func badState(ctx context.Context, t *trial) error {
	if t.choose(len(stateFaults)+1) == len(stateFaults) {
		return fullDisk(ctx, t)
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
	f := stateFaults[t.choose(len(stateFaults)+1)]
	if err := f.do(ctx, w); err != nil {
		return fmt.Errorf("%s: %w", f.name, err)
	}
	if err := w.start(ctx); err != nil { // which would keep CrowdSec from starting
		return fmt.Errorf("%s: %w", f.name, err)
	}
	w.mustBan(ctx, long, w.truth.fresh(w.random, 1+w.random.IntN(30))...)
	w.mustBan(ctx, time.Second, w.truth.fresh(w.random, 1+w.random.IntN(30))...)
	return w.settleAfter(ctx, f.name)
}
