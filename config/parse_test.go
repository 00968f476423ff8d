package config_test

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"notification-stormshield/config"
)

const (
	hostKey    = "SHA256:uNiVztksCsDhcc0u9e8BgrJXVGDf2qvRzzZ7xKzQn0E"
	hexDigits  = "B8:D8:95:CE:D9:2C:0A:C0:E1:71:CD:2E:F5:EF:01:82:B2:57:54:60:DF:DA:AB:D1:CF:36:7B:C4:AC:D0:9F:41"
	someSecret = "hunter2"
)

// minimal is the shortest valid text. It ends in the section stormshield.
const minimal = `type: stormshield
name: edge
format: "{{.|toJson}}"
stormshield:
  host: 192.0.2.1
  ssh_password: 'hunter2'
  ssh_host_key: ` + hostKey + `
  api_password: 'hunter2'
  api_cert_fingerprint: ` + hexDigits + "\n"

// with returns the minimal text with more lines: indented ones at the end, in the section stormshield, and others at the
// beginning. A line replaces that of the same key.
func with(lines ...string) string {
	text := minimal
	for _, line := range lines {
		key, _, _ := strings.Cut(line, ":")
		kept := strings.Split(text, "\n")
		kept = slices.DeleteFunc(kept, func(l string) bool { return strings.HasPrefix(l, key+":") })
		text = strings.Join(kept, "\n")
		if strings.HasPrefix(line, "  ") {
			text += line + "\n"
		} else {
			text = line + "\n" + text
		}
	}
	return text
}

func parsed(t *testing.T, text string) config.Document {
	t.Helper()
	doc, err := config.ParseOne([]byte(text))
	if err != nil {
		t.Fatalf("ParseOne: %v\n%s", err, text)
	}
	return doc
}

func faultsOf(t *testing.T, err error) []config.Fault {
	t.Helper()
	var faulty *config.Error
	if !errors.As(err, &faulty) || len(faulty.Faults) == 0 {
		t.Fatalf("error = %v, want a config.Error with faults", err)
	}
	return faulty.Faults
}

func TestParseGivesDefaults(t *testing.T) {
	want := config.Default()
	want.Type, want.Name, want.Format = "stormshield", "edge", "{{.|toJson}}"
	s := &want.Stormshield
	s.Host, s.SSHPassword, s.APIPassword, s.SSHHostKey = "192.0.2.1", someSecret, someSecret, hostKey
	s.APICertFingerprint = parsed(t, minimal).Stormshield.APICertFingerprint
	if got := parsed(t, minimal); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if got := s.APICertFingerprint.String(); got != hostKey {
		t.Errorf("fingerprint = %s, want %s", got, hostKey)
	}
}

