// Package config is the plugin's configuration: its YAML keys, their defaults and their rules.
//
// One YAML document describes one appliance and becomes one [Document]. [ParseOne] reads the text that CrowdSec sends
// to the plugin. [Load] reads a file, for the command line. Both report all faults at once: see [Error].
//
// A new key is a new field of [Document] with tags, and a line in sample.yaml. Rules about several keys are in
// validate.go.
//
// CrowdSec reads the file first and writes new YAML for the plugin. That text has no comments and other line numbers,
// and unquoted text that looks like a number or a truth value has another form. So the type of a key decides how its
// value is read, and not the type that YAML gives to the value.
//
// Parsing opens no file that a configuration names, and resolves no host. [Document.ReadSecrets] reads the files that
// hold secrets. No error and no printed document contains a secret.
package config

import (
	"net/netip"
	"strings"
	"time"

	"notification-stormshield/plugin/ban"
)

// Type is the type of notification that CrowdSec knows this plugin by.
const Type = "stormshield"

// Document is the configuration of one appliance. The tags of a field describe its key:
//
//	key          its name in the YAML
//	default      its default, as YAML; without it the zero value
//	without_ssh  its default in a document without credentials for SSH, if that is another one
//	required     the key must not be empty; the tag is the hint
//	rule         the name of an entry of rules, for a text or each entry of a list
//	range        the limits of a number or a duration: LEAST..MOST, LEAST.., or "0, " and one of these
//	hint         what to write if the value is out of range; without it the default
//	file_of      the key is the path of a file, and the file may hold the secret of that other key
//	read_by      "crowdsec": CrowdSec reads the key itself, before it replaces variables
type Document struct {
	Type string `key:"type" required:"write stormshield" rule:"type" read_by:"crowdsec"`
	// Name is the notification's name in CrowdSec's profiles, and the name of the state file.
	Name string `key:"name" required:"write a name, such as stormshield_default" rule:"name" read_by:"crowdsec"`
	// LogLevel is trace, debug, info, warn or error.
	LogLevel string `key:"log_level" default:"info" required:"write info" rule:"level"`
	// Format is the template by which CrowdSec makes the text of a notification.
	Format string `key:"format" required:"write {{.|toJson}}: without it CrowdSec sends empty notifications" rule:"json"`

	GroupWait      time.Duration `key:"group_wait" range:"0s.." hint:"write for example 1s" read_by:"crowdsec"`
	GroupThreshold int           `key:"group_threshold" range:"0.." read_by:"crowdsec"`
	MaxRetry       int           `key:"max_retry" range:"0.." read_by:"crowdsec"`
	Timeout        time.Duration `key:"timeout" range:"0, 1s.." hint:"write for example 10s: without a unit it is in nanoseconds" read_by:"crowdsec"`

	// UpdateFrequency is the least time between the starts of two flushes.
	UpdateFrequency time.Duration `key:"update_frequency" default:"30s" range:"1s..1h"`
	// Debounce is how long a flush waits for a time without new decisions.
	Debounce time.Duration `key:"debounce" default:"1s" range:"0s.."`
	StateDir string        `key:"state_dir" default:"/var/lib/crowdsec-stormshield" required:"write the path of a folder" rule:"absolute"`
	// StateURL is a PostgreSQL database, without a password, that several CrowdSec machines share; "": the state is in StateDir alone.
	StateURL          string `key:"state_url" rule:"state_url"`
	StatePassword     Secret `key:"state_password"`
	StatePasswordPath string `key:"state_password_path" rule:"absolute" file_of:"state_password"`
	// StateMachine is the name of this machine among those that share the state; "": its host name.
	StateMachine string `key:"state_machine" rule:"state_machine"`
	// DryRun logs what a flush would do, and changes nothing on the appliance.
	DryRun bool `key:"dry_run"`

	Decisions   Decisions   `key:"decisions"`
	LAPI        LAPI        `key:"lapi"`
	Prometheus  Prometheus  `key:"prometheus"`
	Stormshield Stormshield `key:"stormshield"`

	// References are the values that hold a $. A document that CrowdSec sends has none, because CrowdSec has replaced
	// them.
	References []Reference
}

// Decisions selects the decisions that become bans.
type Decisions struct {
	Types            []string `key:"types" default:"[ban]" required:"write [ban]: without a type nothing would be blocked"`
	Origins          []string `key:"origins"` // none: all
	IncludeScenarios []string `key:"include_scenarios_containing"`
	ExcludeScenarios []string `key:"exclude_scenarios_containing"`
	NeverBlock       []string `key:"never_block" default:"[loopback, link-local, multicast, private]" rule:"never_block"`
	MinPrefixIPv4    int      `key:"min_prefix_ipv4" default:"8" range:"1..32"`
	MinPrefixIPv6    int      `key:"min_prefix_ipv6" default:"32" range:"1..128"`
	MaxBans          int      `key:"max_bans" default:"100000" without_ssh:"2000" range:"1.."`
}

