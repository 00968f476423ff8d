package plugintest

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"time"

	"go.yaml.in/yaml/v3"

	"notification-stormshield/stormshield/snstest"
)

// Configuration is a notification's YAML document. Where an optional key is
// zero, the document leaves it out and the plugin's default applies.
type Configuration struct {
	Type            string        `yaml:"type"`
	Name            string        `yaml:"name"`
	Format          string        `yaml:"format"`
	LogLevel        string        `yaml:"log_level,omitempty"`
	DryRun          bool          `yaml:"dry_run,omitempty"`
	UpdateFrequency time.Duration `yaml:"update_frequency"`
	Debounce        time.Duration `yaml:"debounce"`
	StateDir        string        `yaml:"state_dir"`
	StateURL        string        `yaml:"state_url,omitempty"`
	StatePassword   string        `yaml:"state_password,omitempty"`
	StateMachine    string        `yaml:"state_machine,omitempty"`
	Decisions       Decisions     `yaml:"decisions,omitempty"`
	LAPI            LAPI          `yaml:"lapi,omitempty"`
	Prometheus      Prometheus    `yaml:"prometheus,omitempty"`
	Target          `yaml:"stormshield"`
	WithoutSSH      bool `yaml:"-"` // YAML writes no password for SSH
}

// Decisions is the section about decisions.
type Decisions struct {
	MaxBans int `yaml:"max_bans,omitempty"`
}

// LAPI is the section about the Local API.
type LAPI struct {
	URL string `yaml:"url"`
	Key string `yaml:"key"`
}

// Prometheus is the section about the metrics and the status page.
type Prometheus struct {
	Enabled       bool   `yaml:"enabled"`
	ListenAddr    string `yaml:"listen_addr"`
	ListenPort    int    `yaml:"listen_port"`
	WebConfigPath string `yaml:"web_config_path,omitempty"`
}

// NewPrometheus returns a section that serves the metrics on a loopback address that no other harness has.
func NewPrometheus() Prometheus {
	var b [3]byte
	_, _ = rand.Read(b[:])                                             // never fails
	address := netip.AddrFrom4([4]byte{127, 1 + b[0]%254, b[1], b[2]}) // neither 127.0.0.1 nor the broadcast address
	return Prometheus{Enabled: true, ListenAddr: address.String(), ListenPort: 60602}
}

// URL returns the URL of a path of the listener, such as /metrics.
func (p Prometheus) URL(path string) string {
	return (&url.URL{Scheme: "http", Host: net.JoinHostPort(p.ListenAddr, strconv.Itoa(p.ListenPort)), Path: path}).String()
}

// Target is the section about the appliance.
type Target struct {
	Host             string        `yaml:"host"`
	SSHPort          int           `yaml:"ssh_port"`
	SSHUsername      string        `yaml:"ssh_username"`
	SSHPassword      string        `yaml:"ssh_password,omitempty"` // see Configuration.WithoutSSH
	SSHHostKey       string        `yaml:"ssh_host_key"`
	ConfigDir        string        `yaml:"config_dir"`
	APIPort          int           `yaml:"api_port"`
	APIUsername      string        `yaml:"api_username"`
	APIPassword      string        `yaml:"api_password"`
	CertFingerprint  string        `yaml:"api_cert_fingerprint,omitempty"`
	CAPath           string        `yaml:"api_ca_path,omitempty"`
	ServerName       string        `yaml:"api_server_name,omitempty"`
	BlacklistTimeout time.Duration `yaml:"blacklist_timeout,omitempty"`
	ReassertEvery    time.Duration `yaml:"reassert_every,omitempty"`
	APISingleMax     int           `yaml:"api_single_max,omitempty"`
	Enforce          string        `yaml:"enforce,omitempty"`
	Rule             Rule          `yaml:"rule,omitempty"`
}

// Rule is the section about the filter rule.
type Rule struct {
	Action        string        `yaml:"action,omitempty"`
	Log           string        `yaml:"log,omitempty"`
	Direction     string        `yaml:"direction,omitempty"`
	Slot          int           `yaml:"slot,omitempty"`
	Position      int           `yaml:"position,omitempty"`
	Name          string        `yaml:"name,omitempty"`
	Activate      []string      `yaml:"activate,omitempty"`
	ActivateEvery time.Duration `yaml:"activate_every,omitempty"`
}

// ForAppliance returns the configuration with the addresses and credentials of an appliance.
func (c Configuration) ForAppliance(a *snstest.Appliance) Configuration {
	c.Host, c.SSHPort, c.APIPort, c.ConfigDir = a.Host(), a.SSHPort(), a.APIPort(), a.ConfigDir()
	c.SSHUsername, c.APIUsername = a.User(), a.User()
	c.SSHHostKey, c.CertFingerprint = a.HostKeyFingerprint(), a.CertificateFingerprint()
	c.SetPassword(a.Password())
	return c
}

// SetPassword sets the password of SSH and of the API.
func (c *Configuration) SetPassword(password string) {
	c.SSHPassword, c.APIPassword = password, password
}

// YAML returns the document. The section about the appliance is its end, with
// an indent of two spaces, so that a test can append a key to it.
func (c Configuration) YAML() string {
	c.Type, c.Format = pluginType, "{{.|toJson}}"
	if c.WithoutSSH {
		c.SSHPassword = ""
	}
	var out bytes.Buffer
	e := yaml.NewEncoder(&out)
	e.SetIndent(2)
	if err := e.Encode(c); err != nil {
		panic(fmt.Sprintf("encode a configuration: %v", err)) // texts, numbers and durations can always be encoded
	}
	return out.String()
}
