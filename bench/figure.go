package main

import (
	"encoding/xml"
	"fmt"
	"math"
	"slices"
	"strings"

	"notification-stormshield/stormshield/snstest"
)

// panel is a diagram with two logarithmic axes: bans in force across, and a
// measure upward.
type panel struct {
	title, label string
	tick         func(float64) string // of a power of ten
	lines        []line
}

// line joins points (bans in force, measure).
type line struct {
	name, colour, dashes string
	points               [][2]float64
}

// The diagram of a panel, in pixels.
const width, height = 360, 270

// drawn are the flushes in the figure. Colour-blind readers can distinguish their colours too.
var drawn = []struct {
	name   string
	kind   kind
	way    way
	colour string
}{
	{"a range, as whole files", oneRange, wholeFiles, "#c2500a"},
	{"a range, the change alone", oneRange, changeOnly, "#0b5cad"},
	{"an address, over the API alone", oneMore, changeOnly, "#1f2328"},
}

// figure draws, as SVG, the cost of one more ban against the bans in force: bytes,
// and time over both networks.
func figure(all []costs) string {
	all = slices.DeleteFunc(slices.Clone(all), func(c costs) bool { return len(c.of[changeOnly][oneMore]) == 0 })
	size := panel{title: "Bytes of API and SSH, both directions", label: "bytes", tick: func(v float64) string {
		return strings.Replace(bytes(int64(v)), ".0", "", 1)
	}}
	wall := panel{title: "Time from the first connection to the end", label: "time", tick: func(seconds float64) string {
		if seconds < 1 {
			return fmt.Sprintf("%g ms", math.Round(seconds*1e6)/1e3)
		}
		return fmt.Sprintf("%g s", seconds)
	}}
	for _, d := range drawn {
		bytes := line{name: d.name, colour: d.colour, dashes: "none"}
		near, far := bytes, bytes
		near.name += ", loopback"
		far.name, far.dashes = far.name+", "+network(emulated), "6 4"
		for _, c := range all {
			t := typical(c.of[d.way][d.kind])
			point := [2]float64{float64(c.bans), t.wall.Seconds()}
			if c.link != (snstest.Link{}) {
				far.points = append(far.points, point)
				continue
			}
			near.points = append(near.points, point)
			bytes.points = append(bytes.points, [2]float64{float64(c.bans), float64(t.bytes())})
		}
		size.lines, wall.lines = append(size.lines, bytes), append(wall.lines, far, near)
	}
	var out strings.Builder
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" width="964" height="560" viewBox="0 0 964 560" role="img" aria-labelledby="title desc" `+
		`font-family="system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif" font-size="12" fill="#1f2328">
<title id="title">What one more ban costs</title>
<desc id="desc">%s</desc>
<rect x="0.5" y="0.5" width="963" height="559" rx="8" fill="#ffffff" stroke="#d8dee4"/>
<text x="84" y="32" font-size="18" font-weight="600">What one more ban costs</text>
`, escaped(describe(all)))
	for i, p := range []panel{size, wall} {
		fmt.Fprintf(&out, "<g transform=\"translate(%d 90)\">\n%s</g>\n", 84+470*i, p.svg())
	}
	out.WriteString("</svg>\n")
	return out.String()
}

// svg draws the panel. The upper left corner of its diagram is the origin.
func (p panel) svg() string {
	var out strings.Builder
	add := func(format string, args ...any) { fmt.Fprintf(&out, format+"\n", args...) }
	var xs, ys []float64
	for _, l := range p.lines {
		for _, at := range l.points {
			xs, ys = append(xs, math.Log10(at[0])), append(ys, math.Log10(at[1]))
		}
	}
	if len(xs) == 0 {
		return ""
	}
	slices.Sort(xs)
	left, right := xs[0], max(slices.Max(xs), xs[0]+0.1)
	low, high := math.Floor(slices.Min(ys)), math.Ceil(slices.Max(ys)) // whole powers of ten
	high = max(high, low+1)
	x := func(exponent float64) float64 { return (exponent - left) / (right - left) * width }
	y := func(exponent float64) float64 { return (high - exponent) / (high - low) * height }

	add(`<text y="-18" font-size="14" font-weight="600">%s</text>`, escaped(p.title))
	for _, v := range slices.Compact(xs) {
		add(`<line x1="%.1f" x2="%.1[1]f" y2="%[2]d" stroke="#d8dee4"/>`, x(v), height)
		add(`<text x="%.1f" y="%d" text-anchor="middle" fill="#59636e">%s</text>`, x(v), height+18, grouped(int(math.Round(math.Pow(10, v)))))
	}
	for v := low; v <= high; v++ {
		add(`<line y1="%.1f" x2="%d" y2="%.1[1]f" stroke="#d8dee4"/>`, y(v), width)
		add(`<text x="-8" y="%.1f" text-anchor="end" fill="#59636e">%s</text>`, y(v)+4, p.tick(math.Pow(10, v)))
	}
	add(`<text x="%d" y="%d" text-anchor="middle">bans in force</text>`, width/2, height+40)
	add(`<text transform="translate(-64 %d) rotate(-90)" text-anchor="middle">%s</text>`, height/2, p.label)
	for i, l := range p.lines {
		var corners []string
		for _, at := range l.points {
			px, py := x(math.Log10(at[0])), y(math.Log10(at[1]))
			corners = append(corners, fmt.Sprintf("%.1f,%.1f", px, py))
			add(`<circle cx="%.1f" cy="%.1f" r="3.5" fill="%s"/>`, px, py, l.colour)
		}
		stroke := fmt.Sprintf(`stroke="%s" stroke-width="2" stroke-dasharray="%s"`, l.colour, l.dashes)
		add(`<polyline points="%s" fill="none" %s/>`, strings.Join(corners, " "), stroke)
		legend := height + 64 + 20*i
		add(`<path d="M0 %dh30" %s/><text x="40" y="%d">%s</text>`, legend, stroke, legend+4, escaped(l.name))
	}
	return out.String()
}

func escaped(text string) string {
	var out strings.Builder
	_ = xml.EscapeText(&out, []byte(text)) // a strings.Builder accepts everything
	return out.String()
}

// describe puts the figure into words, for readers who cannot see it.
func describe(all []costs) string {
	var out strings.Builder
	out.WriteString("One more ban costs, in bytes and time:")
	for i, c := range all {
		if i > 0 {
			out.WriteByte(';')
		}
		fmt.Fprintf(&out, " with %s in force, over %s", grouped(c.bans), network(c.link))
		for _, d := range drawn {
			t := typical(c.of[d.way][d.kind])
			fmt.Fprintf(&out, ", %s: %s and %s", d.name, bytes(t.bytes()), brief(t.wall))
		}
	}
	out.WriteByte('.')
	return out.String()
}
