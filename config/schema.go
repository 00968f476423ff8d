package config

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"notification-stormshield/plugin/ban"
)

// key is one key of the YAML: a field of [Document], or of one of its sections, that has a tag key. [Document]
// describes the tags.
type key struct {
	section   string // the path of its section, "" at the top level
	name      string
	field     []int // its index in Document
	isSection bool

	fallback   *yaml.Node // the default; nil: the type's zero value
	usual      string     // the default as it is written; "" if there is none
	withoutSSH *yaml.Node // the default in a document without credentials for SSH; nil: the same
	required   string
	rule       rule
	limits     limits
	hint       string
	fileOf     string
	// isEarly marks a key that CrowdSec reads before it replaces variables.
	isEarly bool
}

// keys are all keys in the order of the fields, each section before its own keys.
var keys = keysOf(reflect.TypeFor[Document](), "", nil)

func keysOf(section reflect.Type, path string, at []int) []key {
	var all []key
	for i := range section.NumField() {
		field := section.Field(i)
		if field.Tag.Get("key") == "" {
			continue
		}
		k := keyOf(field, path, append(slices.Clone(at), i))
		all = append(all, k)
		if k.isSection {
			all = append(all, keysOf(field.Type, k.path(), k.field)...)
		}
	}
	return all
}

// keyOf reads the tags of a field. It panics at a mistake in them, which every test finds.
func keyOf(field reflect.StructField, section string, at []int) key {
	tag := field.Tag
	k := key{
		section: section, name: tag.Get("key"), field: at, isSection: field.Type.Kind() == reflect.Struct,
		usual: tag.Get("default"), required: tag.Get("required"), hint: tag.Get("hint"), fileOf: tag.Get("file_of"),
		isEarly: tag.Get("read_by") == "crowdsec",
	}
	if name := tag.Get("rule"); name != "" {
		known := false
		if k.rule, known = rules[name]; !known {
			panic("config: there is no rule " + name)
		}
	}
	if text := tag.Get("range"); text != "" {
		k.limits = parseLimits(text)
	}
	k.fallback, k.withoutSSH = k.parseDefault(k.usual), k.parseDefault(tag.Get("without_ssh"))
	return k
}

// parseDefault parses the YAML of a default; nil: there is none.
func (k key) parseDefault(text string) *yaml.Node {
	if text == "" {
		return nil
	}
	var document yaml.Node
	if err := yaml.Unmarshal([]byte(text), &document); err != nil {
		panic(fmt.Sprintf("config: the default of %s: %v", k.path(), err))
	}
	return rootOf(&document)
}

// findKey returns the key of that name in the section at a path, "" for the top level.
func findKey(section, name string) (key, bool) {
	i := slices.IndexFunc(keys, func(k key) bool { return k.section == section && k.name == name })
	if i < 0 {
		return key{}, false
	}
	return keys[i], true
}

// path is the name with the path of the section in front, such as stormshield.ssh_port.
func (k key) path() string { return joined(k.section, k.name) }

// in returns the field of a document.
func (k key) in(d *Document) reflect.Value { return reflect.ValueOf(d).Elem().FieldByIndex(k.field) }

// Default returns a Document in which every key has its default. It is not valid, because type, name, format, host,
// secrets and identity checks have no default. The defaults are those of a document with credentials for SSH.
func Default() Document {
	var d Document
	for _, k := range keys {
		k.setDefault(&d, k.fallback)
	}
	return d
}

// setDefault sets the key to a default; nil: the key stays as it is.
func (k key) setDefault(d *Document, fallback *yaml.Node) {
	if fallback == nil {
		return
	}
	if wrong := k.set(d, value{fallback, source{}}); wrong != nil {
		panic(fmt.Sprintf("config: the default of %s %s", k.path(), wrong.text))
	}
}

