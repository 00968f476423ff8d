package metrics

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"notification-stormshield/plugin/ban"
	"notification-stormshield/plugin/health"
	"notification-stormshield/plugin/ledger"
)

var pageTime = time.Date(2026, 11, 27, 3, 4, 5, 0, time.UTC)

func timeBefore(d time.Duration) *time.Time {
	at := pageTime.Add(-d)
	return &at
}

// exampleView returns an appliance that works, with a whole history and 20 bans.
func exampleView() view {
	process := 4711
	v := view{Report: health.Report{
		Name: "stormshield_default", Host: "192.0.2.1", SSH: true, Enforce: "blacklist", MaxBans: 8000, Working: true, Process: &process,
		Contents: &health.Contents{
			InForce:        1204,
			InForceByClass: ledger.Counts{ban.Local: 4, ban.Imported: 200, ban.Remote: 1000}, WaitingByClass: ledger.Counts{},
			LastFlush: timeBefore(3 * time.Minute), LastReassert: timeBefore(7 * time.Minute),
			LocalAPI: &health.LocalAPI{LastRead: timeBefore(4 * time.Second)}, Files: &health.Files{Compared: timeBefore(7 * time.Minute)},
		},
	}}
	for i := range 288 {
		v.History = append(v.History, ledger.Sample{At: pageTime.Add(-chartSpan + time.Duration(i+1)*5*time.Minute - time.Minute), InForce: 1000 + i})
	}
	for i := range 20 {
		v.Recent = append(v.Recent, ledger.RecentBan{
			Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}), 32), Until: pageTime.Add(4 * time.Hour), Class: ban.Local,
			Origin: "crowdsec", Scenario: "crowdsecurity/ssh-bf", Blocked: i > 0,
		})
	}
	return v
}

