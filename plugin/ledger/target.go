package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"slices"
	"time"

	"notification-stormshield/appliance"
)

// Target is the appliance and the groups that the acknowledgements in a ledger are about.
type Target struct {
	Host        string `json:"host"`     // host and API port, in one spelling for each appliance; "": nothing was flushed yet
	Identity    string `json:"identity"` // the keys and certificates by which the configuration identifies the appliance
	Group       string `json:"group"`    // "": the configuration has no credentials for SSH, so flushes leave the files as they are
	DeleteGroup string `json:"delete_group"`
	Serial      string `json:"serial,omitempty"` // the appliance's serial number; "": not known
	// ByRule says that a filter rule names the group, so that each change must reach the files and the running rule.
	ByRule bool `json:"by_rule,omitempty"`
	// WithoutBlacklist says that the filter rule alone enforces the bans. Then ByRule is set too.
	WithoutBlacklist bool `json:"without_blacklist,omitempty"`
	// OldGroups are groups of earlier configurations that may still be in the appliance's files.
	OldGroups []string `json:"old_groups,omitempty"`
}

// Matches reports whether a configuration names this appliance, these groups, and the same ways to enforce (blacklist, rule or both). It
// does not compare the serial number and the old groups, which no configuration has.
func (t Target) Matches(configured Target) bool {
	return t.hasPlace(configured) && t.ByRule == configured.ByRule && t.WithoutBlacklist == configured.WithoutBlacklist
}

// hasPlace reports whether a configuration names this appliance and these groups.
func (t Target) hasPlace(configured Target) bool {
	return t.Host == configured.Host && t.Identity == configured.Identity &&
		t.Group == configured.Group && t.DeleteGroup == configured.DeleteGroup
}

// HasFiles reports whether flushes write the bans to the appliance's files.
func (t Target) HasFiles() bool { return t.Group != "" }

// IsElsewhere reports whether a configuration names another address.
func (t Target) IsElsewhere(configured Target) bool { return t.Host != "" && t.Host != configured.Host }

// Next returns the target that follows t when a configuration or an appliance's answer names an appliance. same is false if the
// appliance or the groups differ: then nothing counts as acknowledged.
func (t Target) Next(named Target) (next Target, same bool) {
	next = named
	if t.Host == "" {
		return next, true
	}
	sameAppliance := t.Host == named.Host && t.Identity == named.Identity
	if sameAppliance && named.Serial == "" {
		next.Serial = t.Serial
	}
	// Another appliance at the same address may have the same files.
	if t.Host == named.Host {
		next.OldGroups = t.oldGroups(named)
	}
	changedSerial := t.Serial != "" && next.Serial != t.Serial
	return next, t.hasPlace(named) && !changedSerial
}

// oldGroups returns the groups of t that a configuration no longer names.
func (t Target) oldGroups(named Target) []string {
	var old []string
	for _, group := range append(slices.Clone(t.OldGroups), t.Group, t.DeleteGroup) {
		if group != "" && group != named.Group && group != named.DeleteGroup && !slices.Contains(old, group) {
			old = append(old, group)
		}
	}
	return old
}

// Target returns the target; zero: no flush has begun yet.
func (l *Ledger) Target(ctx context.Context) (t Target, err error) {
	err = l.db.QueryRowContext(ctx, "SELECT target FROM flushing").Scan(&t)
	return t, l.explain(err, "look for the appliance that the decisions are for")
}

// SetTarget records the target that [Target.Next] returns. If it differs from the last one, nothing counts as acknowledged any
// more. Only the holder of the lease calls SetTarget.
func (l *Ledger) SetTarget(ctx context.Context, named Target, now time.Time) error {
	err := l.writeAsHolder(ctx, func(tx *sql.Tx) error {
		var before Target
		if err := tx.QueryRowContext(ctx, "SELECT target FROM flushing").Scan(&before); err != nil {
			return err
		}
		next, same := before.Next(named)
		if !same {
			if err := makeAllPending(ctx, tx, next, now); err != nil {
				return err
			}
		}
		if before.Host != "" && !before.HasFiles() && next.HasFiles() { // an earlier target may have left names in the files
			if _, err := tx.ExecContext(ctx, "UPDATE flushing SET unsure = ?", now.UnixMilli()); err != nil {
				return err
			}
		}
		if err := changeWays(ctx, tx, before, next, !same, now); err != nil {
			return err
		}
		return setTarget(ctx, tx, next)
	})
	return l.explain(err, "record the appliance that the decisions are for")
}