// Stormshield is the appliance and how to reach it.
type Stormshield struct {
	// Host is an IP address, without brackets, or a host name.
	Host string `key:"host" required:"write the appliance's address or name" rule:"host"`

	SSHPort                     int    `key:"ssh_port" default:"22" range:"1..65535"`
	SSHUsername                 string `key:"ssh_username" default:"admin" required:"write an administrator's login, such as admin" rule:"login"`
	SSHPassword                 Secret `key:"ssh_password"`
	SSHPasswordPath             string `key:"ssh_password_path" rule:"absolute" file_of:"ssh_password"`
	SSHPrivateKeyPath           string `key:"ssh_private_key_path" rule:"absolute"`
	SSHPrivateKeyPassphrase     Secret `key:"ssh_private_key_passphrase"`
	SSHPrivateKeyPassphrasePath string `key:"ssh_private_key_passphrase_path" rule:"absolute" file_of:"ssh_private_key_passphrase"`

	// SSHHostKey is SHA256:… as ssh-keygen -l shows it, or "".
	SSHHostKey               string `key:"ssh_host_key" rule:"host_key"`
	SSHKnownHostsPath        string `key:"ssh_known_hosts_path" rule:"absolute"`
	SSHInsecureIgnoreHostKey bool   `key:"ssh_insecure_ignore_host_key"`
	SSHLegacyAlgorithms      bool   `key:"ssh_legacy_algorithms"`
	// ConfigDir is the folder of object and objectgroup on the appliance. It is safe in a shell command without quotes.
	ConfigDir string `key:"config_dir" default:"/data/Main/ConfigFiles" required:"write /data/Main/ConfigFiles" rule:"config_dir"`

	APIPort         int    `key:"api_port" default:"443" range:"1..65535"`
	APIUsername     string `key:"api_username" default:"admin" required:"write an administrator's login, such as admin" rule:"login"`
	APIPassword     Secret `key:"api_password"`
	APIPasswordPath string `key:"api_password_path" rule:"absolute" file_of:"api_password"`
	// APIClientCertPath and APIClientKeyPath are a client certificate that replaces the password, in PEM.
	APIClientCertPath string `key:"api_client_cert_path" rule:"absolute"`
	APIClientKeyPath  string `key:"api_client_key_path" rule:"absolute"`
	// APICAPath is a PEM file.
	APICAPath     string `key:"api_ca_path" rule:"absolute"`
	APIServerName string `key:"api_server_name" rule:"server_name"`
	// APICertFingerprint is zero when it is not set.
	APICertFingerprint    Fingerprint `key:"api_cert_fingerprint"`
	APIInsecureSkipVerify bool        `key:"api_insecure_skip_verify"`

	Group       string `key:"group" default:"Crowdsec" required:"write Crowdsec" rule:"group"`
	DeleteGroup string `key:"delete_group" default:"CrowdsecDeleteGroup" required:"write CrowdsecDeleteGroup" rule:"group"`
	// BlacklistTimeout is the life of an entry of the blacklist.
	BlacklistTimeout time.Duration `key:"blacklist_timeout" default:"24h" range:"1m..365d"`
	// ReassertEvery is the time between two re-asserts; 0 is half of BlacklistTimeout, so that no entry ends before its
	// ban.
	ReassertEvery time.Duration `key:"reassert_every" default:"10m" range:"0, 10s.." hint:"write 10m, or 0 for half of blacklist_timeout"`
	// CompareEvery is how long a re-assert relies on the last comparison of the files. With 0 each re-assert compares them.
	CompareEvery time.Duration `key:"compare_every" default:"1h" range:"0, 1m.." hint:"write 1h, or 0 to compare at each re-assert"`
	// ReloadCommand runs over SSH after a change of the files, unless it is "".
	ReloadCommand string `key:"reload_command" rule:"command"`
	// APISingleMax is the largest number of changes that are sent address by address.
	APISingleMax int `key:"api_single_max" default:"16" range:"0..1000"`
	// CutConnections makes a flush cut the established connections of a newly blocked address.
	CutConnections bool `key:"cut_connections"`

	// Enforce is blacklist, rule or both.
	Enforce string `key:"enforce" default:"blacklist" required:"write blacklist" rule:"enforce"`
	Rule    Rule   `key:"rule"`
}

// SharesState reports whether several machines share the state in PostgreSQL.
func (d Document) SharesState() bool { return d.StateURL != "" }

// Filter returns the filter for decisions. It protects the appliance's own address if Host is one. It does not resolve
// a name.
func (d Document) Filter() ban.Filter {
	protected, _ := ban.ParseNeverBlock(d.Decisions.NeverBlock) // Validate reports the error
	if address, err := netip.ParseAddr(d.Stormshield.Host); err == nil {
		address = address.WithZone("").Unmap()
		protected = append(protected, netip.PrefixFrom(address, address.BitLen()))
	}
	return ban.Filter{
		Types:            d.Decisions.Types,
		Origins:          d.Decisions.Origins,
		IncludeScenarios: d.Decisions.IncludeScenarios,
		ExcludeScenarios: d.Decisions.ExcludeScenarios,
		NeverBlock:       protected,
		AddressesOnly:    !d.Stormshield.UsesSSH(),
		MinPrefixIPv4:    d.Decisions.MinPrefixIPv4,
		MinPrefixIPv6:    d.Decisions.MinPrefixIPv6,
	}
}

// unbracketed removes the brackets of an IPv6 address.
func unbracketed(host string) string {
	if inside, ok := strings.CutPrefix(host, "["); ok {
		if inside, ok = strings.CutSuffix(inside, "]"); ok && strings.Contains(inside, ":") {
			return inside
		}
	}
	return host
}
