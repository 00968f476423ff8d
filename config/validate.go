package config

import (
	"slices"
	"strings"
	"time"

	"notification-stormshield/plugin/ban"
)

// Validate tells everything that is wrong with the document's values, as an
// [*Error] without lines. It opens no file and no connection.
func (d Document) Validate() error { return errorOf(d.faults()) }

func (d Document) faults() []Fault {
	var c checks
	d.checkCrowdSec(&c)
	d.checkRhythm(&c)
	d.Decisions.check(&c)
	d.LAPI.check(&c)
	d.Stormshield.checkSSH(&c)
	d.Stormshield.checkAPI(&c)
	d.Stormshield.checkIdentity(&c)
	d.Stormshield.checkGroups(&c)
	d.Stormshield.checkTimes(&c)
	return c.faults
}

// checkCrowdSec checks what CrowdSec itself goes by.
func (d Document) checkCrowdSec(c *checks) {
	c.that(d.Type == Type, "type", "is "+shown(d.Type), "write "+Type)
	c.that(validName(d.Name), "name", shown(d.Name)+" cannot name a state file",
		"write at most 100 letters, digits, dots, dashes and underscores, and no dot at the beginning")
	levels := []string{"trace", "debug", "info", "warn", "warning", "error"}
	c.that(slices.Contains(levels, d.LogLevel), "log_level", shown(d.LogLevel)+" is not a level",
		"write one of "+strings.Join(levels, ", "))
	if c.that(d.Format != "", "format", "is missing, and CrowdSec would send empty notifications", "write {{.|toJson}}") {
		c.that(strings.Contains(strings.ToLower(d.Format), "json"), "format", "makes no JSON of the alerts", "write {{.|toJson}}")
	}
	c.that(d.GroupWait >= 0, "group_wait", "is negative", "write for example 1s")
	c.that(d.GroupThreshold >= 0, "group_threshold", "is negative", "write for example 100")
	c.that(d.MaxRetry >= 0, "max_retry", "is negative", "write for example 1")
	c.that(d.Timeout == 0 || d.Timeout >= time.Second, "timeout",
		"is shorter than 1s (CrowdSec takes a number without a unit for nanoseconds)", "write for example 10s")
}

// checkRhythm checks when flushes run and where state is kept.
func (d Document) checkRhythm(c *checks) {
	c.that(d.UpdateFrequency >= time.Second, "update_frequency", "is shorter than 1s", "write 30s")
	c.that(d.UpdateFrequency <= time.Hour, "update_frequency", "is longer than an hour", "write 30s")
	c.that(d.Debounce >= 0, "debounce", "is negative", "write 1s")
	c.that(d.Debounce <= d.UpdateFrequency, "debounce", "is longer than update_frequency", "write 1s", "update_frequency")
	c.absolute("state_dir", d.StateDir, true)
}

func (d Decisions) check(c *checks) {
	c.that(len(d.Types) > 0, "decisions.types", "is empty, so that nothing would be blocked", "write [ban]")
	c.entries("decisions.types", d.Types)
	c.entries("decisions.origins", d.Origins)
	c.entries("decisions.include_scenarios_containing", d.IncludeScenarios)
	c.entries("decisions.exclude_scenarios_containing", d.ExcludeScenarios)
	for _, entry := range d.NeverBlock {
		if _, err := ban.ParseNeverBlock([]string{entry}); err != nil {
			c.that(false, "decisions.never_block", err.Error(), "write for example 192.0.2.1 or 198.51.100.0/24")
		}
	}
	c.between("decisions.min_prefix_ipv4", d.MinPrefixIPv4, 1, 32)
	c.between("decisions.min_prefix_ipv6", d.MinPrefixIPv6, 1, 128)
	c.that(d.MaxBans >= 1, "decisions.max_bans", "is less than 1", "write 100000")
}

