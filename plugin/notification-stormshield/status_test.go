package main

import (
	"context"
	"encoding/json"
	"io"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"notification-stormshield/plugin/health"
)

// withSamples returns a harness whose state has one ban and two samples.
func withSamples(t *testing.T) *harness {
	t.Helper()
	h := newHarness(t)
	now := time.Now()
	for _, ago := range []time.Duration{2 * time.Hour, 0} {
		if ago == 0 {
			h.record("203.0.113.7", 0)
		}
		if err := h.openLedger().RecordSample(t.Context(), now.Add(-ago)); err != nil {
			t.Fatal(err)
		}
	}
	held := h.hold()
	t.Cleanup(func() { _ = held.Release() })
	return h
}

func TestStatusShowsTheLast24HoursOnATerminalAlone(t *testing.T) {
	t.Setenv("TERM", "xterm")
	t.Setenv("LC_ALL", "C.UTF-8")
	h := withSamples(t)
	if _, out, _ := h.run("status", "-c", h.file); strings.Contains(out, "24 hours") || strings.Contains(out, "\x1b") {
		t.Errorf("in a log:\n%s", out)
	}
	program, screen := terminal(t)
	if status := run(t.Context(), []string{"status", "-c", h.file}, program, io.Discard); status != 0 {
		t.Errorf("status %d", status)
	}
	out := see(t, screen, "state ")
	if want := "  last 24 hours   " + strings.Repeat(" ", 43) + "▁   █  least 0, most 1\r\n"; !strings.Contains(out, want) {
		t.Errorf("it lacks %q:\n%s", want, out)
	}
}

func TestStatusPrintsTheHistoryAsJSON(t *testing.T) {
	h := withSamples(t)
	_, out, _ := h.run("status", "-c", h.file, "--json")
	var got struct{ History []map[string]any }
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.History) != 2 {
		t.Fatalf("%d samples:\n%s", len(got.History), out)
	}
	last := got.History[1]
	at, err := time.Parse(time.RFC3339, last["at"].(string))
	if err != nil || time.Since(at) > time.Minute || last["in_force"] != 1.0 || last["pending"] != 1.0 || last["waiting"] != 0.0 {
		t.Errorf("the last one is %v, %v", last, err)
	}
}

func TestTheHelpOfStatusNamesEachKeyOfItsJSON(t *testing.T) {
	_, keys, _ := strings.Cut(statusCommand().help, "With --json:")
	var visit func(reflect.Type)
	visit = func(of reflect.Type) {
		switch {
		case of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice:
			visit(of.Elem())
		case of.Kind() == reflect.Struct && of != reflect.TypeFor[time.Time]():
			for i := range of.NumField() {
				field := of.Field(i)
				key, _, _ := strings.Cut(field.Tag.Get("json"), ",")
				if field.IsExported() && !regexp.MustCompile(`\b`+key+`\b`).MatchString(keys) {
					t.Errorf("it lacks %s", key)
				}
				visit(field.Type)
			}
		}
	}
	visit(reflect.TypeFor[status]())
}

func TestAWatchClearsATerminalBeforeEachLook(t *testing.T) {
	t.Setenv("TERM", "xterm")
	h := withSamples(t)
	program, screen := terminal(t)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan int)
	go func() {
		ended <- run(ctx, []string{"status", "-c", h.file, "--watch=10ms"}, program, io.Discard)
	}()
	const start = "\x1b[H\x1b[2J20"
	out := see(t, screen, start)
	out += see(t, screen, start)
	stop()
	if status := <-ended; status != 0 {
		t.Errorf("status %d", status)
	}
	if strings.Contains(out, "\r\n\r\n\x1b") {
		t.Errorf("a blank line ends a look: %q", out)
	}
}