func TestParseReadsEveryKey(t *testing.T) {
	got := parsed(t, everyKey)
	want := config.Document{
		Type: "stormshield", Name: "edge.1", LogLevel: "debug", Format: "{{ .|toJson }}\n",
		UpdateFrequency: time.Minute, Debounce: 2 * time.Second, StateDir: "/srv/state", DryRun: true,
		StateURL: "postgres://bans@192.0.2.8/crowdsec?sslmode=verify-full", StatePassword: "0443", StateMachine: "paris.1",
		GroupWait: 3 * time.Second, GroupThreshold: 5, MaxRetry: 2, Timeout: 10 * time.Second,
		Decisions: config.Decisions{
			Types: []string{"ban", "drop"}, Origins: []string{"crowdsec"}, IncludeScenarios: []string{"ssh"},
			ExcludeScenarios: []string{"http"}, NeverBlock: []string{"192.0.2.0/24"}, MinPrefixIPv4: 16, MinPrefixIPv6: 48, MaxBans: 7,
		},
		LAPI: config.LAPI{
			URL: "https://192.0.2.9:8080/", Follow: false, Key: "0443", CertPath: "/c", KeyPath: "/ck", CACertPath: "/cca", InsecureSkipVerify: true,
			Timeout: time.Minute, Proxy: "http://192.0.2.2:3128", UpdateFrequency: 10 * time.Second, ResyncEvery: 24 * time.Hour, Origins: []string{"CAPI", "lists"}, Scopes: []string{"ip"},
			IncludeScenarios: []string{"scan"}, ExcludeScenarios: []string{"crawl"},
		},
		Prometheus: config.Prometheus{Enabled: true, ListenAddr: "::1", ListenPort: 9100, WebConfigPath: "/web.yml"},
		Stormshield: config.Stormshield{
			Host: "2001:db8::1", SSHPort: 2222, SSHUsername: "bob", SSHPassword: "0443", SSHPrivateKeyPath: "/k",
			SSHPrivateKeyPassphrase: "12345", SSHHostKey: hostKey, SSHKnownHostsPath: "/h", SSHInsecureIgnoreHostKey: true,
			SSHLegacyAlgorithms: true, ConfigDir: "/usr/Firewall/ConfigFiles", APIPort: 8443, APIUsername: "api", APIPassword: "a: b #c",
			APICAPath: "/ca.pem", APIServerName: "SN210XA000", APICertFingerprint: got.Stormshield.APICertFingerprint,
			APIInsecureSkipVerify: true, Group: "Bad", DeleteGroup: "Gone", BlacklistTimeout: 48 * time.Hour,
			ReassertEvery: 5 * time.Minute, CompareEvery: 2 * time.Hour, ReloadCommand: "enobject", APISingleMax: 0,
			CutConnections: true, Enforce: "both", Rule: config.Rule{
				Action: "reset", Log: "major", Direction: "out", Slot: 10, Position: 3, Name: "Crowd.sec-2", Activate: []string{"enobject -a"}, ActivateEvery: 5 * time.Minute,
			},
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if got.Stormshield.APICertFingerprint.IsZero() || got.Stormshield.APIPassword.Reveal() != "a: b #c" {
		t.Errorf("fingerprint or password lost")
	}
}

const everyKey = `type: stormshield
name: edge.1
log_level: DEBUG
format: |
  {{ .|toJson }}
group_wait: 3s
group_threshold: 5
max_retry: 2
timeout: 10s
update_frequency: 1m
debounce: 2s
state_dir: /srv/state
state_url: postgres://bans@192.0.2.8/crowdsec?sslmode=verify-full
state_password: '0443'
state_machine: paris.1
dry_run: yes
decisions:
  types: [ban, drop]
  origins:
    - crowdsec
  include_scenarios_containing: [ssh]
  exclude_scenarios_containing: [http]
  never_block: [192.0.2.0/24]
  min_prefix_ipv4: 16
  min_prefix_ipv6: 48
  max_bans: 7
lapi:
  url: https://192.0.2.9:8080/
  follow: no
  key: '0443'
  cert_path: /c
  key_path: /ck
  ca_cert_path: /cca
  insecure_skip_verify: true
  timeout: 1m
  proxy: http://192.0.2.2:3128
  update_frequency: 10s
  resync_every: 1d
  origins: [CAPI, lists]
  scopes: [ip]
  include_scenarios_containing: [scan]
  exclude_scenarios_containing: [crawl]
prometheus:
  enabled: true
  listen_addr: "[0:0::1]"
  listen_port: 9100
  web_config_path: /web.yml
stormshield:
  host: "[2001:db8::1]"
  ssh_port: 2222
  ssh_username: bob
  ssh_password: '0443'
  ssh_private_key_path: /k
  ssh_private_key_passphrase: 12345
  ssh_host_key: ` + hostKey + `
  ssh_known_hosts_path: /h
  ssh_insecure_ignore_host_key: true
  ssh_legacy_algorithms: true
  config_dir: /usr/Firewall/ConfigFiles
  api_port: 8443
  api_username: api
  api_password: 'a: b #c'
  api_ca_path: /ca.pem
  api_server_name: SN210XA000
  api_cert_fingerprint: ` + hostKey + `
  api_insecure_skip_verify: true
  group: Bad
  delete_group: Gone
  blacklist_timeout: 2d
  reassert_every: 5m
  compare_every: 2h
  reload_command: enobject
  api_single_max: 0
  cut_connections: yes
  enforce: Both
  rule:
    action: reset
    log: major
    direction: out
    slot: 10
    position: 3
    name: Crowd.sec-2
    activate: [enobject -a]
    activate_every: 5m
`

// The text is everyKey as yaml.v2 writes it: CrowdSec's own keys first, then the others by name, with numbers and truth
// values in another form.
func TestParseReadsTheYAMLThatCrowdSecWrites(t *testing.T) {
	const rewritten = `type: stormshield
name: edge.1
group_wait: 3s
group_threshold: 5
max_retry: 2
timeout: 10s
format: |
  {{ .|toJson }}
debounce: "2s"
decisions:
  exclude_scenarios_containing:
  - http
  include_scenarios_containing:
  - ssh
  max_bans: "7"
  min_prefix_ipv4: 16
  min_prefix_ipv6: "48"
  never_block:
  - 192.0.2.0/24
  origins:
  - crowdsec
  types:
  - ban
  - drop
dry_run: "true"
lapi:
  ca_cert_path: /cca
  cert_path: /c
  exclude_scenarios_containing:
  - crawl
  follow: "no"
  include_scenarios_containing:
  - scan
  insecure_skip_verify: "true"
  key: "0443"
  key_path: /ck
  origins:
  - CAPI
  - lists
  proxy: http://192.0.2.2:3128
  resync_every: 1d
  scopes:
  - ip
  timeout: 1m
  update_frequency: 10s
  url: https://192.0.2.9:8080/
log_level: DEBUG
prometheus:
  enabled: "true"
  listen_addr: 0:0::1
  listen_port: "9100"
  web_config_path: /web.yml
state_dir: /srv/state
state_machine: paris.1
state_password: "0443"
state_url: postgres://bans@192.0.2.8/crowdsec?sslmode=verify-full
stormshield:
  api_ca_path: /ca.pem
  api_cert_fingerprint: ` + hostKey + `
  api_insecure_skip_verify: true
  api_password: 'a: b #c'
  api_port: "8443"
  api_server_name: SN210XA000
  api_single_max: 0
  api_username: api
  blacklist_timeout: 2d
  compare_every: 2h
  config_dir: /usr/Firewall/ConfigFiles
  cut_connections: "yes"
  delete_group: Gone
  enforce: Both
  group: Bad
  host: '[2001:db8::1]'
  reassert_every: 5m
  reload_command: enobject
  rule:
    action: reset
    activate:
    - enobject -a
    activate_every: 5m
    direction: out
    log: major
    name: Crowd.sec-2
    position: 3
    slot: "10"
  ssh_host_key: ` + hostKey + `
  ssh_insecure_ignore_host_key: true
  ssh_known_hosts_path: /h
  ssh_legacy_algorithms: "yes"
  ssh_password: "0443"
  ssh_port: 2222
  ssh_private_key_passphrase: 12345
  ssh_private_key_path: /k
  ssh_username: bob
update_frequency: 1m
`
	if got, want := parsed(t, rewritten), parsed(t, everyKey); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestParseKeepsTheDefaultForNull(t *testing.T) {
	text := with("update_frequency:", "decisions:\n  types: ~\n  max_bans: null", "  ssh_port:", "  group: ~", "  rule:\n    action: ~")
	if got, want := parsed(t, text), parsed(t, minimal); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if got, want := parsed(t, with("decisions:")), parsed(t, minimal); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestParseFollowsAliases(t *testing.T) {
	doc := parsed(t, strings.Replace(minimal, "ssh_password: 'hunter2'", "ssh_password: &p 'x'", 1)+"  api_server_name: *p\n")
	if doc.Stormshield.APIServerName != "x" {
		t.Errorf("alias not followed")
	}
}

func TestParseReadsSeveralDocuments(t *testing.T) {
	docs, err := config.Parse([]byte("---\n" + minimal + "---\n---\n# nothing\n---\n" + with("name: second", "  host:", "  host: 192.0.2.2")))
	if err != nil || len(docs) != 2 || docs[0].Name != "edge" || docs[1].Name != "second" {
		t.Fatalf("documents %+v, want edge and second: %v", docs, err)
	}
	if doc, err := config.Select(docs, "second"); err != nil || doc.Name != "second" {
		t.Errorf("Select second: %v, %v", doc.Name, err)
	}
	if _, err := config.Select(docs, ""); err == nil || !strings.Contains(err.Error(), "edge, second") {
		t.Errorf("Select of several: %v", err)
	}
	if _, err := config.Select(docs, "third"); err == nil || !strings.Contains(err.Error(), "edge, second") {
		t.Errorf("Select third: %v", err)
	}
	if doc, err := config.Select(docs[:1], ""); err != nil || doc.Name != "edge" {
		t.Errorf("Select of one: %v, %v", doc.Name, err)
	}
	if _, err := config.ParseOne([]byte(minimal + "---\n" + with("name: second"))); err == nil {
		t.Error("ParseOne took two documents")
	}
}

func TestParseReportsAllFaultsInOrder(t *testing.T) {
	text := `type: stormshield
name: edge
format: "{{.|toJson}}"
update_frequenzy: 1s
debounce: soon
decisions:
  types: ban
  max_bans: 0
stormshield:
  host: https://192.0.2.1
  ssh_port: 70000
  ssh_port: 22
  ssh_password: [hunter2]
  api_password: ''
  update_frequency: 1s
  api_cert_fingerprint: nonsense
  rule:
    slot: 11
    acton: log
---
type: stormshield
name: edge
stormshield: {ssh_private_key_passphrase: hunter2}
`
	_, err := config.Parse([]byte(text))
	faults := faultsOf(t, err)
	want := []struct {
		line int
		key  string
		part string
	}{
		{4, "update_frequenzy", "did you mean update_frequency?"},
		{5, "debounce", "write for example 30s"},
		{7, "decisions.types", "is not a list"},
		{8, "decisions.max_bans", "is 0; write a number, 1 or more"},
		{9, "stormshield.ssh_host_key", "crowdsec-stormshield trust"},
		{10, "stormshield.host", "without scheme"},
		{11, "stormshield.ssh_port", "from 1 to 65535"},
		{12, "stormshield.ssh_port", "first on line 11"},
		{13, "stormshield.ssh_password", "is a list"},
		{14, "stormshield.api_password", "is empty"},
		{15, "stormshield.update_frequency", "belongs at the top level"},
		{16, "stormshield.api_cert_fingerprint", "crowdsec-stormshield trust"},
		{18, "stormshield.rule.slot", "from 0 to 10"},
		{19, "stormshield.rule.acton", "did you mean action?"},
		{21, "name", "also the name of the document on line 1"},
		{21, "format", "is missing"},
		{23, "stormshield.host", "is missing"},
		{23, "stormshield.ssh_private_key_path", "there is a passphrase for it"},
		{23, "stormshield.api_password", "is empty"},
		{23, "stormshield.api_cert_fingerprint", "trust"},
	}
	for _, w := range want {
		if !slices.ContainsFunc(faults, func(f config.Fault) bool {
			return f.Line == w.line && f.Key == w.key && strings.Contains(f.String(), w.part) && f.Document == "edge"
		}) {
			t.Errorf("no fault on line %d of %s with %q", w.line, w.key, w.part)
		}
	}
	if len(faults) != len(want) {
		t.Errorf("%d faults, want %d:\n%v", len(faults), len(want), err)
	}
	if !slices.IsSortedFunc(faults, func(a, b config.Fault) int { return a.Line - b.Line }) {
		t.Errorf("faults are not in the order of the lines:\n%v", err)
	}
	if lines := strings.Count(err.Error(), "\n") + 1; lines != len(faults) {
		t.Errorf("%d lines for %d faults", lines, len(faults))
	}
	if strings.Contains(err.Error(), someSecret) {
		t.Errorf("a secret is in %v", err)
	}
}

// Each line has one fault.
func TestParseRefusesEachFaultyValue(t *testing.T) {
	for line, want := range map[string]string{
		"type: slack":                       `type: is "slack"; write stormshield`,
		"type:":                             "type: is missing",
		"name: ../edge":                     "cannot name a state file",
		"name: .edge":                       "cannot name a state file",
		"name: edge 1":                      "cannot name a state file",
		"name: on":                          "true or false; write it in quotes",
		"name: " + strings.Repeat("n", 101): "cannot name a state file",
		"log_level: ''":                     "is missing",
		"log_level: loud":                   "write one of trace",
		"format: banned":                    "makes no JSON",
		"format: ''":                        "is missing",
		"timeout: 10":                       "not a duration",
		"timeout: 10ns":                     "nanoseconds",
		"max_retry: -1":                     "is -1; write a number, 0 or more",
		"max_retry: many":                   "not a whole number",
		"group_wait: 1d":                    "not a duration that CrowdSec can read",
		"group_threshold: 1.5":              "not a whole number",
		"update_frequency: 500ms":           "between 1s and 1h",
		"update_frequency: 2h":              "between 1s and 1h",
		"update_frequency: ''":              "is empty",
		"update_frequency: 30":              "not a duration",
		"debounce: 31s":                     "longer than update_frequency",
		"debounce: -1s":                     "negative",
		"state_dir: state":                  "not an absolute path",
		"state_dir: ''":                     "is missing",
		"state_url: postgres://u:hunter2@192.0.2.9/bans":             "state_url: holds a password; remove it there, and write it into state_password_path",
		"state_url: postgres://u:@192.0.2.9/bans":                    "holds a password",
		"state_url: postgres://u@192.0.2.9/bans?password=hunter2":    "holds a password",
		"state_url: postgres://u@192.0.2.9/bans?sslpassword=hunter2": "holds a password",
		"state_url: postgres://u:hunter2@[192.0.2.9/bans":            "is not the address of a PostgreSQL database; write postgres://USER@HOST",
		"state_url: 'postgres://u@192.0.2.9/bans?a;b'":               "is not the address",
		"state_url: mysql://u@192.0.2.9/bans":                        "is not the address",
		"state_url: host=192.0.2.9 user=u":                           "is not the address",
		"state_url: postgres:u":                                      "is not the address",
		"state_url: \"postgres://u@192.0.2.9/bans\\n\"":              "is not the address",
		"state_url: postgres://u@192.0.2.9/":                         "names no database",
		"state_password: hunter2":                                    "state_url: is empty, and there is a password for it",
		"state_password_path: /secret":                               "state_url: is empty, and there is a password for it",
		"state_password_path: secret":                                "not an absolute path",
		"state_machine: .a":                                          "cannot name a machine",
		"state_machine: a b":                                         "cannot name a machine",
		"state_machine: é":                                           "cannot name a machine",
		"state_machine: " + strings.Repeat("n", 61):                  "cannot name a machine",
		"dry_run: maybe":                                             "write true or false",
		"dry_run: ''":                                                "write true or false",
		"decisions: {types: []}":                                     "nothing would be blocked",
		"decisions: {types: ['']}":                                   "entry 1 is empty",
		"decisions: {types: [ban, ]}":                                "",
		"decisions: {types: [ban, ~]}":                               "entry 2 is empty",
		"decisions: {types: [[ban]]}":                                "entry 1 is a list",
		"decisions: {origins: [no]}":                                 "entry 1 is taken for true or false",
		"decisions: {never_block: [lan]}":                            "lan is neither an address",
		"decisions: {min_prefix_ipv4: 33}":                           "from 1 to 32",
		"decisions: {min_prefix_ipv6: 0}":                            "from 1 to 128",
		"decisions: {min_prefix_ipv4: 0x10}":                         "not a whole number",
		"decisions: ban":                                             "is not a mapping",
		"decisions: [ban]":                                           "is not a mapping",
		"decisions: {type: [ban]}":                                   "did you mean types?",
		"decisions: {host: x}":                                       "host belongs under stormshield",
		"colour: red":                                                "colour: is not a known key",
		"\"a\\nb\": red":                                             `"a\nb": is not a known key`,
		"[a, b]: red":                                                "a key is a list",
		"<<: {a: b}":                                                 "merging of mappings is not supported",
		"  host: 192.0.2.1:443":                                      "neither an address nor a host name",
		"  host: 192.0.2.300":                                        "neither an address nor a host name",
		"  host: a b":                                                "neither an address nor a host name",
		"  host: 'https://fw'":                                       "neither an address nor a host name",
		"  host: -fw":                                                "neither an address nor a host name",
		"  host: 0.0.0.0":                                            "neither an address nor a host name",
		"  host: ''":                                                 "is missing",
		"  host: [a]":                                                "is a list",
		"  host: {a: b}":                                             "is a mapping",
		"  ssh_port: 0":                                              "from 1 to 65535",
		"  ssh_port: 022":                                            "not a whole number",
		"  api_port: 99999999999999999999":                           "not a whole number",
		"  ssh_username: ''":                                         "is missing",
		"  api_username: ''":                                         "is missing",
		"  ssh_password: ''":                                         "write it, or remove the line to work over the API alone",
		"  ssh_password:":                                            "write it, or remove the line to work over the API alone",
		"  ssh_private_key_passphrase: x":                            "write the path of the private key, or remove the passphrase",
		"  api_password: ":                                           "is empty",
		"  api_password: \"hunter2\\n\"":                             "line break",
		"  api_password: yes":                                        "true or false; write it in quotes",
		"  api_password: 1e+30":                                      "a number and re-written; write it in quotes",
		"  api_password: !x hunter2":                                 "takes for a tag",
		"  ssh_private_key_path: id_ed25519":                         "not an absolute path",
		"  ssh_host_key: ''":                                         "crowdsec-stormshield trust",
		"  ssh_host_key: SHA256:abc":                                 "43 characters",
		"  ssh_host_key: MD5:aa":                                     "43 characters",
		"  api_cert_fingerprint: ''":                                 "crowdsec-stormshield trust",
		"  api_cert_fingerprint: aa:bb":                              "64 hexadecimal digits",
		"  config_dir: data/Main":                                    "plain absolute path",
		"  config_dir: /data/../etc":                                 "plain absolute path",
		"  config_dir: \"/data/$(id)\"":                              "plain absolute path",
		"  config_dir: /data/Main Files":                             "plain absolute path",
		"  config_dir: ''":                                           "is missing",
		"  group: a b":                                               "cannot name a group",
		"  group: 'a]'":                                              "cannot name a group",
		"  group: é":                                                 "cannot name a group",
		"  group: ''":                                                "is missing",
		"  group: O'Neil":                                            "letters, digits, dots, dashes and underscores",
		"  group: $(id)":                                             "cannot name a group",
		"  group: '..'":                                              "the first of them a letter or digit",
		"  group: -x":                                                "cannot name a group",
		"  group: any":                                               "a reserved name",
		"  group: All":                                               "a reserved name",
		"  group: INTERNET":                                          "a reserved name",
		"  group: Firewall_out":                                      "a reserved name",
		"  group: firewall_":                                         "a reserved name",
		"  delete_group: network_internals":                          "a reserved name",
		"  group: CrowdsecCheck":                                     "a reserved name",
		"  delete_group: crowdseccheckended":                         "a reserved name",
		"  group: crowdsec_ip_1":                                     "a reserved name",
		"  delete_group: Crowdsec_Net_x":                             "a reserved name",
		"  delete_group: crowdsec":                                   "same as group",
		"  blacklist_timeout: 30s":                                   "between 1m and 365d",
		"  blacklist_timeout: 366d":                                  "between 1m and 365d",
		"  blacklist_timeout: 19m":                                   "half of blacklist_timeout",
		"  reassert_every: 5s":                                       "shorter than 10s",
		"  reassert_every: -5s":                                      "shorter than 10s",
		"  reassert_every: 13h":                                      "half of blacklist_timeout",
		"  compare_every: 30s":                                       "shorter than 1m",
		"  cut_connections: perhaps":                                 "neither true nor false",
		"  reload_command: \"it's\"":                                 "one short line",
		"  reload_command: 'a!'":                                     "one short line",
		"  reload_command: \"a\\nb\"":                                "one short line",
		"  api_single_max: 1001":                                     "from 0 to 1000",
		"  api_single_max: -1":                                       "from 0 to 1000",
		"  api_server_name: 'a b'":                                   "name in a certificate",
		"  api_ca_path: ca.pem":                                      "not an absolute path",
		"  ssh_password_path: secret":                                "not an absolute path",
		"  enforce: firewall":                                        "write one of blacklist, rule, both",
		"  enforce: ''":                                              "is missing",
		"  rule: block":                                              "stormshield.rule: is not a mapping",
		"  rule: {action: pass}":                                     "write one of block, reset, log",
		"  rule: {log: log}":                                         "write one of none, minor, major",
		"  rule: {direction: any}":                                   "write one of in, out, both",
		"  rule: {slot: 11}":                                         "from 0 to 10",
		"  rule: {position: 0}":                                      "a number, 1 or more",
		"  rule: {name: ''}":                                         "is missing",
		"  rule: {name: a b}":                                        "cannot name a filter rule",
		"  rule: {name: 'a#b'}":                                      "cannot name a filter rule",
		"  rule: {name: a_out}":                                      "cannot name a filter rule",
		"  rule: {name: é}":                                          "cannot name a filter rule",
		"  rule: {name: nobody@all}":                                 "cannot name a filter rule",
		"  rule: {activate: enobject}":                               "is not a list",
		"  rule: {activate: [\"it's\"]}":                             "one short line",
		"  rule: {activate: ['']}":                                   "entry 1 is empty",
		"  rule: {activate_every: 2h}":                               "between 1s and 1h; write 1m, or 0",
		"  rule: {activate_every: 500ms}":                            "between 1s and 1h",
		"  rule: {acton: reset}":                                     "stormshield.rule.acton: is not a known key; did you mean action?",
		"  rule: {host: x}":                                          "host belongs under stormshield",
		"  rule: {rule: {action: log}}":                              "rule belongs under stormshield",
		"  rule: {dry_run: on}":                                      "dry_run belongs at the top level",
		"  activate_every: 1m":                                       "activate_every belongs under stormshield.rule",
		"activate: []":                                               "activate belongs under stormshield.rule",

		"prometheus: on":                       "is not a mapping",
		"prometheus: {enabled: perhaps}":       "neither true nor false",
		"prometheus: {listen_addr: ''}":        "is missing",
		"prometheus: {listen_addr: host}":      "not an IP address; write 127.0.0.1",
		"prometheus: {listen_addr: ':9'}":      "not an IP address",
		"prometheus: {listen_addr: 1.2.3}":     "not an IP address",
		"prometheus: {listen_addr: 224.0.0.1}": "not an IP address",
		"prometheus: {listen_addr: '[::1]:9'}": "not an IP address",
		"prometheus: {listen_port: 0}":         "from 1 to 65535",
		"prometheus: {listen_port: 65536}":     "from 1 to 65535",
		"prometheus: {web_config_path: a}":     "not an absolute path",
		"prometheus: {listen_prt: 1}":          "did you mean listen_port?",

		"  enforce: both\n  rule: {action: log}":          "the blacklist would still block; write rule to observe",
		"  enforce: rule\n  cut_connections: on":          "write enforce: both, or remove cut_connections",
		"  rule: {name: " + strings.Repeat("n", 51) + "}": "at most 50",
	} {
		t.Run(line, func(t *testing.T) {
			_, err := config.ParseOne([]byte(with(line)))
			if want == "" {
				if err != nil {
					t.Errorf("error = %v, want none", err)
				}
				return
			}
			faults := faultsOf(t, err)
			if len(faults) != 1 || !strings.Contains(faults[0].String(), want) || faults[0].Line == 0 || faults[0].Hint == "" && faults[0].Key != "colour" && faults[0].Key != `"a\nb"` {
				t.Errorf("error = %v, want one fault with %q", err, want)
			}
			if strings.Contains(err.Error(), someSecret) {
				t.Errorf("a secret is in %v", err)
			}
		})
	}
}

func TestParseAcceptsEachValidValue(t *testing.T) {
	for _, line := range []string{
		"timeout: 1s", "debounce: 0s", "debounce: 30s", "update_frequency: 1h", "log_level: Warning", "dry_run: \"False\"", "dry_run: off",
		"format: '{{range . -}} {{toRawJson .}} {{- end}}'", "decisions: {never_block: []}", "decisions: {never_block: [Private, '::1', 10.0.0.0/8]}",
		"prometheus: {listen_addr: 0.0.0.0}", "prometheus: {listen_addr: '::'}", "prometheus: {listen_addr: '[fe80::1%eth0]', listen_port: 65535}",
		"state_url: postgres://u@192.0.2.9/bans", "state_url: postgresql://u@db.example:5433/bans?sslmode=verify-full&sslrootcert=/ca.pem",
		"state_url: postgres://u@/bans?host=/run/postgresql", "state_url: postgres://u@a,b/bans", "state_url: postgres:///?user=u&dbname=bans&host=a", "state_url: postgres:///bans?host=/run/postgresql",
		"state_url: postgres://u@[2001:db8::1]:5432/bans\nstate_password: hunter2", "state_url: ''", "state_machine: ''", "state_machine: 7",
		"state_machine: " + strings.Repeat("n", 60), "state_url: postgres://u@a/bans\nstate_password_path: /secret\nstate_machine: a-b.example",
		"name: _edge-1.B", "  host: fw.example.org", "  host: fw", "  host: fw.example.org.", "  host: '2001:db8::1'", "  host: fe80::1%eth0",
		"  api_password: 12345", "  api_password: 1.5", "  api_password: 2026-11-20", "  api_password: 'yes'", "  api_password: 0443",
		"  api_password: 'a!\"#$%'", "  config_dir: /", "  group: 7_Any-All.bans", "  group: " + strings.Repeat("g", 255), "  delete_group: Internet2", "  group: Firewalls", "  reassert_every: 0", "  compare_every: 0", "  reassert_every: 12h",
		"  blacklist_timeout: 365d", "  reload_command: enobject -v > /dev/null; true", "  api_single_max: 1000", "  ssh_port: '2222'",
		"  api_cert_fingerprint: sha256:" + strings.ToLower(strings.ReplaceAll(hexDigits, ":", "")),
		"  ssh_private_key_path: /etc/crowdsec/id_ed25519",
		"  enforce: Rule\n  rule: {action: LOG}", "  enforce: both\n  cut_connections: true", "  rule: {action: log}", "  rule:", "  rule: {}",
		"  rule: {name: " + strings.Repeat("n", 50) + "}", "  rule: {activate: []}", "  rule: {activate_every: 0}", "  rule: {slot: 0, position: 9999}",
	} {
		t.Run(line, func(t *testing.T) { parsed(t, with(line)) })
	}
}

func TestParseNeedsNoPasswordWithAPrivateKey(t *testing.T) {
	if doc := parsed(t, with("  ssh_password: ''", "  ssh_private_key_path: /k")); doc.Stormshield.SSHPassword != "" {
		t.Error("the document has a password that the text does not have")
	}
}

// sampleWithoutSSH is the sample with a fingerprint and without ssh_password.
func sampleWithoutSSH() string {
	text := strings.Replace(config.Sample(), "  ssh_password: 'put the password here'\n", "  # ssh_password: ''\n", 1)
	return strings.Replace(text, `# api_cert_fingerprint: ""`, "api_cert_fingerprint: "+hostKey, 1)
}

func TestADocumentWithoutACredentialForSSHDoesNotUseSSH(t *testing.T) {
	with := parsed(t, identified())
	if !with.Stormshield.UsesSSH() || with.Filter().AddressesOnly || with.Decisions.MaxBans != 100_000 {
		t.Errorf("with SSH: %+v, at most %d", with.Filter(), with.Decisions.MaxBans)
	}
	without := parsed(t, sampleWithoutSSH())
	if without.Stormshield.UsesSSH() || !without.Filter().AddressesOnly || without.Decisions.MaxBans != 2000 {
		t.Errorf("without SSH: %+v, at most %d", without.Filter(), without.Decisions.MaxBans)
	}
	limited := parsed(t, strings.Replace(sampleWithoutSSH(), "# max_bans: 100000", "max_bans: 100000", 1))
	if limited.Decisions.MaxBans != 100_000 {
		t.Errorf("without SSH, and max_bans: 100000: at most %d", limited.Decisions.MaxBans)
	}
	// Keys of SSH without a credential do no harm.
	parsed(t, sampleWithoutSSH()+"  ssh_host_key: "+hostKey+"\n  ssh_username: bob\n  reload_command: enobject\n")
}

// CrowdSec 1.4.6 removes a variable that is not set.
func TestACredentialForSSHWithoutAValueDoesNotSwitchSSHOff(t *testing.T) {
	for _, key := range []string{"ssh_password", "ssh_password_path", "ssh_private_key_path"} {
		for _, empty := range []string{"", " ''", " ~"} {
			_, err := config.ParseOne([]byte(sampleWithoutSSH() + "  " + key + ":" + empty + "\n"))
			if err == nil || !strings.Contains(err.Error(), key+": is empty") || !strings.Contains(err.Error(), "ssh_host_key: is empty") {
				t.Errorf("%s:%s gives %v", key, empty, err)
			}
		}
	}
}

func TestAFilterRuleNeedsSSH(t *testing.T) {
	for _, enforce := range []string{"rule", "both"} {
		text := strings.Replace(sampleWithoutSSH(), "# enforce: blacklist", "enforce: "+enforce, 1)
		_, err := config.ParseOne([]byte(text))
		if faults := faultsOf(t, err); len(faults) != 1 || !strings.Contains(err.Error(), "enforce: is "+enforce+", and there is no credential for SSH") ||
			!strings.Contains(faults[0].Hint, "give ssh_password") {
			t.Errorf("%s: %v", enforce, err)
		}
	}
	parsed(t, strings.Replace(sampleWithoutSSH(), "# action: block", "action: reset", 1)) // the keys of the rule alone do no harm
}

func TestEnforceSaysWhatBlocks(t *testing.T) {
	for _, c := range []struct {
		lines                      string
		blacklist, rule, observing bool
	}{
		{"", true, false, false},
		{"  rule: {action: log}", true, false, false},
		{"  enforce: both", true, true, false},
		{"  enforce: rule", false, true, false},
		{"  enforce: rule\n  rule: {action: log}", false, true, true},
	} {
		s := parsed(t, with(c.lines)).Stormshield
		if s.UsesBlacklist() != c.blacklist || s.UsesRule() != c.rule || s.IsObserving() != c.observing {
			t.Errorf("%q: blacklist %t, rule %t, observing %t", c.lines, s.UsesBlacklist(), s.UsesRule(), s.IsObserving())
		}
	}
}

func TestParseRemovesTheSlashAtTheEndOfAFolder(t *testing.T) {
	if got := parsed(t, with("  config_dir: /data/Main/")).Stormshield.ConfigDir; got != "/data/Main" {
		t.Errorf("config_dir = %s", got)
	}
}

func TestParseAcceptsEachWayToIdentifyTheAppliance(t *testing.T) {
	for _, line := range []string{"  ssh_known_hosts_path: /h", "  ssh_insecure_ignore_host_key: true"} {
		parsed(t, with("  ssh_host_key: ''", line))
	}
	for _, line := range []string{"  api_ca_path: /ca.pem", "  api_insecure_skip_verify: true"} {
		parsed(t, with("  api_cert_fingerprint: ''", line))
	}
}

func TestParseRefusesTextsThatAreNoDocument(t *testing.T) {
	for name, text := range map[string]string{
		"nothing": "", "a comment": "# x", "text": "hunter2", "a list": "[hunter2]", "broken": "a: [", "a tab": "a:\n\tb: hunter2",
		"binary": "\x00\x01", "bad UTF-8": "a: \xff\xfe", "unknown alias": "api_password: *hunter2", "too long": strings.Repeat("#", 1<<20) + "\n" + minimal,
		"deep": strings.Repeat("[", 100_000), "endless alias": "stormshield: &a\n  host: *a\n",
		"endless section":       "stormshield: &a\n  rule: *a\n",
		"aliases that multiply": "a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\ndecisions: {types: *c}\n",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := config.Parse([]byte(text))
			faultsOf(t, err)
			if strings.Contains(err.Error(), someSecret) || len(err.Error()) > 4000 {
				t.Errorf("error = %.5000s", err)
			}
		})
	}
}

func TestFilterProtectsTheAppliance(t *testing.T) {
	for host, want := range map[string]string{
		"192.0.2.1": "192.0.2.1/32", "2001:db8::1": "2001:db8::1/128", "'::ffff:192.0.2.1'": "192.0.2.1/32", "fe80::1%eth0": "fe80::1/128", "fw.example.org": "",
	} {
		filter := parsed(t, with("decisions: {never_block: [198.51.100.0/24], types: [a], origins: [b], min_prefix_ipv4: 9}", "  host: "+host)).Filter()
		protected := []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}
		if want != "" {
			protected = append(protected, netip.MustParsePrefix(want))
		}
		if !slices.Equal(filter.NeverBlock, protected) {
			t.Errorf("%s: never block %v, want %v", host, filter.NeverBlock, protected)
		}
		if filter.Types[0] != "a" || filter.Origins[0] != "b" || filter.MinPrefixIPv4 != 9 || filter.MinPrefixIPv6 != 32 {
			t.Errorf("filter = %+v", filter)
		}
	}
}

func TestFilterHasTheScenariosOfTheConfiguration(t *testing.T) {
	filter := parsed(t, with("decisions: {include_scenarios_containing: [a], exclude_scenarios_containing: [b]}")).Filter()
	if !slices.Equal(filter.IncludeScenarios, []string{"a"}) || !slices.Equal(filter.ExcludeScenarios, []string{"b"}) {
		t.Errorf("filter = %+v", filter)
	}
}

// identified is the sample with fingerprints.
func identified() string {
	text := strings.Replace(config.Sample(), `# ssh_host_key: ""`, "ssh_host_key: "+hostKey, 1)
	return strings.Replace(text, `# api_cert_fingerprint: ""`, "api_cert_fingerprint: "+hostKey, 1)
}

func TestTheSampleNeedsOnlyTheIdentityOfTheAppliance(t *testing.T) {
	_, err := config.ParseOne([]byte(config.Sample()))
	for _, fault := range faultsOf(t, err) {
		if !strings.Contains(fault.Hint, "crowdsec-stormshield trust") {
			t.Errorf("fault = %v", fault)
		}
	}
	if _, err := config.LoadUnidentified(file(t, config.Sample())); err != nil {
		t.Errorf("LoadUnidentified: %v", err)
	}
	docs, err := config.Load(file(t, identified()))
	if err != nil || docs[0].Name != config.SampleName {
		t.Errorf("Load with fingerprints: %v, %+v", err, docs)
	}
}

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "stormshield.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLoadReplacesVariablesAsCrowdSecDoes(t *testing.T) {
	t.Setenv("SNS_TEST_PASSWORD", "0443")
	t.Setenv("SNS_TEST_PORT", "8443")
	t.Setenv("SNS_TEST_EMPTY", "")
	docs, err := config.Load(file(t, with(
		"  api_password: '${SNS_TEST_PASSWORD}'", "  ssh_password: a$SNS_TEST_UNSET-${SNS_TEST_UNSET}$SNS_TEST_EMPTY$$ $",
		"  api_port: $SNS_TEST_PORT")))
	if err != nil {
		t.Fatal(err)
	}
	s := docs[0].Stormshield
	if s.APIPassword.Reveal() != "0443" || s.SSHPassword.Reveal() != "a$SNS_TEST_UNSET-${SNS_TEST_UNSET}$$ $" || s.APIPort != 8443 {
		t.Errorf("passwords %q and %q, port %d", s.APIPassword.Reveal(), s.SSHPassword.Reveal(), s.APIPort)
	}
}

