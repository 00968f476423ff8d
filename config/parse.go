package config

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// largest is how long a configuration may be, in bytes.
const largest = 1 << 20

// Parse reads every document of a configuration. A text with a fault gives no
// document and an [*Error] that holds the faults of all of them.
func Parse(text []byte) ([]Document, error) {
	return parse(text, source{})
}

// ParseOne reads a configuration of one document, as CrowdSec sends it.
func ParseOne(text []byte) (Document, error) {
	docs, err := Parse(text)
	if err != nil {
		return Document{}, err
	}
	if len(docs) != 1 {
		return Document{}, errorOf([]Fault{{Problem: fmt.Sprintf("holds %d documents instead of one", len(docs))}})
	}
	return docs[0], nil
}

// Select gives the document of that name, or the only one when name is "". The
// error names those there are.
func Select(docs []Document, name string) (Document, error) {
	names := make([]string, len(docs))
	for i, doc := range docs {
		if doc.Name == name || name == "" && len(docs) == 1 {
			return doc, nil
		}
		names[i] = doc.Name
	}
	known := strings.Join(names, ", ")
	switch {
	case len(docs) == 0:
		return Document{}, errors.New("the configuration holds no document of type " + Type)
	case name == "":
		return Document{}, errors.New("the configuration holds several names, choose one of " + known)
	}
	return Document{}, fmt.Errorf("no document is named %s; there is %s", shown(name), known)
}

// source is where a text comes from, and what it is for.
type source struct {
	// lookup gives the environment for a file that CrowdSec has not re-written,
	// which may hold other plugins' documents too; nil for what CrowdSec sends.
	lookup func(name string) (string, bool)
	// stranger allows that the appliance is not identified.
	stranger bool
}

func (s source) isFile() bool { return s.lookup != nil }

func parse(text []byte, from source) ([]Document, error) {
	if len(text) > largest {
		return nil, errorOf([]Fault{{Problem: fmt.Sprintf("is longer than %d bytes", largest)}})
	}
	var docs []Document
	var faults []Fault
	first := make(map[string]int)   // the line of the first document of a name
	readers := make(map[string]int) // and of a reader of the Local API
	var starts []int                // and of each document
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	for n := 1; ; n++ {
		var node yaml.Node
		if err := decoder.Decode(&node); err != nil {
			if !errors.Is(err, io.EOF) {
				faults = append(faults, syntaxFault(err))
			}
			break
		}
		root := rootOf(&node)
		if isNull(root) || from.isFile() && isForeign(root) {
			continue
		}
		doc, found := parseDocument(root, n, from)
		faults = append(faults, found...)
		if before, twice := first[doc.Name]; twice {
			faults = append(faults, Fault{Line: root.Line, Document: doc.Name, Key: "name",
				Problem: fmt.Sprintf("is also the name of the document on line %d", before), Hint: "give each its own"})
		} else if doc.Name != "" {
			first[doc.Name] = root.Line
		}
		if reader := doc.LAPI.ClientID(); reader != "" {
			if before, twice := readers[reader]; twice {
				faults = append(faults, Fault{Line: root.Line, Document: doc.Name, Key: "lapi.key",
					Problem: fmt.Sprintf("is also that of the document on line %d, and each would miss what the other reads", before),
					Hint:    "give each a key of its own, with `cscli bouncers add`"})
			}
			readers[reader] = root.Line
		}
		for i, other := range docs {
			if group := SharedGroup(other, doc); group != "" && doc.Stormshield.Host != "" {
				faults = append(faults, Fault{Line: root.Line, Document: doc.Name, Key: "stormshield.group",
					Problem: fmt.Sprintf("holds %s on the appliance at %s, as does %s on line %d: each would remove the other's bans",
						group, doc.Stormshield.Host, other.Name, starts[i]),
					Hint: "give each a group and a delete_group of its own, or remove one of the documents"})
				break
			}
		}
		docs, starts = append(docs, doc), append(starts, root.Line)
	}
	if err := errorOf(faults); err != nil {
		return nil, err
	}
	if len(docs) == 0 && !from.isFile() {
		return nil, errorOf([]Fault{{Problem: "is empty", Hint: "`crowdsec-stormshield config` prints a sample"}})
	}
	return docs, nil
}

func rootOf(node *yaml.Node) *yaml.Node {
	if node.Kind == yaml.DocumentNode && len(node.Content) > 0 {
		return resolved(node.Content[0])
	}
	return node
}

// isForeign reports a document of another type of notification.
func isForeign(root *yaml.Node) bool {
	kind := scalarOf(root, "type")
	return kind != "" && kind != Type
}

// scalarOf is the text of a key of a mapping, "" when there is none.
func scalarOf(root *yaml.Node, name string) string {
	if root.Kind != yaml.MappingNode {
		return ""
	}
	for i := 0; i+1 < len(root.Content); i += 2 {
		if root.Content[i].Value == name {
			if found := resolved(root.Content[i+1]); found.Kind == yaml.ScalarNode {
				return found.Value
			}
		}
	}
	return ""
}

