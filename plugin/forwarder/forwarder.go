// Package forwarder moves the decisions of this machine's outbox to the state that several machines share. The main type is
// [Forwarder].
//
// A Forwarder forwards the messages of the outbox in their order. One transaction stores a batch of messages, and the number of the
// last one. So the shared state never stores a batch twice, also if an answer was lost.
//
// While the database of the shared state cannot be used, the messages wait in the outbox. The Forwarder tries again, at first after
// a quarter of a second, and later every five seconds.
//
// Every five seconds the Forwarder records a beat in the shared state: this machine runs, and this many decisions wait on it. The
// shared state counts the beats, and returns the count. A count that the Forwarder has seen before shows that the database came back
// from a backup. Then the Forwarder forwards again the messages that the shared state lacks. Half a minute later it also
// records there which prefixes this machine began to block within the last day.
//
// The package knows no appliance. Only the holder of this machine's lease runs a Forwarder.
package forwarder

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/hashicorp/go-hclog"

	"notification-stormshield/plugin/failures"
	"notification-stormshield/plugin/guard"
	"notification-stormshield/plugin/ledger"
	"notification-stormshield/plugin/outbox"
)

const (
	// mostDecisions is how many decisions one batch has, unless one message alone has more.
	mostDecisions = 2000
	// lookEvery is how often the Forwarder looks for messages of other processes.
	lookEvery = time.Second
	// beatEvery is the time between two beats.
	beatEvery = 5 * time.Second
	// firstPause and longestPause bound the growing pauses while the database cannot be used.
	firstPause   = 250 * time.Millisecond
	longestPause = 5 * time.Second
	// lateAfter is how long a message waits at most that counts as forwarded at once. The decisions of a later one may have been deleted
	// meanwhile, and the Local API reports a deletion once.
	lateAfter = 2 * time.Second
	// attemptsWait is how long the Forwarder waits, after the shared state came back from a backup, before it records there what this machine
	// began to block. The other machines notice the backup within two beats, and a Local API is read whole within seconds.
	attemptsWait = 30 * time.Second
	// callTimeout is how long one call of the shared state may take.
	callTimeout = 30 * time.Second
)

// Ledger is the part of a shared [ledger.Ledger] that a Forwarder needs. Its methods are the contract.
type Ledger interface {
	Forward(ctx context.Context, batch []ledger.Forwarded, now time.Time, limit int) (ledger.Recorded, error)
	Beat(ctx context.Context, b ledger.Beat, now time.Time) (ledger.Beaten, error)
	RecordRestored(ctx context.Context, now time.Time, limit int) error
	RecordAttempted(ctx context.Context, attempted []netip.Prefix, now time.Time, limit int) error
}

// Config describes a forwarder.
type Config struct {
	Outbox      *outbox.Outbox
	Ledger      Ledger
	MaxBans     int    // how many bans are enforced at most
	Version     string // of this program, for the other machines
	Log         hclog.Logger
	OnForwarded func(added time.Time) // called after each batch, with the time at which its last message was added; may be nil
	OnRestored  func()                // called when the database came back from a backup; may be nil
	OnAttempted func()                // called when a database from a backup got what this machine began to block; may be nil
	OnCaughtUp  func()                // called when all messages are forwarded, and some of them had waited for lateAfter; may be nil
}

// Forwarder moves messages from one outbox to one shared ledger.
type Forwarder struct {
	Config
	trigger  chan struct{}
	nextBeat time.Time
	restored bool // the database came back from a backup, and the Forwarder has not recorded that yet
	isBack   bool // the outbox has the record that the database can be used
	wasLate  bool // a message that was forwarded since the last OnCaughtUp had waited for lateAfter
	failures *failures.Log
}

// New returns a forwarder. Run starts it.
func New(c Config) *Forwarder {
	return &Forwarder{Config: c, trigger: make(chan struct{}, 1), failures: failures.NewLog(c.Log)}
}

// Trigger makes Run look at the outbox now.
func (f *Forwarder) Trigger() {
	select {
	case f.trigger <- struct{}{}:
	default: // Run will look anyway
	}
}

