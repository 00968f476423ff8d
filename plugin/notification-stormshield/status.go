package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"notification-stormshield/config"
	"notification-stormshield/plugin"
	"notification-stormshield/plugin/ledger"
)

func statusCommand() *cobra.Command {
	var which selection
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status [-c FILE] [-n NAME]",
		Short: "Show whether bans are enforced",
		Long: `Shows how many bans are in force, what the appliance does not know yet, when it
was last told, which process of the plugin does so, and what keeps it from it.
It reads the plugin's state alone: the appliance is left in peace. While bans are
not enforced, the exit status is 1.

With --json: name, host, state (a path), working, problem (text; absent if
working), process (null: none runs), in_force, of_lists, to_block, to_unblock,
next_end, last_flush, blocked_anew (times, or null), local_api (null: it is not
followed; or last_read, unread_since (times, or null), error, left_out (because
of max_bans)), trouble (null, or text, since, last, count, warning: all bans are
enforced), login_hold_off (null, or until, refused, reason, hint).`,
		Example: "  crowdsec-stormshield status",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, books, err := which.open(cmd)
			if err != nil {
				return err
			}
			defer books.Close()
			s, err := statusOf(cmd.Context(), d, books, time.Now())
			if err != nil {
				return err
			}
			if asJSON {
				err = printJSON(cmd.OutOrStdout(), s)
			} else {
				err = s.print(cmd.OutOrStdout(), time.Now())
			}
			if err == nil && !s.Working {
				err = errors.New("bans are not enforced; see above")
			}
			return err
		},
	}
	which.flags(cmd)
	addJSON(cmd, &asJSON)
	return cmd
}

// status is how a notification fares.
type status struct {
	Name    string `json:"name"`
	Host    string `json:"host"`
	State   string `json:"state"`
	Working bool   `json:"working"`
	Problem string `json:"problem,omitempty"`
	Process *int   `json:"process"`

	InForce   int `json:"in_force"`
	OfLists   int `json:"of_lists"`
	ToBlock   int `json:"to_block"`
	ToUnblock int `json:"to_unblock"`

	NextEnd     *time.Time `json:"next_end"`
	LastFlush   *time.Time `json:"last_flush"`
	BlockedAnew *time.Time `json:"blocked_anew"`

	LocalAPI *localAPI `json:"local_api"`

	Trouble *trouble `json:"trouble"`
	HoldOff *holdOff `json:"login_hold_off"`
}

// trouble is why flushes fail, or their warning.
type trouble struct {
	Text    string    `json:"text"`
	Since   time.Time `json:"since"`
	Last    time.Time `json:"last"`
	Count   int       `json:"count"`
	Warning bool      `json:"warning"`
}

// localAPI is how following it goes.
type localAPI struct {
	LastRead    *time.Time `json:"last_read"`
	UnreadSince *time.Time `json:"unread_since"`
	Error       string     `json:"error,omitempty"`
	LeftOut     int        `json:"left_out"`
}

// holdOff is why no login is tried.
type holdOff struct {
	Until   time.Time `json:"until"`
	Refused int       `json:"refused"`
	Reason  string    `json:"reason"`
	Hint    string    `json:"hint"`
}

// statusOf reads it.
func statusOf(ctx context.Context, d config.Document, books *ledger.Ledger, now time.Time) (status, error) {
	read, err := books.Status(ctx, now)
	if err != nil {
		return status{}, err
	}
	if problem, err := elsewhere(ctx, d, books); err != nil || problem != "" {
		return status{
			Name: d.Name, Host: d.Stormshield.Host, State: plugin.StateOf(d).Path, Problem: problem,
			InForce: read.InForce, OfLists: read.Lists, ToBlock: read.InForce, NextEnd: moment(read.Next),
		}, err
	}
	if err := readSecrets(&d); err != nil {
		return status{}, err
	}
	hold, held, err := books.HeldOff(ctx, plugin.Credentials(d), now)
	if err != nil {
		return status{}, err
	}
	state := plugin.StateOf(d)
	pid, err := ledger.Holder(state.Lease)
	if err != nil {
		return status{}, err
	}
	s := status{
		Name: d.Name, Host: d.Stormshield.Host, State: state.Path,
		InForce: read.InForce, OfLists: read.Lists, ToBlock: read.ToBlock, ToUnblock: read.ToUnblock,
		NextEnd: moment(read.Next), LastFlush: moment(read.Flushed), BlockedAnew: moment(read.Confirmed),
	}
	if pid != 0 {
		s.Process = &pid
	}
	if t := read.Trouble; t.Count > 0 {
		s.Trouble = &trouble{Text: t.Text, Since: t.Since, Last: t.Last, Count: t.Count, Warning: t.Warning}
	}
	if d.LAPI.Followed() {
		s.LocalAPI = &localAPI{LastRead: moment(read.Read), UnreadSince: moment(read.Unread), Error: read.UnreadWhy, LeftOut: read.LeftOut}
	}
	if held {
		s.HoldOff = &holdOff{Until: hold.Until, Refused: hold.Failures, Reason: hold.Reason, Hint: hold.Advice()}
	}
	s.Problem = s.problem(d, now)
	s.Working = s.Problem == ""
	return s, nil
}

