package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"github.com/spf13/pflag"

	"notification-stormshield/config"
	"notification-stormshield/crowdsec"
)

// packageFactsCommand is for the scripts of the packages and install.sh, so that they need not read YAML.
func packageFactsCommand() command {
	var file string
	return command{
		usage:   "package-facts",
		summary: "Print facts of CrowdSec's configuration for the scripts of the packages",
		hidden:  true,
		bind: func(flags *pflag.FlagSet) {
			flags.StringVar(&file, "crowdsec", defaultCrowdSec, "CrowdSec's configuration `file`")
		},
		run: func(_ context.Context, _ []string, out output) error { return printPackageFacts(out.stdout, file) },
	}
}

// printPackageFacts prints a line for each fact: a word and a value, which may hold spaces. If a file cannot be read, it
// prints the other facts, and returns an error.
//
//	user NAME, group NAME   who runs plugins; no group: that of the user
//	plugin_dir DIR          CrowdSec's plugin folder
//	plugin_dir_file FILE    the file that sets it
//	misnamed FILE           a file of that folder with which CrowdSec loads no plugin
//	notification NAME       a notification of this plugin
//	named FILE names NAME   a file of profiles, and a notification of this plugin or of the sample that it names
func printPackageFacts(out io.Writer, file string) error {
	c, err := crowdsec.Load(file)
	if err != nil {
		return err
	}
	print := func(word, value string) {
		if value != "" {
			fmt.Fprintln(out, word, value)
		}
	}
	user, group := c.PluginAccount()
	if user == "" {
		user = "root" // CrowdSec's own user
	}
	print("user", user)
	print("group", group)
	print("plugin_dir", c.PluginDir)
	print("plugin_dir_file", c.PluginDirFile)
	print("misnamed", c.MisnamedFile())
	names := []string{config.SampleName} // its file may be gone before the package
	notifications, failed := c.Notifications()
	for _, n := range notifications {
		if n.Type == config.Type && n.Name != "" {
			print("notification", n.Name)
			names = append(names, n.Name)
		}
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		files, err := c.ProfileFilesNaming(name)
		for _, file := range files {
			print("named", file+" names "+name)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			failed = errors.Join(failed, err)
		}
	}
	return failed
}
