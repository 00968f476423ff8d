// Package crowdsec is CrowdSec's own configuration, as far as it concerns a
// notification: where its folders are ([Load]), what keeps its plugin folder from
// being loaded ([Config.PluginFaults]), and how a notification is named in
// profiles.yaml ([AddNotification]).
//
// It reads files and makes texts, and never writes a file. What it says of
// CrowdSec is read from the sources of 1.7.8, package and function in brackets.
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

// largest is how long a file of CrowdSec's may be, in bytes.
const largest = 1 << 20

// Config is what config.yaml says that concerns a notification.
type Config struct {
	// File is where it was read from.
	File string
	// NotificationDir is the folder of the notifications' files.
	NotificationDir string
	// PluginDir is the folder of the plugins, "" when it is not set: then
	// CrowdSec starts none (apiserver.InitPlugins).
	PluginDir string
	// ProfilesPath is the file of the profiles.
	ProfilesPath string
	// PluginUser and PluginGroup are who a plugin runs as; both "": CrowdSec's
	// own user.
	PluginUser, PluginGroup string
	// HasPluginConfig tells that there is a section plugin_config, without which
	// CrowdSec starts no plugin (apiserver.InitPlugins).
	HasPluginConfig bool
	// LocalAPI tells that the Local API runs here. It alone has profiles, and
	// sends notifications.
	LocalAPI bool
	// LocalAPIURL is where programs of this machine reach it; "" when it is not
	// said, or when it is by TLS, with a certificate that only its owner knows.
	LocalAPIURL string
}

// written are the keys of config.yaml as they are written.
type written struct {
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

// Load reads a config.yaml, and the file with .local behind its name that
// CrowdSec merges over it (csconfig.NewConfig). The environment is put in.
func Load(file string) (Config, error) {
	file, err := filepath.Abs(file)
	if err != nil {
		return Config{}, fmt.Errorf("read CrowdSec's configuration: %w", err)
	}
	var w written
	for _, path := range []string{file, file + ".local"} {
		text, err := read(path)
		if path != file && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			// A key that the second file does not have keeps its value.
			err = yaml.Unmarshal(text, &w)
		}
		if err != nil {
			return Config{}, fmt.Errorf("read CrowdSec's configuration %s: %w", path, err)
		}
	}
	return w.config(file), nil
}

// config puts in the environment and CrowdSec's defaults
// (csconfig.loadConfigurationPaths).
func (w written) config(file string) Config {
	value := func(text string) string { return Expand(text, os.LookupEnv) }
	folder := func(text, usual string) string {
		path, err := filepath.Abs(cmp.Or(value(text), usual))
		if err != nil {
			return usual
		}
		return path
	}
	home := folder(w.Paths.ConfigDir, filepath.Dir(file))
	c := Config{
		File:            file,
		NotificationDir: folder(w.Paths.NotificationDir, filepath.Join(home, "notifications")),
		ProfilesPath:    filepath.Join(home, "profiles.yaml"),
	}
	if w.Paths.PluginDir != "" {
		c.PluginDir = folder(w.Paths.PluginDir, "")
	}
	if w.Plugins != nil {
		c.HasPluginConfig = true
		c.PluginUser, c.PluginGroup = value(w.Plugins.User), value(w.Plugins.Group)
	}
	if server := w.API.Server; server != nil {
		c.LocalAPI = server.Enable == nil || *server.Enable
		c.ProfilesPath = folder(server.ProfilesPath, c.ProfilesPath)
		if c.LocalAPI && (server.TLS == nil || server.TLS.CertFile == "") {
			c.LocalAPIURL = localURL(value(server.ListenURI))
		}
	}
	return c
}

// localURL is where a program of the same machine reaches what listens there; ""
// if that is not an address and a port.
func localURL(listens string) string {
	host, port, err := net.SplitHostPort(listens)
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

// read reads a file of a size that can be sensible.
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
