// Package health reads the health of one notification: whether its bans are enforced, and why not. The command `status`, the status page
// and the metrics show it.
//
// A [Source] names where the health is stored. [Source.Read] returns a [Report]. Package plugin makes the source of a configuration:
//
//	report, err := plugin.HealthSource(document, ledger).Read(ctx, now)
//	fmt.Println(report.Sentence())
//
// Read connects to nothing, logs in nowhere and writes nothing. Several goroutines may call it at once.
package health

import (
	"context"
	"fmt"
	"time"

	"notification-stormshield/config"
	"notification-stormshield/plugin/ban"
	"notification-stormshield/plugin/lease"
	"notification-stormshield/plugin/ledger"
	"notification-stormshield/plugin/lockout"
)

// Source has the places that a report is read from. Package plugin fills it for a configuration.
type Source struct {
	Document    config.Document
	Ledger      *ledger.Ledger
	Lockout     LoginHoldOff
	Lease       string        // the path of the lease
	State       string        // the path of the ledger or, if several machines share the state, of the outbox
	Credentials string        // those of the configuration, for the login hold-off
	Target      ledger.Target // that of the configuration

	Outbox   Outbox // nil: no other machine shares the state
	Place    string // the database of the shared state
	Machine  string // the name of this machine among those that share the state
	NoLedger error  // why the database cannot be used, so that Ledger is nil; nil: Ledger is open
}

// Read reads the health as it is now. If the database of a shared state cannot be used, the report has no [Contents].
func (s Source) Read(ctx context.Context, now time.Time) (Report, error) {
	d := s.Document
	r := Report{
		Name: d.Name, Host: d.Stormshield.Host, SSH: d.Stormshield.UsesSSH(), MaxBans: d.Decisions.MaxBans, State: s.State,
		Enforce: d.Stormshield.Enforce, Observing: d.Stormshield.IsObserving(),
	}
	pid, err := lease.Holder(s.Lease)
	if err != nil {
		return Report{}, err
	}
	if s.Outbox != nil {
		if r.Shared, err = s.readShared(ctx, pid != 0); err != nil {
			return Report{}, err
		}
	}
	problem, err := s.readLedger(ctx, &r, now)
	if err != nil {
		return Report{}, err
	}
	if problem != "" {
		r.Problem = problem
		return r, nil
	}
	hold, isHeld, err := s.Lockout.CurrentReadOnly(s.Credentials, now)
	if err != nil {
		return Report{}, err
	}
	if isHeld {
		r.HoldOff = &HoldOff{Until: hold.Until, Refused: hold.Failures, Reason: hold.Reason, Hint: hold.Advice()}
	}
	if pid != 0 {
		r.Process = &pid
	}
	r.Problem = s.problem(r, now)
	r.Working = r.Problem == ""
	return r, nil
}

// readLedger adds what the ledger says to a report. It returns a text if the ledger belongs to another appliance. If the database of a
// shared state cannot be used, it adds that instead.
func (s Source) readLedger(ctx context.Context, r *Report, now time.Time) (problem string, err error) {
	if r.Shared == nil {
		return s.addContents(ctx, r, now)
	}
	timeout := ledgerTimeout
	if r.Shared.AwaySince != nil {
		timeout = awayTimeout
	}
	reading, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if err = s.NoLedger; err == nil {
		problem, err = s.addContents(reading, r, now)
	}
	if err == nil {
		return problem, nil
	}
	if ctx.Err() != nil {
		return "", err
	}
	r.Contents = nil
	r.Shared.addFailure(err, now)
	return "", nil
}

// addContents adds what the ledger says to a report. It returns a text if the ledger belongs to another appliance.
func (s Source) addContents(ctx context.Context, r *Report, now time.Time) (problem string, _ error) {
	d := s.Document
	read, err := s.Ledger.Status(ctx, now)
	if err != nil {
		return "", err
	}
	r.Contents = &Contents{
		InForce: read.InForce.Total(), OfLists: read.InForce[ban.Remote], InForceByClass: read.InForce, WaitingByClass: read.Waiting,
		Recorded: read.Recorded, NextEnd: jsonTime(read.Next), ToBlock: read.ToBlock, ToUnblock: read.ToUnblock,
	}
	if r.Shared != nil {
		r.Shared.addMachines(read.Machines, read.Holder, now)
	}
	if problem, err = s.TargetProblem(ctx); err != nil || problem != "" {
		r.ToBlock, r.ToUnblock = r.InForce, 0
		return problem, err
	}
	r.PendingSince, r.LastFlush, r.LastReassert = jsonTime(read.Pending), jsonTime(read.Flushed), jsonTime(read.Confirmed)
	if d.Stormshield.UsesRule() {
		r.RuleStaleSince = jsonTime(read.Stale)
	}
	r.Trouble = troubleOf(read)
	if d.Stormshield.UsesSSH() {
		r.Files = &Files{Compared: jsonTime(read.Compared), ToWrite: read.ToWrite, Ranges: read.Ranges}
	}
	if d.LAPI.Followed() {
		f := read.LocalAPI
		r.LocalAPI = &LocalAPI{LastRead: jsonTime(f.LastRead), UnreadSince: jsonTime(f.FailingSince), Error: f.Error, LeftOut: read.Waiting.Total()}
	}
	return "", nil
}

// TargetProblem returns a text if the state belongs to another appliance than the configuration names, and otherwise "".
func (s Source) TargetProblem(ctx context.Context) (string, error) {
	target, err := s.Ledger.Target(ctx)
	if err != nil || !target.IsElsewhere(s.Target) {
		return "", err
	}
	return fmt.Sprintf("the state %s belongs to the appliance at %s, not to the one at %s "+
		"(hint: another file of the notifications folder has the same name, or the host was changed and the plugin has not started with it yet: give each document a name of its own, then restart CrowdSec)",
		s.Document.Name, target.Host, s.Document.Stormshield.Address()), nil
}

// troubleOf returns the trouble that matters more: that of whole flushes before that of the files, and a failure before a warning.
func troubleOf(s ledger.Status) *Trouble {
	t, ofFiles := s.Trouble, false
	if s.Files.Count > 0 && (t.Count == 0 || t.Warning && !s.Files.Warning) {
		t, ofFiles = s.Files, true
	}
	if t.Count == 0 {
		return nil
	}
	return &Trouble{Text: t.Text, Since: t.Since, Last: t.Last, Count: t.Count, Warning: t.Warning, Files: ofFiles}
}

// LoginHoldOff is where the login hold-off is stored, such as a [lockout.File] or a [lockout.Shared].
type LoginHoldOff interface {
	CurrentReadOnly(credentials string, now time.Time) (hold lockout.HoldOff, active bool, err error)
}
