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
		"Flush", ">Bans in force", ">API up / down", ">SSH up / down", ">Logins, API / SSH",
		">Appliance's shell", ">Time over loopback", ">Time over the link",
	}}
	for k := range kinds {
		for _, c := range all {
			for _, w := range []way{changeOnly, withoutSSH} {
				if c.link != (snstest.Link{}) || len(c.of[w][k]) == 0 {
					continue
				}
				p := c.pair(k, w)
				t = append(t, []string{
					k.by(w), grouped(c.bans),
					p.shown(func(c cost) string { return c.api.volume() }, nil),
					p.shown(func(c cost) string { return c.ssh.volume() }, func(c cost) float64 { return float64(c.ssh.bytes()) }),
					p.shown(func(c cost) string { return fmt.Sprintf("%d / %d", c.api.logins, c.ssh.logins) }, nil),
					p.shown(func(c cost) string { return brief(c.shellCPU) }, nil),
					p.times(), timesOverLink(all, c.bans, k, w),
				})
			}
		}
	}
	return t
}

// pair are the tries of a kind of flush, with whole files and without. Where the plugin does not
// write the files, whole is empty.
type pair struct{ whole, usual []cost }

func (c costs) pair(k kind, w way) pair {
	if w == withoutSSH {
		return pair{usual: c.of[w][k]}
	}
	return pair{whole: c.of[wholeFiles][k], usual: c.of[w][k]}
}

// shown shows a measure of both, or one value if there is no other. With a number it adds their ratio.
func (p pair) shown(text func(cost) string, number func(cost) float64) string {
	usual := typical(p.usual)
	if len(p.whole) == 0 {
		return text(usual)
	}
	whole := typical(p.whole)
	switch {
	case number != nil:
		return fmt.Sprintf("%s → %s (%s)", text(whole), text(usual), times(number(whole), number(usual)))
	case text(whole) == text(usual):
		return text(usual)
	}
	return text(whole) + " → " + text(usual)
}

func (p pair) times() string {
	return p.shown(func(c cost) string { return brief(c.wall) }, func(c cost) float64 { return c.wall.Seconds() })
}

func (t traffic) volume() string { return spread(bytes(t.up), bytes(t.down)) }

func timesOverLink(all []costs, bans int, k kind, w way) string {
	for _, c := range all {
		if c.bans == bans && c.link != (snstest.Link{}) {
			return c.pair(k, w).times()
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
