package health

import (
	"fmt"
	"time"
)

// problem returns why the notification is NOT WORKING, in one sentence; "" if it works.
func (s Source) problem(r Report, now time.Time) string {
	since := func(began time.Time) string { return FormatDuration(now.Sub(began)) }
	shared := s.sharedProblem(r, now)
	overdue := r.Contents != nil && s.isOverdue(r, now)
	switch {
	case r.Process == nil:
		return "no process of the plugin runs (hint: see that profiles.yaml names " + r.Name + ", then restart CrowdSec)"
	case s.Document.DryRun:
		return "dry_run is set: nothing is sent to the appliance"
	case r.HoldOff != nil:
		return fmt.Sprintf("no login is tried for %s (hint: %s)", FormatDuration(r.HoldOff.Until.Sub(now)), r.HoldOff.Hint)
	case shared != "" || r.Contents == nil:
		return shared
	case r.HasFilesFailure() && s.Document.Stormshield.UsesRule():
		return fmt.Sprintf("the filter rule cannot be kept up to date over SSH for %s (hint: the error says why; `check` tries everything)",
			since(r.Trouble.Since))
	case r.HasFilesFailure() && r.Files != nil && r.Files.Ranges > 0:
		return fmt.Sprintf("the appliance's files cannot be written over SSH for %s, and %s for them (hint: the error says why; `check` tries everything)",
			since(r.Trouble.Since), FormatCount(r.Files.Ranges, "range waits", "ranges wait"))
	case r.Trouble != nil && !r.Trouble.Warning && !r.Trouble.Files:
		return fmt.Sprintf("flushes have failed for %s (hint: the error says why; `check` tries everything)", since(r.Trouble.Since))
	case s.isRuleOverdue(r, now):
		return fmt.Sprintf("the running filter rule has lacked changes of the group %s for %s (hint: CrowdSec's log says what the plugin does)",
			s.Document.Stormshield.Group, since(*r.RuleStaleSince))
	case overdue && r.ToBlock+r.ToUnblock == 0 && r.HasFilesFailure():
		return fmt.Sprintf("the appliance's files cannot be written over SSH for %s, and a flush that was cut is not repaired "+
			"(hint: the error says why; `check` tries everything)", since(r.Trouble.Since))
	case overdue && r.ToBlock+r.ToUnblock == 0:
		return fmt.Sprintf("a flush was cut %s ago, and the next one has not repaired the appliance's files yet "+
			"(hint: CrowdSec's log says what the plugin does)", since(*r.PendingSince))
	case overdue:
		return fmt.Sprintf("%d to block and %d to unblock have been pending for up to %s "+
			"(hint: CrowdSec's log says what the plugin does; is the disk full that holds the state?)",
			r.ToBlock, r.ToUnblock, since(*r.PendingSince))
	case r.LocalAPI != nil && r.LocalAPI.UnreadSince != nil:
		return fmt.Sprintf("the Local API is not followed for %s: known bans stay enforced, new ones come from alerts alone "+
			"(hint: the row Local API has the error; `check` tries it)", since(*r.LocalAPI.UnreadSince))
	}
	return ""
}

// isRuleOverdue reports whether the running filter rule lacks changes for longer than a flush and an activation should need.
func (s Source) isRuleOverdue(r Report, now time.Time) bool {
	return r.RuleStaleSince != nil && now.Sub(*r.RuleStaleSince) > 3*s.Document.UpdateFrequency+s.Document.Stormshield.Rule.ActivateEvery+time.Minute
}

// isOverdue reports whether something is pending for longer than a flush should need. The state may hold no trouble then,
// such as when its disk is full, or while a flush hangs.
func (s Source) isOverdue(r Report, now time.Time) bool {
	return r.PendingSince != nil && now.Sub(*r.PendingSince) > 3*s.Document.UpdateFrequency+time.Minute
}
