package snstest

import (
	"bytes"
	"fmt"
	"strings"
)

// Problems lists everything in the present files that a real appliance would not accept: broken lines, addresses that do
// not parse, sections that do not exist, illegal or repeated names, unknown members, groups that contain themselves.
func (a *Appliance) Problems() []string {
	return problems(a.disk.read(ObjectFile), a.disk.read(GroupFile))
}

// objectSections are the sections of the file object, each with its kind. A name must be unique within a kind.
var objectSections = map[string]string{
	"Host": "address", "Network": "address", "Range": "address", "Fqdn": "address", "Router": "address",
	"Service": "service", "Protocol": "protocol", "Time": "time",
}

// mostProblems limits the list. More problems say nothing new.
const mostProblems = 1000

type inspection struct {
	found   []string
	objects map[string]int // line of each name that can be a group's member
}

func problems(object, groups []byte) []string {
	i := &inspection{objects: map[string]int{}}
	i.text(ObjectFile, object)
	i.text(GroupFile, groups)
	i.objectFile(string(object))
	i.groupFile(string(groups))
	return i.found
}

func (i *inspection) add(file string, line int, format string, args ...any) {
	if len(i.found) < mostProblems {
		i.found = append(i.found, fmt.Sprintf("%s line %d: %s", file, line, fmt.Sprintf(format, args...)))
	}
}

func (i *inspection) text(file string, text []byte) {
	if text == nil {
		i.add(file, 0, "the file is missing")
	}
	if at := bytes.IndexByte(text, 0); at >= 0 {
		i.add(file, 1+bytes.Count(text[:at], []byte("\n")), "a NUL byte")
	}
}

func (i *inspection) objectFile(text string) {
	names := map[string]int{}
	for l := range textLines(text) {
		if l.broken != "" {
			i.add(ObjectFile, l.number, "%s", l.broken)
			continue
		}
		kind, exists := objectSections[l.section]
		switch {
		case l.header && !exists:
			i.add(ObjectFile, l.number, "there is no section [%s]", l.section)
		case l.header:
		case l.section == "":
			i.add(ObjectFile, l.number, "%q stands before the first section", l.name)
		case !l.assigns:
			i.add(ObjectFile, l.number, "%q is neither a section nor name=value", l.name)
		default:
			i.object(l)
			key := kind + " " + l.name
			if first, again := names[key]; again {
				i.add(ObjectFile, l.number, "the name %q is taken since line %d", l.name, first)
			}
			names[key] = l.number
			if kind == "address" {
				i.objects[l.name] = l.number
			}
		}
	}
}

func (i *inspection) object(l textLine) {
	if what := illegal(l.name); what != "" {
		i.add(ObjectFile, l.number, "the name %.300q %s", l.name, what)
	}
	var err error
	switch l.section {
	case "Host":
		_, err = parseHost(l.value)
	case "Network":
		_, err = parseNetwork(l.value)
	case "Range":
		err = parseRange(l.value)
	}
	if err != nil {
		i.add(ObjectFile, l.number, "the address of %s: %v", l.name, err)
	}
}

func (i *inspection) groupFile(text string) {
	type key struct{ group, member string }
	var entries []textLine
	headers := map[string]int{}
	for l := range textLines(text) {
		switch {
		case l.broken != "":
			i.add(GroupFile, l.number, "%s", l.broken)
		case !l.header:
			entries = append(entries, l)
		default:
			i.groupHeader(l, headers)
		}
	}
	members := make(map[key]int, len(entries))
	nested := map[string][]string{}
	for _, l := range entries {
		if l.section == "" {
			i.add(GroupFile, l.number, "%q stands before the first group", l.name)
			continue
		}
		if l.assigns {
			i.add(GroupFile, l.number, "%q is not a member's name", l.name+"=")
			continue
		}
		_, object := i.objects[l.name]
		if _, group := headers[l.name]; group && !object {
			nested[l.section] = append(nested[l.section], l.name)
		} else if !object {
			i.add(GroupFile, l.number, "the member %q of [%s] is unknown", l.name, l.section)
		}
		if first, again := members[key{l.section, l.name}]; again {
			i.add(GroupFile, l.number, "the member %q of [%s] stands in line %d already", l.name, l.section, first)
		}
		members[key{l.section, l.name}] = l.number
	}
	i.cycles(nested, headers)
}

func (i *inspection) groupHeader(l textLine, headers map[string]int) {
	if what := illegal(l.section); what != "" {
		i.add(GroupFile, l.number, "the group's name %.300q %s", l.section, what)
	}
	if first, again := headers[l.section]; again {
		i.add(GroupFile, l.number, "the group [%s] stands in line %d already", l.section, first)
	}
	if first, taken := i.objects[l.section]; taken {
		i.add(GroupFile, l.number, "an object is named like the group [%s] (%s line %d)", l.section, ObjectFile, first)
	}
	headers[l.section] = l.number
}

func (i *inspection) cycles(nested map[string][]string, headers map[string]int) {
	for group := range nested {
		seen := map[string]bool{}
		queue := nested[group]
		for len(queue) > 0 {
			next := queue[0]
			queue = queue[1:]
			if next == group {
				i.add(GroupFile, headers[group], "the group [%s] contains itself", group)
				break
			}
			if !seen[next] {
				seen[next] = true
				queue = append(queue[:len(queue):len(queue)], nested[next]...)
			}
		}
	}
}

// illegal says why a name is not allowed (vendor's manual, allowed names); "" if it is.
func illegal(name string) string {
	switch {
	case name == "":
		return "is empty"
	case len(name) > 255:
		return "is longer than 255 characters"
	case strings.ContainsAny(name, "\t |!\"#,=@[\\]"):
		return "has a character that names may not have"
	}
	return ""
}
