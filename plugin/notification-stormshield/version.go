package main

import (
	"context"
	"fmt"
	"runtime"

	"github.com/spf13/pflag"
)

// Set by the Makefile.
var (
	version = "unreleased"
	commit  = "unknown"
)

func versionCommand() command {
	var asJSON bool
	return command{
		usage:   "version",
		summary: "Print version, commit and Go version",
		help: `Prints version, commit and Go version. With --json: version, commit, go, os,
arch.`,
		example: "  crowdsec-stormshield version --json",
		bind:    func(flags *pflag.FlagSet) { bindJSON(flags, &asJSON) },
		run:     func(_ context.Context, _ []string, out output) error { return runVersion(asJSON, out) },
	}
}

func runVersion(asJSON bool, out output) error {
	if asJSON {
		return out.printJSON(map[string]string{
			"version": version, "commit": commit, "go": runtime.Version(), "os": runtime.GOOS, "arch": runtime.GOARCH,
		})
	}
	_, err := fmt.Fprintf(out.stdout, "crowdsec-stormshield %s (commit %s, %s, %s/%s)\n",
		version, commit, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}