func (s Stormshield) checkSSH(c *checks) {
	if c.that(s.Host != "", "stormshield.host", "is missing", "write the appliance's address or name") {
		c.that(validHost(s.Host), "stormshield.host", shown(s.Host)+" is neither an address nor a host name",
			"write it without scheme, port or path; ports have keys of their own")
	}
	c.between("stormshield.ssh_port", s.SSHPort, 1, 65535)
	c.username("stormshield.ssh_username", s.SSHUsername)
	c.that(s.SSHPassword != "" || s.SSHPasswordPath != "" || s.SSHPrivateKeyPath != "", "stormshield.ssh_password",
		"is empty, and so are ssh_password_path and ssh_private_key_path", "set one of them",
		"stormshield.ssh_password_path", "stormshield.ssh_private_key_path")
	c.secret("stormshield.ssh_password", s.SSHPassword, "stormshield.ssh_password_path", s.SSHPasswordPath)
	c.secret("stormshield.ssh_private_key_passphrase", s.SSHPrivateKeyPassphrase,
		"stormshield.ssh_private_key_passphrase_path", s.SSHPrivateKeyPassphrasePath)
	c.absolute("stormshield.ssh_private_key_path", s.SSHPrivateKeyPath, false)
	c.absolute("stormshield.ssh_known_hosts_path", s.SSHKnownHostsPath, false)
	c.that(validConfigDir(s.ConfigDir), "stormshield.config_dir", shown(s.ConfigDir)+" is not a plain absolute path",
		"write letters, digits, dots, dashes, underscores and slashes, a slash first")
	c.that(isOneLine(s.ReloadCommand) && !strings.ContainsAny(s.ReloadCommand, "!'") && len(s.ReloadCommand) <= 1000,
		"stormshield.reload_command", "is not one short line without ! and '", "write a command of the appliance, such as enobject")
}

func (s Stormshield) checkAPI(c *checks) {
	c.between("stormshield.api_port", s.APIPort, 1, 65535)
	c.username("stormshield.api_username", s.APIUsername)
	c.that(s.APIPassword != "" || s.APIPasswordPath != "", "stormshield.api_password", "is empty, and so is api_password_path",
		"write the password of api_username, or the path of a file that holds it", "stormshield.api_password_path")
	c.secret("stormshield.api_password", s.APIPassword, "stormshield.api_password_path", s.APIPasswordPath)
	c.absolute("stormshield.api_ca_path", s.APICAPath, false)
	c.that(len(s.APIServerName) <= 253 && !strings.ContainsFunc(s.APIServerName, func(r rune) bool { return r <= ' ' || r > '~' }),
		"stormshield.api_server_name", shown(s.APIServerName)+" is not the name in a certificate",
		"write the certificate's name, for a factory certificate the serial number")
	c.between("stormshield.api_single_max", s.APISingleMax, 0, 1000)
}

// checkIdentity demands that the appliance is known before a password is sent.
func (s Stormshield) checkIdentity(c *checks) {
	const trust = "paste what `crowdsec-stormshield trust` prints"
	c.identity(s.SSHHostKey != "" || s.SSHKnownHostsPath != "" || s.SSHInsecureIgnoreHostKey, "stormshield.ssh_host_key",
		"is empty, and so is ssh_known_hosts_path: nothing tells the appliance from an impostor", trust,
		"stormshield.ssh_known_hosts_path", "stormshield.ssh_insecure_ignore_host_key")
	c.that(s.SSHHostKey == "" || validHostKey(s.SSHHostKey), "stormshield.ssh_host_key",
		shown(s.SSHHostKey)+" is not SHA256: and 43 characters of base64", trust)
	c.identity(s.APICAPath != "" || !s.APICertFingerprint.IsZero() || s.APIInsecureSkipVerify, "stormshield.api_cert_fingerprint",
		"is empty, and so is api_ca_path: nothing tells the appliance from an impostor", trust,
		"stormshield.api_ca_path", "stormshield.api_insecure_skip_verify")
}

func (s Stormshield) checkGroups(c *checks) {
	c.group("stormshield.group", s.Group)
	c.group("stormshield.delete_group", s.DeleteGroup)
	c.that(!strings.EqualFold(s.Group, s.DeleteGroup), "stormshield.delete_group", "is the same as group",
		"write another name", "stormshield.group")
}

func (s Stormshield) checkTimes(c *checks) {
	const year = 365 * 24 * time.Hour
	c.that(s.BlacklistTimeout >= time.Minute && s.BlacklistTimeout <= year, "stormshield.blacklist_timeout",
		"is not between 1m and 365d", "write 24h")
	c.that(s.ReassertEvery == 0 || s.ReassertEvery >= 10*time.Second, "stormshield.reassert_every",
		"is shorter than 10s", "write 10m, or 0 for half of blacklist_timeout")
	c.that(s.ReassertEvery <= s.BlacklistTimeout/2, "stormshield.reassert_every",
		"is longer than half of blacklist_timeout, so that entries could end before they are renewed", "write 10m",
		"stormshield.blacklist_timeout")
}
