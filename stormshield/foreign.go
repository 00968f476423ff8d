package stormshield

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"notification-stormshield/appliance"
	"notification-stormshield/stormshield/objects"
)

// foreignWarning returns the warning that groups have foreign members; nil: none has. The flush never named such a group in a
// command, because that would block or unblock those members too.
func foreignWarning(groups []foreign) error {
	if len(groups) == 0 {
		return nil
	}
	return fmt.Errorf("%s; the plugin never blocks them, and so blocks or unblocks one by one, which is slow (hint: %s)",
		describeForeign(groups), ForeignHint)
}

// ForeignHint says what to do about foreign members.
const ForeignHint = "take them out of the group in the web administration, or give the plugin groups of its own (group, delete_group)"

// ForeignMembers returns an error that names the members of some groups that this program did not make; nil: there are none.
func ForeignMembers(objectgroup []byte, groups ...string) error {
	if found := foreignMembers(objectgroup, groups...); len(found) > 0 {
		return errors.New(describeForeign(found))
	}
	return nil
}

// foreign is a group with members that this program did not make.
type foreign struct {
	group   string
	members []string
}

// foreignMembers returns the groups that have foreign members.
func foreignMembers(objectgroup []byte, groups ...string) []foreign {
	var found []foreign
	for _, group := range groups {
		if members := objects.ForeignMembers(objectgroup, group); len(members) > 0 {
			found = append(found, foreign{group, members})
		}
	}
	return found
}

// describeForeign names the groups, and a few members of each.
func describeForeign(groups []foreign) string {
	const most = 3
	var texts []string
	for _, f := range groups {
		named := make([]string, 0, most)
		for _, member := range f.members[:min(most, len(f.members))] {
			named = append(named, strings.ToValidUTF8(fmt.Sprintf("%.60s", member), "?"))
		}
		text := fmt.Sprintf("group %s has members that this program did not make: %s", f.group, strings.Join(named, ", "))
		if more := len(f.members) - len(named); more > 0 {
			text += fmt.Sprintf(" and %d more", more)
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, "; ")
}

// isForeign reports whether this flush found foreign members in a group.
func (f *flush) isForeign(group string) bool {
	return slices.ContainsFunc(f.foreign, func(has foreign) bool { return has.group == group })
}

// assertEach blocks one by one the bans that [flush.assert] blocks by the group, for as long.
func (f *flush) assertEach(ctx context.Context) error {
	pending, err := f.change.OneByOne(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	late := began.Add(2 * f.config.BlacklistTimeout) // so that each entry lives for all of BlacklistTimeout
	bans := make([]appliance.Ban, 0, len(pending))
	for _, p := range pending {
		bans = append(bans, appliance.Ban{Prefix: p, Until: late})
	}
	if err := f.blockEach(ctx, bans, f.timeIsUp()); err != nil {
		return fmt.Errorf("block %d bans one by one, of which %d are done, because group %s has foreign members: %w",
			len(pending), len(f.done.Blocked), f.config.Group, err)
	}
	if f.change.Reassert && !f.done.Unfinished {
		f.setAsserted(began)
	}
	return nil
}

// timeIsUp returns a function that reports whether Config.OneByOneLimit has passed.
func (f *flush) timeIsUp() func() bool {
	if f.config.OneByOneLimit == 0 {
		return never
	}
	until := time.Now().Add(f.config.OneByOneLimit)
	return func() bool { return !time.Now().Before(until) }
}
