// Package crowdsec reads CrowdSec's own configuration, as far as it concerns a notification.
//
// [Load] returns a [Config]: the folders of CrowdSec, and the account that it runs plugins as. [Config.PluginFaults]
// returns why CrowdSec would not start a plugin. [AddNotification] adds a notification to the text of profiles.yaml.
//
// It never writes a file. Facts about CrowdSec come from the sources of 1.7.8; comments name the package and the function.
package crowdsec

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// largest is the longest file that is read, in bytes.
const largest = 1 << 20

// Config is the part of config.yaml that concerns notifications.
type Config struct {
	// File is the path of config.yaml.
	File string
	// NotificationDir is the folder of the notifications' files.
	NotificationDir string
	// PluginDir is the folder of the plugins. If it is "", CrowdSec starts no plugin (apiserver.InitPlugins).
	PluginDir string
	// PluginDirFile is the file that sets it: config.yaml or config.yaml.local.
	PluginDirFile string
	// ProfilesPath is the file of the profiles.
	ProfilesPath string
	// PluginUser and PluginGroup are the account of a plugin; if both are "", it is CrowdSec's own.
	PluginUser, PluginGroup string
	// HasPluginConfig says that there is a section plugin_config. Without it CrowdSec starts no plugin
	// (apiserver.InitPlugins).
	HasPluginConfig bool
	// LocalAPI says that the Local API runs on this machine. Only the Local API has profiles and sends notifications.
	LocalAPI bool
	// LocalAPIURL is the address of the Local API for programs on this machine. It is "" if the file does not name it, or
	// if the Local API uses TLS, because the name in its certificate is not known.
	LocalAPIURL string
}

// document is the part of config.yaml that is read.
type document struct {
	Paths struct {
		ConfigDir       string `yaml:"config_dir"`
		NotificationDir string `yaml:"notification_dir"`
		PluginDir       string `yaml:"plugin_dir"`
	} `yaml:"config_paths"`
	Plugins *struct {
		User  string `yaml:"user"`
		Group string `yaml:"group"`
	} `yaml:"plugin_config"`
	API struct {
		Server *struct {
			Enable       *bool  `yaml:"enable"`
			ListenURI    string `yaml:"listen_uri"`
			ProfilesPath string `yaml:"profiles_path"`
			TLS          *struct {
				CertFile string `yaml:"cert_file"`
			} `yaml:"tls"`
		} `yaml:"server"`
	} `yaml:"api"`
}

// Load reads a config.yaml, and the file with .local behind its name that CrowdSec merges over it (csconfig.NewConfig). It
// replaces variables of the environment.
func Load(file string) (Config, error) {
	file, err := filepath.Abs(file)
	if err != nil {
		return Config{}, fmt.Errorf("read CrowdSec's configuration: %w", err)
	}
	var d document
	pluginDirFile := ""
	for _, path := range []string{file, file + ".local"} {
		text, err := read(path)
		if path != file && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			before := d.Paths.PluginDir
			// A key that the second file does not have keeps its value.
			if err = yaml.Unmarshal(text, &d); d.Paths.PluginDir != before {
				pluginDirFile = path
			}
		}
		if err != nil {
			return Config{}, fmt.Errorf("read CrowdSec's configuration %s: %w", path, err)
		}
	}
	c := d.config(file)
	c.PluginDirFile = pluginDirFile
	return c, nil
}

// config replaces variables and adds CrowdSec's defaults (csconfig.loadConfigurationPaths).
func (d document) config(file string) Config {
	value := func(text string) string { return Expand(text, os.LookupEnv) }
	folder := func(text, usual string) string {
		path, err := filepath.Abs(cmp.Or(value(text), usual))
		if err != nil {
			return usual
		}
		return path
	}
	home := folder(d.Paths.ConfigDir, filepath.Dir(file))
	c := Config{
		File:            file,
		NotificationDir: folder(d.Paths.NotificationDir, filepath.Join(home, "notifications")),
		ProfilesPath:    filepath.Join(home, "profiles.yaml"),
	}
	if d.Paths.PluginDir != "" {
		c.PluginDir = folder(d.Paths.PluginDir, "")
	}
	if d.Plugins != nil {
		c.HasPluginConfig = true
		c.PluginUser, c.PluginGroup = value(d.Plugins.User), value(d.Plugins.Group)
	}
	if server := d.API.Server; server != nil {
		c.LocalAPI = server.Enable == nil || *server.Enable
		c.ProfilesPath = folder(server.ProfilesPath, c.ProfilesPath)
		if c.LocalAPI && (server.TLS == nil || server.TLS.CertFile == "") {
			c.LocalAPIURL = localURL(value(server.ListenURI))
		}
	}
	return c
}

// localURL returns the URL for programs on the same machine, or "" if the text is not an address and a port.
func localURL(listenURI string) string {
	host, port, err := net.SplitHostPort(listenURI)
	if err != nil {
		return ""
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port) + "/"
}

// Expand replaces $NAME and ${NAME} by the variable of that name, as CrowdSec does
// (go-cs-lib, csstring.StrictExpand). A name that is not set stays as it is. The
// inserted text is searched again, except for its first character. Expand stops
// after a thousand replacements: CrowdSec would replace a variable that holds its
// own name for ever.
func Expand(text string, lookup func(string) (string, bool)) string {
	for i, left := 0, 1000; i+1 < len(text) && left > 0; i++ {
		if text[i] != '$' {
			continue
		}
		name, end := reference(text[i:])
		if found, ok := lookup(name); ok && end > 0 {
			text = text[:i] + found + text[i+end:]
			left--
		}
	}
	return text
}

// reference returns the name behind the $ at the beginning of a text, and where
// the name ends; 0 if there is no name.
func reference(text string) (name string, end int) {
	if strings.HasPrefix(text, "${") {
		name, _, closed := strings.Cut(text[2:], "}")
		if !closed {
			return "", 0
		}
		return name, len(name) + len("${}")
	}
	end = 1
	for end < len(text) && (text[end] == '_' || text[end] < utf8.RuneSelf && (unicode.IsLetter(rune(text[end])) || unicode.IsDigit(rune(text[end])))) {
		end++
	}
	if end == 1 {
		return "", 0
	}
	return text[1:end], end
}

// read reads a file that is not longer than largest.
func read(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, largest+1))
	if err == nil && len(text) > largest {
		err = fmt.Errorf("is longer than %d bytes", largest)
	}
	return text, err
}