func render(t testing.TB, views ...view) string {
	t.Helper()
	var out bytes.Buffer
	if err := renderPage(&out, page{Version: "1.2.3", At: pageTime, Appliances: views}); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

var tags = regexp.MustCompile(`<[^>]*>`)

// words returns the text of a page without its tags and its style.
func words(html string) string {
	_, html, _ = strings.Cut(html, "</style>")
	return strings.Join(strings.Fields(tags.ReplaceAllString(html, " ")), " ")
}

func checkContains(t *testing.T, text string, wanted ...string) {
	t.Helper()
	for _, w := range wanted {
		if !strings.Contains(text, w) {
			t.Errorf("the page does not contain %q:\n%s", w, text)
		}
	}
}

func TestThePageShowsHealthNumbersAndNewestBans(t *testing.T) {
	t.Parallel()
	checkContains(t, words(render(t, exampleView())),
		"stormshield_default the appliance at 192.0.2.1", "✓ working", "Bans in force 1,204", "Pending nothing", "Logins allowed",
		"Local API read 4s ago", "Last flush 3m", "detections and manual decisions of this CrowdSec 4 0",
		"198.51.100.0 ○ not yet 4h", "198.51.100.1 ● blocked 4h", "crowdsecurity/ssh-bf crowdsec local", "1,204 now; lowest 1,000, highest 1,287.")
}

func TestThePageShowsTroubleWithItsHints(t *testing.T) {
	t.Parallel()
	v := exampleView()
	v.Report.Working, v.Report.Problem = false, "flushes have failed for 12m (hint: the error says why; `check` tries everything)"
	v.Report.Trouble = &health.Trouble{Text: "dial tcp 192.0.2.1:443: connection refused (hint: is the API on?)", Since: *timeBefore(12 * time.Minute), Last: *timeBefore(20 * time.Second), Count: 7}
	v.Report.ToBlock, v.Report.ToUnblock, v.Report.PendingSince = 1200, 3, timeBefore(12*time.Minute)
	v.Report.HoldOff = &health.HoldOff{Until: pageTime.Add(25 * time.Minute), Refused: 1, Reason: "authentication failed", Hint: "correct api_password"}
	v.Report.LocalAPI = &health.LocalAPI{UnreadSince: timeBefore(5 * time.Minute), Error: "connection refused (hint: is CrowdSec running?)"}
	v.Report.WaitingByClass = ledger.Counts{ban.Remote: 3}
	checkContains(t, render(t, v), `class="verdict bad"`, "<title>✕ NOT WORKING")
	checkContains(t, words(render(t, v)),
		"✕ NOT WORKING : flushes have failed for 12m", "Hint: the error says why; `check` tries everything",
		"Last error, 20s ago, 7 in a row for 12m", "connection refused Hint: is the API on?",
		"1,200 to block, 3 to unblock, the oldest for 12m",
		"none is tried until 03:29:05, for 25m", "1 failed in a row, the last: authentication failed Hint: correct api_password",
		"not read for 5m", "Hint: is CrowdSec running?", "3 bans, because of max_bans (8,000) Hint: set decisions.max_bans higher")
}

func TestThePageSaysThatTheRuleObserves(t *testing.T) {
	t.Parallel()
	v := exampleView()
	v.Report.Enforce, v.Report.Observing = "rule", true
	checkContains(t, words(render(t, v)), "◐ working, observing : the filter rule only logs, nothing is blocked", "Filter rule only logs; it has all changes",
		"In the rule 1,204", "198.51.100.1 ● in the rule")
}

func TestTheDetailsSayHowBansAreEnforced(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*health.Report)
		want   string
	}{
		"no SSH":       {func(r *health.Report) { r.Files = nil }, "SSH not used; over the API alone: single addresses, no ranges, at most 8,000 bans (max_bans)"},
		"alerts alone": {func(r *health.Report) { r.LocalAPI = nil }, "Local API not followed; bans come from alerts alone"},
		"a rule":       {func(r *health.Report) { r.Enforce = "both" }, "Filter rule enforces beside the blacklist; it has all changes"},
		"a stale rule": {func(r *health.Report) { r.Enforce, r.RuleStaleSince = "rule", timeBefore(time.Minute) },
			"Filter rule enforces alone; it has lacked changes of the group for 1m"},
		"a cut flush":  {func(r *health.Report) { r.PendingSince = timeBefore(time.Minute) }, "Pending a flush was cut 1m ago; the next one compares the files"},
		"files follow": {func(r *health.Report) { r.Files.ToWrite = 3 }, "Files compared 7m ago; 3 to write"},
		"a warning": {func(r *health.Report) {
			r.Trouble = &health.Trouble{Text: "look at it", Since: *timeBefore(time.Hour), Last: *timeBefore(time.Minute), Count: 2, Warning: true}
		}, "Warning of the last flush, 1m ago, 2 in a row for 1h look at it"},
		"files that fail": {func(r *health.Report) {
			r.Trouble = &health.Trouble{Text: "refused", Since: *timeBefore(time.Hour), Last: *timeBefore(time.Minute), Count: 1, Files: true}
		}, "Files compared 7m ago; not written for 1h"},
		"never": {func(r *health.Report) { r.LastFlush, r.LastReassert, r.NextEnd = nil, nil, nil }, "Last flush not yet Last re-assert not yet Process 4711"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := exampleView()
			test.change(&v.Report)
			checkContains(t, words(render(t, v)), test.want)
		})
	}
}

// Assistive technology finds parts of the page by their IDs.
func TestEachIDOfThePageIsUnique(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, match := range regexp.MustCompile(` id="([^"]*)"`).FindAllStringSubmatch(render(t, exampleView(), exampleView()), -1) {
		if seen[match[1]] {
			t.Errorf("two elements have the ID %s", match[1])
		}
		seen[match[1]] = true
	}
	if len(seen) < 8 {
		t.Errorf("the page has the IDs %v", seen)
	}
}