func TestLoadRefusesAVariableThatCrowdSecWouldChange(t *testing.T) {
	t.Setenv("HOME", "/root")
	for content, arrives := range map[string]bool{
		"x: y # z": false, "yes": false, "1e3": false, "{abc": false, "*abc": false, "!abc": false, "#abc": false, "~": false, "a$HOME": false, "abc ": false,
		"it's": true, "0443": true, "abc-1": true, "a#b": true, "a\nb": false, "null": false, "'quoted'": false, "[a]": false, "é": true, "": false,
	} {
		t.Setenv("SNS_TEST_PASSWORD", content)
		docs, err := config.Load(file(t, with("  api_password: '${SNS_TEST_PASSWORD}'")))
		if arrives {
			if err != nil || docs[0].Stormshield.APIPassword.Reveal() != content {
				t.Errorf("%q: %v", content, err)
			}
			continue
		}
		faults := faultsOf(t, err)
		if len(faults) != 1 || faults[0].Key != "stormshield.api_password" || faults[0].Line == 0 || content != "" && strings.Contains(faults[0].Problem, content) {
			t.Errorf("%q: %v", content, err)
		}
	}
	// Within quotes that CrowdSec keeps, another content arrives.
	t.Setenv("SNS_TEST_PASSWORD", "x: y # z")
	if docs, err := config.Load(file(t, with("  api_password: '- ${SNS_TEST_PASSWORD}'"))); err != nil || docs[0].Stormshield.APIPassword.Reveal() != "- x: y # z" {
		t.Errorf("within quotes: %v", err)
	}
	t.Setenv("SNS_TEST_PASSWORD", "it's")
	if _, err := config.Load(file(t, with("  api_password: '- ${SNS_TEST_PASSWORD}'"))); err == nil {
		t.Error("a quote within quotes arrives")
	}
}

