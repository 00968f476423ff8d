package config

import (
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
	yamlv2 "gopkg.in/yaml.v2" // CrowdSec's own, since another one would quote otherwise

	"notification-stormshield/crowdsec"
)

// Reference is a value of a file that holds a $, for which CrowdSec may put the
// environment in.
type Reference struct {
	Key string
	// Whole says that the value is one $NAME or ${NAME} and nothing else, so that
	// somebody wanted it to be replaced.
	Whole bool
	// Changed says that this process's environment changes the value. CrowdSec's
	// environment may be another one.
	Changed bool
}

var wholeReference = regexp.MustCompile(`^\$(\{[A-Za-z0-9_]+\}|[A-Za-z0-9_]+)$`)

// readEarly are the keys that CrowdSec reads itself, before it puts the environment
// in (csplugin.PluginConfig). A profile and the plugin would know the notification
// by two names.
var readEarly = []string{"type", "name", "group_wait", "group_threshold", "max_retry", "timeout"}

// refers reports a value of a file that holds a $.
func (v value) refers() bool {
	return v.from.isFile() && v.node.Kind == yaml.ScalarNode && strings.Contains(v.node.Value, "$")
}

// handedOver returns a value as it arrives at the plugin. CrowdSec (1.7.8,
// csplugin.PluginBroker.loadPlugins) re-writes the YAML, puts the environment into
// the text of it, and sends that; so what a variable holds is read as YAML. A value
// that does not arrive as the text that was meant is a problem.
func (v value) handedOver() (value, *problem) {
	if !v.refers() {
		return v, nil
	}
	lost := &problem{"holds a $, and what CrowdSec puts in there does not arrive as it is: it is read as YAML, and searched for another $",
		"use letters and digits alone in the variable; or name a file that holds the secret, with ssh_password_path, " +
			"ssh_private_key_passphrase_path, api_password_path or api_key_path"}
	rewritten, err := yamlv2.Marshal(map[string]string{"value": v.node.Value})
	if err != nil {
		return v, lost
	}
	var document yaml.Node
	if err := yaml.Unmarshal([]byte(crowdsec.Expand(string(rewritten), v.from.lookup)), &document); err != nil {
		return v, lost
	}
	root := rootOf(&document)
	if root.Kind != yaml.MappingNode || len(root.Content) != 2 {
		return v, lost
	}
	arrived := value{resolved(root.Content[1]), source{}}
	text, wrong := arrived.text()
	if wrong != nil || isNull(arrived.node) && text != "" || text != v.meant() {
		return v, lost
	}
	return arrived, nil
}

// meant is the text with each variable put in as it is.
func (v value) meant() string {
	return reference.ReplaceAllStringFunc(v.node.Value, func(written string) string {
		if found, ok := v.from.lookup(strings.Trim(written, "${}")); ok {
			return found
		}
		return written
	})
}

var reference = regexp.MustCompile(`\$(\{[^}]*\}|[A-Za-z0-9_]+)`)
