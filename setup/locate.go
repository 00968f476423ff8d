package setup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"notification-stormshield/config"
	"notification-stormshield/crowdsec"
)

// pluginName is the plugin's file in CrowdSec's plugin folder.
const pluginName = "notification-" + config.Type

// locate reads CrowdSec's configuration, and makes the paths in the options absolute.
func (s *setup) locate() error {
	var err error
	if s.crowdsec, err = crowdsec.Load(s.CrowdSec); errors.Is(err, fs.ErrPermission) {
		return err
	} else if err != nil {
		return fmt.Errorf("%w (hint: run this on the machine of CrowdSec's Local API; --crowdsec names its config.yaml)", err)
	}
	if s.File == "" {
		s.File = filepath.Join(s.crowdsec.NotificationDir, "stormshield.yaml")
	}
	if s.File, err = filepath.Abs(s.File); err != nil {
		return err
	}
	if s.SecretsDir != "" {
		s.SecretsDir, err = filepath.Abs(s.SecretsDir)
	}
	return err
}

// checkPlace returns an error if the file cannot be written, or if CrowdSec would not read it as a new notification.
func (s *setup) checkPlace() error {
	if _, err := os.Lstat(s.File); err == nil {
		return fmt.Errorf("%s exists, and nothing is overwritten (hint: try it with `crowdsec-stormshield check -c %[1]s`; "+
			"for a second appliance give another file with -c and another --name)", s.File)
	}
	if !s.crowdsec.Reads(s.File) {
		return UsageError{fmt.Errorf("CrowdSec would not read %s: it reads *.yaml in %s", s.File, s.crowdsec.NotificationDir)}
	}
	other, err := s.crowdsec.FindNotification(s.Name)
	if err != nil {
		return err
	}
	if other != "" {
		return fmt.Errorf("%s already has the name %s (hint: for a second appliance give another --name)", other, s.Name)
	}
	if err := unix.Access(s.crowdsec.NotificationDir, unix.W_OK); err != nil && !errors.Is(err, unix.ENOENT) && !s.DryRun {
		return &fs.PathError{Op: "write to", Path: s.crowdsec.NotificationDir, Err: err}
	}
	return nil
}

// warnOfCrowdSec warns of a configuration with which CrowdSec does not run the plugin.
func (s *setup) warnOfCrowdSec() {
	if !s.crowdsec.LocalAPI {
		s.warn("according to %s, no Local API runs on this machine, and only the Local API sends notifications "+
			"(hint: run this where it runs)", s.crowdsec.File)
	}
	faults := s.crowdsec.PluginFaults(pluginName)
	for _, fault := range faults {
		s.warn("%v", fault)
	}
	if s.faulty = len(faults) > 0; s.faulty {
		s.warn("so CrowdSec would not start with this notification (hint: in %s, set plugin_dir under config_paths to "+
			"/usr/lib/crowdsec-stormshield/plugins, a folder of the package that holds this plugin alone, unless you need others beside it; "+
			"and user: nobody, group: nogroup or nobody, under plugin_config)", s.crowdsec.File)
	}
}

func (s *setup) warn(format string, values ...any) {
	fmt.Fprintf(s.Warnings, "warning: "+format+"\n", values...)
}
