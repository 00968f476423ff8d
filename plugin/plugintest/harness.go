package plugintest

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"notification-stormshield/stormshield/snstest"
)

// Harness is a simulated appliance, a configuration for it and, once it is
// started, the plugin. The caller calls Close.
type Harness struct {
	Folder        string // holds the folder state, and what a test puts there
	Appliance     *snstest.Appliance
	Configuration Configuration
	Plugin        *Process  // nil before Start
	LocalAPI      *LocalAPI // nil before StartLocalAPI
	options       Options
	temporary     bool
}

// Options are what New makes a harness with.
type Options struct {
	Binary        string              // of the plugin
	User          *syscall.Credential // that the plugin runs as; nil: the user of this process
	Folder        string              // "": a temporary one, which Close removes
	Configuration Configuration       // New adds the appliance and the state folder
	Appliance     snstest.Options
}

// New starts an appliance and makes the state folder. The plugin does not run yet.
func New(o Options) (h *Harness, err error) {
	h = &Harness{Folder: o.Folder, options: o}
	defer func() {
		if err != nil {
			h.Close()
		}
	}()
	if h.Folder == "" {
		if h.Folder, err = os.MkdirTemp("", "stormshield-"+filepath.Base(os.Args[0])+"-"); err != nil {
			return h, err
		}
		h.temporary = true
	}
	state := filepath.Join(h.Folder, "state")
	if o.User != nil {
		err = errors.Join(os.Chmod(h.Folder, 0o711), os.Mkdir(state, 0o700), os.Chown(state, int(o.User.Uid), int(o.User.Gid)))
		if err != nil {
			return h, err
		}
	}
	if h.Appliance, err = snstest.New(o.Appliance); err != nil {
		return h, err
	}
	h.Configuration = o.Configuration.ForAppliance(h.Appliance)
	h.Configuration.StateDir = state
	return h, nil
}

// Start starts a plugin and configures it. An earlier one must have ended.
func (h *Harness) Start(ctx context.Context) (err error) {
	if h.Plugin, err = h.StartProcess(); err != nil {
		return err
	}
	return h.Plugin.Configure(ctx, h.Configuration.YAML())
}

// StartProcess starts another process of the plugin, without a configuration.
// The caller kills it.
func (h *Harness) StartProcess() (*Process, error) { return Start(h.options.Binary, h.options.User) }

// StartLocalAPI starts a Local API. The configuration does not name it yet.
func (h *Harness) StartLocalAPI() *LocalAPI {
	h.LocalAPI = NewLocalAPI()
	return h.LocalAPI
}

// WriteConfiguration writes the configuration to a new file in the folder. The
// last * of its name becomes a random text, as of [os.CreateTemp].
func (h *Harness) WriteConfiguration(name string) (path string, err error) {
	file, err := os.CreateTemp(h.Folder, name)
	if err != nil {
		return "", err
	}
	_, err = file.WriteString(h.Configuration.YAML())
	return file.Name(), errors.Join(err, file.Close())
}

// Command runs a command of the binary with a configuration file, as a user;
// nil is the user of this process. The words are its name and its options. It
// returns everything that the command prints. The end of the context kills it.
func (h *Harness) Command(ctx context.Context, user *syscall.Credential, words, file string) (string, error) {
	command := exec.CommandContext(ctx, h.options.Binary, append(strings.Fields(words), "-c", file)...)
	command.SysProcAttr = &syscall.SysProcAttr{Credential: user}
	out, err := command.CombinedOutput()
	return string(out), err
}

// SetReachable opens or closes the appliance's ports.
func (h *Harness) SetReachable(reachable bool) {
	h.Appliance.SetFaults(func(f *snstest.Faults) { f.SSHRefuse, f.APIRefuse = !reachable, !reachable })
}

// RemoveAwk removes awk from the appliance, so that the plugin moves both files
// whole instead of having the appliance edit them.
func (h *Harness) RemoveAwk() {
	h.Appliance.SetFaults(func(f *snstest.Faults) { f.MissingTools = []string{"awk"} })
}

// Close ends everything that the harness started.
func (h *Harness) Close() {
	if h.Plugin != nil {
		h.Plugin.Kill()
	}
	if h.LocalAPI != nil {
		h.LocalAPI.Close()
	}
	if h.Appliance != nil {
		_ = h.Appliance.Close()
	}
	if h.temporary {
		_ = os.RemoveAll(h.Folder)
	}
}

// DamageFile overwrites a file with a text that is no database.
func DamageFile(path string) error {
	return os.WriteFile(path, []byte(strings.Repeat("this is no database\n", 300)), 0o600)
}

// Pause waits for a time, or until the context ends.
func Pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

var (
	ourObject = regexp.MustCompile(`^crowdsec_(ip_\d+|net_\d+_\d+)=`)
	ourMember = regexp.MustCompile(`^crowdsec_(ip_\d+|net_\d+_\d+)$`)
	ourGroup  = regexp.MustCompile(`^\[Crowdsec(DeleteGroup)?\]$`)
)

// sectionMark is the comment below the header of a section that the plugin added.
const sectionMark = "# section made by notification-stormshield"

// SplitFile divides the lines of one of the appliance's two files into those of
// the plugin and those of the administrator.
func SplitFile(text string) (ours, administrators []string) {
	inOurGroup := false
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "[") {
			inOurGroup = ourGroup.MatchString(line)
		}
		switch {
		case line == sectionMark && len(administrators) > 0: // the header above it is also the plugin's
			last := len(administrators) - 1
			ours, administrators = append(ours, administrators[last], line), administrators[:last]
		case ourObject.MatchString(line), inOurGroup && (ourGroup.MatchString(line) || ourMember.MatchString(line)):
			ours = append(ours, line)
		default:
			administrators = append(administrators, line)
		}
	}
	return ours, administrators
}
