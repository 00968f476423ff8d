package plugin

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"notification-stormshield/appliance"
	"notification-stormshield/plugin/enforcer"
	"notification-stormshield/plugin/failures"
	"notification-stormshield/plugin/ledger"
	"notification-stormshield/plugin/postgres"
)

// While PostgreSQL's host refuses connections, the last holder of the shared lease goes on alone. It blocks the addresses of its own new
// alerts, and unblocks bans that end. It uses the API, and leaves the files as they are. Everything else waits for the database.
//
// A refusal shows that no server runs there, so no other machine can hold the lease. If nothing answers, perhaps only this machine is cut
// from the database, and another machine enforces. So this machine then stops.

const (
	// aloneEvery is how often a machine that is alone tries to connect to the database, and applies what changed.
	aloneEvery = time.Second
	// aloneValid is how long the last refusal of the database counts. It is less than takeOverAfter.
	aloneValid = 3 * time.Second
	// perhapsBlockedFor is how long after the last flush alone a forwarded decision counts as perhaps blocked.
	perhapsBlockedFor = time.Minute
	// aloneAtOnce is how many decisions of the outbox one flush alone reads, unless one message has more.
	aloneAtOnce = 200
)

// knownBans are the bans in force, with their ends, that the holder keeps for the time without the database.
type knownBans struct {
	ends map[netip.Prefix]time.Time
	last int64 // the decision that was recorded last
}

// refresh reads the bans that changed. The enforcer calls it after each flush. After an error the bans stay as they were.
func (k *knownBans) refresh(ctx context.Context, from *ledger.Ledger, now time.Time) {
	changed, last, err := from.BlockedBans(ctx, k.last)
	if err != nil {
		return
	}
	k.last = last
	maps.Copy(k.ends, changed)
	maps.DeleteFunc(k.ends, func(_ netip.Prefix, end time.Time) bool { return end.Before(now) }) // the enforcer unblocks these
}

// aloneTime is when this machine last flushed alone. The forwarder waits for its lock during such a flush.
type aloneTime struct {
	mu   sync.Mutex
	last time.Time
}

// alone is one time without the database.
type alone struct {
	*sharing
	known    map[netip.Prefix]time.Time
	after    int64 // the last message of the outbox whose decisions were blocked
	refused  time.Time
	failures *failures.Log
}

// enforceAlone goes on alone until the database answers, the entries of the last re-assert may have ended, or the context ends.
func (s *sharing) enforceAlone(ctx context.Context, known *knownBans) {
	d := s.document
	if known == nil || !d.Stormshield.UsesBlacklist() {
		return
	}
	a := &alone{sharing: s, known: known.ends, failures: failures.NewLog(s.log)}
	ctx, cancel := context.WithTimeout(ctx, d.Stormshield.BlacklistTimeout)
	defer cancel()
	if !a.isRefused(ctx) {
		return
	}
	var err error
	if a.after, err = s.outbox.Forwarded(ctx); err != nil {
		s.log.Error("this machine does not go on alone", "error", err)
		return
	}
	s.log.Warn("PostgreSQL refuses connections: this machine goes on alone with the bans that it knows, and with its own alerts",
		"for", d.Stormshield.BlacklistTimeout.String())
	s.recordAlone(true)
	defer s.recordAlone(false)
	s.setPermit(a.permit)
	defer s.setPermit(nil)
	for pause(ctx, aloneEvery) && a.isRefused(ctx) {
		if err := a.flush(ctx, time.Now()); err != nil && ctx.Err() == nil {
			a.failures.Failed(hclog.Error, "a flush without the database failed", "error", err)
		} else if err == nil {
			a.failures.Succeeded("flushes without the database succeed again")
		}
	}
	s.log.Info("this machine does not go on alone any more")
}

// recordAlone records for `status` whether this machine goes on alone.
func (s *sharing) recordAlone(isAlone bool) {
	if err := s.outbox.RecordAlone(context.Background(), isAlone); err != nil {
		s.log.Debug("whether this machine is alone could not be recorded", "error", err)
	}
}

