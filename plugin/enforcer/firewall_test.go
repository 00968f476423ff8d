package enforcer_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"notification-stormshield/appliance"
)

// firewall is an appliance in memory: a blacklist, and files. Their mark is the number of writes.
type firewall struct {
	mu          sync.Mutex
	singleMax   int                        // bans that go one by one
	life        time.Duration              // the longest time of an entry
	entries     map[netip.Prefix]time.Time // when they end by themselves
	files       map[netip.Prefix]bool
	version     int
	attempts    []time.Time
	changes     []appliance.Change
	fullReads   int // how often a flush asked for all bans in force
	fail        error
	withoutSSH  bool  // the configuration has no credentials for SSH
	sshHangs    bool  // a command over SSH does not end
	sshDown     error // why the files cannot be used
	sshLogins   int   // how many flushes used the files
	cut         []netip.Prefix
	fault       func(step) error // returns the error of a step; nil: no step fails
	panics      bool
	refuses     map[netip.Prefix]bool // the prefixes that it refuses to block
	serial      string                // "": it has none
	serialReads int                   // how often a flush asked for the serial number
	foreign     bool                  // the group has foreign members: a flush warns, and blocks one by one
	batch       int                   // how many bans such a flush blocks

	byRule, alone bool                  // a filter rule enforces, and no ban gets an entry
	noRule        bool                  // the rule is not in force
	running       map[netip.Prefix]bool // the group as the running rule has it
	activations   []time.Time

	// afterFlush checks the appliance after a flush. standing are the bans that were in force when the flush began.
	afterFlush func(done appliance.Outcome, incremental bool, standing []netip.Prefix)
}

func newFirewall() *firewall {
	return &firewall{singleMax: 100, life: 24 * time.Hour, entries: map[netip.Prefix]time.Time{}, files: map[netip.Prefix]bool{}}
}

// step is a moment at which a flush may fail.
type step int

const (
	beforeBlocking step = iota
	afterBlocking
	afterWriting
	afterAsserting
	afterUnblocking
	beforeActivating
	steps
	whileBlocking // one by one, where the group cannot be named
)

func failAt(at step) func(step) error {
	return func(s step) error {
		if s == at {
			return errors.New("cut")
		}
		return nil
	}
}

func (f *firewall) Apply(ctx context.Context, c appliance.Change) (appliance.Outcome, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.attempts = append(f.attempts, time.Now())
	f.changes = append(f.changes, c)
	if f.panics {
		panic("boom")
	}
	r := run{firewall: f, c: c}
	r.done.Mark = c.Mark
	if err := c.Begin(); err != nil {
		return r.done, err
	}
	if f.fail != nil {
		return r.done, f.fail
	}
	if c.Permit != nil {
		if err := c.Permit(); err != nil {
			return r.done, &appliance.NotPermittedError{Err: err}
		}
	}
	if err := r.identify(); err != nil {
		return r.done, err
	}
	var standing []netip.Prefix
	incremental := c.Mark == r.mark()
	if r.afterFlush != nil {
		standing, _ = c.AllInForce(ctx, nil)
	}
	err := r.apply(ctx)
	if err == nil {
		r.done.At = time.Now()
		if len(r.done.Refused) > 0 {
			r.done.Warning = errors.New("does not take a ban")
		}
		if f.foreign && c.Files {
			r.done.FilesWarning = errors.New("has foreign members")
		}
	}
	if r.afterFlush != nil {
		r.afterFlush(r.done, incremental, standing)
	}
	return r.done, err
}

// run is one call of Apply.
type run struct {
	*firewall
	c         appliance.Change
	done      appliance.Outcome
	leftovers []netip.Prefix
}

func (r *run) identify() error {
	if !r.c.AskSerial {
		return nil
	}
	r.serialReads++
	r.done.Serial = r.serial
	if r.c.Serial != "" && r.serial != "" && r.serial != r.c.Serial {
		return &appliance.OtherApplianceError{Serial: r.serial, Expected: r.c.Serial}
	}
	return nil
}

