// Package config is the plugin's configuration: its YAML schema, its defaults
// and its rules.
//
// One YAML document describes one appliance and becomes one [Document].
// [ParseOne] reads what CrowdSec hands to the plugin, [Load] what lies in a file,
// for the command line. Both are strict, and both tell every fault at once, each
// with its line, its key and what to write instead: see [Error].
//
// CrowdSec reads the file first and writes its YAML anew before the plugin sees
// it. Comments and line numbers are lost then, and unquoted text that looks like
// a number or a truth value has been re-written. A value is therefore taken by
// its text, whatever YAML takes it for.
//
// Parsing opens no file that a configuration names, and resolves no host.
// [Document.ReadSecrets] reads the files that hold secrets. No secret is in an
// error or in printed output.
package config

import (
	"net/netip"
	"strings"
	"time"

	"notification-stormshield/plugin/ban"
)

// Type is the type of notification that CrowdSec knows this plugin by.
const Type = "stormshield"

// Document is the configuration of one appliance.
type Document struct {
	Type string
	// Name is the notification's name in CrowdSec's profiles. It also names the
	// state file, and so holds only letters, digits, dot, dash and underscore.
	Name string
	// LogLevel is trace, debug, info, warn or error.
	LogLevel string
	// Format is the template by which CrowdSec makes the text of a
	// notification.
	Format string
	// UpdateFrequency is the time in which at most one flush starts.
	UpdateFrequency time.Duration
	// Debounce is the silence that a flush waits for.
	Debounce time.Duration
	StateDir string
	// DryRun tells what would be done and leaves the appliance alone.
	DryRun      bool
	Decisions   Decisions
	LAPI        LAPI
	Stormshield Stormshield

	// References are the values that hold a $. There are none in a document that
	// CrowdSec sends, because it has replaced them.
	References []Reference

	// CrowdSec's own keys, zero when they are not set.
	GroupWait      time.Duration
	GroupThreshold int
	MaxRetry       int
	Timeout        time.Duration
}

// Decisions says which decisions become bans, and how many bans there may be.
type Decisions struct {
	Types            []string
	Origins          []string // none: all
	IncludeScenarios []string
	ExcludeScenarios []string
	NeverBlock       []string // as ban.ParseNeverBlock reads them
	MinPrefixIPv4    int
	MinPrefixIPv6    int
	MaxBans          int
}

// Stormshield is the appliance and how to reach it.
type Stormshield struct {
	// Host is an IP address, without brackets, or a host name.
	Host string

	SSHPort                 int
	SSHUsername             string
	SSHPassword             Secret
	SSHPrivateKeyPath       string
	SSHPrivateKeyPassphrase Secret
	// The files that may hold the password and the passphrase instead.
	SSHPasswordPath, SSHPrivateKeyPassphrasePath string

	SSHHostKey               string // SHA256:… as ssh-keygen -l shows it, or ""
	SSHKnownHostsPath        string
	SSHInsecureIgnoreHostKey bool
	SSHLegacyAlgorithms      bool
	// ConfigDir is the folder of object and objectgroup on the appliance. It is
	// safe in a shell command without quotes.
	ConfigDir string

	APIPort               int
	APIUsername           string
	APIPassword           Secret
	APIPasswordPath       string // the file that may hold the password instead
	APICAPath             string // a PEM file
	APIServerName         string
	APICertFingerprint    Fingerprint // zero when not set
	APIInsecureSkipVerify bool

	Group       string
	DeleteGroup string
	// BlacklistTimeout is when entries of the blacklist end by themselves.
	BlacklistTimeout time.Duration
	// ReassertEvery is how often all bans are written again; 0 is half of
	// BlacklistTimeout, so that no entry ends before its ban.
	ReassertEvery time.Duration
	// ReloadCommand is run over SSH after a write, if it is not "".
	ReloadCommand string
	// APISingleMax is up to how many changes go address by address.
	APISingleMax int
}

// Default is a Document in which every key has its default. It is not valid: what
// has no default (type, name, format, host, secrets, identity checks) is empty.
func Default() Document {
	return Document{
		LogLevel:        "info",
		UpdateFrequency: 30 * time.Second,
		Debounce:        time.Second,
		StateDir:        "/var/lib/crowdsec-stormshield",
		Decisions: Decisions{
			Types:         []string{"ban"},
			NeverBlock:    []string{"loopback", "link-local", "multicast", "private"},
			MinPrefixIPv4: 8,
			MinPrefixIPv6: 32,
			MaxBans:       100_000,
		},
		LAPI: LAPI{Timeout: 5 * time.Minute, ResyncEvery: 24 * time.Hour},
		Stormshield: Stormshield{
			SSHPort:          22,
			SSHUsername:      "admin",
			ConfigDir:        "/data/Main/ConfigFiles",
			APIPort:          443,
			APIUsername:      "admin",
			Group:            "Crowdsec",
			DeleteGroup:      "CrowdsecDeleteGroup",
			BlacklistTimeout: 24 * time.Hour,
			ReassertEvery:    10 * time.Minute,
			APISingleMax:     16,
		},
	}
}

// Filter is what decides about decisions. It protects the appliance's own
// address when the configuration gives one; a host name is not resolved.
func (d Document) Filter() ban.Filter {
	protected, _ := ban.ParseNeverBlock(d.Decisions.NeverBlock) // Validate has seen to it
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
		MinPrefixIPv4:    d.Decisions.MinPrefixIPv4,
		MinPrefixIPv6:    d.Decisions.MinPrefixIPv6,
	}
}

// unbracketed takes the brackets off an IPv6 address.
func unbracketed(host string) string {
	if inside, ok := strings.CutPrefix(host, "["); ok {
		if inside, ok = strings.CutSuffix(inside, "]"); ok && strings.Contains(inside, ":") {
			return inside
		}
	}
	return host
}
