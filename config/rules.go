package config

import (
	"encoding/base64"
	"net/netip"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"notification-stormshield/plugin/ban"
)

// rule is a condition on a text. Both functions may be nil.
type rule struct {
	// form gives equal values one spelling. It is applied when the key is read.
	form  func(string) string
	check func(string) *problem
}

const trustHint = "paste what `crowdsec-stormshield trust` prints"

// rules are the values of the tag rule.
var rules = map[string]rule{
	"absolute": {check: demand(func(name string) bool { return path.IsAbs(name) && isOneLine(name) },
		"%s is not an absolute path", "write the whole path; the plugin's working directory is CrowdSec's")},
	"command": {check: demand(func(line string) bool {
		return isOneLine(line) && !strings.ContainsAny(line, "!'") && len(line) <= 1000
	},
		"is not one short line without ! and '", "write a command of the appliance, such as enobject")},
	"config_dir": {form: withoutSlash, check: demand(isConfigDir,
		"%s is not a plain absolute path", "write letters, digits, dots, dashes, underscores and slashes, a slash first")},
	"group": {check: checkGroup},
	"host": {form: unbracketed, check: demand(isHost,
		"%s is neither an address nor a host name", "write it without scheme, port or path; ports have keys of their own")},
	"host_key": {check: demand(isHostKey, "%s is not SHA256: and 43 characters of base64", trustHint)},
	"json": {check: demand(func(format string) bool { return strings.Contains(strings.ToLower(format), "json") },
		"makes no JSON of the alerts", "write {{.|toJson}}")},
	"lapi_url": {check: demand(func(text string) bool {
		return isURL(text, "http", "https") || strings.HasPrefix(text, "unix:///") && isOneLine(text)
	}, "is not the address of a Local API, or holds more than that", "write http://127.0.0.1:8080/, or unix:///PATH for a socket")},
	"listen_addr": {form: canonicalAddress, check: demand(isListenAddress,
		"%s is not an IP address", "write 127.0.0.1, or 0.0.0.0 for all addresses; the port has a key of its own")},
	"level":     oneOf("trace", "debug", "info", "warn", "warning", "error"),
	"enforce":   oneOf("blacklist", "rule", "both"),
	"action":    oneOf("block", "reset", "log"),
	"log":       oneOf("none", "minor", "major"),
	"direction": oneOf("in", "out", "both"),
	"rule_name": {check: demand(func(name string) bool { return ruleName.MatchString(name) && !strings.HasSuffix(name, "_out") },
		"%s cannot name a filter rule", "write at most 50 letters, digits, dots, dashes and underscores, and no _out at the end")},
	"login": {check: demand(func(name string) bool { return isOneLine(name) && len(name) <= 255 },
		"%s is not a login", "write an administrator's login, such as admin")},
	"name": {check: demand(documentName.MatchString,
		"%s cannot name a state file", "write at most 100 letters, digits, dots, dashes and underscores, and no dot at the beginning")},
	"never_block": {check: checkNeverBlock},
	"proxy_url": {check: demand(func(text string) bool { return isURL(text, "http", "https", "socks5") },
		"is not the address of a proxy, or holds more than that", "write http://192.0.2.1:3128/, or nothing for none")},
	"server_name": {check: demand(func(name string) bool {
		return len(name) <= 253 && !strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' })
	}, "%s is not the name in a certificate", "write the certificate's name, for a factory certificate the serial number")},
	"state_machine": {check: demand(stateMachine.MatchString,
		"%s cannot name a machine", "write at most 60 letters, digits, dots, dashes and underscores, such as the host name")},
	"state_url": {check: checkStateURL},
	"type":      {check: demand(func(text string) bool { return text == Type }, "is %s", "write "+Type)},
}

// oneOf returns the rule of a key that accepts some words, in any letter case.
func oneOf(words ...string) rule {
	return rule{form: strings.ToLower, check: demand(func(word string) bool { return slices.Contains(words, word) },
		"%s is not accepted", "write one of "+strings.Join(words, ", "))}
}

// pattern is an expression with the length of the longest text that it accepts. The length is no count in the expression, because an
// expression with a count takes long to compile at each start.
type pattern struct {
	*regexp.Regexp
	most int
}

