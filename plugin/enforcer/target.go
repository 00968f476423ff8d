package enforcer

import (
	"context"
	"strings"
	"time"

	"notification-stormshield/appliance"
	"notification-stormshield/plugin/ledger"
)

// checkTarget makes everything pending if the configuration names another appliance or other groups than before.
func (e *Enforcer) checkTarget(ctx context.Context, now time.Time) error {
	before, err := e.Ledger.Target(ctx)
	if err != nil || before.Matches(e.Target) {
		return err
	}
	if err := e.Ledger.SetTarget(ctx, e.Target, now); err != nil {
		return err
	}
	e.reportTarget(before)
	return nil
}

// reportTarget logs how the configuration differs from the target before.
func (e *Enforcer) reportTarget(before ledger.Target) {
	switch {
	case before.IsElsewhere(e.Target):
		e.Log.Warn("the configuration names another appliance: everything in force is blocked there; entries on the earlier one stay until they end by themselves",
			"appliance", e.Target.Host, "before", before.Host, "hint", "to remove them, run `cleanup` with the earlier configuration")
	case before.Host == "":
	case before.HasFiles() && !e.Target.HasFiles():
		e.Log.Warn("the configuration has no credentials for SSH any more: addresses stay blocked, one by one over the API, and ranges are unblocked",
			"appliance", e.Target.Host, "hint", "the groups and objects stay in the appliance's files; `cleanup` with the earlier configuration removes them")
	case !before.HasFiles() && e.Target.HasFiles():
		e.Log.Info("the configuration has credentials for SSH now: everything in force is blocked again, by group", "appliance", e.Target.Host)
	case before.Group == e.Target.Group && before.DeleteGroup == e.Target.DeleteGroup && before.Identity == e.Target.Identity:
		e.Log.Info("the configuration enforces in another way: the next flushes change the appliance accordingly (enforce)",
			"appliance", e.Target.Host, "blacklist", !e.Target.WithoutBlacklist, "rule", e.Target.ByRule)
	case before.Identity != e.Target.Identity:
		e.Log.Info("the configuration identifies the appliance by other keys: everything in force is blocked again, because it may be another appliance",
			"appliance", e.Target.Host)
	default:
		e.Log.Info("the configuration names other groups: everything in force is blocked by the new groups, then the old ones are removed",
			"group", e.Target.Group, "delete_group", e.Target.DeleteGroup, "before", before.Group+", "+before.DeleteGroup)
	}
}

// serialEvery is how often a re-assert with the files asks for the serial number. It compares the files of any appliance that answers, so
// it does not ask each time. A re-assert over the API relies on the last comparison, so it asks each time.
const serialEvery = time.Hour

// mustReadSerial reports whether a flush asks for the serial number. The first flush of each process does, and a re-assert once in
// serialEvery.
func (f *flush) mustReadSerial(reassert bool) bool {
	return f.serialReadAt.IsZero() || reassert && !f.task.files || reassert && f.now.Sub(f.serialReadAt).Abs() >= serialEvery
}

// recordOtherAppliance records that another appliance answers at the same address. Everything is pending then.
func (e *Enforcer) recordOtherAppliance(ctx context.Context, now time.Time, before ledger.Target, other *appliance.OtherApplianceError) error {
	target := e.Target
	target.Serial = other.Serial
	if err := e.Ledger.SetTarget(ctx, target, now); err != nil {
		return err
	}
	e.Log.Warn("another appliance answers: it was replaced, or the other member of an HA pair took over; everything in force is blocked again",
		"appliance", e.Target.Host, "serial", other.Serial, "before", before.Serial)
	return nil
}

// reportOldGroups logs that the old groups are removed, and which of them stay.
func (e *Enforcer) reportOldGroups(kept []string) {
	if len(kept) == 0 {
		e.Log.Info("the old groups are removed from the appliance")
		return
	}
	e.Log.Warn("old groups hold nothing of ours any more, and stay on the appliance", "kept", strings.Join(kept, "; "),
		"hint", "remove them on the appliance if nobody uses them")
}
