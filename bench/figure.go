package main

import (
	"fmt"
	"math"
	"strings"

	"notification-stormshield/stormshield/snstest"
)

// Colours that also those who tell few colours apart can tell apart, for each
// way.
var colours = [ways]string{wholeFiles: "#c2500a", changeOnly: "#0b5cad"}

// figure is what one more ban costs against how many are in force already: in
// bytes, and in time over both networks.
func figure(all []costs) chart {
	size := panel{
		title: "Bytes over SSH, both directions together",
		x:     axis{label: "bans in force", format: func(v float64) string { return grouped(int(v)) }},
		y:     axis{label: "bytes", format: func(v float64) string { return strings.Replace(bytes(int64(v)), ".0", "", 1) }},
	}
	wall := panel{
		title: "Time from the first connection to the end",
		x:     size.x,
		y:     axis{label: "time", format: clock},
	}
	for way := range ways {
		near, far := over(all, way, false), over(all, way, true)
		name := way.String()
		size.series = append(size.series, series{name: name, colour: colours[way], points: points(near, func(c cost) float64 { return float64(c.ssh()) })})
		seconds := func(c cost) float64 { return c.wall.Seconds() }
		wall.series = append(wall.series,
			series{name: name + ", " + network(emulated), colour: colours[way], dashed: true, points: points(far, seconds)},
			series{name: name + ", loopback", colour: colours[way], points: points(near, seconds)})
	}
	return chart{
		title: "What one more ban costs", description: describe(all),
		panels: []panel{size, wall},
	}
}

// clock is a power of ten of seconds.
func clock(seconds float64) string {
	if seconds < 1 {
		return fmt.Sprintf("%g ms", math.Round(seconds*1e6)/1e3)
	}
	return fmt.Sprintf("%g s", math.Round(seconds))
}

// measure is what one more ban typically cost with so many in force.
type measure struct {
	bans int
	cost cost
}

func over(all []costs, by way, link bool) []measure {
	var list []measure
	for _, c := range all {
		if link == (c.link != snstest.Link{}) {
			list = append(list, measure{c.bans, typical(c.of[by][oneMore])})
		}
	}
	return list
}

func points(of []measure, value func(cost) float64) []point {
	return column(of, func(m measure) point { return point{float64(m.bans), value(m.cost)} })
}

// describe says in words what the picture shows.
func describe(all []costs) string {
	var out strings.Builder
	out.WriteString("One more ban, moving both files whole against sending the change alone.")
	for _, c := range all {
		whole, change := typical(c.of[wholeFiles][oneMore]), typical(c.of[changeOnly][oneMore])
		fmt.Fprintf(&out, " With %s in force, over %s: %s and %s against %s and %s.", grouped(c.bans), network(c.link),
			bytes(whole.ssh()), brief(whole.wall), bytes(change.ssh()), brief(change.wall))
	}
	return out.String()
}
