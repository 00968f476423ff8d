package snstest

import (
	"cmp"
	"container/heap"
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Entry is one line of the blacklist: packets from Source are dropped until Expires.
type Entry struct {
	Source  netip.Prefix
	Expires time.Time
}

// blacklist holds the entries. They end in real time, without a command.
type blacklist struct {
	mu      sync.Mutex
	entries map[netip.Prefix]blocking
	lengths map[prefixLength]int // how many entries have that length: a look-up tries only these lengths
	batches batches              // ordered by their end; an entry that was renewed is in several
	queued  int                  // prefixes in batches
	timer   *time.Timer
	stopped bool
	changed chan struct{}
}

type blocking struct{ since, expires time.Time }

type prefixLength struct {
	ipv4 bool
	bits int
}

// batch is the prefixes that one command added. They end together.
type batch struct {
	expires  time.Time
	prefixes []netip.Prefix
}

type batches []batch

func (b batches) Len() int           { return len(b) }
func (b batches) Less(i, j int) bool { return b[i].expires.Before(b[j].expires) }
func (b batches) Swap(i, j int)      { b[i], b[j] = b[j], b[i] }
func (b *batches) Push(x any)        { *b = append(*b, x.(batch)) }
func (b *batches) Pop() any {
	last := (*b)[len(*b)-1]
	(*b)[len(*b)-1] = batch{}
	*b = (*b)[:len(*b)-1]
	return last
}

func newBlacklist() *blacklist {
	l := &blacklist{changed: make(chan struct{})}
	l.empty()
	l.timer = time.AfterFunc(time.Hour, l.tick)
	return l
}

func (l *blacklist) empty() {
	l.entries = map[netip.Prefix]blocking{}
	l.lengths = map[prefixLength]int{}
	l.batches, l.queued = nil, 0
}

// add blocks prefixes until a time. It also replaces the end of existing entries, by an earlier or a later one.
func (l *blacklist) add(prefixes []netip.Prefix, expires time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.reap(now)
	if len(l.entries) == 0 {
		l.entries = make(map[netip.Prefix]blocking, len(prefixes))
	}
	for _, p := range prefixes {
		e, renewed := l.entries[p]
		if !renewed {
			e.since = now
			l.lengths[prefixLength{p.Addr().Is4(), p.Bits()}]++
		}
		e.expires = expires
		l.entries[p] = e
	}
	heap.Push(&l.batches, batch{expires, prefixes})
	l.queued += len(prefixes)
	if l.queued > 4*len(l.entries)+4096 {
		l.compact()
	}
	l.schedule()
	l.notify()
}

// remove removes entries and returns how many there were.
func (l *blacklist) remove(prefixes []netip.Prefix) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reap(time.Now())
	removed := 0
	for _, p := range prefixes {
		if l.drop(p) {
			removed++
		}
	}
	if removed > 0 {
		l.notify()
	}
	return removed
}

func (l *blacklist) drop(p netip.Prefix) bool {
	if _, ok := l.entries[p]; !ok {
		return false
	}
	delete(l.entries, p)
	length := prefixLength{p.Addr().Is4(), p.Bits()}
	if l.lengths[length]--; l.lengths[length] == 0 {
		delete(l.lengths, length)
	}
	return true
}

func (l *blacklist) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.empty()
	l.schedule()
	l.notify()
}

// reap drops the entries that have ended. The caller holds mu.
func (l *blacklist) reap(now time.Time) {
	ended := false
	for len(l.batches) > 0 && !l.batches[0].expires.After(now) {
		done := heap.Pop(&l.batches).(batch)
		l.queued -= len(done.prefixes)
		for _, p := range done.prefixes {
			if e, ok := l.entries[p]; ok && !e.expires.After(now) {
				ended = l.drop(p) || ended
			}
		}
	}
	if ended {
		l.notify()
	}
}

