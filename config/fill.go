package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// FillSample is the sample with what a document says put in: its name and state folder,
// what is never blocked, the Local API and the key for it, where the appliance is,
// its accounts and its identity. Comments and order stay; what has its default stays a comment. The document's
// other keys are not looked at.
//
// [Parse] of the result gives the document again, if the document is valid.
func FillSample(d Document) string {
	usual, s := Default(), d.Stormshield
	f := filling(Sample())
	f.put("name", quoted(d.Name), d.Name == SampleName)
	f.put("state_dir", quoted(d.StateDir), d.StateDir == usual.StateDir)
	f.put("never_block", listed(d.Decisions.NeverBlock), slices.Equal(d.Decisions.NeverBlock, usual.Decisions.NeverBlock))
	f.put("url", quoted(d.LAPI.URL), d.LAPI.URL == "")
	f.put("key", quoted(d.LAPI.Key.Reveal()), d.LAPI.Key == "")
	f.put("api_key_path", quoted(d.LAPI.APIKeyPath), d.LAPI.APIKeyPath == "")
	f.put("host", quoted(s.Host), false)
	f.put("ssh_port", s.SSHPort, s.SSHPort == usual.Stormshield.SSHPort)
	f.put("ssh_username", quoted(s.SSHUsername), s.SSHUsername == usual.Stormshield.SSHUsername)
	f.put("ssh_password", quoted(s.SSHPassword.Reveal()), s.SSHPasswordPath != "")
	f.putPath("ssh_password", s.SSHPasswordPath)
	f.put("ssh_private_key_path", quoted(s.SSHPrivateKeyPath), s.SSHPrivateKeyPath == "")
	f.put("ssh_private_key_passphrase", quoted(s.SSHPrivateKeyPassphrase.Reveal()), s.SSHPrivateKeyPassphrase == "")
	f.putPath("ssh_private_key_passphrase", s.SSHPrivateKeyPassphrasePath)
	f.put("ssh_host_key", quoted(s.SSHHostKey), s.SSHHostKey == "")
	f.put("ssh_legacy_algorithms", s.SSHLegacyAlgorithms, !s.SSHLegacyAlgorithms)
	f.put("config_dir", quoted(s.ConfigDir), s.ConfigDir == usual.Stormshield.ConfigDir)
	f.put("api_port", s.APIPort, s.APIPort == usual.Stormshield.APIPort)
	f.put("api_username", quoted(s.APIUsername), s.APIUsername == usual.Stormshield.APIUsername)
	f.put("api_password", quoted(s.APIPassword.Reveal()), s.APIPasswordPath != "")
	f.putPath("api_password", s.APIPasswordPath)
	f.put("api_cert_fingerprint", quoted(s.APICertFingerprint.String()), s.APICertFingerprint.IsZero())
	return string(f)
}

// filling is the text of a sample that is being filled in.
type filling string

// put writes a value on the line of a key, and makes a comment a key. Each key is
// once in the sample.
func (f *filling) put(key string, value any, isDefault bool) {
	if isDefault {
		return
	}
	line := regexp.MustCompile(`(?m)^( *)(# )?` + strings.TrimPrefix(key, "# ") + `:( .*)?$`)
	*f = filling(line.ReplaceAllStringFunc(string(*f), func(old string) string {
		margin := old[:len(old)-len(strings.TrimLeft(old, " "))]
		return fmt.Sprintf("%s%s: %v", margin, key, value)
	}))
}

// putPath writes the path of the file that holds the secret of a key, and makes the
// line of the key itself a comment.
func (f *filling) putPath(key, path string) {
	if path == "" {
		return
	}
	f.put("# "+key, `""`, false)
	f.put(key+"_path", quoted(path), false)
}

// quoted is a text in YAML that stays as it is on its way through CrowdSec.
func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

func listed(entries []string) string {
	words := Default().Decisions.NeverBlock
	written := make([]string, len(entries))
	for i, entry := range entries {
		written[i] = quoted(entry)
		if slices.Contains(words, entry) {
			written[i] = entry
		}
	}
	return "[" + strings.Join(written, ", ") + "]"
}
