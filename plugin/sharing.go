package plugin

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"notification-stormshield/plugin/enforcer"
	"notification-stormshield/plugin/failures"
	"notification-stormshield/plugin/forwarder"
	"notification-stormshield/plugin/lease"
	"notification-stormshield/plugin/ledger"
)

// takeOverAfter is how long a new holder of the shared lease waits if the previous holder, on another machine, did not give the lease back.
// By then the previous holder has no permit for a further step; see [lease.Shared].
const takeOverAfter = 5 * time.Second

// handOverWait bounds how long the end of a holder waits for the database.
const handOverWait = 2 * time.Second

// sharing is what a notification adds if several machines share its state.
type sharing struct {
	*notification
	forwarder *forwarder.Forwarder
	contender *lease.Contender
	failures  *failures.Log
	restored  chan struct{} // holds a value when the Local API must be read whole
	aloneTime *aloneTime

	mu     sync.Mutex
	permit func() error // whether this process may change the appliance now; nil: it may not
}

// errNotHolder says that this process may not flush, because it does not hold the shared lease.
var errNotHolder = errors.New("this machine does not hold the shared lease any more, so its flush ends")

// newSharing returns the sharing of a notification. Its ledger and its outbox are open.
func newSharing(n *notification) *sharing {
	s := &sharing{
		notification: n, failures: failures.NewLog(n.log), aloneTime: new(aloneTime), restored: make(chan struct{}, 1),
		contender: &lease.Contender{Database: StateOf(n.document).Database},
	}
	s.forwarder = forwarder.New(forwarder.Config{
		Outbox: n.outbox, Ledger: forwardingLedger{n.ledger, s.aloneTime}, MaxBans: n.document.Decisions.MaxBans,
		Version: n.options.Version, Log: n.log, OnForwarded: n.enforcer.TriggerSince, OnRestored: s.readAgain,
		OnAttempted: n.enforcer.Trigger, OnCaughtUp: s.readAgain,
	})
	n.enforcer.Permit = s.mayFlush
	n.enforcer.OnAttempt = func(ctx context.Context, prefixes []netip.Prefix) error {
		return n.outbox.RecordAttempt(ctx, prefixes, time.Now())
	}
	return s
}

// readAgain makes the follower begin again. The database came back from a backup, or got decisions that waited: a deletion of such a
// decision may have been reported before the database knew it.
func (s *sharing) readAgain() {
	select {
	case s.restored <- struct{}{}:
	default:
	}
}

// mayFlush returns an error if this process may not change the appliance now.
func (s *sharing) mayFlush() error {
	s.mu.Lock()
	permit := s.permit
	s.mu.Unlock()
	if permit == nil {
		return errNotHolder
	}
	return permit()
}

func (s *sharing) setPermit(permit func() error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.permit = permit
}

// act forwards the decisions of the outbox, follows this machine's Local API, and enforces while this machine holds the shared lease. act
// returns when the context ends.
func (s *sharing) act(ctx context.Context) {
	defer s.contender.Close()
	var acting sync.WaitGroup
	defer acting.Wait()
	acting.Go(func() { s.forwarder.Run(ctx) })
	if s.document.LAPI.Followed() {
		acting.Go(func() { s.followAgain(ctx) })
	}
	if s.document.LAPI.IsUsed() {
		acting.Go(func() { s.reportUsage(ctx) })
	}
	if s.document.DryRun {
		s.log.Info("dry run: this machine never takes the shared lease, so another one enforces its decisions too")
		return
	}
	for ctx.Err() == nil {
		if held := s.awaitLease(ctx); held != nil {
			s.hold(ctx, held)
		}
	}
}

// followAgain follows the Local API, and begins again with a full read after a call of readAgain.
func (s *sharing) followAgain(ctx context.Context) {
	for ctx.Err() == nil {
		running, stop := context.WithCancel(ctx)
		var following sync.WaitGroup
		following.Go(func() { s.follow(running) })
		select {
		case <-ctx.Done():
		case <-s.restored:
		}
		stop()
		following.Wait()
	}
}

