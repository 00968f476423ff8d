package main

import (
	"context"
	"errors"
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
	notification    = "bench"
	updateFrequency = 2 * time.Second
	debounce        = time.Second
	maxBans         = 1_000_000
	banFor          = 4 * time.Hour
	perAlert        = 1000 // bans in one alert, while receiving

	// patience is how long anything may take before the benchmark gives up.
	patience = 3 * time.Minute
)

// world is one appliance and one plugin.
type world struct {
	binary    string
	folder    string // temporary: the plugin's state
	appliance *snstest.Appliance
	plugin    *plugintest.Process
	next      netip.Addr // the first address that was not banned yet
	banned    int
}

// newWorld makes an appliance that cannot be reached yet, and no plugin.
func newWorld(o options) (*world, error) {
	// Public addresses: by default, private ones are never blocked. None is
	// ever contacted.
	w := &world{binary: o.binary, next: netip.MustParseAddr("1.0.0.0")}
	var err error
	if w.folder, err = os.MkdirTemp(o.dir, "stormshield-bench-"); err != nil {
		return nil, err
	}
	if w.appliance, err = snstest.New(snstest.Options{}); err != nil {
		w.close()
		return nil, err
	}
	w.reachable(false)
	return w, nil
}

// reachable opens or closes the appliance's ports.
func (w *world) reachable(yes bool) {
	w.appliance.SetFaults(func(f *snstest.Faults) { f.SSHRefuse, f.APIRefuse = !yes, !yes })
}

// start starts the plugin and configures it.
func (w *world) start(ctx context.Context) (err error) {
	if w.plugin, err = plugintest.Start(w.binary); err != nil {
		return err
	}
	a := w.appliance
	return w.plugin.Configure(ctx, plugintest.Configuration{
		Name: notification, StateDir: filepath.Join(w.folder, "state"),
		UpdateFrequency: updateFrequency, Debounce: debounce, MaxBans: maxBans,
		Host: a.Host(), SSHPort: a.SSHPort(), APIPort: a.APIPort(), User: a.User(), Password: a.Password(),
		HostKey: a.HostKeyFingerprint(), CertFingerprint: a.CertificateFingerprint(), ConfigDir: a.ConfigDir(),
		ReassertEvery: 12 * time.Hour, // none while measuring
	}.YAML())
}

// take returns the next addresses.
func (w *world) take(n int) []netip.Prefix {
	prefixes := plugintest.Addresses(w.next, n)
	w.next = prefixes[n-1].Addr().Next()
	w.banned += n
	return prefixes
}

// receive sends the plugin so many bans while the appliance cannot be reached.
func (w *world) receive(ctx context.Context, bans int, t *table) error {
	var took []time.Duration
	for w.banned < bans {
		text := plugintest.Ban(banFor, w.take(min(perAlert, bans-w.banned))...).Text()
		start := time.Now()
		if err := w.plugin.Notify(ctx, notification, text); err != nil {
			return err
		}
		took = append(took, time.Since(start))
	}
	if bans > perAlert {
		t.received(bans, took)
	}
	return nil
}

// flush is what one flush cost.
type flush struct {
	wall           time.Duration // from the first connection to the end
	sshUp, sshDown int64         // bytes; up is to the appliance
	apiUp, apiDown int64
}

// firstFlush lets the plugin reach the appliance, and waits until all is done.
func (w *world) firstFlush(ctx context.Context, bans int) (flush, error) {
	logged := w.plugin.Log().Len()
	w.appliance.ResetStats()
	w.reachable(true)
	f, err := w.flush(ctx, logged)
	if err == nil && w.appliance.BlacklistLen() != bans {
		err = fmt.Errorf("after the first flush the appliance blocks %d", w.appliance.BlacklistLen())
	}
	return f, err
}

// flush measures the flush that comes next. Log lines before a number, and
// what the appliance's statistics hold, are of earlier ones.
func (w *world) flush(ctx context.Context, logged int) (flush, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errors.New("no flush came to its end"))
	defer cancel()
	for {
		s := w.appliance.Stats()
		if s.SSHConnections+s.APIConnections > 0 {
			break
		}
		if err := pause(ctx, time.Millisecond); err != nil {
			return flush{}, err
		}
	}
	begun := time.Now()
	end, err := w.plugin.Log().Wait(ctx, logged, func(l plugintest.Line) bool { return l.Message == "flushed" })
	if err != nil {
		return flush{}, err
	}
	s := w.appliance.Stats()
	return flush{
		wall: end.Received.Sub(begun), sshUp: s.SSHBytesIn, sshDown: s.SSHBytesOut, apiUp: s.APIBytesIn, apiDown: s.APIBytesOut,
	}, nil
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
