package snstest

import (
	"net/netip"
	"slices"
	"strings"
)

// mayConfigure tells whether the session holds the configuration right.
func (c *call) mayConfigure() bool {
	return c.session.has("modify") && c.appliance.desk.holds(c.session.id, configRight)
}

// rewrite gives the session files of its own and writes them: whatever someone else wrote since the session was opened
// is lost, as when serverd writes from its own memory.
func (c *call) rewrite(object, groups string) answer {
	d := c.appliance.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	c.session.view = newView([]byte(object), []byte(groups))
	if d.replace(ObjectFile, []byte(object)) != nil || d.replace(GroupFile, []byte(groups)) != nil {
		return plain(statusFailed)
	}
	return plain(statusOK)
}

func (c *call) texts() (object, groups string) {
	return string(c.session.view.object), string(c.session.view.groups)
}

// activate is CONFIG OBJECT ACTIVATE.
func (c *call) activate() answer {
	if !c.mayConfigure() {
		return plain(statusLevel)
	}
	return c.rewrite(c.texts())
}

// groupNew is CONFIG OBJECT GROUP NEW name= [update=1].
func (c *call) groupNew() answer {
	if !c.mayConfigure() {
		return plain(statusLevel)
	}
	name := c.arguments["name"]
	if illegal(name) != "" {
		return plain(statusArgument)
	}
	object, groups := c.texts()
	base := c.session.view.parse()
	if _, exists := base.groups[name]; exists {
		if c.arguments["update"] != "1" {
			return plain(statusExists)
		}
		return c.rewrite(object, groups)
	}
	if base.knows(name) {
		return plain(statusExists)
	}
	return c.rewrite(object, endLine(groups)+"["+name+"]\n")
}

// groupDelete is CONFIG OBJECT GROUP DELETE name= [force=1]; without force a group that others contain stays.
func (c *call) groupDelete() answer {
	if !c.mayConfigure() {
		return plain(statusLevel)
	}
	name := c.arguments["name"]
	base := c.session.view.parse()
	if _, exists := base.groups[name]; !exists {
		return plain(statusArgument)
	}
	if base.isMember(name) && c.arguments["force"] != "1" {
		return plain(statusUsed)
	}
	object, groups := c.texts()
	groups = dropLines(groups, func(l textLine) bool { return l.section == name || !l.header && l.name == name })
	return c.rewrite(object, groups)
}

// groupShow is CONFIG OBJECT GROUP SHOW name=, in the captured form: a line a member, with name and type.
func (c *call) groupShow() answer {
	base := c.session.view.parse()
	members, exists := base.groups[c.arguments["name"]]
	if !exists {
		return plain(statusArgument)
	}
	var lines [][]keyValue
	for _, member := range members {
		lines = append(lines, []keyValue{{"name", member}, {"type", base.typeOf(member)}})
	}
	return linesAnswer("Result", lines)
}

// hostNew is CONFIG OBJECT HOST NEW name= ip= [update=0|1|2].
func (c *call) hostNew() answer {
	if !c.mayConfigure() {
		return plain(statusLevel)
	}
	name := c.arguments["name"]
	addr, err := netip.ParseAddr(c.arguments["ip"])
	if err != nil || illegal(name) != "" || c.faults.NoIPv6 && addr.Is6() {
		return plain(statusArgument)
	}
	object, groups := c.texts()
	base := c.session.view.parse()
	if base.knows(name) {
		update := c.arguments["update"]
		if base.typeOf(name) != "host" || update != "1" && update != "2" {
			return plain(statusExists)
		}
		object = dropLines(object, func(l textLine) bool { return l.section == "Host" && l.name == name && !l.header })
	}
	return c.rewrite(addHost(object, name+"="+addr.String()+",resolve=static\n"), groups)
}

// hostDelete is CONFIG OBJECT HOST DELETE name= [force=1]; without force a member of a group stays.
func (c *call) hostDelete() answer {
	if !c.mayConfigure() {
		return plain(statusLevel)
	}
	name := c.arguments["name"]
	base := c.session.view.parse()
	if base.typeOf(name) != "host" {
		return plain(statusArgument)
	}
	if base.isMember(name) && c.arguments["force"] != "1" {
		return plain(statusUsed)
	}
	object, groups := c.texts()
	object = dropLines(object, func(l textLine) bool { return l.section == "Host" && l.name == name && !l.header })
	groups = dropLines(groups, func(l textLine) bool { return !l.header && l.name == name })
	return c.rewrite(object, groups)
}

func (b *objectBase) isMember(name string) bool {
	for _, members := range b.groups {
		if slices.Contains(members, name) {
			return true
		}
	}
	return false
}

func (b *objectBase) typeOf(name string) string {
	if p, ok := b.addresses[name]; ok {
		if p.IsSingleIP() {
			return "host"
		}
		return "network"
	}
	if _, ok := b.groups[name]; ok {
		return "group"
	}
	return strings.ToLower(b.others[name])
}

// dropLines leaves out the lines that gone picks; all others stay as they are.
func dropLines(text string, gone func(textLine) bool) string {
	numbers := map[int]bool{}
	for l := range textLines(text) {
		if gone(l) {
			numbers[l.number] = true
		}
	}
	var b strings.Builder
	number := 0
	for line := range strings.SplitAfterSeq(text, "\n") {
		if number++; !numbers[number] {
			b.WriteString(line)
		}
	}
	return b.String()
}

// addHost puts a line at the head of [Host], which is made when there is none.
func addHost(text, line string) string {
	number := 0
	for l := range textLines(text) {
		if l.header && l.section == "Host" {
			number = l.number
			break
		}
	}
	if number == 0 {
		return endLine(text) + "[Host]\n" + line
	}
	lines := strings.SplitAfter(text, "\n")
	lines[number-1] = endLine(lines[number-1]) + line
	return strings.Join(lines, "")
}

func endLine(text string) string {
	if text == "" || strings.HasSuffix(text, "\n") {
		return text
	}
	return text + "\n"
}
