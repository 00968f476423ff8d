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

// files says when the appliance's files can be written again.
type files struct {
	log      *failures.Log
	failures int       // in a row
	retry    time.Time // no flush uses the files before; zero: the last one that did so succeeded
}

// isFilesError reports whether a flush failed only in the files.
func isFilesError(err error) bool { return errors.As(err, new(*appliance.FilesError)) }

// task is how a flush applies a plan.
type task struct {
	files    bool // write or compare the files
	reassert bool // block everything in force again
	held     bool // the files are needed, and not to be used before the next try
}

// isEmpty reports whether the plan leaves nothing to do.
func (t task) isEmpty(p ledger.Plan) bool {
	return !t.files && !t.reassert && len(p.Block)+len(p.Unblock) == 0
}

// decide decides how a flush applies a plan.
func (e *Enforcer) decide(p ledger.Plan, now time.Time) task {
	reassert := e.mustReassert(p, now)
	if e.APIAlone {
		return task{reassert: reassert}
	}
	first := p.Compared.IsZero()
	reassert = reassert || first
	needed := p.NeedsFiles() || p.Requested || first || reassert && e.mustCompare(p, now)
	if needed && now.Before(e.files.retry) {
		return task{held: true}
	}
	return task{files: needed, reassert: reassert}
}

// mustCompare reports whether a re-assert writes or compares the files.
func (e *Enforcer) mustCompare(p ledger.Plan, now time.Time) bool {
	return p.FilesDiffer() || p.Mark == "" || now.Before(p.Compared) || !now.Before(p.Compared.Add(e.Compare))
}

// filesFailed records and logs that the files cannot be written. Until the next try, flushes work over the API alone.
func (e *Enforcer) filesFailed(ctx context.Context, err error) {
	e.files.failures++
	e.files.retry = time.Now().Add(failures.Backoff(e.files.failures, firstFilesRetry, lastFilesRetry))
	e.files.log.Failed(hclog.Error, "the appliance's files cannot be written: addresses are still blocked over the API, ranges wait: "+err.Error())
	if err := e.Ledger.RecordFailure(ctx, ledger.Files, err.Error(), e.round.request, time.Now()); err != nil {
		e.log(err)
	}
}

// filesSucceeded logs that the files can be written again. warning is about their content.
func (e *Enforcer) filesSucceeded(ctx context.Context, warning error) {
	e.files.failures, e.files.retry = 0, time.Time{}
	if warning == nil {
		e.files.log.Succeeded("the appliance's files can be written again")
		return
	}
	e.files.log.Failed(hclog.Warn, warning.Error())
	if err := e.Ledger.RecordWarning(ctx, ledger.Files, warning.Error(), time.Now()); err != nil {
		e.log(err)
	}
}
