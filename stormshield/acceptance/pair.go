package acceptance

import (
	"context"
	"fmt"
	"strings"
)

// pair describes both appliances of a pair, each in a line of its own. No source shows the form of the answer [?], so a missing field
// or answer is no fault. A section with none of the fields is about something else.
func (c *checker) pair(ctx context.Context) Finding {
	answer, err := c.session.Run(ctx, "HA INFO")
	if err != nil {
		return notTried(err.Error())
	}
	var lines, serials []string
	passive := false
	for _, serial := range answer.Sections() {
		keys := answer.Section(serial)
		var facts string
		for _, field := range []struct{ key, text string }{
			{"Mode", "role"}, {"State", "state"}, {"LastModeChange", "in this role since"}, {"LastConfigSync", "last synchronisation"},
		} {
			if value := keys[field.key]; value != "" {
				facts += fmt.Sprintf(", %s %.60s", field.text, strings.ToValidUTF8(value, "?"))
			}
		}
		if facts == "" {
			continue
		}
		name := serial
		if serial == c.serial {
			name += ", which answers here"
			passive = strings.EqualFold(keys["Mode"], "Passive")
		}
		lines, serials = append(lines, name+facts), append(serials, serial)
	}
	found := holds(strings.Join(lines, "\n"))
	switch {
	case len(lines) == 0:
		found = notTried("HA INFO names no appliance of the pair")
	case passive:
		found = differs(found.Detail, "no traffic flows through the passive appliance: set host to the virtual address of the pair, which leads to the active one")
	}
	found.Serials = serials
	return found
}
