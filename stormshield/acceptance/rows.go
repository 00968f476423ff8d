package acceptance

import (
	"context"
	"slices"
)

// row is one assumption, and the function that tries it. A new assumption is a new row.
type row struct {
	subject string
	assumed string              // what the plugin expects
	needs   func(*checker) bool // false: the row is not tried; nil: it needs nothing
	try     func(*checker, context.Context) Finding
}

// Subjects that other rows need.
const (
	apiLogin       = "API login"
	blacklistRight = "right to the blacklist"
	loginShell     = "login shell"
	configFolder   = "configuration folder"
	objectFile     = "file object"
	groupFile      = "file objectgroup"
	editing        = "editing on the appliance"
	groupBlock     = "blocking a group"
	ipv6Object     = "IPv6 object"
	emptyGroup     = "empty group"
)

// FilterRule is the subject of the finding about the filter rule in force.
const FilterRule = "filter rule"

// noSSHRow is about a configuration without credentials for SSH.
var noSSHRow = row{"SSH", "without credentials for SSH the plugin works over the API alone", nil, (*checker).noSSH}

// pairRow is about an appliance of a pair for high availability.
var pairRow = row{"high availability", "the host in the configuration leads to the active one of the pair", nil, (*checker).pair}

// writeRows block and write. The order matters: some use what the rows before them wrote.
func (c *checker) writeRows() []row {
	if c.config.WithoutSSH {
		return addressRows
	}
	rows := slices.Concat(addressRows, fileRows)
	if c.config.Rule.Enforces {
		rows = append(rows, ruleWriteRows...)
	}
	return rows
}

// apiRows need no SSH.
var apiRows = []row{
	{apiLogin, "the account logs in to the HTTPS API with its password or its client certificate", nil, (*checker).logInToAPI},
	{"firmware", "SYSTEM PROPERTY returns model and version", works(apiLogin), (*checker).firmware},
	{blacklistRight, "MODIFY MONITOR gives the right to the blacklist", works(apiLogin), (*checker).monitorRight},
}

// ruleRows are about the filter rule, where it enforces.
var ruleRows = []row{
	{FilterRule, "the filter rule in force is as configured", works(apiLogin), (*checker).FilterRule},
	{"edits of the policy", "useclone tells the activated policy from the copy that administrators edit", readsPolicy, (*checker).policyVersions},
}

// activationRow needs SSH.
var activationRow = row{"activation commands", "the appliance has the programs of rule.activate", overSSH(loginShell), (*checker).activationCommands}

// sshRows need SSH.
var sshRows = []row{
	{"SSH login", "the account logs in over SSH, with password, keyboard-interactive or key", nil, (*checker).logInOverSSH},
	{"SSH server", "the server offers algorithms of today", overSSH(), (*checker).server},
	{loginShell, "the login shell runs /bin/sh -c '...'", overSSH(), (*checker).loginShell},
	{"tools", "cat, cp, grep, mv, rm; awk, cksum, tail to edit the files on the appliance", overSSH(loginShell), (*checker).tools},
	{configFolder, "the account enters config_dir and may write in it", overSSH(loginShell), (*checker).folder},
	{objectFile, "it is in config_dir and has a section [Host]", overSSH(configFolder), (*checker).objectFile},
	{groupFile, "it is in config_dir", overSSH(configFolder), (*checker).groupFile},
}

// addressRows block single addresses.
var addressRows = []row{
	{"blocking an address", "MONITOR ADDRESSLIST ADD takes an address, with the monitor right alone",
		works(apiLogin, blacklistRight), (*checker).blockAddress},
	{"what SHOW prints", "SHOW prints one line per entry, with src=ADDRESS or range1=FIRST:LAST, and timeout=SECONDS", hasBlocked, (*checker).readShow},
	{"renewing an entry", "ADD of a blocked address renews its remaining time", isListed, (*checker).renew},
	{"unblocking an address", "DELETE unblocks an address; it does no harm if the address is not blocked", isListed, (*checker).unblockAddress},
	{"IPv6 address", "ADD takes an IPv6 address", hasBlocked, (*checker).ipv6Address},
}

