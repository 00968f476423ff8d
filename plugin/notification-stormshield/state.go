package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/pflag"

	"notification-stormshield/config"
	"notification-stormshield/plugin"
	"notification-stormshield/plugin/health"
	"notification-stormshield/plugin/ledger"
)

func stateCommand() command {
	return command{
		usage:   "state",
		summary: "Copy the state between this machine and a shared database",
		help: `The state has the decisions, the bans, and what the appliance acknowledged. It is in
a file of this machine or, with state_url in the configuration, in a PostgreSQL
database that several CrowdSec machines share.`,
		example: "  crowdsec-stormshield state copy",
		run: func(context.Context, []string, output) error {
			return usageError{errors.New("name what to do with the state: copy")}
		},
		sub: []command{stateCopyCommand()},
	}
}

type stateCopyOptions struct {
	selection
	back, replace bool
}

func stateCopyCommand() command {
	var o stateCopyOptions
	return command{
		usage:   "copy [-c FILE] [-n NAME] [--back] [--replace]",
		summary: "Copy the state of this machine into the shared database, or back",
		help: `Copies everything from the state of this machine into the database under state_url:
decisions, bans, what the appliance acknowledged, and the history. So the machine
goes on where it was: it blocks nothing anew. The source stays as it is.

To share the state of a machine: stop CrowdSec, add state_url to the configuration,
run this command, and start CrowdSec. On the next machine, add state_url and reload
CrowdSec; nothing needs to be copied there.

With --back it copies from the database into the state of this machine: stop CrowdSec
on all machines, run this command, remove state_url, and start CrowdSec here.

The command refuses while a plugin acts on any of the machines, and if the target
already has bans. With --replace it removes the content of the target first.

With --json: from, to (places), bans, decisions, on_appliance (numbers; the last one
counts the bans that may be on the appliance).`,
		example: "  systemctl stop crowdsec\n  crowdsec-stormshield state copy\n  systemctl start crowdsec",
		bind: func(flags *pflag.FlagSet) {
			o.bind(flags)
			flags.BoolVar(&o.back, "back", false, "copy from the shared database to this machine")
			flags.BoolVar(&o.replace, "replace", false, "remove the content of the target first")
		},
		run: func(ctx context.Context, _ []string, out output) error { return runStateCopy(ctx, o, out) },
	}
}

// loadShared loads a configuration that shares its state, with its secrets.
func (o stateCopyOptions) loadShared() (config.Document, error) {
	d, err := o.load(config.Load)
	if err != nil {
		return d, err
	}
	if !d.SharesState() {
		return d, fmt.Errorf("%s shares no state: state_url is empty (hint: write the address of the database into state_url in %s)", d.Name, o.file)
	}
	return d, readSecrets(&d)
}

func runStateCopy(ctx context.Context, o stateCopyOptions, out output) error {
	d, err := o.loadShared()
	if err != nil {
		return err
	}
	own, shared := plugin.StateOf(ownState(d)), plugin.StateOf(d)
	if _, err := os.Stat(own.Path); err != nil && !o.back {
		return fmt.Errorf("look for the state of this machine: %w", err)
	}
	database, err := shared.Open(ctx)
	if err != nil {
		return explainNoDatabase(d, err)
	}
	defer database.Close()
	held, err := holdLease(ctx, d, database, "may change the state meanwhile")
	if err != nil {
		return err
	}
	defer held.Release(context.WithoutCancel(ctx))
	ctx, cancel := held.WithLease(ctx)
	defer cancel()
	open := plugin.State.OpenReadOnly
	if o.back {
		open = plugin.State.Open
	}
	file, err := open(own, ctx)
	if err != nil {
		return err
	}
	defer file.Close()
	from, to := file, database
	if o.back {
		from, to = database, file
		if err := held.Forward(ctx, d, plugin.Options{Log: hclog.NewNullLogger(), Version: version}); err != nil {
			return err
		}
	}
	copied, err := ledger.Copy(ctx, from, to, o.replace)
	if errors.Is(err, ledger.ErrHasBans) {
		return fmt.Errorf("%w (hint: %s)", err, replaceHint(o.back))
	}
	if err != nil {
		return withCause(ctx, err)
	}
	result := copiedState{from.Place(), to.Place(), copied.Bans, copied.Decisions, copied.Traces}
	if o.json {
		return out.printJSON(result)
	}
	return result.print(out.stdout, nextStep(o))
}

// ownState returns the configuration of a machine that does not share its state.
func ownState(d config.Document) config.Document {
	d.StateURL = ""
	return d
}

func replaceHint(back bool) string {
	if back {
		return "--replace removes them first; they are those from before this machine shared its state"
	}
	return "another machine may have copied its state already: then this one needs no copy; --replace removes them first"
}

func nextStep(o stateCopyOptions) string {
	if o.back {
		return "remove state_url from " + o.file + ", and start CrowdSec on this machine alone"
	}
	return "start CrowdSec; then add the same state_url on the other machines"
}

// copiedState is the result of state copy, as JSON.
type copiedState struct {
	From        string `json:"from"`
	To          string `json:"to"`
	Bans        int    `json:"bans"`
	Decisions   int    `json:"decisions"`
	OnAppliance int    `json:"on_appliance"`
}

func (c copiedState) print(out io.Writer, next string) error {
	_, err := fmt.Fprintf(out, "copied %s with %s from %s to %s; %d of the bans may be on the appliance\nThe source stays as it is. Now %s.\n",
		health.FormatCount(c.Bans, "ban", "bans"), health.FormatCount(c.Decisions, "decision", "decisions"), c.From, c.To, c.OnAppliance, next)
	return err
}
