package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"notification-stormshield/plugin/plugintest"
	"notification-stormshield/stormshield/snstest"
)

const (
	maxBans  = 1_000_000
	banFor   = 4 * time.Hour
	perAlert = 1000   // bans in one alert where the benchmark measures receiving
	perLarge = 25_000 // bans in one alert elsewhere

	// rarely is a reassert_every that causes no re-assert during a measurement.
	rarely = 12 * time.Hour

	// patience is the longest time of any step.
	patience = 5 * time.Minute
)

// way is how the plugin changes the appliance.
type way int

const (
	wholeFiles way = iota // the plugin sends both files whole
	changeOnly            // the appliance edits its files, and the plugin sends the change alone
	withoutSSH            // the plugin has no credentials for SSH, and uses the API alone
	ways
)

func (w way) String() string {
	return [...]string{"whole files", "the change alone", "without SSH"}[w]
}

// The settings for lone bans and storms, for the shortest times, and for flushes that
// each log in: with an update_frequency below 10 s, one API session stays open.
var (
	normal = setting{way: changeOnly, frequency: 2 * time.Second, debounce: time.Second}
	short  = setting{way: changeOnly, frequency: time.Second, debounce: 100 * time.Millisecond}
	spaced = setting{way: changeOnly, frequency: 10 * time.Second, debounce: 100 * time.Millisecond}
)

// setting is for a new harness.
type setting struct {
	link      snstest.Link
	way       way
	frequency time.Duration // update_frequency
	debounce  time.Duration
	singleMax int // api_single_max; 0: the default
	metrics   bool
	server    *plugintest.Postgres // that stores the state; nil: SQLite
}

// harness is one appliance and one plugin.
type harness struct {
	*plugintest.Harness
	setting
	fresh     addresses
	banned    int       // the number of bans in force
	nextFlush time.Time // the earliest by update_frequency

	reasserted time.Time // the end of the last re-assert
	beforeEnd  int       // the length of the log before the end of a short ban

	scrapes []time.Duration // of beingScraped
}

// newHarness makes an appliance, and starts a plugin that sends it nothing until firstFlush.
func newHarness(ctx context.Context, o options, s setting) (*harness, error) {
	folder, err := os.MkdirTemp(o.dir, "stormshield-bench-")
	if err != nil {
		return nil, err
	}
	p, err := plugintest.New(plugintest.Options{
		Binary: o.binary, Folder: folder, Appliance: snstest.Options{Link: s.link},
		Configuration: plugintest.Configuration{
			Name: "bench", UpdateFrequency: s.frequency, Debounce: s.debounce,
			Decisions: plugintest.Decisions{MaxBans: maxBans}, Target: plugintest.Target{ReassertEvery: rarely, APISingleMax: s.singleMax},
		},
	})
	if err != nil {
		_ = os.RemoveAll(folder)
		return nil, err
	}
	h := &harness{Harness: p, setting: s}
	switch s.way {
	case wholeFiles:
		h.RemoveAwk()
	case withoutSSH:
		h.Configuration.WithoutSSH = true
	}
	if s.metrics {
		h.Configuration.Prometheus = plugintest.NewPrometheus()
	}
	if s.server != nil {
		if err := h.shareState(); err != nil {
			h.close()
			return nil, err
		}
	}
	h.Configuration.DryRun = true
	if err := h.Start(ctx); err != nil {
		h.close()
		return nil, err
	}
	h.Configuration.DryRun = false
	return h, nil
}

// newBlockingHarness makes a harness whose appliance blocks a number of bans. The
// plugin has received them in alerts of a size; took are the times until its answers.
func newBlockingHarness(ctx context.Context, o options, s setting, bans, perAlert int) (h *harness, took []time.Duration, err error) {
	if h, err = newHarness(ctx, o, s); err != nil {
		return nil, nil, err
	}
	if took, err = h.receive(ctx, bans, perAlert); err == nil {
		_, err = h.firstFlush(ctx)
	}
	if err != nil {
		h.close()
		return nil, nil, err
	}
	return h, took, nil
}

// configure sends the plugin the configuration with a change. The plugin then
// starts again on its state, and may flush at once.
func (h *harness) configure(ctx context.Context, edit func(*plugintest.Configuration)) error {
	c := h.Configuration
	edit(&c)
	h.nextFlush = time.Time{}
	return h.Plugin.Configure(ctx, c.YAML())
}

// unchanged is an edit for configure.
func unchanged(*plugintest.Configuration) {}

// ban sends one alert on all prefixes, and returns the time until the answer,
// which may be longer than CrowdSec's timeout.
func (h *harness) ban(ctx context.Context, duration time.Duration, prefixes ...netip.Prefix) (time.Duration, error) {
	text := plugintest.Ban(duration, prefixes...).Text()
	start := time.Now()
	if err := h.Plugin.NotifyWithin(ctx, patience, h.Configuration.Name, text); err != nil {
		return 0, err
	}
	h.banned += len(prefixes)
	return time.Since(start), nil
}

// receive sends bans in alerts of a size before the first flush. It returns the time
// until each answer.
func (h *harness) receive(ctx context.Context, bans, perAlert int) (took []time.Duration, err error) {
	for h.banned < bans {
		answered, err := h.ban(ctx, banFor, h.fresh.next(min(perAlert, bans-h.banned))...)
		if err != nil {
			return nil, err
		}
		took = append(took, answered)
	}
	return took, nil
}

// waitForFrequency waits until update_frequency allows a flush.
func (h *harness) waitForFrequency(ctx context.Context) error {
	return plugintest.Pause(ctx, time.Until(h.nextFlush))
}

func (h *harness) close() {
	h.Close()
	_ = os.RemoveAll(h.Folder)
}

// network is the name of a link.
func network(l snstest.Link) string {
	if l == (snstest.Link{}) {
		return "loopback"
	}
	return fmt.Sprintf("%s, %s", rate(l), brief(l.RoundTrip))
}

func rate(l snstest.Link) string { return fmt.Sprintf("%g Mbit/s", float64(l.BitsPerSecond)/1e6) }

// filesystem reports whether a folder is on a disk, where a durable write takes time.
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