func (r *run) apply(ctx context.Context) error {
	done := func(context.Context) error { return nil }
	all := []func(context.Context) error{r.block, r.write, r.assert, r.unblock, done, r.activate, r.confirmRule}
	if !r.c.Files {
		all = []func(context.Context) error{r.block, done, r.reassertOverAPI, r.unblock, done, done, r.confirmRule}
	}
	for at, do := range all {
		if r.fault != nil {
			if err := r.fault(step(at)); err != nil {
				return err
			}
		}
		if err := do(ctx); err != nil {
			return err
		}
	}
	if !r.c.Files {
		return nil
	}
	r.done.Cleared, r.done.Compared = true, time.Now()
	r.done.OldGroupsGone = len(r.c.OldGroups) > 0
	return nil
}

func (r *run) block(context.Context) error {
	if r.c.Files && len(r.c.Block) > r.singleMax {
		return nil
	}
	for _, b := range r.c.Block {
		if !b.Prefix.IsSingleIP() && (r.c.Files || !r.files[b.Prefix]) { // its object must be in the files first
			continue
		}
		if slices.Contains(r.c.Cut, b.Prefix) {
			r.cut = append(r.cut, b.Prefix)
		}
		if r.refuses[b.Prefix] {
			r.done.Refused = append(r.done.Refused, b.Prefix)
			continue
		}
		until := b.Until
		if life := time.Now().Add(r.life); life.Before(until) {
			until = life
		}
		r.entries[b.Prefix] = until
		r.done.Blocked = append(r.done.Blocked, appliance.Entry{Prefix: b.Prefix, Expires: until})
	}
	return nil
}

// reassertOverAPI blocks everything in force by the group as it is in the files, or the bans that the blacklist lacks.
func (r *run) reassertOverAPI(ctx context.Context) error {
	switch {
	case !r.c.Reassert || r.alone:
		return nil
	case !r.withoutSSH && r.c.GroupListsAll:
		return r.assert(ctx)
	}
	bans, err := r.c.BansWithEntry(ctx)
	for _, b := range bans {
		if r.entries[b.Prefix].Before(time.Now()) && !r.refuses[b.Prefix] {
			r.entries[b.Prefix] = b.Until
			r.done.Blocked = append(r.done.Blocked, appliance.Entry{Prefix: b.Prefix, Expires: b.Until})
		}
	}
	r.done.Confirmed = time.Now()
	return err
}

func (r *run) write(ctx context.Context) error {
	r.sshLogins++
	if r.sshHangs {
		r.mu.Unlock()
		<-ctx.Done()
		r.mu.Lock()
		return &appliance.FilesError{Err: ctx.Err()}
	}
	if r.sshDown != nil {
		return &appliance.FilesError{Err: r.sshDown}
	}
	if err := r.c.BeginFiles(); err != nil {
		return err
	}
	wanted := maps.Clone(r.files)
	if r.c.Mark == r.mark() {
		for _, p := range r.c.Remove {
			delete(wanted, p)
		}
		for _, p := range r.c.Add {
			wanted[p] = true
		}
	} else {
		r.fullReads++
		standing, err := r.c.AllInForce(ctx, slices.Collect(maps.Keys(r.files)))
		if err != nil {
			return err
		}
		clear(wanted)
		for _, p := range standing {
			wanted[p] = true
		}
	}
	for p := range r.files {
		if !wanted[p] {
			r.leftovers = append(r.leftovers, p)
		}
	}
	if !maps.Equal(wanted, r.files) || r.version == 0 {
		r.files = wanted
		r.version++
		r.done.Changed = true
	}
	r.done.Listed, r.done.Mark = true, r.mark()
	for _, b := range r.c.Block {
		if !b.Prefix.IsSingleIP() {
			r.entries[b.Prefix] = b.Until
			r.done.Blocked = append(r.done.Blocked, appliance.Entry{Prefix: b.Prefix, Expires: b.Until})
		}
	}
	return nil
}

