package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"notification-stormshield/plugin/plugintest"
	"notification-stormshield/stormshield/snstest"
)

const (
	notification = "bench"
	maxBans      = 1_000_000
	banFor       = 4 * time.Hour
	perAlert     = 1000   // bans in one alert where receiving is measured
	perLarge     = 25_000 // and where it is not

	// seldom is a reassert_every within which nothing is measured.
	seldom = 12 * time.Hour

	// patience is how long anything may take before the benchmark gives up.
	patience = 5 * time.Minute
)

// way is how the plugin changes the appliance's files.
type way int

const (
	wholeFiles way = iota // both move whole
	changeOnly            // the appliance edits them: the delta way
	ways
)

func (w way) String() string { return [...]string{"whole files", "the change alone"}[w] }

// setting is what a world is made with.
type setting struct {
	link      snstest.Link
	way       way
	frequency time.Duration // update_frequency
	debounce  time.Duration
}

// world is one appliance and one plugin.
type world struct {
	setting
	binary    string
	folder    string // temporary: the plugin's state
	appliance *snstest.Appliance
	plugin    *plugintest.Process
	fresh     addresses
	banned    int       // how many bans are in force
	rested    time.Time // from when on the rhythm lets a flush begin
}

// newWorld makes an appliance that cannot be reached yet, and starts a plugin
// for it.
func newWorld(ctx context.Context, o options, s setting) (w *world, err error) {
	w = &world{setting: s, binary: o.binary}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	if w.folder, err = os.MkdirTemp(o.dir, "stormshield-bench-"); err != nil {
		return nil, err
	}
	if w.appliance, err = snstest.New(snstest.Options{Link: s.link}); err != nil {
		return nil, err
	}
	w.reachable(false)
	if s.way == wholeFiles {
		w.appliance.SetFaults(func(f *snstest.Faults) { f.MissingTools = []string{"awk"} })
	}
	if w.plugin, err = plugintest.Start(w.binary, nil); err != nil {
		return nil, err
	}
	return w, w.configure(ctx, nil)
}

// reachable opens or closes the appliance's ports.
func (w *world) reachable(yes bool) {
	w.appliance.SetFaults(func(f *snstest.Faults) { f.SSHRefuse, f.APIRefuse = !yes, !yes })
}

// configure configures the plugin, again if need be: it then starts afresh on
// the state it has. Edit may be nil.
func (w *world) configure(ctx context.Context, edit func(*plugintest.Configuration)) error {
	c := plugintest.Configuration{
		Name: notification, StateDir: filepath.Join(w.folder, "state"),
		UpdateFrequency: w.frequency, Debounce: w.debounce, Decisions: plugintest.Decisions{MaxBans: maxBans},
		Target: plugintest.Target{ReassertEvery: seldom},
	}.For(w.appliance)
	if edit != nil {
		edit(&c)
	}
	return w.plugin.Configure(ctx, c.YAML())
}

// ban sends one alert with a ban of each prefix, and returns how long the
// answer took. That it is too long for CrowdSec is not its business.
func (w *world) ban(ctx context.Context, lasting time.Duration, prefixes ...netip.Prefix) (time.Duration, error) {
	text := plugintest.Ban(lasting, prefixes...).Text()
	start := time.Now()
	if err := w.plugin.NotifyWithin(ctx, patience, notification, text); err != nil {
		return 0, err
	}
	w.banned += len(prefixes)
	return time.Since(start), nil
}

// receive sends the plugin so many bans, so many in one alert, while the
// appliance cannot be reached, and returns how long each answer took.
func (w *world) receive(ctx context.Context, bans, perAlert int) (took []time.Duration, err error) {
	for w.banned < bans {
		answered, err := w.ban(ctx, banFor, w.fresh.next(min(perAlert, bans-w.banned))...)
		if err != nil {
			return nil, err
		}
		took = append(took, answered)
	}
	return took, nil
}

// rest waits until a flush may begin as far as the rhythm goes.
func (w *world) rest(ctx context.Context) error { return pause(ctx, time.Until(w.rested)) }

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

// network is what a link is called.
func network(l snstest.Link) string {
	if l == (snstest.Link{}) {
		return "loopback"
	}
	return fmt.Sprintf("%s, %s", rate(l), brief(l.RoundTrip))
}

// rate is that of a link.
func rate(l snstest.Link) string { return fmt.Sprintf("%g Mbit/s", float64(l.BitsPerSecond)/1e6) }

// filesystem says whether a folder is on a real disk, which is what makes a
// durable write take time.
func filesystem(dir string) string {
	var s unix.Statfs_t
	switch err := unix.Statfs(dir, &s); {
	case err != nil:
		return "an unknown file system"
	case s.Type == unix.TMPFS_MAGIC:
		return "tmpfs (memory: faster than any disk)"
	}
	return "a disk"
}
