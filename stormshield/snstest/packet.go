package snstest

import (
	"net/netip"
	"slices"
	"strings"
)

// Verdict is what happens to a packet.
type Verdict struct {
	Action string `json:"action"` // pass, block or reset
	Logged bool   `json:"logged"` // a rule logs the packet
	// By is "blacklist", or the name, comment or text of the rule that decides. It is empty if no rule decides: the packet
	// then passes.
	By string `json:"by"`
}

// Packet returns what happens to the first packet of a connection. The blacklist blocks its sources first. Then the first running
// rule that matches decides. A rule that is off is skipped. The actions log, deleg and decrypt let the next rules decide.
//
// A rule matches by its two targets: any, hosts, networks, groups of them, and !object. In this simulation a rule matches no packet
// if it has other conditions (a port, an interface, a protocol), or if it names an unknown object, a range, a domain name, or an
// object that the appliance makes by itself, such as internet.
func (a *Appliance) Packet(source, destination netip.Addr) Verdict {
	if a.blacklist.covers(source) {
		return Verdict{Action: "block", By: "blacklist"}
	}
	verdict := Verdict{Action: "pass"}
	rules, objects := a.runningRules()
	for i := range rules {
		r := &rules[i]
		if !r.isPlain() || !matches(r.source, source.Unmap(), objects) || !matches(r.destination, destination.Unmap(), objects) {
			continue
		}
		verdict.Logged = verdict.Logged || r.logs()
		if r.action == "pass" || r.action == "block" || r.action == "reset" {
			verdict.Action, verdict.By = r.action, r.label()
			break
		}
	}
	return verdict
}

// isPlain reports whether the rule is on and has no condition other than its two targets.
func (r *rule) isPlain() bool {
	return r.separator == "" && !r.off && r.interfaces == "" && r.rest == "" &&
		!slices.ContainsFunc(strings.Fields(r.options), func(word string) bool { return word == "ipproto" || word == "proto" })
}

// label is the name of a rule, its comment if it has none, or its text.
func (r *rule) label() string {
	switch {
	case r.name != "":
		return r.name
	case r.comment != "":
		return r.comment
	}
	return r.String()
}

// matches reports whether targets cover an address. A target without "!" must cover it, if there are such targets. No target with "!"
// may cover it.
func matches(targets string, addr netip.Addr, objects *objectBase) bool {
	wanted, covered := false, false
	for name := range strings.SplitSeq(targets, "|") {
		name, not := strings.CutPrefix(name, "!")
		covers := name == "any"
		if !covers {
			prefixes, known := objects.resolve(name)
			if !known {
				return false
			}
			covers = slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(addr) })
		}
		switch {
		case not && covers:
			return false
		case !not:
			wanted, covered = true, covered || covers
		}
	}
	return covered || !wanted
}
