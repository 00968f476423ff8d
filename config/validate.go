package config

import (
	"slices"
	"strings"
)

// Validate reports everything that is wrong with the document's values, as an [*Error] without lines. It opens no file
// and no connection.
func (d Document) Validate() error { return errorOf(d.faults()) }

// faults checks each key by its tags, and then the rules about several keys. The keys of the Local API do not count
// without its url.
func (d Document) faults() []Fault {
	var c checks
	for _, k := range keys {
		if k.section != "lapi" || d.LAPI.IsUsed() {
			k.check(&d, &c)
		}
	}
	for _, k := range keys {
		if k.fileOf != "" && (k.section != "lapi" || d.LAPI.IsUsed()) {
			secret := k.secret()
			c.require(k.in(&d).String() == "" || secret.in(&d).Len() == 0, k.path(),
				"is set, and so is "+secret.path(), "remove one of them", secret.path(), k.path())
		}
	}
	c.require(d.Debounce <= d.UpdateFrequency, "debounce", "is longer than update_frequency", "write 1s", "update_frequency")
	c.require(d.SharesState() || d.StatePassword == "" && d.StatePasswordPath == "", "state_url",
		"is empty, and there is a password for it", "write the address of the database, or remove the password", "state_password", "state_password_path")
	d.LAPI.checkAccess(&c)
	d.Stormshield.checkCredentials(&c)
	d.Stormshield.checkIdentity(&c)
	d.Stormshield.checkBlacklist(&c)
	d.Stormshield.checkEnforce(&c)
	return c.faults
}

func (l LAPI) checkAccess(c *checks) {
	hasKey := l.Key != "" || l.APIKeyPath != "" || l.CertPath != ""
	if !l.IsUsed() {
		c.require(!hasKey, "lapi.url", "is empty, and there is a key or certificate for it", "write http://127.0.0.1:8080/")
		return
	}
	c.require(hasKey, "lapi.key", "is empty, and so are api_key_path and cert_path",
		"write what `cscli bouncers add stormshield` prints", "lapi.api_key_path", "lapi.cert_path")
	c.require((l.CertPath == "") == (l.KeyPath == ""), "lapi.key_path", "and cert_path belong together", "set both or neither")
}

func (s Stormshield) checkCredentials(c *checks) {
	c.require(s.SSHPrivateKeyPassphrase == "" && s.SSHPrivateKeyPassphrasePath == "" || s.SSHPrivateKeyPath != "", "stormshield.ssh_private_key_path",
		"is empty, and there is a passphrase for it", "write the path of the private key, or remove the passphrase",
		"stormshield.ssh_private_key_passphrase", "stormshield.ssh_private_key_passphrase_path")
	hasPassword, hasCertificate := s.APIPassword != "" || s.APIPasswordPath != "", s.APIClientCertPath != "" || s.APIClientKeyPath != ""
	c.require(hasPassword || hasCertificate, "stormshield.api_password", "is empty, and so are api_password_path and api_client_cert_path",
		"write the password of api_username, the path of a file that holds it, or the path of a client certificate",
		"stormshield.api_password_path", "stormshield.api_client_cert_path", "stormshield.api_client_key_path")
	c.require(!hasPassword || !hasCertificate, "stormshield.api_client_cert_path", "is set, and so is a password for the API",
		"remove api_password and api_password_path, or api_client_cert_path and api_client_key_path",
		"stormshield.api_client_key_path", "stormshield.api_password_path")
	c.require((s.APIClientCertPath == "") == (s.APIClientKeyPath == ""), "stormshield.api_client_key_path",
		"and api_client_cert_path belong together", "set both or neither", "stormshield.api_client_cert_path")
}

// checkIdentity demands a way to identify the appliance before it gets a password. Without SSH no host key is necessary.
func (s Stormshield) checkIdentity(c *checks) {
	before := len(c.faults)
	c.require(!s.UsesSSH() || s.SSHHostKey != "" || s.SSHKnownHostsPath != "" || s.SSHInsecureIgnoreHostKey, "stormshield.ssh_host_key",
		"is empty, and so is ssh_known_hosts_path: the plugin cannot identify the appliance", trustHint,
		"stormshield.ssh_known_hosts_path", "stormshield.ssh_insecure_ignore_host_key")
	c.require(s.APICAPath != "" || !s.APICertFingerprint.IsZero() || s.APIInsecureSkipVerify, "stormshield.api_cert_fingerprint",
		"is empty, and so is api_ca_path: the plugin cannot identify the appliance", trustHint,
		"stormshield.api_ca_path", "stormshield.api_insecure_skip_verify")
	for i := range c.faults[before:] {
		c.faults[before+i].isIdentity = true
	}
}

func (s Stormshield) checkBlacklist(c *checks) {
	c.require(!strings.EqualFold(s.Group, s.DeleteGroup), "stormshield.delete_group", "is the same as group", "write another name", "stormshield.group")
	c.require(s.ReassertEvery <= s.BlacklistTimeout/2, "stormshield.reassert_every",
		"is longer than half of blacklist_timeout, so that entries could end before they are renewed", "write 10m", "stormshield.blacklist_timeout")
}

// checks collects faults.
type checks struct{ faults []Fault }

func (c *checks) add(key string, wrong *problem) {
	if wrong != nil {
		c.faults = append(c.faults, Fault{Key: key, Problem: wrong.text, Hint: wrong.hint})
	}
}

// require adds a fault of a key unless the condition holds, or one of the involved keys has a fault of its own already. It
// returns the condition.
func (c *checks) require(holds bool, key, problem, hint string, involved ...string) bool {
	hasFault := slices.ContainsFunc(c.faults, func(f Fault) bool { return slices.Contains(involved, f.Key) })
	if !holds && !hasFault {
		c.faults = append(c.faults, Fault{Key: key, Problem: problem, Hint: hint, involved: involved})
	}
	return holds
}
