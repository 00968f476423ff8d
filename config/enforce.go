package config

import "time"

// Rule is the filter rule on the appliance. `crowdsec-stormshield rule install` installs it.
type Rule struct {
	// Action is block, reset or log. With log the rule only logs.
	Action string `key:"action" default:"block" required:"write block" rule:"action"`
	// Log is none, minor or major.
	Log string `key:"log" default:"none" required:"write none" rule:"log"`
	// Direction is in (bans are sources), out (bans are destinations) or both.
	Direction string `key:"direction" default:"in" required:"write in" rule:"direction"`
	// Slot is the policy that holds the rule; 0 is the active one.
	Slot int `key:"slot" range:"0..10"`
	// Position is the place of a new rule in the policy, counted from 1.
	Position int    `key:"position" default:"1" range:"1.."`
	Name     string `key:"name" default:"crowdsec" required:"write crowdsec" rule:"rule_name"`
	// Activate has commands that run over SSH after a change of the files, so that the running rule sees the members of the
	// group.
	Activate []string `key:"activate" default:"[enobject, enfilter -u]" rule:"command"`
	// ActivateEvery is the least time between the starts of two activations.
	ActivateEvery time.Duration `key:"activate_every" default:"1m" range:"0, 1s..1h" hint:"write 1m, or 0 to activate after each change"`
}

// UsesBlacklist reports whether bans go to the blacklist.
func (s Stormshield) UsesBlacklist() bool { return s.Enforce != "rule" }

// UsesRule reports whether a filter rule enforces bans, or only logs their packets.
func (s Stormshield) UsesRule() bool { return s.Enforce == "rule" || s.Enforce == "both" }

// IsObserving reports whether the filter rule only logs, and nothing is blocked.
func (s Stormshield) IsObserving() bool { return !s.UsesBlacklist() && s.Rule.Action == "log" }

func (s Stormshield) checkEnforce(c *checks) {
	c.require(!s.UsesRule() || s.UsesSSH(), "stormshield.enforce",
		"is "+s.Enforce+", and there is no credential for SSH: the filter rule names a group, and the plugin writes groups over SSH",
		"give ssh_password, ssh_password_path or ssh_private_key_path")
	c.require(s.Enforce != "both" || s.Rule.Action != "log", "stormshield.enforce",
		"is both, and the action of the rule is log: the blacklist would still block", "write rule to observe, or another action", "stormshield.rule.action")
	c.require(s.UsesBlacklist() || !s.CutConnections, "stormshield.cut_connections",
		"follows an entry of the blacklist, and enforce is rule", "write enforce: both, or remove cut_connections", "stormshield.enforce")
}