// fileRows write the files, and block what the files name.
var fileRows = []row{
	{editing, "the appliance's sh and awk make the same bytes as this program",
		func(c *checker) bool { return hasBlocked(c) && overSSH(objectFile, groupFile)(c) }, (*checker).edit},
	{"mode and owner", "a file that is replaced keeps its mode and owner", works(editing), (*checker).modeAndOwner},
	{"a new session sees a write", "a session opened after a write sees it, without a reload", works(editing), (*checker).newSession},
	{groupBlock, "ADD of a group blocks its members", seesWrites, (*checker).blockGroup},
	{"unblocking a group", "DELETE of a group unblocks its members", works(groupBlock), (*checker).unblockGroup},
	{"blocking a range", "an object of [Network] is blocked by its name, and as a member of a group", works(groupBlock), (*checker).blockRange},
	{ipv6Object, "an object of [Host] may have an IPv6 address, and is blocked by its name", seesWrites, (*checker).ipv6Object},
	{emptyGroup, "a group may be a header alone", seesWrites, (*checker).emptyGroup},
}

// ruleWriteRows edit the copy of an inactive policy, and activate the filter rule. Their test rule names the group of the check.
var ruleWriteRows = []row{
	{"inserting a rule", "with the configuration right, RULE INSERT inserts a rule that is off into the copy of an inactive policy",
		func(c *checker) bool { return seesWrites(c) && works(emptyGroup)(c) }, (*checker).insertRule},
	{"what the list prints", "the list prints a rule with its state, action, source, destination and comment", hasTestRule, (*checker).readRule},
	{"updating a rule", "RULE UPDATE changes a rule in its place", hasTestRule, (*checker).updateRule},
	{"checking a policy", "FILTER CHECK accepts the copy of the policy", hasTestRule, (*checker).checkPolicy},
	{"removing a rule", "RULE REMOVE removes the rule, and the copy is as before", hasTestRule, (*checker).removeRule},
	{"activating a rule", "the running rule sees a new member of the group after the last command of rule.activate, and not before",
		func(c *checker) bool { return overSSH(editing, activationRow.subject)(c) && c.inForce }, (*checker).activateRule},
}

// lastRow removes what the others blocked and wrote.
var lastRow = row{"nothing is left behind", "everything that was tried is removed, and the files are as they were",
	works(apiLogin, blacklistRight), (*checker).remove}

// works returns a function that reports whether the plugin works with what other rows found.
func works(subjects ...string) func(*checker) bool {
	return func(c *checker) bool {
		return !slices.ContainsFunc(subjects, func(subject string) bool { return c.finding(subject).Verdict > Differs })
	}
}

// overSSH is works for rows that need the SSH connection.
func overSSH(subjects ...string) func(*checker) bool {
	return func(c *checker) bool { return c.shell != nil && works(subjects...)(c) }
}

func hasBlocked(c *checker) bool { return c.accepted }
func isListed(c *checker) bool   { return c.listed }
func seesWrites(c *checker) bool { return c.seesWrites }

func readsPolicy(c *checker) bool { return c.ruleChange != nil }
func hasTestRule(c *checker) bool { return c.testLine.Text != "" }

func (c *checker) run(ctx context.Context, rows ...row) {
	for _, r := range rows {
		found := notTried("something that it needs does not work")
		if r.needs == nil || r.needs(c) {
			found = r.try(c, ctx)
		}
		found.Subject, found.Assumed = r.subject, r.assumed
		c.findings = append(c.findings, found)
	}
}

// finding returns the finding about a subject.
func (c *checker) finding(subject string) Finding {
	i := slices.IndexFunc(c.findings, func(f Finding) bool { return f.Subject == subject })
	if i < 0 {
		return notTried("")
	}
	return c.findings[i]
}