// set sets the key in a document. It checks the type of the value, and check checks the value.
func (k key) set(d *Document, v value) *problem {
	parseTime := parseDuration
	if k.isEarly {
		parseTime = parseCrowdSecDuration
	}
	switch target := k.in(d).Addr().Interface().(type) {
	case *string:
		text, wrong := v.string()
		if wrong == nil && k.rule.form != nil {
			text = k.rule.form(text)
		}
		return store(target, text, wrong)
	case *Secret:
		text, wrong := v.string()
		return store(target, Secret(text), wrong)
	case *[]string:
		entries, wrong := v.list()
		return store(target, entries, wrong)
	case *int:
		return storeText(target, v, parseNumber)
	case *bool:
		return storeText(target, v, parseBool)
	case *time.Duration:
		return storeText(target, v, parseTime)
	case *Fingerprint:
		return storeText(target, v, parseFingerprint)
	default:
		panic(fmt.Sprintf("config: no YAML for %T", target))
	}
}

// store sets a field unless there is a problem, which it returns.
func store[T any](target *T, parsed T, wrong *problem) *problem {
	if wrong == nil {
		*target = parsed
	}
	return wrong
}

// storeText sets a field to the parsed text of a value.
func storeText[T any](target *T, v value, parse func(string) (T, *problem)) *problem {
	text, wrong := v.text()
	if wrong != nil {
		return wrong
	}
	parsed, wrong := parse(text)
	return store(target, parsed, wrong)
}

// check checks the value of the key in a document.
func (k key) check(d *Document, c *checks) {
	switch v := k.in(d).Interface().(type) {
	case string:
		switch {
		case v != "" && k.rule.check != nil:
			c.add(k.path(), k.rule.check(v))
		case v == "" && k.required != "":
			c.add(k.path(), &problem{"is missing", k.required})
		}
	case Secret:
		c.require(isOneLine(string(v)), k.path(), "holds a line break or a control character", "write it on one line, in quotes")
	case []string:
		c.require(len(v) > 0 || k.required == "", k.path(), "is empty", k.required)
		for i, text := range v {
			if c.require(text != "" && isOneLine(text), k.path(), entry(i)+"is empty or not on one line", "remove it") && k.rule.check != nil {
				c.add(k.path(), k.rule.check(text))
			}
		}
	case int:
		if k.limits.excludes(int64(v)) {
			c.add(k.path(), &problem{fmt.Sprintf("is %d", v), k.limits.hint()})
		}
	case time.Duration:
		if k.limits.excludes(int64(v)) {
			c.add(k.path(), &problem{k.limits.problem(), cmp.Or(k.hint, "write "+k.usual)})
		}
	}
}

// limits are the numbers or durations that a key accepts. The zero limits accept all.
type limits struct {
	least, most         int64
	leastText, mostText string // "": no such limit
	acceptsZero         bool
}

// parseLimits reads LEAST..MOST, or LEAST.., with "0, " in front if zero is accepted too. Both are whole numbers or
// durations.
func parseLimits(text string) limits {
	var l limits
	text, l.acceptsZero = strings.CutPrefix(text, "0, ")
	l.leastText, l.mostText, _ = strings.Cut(text, "..")
	l.least = parseLimit(l.leastText)
	if l.mostText != "" {
		l.most = parseLimit(l.mostText)
	}
	return l
}

func parseLimit(text string) int64 {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n
	}
	d, err := ban.ParseDuration(text)
	if err != nil {
		panic("config: a limit " + err.Error())
	}
	return int64(d)
}

func (l limits) excludes(n int64) bool {
	return (n != 0 || !l.acceptsZero) && (l.leastText != "" && n < l.least || l.mostText != "" && n > l.most)
}

// hint says which numbers are accepted.
func (l limits) hint() string {
	if l.mostText == "" {
		return "write a number, " + l.leastText + " or more"
	}
	return "write a number from " + l.leastText + " to " + l.mostText
}

// problem says why a duration is not accepted.
func (l limits) problem() string {
	switch {
	case l.mostText != "":
		return "is not between " + l.leastText + " and " + l.mostText
	case l.least == 0:
		return "is negative"
	}
	return "is shorter than " + l.leastText
}