func TestLoadRefusesAVariableInAKeyThatCrowdSecReadsItself(t *testing.T) {
	t.Setenv("SNS_TEST_NAME", "edge")
	t.Setenv("SNS_TEST_TIME", "10s")
	for _, line := range []string{"name: '${SNS_TEST_NAME}'", "name: a$SNS_TEST_UNSET", "timeout: $SNS_TEST_TIME", "max_retry: $SNS_TEST_UNSET"} {
		_, err := config.Load(file(t, with(line)))
		if faults := faultsOf(t, err); len(faults) != 1 || !strings.Contains(faults[0].String(), "write the value itself") {
			t.Errorf("%s: %v", line, err)
		}
	}
}

func TestLoadReportsValuesWithADollarSign(t *testing.T) {
	t.Setenv("SNS_TEST_PASSWORD", "abc")
	docs, err := config.Load(file(t, with("  api_password: '${SNS_TEST_PASSWORD}'", "  ssh_password: 'a$SNS_TEST_PASSWORD!b'", "  ssh_username: a$SNS_TEST_UNSET")))
	if err != nil {
		t.Fatal(err)
	}
	want := []config.Reference{
		{Key: "stormshield.api_password", Whole: true, Changed: true}, {Key: "stormshield.ssh_password", Changed: true}, {Key: "stormshield.ssh_username"},
	}
	if !slices.Equal(docs[0].References, want) {
		t.Errorf("references %+v, want %+v", docs[0].References, want)
	}
}

