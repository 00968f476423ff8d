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

// example are made-up costs: both ways, both networks, two numbers of bans.
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

func TestFigureShowsBothWaysInBytesAndInTimeOverBothNetworks(t *testing.T) {
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
		"whole files", "the change alone, loopback", "whole files, 20 Mbit/s, 20 ms", "With 100,000 in force, over loopback: 9.0 MB and 20.0 s against 10.0 kB and 1.00 s.",
	} {
		if !strings.Contains(all, text) {
			t.Errorf("no %q", text)
		}
	}
	if len(polylines) != 6 {
		t.Fatalf("%d lines, want 2 of bytes and 4 of times", len(polylines))
	}
	// Whole files from 10 kB to 9 MB, between 10 kB and 10 MB: almost the whole height.
	want := [][2]float64{{0, height}, {width, height * (1 - math.Log10(900.1)/3)}}
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
