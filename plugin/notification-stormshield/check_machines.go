package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"notification-stormshield/plugin"
	"notification-stormshield/plugin/health"
	"notification-stormshield/plugin/ledger"
	"notification-stormshield/stormshield/acceptance"
)

// checkMachines reports which machines share the state, and whether their configurations fit.
func (c *databaseCheck) checkMachines(ctx context.Context) []acceptance.Finding {
	name := acceptance.Finding{Subject: "machine name", Assumed: "no other machine has the name of this machine"}
	others := acceptance.Finding{Subject: "machines", Assumed: "the machines that share the state name the same appliance in the same way"}
	status, target, err := c.readShared(ctx)
	if err != nil {
		name.Verdict, name.Detail = acceptance.Untried, err.Error()
		others.Verdict, others.Detail = acceptance.Untried, err.Error()
		return []acceptance.Finding{name, others}
	}
	name.Detail, others.Detail = c.state.Machine, describeMachines(status.Machines, time.Now())
	if c.anonymous {
		name.Detail, others.Detail = "it has a name of its own", health.FormatCount(len(status.Machines), "machine", "machines")
	}
	isTaken, err := c.isNameTaken(status)
	if err != nil {
		name.Verdict, name.Detail = acceptance.Untried, err.Error()
	}
	if isTaken {
		name.Verdict, name.Detail = acceptance.Wrong, ""
		name.Err = errors.New("another machine uses the name of this machine, and its plugin runs")
		name.Hint = "give each machine a state_machine of its own"
	}
	if own := plugin.TargetOf(c.document); target.Host != "" && !target.Matches(own) {
		others.Verdict = acceptance.Differs
		others.Detail += "; the state is about " + cmp.Or(differenceOf(target, own), "another configuration")
		others.Hint = "write the same values under stormshield on each machine: otherwise everything is pending again after each takeover"
	}
	return []acceptance.Finding{name, others}
}

// readShared reads what the machines recorded last.
func (c *databaseCheck) readShared(ctx context.Context) (status ledger.Status, target ledger.Target, err error) {
	l, err := c.state.OpenReadOnly(ctx)
	if err != nil {
		return status, target, err
	}
	defer l.Close()
	if status, err = l.Status(ctx, time.Now()); err == nil {
		target, err = l.Target(ctx)
	}
	return status, target, err
}

// isNameTaken reports whether a plugin on another machine uses the name of this machine. Its machine has another identity.
func (c *databaseCheck) isNameTaken(s ledger.Status) (bool, error) {
	at := slices.IndexFunc(s.Machines, func(m ledger.Machine) bool { return m.Name == c.state.Machine })
	if at < 0 || s.Machines[at].Identity == "" || time.Since(s.Machines[at].Seen) > ledger.NameKept {
		return false, nil
	}
	own, err := c.state.ReadIdentity() // "": no plugin ran on this machine yet
	return err == nil && own != s.Machines[at].Identity, err
}

// describeMachines lists the machines that share a state.
func describeMachines(machines []ledger.Machine, now time.Time) string {
	if len(machines) == 0 {
		return "none yet"
	}
	var all []string
	for _, m := range machines {
		text := m.Name
		if m.IsHolder {
			text += " (enforces)"
		}
		if !m.Seen.IsZero() {
			text += ", seen " + health.FormatDuration(max(now.Sub(m.Seen), 0)) + " ago"
		}
		all = append(all, text)
	}
	return strings.Join(all, "; ")
}

// differenceOf names the values by which two targets differ.
func differenceOf(a, b ledger.Target) string {
	var all []string
	for _, one := range []struct{ what, a, b string }{
		{"the address", a.Host, b.Host}, {"the identity", a.Identity, b.Identity}, {"the group", a.Group, b.Group},
		{"the delete_group", a.DeleteGroup, b.DeleteGroup}, {"enforce", fmt.Sprint(a.ByRule, a.WithoutBlacklist), fmt.Sprint(b.ByRule, b.WithoutBlacklist)},
	} {
		if one.a != one.b {
			all = append(all, "another value of "+one.what)
		}
	}
	return strings.Join(all, ", ")
}
