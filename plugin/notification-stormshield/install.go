package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/google/renameio/v2"
	"github.com/spf13/pflag"

	"notification-stormshield/config"
)

const (
	// programName is the file name by which CrowdSec finds the plugin.
	programName = "notification-stormshield"
	// programMode lets nobody change the plugin, as CrowdSec demands.
	programMode = 0o551
	// pluginOwner is the user that runs plugins in CrowdSec's images, and its group.
	pluginOwner = "65534:65534"
)

// installOptions say what install makes beside the program.
type installOptions struct {
	sample     string // the file for the sample configuration; "": none
	state      string // the state folder; "": none
	stateOwner string // UID:GID
}

func installCommand() command {
	var o installOptions
	return command{
		usage:     "install DIR",
		arguments: 1,
		summary:   "Put this program into a plugin folder, for CrowdSec in a container",
		help: `Puts this program into DIR as notification-stormshield, owned by root with mode
0551, as CrowdSec demands. DIR is made if there is none. An older version is
replaced at once, and a CrowdSec that runs it keeps it until its next reload.

--state makes the state folder, and gives it to the user that runs plugins.
--sample writes a commented sample configuration, unless that file exists. Both
are for the volumes of a container. Only root can run this command.`,
		example: `  crowdsec-stormshield install /usr/local/lib/crowdsec/plugins
  crowdsec-stormshield install /plugins --state /state`,
		bind: func(flags *pflag.FlagSet) {
			flags.StringVar(&o.sample, "sample", "", "also write the sample configuration to `FILE`, unless it exists")
			flags.StringVar(&o.state, "state", "", "also make the state `folder`")
			flags.StringVar(&o.stateOwner, "state-owner", pluginOwner, "who runs plugins, as `UID:GID`; the default is nobody in CrowdSec's images")
		},
		run: func(_ context.Context, arguments []string, out output) error {
			if len(arguments) == 0 {
				return usageError{errors.New("install needs a folder")}
			}
			return runInstall(arguments[0], o, out)
		},
	}
}

func runInstall(folder string, o installOptions, out output) error {
	stateOwner, err := parseOwner(o.stateOwner)
	if err != nil {
		return usageError{fmt.Errorf("--state-owner %s: %w", o.stateOwner, err)}
	}
	if os.Geteuid() != 0 {
		return errors.New("only root can install the plugin, because CrowdSec runs only a plugin that belongs to root")
	}
	return install(folder, o, owner{0, 0}, stateOwner, out)
}

// install puts the program into a folder, and makes what the options say.
func install(folder string, o installOptions, root, stateOwner owner, out output) error {
	program, err := os.Open("/proc/self/exe")
	if err != nil {
		return err
	}
	defer program.Close()
	path := filepath.Join(folder, programName)
	if err := installProgram(program, path, root); err != nil {
		return fmt.Errorf("install %s: %w", path, err)
	}
	fmt.Fprintf(out.stdout, "installed %s (%s)\n", path, version)
	if o.state != "" {
		if err := makeState(o.state, stateOwner); err != nil {
			return fmt.Errorf("make the state folder %s: %w", o.state, err)
		}
		fmt.Fprintf(out.stdout, "the state folder %s belongs to %s\n", o.state, o.stateOwner)
	}
	if o.sample == "" {
		return nil
	}
	err = writeSample(o.sample)
	if errors.Is(err, fs.ErrExist) {
		fmt.Fprintf(out.stdout, "%s exists, and stays as it is\n", o.sample)
		return nil
	}
	if err == nil {
		fmt.Fprintf(out.stdout, "wrote the sample configuration to %s\n", o.sample)
	}
	return err
}

// owner is a user and a group.
type owner struct{ uid, gid int }

// parseOwner returns the owner of a text such as 0:0.
func parseOwner(text string) (owner, error) {
	user, group, found := strings.Cut(text, ":")
	first, wrong := strconv.ParseUint(user, 10, 31)
	second, alsoWrong := strconv.ParseUint(group, 10, 31)
	if !found || wrong != nil || alsoWrong != nil {
		return owner{}, errors.New("this is not UID:GID in numbers")
	}
	return owner{int(first), int(second)}, nil
}

// installProgram puts a program into a file of an owner, whole or not at all.
func installProgram(program io.Reader, path string, of owner) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // each user may list the plugins
		return err
	}
	file, err := renameio.NewPendingFile(path, renameio.WithTempDir(filepath.Dir(path)), renameio.WithStaticPermissions(programMode))
	if err != nil {
		return err
	}
	defer func() { _ = file.Cleanup() }() // removes the temporary name
	if _, err := io.Copy(file, program); err != nil {
		return err
	}
	if err := file.Chown(of.uid, of.gid); err != nil {
		return err
	}
	return file.CloseAtomicallyReplace()
}

// makeState makes the state folder, if there is none, and gives it to its owner. The volume of a new container belongs to root.
func makeState(folder string, of owner) error {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	return errors.Join(os.Chmod(folder, 0o700), os.Chown(folder, of.uid, of.gid)) //nolint:gosec // it is a folder
}

// writeSample writes the sample configuration to a new file of its owner alone.
func writeSample(path string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.WriteString(config.Sample())
	return errors.Join(err, file.Close())
}
