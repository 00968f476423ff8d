package main

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"notification-stormshield/stormshield/snstest"
)

// diary notes everything that ever happens on the appliance's blacklist.
type diary struct {
	appliance *snstest.Appliance
	stop      context.CancelFunc
	owned     sync.WaitGroup

	mu    sync.Mutex
	notes map[netip.Prefix]note
	grown chan struct{} // closed at the next note
}

// note is the story of one entry.
type note struct {
	from    time.Time // on the list, as seen
	to      time.Time // off the list; zero while it is on
	expires time.Time // when it would have ended by itself, as first said
	again   bool      // it came back
	end     time.Time // when its ban ends, as CrowdSec said
}

func keepDiary(a *snstest.Appliance) *diary {
	ctx, stop := context.WithCancel(context.Background())
	d := &diary{appliance: a, stop: stop, notes: map[netip.Prefix]note{}, grown: make(chan struct{})}
	d.owned.Go(func() {
		for {
			changed := a.BlacklistChanged()
			d.look()
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
		}
	})
	return d
}

func (d *diary) look() {
	d.mu.Lock()
	defer d.mu.Unlock()
	now, on := time.Now(), map[netip.Prefix]bool{}
	for _, e := range d.appliance.Blacklist() {
		on[e.Source] = true
		n := d.notes[e.Source]
		if n.from.IsZero() {
			n.from, n.expires = now, e.Expires
		} else if !n.to.IsZero() {
			n.to, n.again = time.Time{}, true
		}
		d.notes[e.Source] = n
	}
	for p, n := range d.notes {
		if !on[p] && blocked(n) {
			n.to = now
			d.notes[p] = n
		}
	}
	close(d.grown)
	d.grown = make(chan struct{})
}

// of returns the story of one entry; it is empty when there was none.
func (d *diary) of(p netip.Prefix) note {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.notes[p]
}

// expect notes that a ban of an entry ends at a moment: the latest counts.
func (d *diary) expect(p netip.Prefix, end time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.notes[p]
	if end.After(n.end) {
		n.end = end
	}
	d.notes[p] = n
}

// until waits until the stories of all these entries are as asked, for at most
// so long.
func (d *diary) until(ctx context.Context, most time.Duration, what string, prefixes []netip.Prefix, is func(note) bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, most, fmt.Errorf("it took longer than %s", most))
	defer cancel()
	for {
		d.mu.Lock()
		missing, first, grown := 0, netip.Prefix{}, d.grown
		for _, p := range prefixes {
			if !is(d.notes[p]) {
				if missing == 0 {
					first = p
				}
				missing++
			}
		}
		d.mu.Unlock()
		if missing == 0 {
			return nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return fmt.Errorf("%d of %d are not %s, such as %s: %w", missing, len(prefixes), what, first, context.Cause(ctx))
		}
	}
}

func blocked(n note) bool { return !n.from.IsZero() && n.to.IsZero() }

func gone(n note) bool { return !n.to.IsZero() }

func (d *diary) close() {
	d.stop()
	d.owned.Wait()
}
