package config

import (
	"encoding/base64"
	"fmt"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// checks collects what is wrong.
type checks struct{ faults []Fault }

// that records a fault of a key unless the condition holds, which it returns.
// The keys it involves are those whose own faults make this one needless.
func (c *checks) that(holds bool, key, problem, hint string, involves ...string) bool {
	needless := slices.ContainsFunc(c.faults, func(f Fault) bool { return slices.Contains(involves, f.Key) })
	if !holds && !needless {
		c.faults = append(c.faults, Fault{Key: key, Problem: problem, Hint: hint, involves: involves})
	}
	return holds
}

// identity is that, for what identifies the appliance.
func (c *checks) identity(holds bool, key, problem, hint string, involves ...string) {
	before := len(c.faults)
	c.that(holds, key, problem, hint, involves...)
	for i := range c.faults[before:] {
		c.faults[before+i].identity = true
	}
}

func (c *checks) between(key string, n, least, most int) {
	c.that(n >= least && n <= most, key, fmt.Sprintf("is %d", n), fmt.Sprintf("write a number from %d to %d", least, most))
}

// absolute checks a path on this host, which may be absent unless it is required.
func (c *checks) absolute(key, name string, required bool) {
	if name == "" && !required {
		return
	}
	c.that(path.IsAbs(name) && isOneLine(name), key, shown(name)+" is not an absolute path",
		"write the whole path; the plugin's working directory is CrowdSec's")
}

func (c *checks) username(key, name string) {
	if c.that(name != "", key, "is empty", "write an administrator's login, such as admin") {
		c.that(isOneLine(name) && len(name) <= 255, key, shown(name)+" is not a login", "write an administrator's login, such as admin")
	}
}

// secret checks a secret, and the path of the file that may hold it instead. No
// message contains the secret.
func (c *checks) secret(key string, secret Secret, pathKey, path string) {
	c.that(isOneLine(string(secret)), key, "holds a line break or a control character", "write it on one line, in quotes")
	c.absolute(pathKey, path, false)
	c.that(secret == "" || path == "", pathKey, "is set, and so is "+key, "remove one of them", key, pathKey)
}

func (c *checks) group(key, name string) {
	if c.that(groupName.MatchString(name), key, shown(name)+" cannot name a group on the appliance",
		"write at most 255 letters, digits, dots, dashes and underscores, the first of them a letter or digit") {
		c.that(!reservedGroup.MatchString(name), key, shown(name)+" is a reserved name on the appliance",
			"write a name for a group of the plugin's own, such as Crowdsec")
	}
}

func (c *checks) entries(key string, entries []string) {
	for i, text := range entries {
		c.that(text != "" && isOneLine(text), key, entry(i)+"is empty or not on one line", "remove it")
	}
}

func isOneLine(text string) bool { return !strings.ContainsFunc(text, unicode.IsControl) }

var (
	documentName = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}$`)
	hostLabel    = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$`)
	allDigits    = regexp.MustCompile(`^[0-9]+$`)
	configDir    = regexp.MustCompile(`^/[A-Za-z0-9._/-]*$`)
	groupName    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,254}$`)
	// reservedGroup matches names that a group must not have: those of the
	// appliance's own objects, which may mean everybody or the appliance itself,
	// of the plugin's objects, and of the groups of `check --write`.
	reservedGroup = regexp.MustCompile(`(?i)^(any|all|internet|(firewall|network|crowdsec_ip|crowdsec_net)_.*|crowdseccheck(ended)?)$`)
)

func validName(name string) bool { return documentName.MatchString(name) }

// validHost accepts an IP address or a host name. What ends in a number is an
// address, never a name.
func validHost(host string) bool {
	if address, err := netip.ParseAddr(host); err == nil {
		return !address.IsUnspecified() && !address.IsMulticast()
	}
	labels := strings.Split(strings.TrimSuffix(host, "."), ".")
	for _, label := range labels {
		if !hostLabel.MatchString(label) {
			return false
		}
	}
	return len(host) <= 253 && !allDigits.MatchString(labels[len(labels)-1])
}

// validConfigDir accepts what needs no quotes in a shell, whatever the shell.
func validConfigDir(dir string) bool {
	return configDir.MatchString(dir) && path.Clean(dir) == dir && len(dir) <= 255
}

// validHostKey accepts the form in which OpenSSH shows a key.
func validHostKey(key string) bool {
	digits, ok := strings.CutPrefix(key, fingerprintPrefix)
	sum, err := base64.RawStdEncoding.Strict().DecodeString(digits)
	return ok && err == nil && len(sum) == 32 && len(digits) == 43
}
