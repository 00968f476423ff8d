package config

import (
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
	yamlv2 "gopkg.in/yaml.v2" // the one of CrowdSec: another one quotes differently

	"notification-stormshield/crowdsec"
)

// Reference is a value in a file that holds a $. CrowdSec may replace the $ and the
// name behind it by a variable of its environment.
type Reference struct {
	Key string
	// Whole says that the value is one $NAME or ${NAME} and nothing else. Then the administrator wants a replacement.
	Whole bool
	// Changed says that the environment of this process changes the value. CrowdSec
	// may have another environment.
	Changed bool
}

var wholeReference = regexp.MustCompile(`^\$(\{[A-Za-z0-9_]+\}|[A-Za-z0-9_]+)$`)

// hasReference reports whether the value is in a file and holds a $.
func (v value) hasReference() bool {
	return v.from.isFile() && v.node.Kind == yaml.ScalarNode && strings.Contains(v.node.Value, "$")
}

// asReceived returns a value as the plugin receives it. CrowdSec (1.7.8, csplugin.PluginBroker.loadPlugins) writes new
// YAML, replaces variables in its text, and sends the result. So the plugin reads the content of a variable as YAML. The
// value has a problem if the result differs from that of [value.expandOnce].
func (v value) asReceived() (value, *problem) {
	if !v.hasReference() {
		return v, nil
	}
	changed := &problem{"holds a $, and CrowdSec changes the value that it puts in: it reads that value as YAML, and searches it for another $",
		"use only letters and digits in the variable; or put the secret into a file, and name it with ssh_password_path, " +
			"ssh_private_key_passphrase_path, api_password_path or api_key_path"}
	rewritten, err := yamlv2.Marshal(map[string]string{"value": v.node.Value})
	if err != nil {
		return v, changed
	}
	var document yaml.Node
	if err := yaml.Unmarshal([]byte(crowdsec.Expand(string(rewritten), v.from.lookup)), &document); err != nil {
		return v, changed
	}
	root := rootOf(&document)
	if root.Kind != yaml.MappingNode || len(root.Content) != 2 {
		return v, changed
	}
	received := value{resolved(root.Content[1]), source{}}
	text, wrong := received.text()
	if wrong != nil || isNull(received.node) && text != "" || text != v.expandOnce() {
		return v, changed
	}
	return received, nil
}

// expandOnce replaces each variable by its content, and does not read that content as YAML.
func (v value) expandOnce() string {
	return reference.ReplaceAllStringFunc(v.node.Value, func(written string) string {
		if found, ok := v.from.lookup(strings.Trim(written, "${}")); ok {
			return found
		}
		return written
	})
}

var reference = regexp.MustCompile(`\$(\{[^}]*\}|[A-Za-z0-9_]+)`)
