package config

import (
	"fmt"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// value is the YAML value of one key.
type value struct {
	node *yaml.Node
	// from says where the value comes from. CrowdSec still re-writes a value in a
	// file and replaces its variables: see handedOver.
	from source
}

// problem is what is wrong with a value, and what to write instead.
type problem struct{ what, write string }

const inQuotes = "write it in quotes"

// resolved follows an alias to its anchor. Nothing is copied, so that a pile of
// aliases costs nothing.
func resolved(node *yaml.Node) *yaml.Node {
	for node.Kind == yaml.AliasNode && node.Alias != nil {
		node = node.Alias
	}
	return node
}

// isNull reports a value that leaves the key at its default.
func isNull(node *yaml.Node) bool {
	return node.Kind == 0 || node.Kind == yaml.ScalarNode && node.ShortTag() == "!!null"
}

// text is the value's own text, as it was written.
func (v value) text() (string, *problem) {
	switch v.node.Kind {
	case yaml.ScalarNode:
	case yaml.SequenceNode:
		return "", &problem{"is a list", "write a single value"}
	default:
		return "", &problem{"is a mapping", "write a single value"}
	}
	if v.node.Style&yaml.TaggedStyle != 0 {
		return "", &problem{"begins with a ! that YAML takes for a tag", inQuotes}
	}
	return v.node.Value, nil
}

// string is the text of a value that is meant to be text. It refuses what lost
// its own form when CrowdSec re-wrote it, or will lose it.
func (v value) string() (string, *problem) {
	text, wrong := v.text()
	if wrong != nil {
		return "", wrong
	}
	const quoted = yaml.SingleQuotedStyle | yaml.DoubleQuotedStyle | yaml.LiteralStyle | yaml.FoldedStyle
	if v.node.Style&quoted != 0 {
		return text, nil
	}
	switch written := v.node.Value; {
	case truths[strings.ToLower(written)] != "":
		return "", &problem{"is taken for true or false", inQuotes}
	case lostNumber.MatchString(written), v.from.isFile() && isNumber(v.node) && !plainNumber.MatchString(written):
		return "", &problem{"is taken for a number and re-written", inQuotes}
	}
	return text, nil
}

var (
	// lostNumber is how CrowdSec's YAML writer puts numbers whose own form is
	// not known any more: 1e3 has become 1000, but 1e30 is 1e+30.
	lostNumber = regexp.MustCompile(`^[-+]?([0-9.]+e[-+]?[0-9]+|\.(inf|nan))$`)
	// plainNumber is what comes out of CrowdSec's YAML writer as it went in.
	plainNumber = regexp.MustCompile(`^(0|-?[1-9][0-9]{0,17}|(0|-?[1-9][0-9]{0,5})\.[0-9]{0,3}[1-9])$`)
)

func isNumber(node *yaml.Node) bool {
	tag := node.ShortTag()
	return tag == "!!int" || tag == "!!float"
}

// truths are the words that YAML 1.1, and so CrowdSec, takes for true or false.
var truths = map[string]string{
	"true": "true", "yes": "true", "on": "true", "y": "true",
	"false": "false", "no": "false", "off": "false", "n": "false",
}

// entry is the path of an entry of a list, counted from 1.
func entry(n int) string { return fmt.Sprintf("entry %d ", n+1) }
