package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"notification-stormshield/plugin/plugintest"
	"notification-stormshield/stormshield/snstest"
)

const (
	notification = "torture"

	// The rhythm is quick, so that many flushes fit into a try.
	frequency = time.Second
	debounce  = 50 * time.Millisecond

	// recovery is how long the plugin may take until all is well again.
	recovery = 90 * time.Second

	// steady is how long all must have been well.
	steady = 400 * time.Millisecond

	long = time.Hour // a ban that outlasts the try
)

// nobody is whom the plugin runs as, as under CrowdSec.
var nobody = syscall.Credential{Uid: 65534, Gid: 65534}

// world is an appliance, a plugin, and what must hold there.
type world struct {
	*trial
	folder        string // temporary: the plugin's state
	appliance     *snstest.Appliance
	configuration plugintest.Configuration
	plugin        *plugintest.Process
	spare         *plugintest.Process // of a second CrowdSec, if there is one
	truth         truth
	administrator administrator
	kept          map[string]bool // objects that stay, because the administrator uses them
	broken        bool            // the administrator's own lines have faults
	killed        bool            // the plugin was, by the torture itself
}

// newWorld makes an appliance, and starts a plugin for it.
func newWorld(ctx context.Context, t *trial, options ...func(*snstest.Options)) (w *world, err error) {
	w = &world{trial: t, truth: newTruth(), kept: map[string]bool{}}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	if w.folder, err = os.MkdirTemp("", "stormshield-torture-"); err != nil {
		return nil, err
	}
	if err = w.makeState(); err != nil {
		return nil, err
	}
	var o snstest.Options
	for _, set := range options {
		set(&o)
	}
	if w.appliance, err = snstest.New(o); err != nil {
		return nil, err
	}
	w.administrator = meet(w.appliance)
	w.configuration = plugintest.Configuration{
		Name: notification, StateDir: filepath.Join(w.folder, "state"), UpdateFrequency: frequency, Debounce: debounce,
	}.For(w.appliance)
	return w, w.start(ctx)
}

