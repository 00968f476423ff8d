package snstest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// filterCommand makes a command on policies. It checks the privileges, the names of the arguments and the type. A command that
// changes something also needs the configuration right.
func filterCommand(changes bool, arguments string, run func(*call) answer) func(*call) answer {
	known := strings.Fields(arguments)
	return func(c *call) answer {
		c.appliance.counters.count(func(s *Stats) { s.FilterCommands++ })
		switch {
		case changes && !c.mayConfigureFilter(), !c.session.hasLevel("filter") && !c.session.hasLevel("filter_read"):
			return plain(statusLevel)
		case slices.Contains(known, "type") && !strings.EqualFold(c.arguments["type"], "filter"):
			return plain(statusArgument)
		}
		for name := range c.arguments {
			if !slices.Contains(known, name) {
				return plain(statusArgument)
			}
		}
		if global, given := c.arguments["global"]; given && global != "0" {
			return plain(statusArgument)
		}
		c.appliance.filter.mu.Lock()
		defer c.appliance.filter.mu.Unlock()
		return run(c)
	}
}

func (c *call) mayConfigureFilter() bool {
	return c.session.hasLevel("filter") && c.session.hasLevel("modify") && c.appliance.sessions.holdsRight(c.session.id, configRight)
}

// slotArgument reads the number of a slot. No source shows whether 05 is accepted; here it is.
func (c *call) slotArgument(name string) (number int, ok bool) {
	number, err := strconv.Atoi(c.arguments[name])
	return number, err == nil && number >= 1 && number <= Slots
}

// position reads the argument position, from 1 to last. absent is the position without the argument; 0: the argument must be given.
func (c *call) position(last, absent int) (position int, ok bool) {
	text, given := c.arguments["position"]
	if !given {
		return absent, absent > 0
	}
	position, err := strconv.Atoi(text)
	return position, err == nil && position >= 1 && position <= last
}

// slotList is CONFIG SLOT LIST type=filter.
func (c *call) slotList() answer {
	form := "%d"
	if c.faults.PaddedSlots {
		form = "%02d"
	}
	return sectionAnswer("Global", keyValue{"active", fmt.Sprintf(form, c.appliance.filter.active)})
}

// slotActivate is CONFIG SLOT ACTIVATE type=filter slot=. It loads the activated rules of the slot, without inactive edits.
func (c *call) slotActivate() answer {
	number, ok := c.slotArgument("slot")
	if !ok {
		return plain(statusArgument)
	}
	c.appliance.filter.active = number
	c.appliance.loadFilter()
	return plain(statusOK)
}

// filterExplicit is CONFIG FILTER EXPLICIT index= type=filter [useclone=0|1], which lists the activated rules, or the copy. The
// default of useclone is a guess.
func (c *call) filterExplicit() answer {
	number, ok := c.slotArgument("index")
	clone, given := c.arguments["useclone"]
	if !ok || given && (clone != "0" && clone != "1" || c.faults.UseCloneRefused) {
		return plain(statusArgument)
	}
	f := c.appliance.filter
	rules := f.slots[number-1].activated
	if clone == "1" || c.faults.UseCloneRefused {
		rules = f.slots[number-1].edited()
	}
	var data strings.Builder
	ids := 0
	for i := range rules {
		var line string
		if rules[i].separator == "" {
			ids++
			line = c.listedRule(&rules[i], i+1, ids)
		} else {
			line = c.listedSeparator(rules[i:], i+1, ids+1)
		}
		data.WriteString(`<line>` + escape(line) + `</line>`)
	}
	return answer{statusOK, "list", `<section title="Filter">` + data.String() + `</section>`}
}

// listedSeparator is the line of the first of rules, which is a separator. It has no ruleid. With Faults.FilterCounters it has the number
// of the rules that follow, as in the format xml of an appliance.
func (c *call) listedSeparator(rules []rule, position, next int) string {
	text := strings.TrimPrefix(rules[0].separator, separatorPrefix)
	if !c.faults.FilterCounters {
		return fmt.Sprintf("position=%d; %s%s", position, separatorPrefix, text)
	}
	count := slices.IndexFunc(rules[1:], func(r rule) bool { return r.separator != "" })
	if count < 0 {
		count = len(rules) - 1
	}
	return fmt.Sprintf("%sposition=%d; first_ruleid=%d; nb_elements=%d; %s", separatorPrefix, position, next, count, text)
}

func (c *call) listedRule(r *rule, position, id int) string {
	head := fmt.Sprintf("position=%d; ruleid=%d", position, id)
	if c.faults.FilterCounters {
		c.appliance.filter.listed++
		head = fmt.Sprintf("usage=0 match=%d ruleid=%d", c.appliance.filter.listed, id)
	}
	if c.faults.ShowRuleNames && r.name != "" {
		head += "; " + rulePrefix + r.name
	}
	return head + ": " + r.String()
}

// filterCheck is CONFIG FILTER CHECK type=filter index=. It looks for objects that do not exist. The form of its errors is a
// guess.
func (c *call) filterCheck() answer {
	number, ok := c.slotArgument("index")
	if !ok {
		return plain(statusArgument)
	}
	if err := unknownTargets(c.appliance.filter.slots[number-1].edited(), c.session.view.parse()); err != nil {
		return answer{statusErrors, "raw", escape(err.Error())}
	}
	return plain(statusOK)
}

// filterActivate is CONFIG FILTER ACTIVATE.
func (c *call) filterActivate() answer {
	c.appliance.filter.activate()
	if c.faults.FilterActivateLoads {
		c.appliance.loadFilter()
	}
	return plain(statusOK)
}

// monitorFilter is MONITOR FILTER, which prints the rules in force. Its form is a guess.
func (c *call) monitorFilter() answer {
	rules, objects := c.appliance.seenRules(c.appliance.filter.running)
	var text strings.Builder
	ids := 0
	for _, r := range rules {
		if r.separator == "" {
			ids++
			if c.faults.MonitorShowsMembers {
				r.source, r.destination = members(r.source, objects), members(r.destination, objects)
			}
			fmt.Fprintf(&text, "ruleid=%d: %s\n", ids, &r)
		}
	}
	return answer{statusOK, "raw", escape(text.String())}
}

// members replaces the name of each target by its addresses. A target without addresses keeps its name.
func members(targets string, objects *objectBase) string {
	var all []string
	for name := range strings.SplitSeq(targets, "|") {
		bare, not := strings.CutPrefix(name, "!")
		prefixes, _ := objects.resolve(bare)
		if len(prefixes) == 0 {
			all = append(all, name)
		}
		for _, p := range prefixes {
			text := printedPrefix(p)
			if not {
				text = "!" + text
			}
			all = append(all, text)
		}
	}
	return strings.Join(all, "|")
}
