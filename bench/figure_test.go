package main

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"notification-stormshield/stormshield/snstest"
)

// example are made-up costs: all ways, both networks, two numbers of bans.
func example() []costs {
	var all []costs
	for i, bans := range []int{1_000, 100_000} {
		for _, link := range []snstest.Link{{}, emulated} {
			c := costs{bans: bans, link: link}
			api, ssh := traffic{up: 1_000, down: 7_000, connections: 1, logins: 1}, traffic{up: 9_000, down: 1_000, connections: 1, logins: 1}
			for _, k := range []kind{oneMore, oneEnded, reassertion} {
				c.of[changeOnly][k] = []cost{{wall: time.Second / 10, api: api}}
				c.of[withoutSSH][k] = c.of[changeOnly][k]
			}
			for _, k := range []kind{first, oneRange, thousandMore, reassertionWithFiles} {
				c.of[changeOnly][k] = []cost{{wall: time.Second, api: api, ssh: ssh, shellCPU: 7 * time.Millisecond}}
				whole := ssh
				whole.up *= int64(1 + 999*i)
				c.of[wholeFiles][k] = []cost{{wall: 20 * time.Second, api: api, ssh: whole, shellCPU: 5 * time.Millisecond}}
			}
			all = append(all, c)
		}
	}
	return all
}

func TestFigureShowsBytesAndTimesOfAnAddressAndARangeOverBothNetworks(t *testing.T) {
	svg := figure(example())
	var texts, polylines []string
	for d := xml.NewDecoder(strings.NewReader(svg)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("not well formed: %v\n%s", err, svg)
		}
		switch e := token.(type) {
		case xml.CharData:
			texts = append(texts, string(e))
		case xml.StartElement:
			for _, a := range e.Attr {
				if e.Name.Local == "polyline" && a.Name.Local == "points" {
					polylines = append(polylines, a.Value)
				}
			}
		}
	}
	all := strings.Join(texts, "\n")
	if strings.Contains(svg, "%!") {
		t.Errorf("the figure has a wrong formatting verb: %s", svg)
	}
	for _, text := range []string{
		"bytes", "time", "bans in force", "1,000", "100,000", "10 kB", "10 MB", "1 s", "100 s",
		"a range, as whole files", "a range, the change alone, loopback", "an address, over the API alone, 20 Mbit/s, 20 ms",
		"with 100,000 in force, over loopback, a range, as whole files: 9.0 MB and 20.0 s, a range, the change alone: 18.0 kB and 1.00 s, " +
			"an address, over the API alone: 8.0 kB and 100 ms",
	} {
		if !strings.Contains(all, text) {
			t.Errorf("no %q", text)
		}
	}
	if len(polylines) != 9 {
		t.Fatalf("%d lines, want 3 of bytes and 6 of times", len(polylines))
	}
	// Whole files from 18 kB to 9 MB, between 1 kB and 10 MB.
	want := [][2]float64{{0, height * (1 - math.Log10(18)/4)}, {width, height * (1 - math.Log10(9_009)/4)}}
	corners := strings.Fields(polylines[0])
	if len(corners) != len(want) {
		t.Fatalf("the line of whole files is %q", polylines[0])
	}
	for i, corner := range corners {
		x, y, _ := strings.Cut(corner, ",")
		for j, text := range []string{x, y} {
			if got, err := strconv.ParseFloat(text, 64); err != nil || math.Abs(got-want[i][j]) > 0.06 {
				t.Errorf("point %d is at %s (%v), want %v", i, corner, err, want[i])
			}
		}
	}
}

func TestFigureWithoutCostsIsDrawn(t *testing.T) {
	if svg := figure(nil); strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") || xml.Unmarshal([]byte(svg), new(struct{})) != nil {
		t.Errorf("drawn: %s", svg)
	}
}