// Run forwards until the context ends.
func (f *Forwarder) Run(ctx context.Context) {
	for failed := 0; ; {
		_, err := guard.Call("forwarding decisions", func() (any, error) { return nil, f.forwardAll(ctx) })
		if ctx.Err() != nil {
			return
		}
		trigger, pause := f.trigger, lookEvery
		if err == nil {
			failed = 0
		} else {
			failed++
			trigger, pause = nil, failures.Backoff(failed, firstPause, longestPause) // a new alert must not shorten the pause
			f.reportFailure(ctx, err)
		}
		select {
		case <-ctx.Done():
			return
		case <-trigger:
		case <-time.After(pause):
		}
	}
}

// ForwardOnce forwards what waits now, for a command that runs while no plugin does.
func (f *Forwarder) ForwardOnce(ctx context.Context) error { return f.forwardAll(ctx) }

// reportFailure logs and records that decisions cannot be forwarded.
func (f *Forwarder) reportFailure(ctx context.Context, err error) {
	f.isBack = false
	waiting, _ := f.Outbox.Waiting(ctx) // err says more than a failure to count
	f.failures.Failed(hclog.Error, "the database of the shared state cannot be used: the decisions of alerts wait on this machine",
		"error", err, "waiting", waiting.Decisions, "hint", "see state_url in the notification's YAML; `check` tries it")
	if failed := f.Outbox.RecordAway(ctx, err.Error(), time.Now()); failed != nil {
		f.Log.Debug("the failure could not be recorded", "error", failed)
	}
}

// reportSuccess logs and records that decisions can be forwarded.
func (f *Forwarder) reportSuccess(ctx context.Context) error {
	if f.isBack {
		return nil
	}
	if err := f.Outbox.RecordBack(ctx); err != nil {
		return err
	}
	f.isBack = true
	f.failures.Succeeded("the database of the shared state can be used again")
	return nil
}

// forwardAll records a beat when it is time for one, and forwards the messages that wait.
func (f *Forwarder) forwardAll(ctx context.Context) error {
	for hadGap := false; ; {
		if !time.Now().Before(f.nextBeat) {
			if err := f.beat(ctx); err != nil {
				return err
			}
		}
		after, err := f.Outbox.Forwarded(ctx)
		if err != nil {
			return err
		}
		messages, err := f.Outbox.Next(ctx, after, mostDecisions)
		if err != nil {
			return err
		}
		if len(messages) > 0 {
			err = f.forward(ctx, after, messages)
		}
		if errors.Is(err, ledger.ErrGap) && !hadGap {
			hadGap = true // the next beat finds out which messages the shared state lacks
			continue
		}
		if err == nil {
			err = f.reportSuccess(ctx)
		}
		if err != nil {
			return err
		}
		if len(messages) == 0 {
			f.catchUp()
			return nil
		}
	}
}

// catchUp reports that late messages are forwarded.
func (f *Forwarder) catchUp() {
	if f.wasLate && f.OnCaughtUp != nil {
		f.OnCaughtUp()
	}
	f.wasLate = false
}

// forward forwards one batch. after is the last number that was forwarded.
func (f *Forwarder) forward(ctx context.Context, after int64, messages []outbox.Message) error {
	batch := make([]ledger.Forwarded, len(messages))
	for i, m := range messages {
		batch[i] = ledger.Forwarded{Number: m.Number, After: after, Decisions: m.Decisions, MaybeBlocked: m.Attempted}
		after = m.Number
	}
	limited, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	recorded, err := f.Ledger.Forward(limited, batch, time.Now(), f.MaxBans)
	if err != nil {
		f.nextBeat = time.Time{} // the answer to a beat has the last message of the shared state, and shows whether it comes from a backup
		return err
	}
	if err := f.Outbox.MarkForwarded(ctx, after, time.Now()); err != nil {
		return err
	}
	f.Log.Debug("forwarded", "messages", len(messages), "added", recorded.Added, "extended", recorded.Extended)
	f.wasLate = f.wasLate || time.Since(messages[0].At) > lateAfter
	if f.OnForwarded != nil {
		f.OnForwarded(messages[len(messages)-1].At)
	}
	return nil
}
