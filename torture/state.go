package main

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"time"

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

// badState spoils the ledger. What was blocked stays so, for the appliance
// still has it, and what comes from then on is recorded.
func badState(ctx context.Context, t *trial) error {
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
	f := stateFaults[t.number%len(stateFaults)]
	if err := f.do(ctx, w); err != nil {
		return fmt.Errorf("%s: %w", f.name, err)
	}
	if err := w.start(ctx); err != nil { // which would keep CrowdSec from starting
		return fmt.Errorf("%s: %w", f.name, err)
	}
	w.mustBan(ctx, long, w.truth.fresh(w.random, 1+w.random.IntN(30))...)
	w.mustBan(ctx, time.Second, w.truth.fresh(w.random, 1+w.random.IntN(30))...)
	return w.settle(ctx)
}