func TestLoadRefusesValuesThatCrowdSecWouldChange(t *testing.T) {
	for _, written := range []string{"0443", "1e3", "0x1F", "1_000", "yes", "Off", "y", "1.50", "+5", "0o17", "99999999999999999999", ".inf", "1000000.5", "089", "1."} {
		_, err := config.Load(file(t, with("  api_password: "+written)))
		faults := faultsOf(t, err)
		if len(faults) != 1 || faults[0].Key != "stormshield.api_password" || !strings.Contains(faults[0].Hint, "quotes") || strings.Contains(err.Error(), written+" ") {
			t.Errorf("%s: %v", written, err)
		}
		if _, err := config.Load(file(t, with("  api_password: '"+written+"'"))); err != nil {
			t.Errorf("'%s': %v", written, err)
		}
	}
	for _, kept := range []string{"12345", "0", "-7", "1.5", "0.25", "2026-11-20", "12:30:45", "a0443", "0443a"} {
		docs, err := config.Load(file(t, with("  api_password: "+kept)))
		if err != nil || docs[0].Stormshield.APIPassword.Reveal() != kept {
			t.Errorf("%s: %v", kept, err)
		}
	}
}

func TestLoadIgnoresDocumentsOfOtherPlugins(t *testing.T) {
	docs, err := config.Load(file(t, "type: slack\nwebhook: x\n---\n"+minimal))
	if err != nil || len(docs) != 1 || docs[0].Name != "edge" {
		t.Errorf("documents %+v, want only edge: %v", docs, err)
	}
	path := file(t, "type: slack\nname: x\n")
	if _, err := config.Load(path); err == nil || !strings.Contains(err.Error(), path+": holds no document of type stormshield") {
		t.Errorf("error = %v", err)
	}
}

