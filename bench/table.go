package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"notification-stormshield/stormshield/snstest"
)

// table is a table in Markdown. Its first row is the head. A column is aligned to
// the right if its head begins with >.
type table [][]string

func (t table) print(out io.Writer) {
	for i, row := range t {
		if i > 0 {
			fmt.Fprintf(out, "| %s |\n", strings.Join(row, " | "))
			continue
		}
		var rule strings.Builder
		for j, head := range row {
			title, right := strings.CutPrefix(head, ">")
			row[j] = title
			if right {
				rule.WriteString("|--:")
			} else {
				rule.WriteString("|---")
			}
		}
		fmt.Fprintf(out, "| %s |\n%s|\n", strings.Join(row, " | "), rule.String())
	}
}

func targetTable(targets []target) table {
	t := table{{"What", ">Bans in force", ">Measured", ">Target", "Reached"}}
	for _, g := range targets {
		aim, reached := g.aim, "yes"
		switch {
		case aim == "":
			aim, reached = "–", "–"
		case !g.reached:
			reached = "**no**"
		}
		t = append(t, []string{g.what, grouped(g.bans), g.measured, aim, reached})
	}
	return t
}

// costTable has a row for each kind of flush and number of bans, with both
// networks side by side.
func costTable(all []costs) table {
	t := table{{
		"Flush", ">Bans in force", ">SSH up / down", ">API up / down", ">SSH connections, API log-ins",
		">Appliance's shell", ">Time over loopback", ">Time over the link",
	}}
	for k := range kinds {
		for _, c := range all {
			if c.link != (snstest.Link{}) {
				continue
			}
			whole, change := typical(c.of[wholeFiles][k]), typical(c.of[changeOnly][k])
			t = append(t, []string{
				k.String(), grouped(c.bans),
				reduced(spread(bytes(whole.sshUp), bytes(whole.sshDown)), spread(bytes(change.sshUp), bytes(change.sshDown)),
					times(float64(whole.ssh()), float64(change.ssh()))),
				compared(spread(bytes(whole.apiUp), bytes(whole.apiDown)), spread(bytes(change.apiUp), bytes(change.apiDown))),
				compared(fmt.Sprintf("%d, %d", whole.connections, whole.logins), fmt.Sprintf("%d, %d", change.connections, change.logins)),
				compared(brief(whole.shellCPU), brief(change.shellCPU)),
				wallsOf(c, k), wallsOverLink(all, c.bans, k),
			})
		}
	}
	return t
}

func wallsOf(c costs, k kind) string {
	whole, change := typical(c.of[wholeFiles][k]), typical(c.of[changeOnly][k])
	return reduced(brief(whole.wall), brief(change.wall), times(whole.wall.Seconds(), change.wall.Seconds()))
}

// compared shows two values, or one if they are equal.
func compared(whole, change string) string {
	if whole == change {
		return change
	}
	return whole + " → " + change
}

// reduced shows two values and their ratio.
func reduced(whole, change, ratio string) string {
	return fmt.Sprintf("%s → %s (%s)", whole, change, ratio)
}

func wallsOverLink(all []costs, bans int, k kind) string {
	for _, c := range all {
		if c.bans == bans && c.link != (snstest.Link{}) {
			return wallsOf(c, k)
		}
	}
	return "–"
}

// batchTable has a row for each number of new bans over each network, with
// medians of times.
func batchTable(all []batches) table {
	t := table{{"New bans", "Over", ">Address by address", ">By the group", "Sooner for the last"}}
	for _, over := range all {
		for _, b := range over.of {
			single, group := typicalSpan(b.single), typicalSpan(b.group)
			sooner := "address by address"
			if group.last < single.last {
				sooner = "by the group"
			}
			t = append(t, []string{
				grouped(b.number), network(over.link),
				spread(brief(single.first), brief(single.last)), spread(brief(group.first), brief(group.last)), sooner,
			})
		}
	}
	return t
}

func typicalSpan(of []span) span {
	return span{
		first: median(column(of, func(s span) time.Duration { return s.first })),
		last:  median(column(of, func(s span) time.Duration { return s.last })),
	}
}