// problem says in a sentence what keeps bans from being enforced.
func (s status) problem(d config.Document, now time.Time) string {
	switch {
	case s.Process == nil:
		return "no process of the plugin runs (hint: see that profiles.yaml names " + s.Name + ", then restart CrowdSec)"
	case d.DryRun:
		return "dry_run is set: nothing is sent to the appliance"
	case s.HoldOff != nil:
		return fmt.Sprintf("no login is tried for %s (hint: %s)",
			span(s.HoldOff.Until.Sub(now)), s.HoldOff.Hint)
	case s.Trouble != nil && !s.Trouble.Warning:
		return fmt.Sprintf("flushes have failed for %s (hint: the error says why; `check` tries everything)", span(now.Sub(s.Trouble.Since)))
	case s.LocalAPI != nil && s.LocalAPI.UnreadSince != nil:
		return fmt.Sprintf("the Local API cannot be read for %s: bans of alerts alone are enforced (hint: the error says why; `check` tries it)",
			span(now.Sub(*s.LocalAPI.UnreadSince)))
	}
	return ""
}

// print prints it for people.
func (s status) print(out io.Writer, now time.Time) error {
	ago := func(t *time.Time) string {
		if t == nil {
			return "not yet"
		}
		return fmt.Sprintf("%s ago", span(now.Sub(*t)))
	}
	paint := painter(out)
	verdict := paint(green, "working")
	if !s.Working {
		verdict = paint(red, "NOT WORKING: ") + s.Problem
	}
	fmt.Fprintf(out, "%s, the appliance at %s: %s\n\n", s.Name, s.Host, verdict)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(what, format string, args ...any) {
		fmt.Fprintf(table, "  %s\t%s\n", what, fmt.Sprintf(format, args...))
	}
	inForce := fmt.Sprint(s.InForce)
	if s.OfLists > 0 {
		inForce += fmt.Sprintf(", %d of them of lists or taken over", s.OfLists)
	}
	if s.NextEnd != nil {
		inForce += ", the next ends in " + span(s.NextEnd.Sub(now))
	}
	row("bans in force", "%s", inForce)
	switch {
	case s.ToBlock+s.ToUnblock > 0:
		row("pending", "%d to block, %d to unblock", s.ToBlock, s.ToUnblock)
	default:
		row("pending", "nothing")
	}
	row("last flush", "%s", ago(s.LastFlush))
	row("last re-assert", "%s", ago(s.BlockedAnew))
	if l := s.LocalAPI; l != nil && l.UnreadSince == nil {
		row("Local API", "read %s", ago(l.LastRead))
	} else if l != nil {
		row("Local API", "not read for %s: %s", span(now.Sub(*l.UnreadSince)), l.Error)
	}
	if l := s.LocalAPI; l != nil && l.LeftOut > 0 {
		row("left out", "%d, because of max_bans: those that end the soonest", l.LeftOut)
	}
	if s.Process == nil {
		row("process", "none")
	} else {
		row("process", "%d", *s.Process)
	}
	if s.Trouble != nil && s.Trouble.Warning {
		row("warning", "%s, for %s: %s", ago(&s.Trouble.Last), span(now.Sub(s.Trouble.Since)), s.Trouble.Text)
	} else if s.Trouble != nil {
		row("last error", "%s, %d in a row: %s", ago(&s.Trouble.Last), s.Trouble.Count, s.Trouble.Text)
	}
	if s.HoldOff != nil {
		row("logins", "%d failed in a row, the last: %s", s.HoldOff.Refused, s.HoldOff.Reason)
	}
	row("state", "%s", s.State)
	return table.Flush()
}