// quietWorld is a new world in which a few bans are in force, and all is well.
func quietWorld(ctx context.Context, t *trial) (*world, error) {
	w, err := newWorld(ctx, t)
	if err != nil {
		return nil, err
	}
	w.mustBan(ctx, long, w.truth.fresh(w.random, 3)...)
	if err := w.settle(ctx); err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

// reconfigure hands the plugin a changed configuration.
func (w *world) reconfigure(ctx context.Context, edit func(*plugintest.Configuration)) error {
	edit(&w.configuration)
	return w.plugin.Configure(ctx, w.configuration.YAML())
}

// way draws whether the appliance lacks what it takes to edit its files there.
func (w *world) way() {
	if w.random.IntN(2) == 0 {
		w.sendWholeFiles()
	}
}

// sendWholeFiles takes from the appliance what it takes to edit its files there.
func (w *world) sendWholeFiles() {
	w.appliance.SetFaults(func(f *snstest.Faults) { f.MissingTools = []string{"awk"} })
}

// makeState makes the state's folder, as the README has an administrator do.
func (w *world) makeState() error {
	dir := filepath.Join(w.folder, "state")
	return errors.Join(os.Chmod(w.folder, 0o711), os.Mkdir(dir, 0o700), os.Chown(dir, int(nobody.Uid), int(nobody.Gid)))
}

// process starts a process of the binary, as CrowdSec does.
func (w *world) process() (*plugintest.Process, error) { return plugintest.Start(w.binary, &nobody) }

// start starts a plugin on the state that there is.
func (w *world) start(ctx context.Context) (err error) {
	if w.plugin, err = w.process(); err != nil {
		return err
	}
	w.killed = false
	return w.plugin.Configure(ctx, w.configuration.YAML())
}

// kill kills the plugin as nobody can prepare for.
func (w *world) kill() {
	w.killed = true
	_ = syscall.Kill(w.plugin.PID(), syscall.SIGKILL)
}

// restart starts another plugin after the present one was killed or has ended.
func (w *world) restart(ctx context.Context) error {
	w.lookAtLog()
	w.plugin.Kill()
	return w.start(ctx)
}

// ban hands the plugin an alert. A ban that the plugin did not acknowledge is in
// doubt: the plugin may have it, and CrowdSec would send it again.
func (w *world) ban(ctx context.Context, lasting time.Duration, prefixes ...netip.Prefix) error {
	alert := plugintest.Ban(lasting, prefixes...)
	err := w.plugin.Notify(ctx, notification, alert.Text())
	if err != nil {
		w.truth.doubt(prefixes, alert.End())
		return fmt.Errorf("notify: %w", err)
	}
	w.truth.banned(prefixes, alert.End())
	return nil
}

// mustBan is ban where nothing may keep the plugin from taking it.
func (w *world) mustBan(ctx context.Context, lasting time.Duration, prefixes ...netip.Prefix) {
	if err := w.ban(ctx, lasting, prefixes...); err != nil {
		w.found.other++
		w.found.notef("a ban was not taken: %v", err)
	}
}

// settle waits until all is as it must be, and stays so; else it finds what is
// not.
func (w *world) settle(ctx context.Context) error {
	deadline := time.Now().Add(recovery)
	var since time.Time // all is well
	for {
		now := time.Now()
		state := w.look(now)
		switch {
		case !state.well():
			since = time.Time{}
		case since.IsZero():
			since = now
		case now.Sub(since) > steady:
			return nil
		}
		if now.After(deadline) {
			state.report(&w.found)
			w.found.notef("after %s still: %s", recovery, w.tail())
			return nil
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
}

// settleAfter is settle, and says after what it was if something is amiss.
func (w *world) settleAfter(ctx context.Context, what string) error {
	notes := len(w.found.notes)
	err := w.settle(ctx)
	if len(w.found.notes) > notes {
		w.found.notef("after: %s", what)
	}
	return err
}

// tail is the end of the plugin's log.
func (w *world) tail() string {
	log := w.plugin.Log()
	var text []string
	for _, line := range log.Since(max(0, log.Len()-6)) {
		text = append(text, line.Text)
	}
	return strings.Join(text, "\n    ")
}

// lookForSecrets looks for a password in a text that nobody may find it in.
func (w *world) lookForSecrets(where, text string) {
	for _, secret := range []string{w.appliance.Password(), w.configuration.SSHPassword} {
		for _, form := range []string{secret, url.QueryEscape(secret), base64.StdEncoding.EncodeToString([]byte(secret))} {
			if strings.Contains(text, form) {
				w.found.leaks++
				w.found.notef("a password in %s: %s", where, text)
				return
			}
		}
	}
}

// lookAtLog looks for what a plugin must never write.
func (w *world) lookAtLog() {
	for _, line := range w.plugin.Log().Since(0) {
		w.lookForSecrets("the log", line.Text)
		if strings.Contains(line.Text, "panic") || line.Level == "" && strings.Contains(line.Text, "goroutine") {
			w.found.crashes++
			w.found.notef("a crash: %s", line.Text)
		}
	}
	if !w.killed && w.plugin.Exited() {
		w.found.crashes++
		w.found.notef("the plugin ended by itself: %s", w.tail())
	}
}

// lookAtState finds what others can read of the plugin's state, and what the
// plugin could not write there.
func (w *world) lookAtState() {
	err := filepath.WalkDir(filepath.Join(w.folder, "state"), func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			w.found.leaks++
			w.found.notef("others can read %s: %s", path, info.Mode())
		}
		if err == nil && info.Sys().(*syscall.Stat_t).Uid != nobody.Uid {
			w.found.other++
			w.found.notef("the plugin cannot write %s", path)
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // SQLite's files come and go
		w.found.other++
		w.found.notef("the state: %v", err)
	}
}

// end takes a last look at what must hold on every day, and closes the world.
func (w *world) end() {
	w.lookAtLog()
	w.lookAtState()
	stats := w.appliance.Stats()
	w.found.lockouts += stats.Lockouts
	w.found.evictions += stats.Evictions
	if stats.Lockouts+stats.Evictions > 0 {
		w.found.notef("%d lock-outs, %d evictions", stats.Lockouts, stats.Evictions)
	}
	w.close()
}

func (w *world) close() {
	if w.plugin != nil {
		w.plugin.Kill()
	}
	if w.appliance != nil {
		_ = w.appliance.Close()
	}
	_ = os.RemoveAll(w.folder)
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