// awaitLease waits for the shared lease; nil: the context has ended.
func (s *sharing) awaitLease(ctx context.Context) *lease.Shared {
	waiting := false
	for {
		err := s.ledger.CheckName(ctx)
		var held *lease.Shared
		if !errors.Is(err, ledger.ErrNameTaken) { // another error does not matter: the lease is a question of its own
			held, err = s.contender.Try(ctx)
		}
		switch {
		case held != nil:
			s.failures.Succeeded("the shared lease can be taken again")
			return held
		case err != nil && ctx.Err() == nil:
			s.failures.Failed(hclog.Error, "the shared lease cannot be taken: decisions are recorded on this machine, and another one may enforce",
				"error", err, "hint", "look whether PostgreSQL runs, and whether this machine can connect to it")
		case !waiting:
			waiting = true
			s.log.Info("another machine enforces: this one records and stands by")
		}
		if !pause(ctx, leaseEvery) {
			return nil
		}
	}
}

// handOver gives the shared lease back for a process that is about to end. The database frees the lease when the process has ended. Then
// another machine takes over without a wait.
func (s *sharing) handOver(ctx context.Context) {
	if s.mayFlush() == nil {
		_ = s.ledger.HandOver(ctx) // at worst the next holder waits
	}
}

// hold enforces while this machine holds the shared lease. If the lease is lost, because the database
// cannot be used, this machine may go on alone for a time.
func (s *sharing) hold(ctx context.Context, held *lease.Shared) {
	known, lost := s.enforceShared(ctx, held)
	if !lost {
		if err := endTerm(ctx, s.ledger); err != nil {
			s.log.Debug("the shared lease could not be handed over", "error", err)
		}
	}
	held.Release()
	switch {
	case lost && ctx.Err() == nil:
		s.enforceAlone(ctx, known)
	case known == nil: // it could not take over, and another machine may
		pause(ctx, leaseEvery)
	}
}

// endTerm gives the shared lease back in the ledger, also if the context has ended. If the database does not answer in time, the next
// holder waits a little longer.
func endTerm(ctx context.Context, l *ledger.Ledger) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), handOverWait)
	defer cancel()
	return l.HandOver(ctx)
}

// enforceShared takes over from the previous holder, and enforces until the context ends or the lease is lost. It returns the bans that it
// knew last.
func (s *sharing) enforceShared(ctx context.Context, held *lease.Shared) (known *knownBans, lost bool) {
	holding, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		select {
		case <-holding.Done():
		case <-held.Lost():
			stop()
		}
	}()
	before, err := s.ledger.TakeOver(holding, s.document.Decisions.MaxBans, time.Now())
	if err != nil {
		s.failures.Failed(hclog.Error, "the shared lease cannot be taken over", "error", err)
		return nil, false
	}
	if err := awaitPreviousHolder(holding, before, StateOf(s.document).Machine); err != nil {
		return nil, ctx.Err() == nil
	}
	s.log.Info("this machine enforces now", "before", before.Machine)
	s.setPermit(held.Permit)
	defer s.setPermit(nil)
	known = &knownBans{ends: map[netip.Prefix]time.Time{}}
	s.enforcer.OnFlush = func(f enforcer.Flushed) {
		s.countFlush(f)
		known.refresh(holding, s.ledger, time.Now())
		if errors.Is(f.Err, ledger.ErrNotHolder) || errors.Is(f.Err, ledger.ErrNameTaken) {
			// The state came from a backup, or began anew: take over in it. Or another machine has the name of this one.
			stop()
		}
	}
	var acting sync.WaitGroup
	acting.Go(func() { s.enforcer.Run(holding) })
	acting.Go(func() { s.keepHistory(holding) })
	acting.Wait()
	return known, ctx.Err() == nil
}

// awaitPreviousHolder waits until the previous holder begins no further step. It does not wait if the previous holder gave the lease back,
// or was an earlier process of this machine. It returns the error of the context.
func awaitPreviousHolder(ctx context.Context, before ledger.Holder, machine string) error {
	hasStopped := before.Released || before.Machine == "" || before.Machine == machine
	if !hasStopped || before.MayBeOld {
		pause(ctx, takeOverAfter)
	}
	return ctx.Err()
}

// forwardingLedger is the ledger for the forwarder.
type forwardingLedger struct {
	*ledger.Ledger
	alone *aloneTime
}

// Forward forwards decisions. The forwarder may have read a message before a flush alone marked it as attempted. So for a minute after such a
// flush, every message counts as perhaps blocked.
func (f forwardingLedger) Forward(ctx context.Context, batch []ledger.Forwarded, now time.Time, limit int) (ledger.Recorded, error) {
	f.alone.mu.Lock()
	defer f.alone.mu.Unlock()
	if now.Sub(f.alone.last) < perhapsBlockedFor {
		for i := range batch {
			batch[i].MaybeBlocked = true
		}
	}
	return f.Ledger.Forward(ctx, batch, now, limit)
}
