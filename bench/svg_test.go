package main

import (
	"encoding/xml"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"notification-stormshield/stormshield/snstest"
)

// element is any element of a picture.
type element struct {
	XMLName  xml.Name
	Attrs    []xml.Attr `xml:",any,attr"`
	Children []element  `xml:",any"`
	Text     string     `xml:",chardata"`
}

func (e element) attr(name string) string {
	for _, a := range e.Attrs {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

func (e element) number(t *testing.T, name string) float64 {
	t.Helper()
	v, err := strconv.ParseFloat(e.attr(name), 64)
	if err != nil {
		t.Fatalf("%s of %s: %v", name, e.XMLName.Local, err)
	}
	return v
}

// all returns the elements of a name directly within this one.
func (e element) all(name string) []element {
	var found []element
	for _, c := range e.Children {
		if c.XMLName.Local == name {
			found = append(found, c)
		}
	}
	return found
}

// holds tells whether a text stands in the element, at any depth.
func (e element) holds(text string) bool {
	if strings.Contains(e.Text, text) {
		return true
	}
	for _, c := range e.Children {
		if c.holds(text) {
			return true
		}
	}
	return false
}

func parsed(t *testing.T, svg string) element {
	t.Helper()
	var root element
	if err := xml.Unmarshal([]byte(svg), &root); err != nil {
		t.Fatalf("not well formed: %v\n%s", err, svg)
	}
	if root.XMLName.Local != "svg" || root.XMLName.Space != "http://www.w3.org/2000/svg" {
		t.Fatalf("the root is %v", root.XMLName)
	}
	return root
}

func oneSeries(points ...point) chart {
	plain := func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
	return chart{title: "a < b", description: `"c" & d`, panels: []panel{{
		title: "panel", x: axis{"across", plain}, y: axis{"upward", plain},
		series: []series{{name: "this & that", colour: "#123456", dashed: true, points: points}},
	}}}
}

func TestPointsAreWhereTheirLogarithmsAre(t *testing.T) {
	root := parsed(t, oneSeries(point{1000, 10}, point{3_000, 100}, point{100_000, 990}).svg())
	g := root.all("g")[0]
	circles := g.all("circle")
	if len(circles) != 3+1 { // and one in the legend
		t.Fatalf("%d circles", len(circles))
	}
	// Across, from 1,000 to 100,000; upward, from 10 to 1,000.
	third, half := float64(plotWidth)/2*math.Log10(3), float64(plotHeight)/2
	for i, want := range []point{{0, plotHeight}, {third, half}, {plotWidth, half * (1 - math.Log10(9.9))}} {
		x, y := circles[i].number(t, "cx"), circles[i].number(t, "cy")
		if math.Abs(x-want.x) > 0.06 || math.Abs(y-want.y) > 0.06 {
			t.Errorf("point %d is at %.1f, %.1f, want %.1f, %.1f", i, x, y, want.x, want.y)
		}
	}
	lines := g.all("polyline")
	if len(lines) != 1 || lines[0].attr("stroke") != "#123456" || lines[0].attr("stroke-dasharray") == "" {
		t.Errorf("lines %+v", lines)
	}
	var corners []string
	for _, c := range circles[:3] {
		corners = append(corners, c.attr("cx")+","+c.attr("cy"))
	}
	if got := lines[0].attr("points"); got != strings.Join(corners, " ") {
		t.Errorf("the line goes by %s, the points are at %s", got, corners)
	}
}

func TestAxesAreLabelledAndTickedAtTheNumbersAcrossAndAtPowersOfTenUpward(t *testing.T) {
	root := parsed(t, oneSeries(point{1000, 2}, point{10_000, 5}, point{300_000, 90}).svg())
	g := root.all("g")[0]
	at := map[string]element{}
	for _, text := range g.all("text") {
		at[text.Text] = text
	}
	for tick, x := range map[string]float64{"1000": 0, "10000": plotWidth / math.Log10(300), "300000": plotWidth} {
		if got, want := at[tick].attr("x"), pixels(x); got != want {
			t.Errorf("tick %s is at %q, want %s", tick, got, want)
		}
	}
	for i, tick := range []string{"1", "10", "100"} {
		if got, want := at[tick].attr("y"), pixels(plotHeight-float64(i)*plotHeight/2+4); got != want {
			t.Errorf("tick %s is at %q, want %s", tick, got, want)
		}
	}
	for _, text := range []string{"across", "upward", "panel", "this & that"} {
		if !g.holds(text) {
			t.Errorf("no %q", text)
		}
	}
}

func TestAPictureSaysWhatItShowsAndHasItsOwnBackground(t *testing.T) {
	c := oneSeries(point{1, 1})
	root := parsed(t, c.svg())
	if title := root.all("title"); len(title) != 1 || title[0].Text != c.title {
		t.Errorf("title %+v", title)
	}
	if desc := root.all("desc"); len(desc) != 1 || desc[0].Text != c.description {
		t.Errorf("description %+v", desc)
	}
	back := root.all("rect")
	if len(back) != 1 || back[0].attr("fill") != background || back[0].number(t, "width")+1 != root.number(t, "width") {
		t.Errorf("background %+v", back)
	}
	if again := oneSeries(point{1, 1}); again.svg() != c.svg() {
		t.Error("the same chart is another text")
	}
}

func TestAPanelWithoutPointsIsDrawn(t *testing.T) {
	if svg := oneSeries().svg(); strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") {
		t.Errorf("not a number in %s", svg)
	}
	parsed(t, oneSeries().svg())
}

// example is what flushes cost, made up: both ways, both networks, two numbers of bans.
func example() []costs {
	var all []costs
	for i, bans := range []int{1_000, 100_000} {
		for _, link := range []snstest.Link{{}, emulated} {
			c := costs{bans: bans, link: link}
			for way := range ways {
				for k := range kinds {
					each := cost{wall: time.Second, sshUp: 9_000, sshDown: 1_000, shellCPU: 7 * time.Millisecond, connections: 1, logins: 1}
					if way == wholeFiles {
						each.sshUp *= int64(1 + 999*i)
						each.wall *= 20
						each.shellCPU = 5 * time.Millisecond
					}
					c.of[way][k] = []cost{each}
				}
			}
			all = append(all, c)
		}
	}
	return all
}

func TestTheFigureShowsBothWaysInBytesAndInTimeOverBothNetworks(t *testing.T) {
	f := figure(example())
	if len(f.panels) != 2 || len(f.panels[0].series) != 2 || len(f.panels[1].series) != 4 {
		t.Fatalf("%+v", f)
	}
	whole := f.panels[0].series[0]
	if want := []point{{1_000, 10_000}, {100_000, 9_001_000}}; whole.name != "whole files" || len(whole.points) != 2 || whole.points[0] != want[0] || whole.points[1] != want[1] {
		t.Errorf("bytes of whole files: %+v, want %v", whole, want)
	}
	for _, s := range f.panels[1].series {
		if len(s.points) != 2 {
			t.Errorf("%s has %d points", s.name, len(s.points))
		}
	}
	root := parsed(t, f.svg())
	for _, text := range []string{"bytes", "time", "bans in force", "100,000", "10 kB", "1 MB", "10 s", "the change alone, loopback", "whole files, 20 Mbit/s, 20 ms"} {
		if !root.holds(text) {
			t.Errorf("no %q", text)
		}
	}
}
