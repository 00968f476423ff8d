package acceptance_test

import (
	"bytes"
	"strings"
	"testing"

	"notification-stormshield/stormshield/acceptance"
)

// The plugin made the sections that the files lacked. The check keeps them, and cleanup removes them.
func TestCheckAndWriteKeepsTheSectionsThatAFlushMade(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		lacks        string   // the section that the administrator's file does not have; empty: both
		bans, ended  []string // flushed before the check
		administered string   // a line that the administrator adds to [Network] before the check
	}{
		"a range in force, no [Network] before":                   {lacks: "Network", bans: []string{"203.0.113.0/24"}},
		"an address in force, no [Host] before":                   {lacks: "Host", bans: []string{"192.0.2.1/32"}},
		"the last range ended, no [Network] before":               {lacks: "Network", bans: []string{"203.0.113.0/24"}, ended: []string{"203.0.113.0/24"}},
		"a range beside an administrator's, none before":          {lacks: "Network", bans: []string{"203.0.113.0/24"}, administered: "lan=10.0.0.0/24"},
		"an administrator's network in the section alone":         {lacks: "Network", bans: []string{"203.0.113.0/24"}, ended: []string{"203.0.113.0/24"}, administered: "lan=10.0.0.0/24"},
		"an address in force, the check makes [Network]":          {lacks: "Network", bans: []string{"192.0.2.1/32"}},
		"an address and a range in force, neither section before": {bans: []string{"192.0.2.1/32", "203.0.113.0/24"}},
	} {
		t.Run(name, func(t *testing.T) {
			h := start(t)
			write := func(file string, text []byte) {
				if err := h.Sim.Write(file, text); err != nil {
					t.Fatal(err)
				}
			}
			object := withoutSection(h.Sim.Read("object"), c.lacks)
			if c.lacks == "" {
				object = withoutSection(withoutSection(object, "Host"), "Network")
			}
			write("object", object)
			write("objectgroup", []byte("# no group lists what the file lacks\n"))
			untouched, groups := h.Sim.Read("object"), h.Sim.Read("objectgroup")
			h.MustFlush(prefixes(c.bans...), nil, false)
			h.MustFlush(nil, prefixes(c.ended...), false)
			if c.administered != "" {
				write("object", bytes.Replace(h.Sim.Read("object"), []byte("[Network]\n"), []byte("[Network]\n"+c.administered+"\n"), 1))
				h.MustFlush(prefixes("192.0.2.9/32"), nil, false)
			}
			objectgroup := h.Sim.Read("objectgroup")
			object = h.Sim.Read("object")
			last := acceptance.Finding{}
			for _, f := range h.checkAndWrite() {
				if f.Verdict != acceptance.Holds {
					t.Errorf("%s: %s %s %v", f.Verdict, f.Subject, f.Detail, f.Err)
				}
				last = f
			}
			h.wantUntouched(object, objectgroup)
			if !strings.Contains(last.Detail, "byte for byte") {
				t.Errorf("the check ends with %q", last.Detail)
			}
			if _, err := h.Client.Cleanup(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			want := untouched
			if c.administered != "" { // that section stays, without our lines
				want = append(bytes.Clone(untouched), []byte("[Network]\n"+c.administered+"\n")...)
			}
			if got := h.Sim.Read("object"); !bytes.Equal(got, want) {
				t.Errorf("after cleanup, object is\n%s\nwant\n%s", got, want)
			}
			if got := h.Sim.Read("objectgroup"); !bytes.Equal(got, groups) {
				t.Errorf("after cleanup, objectgroup is\n%s\nwant\n%s", got, groups)
			}
		})
	}
}

// withoutSection returns a text without a section.
func withoutSection(text []byte, section string) []byte {
	var kept bytes.Buffer
	inside := false
	for line := range bytes.Lines(text) {
		if bytes.HasPrefix(line, []byte("[")) {
			inside = string(bytes.TrimSpace(line)) == "["+section+"]"
		}
		if !inside {
			kept.Write(line)
		}
	}
	return kept.Bytes()
}
