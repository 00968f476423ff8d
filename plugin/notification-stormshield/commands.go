package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/pflag"
)

// command is one command of the command line. To add one, write a file with its options, a function that returns the
// command, and a function of context, options and output that runs it. Then add the command to [commands].
type command struct {
	usage, summary, help, example string
	hidden                        bool
	arguments                     int // how many it takes at most
	// bind adds the command's flags.
	bind func(*pflag.FlagSet)
	run  func(ctx context.Context, arguments []string, out output) error
	sub  []command
}

// commands returns all commands, in the order of the help.
func commands() []command {
	return []command{
		setupCommand(), configCommand(), trustCommand(), checkCommand(), statusCommand(), bansCommand(), flushCommand(),
		ruleCommand(), stateCommand(), cleanupCommand(), installCommand(), versionCommand(),
		packageFactsCommand(),
	}
}

// usageError is an error of the command line itself.
type usageError struct{ error }

// output is where a command prints.
type output struct{ stdout, stderr io.Writer }

// warn prints a warning on a line of its own.
func (o output) warn(format string, values ...any) {
	fmt.Fprintf(o.stderr, "warning: "+format+"\n", values...)
}

// printJSON prints a result for programs. The names in it are an interface: they keep their meaning.
func (o output) printJSON(value any) error {
	encoder := o.encoder()
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}

// printJSONLine prints one of several results as one line.
func (o output) printJSONLine(value any) error { return o.encoder().Encode(value) }

func (o output) encoder() *json.Encoder {
	encoder := json.NewEncoder(o.stdout)
	encoder.SetEscapeHTML(false)
	return encoder
}

// bindJSON adds the flag --json.
func bindJSON(flags *pflag.FlagSet, asJSON *bool) {
	flags.BoolVar(asJSON, "json", false, "print JSON, for programs")
}