// compact rebuilds the batches without prefixes that were renewed or removed.
func (l *blacklist) compact() {
	byEnd := map[int64]*batch{}
	for p, e := range l.entries {
		b := byEnd[e.expires.UnixNano()]
		if b == nil {
			b = &batch{expires: e.expires}
			byEnd[e.expires.UnixNano()] = b
		}
		b.prefixes = append(b.prefixes, p)
	}
	l.batches, l.queued = l.batches[:0], len(l.entries)
	for _, b := range byEnd {
		l.batches = append(l.batches, *b)
	}
	heap.Init(&l.batches)
}

func (l *blacklist) schedule() {
	if len(l.batches) > 0 && !l.stopped {
		l.timer.Reset(max(0, time.Until(l.batches[0].expires)))
	}
}

func (l *blacklist) tick() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reap(time.Now())
	l.schedule()
}

// stop ends the timer. The list can still be read.
func (l *blacklist) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopped = true
	l.timer.Stop()
}

func (l *blacklist) notify() {
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *blacklist) list() []Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reap(time.Now())
	list := make([]Entry, 0, len(l.entries))
	for p, e := range l.entries {
		list = append(list, Entry{p, e.expires})
	}
	slices.SortFunc(list, func(a, b Entry) int {
		return cmp.Or(a.Source.Addr().Compare(b.Source.Addr()), cmp.Compare(a.Source.Bits(), b.Source.Bits()))
	})
	return list
}

// get returns the entry of exactly this prefix, and a channel closed at the next change.
func (l *blacklist) get(p netip.Prefix) (blocking, bool, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reap(time.Now())
	e, ok := l.entries[p.Masked()]
	return e, ok, l.changed
}

func (l *blacklist) covers(addr netip.Addr) bool {
	addr = addr.Unmap()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reap(time.Now())
	for length := range l.lengths {
		if length.ipv4 != addr.Is4() {
			continue
		}
		if p, err := addr.WithZone("").Prefix(length.bits); err == nil {
			if _, ok := l.entries[p]; ok {
				return true
			}
		}
	}
	return false
}

// Blacklist returns the entries that have not ended, sorted by address.
func (a *Appliance) Blacklist() []Entry { return a.blacklist.list() }

// BlacklistLen returns how many entries the blacklist has now.
func (a *Appliance) BlacklistLen() int {
	a.blacklist.mu.Lock()
	defer a.blacklist.mu.Unlock()
	a.blacklist.reap(time.Now())
	return len(a.blacklist.entries)
}

// Blocked reports whether an entry covers addr now: the entry of the address, or that of a network.
func (a *Appliance) Blocked(addr netip.Addr) bool { return a.blacklist.covers(addr) }

// BlockedPrefix returns the entry of exactly this prefix.
func (a *Appliance) BlockedPrefix(p netip.Prefix) (Entry, bool) {
	e, ok, _ := a.blacklist.get(p)
	return Entry{p.Masked(), e.expires}, ok
}

// BlacklistChanged returns a channel that closes at the next change: an entry was added, renewed or removed, or it ended.
// A caller that gets the channel before it reads the list misses no change.
func (a *Appliance) BlacklistChanged() <-chan struct{} {
	a.blacklist.mu.Lock()
	defer a.blacklist.mu.Unlock()
	return a.blacklist.changed
}

// WaitBlocked waits for an entry of exactly this prefix and returns when it was added.
func (a *Appliance) WaitBlocked(ctx context.Context, p netip.Prefix) (time.Time, error) {
	for {
		e, ok, changed := a.blacklist.get(p)
		if ok {
			return e.since, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return time.Time{}, context.Cause(ctx)
		}
	}
}

// WaitUnblocked waits until there is no entry of exactly this prefix, and returns the time then.
func (a *Appliance) WaitUnblocked(ctx context.Context, p netip.Prefix) (time.Time, error) {
	for {
		_, ok, changed := a.blacklist.get(p)
		if !ok {
			return time.Now(), nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return time.Time{}, context.Cause(ctx)
		}
	}
}
