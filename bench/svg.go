package main

import (
	"encoding/xml"
	"fmt"
	"math"
	"slices"
	"strings"
)

// chart is panels side by side, each a diagram whose axes are both
// logarithmic. The same chart is always the same text.
type chart struct {
	title, description string
	panels             []panel
}

// panel is one diagram.
type panel struct {
	title  string
	x, y   axis
	series []series
}

type axis struct {
	label  string
	format func(float64) string // of a tick
}

// series is points joined by a line.
type series struct {
	name   string
	colour string
	dashed bool
	points []point
}

// point is a pair of positive values.
type point struct{ x, y float64 }

// Measures in pixels. A panel's diagram lies within margins.
const (
	panelWidth   = 470
	plotWidth    = 360
	plotHeight   = 270
	marginLeft   = 84
	marginRight  = 24
	marginTop    = 90
	belowPlot    = 64 // where the legend begins
	legendLine   = 20
	marginBottom = 16
)

// Colours for a background of its own, so that it reads the same on a dark
// page.
const (
	background = "#ffffff"
	ink        = "#1f2328"
	faint      = "#59636e"
	gridLine   = "#d8dee4"
)

// svg draws the chart.
func (c chart) svg() string {
	legend := 0
	for _, p := range c.panels {
		legend = max(legend, len(p.series))
	}
	width, height := panelWidth*len(c.panels)+marginRight, marginTop+plotHeight+belowPlot+legend*legendLine+marginBottom
	d := &drawing{}
	d.add(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img" aria-labelledby="title desc" `+
		`font-family="system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif" font-size="12" fill="%s">`, width, height, width, height, ink)
	d.add(`<title id="title">%s</title>`, escaped(c.title))
	d.add(`<desc id="desc">%s</desc>`, escaped(c.description))
	d.add(`<rect x="0.5" y="0.5" width="%d" height="%d" rx="8" fill="%s" stroke="%s"/>`, width-1, height-1, background, gridLine)
	d.add(`<text x="%d" y="32" font-size="18" font-weight="600">%s</text>`, marginLeft, escaped(c.title))
	for i, p := range c.panels {
		d.add(`<g transform="translate(%d %d)">`, i*panelWidth+marginLeft, marginTop)
		p.draw(d)
		d.add(`</g>`)
	}
	d.add(`</svg>`)
	return d.text.String()
}

// draw draws a panel whose diagram has its upper left corner at the origin.
func (p panel) draw(d *drawing) {
	xs, ys := p.values()
	x, y := exactScale(xs, 0, plotWidth), decadeScale(ys, plotHeight, 0)
	d.add(`<text x="0" y="-18" font-size="14" font-weight="600">%s</text>`, escaped(p.title))
	for _, v := range xs {
		d.add(`<line x1="%[1]s" y1="0" x2="%[1]s" y2="%[2]d" stroke="%[3]s"/>`, pixels(x.at(v)), plotHeight, gridLine)
		d.add(`<text x="%s" y="%d" text-anchor="middle" fill="%s">%s</text>`, pixels(x.at(v)), plotHeight+18, faint, escaped(p.x.format(v)))
	}
	for _, v := range y.decades() {
		d.add(`<line x1="0" y1="%[1]s" x2="%[2]d" y2="%[1]s" stroke="%[3]s"/>`, pixels(y.at(v)), plotWidth, gridLine)
		d.add(`<text x="-8" y="%s" text-anchor="end" fill="%s">%s</text>`, pixels(y.at(v)+4), faint, escaped(p.y.format(v)))
	}
	d.add(`<text x="%d" y="%d" text-anchor="middle">%s</text>`, plotWidth/2, plotHeight+40, escaped(p.x.label))
	d.add(`<text transform="translate(-64 %d) rotate(-90)" text-anchor="middle">%s</text>`, plotHeight/2, escaped(p.y.label))
	for i, s := range p.series {
		s.draw(d, x, y)
		s.explain(d, plotHeight+belowPlot+i*legendLine)
	}
}

// values are those of all points, each once, from small to large.
func (p panel) values() (xs, ys []float64) {
	for _, s := range p.series {
		for _, at := range s.points {
			xs, ys = append(xs, at.x), append(ys, at.y)
		}
	}
	slices.Sort(xs)
	slices.Sort(ys)
	return slices.Compact(xs), slices.Compact(ys)
}

func (s series) draw(d *drawing, x, y scale) {
	corners := column(s.points, func(p point) string { return pixels(x.at(p.x)) + "," + pixels(y.at(p.y)) })
	d.add(`<polyline points="%s" fill="none" stroke="%s" stroke-width="2"%s/>`, strings.Join(corners, " "), s.colour, s.dashes())
	for _, p := range s.points {
		d.add(`<circle cx="%s" cy="%s" r="3.5" fill="%s"/>`, pixels(x.at(p.x)), pixels(y.at(p.y)), s.colour)
	}
}

// explain draws a line of the legend.
func (s series) explain(d *drawing, y int) {
	d.add(`<line x1="0" y1="%[1]d" x2="30" y2="%[1]d" stroke="%[2]s" stroke-width="2"%[3]s/>`, y, s.colour, s.dashes())
	d.add(`<circle cx="15" cy="%d" r="3.5" fill="%s"/>`, y, s.colour)
	d.add(`<text x="40" y="%d">%s</text>`, y+4, escaped(s.name))
}

func (s series) dashes() string {
	if s.dashed {
		return ` stroke-dasharray="6 4"`
	}
	return ""
}

// scale maps values to pixels, each decade to as many.
type scale struct {
	low, high float64 // exponents of ten
	from, to  float64
}

// exactScale spans sorted values; only they have ticks.
func exactScale(values []float64, from, to float64) scale {
	s := scale{high: 1, from: from, to: to}
	if n := len(values); n > 0 {
		s.low, s.high = math.Log10(values[0]), math.Log10(values[n-1])
	}
	if s.high == s.low {
		s.high++
	}
	return s
}

// decadeScale spans whole decades around sorted values.
func decadeScale(values []float64, from, to float64) scale {
	s := exactScale(values, from, to)
	s.low, s.high = math.Floor(s.low), math.Ceil(s.high)
	return s
}

func (s scale) at(v float64) float64 {
	return s.from + (math.Log10(v)-s.low)/(s.high-s.low)*(s.to-s.from)
}

// decades are the powers of ten on the scale.
func (s scale) decades() []float64 {
	var values []float64
	for exponent := s.low; exponent <= s.high; exponent++ {
		values = append(values, math.Pow(10, exponent))
	}
	return values
}

// drawing collects elements.
type drawing struct{ text strings.Builder }

func (d *drawing) add(format string, args ...any) { fmt.Fprintf(&d.text, format+"\n", args...) }

func pixels(v float64) string { return fmt.Sprintf("%.1f", v) }

func escaped(text string) string {
	var out strings.Builder
	_ = xml.EscapeText(&out, []byte(text)) // a strings.Builder takes everything
	return out.String()
}
