package config

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"notification-stormshield/plugin/ban"
)

// value is the YAML value of one key.
type value struct {
	node *yaml.Node
	// from says where the value comes from. CrowdSec still changes the form of a value in a file and replaces its
	// variables: see asReceived.
	from source
}

// problem is a fault of a value. The hint says what to write instead.
type problem struct{ text, hint string }

const inQuotes = "write it in quotes"

// resolved follows an alias to its anchor. It copies nothing, so that many nested aliases cost nothing.
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

// text returns the value's text as it was written, whatever type YAML gives to it.
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

// string returns the text of a value of a text key. It refuses a value that CrowdSec has changed, or will change.
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
	// lostNumber is how CrowdSec's YAML writer writes a number that had another form: 1e3 becomes 1000, and 1e30
	// becomes 1e+30.
	lostNumber = regexp.MustCompile(`^[-+]?([0-9.]+e[-+]?[0-9]+|\.(inf|nan))$`)
	// plainNumber is a number that CrowdSec's YAML writer leaves as it is.
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

func parseNumber(text string) (int, *problem) {
	n, err := strconv.Atoi(text)
	if err != nil || strconv.Itoa(n) != text {
		return 0, &problem{shown(text) + " is not a whole number", "write digits without a leading zero"}
	}
	return n, nil
}

func parseBool(text string) (bool, *problem) {
	truth := truths[strings.ToLower(text)]
	if truth == "" {
		return false, &problem{shown(text) + " is neither true nor false", "write true or false"}
	}
	return truth == "true", nil
}

func parseDuration(text string) (time.Duration, *problem) {
	if text == "" {
		return 0, &problem{"is empty", "write for example 30s, 10m, 4h or 7d, or leave the key out"}
	}
	d, err := ban.ParseDuration(text)
	if err != nil {
		return 0, &problem{shown(text) + " is not a duration", "write for example 30s, 10m, 4h, 7d or 1d12h"}
	}
	return d, nil
}

// parseCrowdSecDuration parses a duration that CrowdSec reads itself, so without days.
func parseCrowdSecDuration(text string) (time.Duration, *problem) {
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, &problem{shown(text) + " is not a duration that CrowdSec can read", "write for example 10s or 2m"}
	}
	return d, nil
}

func parseFingerprint(text string) (Fingerprint, *problem) {
	f, err := ParseFingerprint(text)
	if err != nil && text != "" {
		return Fingerprint{}, &problem{shown(text) + " is not the SHA-256 fingerprint of a certificate",
			"write SHA256:… as `crowdsec-stormshield trust` prints it, or 64 hexadecimal digits"}
	}
	return f, nil
}

func (v value) list() ([]string, *problem) {
	if v.node.Kind != yaml.SequenceNode {
		return nil, &problem{"is not a list", "write it in brackets, such as [ban]"}
	}
	entries := make([]string, 0, len(v.node.Content))
	for i, node := range v.node.Content {
		written := value{resolved(node), v.from}
		if isNull(written.node) {
			return nil, &problem{entry(i) + "is empty", "remove it"}
		}
		received, wrong := written.asReceived()
		var text string
		if wrong == nil {
			text, wrong = received.string()
		}
		if wrong != nil {
			return nil, &problem{entry(i) + wrong.text, wrong.hint}
		}
		entries = append(entries, text)
	}
	return entries, nil
}

// entry is the path of an entry of a list, counted from 1.
func entry(n int) string { return fmt.Sprintf("entry %d ", n+1) }