// isRefused reports whether the database's host refuses the connection.
func (a *alone) isRefused(ctx context.Context) bool {
	connection, err := StateOf(a.document).Database.Connect(ctx)
	if err == nil {
		_ = connection.Close()
		return false
	}
	if !postgres.IsRefused(err) {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.refused = time.Now().Round(0) // by the wall clock, which also counts the time that the machine is suspended
	return true
}

// permit returns an error if the database may answer again, so that another machine may hold the lease.
func (a *alone) permit() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if time.Now().Round(0).Sub(a.refused) > aloneValid {
		return errors.New("PostgreSQL may answer again, so the flush without it ends")
	}
	return nil
}

// flush blocks the addresses of new alerts, and unblocks bans that have ended.
func (a *alone) flush(ctx context.Context, now time.Time) error {
	a.aloneTime.mu.Lock()
	defer a.aloneTime.mu.Unlock()
	if _, held, err := a.lockout.Current(a.credentials, now); held || err != nil {
		return err
	}
	change := appliance.Change{Begin: func() error { return nil }, Permit: a.mayFlush}
	numbers, last, err := a.addNew(ctx, &change, now)
	if err != nil {
		return err
	}
	for prefix, end := range a.known {
		if !end.After(now) {
			change.Unblock = append(change.Unblock, prefix)
		}
	}
	if err := a.keepOthers(ctx, &change); err != nil {
		return err
	}
	if len(change.Block)+len(change.Unblock) == 0 {
		a.after = last
		return nil
	}
	if err := a.outbox.MarkAttempted(ctx, numbers); err != nil {
		return err
	}
	a.aloneTime.last = now
	change.InForce = len(a.known)
	done, err := a.enforcer.Appliance.Apply(ctx, change)
	for _, e := range done.Blocked {
		a.known[e.Prefix] = endOf(change.Block, e.Prefix)
	}
	for _, prefix := range done.Unblocked {
		delete(a.known, prefix)
	}
	var login *appliance.LoginError
	if errors.As(err, &login) {
		_, failed := a.lockout.RecordFailure(a.credentials, enforcer.FailureOf(login), now)
		return errors.Join(err, failed)
	}
	if err == nil {
		a.after = last
		a.log.Info("flushed without the database", "added", len(done.Blocked), "removed", len(done.Unblocked), "total", len(a.known))
	}
	return err
}

// addNew adds the addresses of messages in the outbox to a change. It returns the numbers of these messages.
func (a *alone) addNew(ctx context.Context, change *appliance.Change, now time.Time) (numbers []int64, last int64, err error) {
	last = a.after
	messages, err := a.outbox.Next(ctx, a.after, aloneAtOnce)
	if err != nil {
		return nil, last, err
	}
	ends := map[netip.Prefix]time.Time{}
	for _, m := range messages {
		last = m.Number
		numbers = append(numbers, m.Number)
		for _, d := range m.Decisions {
			isNew := d.Prefix.IsSingleIP() && d.Until.After(now) && d.Until.After(a.known[d.Prefix]) && d.Until.After(ends[d.Prefix])
			if _, known := a.known[d.Prefix]; isNew && (known || len(a.known)+len(ends) < a.document.Decisions.MaxBans) {
				ends[d.Prefix] = d.Until
			}
		}
	}
	for prefix, end := range ends {
		change.Block = append(change.Block, appliance.Ban{Prefix: prefix, Until: end})
	}
	return numbers, last, nil
}

// keepOthers leaves the prefixes blocked that another configuration bans on the same appliance.
func (a *alone) keepOthers(ctx context.Context, change *appliance.Change) error {
	if a.enforcer.Shared == nil || len(change.Unblock) == 0 {
		return nil
	}
	others, err := a.enforcer.Shared(ctx, change.Unblock)
	if err != nil {
		return err
	}
	kept := change.Unblock[:0]
	for _, prefix := range change.Unblock {
		if _, isBanned := others[prefix]; isBanned {
			delete(a.known, prefix)
		} else {
			kept = append(kept, prefix)
		}
	}
	change.Unblock = kept
	return nil
}

// endOf returns the end of the ban of a prefix.
func endOf(bans []appliance.Ban, prefix netip.Prefix) time.Time {
	for _, b := range bans {
		if b.Prefix == prefix {
			return b.Until
		}
	}
	return time.Time{}
}
