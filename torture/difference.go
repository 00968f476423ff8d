package torture

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"notification-stormshield/plugin/plugintest"
	"notification-stormshield/stormshield/snstest"
)

// difference is everything on the appliance that is not as it must be.
type difference struct {
	missing  []string // must be blocked, and is not, or is not in the files
	unended  []string // must not be blocked, and is, or is in the files
	lost     []string // lines of the administrator
	unwanted []string // other lines and files
}

func (d difference) isEmpty() bool {
	return len(d.missing)+len(d.unended)+len(d.lost)+len(d.unwanted) == 0
}

func (d difference) report(t *try) {
	for _, of := range []struct {
		loss
		name string
		list []string
	}{{lostBans, "lost", d.missing}, {notEnded, "not ended", d.unended}, {lostLines, "lines lost", d.lost}, {others, "unwanted", d.unwanted}} {
		if n := len(of.list); n > 0 {
			t.report(of.loss, n, "%s: %d, %s", of.name, n, strings.Join(of.list[:min(n, 5)], ", "))
		}
	}
}

// compareEnforced compares the blacklist and the running filter rule, and the administrator's lines, with what is expected.
func (h *harness) compareEnforced(now time.Time) (d difference) {
	blocked, inRule := map[netip.Prefix]bool{}, map[netip.Prefix]bool{}
	for _, e := range h.Appliance.Blacklist() { // first, because an entry goes only when the rule has the ban
		blocked[e.Source] = true
	}
	if h.byRule {
		for _, p := range h.Appliance.RunningMembers("Crowdsec") {
			inRule[p] = true
		}
		h.checkProtected(blocked, inRule, now)
	}
	if h.Configuration.Enforce != "rule" {
		d.compare(h.expected, "on the blacklist", blocked, now)
	} else {
		for p := range blocked {
			d.unended = append(d.unended, p.String()+" on the blacklist")
		}
	}
	if h.usesRule() {
		d.compare(h.expected, "in the running rule", inRule, now)
		d.missing = append(d.missing, h.compareRules(now)...)
	}
	d.lost, d.unwanted = h.administrator.compareLines()
	return d
}

// compare compares the bans that are in a place with those that must be there.
func (d *difference) compare(e expected, place string, present map[netip.Prefix]bool, now time.Time) {
	for p := range present {
		if !e.mayBlock(p, now) {
			d.unended = append(d.unended, p.String()+" "+place)
		}
	}
	for p := range e.until {
		if e.mustBlock(p, now) && !present[p] {
			d.missing = append(d.missing, p.String()+" "+place)
		}
	}
}

// compareAll also compares the plugin's objects and groups. Without a filter rule, they follow with the next flush that writes the files.
func (h *harness) compareAll(now time.Time) difference {
	d := h.compareEnforced(now)
	groups := string(h.Appliance.Read(snstest.GroupFile))
	members, objects := membersOf(groups, "Crowdsec"), objectsOf(string(h.Appliance.Read(snstest.ObjectFile)))
	inGroup, inObject := setOf(members), setOf(objects)
	if len(inGroup) != len(members) || len(inObject) != len(objects) {
		d.unwanted = append(d.unwanted, "duplicate names")
	}
	allowed := map[string]bool{}
	for p := range h.expected.unconfirmed {
		allowed[object(p)] = h.expected.mayBlock(p, now)
	}
	for p := range h.expected.until {
		name := object(p)
		allowed[name] = h.expected.mayBlock(p, now)
		if !h.expected.mustBlock(p, now) {
			continue
		}
		for place, names := range map[string]map[string]bool{"the group": inGroup, "object": inObject} {
			if !names[name] {
				d.missing = append(d.missing, fmt.Sprintf("%s in %s", p, place))
			}
		}
	}
	for _, name := range slices.Concat(members, objects) {
		if !allowed[name] && !h.kept[name] && !h.expected.unknownBans {
			d.unended = append(d.unended, name+" in the files")
		}
	}
	for _, name := range membersOf(groups, "CrowdsecDeleteGroup") {
		d.unended = append(d.unended, name+" in the group of ended bans")
	}
	d.unwanted = append(d.unwanted, h.Appliance.Leftovers()...)
	if !h.broken {
		d.unwanted = append(d.unwanted, h.Appliance.Problems()...)
	}
	return d
}

func setOf(names []string) map[string]bool {
	s := map[string]bool{}
	for _, name := range names {
		s[name] = true
	}
	return s
}

// membersOf returns the members of a group.
func membersOf(text, group string) (members []string) {
	inside := false
	for line := range strings.SplitSeq(text, "\n") {
		if strings.HasPrefix(line, "[") {
			inside = line == "["+group+"]"
		} else if inside && line != "" && !strings.HasPrefix(line, "#") {
			members = append(members, line)
		}
	}
	return members
}

// objectsOf returns the names of the plugin's objects.
func objectsOf(text string) (names []string) {
	ours, _ := plugintest.SplitFile(text)
	for _, line := range ours {
		if name, _, isObject := strings.Cut(line, "="); isObject {
			names = append(names, name)
		}
	}
	return names
}