var yamlLine = regexp.MustCompile(`line ([0-9]+): *`)

// syntaxFault tells what the YAML reader found, without the text it may quote:
// an unquoted password that begins with * is an unknown anchor to YAML.
func syntaxFault(err error) Fault {
	fault := Fault{Problem: strings.TrimPrefix(err.Error(), "yaml: "), Hint: "mind indentation and quotes"}
	if found := yamlLine.FindStringSubmatchIndex(fault.Problem); found != nil {
		fault.Line, _ = strconv.Atoi(fault.Problem[found[2]:found[3]])
		fault.Problem = fault.Problem[:found[0]] + fault.Problem[found[1]:]
	}
	if strings.Contains(fault.Problem, "anchor") {
		fault.Problem = "a value begins with * or & and refers to nothing"
		fault.Hint = inQuotes
	}
	fault.Problem = "YAML cannot be read: " + strings.ToValidUTF8(fault.Problem, "?")
	return fault
}

// parser walks through one document.
type parser struct {
	doc    Document
	label  string
	from   source
	lines  map[string]int  // of the keys that were found
	unset  map[string]bool // the keys whose value could not be taken
	faults []Fault
}

func parseDocument(root *yaml.Node, n int, from source) (Document, []Fault) {
	p := parser{
		doc: Default(), label: fmt.Sprintf("document %d", n), from: from,
		lines: make(map[string]int), unset: make(map[string]bool),
	}
	if name := scalarOf(root, "name"); validName(name) {
		p.label = name
	}
	p.lines[""] = root.Line
	p.mapping(root, "", p.doc.keys())
	p.judge()
	return p.doc, p.faults
}

// mapping sets all keys of a mapping whose path is given, "" for the document.
func (p *parser) mapping(node *yaml.Node, path string, keys []key) {
	if isNull(node) {
		return
	}
	if node.Kind != yaml.MappingNode {
		p.unset[path] = true
		p.fault(node.Line, path, problem{"is not a mapping", "write keys and values, such as name: value"})
		return
	}
	seen := make(map[string]int)
	for i := 0; i+1 < len(node.Content); i += 2 {
		name, at := node.Content[i], resolved(node.Content[i+1])
		full := joined(path, name.Value)
		if before, twice := seen[name.Value]; twice {
			p.fault(name.Line, joined(path, plainKey(name.Value)), problem{
				fmt.Sprintf("is there twice, first on line %d", before), "remove one"})
			continue
		}
		seen[name.Value] = name.Line
		known := slices.IndexFunc(keys, func(k key) bool { return k.name == name.Value })
		if known < 0 {
			p.fault(name.Line, joined(path, plainKey(name.Value)), unknownKey(path, name, p.doc.keys()))
			continue
		}
		p.lines[full] = name.Line
		p.set(keys[known], full, at)
	}
}

// set puts one value in its place. Null leaves the default.
func (p *parser) set(k key, path string, node *yaml.Node) {
	switch {
	case k.section != nil:
		p.mapping(node, path, k.section)
	case !isNull(node):
		wrong := p.setValue(k, path, value{node, p.from})
		if wrong != nil {
			p.unset[path] = true
			p.fault(p.lines[path], path, *wrong)
		}
	}
}

// setValue sets a key to the value that the plugin receives from CrowdSec.
func (p *parser) setValue(k key, path string, written value) *problem {
	if written.refers() && slices.Contains(readEarly, path) {
		return &problem{"holds a $, which CrowdSec does not replace in this key", "write the value itself"}
	}
	arrived, wrong := written.handedOver()
	if wrong != nil {
		return wrong
	}
	if written.refers() {
		p.doc.References = append(p.doc.References, Reference{
			Key: path, Whole: wholeReference.MatchString(written.node.Value), Changed: arrived.node.Value != written.node.Value,
		})
	}
	return k.set(arrived)
}

func (p *parser) fault(line int, path string, wrong problem) {
	p.faults = append(p.faults, Fault{Line: line, Document: p.label, Key: path, Problem: wrong.what, Hint: wrong.write})
}

// judge adds the faults of values, other than those that follow from a value
// that could not be taken.
func (p *parser) judge() {
	if p.unset[""] {
		return // the document is no mapping at all
	}
	for _, fault := range p.doc.faults() {
		section, _, _ := strings.Cut(fault.Key, ".")
		follows := p.unset[fault.Key] || p.unset[section] ||
			slices.ContainsFunc(fault.involves, func(key string) bool { return p.unset[key] })
		if follows || fault.identity && p.from.stranger {
			continue
		}
		fault.Document = p.label
		fault.Line = cmp.Or(p.lines[fault.Key], p.lines[section], p.lines[""])
		p.faults = append(p.faults, fault)
	}
}

func joined(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
