package crowdsec

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"go.yaml.in/yaml/v3"
)

// PluginAccount returns the user and the group that CrowdSec runs plugins as (plugin_config). An empty user is CrowdSec's
// own, and an empty group is that of the user. Without plugin_config CrowdSec runs no plugin yet: then it is nobody.
func (c Config) PluginAccount() (user, group string) {
	if !c.HasPluginConfig {
		return "nobody", ""
	}
	return c.PluginUser, c.PluginGroup
}

// PluginFaults returns the reasons why CrowdSec does not start that plugin. CrowdSec checks every file of its plugin
// folder before it starts any plugin, and a bad one is fatal (csplugin.loadPlugins, csplugin.pluginIsValid).
func (c Config) PluginFaults(plugin string) []error {
	var faults []error
	if !c.HasPluginConfig {
		faults = append(faults, fmt.Errorf("%s has no section plugin_config", c.File))
	}
	if c.PluginDir == "" {
		return append(faults, fmt.Errorf("config_paths.plugin_dir is not set in %s", c.File))
	}
	entries, err := os.ReadDir(c.PluginDir)
	if err != nil {
		return append(faults, fmt.Errorf("read the plugin folder: %w", err))
	}
	found := false
	for _, entry := range entries {
		if entry.IsDir() {
			continue
		}
		found = found || entry.Name() == plugin
		if err := pluginFault(filepath.Join(c.PluginDir, entry.Name())); err != nil {
			faults = append(faults, err)
		}
	}
	if !found {
		faults = append(faults, fmt.Errorf("%s is not in the plugin folder %s", plugin, c.PluginDir))
	}
	return faults
}

// MisnamedFile returns the path of a file in the plugin folder that CrowdSec refuses because of its name, "" if there is
// none. The folder of CrowdSec 1.4.6 in Debian 12 has such files.
func (c Config) MisnamedFile() string {
	entries, _ := os.ReadDir(c.PluginDir) // PluginFaults reports the error
	for _, entry := range entries {
		if !entry.IsDir() && !isPluginName(entry.Name()) {
			return filepath.Join(c.PluginDir, entry.Name())
		}
	}
	return ""
}

func isPluginName(name string) bool { return strings.Contains(name, "-") }

func pluginFault(path string) error {
	if !isPluginName(filepath.Base(path)) {
		return fmt.Errorf("%s is not the name of a plugin: CrowdSec loads no plugin while this file is in its folder", path)
	}
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("look at the plugins: %w", err)
	}
	mode := info.Mode()
	if mode&0o022 != 0 || mode&os.ModeSetgid != 0 {
		return fmt.Errorf("%s (%s) is writable for others or setgid: CrowdSec loads no plugin while this file is in its folder", path, mode)
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if ok && os.Geteuid() == 0 && owner.Uid != 0 {
		return fmt.Errorf("%s does not belong to root: CrowdSec loads no plugin while this file is in its folder", path)
	}
	return nil
}

// Reads reports whether CrowdSec reads notifications from that file: it reads *.yaml and *.yml of its notifications folder
// (csplugin.loadConfig).
func (c Config) Reads(file string) bool {
	path, err := filepath.Abs(file)
	if err != nil || !slices.Contains([]string{".yaml", ".yml"}, filepath.Ext(path)) {
		return false
	}
	return withoutLinks(filepath.Dir(path)) == withoutLinks(c.NotificationDir)
}

// withoutLinks resolves the symbolic links of a folder, if it exists.
func withoutLinks(dir string) string {
	if path, err := filepath.EvalSymlinks(dir); err == nil {
		return path
	}
	return dir
}

// Notification is a YAML document of the notifications folder.
type Notification struct {
	File string `yaml:"-"`
	Type string `yaml:"type"`
	Name string `yaml:"name"`
}

// FindNotification returns the file that holds a notification of that name, "" if there is none.
func (c Config) FindNotification(name string) (file string, err error) {
	all, err := c.Notifications()
	for _, n := range all {
		if n.Name == name {
			return n.File, nil
		}
	}
	return "", err
}

// Notifications returns the documents in the files that CrowdSec reads as notifications. It leaves out text that is not
// YAML.
func (c Config) Notifications() ([]Notification, error) {
	entries, err := os.ReadDir(c.NotificationDir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the notifications folder: %w", err)
	}
	var all []Notification
	for _, entry := range entries {
		path := filepath.Join(c.NotificationDir, entry.Name())
		if entry.IsDir() || !c.Reads(path) {
			continue
		}
		text, err := read(path)
		if err != nil {
			return all, fmt.Errorf("read the notification %s: %w", path, err)
		}
		all = append(all, notificationsIn(path, text)...)
	}
	return all, nil
}

// notificationsIn returns the documents of a file that can be read.
func notificationsIn(file string, text []byte) []Notification {
	var all []Notification
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	for {
		n := Notification{File: file}
		err := decoder.Decode(&n)
		var mistyped *yaml.TypeError // of one key; the others are read
		if err != nil && !errors.As(err, &mistyped) {
			return all
		}
		all = append(all, n)
	}
}
