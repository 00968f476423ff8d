package enforcer

import (
	"context"
	"errors"
	"time"

	"github.com/hashicorp/go-hclog"

	"notification-stormshield/appliance"
	"notification-stormshield/plugin/failures"
	"notification-stormshield/plugin/ledger"
)

const (
	firstFilesRetry = 5 * time.Second
	lastFilesRetry  = 5 * time.Minute
)

// filesRetry is when a flush tries the appliance's files again after a failure.
type filesRetry struct {
	log      *failures.Log
	failures int       // in a row
	at       time.Time // no flush uses the files before; zero: the last flush with the files succeeded
}

// isFilesError reports whether a flush failed only because of the files.
func isFilesError(err error) bool { return errors.As(err, new(*appliance.FilesError)) }

// task is how a flush applies a plan.
type task struct {
	files         bool // write or compare the files
	reassert      bool // block everything in force again
	groupListsAll bool // as far as the ledger knows, the group in the files lists the bans in force and no others
	activate      bool // the flush may activate the filter rule
	waitsForFiles bool // the plan needs the files, and their next try is not due: the flush applies what needs no files
}

// isEmpty reports whether the plan leaves nothing to do.
func (t task) isEmpty(p ledger.Plan) bool {
	return !t.files && !t.reassert && len(p.Block)+len(p.Unblock) == 0
}

// chooseTask chooses how a flush applies a plan.
func (e *Enforcer) chooseTask(p ledger.Plan, now time.Time) task {
	reassert := e.mustReassert(p, now)
	if e.WithoutSSH {
		return task{reassert: reassert}
	}
	first := p.Compared.IsZero()
	reassert = reassert || first
	t := task{reassert: reassert, groupListsAll: !p.FilesDiffer() && p.Mark != ""}
	t.activate = p.Target.ByRule && (p.Requested || !now.Before(e.activateAt(p, now)))
	t.files = p.NeedsFiles() || t.activate && !p.Stale.IsZero() || p.Requested || first || reassert && (!t.groupListsAll || !e.isRecent(p.Compared, now))
	if t.files && now.Before(e.filesRetry.at) {
		t.files, t.waitsForFiles = false, true
	}
	return t
}

// activateAt returns the time from which a flush may activate the filter rule. If the last activation is in the future, the clock was set
// back.
func (e *Enforcer) activateAt(p ledger.Plan, now time.Time) time.Time {
	if now.Before(p.Activated) {
		return now
	}
	return p.Activated.Add(e.Activate)
}

// isRecent reports whether a re-assert may rely on the last comparison of the files.
func (e *Enforcer) isRecent(compared, now time.Time) bool {
	return !now.Before(compared) && now.Before(compared.Add(e.Compare))
}

// recordFilesFailure records and logs that the files cannot be written. Until the next try, no flush uses them.
func (e *Enforcer) recordFilesFailure(ctx context.Context, err error) {
	e.filesRetry.failures++
	e.filesRetry.at = time.Now().Add(failures.Backoff(e.filesRetry.failures, firstFilesRetry, lastFilesRetry))
	e.filesRetry.log.Failed(hclog.Error, e.describeFilesFailure(err)+": "+err.Error())
	if err := e.Ledger.RecordFailure(ctx, ledger.Files, err.Error(), e.round.request, time.Now()); err != nil {
		e.log(err)
	}
}

// describeFilesFailure says what a failure over SSH means for the bans.
func (e *Enforcer) describeFilesFailure(err error) string {
	switch {
	case errors.As(err, new(*appliance.ActivationError)):
		return "the filter rule cannot be activated (it keeps the bans that it has)"
	case e.Target.WithoutBlacklist:
		return "the appliance's files cannot be written (the filter rule keeps the bans that it has)"
	}
	return "the appliance's files cannot be written (addresses are still blocked over the API, ranges wait)"
}

// recordFilesSuccess logs that the files can be written again, or records and logs the warning about their content.
func (e *Enforcer) recordFilesSuccess(ctx context.Context, warning error) {
	e.filesRetry.failures, e.filesRetry.at = 0, time.Time{}
	if warning == nil {
		e.filesRetry.log.Succeeded("the appliance's files can be written again")
		return
	}
	e.filesRetry.log.Failed(hclog.Warn, warning.Error())
	if err := e.Ledger.RecordWarning(ctx, ledger.Files, warning.Error(), time.Now()); err != nil {
		e.log(err)
	}
}
