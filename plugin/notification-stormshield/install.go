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
	"syscall"

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

// installOptions say what install makes in addition to the program.
type installOptions struct {
	sample  string // the file for the sample configuration; "": none
	state   string // the state folder; "": none
	secrets string // FROM:TO, two folders; "": none
	owner   string // UID:GID, the user that runs plugins
}

func installCommand() command {
	var o installOptions
	return command{
		usage:     "install DIR",
		arguments: 1,
		summary:   "Put this program into a plugin folder, for CrowdSec in a container",
		help: `Copies this program to DIR/notification-stormshield, with owner root and mode
0551, as CrowdSec demands. It makes DIR if there is none, and replaces an older
version. A CrowdSec that already runs uses the older version until its next reload.

--state makes the state folder for the user that runs plugins (--owner).
--secrets copies the files of the folder FROM into the folder TO, where only that
user can read them. --sample writes a commented sample configuration, unless the
file exists. These folders are volumes of a container. Only root can run this
command.`,
		example: `  crowdsec-stormshield install /usr/local/lib/crowdsec/plugins
  crowdsec-stormshield install /plugins --state /state --secrets /run/secrets:/secrets`,
		bind: func(flags *pflag.FlagSet) {
			flags.StringVar(&o.sample, "sample", "", "also write the sample configuration to `FILE`, unless it exists")
			flags.StringVar(&o.state, "state", "", "also make the state `folder`")
			flags.StringVar(&o.secrets, "secrets", "", "also copy the secrets of one folder to another one, as `FROM:TO`")
			flags.StringVar(&o.owner, "owner", pluginOwner, "who runs plugins, as `UID:GID`; the default is nobody in CrowdSec's images")
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
	pluginUser, err := parseOwner(o.owner)
	if err != nil {
		return usageError{fmt.Errorf("--owner %s: %w", o.owner, err)}
	}
	if from, to, _ := strings.Cut(o.secrets, ":"); o.secrets != "" && (from == "" || to == "") {
		return usageError{fmt.Errorf("--secrets %s: this is not FROM:TO", o.secrets)}
	}
	if os.Geteuid() != 0 {
		return errors.New("only root can install the plugin, because CrowdSec runs only a plugin that belongs to root")
	}
	return install(folder, o, owner{0, 0}, pluginUser, out)
}

// install copies the program into a folder, for root, and makes what the options ask for, for the user that runs plugins.
func install(folder string, o installOptions, root, pluginUser owner, out output) error {
	if err := os.MkdirAll(folder, 0o755); err != nil { //nolint:gosec // each user may list the plugins
		return err
	}
	program, err := os.Open("/proc/self/exe")
	if err != nil {
		return err
	}
	defer program.Close()
	path := filepath.Join(folder, programName)
	if err := putFile(path, program, programMode, root); err != nil {
		return fmt.Errorf("install %s: %w", path, withRightsHint(err))
	}
	fmt.Fprintf(out.stdout, "installed %s (%s)\n", path, version)
	if o.state != "" {
		if err := makeOwnFolder(o.state, pluginUser); err != nil {
			return fmt.Errorf("make the state folder %s: %w", o.state, withRightsHint(err))
		}
		fmt.Fprintf(out.stdout, "the state folder %s belongs to %s\n", o.state, o.owner)
	}
	if from, to, both := strings.Cut(o.secrets, ":"); both {
		n, err := copySecrets(from, to, pluginUser)
		if err != nil {
			return fmt.Errorf("copy the secrets in %s to %s: %w", from, to, withRightsHint(err))
		}
		fmt.Fprintf(out.stdout, "copied secrets to %s for %s: %d\n", to, o.owner, n)
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

// putFile writes a file for an owner, whole or not at all.
func putFile(path string, text io.Reader, mode fs.FileMode, of owner) error {
	file, err := renameio.NewPendingFile(path, renameio.WithTempDir(filepath.Dir(path)), renameio.WithStaticPermissions(mode))
	if err != nil {
		return err
	}
	defer func() { _ = file.Cleanup() }() // removes the temporary name
	if _, err := io.Copy(file, text); err != nil {
		return err
	}
	if err := file.Chown(of.uid, of.gid); err != nil {
		return err
	}
	return file.CloseAtomicallyReplace()
}

// makeOwnFolder makes a folder, if there is none, and lets only its owner use it. It changes the owner, because a new volume belongs to root.
// Each user may go through the folders above it.
func makeOwnFolder(folder string, of owner) error {
	if err := os.MkdirAll(filepath.Dir(folder), 0o755); err != nil { //nolint:gosec // it holds only the folder
		return err
	}
	if err := os.Mkdir(folder, 0o700); err != nil && !isFolder(folder) {
		return err
	}
	return errors.Join(os.Chmod(folder, 0o700), os.Chown(folder, of.uid, of.gid)) //nolint:gosec // it is a folder
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// withRightsHint adds a hint to an error that comes from missing rights. In a container, root may lack some.
func withRightsHint(err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w (hint: root needs the capabilities CHOWN, DAC_OVERRIDE and FOWNER, which a container may lack)", err)
	case errors.Is(err, syscall.EINVAL): // from chown
		return fmt.Errorf("%w (hint: the container's user namespace has no such user; give it more users, or name another one with --owner)", err)
	}
	return err
}

// copySecrets copies the files of a folder to another one, where only their owner can read them, and returns their number. The plugin needs
// such copies: it cannot read a file that only root can read, and refuses a file that every user can read. A container gets its secrets
// in one of these two forms. copySecrets leaves out names that begin with a dot: Kubernetes has such links beside the secrets.
func copySecrets(from, to string, of owner) (int, error) {
	entries, err := os.ReadDir(from)
	if err != nil {
		return 0, err
	}
	if err := makeOwnFolder(to, of); err != nil {
		return 0, err
	}
	copied := 0
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), ".") {
			continue
		}
		if err := copySecret(filepath.Join(from, entry.Name()), filepath.Join(to, entry.Name()), of); err != nil {
			return copied, err
		}
		copied++
	}
	if copied == 0 {
		return 0, errors.New("there is no file")
	}
	return copied, nil
}

// copySecret copies a file, which only its owner can read then.
func copySecret(from, to string, of owner) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", from)
	}
	secret, err := os.Open(from)
	if err != nil {
		return err
	}
	defer secret.Close()
	return putFile(to, secret, 0o400, of)
}

// writeSample writes the sample configuration to a new file, which only root can read.
func writeSample(path string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.WriteString(config.Sample())
	return errors.Join(err, file.Close())
}