func (f *firewall) mark() string { return fmt.Sprintf("version %d", f.version) }

func (r *run) assert(ctx context.Context) error {
	if r.alone || len(r.files) == 0 || !r.c.Reassert && len(r.c.Block) <= r.singleMax {
		return nil
	}
	if r.foreign {
		return r.assertEach(ctx)
	}
	r.done.Asserted, r.done.AssertedUntil = time.Now(), time.Now().Add(r.life)
	for p := range r.files {
		r.entries[p] = r.done.AssertedUntil
	}
	return nil
}

func (r *run) assertEach(ctx context.Context) error {
	pending, err := r.c.OneByOne(ctx)
	if err != nil {
		return err
	}
	for i, p := range pending {
		if i == r.batch {
			r.done.Unfinished = true
			return nil
		}
		if r.fault != nil {
			if err := r.fault(whileBlocking); err != nil {
				return err
			}
		}
		until := time.Now().Add(r.life)
		r.entries[p] = until
		r.done.Blocked = append(r.done.Blocked, appliance.Entry{Prefix: p, Expires: until})
	}
	if r.c.Reassert {
		r.done.Asserted, r.done.AssertedUntil = time.Now(), time.Now().Add(r.life)
	}
	return nil
}

// activate makes the running rule see the files.
func (r *run) activate(context.Context) error {
	if !r.byRule || !r.c.Activate || !r.done.Changed && !r.c.Stale {
		return nil
	}
	if err := r.c.BeginActivation(); err != nil {
		return err
	}
	r.activations = append(r.activations, time.Now())
	if r.sshDown != nil {
		return &appliance.FilesError{Err: &appliance.ActivationError{Err: r.sshDown}}
	}
	r.running, r.done.Activated = maps.Clone(r.files), time.Now()
	return nil
}

func (r *run) confirmRule(context.Context) error {
	if !r.byRule || !r.c.Reassert && !r.c.EntriesLeft {
		return nil
	}
	if r.noRule {
		r.done.RuleMissing = true
		return errors.New("no rule in force")
	}
	if r.alone {
		r.done.Confirmed = time.Now()
	}
	if isStale := r.done.Activated.IsZero() && (r.done.Changed || r.c.Stale); r.c.EntriesLeft && !isStale {
		clear(r.entries)
		r.done.EntriesGone = true
	}
	return nil
}

func (r *run) unblock(context.Context) error {
	for _, p := range slices.Concat(r.c.Unblock, r.leftovers) {
		delete(r.entries, p)
		r.done.Unblocked = append(r.done.Unblocked, p)
	}
	return nil
}

// blockByEarlierInstallation blocks addresses as an earlier installation did.
func (f *firewall) blockByEarlierInstallation(addresses ...string) {
	for _, a := range addresses {
		p := single(a)
		f.files[p], f.entries[p] = true, time.Now().Add(f.life)
	}
}

func single(address string) netip.Prefix {
	a := netip.MustParseAddr(address)
	return netip.PrefixFrom(a, a.BitLen())
}

func (f *firewall) blocked() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.onBlacklist()
}

func (f *firewall) onBlacklist() []string {
	var out []string
	for p, until := range f.entries {
		if until.After(time.Now()) {
			out = append(out, p.Addr().String())
		}
	}
	slices.Sort(out)
	return out
}

func (f *firewall) listed() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return addresses(slices.Collect(maps.Keys(f.files)))
}

func (f *firewall) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.attempts)
}

func (f *firewall) activationCount() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.activations)
}

func (f *firewall) serialReadCount() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.serialReads
}

// replace makes another appliance answer, with the same files and an empty blacklist.
func (f *firewall) replace(serial string) {
	f.set(func() {
		f.serial = serial
		clear(f.entries)
	})
}

func (f *firewall) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}
