package snstest

import (
	"cmp"
	"strings"
)

// call is one command that runs.
type call struct {
	appliance *Appliance
	session   *session
	faults    *Faults
	words     []string          // in upper case
	arguments map[string]string // by their names in lower case
}

// commands are the commands that the appliance knows, by their words. MODIFY is missing, because its words have no order, and
// MONITOR FLUSH STATE, because its last word is an address.
var commands = map[string]func(*call) answer{
	"NOP":                        func(*call) answer { return plain(statusOK) },
	"MONITOR ADDRESSLIST ADD":    (*call).addressAdd,
	"MONITOR ADDRESSLIST DELETE": (*call).addressDelete,
	"MONITOR ADDRESSLIST SHOW":   (*call).addressShow,
	"SYSTEM PROPERTY":            (*call).systemProperty,
	"HA INFO":                    (*call).haInfo,

	"CONFIG SLOT LIST":          filterCommand(false, "type global", (*call).slotList),
	"CONFIG SLOT ACTIVATE":      filterCommand(true, "type slot global", (*call).slotActivate),
	"CONFIG FILTER EXPLICIT":    filterCommand(false, "index type global useclone", (*call).filterExplicit),
	"CONFIG FILTER CHECK":       filterCommand(true, "index type global", (*call).filterCheck),
	"CONFIG FILTER ACTIVATE":    filterCommand(true, "", (*call).filterActivate),
	"CONFIG FILTER RULE INSERT": filterCommand(true, "index type global position"+ruleArguments, (*call).ruleInsert),
	"CONFIG FILTER RULE UPDATE": filterCommand(true, "index type global position name"+ruleArguments, (*call).ruleUpdate),
	"CONFIG FILTER RULE REMOVE": filterCommand(true, "index type global position", (*call).ruleRemove),
	"CONFIG FILTER RULE ADDSEP": filterCommand(true, "index type global position collapse color comment", (*call).ruleAddSeparator),
	"MONITOR FILTER":            filterCommand(false, "", (*call).monitorFilter),
}

// runLine runs a command and returns the document of its answer.
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

// forced returns the root code and the ret that faults give to a command; 0 is none.
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
	if len(c.words) == 4 && strings.Join(c.words[:3], " ") == "MONITOR FLUSH STATE" {
		return c.flushState(c.words[3])
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

// systemProperty is SYSTEM PROPERTY. Without Faults.Version, the version is the one whose answers were captured.
func (c *call) systemProperty() answer {
	options := c.appliance.options
	result := []keyValue{{"Type", "Firewall"}, {"Model", "EVA2"}, {"MachineType", "amd64"}, {"Version", cmp.Or(c.faults.Version, "4.8.15")}}
	if !c.faults.NoSerialNumber {
		result = append(result, keyValue{"SerialNumber", cmp.Or(c.faults.SerialNumber, options.SerialNumber)})
	}
	highAvailability := keyValue{"HighAvail", "0"}
	if options.HighAvailability {
		highAvailability.value = "1"
	}
	return sectionAnswer("Result", append(result, highAvailability)...)
}

// haInfo is HA INFO, which answers with a section for each appliance of the pair. The values of State and the forms of the times
// are guesses.
func (c *call) haInfo() answer {
	switch options := c.appliance.options; {
	case !options.HighAvailability:
		return plain(statusFailed)
	case c.faults.HAInfo != "":
		return rawAnswer(c.faults.HAInfo)
	}
	modes := [2]string{"Active", "Passive"}
	if c.faults.Passive {
		modes = [2]string{"Passive", "Active"}
	}
	var data string
	for i, serial := range [2]string{cmp.Or(c.faults.SerialNumber, c.appliance.options.SerialNumber), PeerSerialNumber} {
		data += sectionAnswer(serial, keyValue{"Mode", modes[i]}, keyValue{"State", "Running"}, keyValue{"Boot", "2026-11-01 08:00:00"},
			keyValue{"LastConfigSync", "2026-11-20 10:11:12"}, keyValue{"LastModeChange", "2026-11-02 09:00:00"}).data
	}
	return answer{statusOK, "section", data}
}
