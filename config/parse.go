package config

import (
	"bytes"
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

// Parse reads all documents of a configuration. If the text has a fault, it returns no document, and an [*Error] with all
// faults.
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

// Select returns the document of that name, or the only document if name is "". Its error lists the names.
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

// source says where a text comes from.
type source struct {
	// lookup returns variables of the environment. It is set for a file, which may hold documents of other plugins, and
	// nil for a text that CrowdSec sends.
	lookup func(name string) (string, bool)
	// allowsUnidentified accepts a document that does not identify the appliance.
	allowsUnidentified bool
}

func (s source) isFile() bool { return s.lookup != nil }

func parse(text []byte, from source) ([]Document, error) {
	if len(text) > largest {
		return nil, errorOf([]Fault{{Problem: fmt.Sprintf("is longer than %d bytes", largest)}})
	}
	var docs []Document
	var faults []Fault
	var lines []int // where each document begins
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
		faults = append(faults, conflicts(docs, lines, doc, root.Line)...)
		docs, lines = append(docs, doc), append(lines, root.Line)
	}
	if err := errorOf(faults); err != nil {
		return nil, err
	}
	if len(docs) == 0 && !from.isFile() {
		return nil, errorOf([]Fault{{Problem: "is empty", Hint: "`crowdsec-stormshield config` prints a sample"}})
	}
	return docs, nil
}

// rootOf returns the value of a YAML document.
func rootOf(node *yaml.Node) *yaml.Node {
	if node.Kind == yaml.DocumentNode && len(node.Content) > 0 {
		return resolved(node.Content[0])
	}
	return node
}

// isForeign reports whether a document belongs to another plugin.
func isForeign(root *yaml.Node) bool {
	kind := scalarOf(root, "type")
	return kind != "" && kind != Type
}

// scalarOf returns the text of a key of a mapping, "" if there is none.
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

// syntaxFault returns the error of the YAML reader without the text that it may quote. For YAML, an unquoted password that
// begins with * is an unknown anchor.
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

// parser reads one document.
type parser struct {
	doc    Document
	label  string
	from   source
	lines  map[string]int  // of the keys that were found
	given  map[string]bool // the keys that have a value
	unset  map[string]bool // the keys whose value could not be read
	faults []Fault
}

func parseDocument(root *yaml.Node, n int, from source) (Document, []Fault) {
	p := parser{
		doc: Default(), label: fmt.Sprintf("document %d", n), from: from,
		lines: make(map[string]int), given: make(map[string]bool), unset: make(map[string]bool),
	}
	if name := scalarOf(root, "name"); documentName.MatchString(name) {
		p.label = name
	}
	p.lines[""] = root.Line
	p.readMapping(root, "")
	p.setDefaultsWithoutSSH()
	p.checkValues()
	return p.doc, p.faults
}

// readMapping sets all keys of the section at a path, "" for the top level.
func (p *parser) readMapping(node *yaml.Node, section string) {
	if isNull(node) {
		return
	}
	if node.Kind != yaml.MappingNode {
		p.unset[section] = true
		p.addFault(node.Line, section, problem{"is not a mapping", "write keys and values, such as name: value"})
		return
	}
	seen := make(map[string]int)
	for i := 0; i+1 < len(node.Content); i += 2 {
		name, at := node.Content[i], resolved(node.Content[i+1])
		if before, twice := seen[name.Value]; twice {
			p.addFault(name.Line, joined(section, plainKey(name.Value)), problem{
				fmt.Sprintf("is there twice, first on line %d", before), "remove one"})
			continue
		}
		seen[name.Value] = name.Line
		k, known := findKey(section, name.Value)
		if !known {
			p.addFault(name.Line, joined(section, plainKey(name.Value)), unknownKey(section, name))
			continue
		}
		p.lines[k.path()] = name.Line
		p.readKey(k, at)
	}
}

// readKey sets a section or one key. Null leaves the default.
func (p *parser) readKey(k key, node *yaml.Node) {
	switch {
	case k.isSection:
		p.readMapping(node, k.path())
	case !isNull(node):
		p.given[k.path()] = true
		wrong := p.setValue(k, value{node, p.from})
		if wrong != nil {
			p.unset[k.path()] = true
			p.addFault(p.lines[k.path()], k.path(), *wrong)
		}
	}
}

// setValue sets a key to the value that the plugin receives from CrowdSec. CrowdSec reads some keys before it replaces
// variables (csplugin.PluginConfig). With a variable in the name, the profiles and the plugin would have two names for
// one notification.
func (p *parser) setValue(k key, written value) *problem {
	if written.hasReference() && k.isEarly {
		return &problem{"holds a $, which CrowdSec does not replace in this key", "write the value itself"}
	}
	received, wrong := written.asReceived()
	if wrong != nil {
		return wrong
	}
	if written.hasReference() {
		p.doc.References = append(p.doc.References, Reference{
			Key: k.path(), Whole: wholeReference.MatchString(written.node.Value), Changed: received.node.Value != written.node.Value,
		})
	}
	return k.set(&p.doc, received)
}

func (p *parser) addFault(line int, path string, wrong problem) {
	p.faults = append(p.faults, Fault{Line: line, Document: p.label, Key: path, Problem: wrong.text, Hint: wrong.hint})
}

// checkValues adds the faults of values, except for those that follow from a value that could not be read.
func (p *parser) checkValues() {
	if p.unset[""] {
		return // the document is not a mapping
	}
	for _, fault := range p.doc.faults() {
		follows := p.isUnset(fault.Key) || slices.ContainsFunc(fault.involved, p.isUnset)
		if follows || fault.isIdentity && p.from.allowsUnidentified {
			continue
		}
		fault.Document = p.label
		fault.Line = p.lineOf(fault.Key)
		p.faults = append(p.faults, fault)
	}
}

// isUnset reports whether the value of a key, or of a section around it, could not be read.
func (p *parser) isUnset(path string) bool {
	return p.unset[path] || path != "" && p.isUnset(sectionOf(path))
}

// lineOf returns the line of a key; if the key is not in the text, that of its section.
func (p *parser) lineOf(path string) int {
	if line := p.lines[path]; line > 0 || path == "" {
		return line
	}
	return p.lineOf(sectionOf(path))
}

// sectionOf returns the path of the section that holds a key; "" is the top level.
func sectionOf(path string) string {
	return path[:max(strings.LastIndex(path, "."), 0)]
}

func joined(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