func TestASparklineShowsEachHalfHour(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	at := func(ago time.Duration, bans int) sample { return sample{At: now.Add(-ago), InForce: bans} }
	day := func(line string, column int) string { return strings.Repeat(" ", column) + line }
	for name, c := range map[string]struct {
		samples []sample
		want    string
	}{
		"one":             {[]sample{at(0, 5)}, day("▁", 47) + "  least 5, most 5"},
		"all are 0":       {[]sample{at(30*time.Minute, 0), at(0, 0)}, day("▁▁", 46) + "  least 0, most 0"},
		"the most counts": {[]sample{at(29*time.Minute, 0), at(20*time.Minute, 70), at(0, 10)}, day("█", 47) + "  least 0, most 70"},
		"a gap": {[]sample{at(24*time.Hour-time.Millisecond, 100), at(2*time.Hour, 110), at(90*time.Minute, 120), at(0, 170)},
			"▁" + day("▂▃  █", 42) + "  least 100, most 170"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("LC_ALL", "")
			t.Setenv("LC_CTYPE", "de_DE.utf8")
			if got := sparkline(c.samples, now); got != c.want {
				t.Errorf("%q\nnot %q", got, c.want)
			}
			t.Setenv("LC_ALL", "C") // counts before LC_CTYPE
			if got := sparkline(c.samples, now); got != c.want[strings.Index(c.want, "least"):] {
				t.Errorf("without UTF-8: %q", got)
			}
		})
	}
}

// sharedStatus is a look at a state that the machines a and b share, from the machine a.
func sharedStatus(now time.Time) status {
	process, seen, beforeHour := 4711, now.Add(-2*time.Second), now.Add(-time.Hour)
	return status{at: now, Report: health.Report{
		Name: "test", Host: "192.0.2.1", SSH: true, Enforce: "blacklist", Working: true, Process: &process, Contents: &health.Contents{InForce: 7},
		Shared: &health.Shared{Place: "plugin@db:5432/crowdsec", Machine: "a", Holder: "b", Machines: []health.Machine{
			{Name: "a", Seen: &seen, Version: "1.2.3"},
			{Name: "b", Seen: &seen, Holder: true, Waiting: 1, LocalAPI: &health.Reads{UnreadSince: &beforeHour, Error: "connection refused"}},
			{Name: "c", Seen: &beforeHour},
		}},
	}}
}

func TestStatusShowsTheMachinesThatShareTheState(t *testing.T) {
	var out strings.Builder
	if err := sharedStatus(time.Now()).print(&out); err != nil {
		t.Fatal(err)
	}
	for _, row := range []string{
		`database +plugin@db:5432/crowdsec`, `outbox +no decision waits`, `machine a +this one, stands by, last seen 2s ago, version 1.2.3`,
		`machine b +enforces, last seen 2s ago, 1 decision waits, its Local API not read for 1h: connection refused`,
		`machine c +last seen 1h ago \(hint: does CrowdSec run there, .*\)`,
	} {
		if !regexp.MustCompile(`(?m)^  ` + row + `$`).MatchString(out.String()) {
			t.Errorf("it lacks %q:\n%s", row, out.String())
		}
	}
}

// Without the database, every number would be wrong.
func TestStatusPrintsNoNumberWithoutTheDatabaseOfASharedState(t *testing.T) {
	s := sharedStatus(time.Now())
	beforeHour := s.at.Add(-time.Hour)
	s.Contents, s.Working, s.Problem = nil, false, "the database of the shared state cannot be used for 1h"
	s.Shared = &health.Shared{
		Place: "plugin@db:5432/crowdsec", Machine: "a", AwaySince: &beforeHour, Error: "connection refused", Alone: true, Waiting: 12, WaitingSince: &beforeHour,
	}
	var out strings.Builder
	if err := s.print(&out); err != nil {
		t.Fatal(err)
	}
	for _, row := range []string{
		`test, the appliance at 192.0.2.1: NOT WORKING: the database of the shared state cannot be used for 1h`,
		`  bans in force +not known`, `  pending +not known`, `  last flush +not known`, `  last re-assert +not known`, `  process +4711`,
		`  database +plugin@db:5432/crowdsec, cannot be used for 1h: connection refused`, `  outbox +12 decisions wait, for up to 1h`,
		`  machine a +this one, goes on alone`, `  other machines +not known`,
	} {
		if !regexp.MustCompile(`(?m)^` + row + `$`).MatchString(out.String()) {
			t.Errorf("it lacks %q:\n%s", row, out.String())
		}
	}
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var printed map[string]any
	if err := json.Unmarshal(text, &printed); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"in_force", "to_block", "to_unblock", "last_flush", "trouble", "local_api"} {
		if value, found := printed[key]; found {
			t.Errorf("%s is %v, and is not known", key, value)
		}
	}
	if shared, _ := printed["shared"].(map[string]any); shared["alone"] != true || shared["machines"] != nil || shared["waiting"] != 12.0 {
		t.Errorf("shared is %v", printed["shared"])
	}
}