// Without the state, every number would be wrong.
func TestAViewWithoutAStateShowsTheErrorAndNoNumber(t *testing.T) {
	t.Parallel()
	v := view{Report: health.Report{Name: "stormshield_default", Host: "192.0.2.1", Problem: "the state cannot be read: the disk is full (hint: make room)"}}
	text := words(render(t, v, exampleView()))
	checkContains(t, text, "✕ NOT WORKING : the state cannot be read: the disk is full Hint: make room")
	if strings.Count(text, "Bans in force 1") != 1 {
		t.Errorf("the page shows numbers of an appliance whose state cannot be read:\n%s", text)
	}
}

func TestThePageShowsTheMachinesThatShareTheState(t *testing.T) {
	t.Parallel()
	v := exampleView()
	v.Report.Shared = &health.Shared{
		Place: "stormshield@db:5432/crowdsec", Machine: "a", Holder: "b", Machines: []health.Machine{
			{Name: "a", Seen: timeBefore(2 * time.Second), Version: "1.2.3"}, {Name: "b", Seen: timeBefore(3 * time.Second), Holder: true},
			{Name: "c", Seen: timeBefore(72 * time.Hour)},
		},
	}
	checkContains(t, words(render(t, v)), "Database stormshield@db:5432/crowdsec", "Outbox no decision waits",
		"Machine a this one, stands by, last seen 2s ago, version 1.2.3", "Machine b enforces, last seen 3s ago",
		"Machine c last seen 3d ago Hint: does CrowdSec run there")
}

// Without the database, every number would be wrong.
func TestThePageShowsNoNumberWithoutTheDatabaseOfASharedState(t *testing.T) {
	t.Parallel()
	v := exampleView()
	v.Report.Contents, v.Report.Working, v.Report.Problem = nil, false, "the database of the shared state cannot be used for 5m (hint: start PostgreSQL)"
	v.Report.Shared = &health.Shared{
		Place: "stormshield@db:5432/crowdsec", Machine: "a", AwaySince: timeBefore(5 * time.Minute), Error: "connection refused (hint: start it)",
		Alone: true, Waiting: 12, WaitingSince: timeBefore(4 * time.Minute),
	}
	v.History, v.Recent = nil, nil
	text := words(render(t, v))
	checkContains(t, text, "✕ NOT WORKING : the database of the shared state cannot be used for 5m Hint: start PostgreSQL",
		"Logins allowed", "Database stormshield@db:5432/crowdsec, cannot be used for 5m: connection refused Hint: start it",
		"Outbox 12 decisions wait, for up to 4m", "Machine a this one, goes on alone", "Other machines not known", "Process 4711")
	if strings.Contains(text, "Bans in force") || strings.Contains(text, "Last flush") {
		t.Errorf("the page shows a number that is not known:\n%s", text)
	}
}

