package plugintest

import (
	"fmt"
	"strings"
	"time"
)

// Configuration is a notification's YAML document, with the keys that a test
// sets. The rest have the plugin's defaults.
type Configuration struct {
	Name            string
	StateDir        string
	UpdateFrequency time.Duration
	Debounce        time.Duration
	LogLevel        string // "": the default
	MaxBans         int    // 0: the default
	LAPIURL         string // "": alerts alone
	LAPIKey         string

	// The appliance.
	Host             string
	SSHPort          int
	APIPort          int
	User             string // of both SSH and the API
	Password         string
	HostKey          string // SHA256:…
	CertFingerprint  string // SHA256:…
	CAPath           string // "": none
	ServerName       string // "": the host
	ConfigDir        string
	BlacklistTimeout time.Duration // 0: the default
	ReassertEvery    time.Duration // 0: the default
	APISingleMax     int           // 0: the default
}

// Appliance is what a configuration says of an appliance.
type Appliance interface {
	Host() string
	SSHPort() int
	APIPort() int
	User() string
	Password() string
	HostKeyFingerprint() string
	CertificateFingerprint() string
	ConfigDir() string
}

// For returns the configuration with what it says of an appliance.
func (c Configuration) For(a Appliance) Configuration {
	c.Host, c.SSHPort, c.APIPort, c.User, c.Password = a.Host(), a.SSHPort(), a.APIPort(), a.User(), a.Password()
	c.HostKey, c.CertFingerprint, c.ConfigDir = a.HostKeyFingerprint(), a.CertificateFingerprint(), a.ConfigDir()
	return c
}

// YAML is the document.
func (c Configuration) YAML() string {
	var out strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&out, format+"\n", args...) }
	line("type: stormshield")
	line("name: %s", c.Name)
	if c.LogLevel != "" {
		line("log_level: %s", c.LogLevel)
	}
	line("format: |\n  {{.|toJson}}")
	line("update_frequency: %s", c.UpdateFrequency)
	line("debounce: %s", c.Debounce)
	line("state_dir: %q", c.StateDir)
	if c.MaxBans > 0 {
		line("decisions:\n  max_bans: %d", c.MaxBans)
	}
	if c.LAPIURL != "" {
		line("lapi:\n  url: %q\n  key: %q", c.LAPIURL, c.LAPIKey)
	}
	line("stormshield:")
	line("  host: %q", c.Host)
	line("  ssh_port: %d", c.SSHPort)
	line("  ssh_username: %q", c.User)
	line("  ssh_password: %q", c.Password)
	line("  ssh_host_key: %q", c.HostKey)
	line("  config_dir: %q", c.ConfigDir)
	line("  api_port: %d", c.APIPort)
	line("  api_username: %q", c.User)
	line("  api_password: %q", c.Password)
	if c.CertFingerprint != "" {
		line("  api_cert_fingerprint: %q", c.CertFingerprint)
	}
	if c.CAPath != "" {
		line("  api_ca_path: %q", c.CAPath)
	}
	if c.ServerName != "" {
		line("  api_server_name: %q", c.ServerName)
	}
	if c.BlacklistTimeout > 0 {
		line("  blacklist_timeout: %s", c.BlacklistTimeout)
	}
	if c.ReassertEvery > 0 {
		line("  reassert_every: %s", c.ReassertEvery)
	}
	if c.APISingleMax > 0 {
		line("  api_single_max: %d", c.APISingleMax)
	}
	return out.String()
}