// makeAllPending makes everything pending: bans in force must be blocked again, and ended ones must be unblocked. The appliance may
// have their entries. If the next target has no group, no flush compares the files. So if a flush with the files was cut, each ban counts
// as one that may have an entry. The first flush of a later target with a group compares the files whole.
func makeAllPending(ctx context.Context, tx *sql.Tx, next Target, now time.Time) error {
	written := maybeListed
	if !next.HasFiles() {
		written = 0
	}
	_, err := tx.ExecContext(ctx, `UPDATE ban SET written = ?1, expires = CASE WHEN ?4 THEN expires ELSE ?2 END, pending_since = ?3
		WHERE written <> 0 OR expires > 0 OR ?1 = 0 AND (SELECT unsure > 0 FROM flushing)`,
		written, maybeBlocked, now.UnixMilli(), next.WithoutBlacklist)
	if err != nil {
		return err
	}
	if !next.HasFiles() {
		if _, err := tx.ExecContext(ctx, "UPDATE flushing SET unsure = 0"); err != nil {
			return err
		}
	}
	return forgetFiles(ctx, tx)
}

// changeWays makes pending what a change of the ways to enforce needs. If the filter rule now enforces alone, the entries must leave the
// blacklist. If the blacklist enforces again, every ban needs an entry. A filter rule that is new must see the group.
func changeWays(ctx context.Context, tx *sql.Tx, before, next Target, elsewhere bool, now time.Time) error {
	var changes []statement
	switch {
	case next.WithoutBlacklist && !before.WithoutBlacklist:
		changes = append(changes, statement{text: "UPDATE flushing SET entries = 1, new_after = changes"})
	case before.WithoutBlacklist && !next.WithoutBlacklist:
		changes = append(changes,
			statement{text: "UPDATE flushing SET entries = 0, confirmed = 0, asserted = 0, asserted_flush = 0, asserted_until = 0, settled = 0"},
			statement{"UPDATE ban SET pending_since = ?1 WHERE until > ?1", []any{now.UnixMilli()}})
	}
	switch {
	case next.ByRule && (elsewhere || !before.ByRule):
		changes = append(changes, statement{"UPDATE flushing SET stale = ?", []any{now.UnixMilli()}})
	case !next.ByRule:
		changes = append(changes, statement{text: "UPDATE flushing SET stale = 0"})
	}
	if err := execEach(ctx, tx, changes...); err != nil {
		return err
	}
	if before.ByRule && !next.ByRule { // the failure may be that of an activation, which no flush tries again
		_, err := tx.ExecContext(ctx, queryEndTrouble, Files)
		return err
	}
	return nil
}

// learnTarget records an unknown serial number that a flush learned, and that the old groups are gone.
func learnTarget(ctx context.Context, tx *sql.Tx, t Target, o appliance.Outcome) error {
	serial, gone := t.Serial == "" && o.Serial != "", len(t.OldGroups) > 0 && o.OldGroupsGone
	if serial {
		t.Serial = o.Serial
	}
	if gone {
		t.OldGroups = nil
	}
	if !serial && !gone {
		return nil
	}
	return setTarget(ctx, tx, t)
}

// Scan reads a stored target.
func (t *Target) Scan(value any) error {
	text, _ := value.(string)
	if text == "" {
		*t = Target{}
		return nil
	}
	return json.Unmarshal([]byte(text), t)
}

func setTarget(ctx context.Context, tx *sql.Tx, t Target) error {
	text, err := json.Marshal(t)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, "UPDATE flushing SET target = ?", string(text))
	return err
}
