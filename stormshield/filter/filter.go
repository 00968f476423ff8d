// Package filter reads and changes the filter rules of an appliance in an open session of the API.
//
// [InForce] says whether a rule of the active slot names a group. [Read] reads the policy of a slot. [Install] and [Remove] work
// out a [Change] of our own rules; [Change.Apply] then makes and activates it:
//
//	change, err := filter.Install(ctx, session, wanted)
//	if err != nil || change.IsEmpty() { … }
//	for _, line := range change.Diff() { … }
//	err = change.Apply(ctx, session, filter.Options{})
//
// An appliance has two versions of a policy: the activated one, and the copy that administrators edit. A change edits the copy, and
// then activates it. Every rule and every separator has a position in its policy.
//
// Our rules are those whose comment begins with "crowdsec-stormshield NAME:". The package changes no other rule, and never takes the
// configuration right from its holder. If somebody changed the policy after the change was worked out, the package activates
// nothing. It opens no session, writes no group, and knows no configuration file.
//
// The commands are those of the vendor's CLI reference (CONFIG FILTER, CONFIG SLOT, MODIFY).
package filter

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"notification-stormshield/stormshield/serverd"
)

// Session runs commands on an appliance. A [serverd.Session] is one.
type Session interface {
	Run(ctx context.Context, command string) (serverd.Answer, error)
}

// Wanted describes the rules that an appliance shall have.
type Wanted struct {
	Name      string // of the rule, and in the marker of its comment
	Group     string // has the banned addresses
	Action    string // block, reset or log
	Log       string // none, minor or major; a rule with action log and none gets the level log of the appliance
	Direction string // in (bans are sources), out (bans are destinations) or both
	Slot      int    // 0: the active one
	Position  int    // of a new rule
}

// Use says how the rules in force use a group.
type Use struct {
	AsSource, AsDestination bool
}

// InForce reports how the activated rules of the active slot use a group. A rule counts if it is on, and if its action is block,
// reset or log. A line that cannot be read counts as both if it has the name of the group.
//
// InForce does not look at other conditions of a rule, such as an interface or a port, nor at the rules before it. It does not know
// which members of the group the running rule has. It only reads, and needs the right filter_read. An error says that the
// appliance gave no answer.
func InForce(ctx context.Context, session Session, group string) (Use, error) {
	active, err := activeSlot(ctx, session)
	if err != nil || active == 0 {
		return Use{}, err
	}
	lines, _, err := readList(ctx, session, active, activated)
	return useOf(lines, group), err
}

func useOf(lines []Line, group string) Use {
	var use Use
	for _, l := range lines {
		acts := l.Kind == Rule && !l.Off && slices.Contains([]string{"block", "reset", "log"}, l.Action)
		unclear := l.Kind == Unknown && l.mentions(group)
		use.AsSource = use.AsSource || unclear || acts && hasName(l.From, group)
		use.AsDestination = use.AsDestination || unclear || acts && hasName(l.To, group)
	}
	return use
}

// activeSlot returns the slot that the appliance runs; 0: none.
func activeSlot(ctx context.Context, session Session) (int, error) {
	answer, err := session.Run(ctx, "CONFIG SLOT LIST type=filter")
	if err != nil {
		return 0, err
	}
	text := answer.Section("Global")["active"]
	active, err := strconv.Atoi(text)
	if err != nil || active < 0 {
		return 0, fmt.Errorf("CONFIG SLOT LIST type=filter: the answer names no active slot (%.40q)", text)
	}
	return active, nil
}