func TestTextsOfOthersAreTextAndNotMarkup(t *testing.T) {
	t.Parallel()
	tagCount := len(tags.FindAllString(render(t, exampleView()), -1))
	for _, hostile := range []string{
		`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `javascript:alert(1)`, `</title></style></svg><svg onload=alert(1)>`,
		"nul\x00bell\x07escape\x1b[31m right-to-left \u202e", "{{.Version}}", "' onmouseover='alert(1)", "invalid \xff\xfe",
	} {
		v := exampleView()
		v.Report.Name, v.Report.Host = hostile, hostile
		v.Recent[0].Scenario, v.Recent[0].Origin = hostile, hostile
		v.Report.Working, v.Report.Problem = true, hostile
		html := render(t, v)
		if n := len(tags.FindAllString(html, -1)); n != tagCount {
			t.Errorf("%q adds %d tags", hostile, n-tagCount)
		}
		if strings.ContainsAny(html, "\x00\x07\x1b\u202e") {
			t.Errorf("%q reaches the page with its control characters", hostile)
		}
	}
}

func TestALongTextIsCut(t *testing.T) {
	t.Parallel()
	v := exampleView()
	v.Report.Trouble = &health.Trouble{Text: strings.Repeat("é", 1<<20), Since: pageTime, Last: pageTime, Count: 1}
	if html := render(t, v); len(html) > 40_000 {
		t.Errorf("the page has %d bytes", len(html))
	}
}

func TestThePolicyOfThePageAllowsItsStyleAndNothingElse(t *testing.T) {
	t.Parallel()
	recorder := httptest.NewRecorder()
	sendPage(recorder, httptest.NewRequest(http.MethodGet, "/", nil), page{At: pageTime, Appliances: []view{exampleView()}})
	_, style, _ := strings.Cut(recorder.Body.String(), "<style>")
	style, _, _ = strings.Cut(style, "</style>")
	hash := sha256.Sum256([]byte(style))
	want := fmt.Sprintf("default-src 'none'; style-src 'sha256-%s'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
		base64.StdEncoding.EncodeToString(hash[:]))
	if got := recorder.Header().Get("Content-Security-Policy"); got != want {
		t.Errorf("the policy is %q, want %q", got, want)
	}
	for header, want := range map[string]string{
		"Content-Type": "text/html; charset=utf-8", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
		"Cache-Control": "no-store", "Refresh": "",
	} {
		if got := recorder.Header().Get(header); got != want {
			t.Errorf("%s is %q, want %q", header, got, want)
		}
	}
	for _, needless := range []string{"<script", "style=\"", "http:", "https:", " src="} {
		if strings.Contains(recorder.Body.String(), needless) {
			t.Errorf("the page contains %q", needless)
		}
	}
}

func TestThePageReloadsByItselfIfItsAddressSaysSo(t *testing.T) {
	t.Parallel()
	recorder := httptest.NewRecorder()
	sendPage(recorder, httptest.NewRequest(http.MethodGet, "/?reload", nil), page{At: pageTime})
	if got := recorder.Header().Get("Refresh"); got != "30" {
		t.Errorf("Refresh is %q, want 30", got)
	}
	checkContains(t, recorder.Body.String(), "Stop reloading")
}

func TestTheChartShowsGapsWithoutSamples(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		minutesAgo []int
		gaps, runs int
		words      string
	}{
		"no sample":    {nil, 1, 1, "7 now; lowest 7, highest 7. No samples for 1d"},
		"one":          {[]int{60}, 2, 2, "7 now; lowest 5, highest 7. No samples for 1d"},
		"the last day": {everyFiveMinutes(1440), 0, 1, "7 now; lowest 5, highest 7."},
		"two hours":    {everyFiveMinutes(120), 1, 1, "No samples for 22h"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := view{Report: health.Report{Contents: &health.Contents{InForce: 7}}}
			for _, m := range test.minutesAgo {
				v.History = append(v.History, ledger.Sample{At: *timeBefore(time.Duration(m) * time.Minute), InForce: 5})
			}
			c := newChart(v, pageTime)
			if len(c.Gaps) != test.gaps || strings.Count(c.Line, "M") != test.runs || !strings.Contains(c.Text, test.words) {
				t.Errorf("%d gaps, line %q, words %q; want %+v", len(c.Gaps), c.Line, c.Text, test)
			}
		})
	}
}

func everyFiveMinutes(first int) (minutes []int) {
	for m := first; m > 0; m -= 5 {
		minutes = append(minutes, m)
	}
	return minutes
}

func TestTheUpperEdgeOfTheChartIsARoundNumber(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]int{0: 2, 1: 2, 2: 2, 3: 4, 5: 6, 9: 10, 10: 10, 11: 12, 1204: 1600, 1601: 2000, 100_000: 100_000, 100_001: 120_000, 161_000: 200_000} {
		if got := roundUp(n); got != want {
			t.Errorf("roundUp(%d) is %d, want %d", n, got, want)
		}
	}
}

func BenchmarkPage(b *testing.B) {
	v := exampleView()
	for b.Loop() {
		render(b, v)
	}
}
