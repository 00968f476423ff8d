package config

// key is one key of a mapping: a value with its setter, or a section.
type key struct {
	name    string
	set     setter
	section []key
}

// keys are all keys of a document, in the order of the sample.
func (d *Document) keys() []key {
	return []key{
		{name: "type", set: text(&d.Type)},
		{name: "name", set: text(&d.Name)},
		{name: "log_level", set: word(&d.LogLevel)},
		{name: "format", set: text(&d.Format)},
		{name: "group_wait", set: crowdsecDuration(&d.GroupWait)},
		{name: "group_threshold", set: number(&d.GroupThreshold)},
		{name: "max_retry", set: number(&d.MaxRetry)},
		{name: "timeout", set: crowdsecDuration(&d.Timeout)},
		{name: "update_frequency", set: duration(&d.UpdateFrequency)},
		{name: "debounce", set: duration(&d.Debounce)},
		{name: "state_dir", set: text(&d.StateDir)},
		{name: "dry_run", set: boolean(&d.DryRun)},
		{name: "decisions", section: d.Decisions.keys()},
		{name: "lapi", section: d.LAPI.keys()},
		{name: "stormshield", section: d.Stormshield.keys()},
	}
}

func (d *Decisions) keys() []key {
	return []key{
		{name: "types", set: list(&d.Types)},
		{name: "origins", set: list(&d.Origins)},
		{name: "include_scenarios_containing", set: list(&d.IncludeScenarios)},
		{name: "exclude_scenarios_containing", set: list(&d.ExcludeScenarios)},
		{name: "never_block", set: list(&d.NeverBlock)},
		{name: "min_prefix_ipv4", set: number(&d.MinPrefixIPv4)},
		{name: "min_prefix_ipv6", set: number(&d.MinPrefixIPv6)},
		{name: "max_bans", set: number(&d.MaxBans)},
	}
}

func (s *Stormshield) keys() []key {
	return []key{
		{name: "host", set: host(&s.Host)},
		{name: "ssh_port", set: number(&s.SSHPort)},
		{name: "ssh_username", set: text(&s.SSHUsername)},
		{name: "ssh_password", set: text(&s.SSHPassword)},
		{name: "ssh_password_path", set: text(&s.SSHPasswordPath)},
		{name: "ssh_private_key_path", set: text(&s.SSHPrivateKeyPath)},
		{name: "ssh_private_key_passphrase", set: text(&s.SSHPrivateKeyPassphrase)},
		{name: "ssh_private_key_passphrase_path", set: text(&s.SSHPrivateKeyPassphrasePath)},
		{name: "ssh_host_key", set: text(&s.SSHHostKey)},
		{name: "ssh_known_hosts_path", set: text(&s.SSHKnownHostsPath)},
		{name: "ssh_insecure_ignore_host_key", set: boolean(&s.SSHInsecureIgnoreHostKey)},
		{name: "ssh_legacy_algorithms", set: boolean(&s.SSHLegacyAlgorithms)},
		{name: "config_dir", set: folder(&s.ConfigDir)},
		{name: "api_port", set: number(&s.APIPort)},
		{name: "api_username", set: text(&s.APIUsername)},
		{name: "api_password", set: text(&s.APIPassword)},
		{name: "api_password_path", set: text(&s.APIPasswordPath)},
		{name: "api_ca_path", set: text(&s.APICAPath)},
		{name: "api_server_name", set: text(&s.APIServerName)},
		{name: "api_cert_fingerprint", set: fingerprint(&s.APICertFingerprint)},
		{name: "api_insecure_skip_verify", set: boolean(&s.APIInsecureSkipVerify)},
		{name: "group", set: text(&s.Group)},
		{name: "delete_group", set: text(&s.DeleteGroup)},
		{name: "blacklist_timeout", set: duration(&s.BlacklistTimeout)},
		{name: "reassert_every", set: duration(&s.ReassertEvery)},
		{name: "reload_command", set: text(&s.ReloadCommand)},
		{name: "api_single_max", set: number(&s.APISingleMax)},
	}
}
