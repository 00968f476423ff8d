package follower

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"notification-stormshield/lapi"
	"notification-stormshield/plugin/ban"
)

// readAll does a full read, and ends the decisions that vanished.
func (u *update) readAll(ctx context.Context, now time.Time) (err error) {
	if u.fullRead, err = u.Ledger.BeginFullRead(ctx); err != nil {
		return err
	}
	u.before = u.ids.highest()
	u.lastPoll, u.nextFullRead, u.deletedIDs = now, time.Time{}, map[int64]bool{}
	seen, err := u.stream(ctx, true)
	if err != nil {
		return err
	}
	u.lastFullRead = now
	u.ids.reset(now, seen.HighestID)
	u.reportRefused()
	if !u.canAsk() {
		if _, err := u.stream(ctx, false); err != nil || !u.canAsk() { // no decision may end unless the Local API was asked
			return err
		}
	}
	if err := u.checkDatabase(ctx); err != nil {
		return err
	}
	lacked, err := u.Ledger.EndFullRead(ctx, u.fullRead, u.isSelected, time.Now())
	if err != nil {
		return err
	}
	vanished, err := u.endVanished(ctx)
	if err != nil {
		return err
	}
	if lacked > vanished || u.ids.unsupported && u.recorded.Unknown > 0 {
		u.nextFullRead = now.Add(fullReadDelay)
	}
	return nil
}

// endVanished ends the decisions that two full reads in a row lacked, if the Local API also lacks a sample of them. It
// returns their number.
func (u *update) endVanished(ctx context.Context) (int, error) {
	missing, err := u.Ledger.Missing(ctx, time.Now())
	if err != nil || missing.Count == 0 {
		return 0, err
	}
	for _, d := range missing.Sample {
		if !u.canAsk() {
			return 0, nil // the next full read asks again
		}
		found, err := u.LocalAPI.Lookup(ctx, u.Query, d.Prefix)
		if err != nil {
			return 0, fmt.Errorf("full reads lack %d decisions that were listed, and the question about one of them failed, "+
				"so no decision ends: %w", missing.Count, err)
		}
		if slices.ContainsFunc(found, func(f lapi.Decision) bool { return isSame(d, f) }) {
			return 0, fmt.Errorf("full reads lack %d decisions, such as the one on %s, which the Local API has: "+
				"its answers are cut, so no decision ends", missing.Count, d.Prefix)
		}
	}
	recorded, err := u.Ledger.EndMissing(ctx, time.Now(), u.MaxBans)
	u.recorded.Add(recorded)
	return missing.Count, err
}

// isSame reports whether a decision of the Local API is one of the ledger. A new database gives old IDs to other decisions.
func isSame(d ban.Decision, found lapi.Decision) bool {
	if uuid := ban.ParseUUID(found.UUID); d.UUID != (ban.UUID{}) && uuid != (ban.UUID{}) {
		return d.UUID == uuid
	}
	return d.ID != 0 && d.ID == found.ID
}

// isSelected reports whether the follower's query selects a decision, by the rules of the Local API. It returns false where
// the ledger does not know enough: such a decision stays until its own end.
func (u *update) isSelected(d ban.Decision) bool {
	scenario := strings.ToLower(d.Scenario)
	contains := func(part string) bool { return strings.Contains(scenario, strings.ToLower(part)) }
	q := u.Query
	return (len(q.Origins) == 0 || slices.Contains(q.Origins, d.Origin)) && u.isScopeSelected(d) &&
		(len(q.Include) == 0 || slices.ContainsFunc(q.Include, contains)) && !slices.ContainsFunc(q.Exclude, contains)
}

// isScopeSelected reports whether the query selects the scope of a decision. The ledger stores no scope, and an alert may
// call a range Ip. So a decision that the Local API never listed counts only if the query selects both scopes.
func (u *update) isScopeSelected(d ban.Decision) bool {
	selects := func(scope string) bool {
		return len(u.Query.Scopes) == 0 || slices.ContainsFunc(u.Query.Scopes, func(s string) bool { return strings.EqualFold(s, scope) })
	}
	ip, network := selects("ip"), selects("range")
	if d.Range().IsSingleIP() {
		return ip && (network || d.ID != 0)
	}
	return network && (ip || d.ID != 0)
}