func TestLoadNamesTheFile(t *testing.T) {
	path := file(t, with("  ssh_port: 0"))
	if _, err := config.Load(path); err == nil || !strings.HasPrefix(err.Error(), path+": line 10: edge: stormshield.ssh_port: ") {
		t.Errorf("error = %v", err)
	}
	if _, err := config.Load(path + ".gone"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error = %v, want that the file is missing", err)
	}
}

func TestLoadUnidentifiedAcceptsAnApplianceWithoutIdentity(t *testing.T) {
	unknown := with("  ssh_host_key: ''", "  api_cert_fingerprint: ''")
	if _, err := config.Load(file(t, unknown)); err == nil {
		t.Error("Load took an appliance without identity")
	}
	if docs, err := config.LoadUnidentified(file(t, unknown)); err != nil || len(docs) != 1 {
		t.Errorf("LoadUnidentified: %v", err)
	}
	if _, err := config.LoadUnidentified(file(t, with("  ssh_host_key: ''", "  ssh_port: 0"))); err == nil || len(faultsOf(t, err)) != 1 {
		t.Errorf("LoadUnidentified: %v, want one fault", err)
	}
}

func TestTheLocalAPIIsFollowedWithAKeyAndAURL(t *testing.T) {
	if parsed(t, minimal).LAPI.Followed() {
		t.Error("a document without the section lapi follows a Local API")
	}
	doc := parsed(t, with("lapi:\n  url: http://127.0.0.1:8080\n  key: 'abc'"))
	if !doc.LAPI.Followed() || doc.LAPI.ResyncEvery != 24*time.Hour || doc.LAPI.UpdateFrequency != 0 {
		t.Errorf("the document does not follow the Local API with the defaults: %+v", doc.LAPI)
	}
	socket := parsed(t, with("lapi:\n  url: unix:///run/crowdsec.sock\n  key: 'abc'"))
	if !socket.LAPI.Followed() || socket.LAPI.Host() != "" {
		t.Errorf("the document does not follow the socket: %+v", socket.LAPI)
	}
	reporting := parsed(t, with("lapi:\n  url: http://127.0.0.1:8080\n  follow: no\n  key: 'abc'"))
	if reporting.LAPI.Followed() || !reporting.LAPI.IsUsed() {
		t.Errorf("with follow: no, the document follows the Local API, or does not use it: %+v", reporting.LAPI)
	}
	for text, says := range map[string]string{
		"url: 127.0.0.1:8080":                      "is not the address of a Local API, or",
		"url: 'http://u:p@127.0.0.1/'":             "is not the address of a Local API, or",
		"url: http://127.0.0.1":                    "cscli bouncers add",
		"url: unix://run/x\n  key: a":              "unix:///PATH",
		"url: http://x\n  key: a\n  proxy: x:3128": "is not the address of a proxy",
		"url: http://x\n  key: a\n  timeout: 10ms": "between 1s and 1h",
		"key: abc":                                        "is empty, and there is a key",
		"url: http://x\n  cert_path: /c":                  "belong together",
		"url: http://x\n  key: 0443":                      "quotes",
		"url: http://x\n  key: a\n  scopes: ['']":         "is empty or not on one line",
		"url: http://x\n  key: a\n  resync_every: 1s":     "shorter than 1m",
		"url: http://x\n  key: a\n  update_frequency: 2h": "between 1s and 1h",
	} {
		_, err := config.Load(file(t, with("lapi:\n  "+text)))
		if err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "u:p") {
			t.Errorf("%s: %v", text, err)
		}
	}
	twice := with("lapi:\n  url: http://127.0.0.1:8080\n  key: 'abc'")
	if _, err := config.Parse([]byte(twice + "---\n" + strings.Replace(twice, "name: edge", "name: other", 1))); err == nil ||
		!strings.Contains(err.Error(), "the Local API takes both for one client") || strings.Contains(err.Error(), "abc") {
		t.Errorf("two that share a key: %v", err)
	}
}
