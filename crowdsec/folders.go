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

// PluginFaults tells what keeps CrowdSec from starting that plugin, none when all
// is well. CrowdSec looks at every file of its plugin folder before it starts any
// plugin, and a bad one is fatal (csplugin.loadPlugins, csplugin.pluginIsValid).
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

// HasMisnamedFiles reports that the plugin folder holds files whose names CrowdSec does
// not take for a plugin's, as that of Debian 12 with CrowdSec 1.4.6 does.
func (c Config) HasMisnamedFiles() bool {
	entries, _ := os.ReadDir(c.PluginDir) // what cannot be read is one of PluginFaults
	return slices.ContainsFunc(entries, func(e os.DirEntry) bool { return !e.IsDir() && !isPluginName(e.Name()) })
}

func isPluginName(name string) bool { return strings.Contains(name, "-") }

func pluginFault(path string) error {
	if !isPluginName(filepath.Base(path)) {
		return fmt.Errorf("%s has no name of a plugin, and one such file keeps CrowdSec from loading any", path)
	}
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("look at the plugins: %w", err)
	}
	mode := info.Mode()
	if mode&0o022 != 0 || mode&os.ModeSetgid != 0 {
		return fmt.Errorf("%s (%s) is writable for others or setgid, and one such file keeps CrowdSec from loading any", path, mode)
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if ok && os.Geteuid() == 0 && owner.Uid != 0 {
		return fmt.Errorf("%s does not belong to root, and one such file keeps CrowdSec from loading any", path)
	}
	return nil
}

// Reads reports whether CrowdSec reads that file as one of notifications: it takes
// *.yaml and *.yml of its notifications folder (csplugin.loadConfig).
func (c Config) Reads(file string) bool {
	path, err := filepath.Abs(file)
	if err != nil || !slices.Contains([]string{".yaml", ".yml"}, filepath.Ext(path)) {
		return false
	}
	return actual(filepath.Dir(path)) == actual(c.NotificationDir)
}

// actual is a folder without symbolic links, if it exists.
func actual(dir string) string {
	if path, err := filepath.EvalSymlinks(dir); err == nil {
		return path
	}
	return dir
}

// FindNotification finds the file that holds a notification of that name, "" if none
// does. CrowdSec would take one of two of the same name, by chance.
func (c Config) FindNotification(name string) (file string, err error) {
	entries, err := os.ReadDir(c.NotificationDir)
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read the notifications folder: %w", err)
	}
	for _, entry := range entries {
		path := filepath.Join(c.NotificationDir, entry.Name())
		if entry.IsDir() || !c.Reads(path) {
			continue
		}
		text, err := read(path)
		if err != nil {
			return "", fmt.Errorf("read the notification %s: %w", path, err)
		}
		if names(text, name) {
			return path, nil
		}
	}
	return "", nil
}

// names reports whether one of the documents of a text has that name.
func names(text []byte, name string) bool {
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	for {
		var document struct {
			Name string `yaml:"name"`
		}
		err := decoder.Decode(&document)
		var mistyped *yaml.TypeError // of one document; the others can be read
		switch {
		case err == nil && document.Name == name:
			return true
		case err != nil && !errors.As(err, &mistyped):
			return false
		}
	}
}