// MatchString reports whether a text matches.
func (p pattern) MatchString(text string) bool {
	return len(text) <= p.most && p.Regexp.MatchString(text)
}

// demand returns a check. A %s in the text of its problem stands for the refused text.
func demand(accepts func(string) bool, text, hint string) func(string) *problem {
	return func(given string) *problem {
		if accepts(given) {
			return nil
		}
		return &problem{strings.Replace(text, "%s", shown(given), 1), hint}
	}
}

func checkGroup(name string) *problem {
	switch {
	case !groupName.MatchString(name):
		return &problem{shown(name) + " cannot name a group on the appliance",
			"write at most 255 letters, digits, dots, dashes and underscores, the first of them a letter or digit"}
	case reservedGroup.MatchString(name):
		return &problem{shown(name) + " is a reserved name on the appliance", "write a name for a group of the plugin's own, such as Crowdsec"}
	}
	return nil
}

func checkNeverBlock(text string) *problem {
	if _, err := ban.ParseNeverBlock([]string{text}); err != nil {
		return &problem{err.Error(), "write for example 192.0.2.1 or 198.51.100.0/24"}
	}
	return nil
}

func isOneLine(text string) bool { return !strings.ContainsFunc(text, unicode.IsControl) }

var (
	documentName = pattern{regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]*$`), 100}
	hostLabel    = pattern{regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?$`), 63}
	allDigits    = regexp.MustCompile(`^[0-9]+$`)
	configDir    = regexp.MustCompile(`^/[A-Za-z0-9._/-]*$`)
	stateMachine = pattern{documentName.Regexp, 60}
	ruleName     = pattern{regexp.MustCompile(`^[A-Za-z0-9._-]+$`), 50}
	groupName    = pattern{regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`), 255}
	// reservedGroup matches names that a group must not have: those of the appliance's own objects, which may mean
	// everybody or the appliance itself, of the plugin's objects, and of the groups of `check --write`.
	reservedGroup = regexp.MustCompile(`(?i)^(any|all|internet|(firewall|network|crowdsec_ip|crowdsec_net)_.*|crowdseccheck(ended)?)$`)
)

// isHost accepts an IP address or a host name. A text that ends in a number is an address, never a name.
func isHost(host string) bool {
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

// isConfigDir accepts a path that needs no quotes in any shell.
func isConfigDir(dir string) bool {
	return configDir.MatchString(dir) && path.Clean(dir) == dir && len(dir) <= 255
}

// withoutSlash removes the slashes at the end of a path, except for the root.
func withoutSlash(dir string) string {
	if trimmed := strings.TrimRight(dir, "/"); trimmed != "" {
		return trimmed
	}
	return dir
}

// isHostKey accepts the form in which OpenSSH shows a key.
func isHostKey(key string) bool {
	digits, ok := strings.CutPrefix(key, fingerprintPrefix)
	sum, err := base64.RawStdEncoding.Strict().DecodeString(digits)
	return ok && err == nil && len(sum) == 32 && len(digits) == 43
}

// isURL reports whether a text is a URL of a host with one of the schemes, without credentials.
func isURL(text string, schemes ...string) bool {
	at, err := url.Parse(text)
	return err == nil && slices.Contains(schemes, at.Scheme) && at.Host != "" && at.User == nil && at.RawQuery == "" && isOneLine(text)
}

// checkStateURL refuses a text that is no URL of a PostgreSQL database, or that holds a password. A password has keys of its own, so that
// no log shows it. For the same reason the problem does not show the text.
func checkStateURL(text string) *problem {
	bad := &problem{"is not the address of a PostgreSQL database", "write postgres://USER@HOST:5432/DATABASE?sslmode=verify-full"}
	at, err := url.Parse(text)
	if err != nil || !slices.Contains([]string{"postgres", "postgresql"}, at.Scheme) || at.Opaque != "" || !isOneLine(text) {
		return bad
	}
	query, err := url.ParseQuery(at.RawQuery)
	if err != nil {
		return bad
	}
	if _, has := at.User.Password(); has || query.Has("password") || query.Has("sslpassword") {
		return &problem{"holds a password", "remove it there, and write it into state_password_path"}
	}
	if strings.Trim(at.Path, "/") == "" && query.Get("dbname") == "" {
		return &problem{"names no database", bad.hint}
	}
	return nil
}
