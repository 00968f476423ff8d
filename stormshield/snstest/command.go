package snstest

import "strings"

// call is a command being run: its words in upper case, its arguments by their names in lower case.
type call struct {
	appliance *Appliance
	session   *session
	faults    *Faults
	words     []string
	arguments map[string]string
}

// commands are what the appliance knows, by their words.
var commands = map[string]func(*call) answer{
	"NOP":                        func(*call) answer { return plain(statusOK) },
	"MONITOR ADDRESSLIST ADD":    (*call).addressAdd,
	"MONITOR ADDRESSLIST DELETE": (*call).addressDelete,
	"MONITOR ADDRESSLIST SHOW":   (*call).addressShow,
	"SYSTEM PROPERTY":            (*call).systemProperty,
}

// runLine runs a command line and returns the document to answer with.
func (a *Appliance) runLine(c *call, line string) string {
	language := a.language(c.faults)
	root, ret := c.faults.forced(line)
	if root != 0 {
		return rootXML(root, "")
	}
	forced := plain(status{ret, "00f00000", statusFault})
	if ret >= 200 {
		return forced.xml(language)
	}
	if c.faults.EmptyGroupBreaks && c.session.view.parse().hasEmptyGroup() {
		return rootXML(501, "")
	}
	result := c.run(line)
	if ret != 0 && result.status.ret < 200 {
		result.status = forced.status
	}
	return result.xml(language)
}

// forced is what the switches make of a command: a root code and a ret, 0 for neither.
func (f *Faults) forced(line string) (root, ret int) {
	root = f.RootCode
	upper := strings.Join(strings.Fields(strings.ToUpper(line)), " ")
	longest := -1
	for prefix, value := range f.Ret {
		if len(prefix) > longest && strings.HasPrefix(upper, strings.ToUpper(prefix)) {
			longest, ret = len(prefix), value
		}
	}
	if f.Answer != nil {
		if r, s := f.Answer(line); r != 0 || s != 0 {
			root, ret = r, s
		}
	}
	return root, ret
}

func (c *call) run(line string) answer {
	var ok bool
	if c.words, c.arguments, ok = parseCommand(line); !ok {
		return plain(statusArgument)
	}
	if len(c.words) > 0 && c.words[0] == "MODIFY" {
		return c.modify()
	}
	command := commands[strings.Join(c.words, " ")]
	if command == nil {
		return plain(statusUnknown)
	}
	return command(c)
}

// parseCommand splits a line at its spaces, outside quotation marks, into words and arguments.
func parseCommand(line string) (words []string, arguments map[string]string, ok bool) {
	arguments = map[string]string{}
	for line = strings.TrimLeft(line, " \t"); line != ""; line = strings.TrimLeft(line, " \t") {
		end := strings.IndexAny(line, " \t=")
		if end < 0 || line[end] != '=' {
			if end < 0 {
				end = len(line)
			}
			words, line = append(words, strings.ToUpper(line[:end])), line[end:]
			continue
		}
		name := strings.ToLower(line[:end])
		line = line[end+1:]
		var value string
		if strings.HasPrefix(line, `"`) {
			var closed bool
			if value, line, closed = strings.Cut(line[1:], `"`); !closed {
				return nil, nil, false
			}
		} else {
			value, line, _ = strings.Cut(line, " ")
		}
		if _, again := arguments[name]; again || name == "" {
			return nil, nil, false
		}
		arguments[name] = value
	}
	return words, arguments, true
}

// modify takes or gives back a right: MODIFY [MONITOR] [ON|OFF] [FORCE], words in any order; ON unless it says OFF.
func (c *call) modify() answer {
	wanted, force, off, on := configRight, false, false, false
	for _, word := range c.words[1:] {
		switch word {
		case "MONITOR":
			wanted = monitorRight
		case "FORCE":
			force = true
		case "OFF":
			off = true
		case "ON":
			on = true
		default:
			return plain(statusUnknown)
		}
	}
	desk, id := c.appliance.desk, c.session.id
	level := map[right]string{configRight: "modify", monitorRight: "mon_write"}[wanted]
	switch {
	case on && off:
		return plain(statusArgument)
	case off:
		desk.release(id, wanted)
		return plain(statusOK)
	case !c.session.has(level):
		return plain(statusLevel)
	}
	switch desk.take(id, wanted, force) {
	case heldAlready:
		return plain(statusHeld)
	case heldByOther:
		return plain(statusTooMany)
	}
	return plain(statusOK)
}
