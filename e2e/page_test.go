package e2e

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var pictures = flag.String("pictures", "", "the folder that TestTheStatusPageIsReadableInABrowser fills with pictures of the page")

// kept are the pictures of the documents.
var kept = []string{"healthy-desktop-light", "trouble-desktop-dark", "healthy-phone-light", "hundred-thousand-phone-dark"}

// hostileScenario becomes elements, a dialog and a request if a page takes it for markup. It is also too long for a line.
var hostileScenario = `"></bdi></td><script>alert(1)</script><img src=//127.0.0.1:9/x onerror=alert(1)>` + strings.Repeat("x", 100)

func TestTheStatusPageIsReadableInABrowser(t *testing.T) {
	t.Parallel() // it mostly waits
	env := newEnvironment(t, Combination{CrowdSec: current, Access: overSSH}, withMetrics(t), withLocalAPI(t))
	b := newBrowser(t)

	var listed []wireDecision
	for i := range 1195 {
		listed = append(listed, decisionOn(fmt.Sprintf("198.18.%d.%d", i/250, i%250), "lists:a-blocklist", "a-blocklist"))
	}
	env.CrowdSec.Report(t, listed)
	env.waitUntilBlocks(t, len(listed), 30*time.Second)
	env.CrowdSec.Report(t, []wireDecision{
		decisionOn("198.51.100.23", "crowdsec", "crowdsecurity/ssh-bf"), decisionOn("203.0.113.8", "crowdsec", "crowdsecurity/http-probing"),
		decisionOn("2001:db8::5:2", "crowdsec", "crowdsecurity/http-cve-2021-41773"), decisionOn("192.0.2.66", "cscli", "manual 'ban' from 'admin'"),
	})
	env.waitUntilBlocks(t, len(listed)+4, 30*time.Second)
	env.Plugin.waitUntilIdle(t)
	env.seedSamples(t)
	env.checkPage(t, b, "healthy", "✓ Working")

	env.CrowdSec.Report(t, []wireDecision{decisionOn("203.0.113.80", "crowdsec", hostileScenario)})
	env.waitUntilBlocks(t, len(listed)+5, 30*time.Second)
	env.SSH.kill()
	env.CrowdSec.Ban(t, "--range", "198.51.100.128/26", time.Hour)
	env.waitForStatus(t, "NOT WORKING")
	env.checkPage(t, b, "trouble", "✕ NOT WORKING: the appliance's files cannot be written over SSH")

	env.SSH.Start(t)
	file, _ := bansToImport(t, aHundredThousand)
	env.CrowdSec.mustCscli(t, "decisions", "import", "-i", file)
	env.waitForStatus(t, "bans in force   100000 ") // max_bans
	env.waitForStatus(t, "pending         nothing")
	env.waitForStatus(t, ": working")
	env.checkPage(t, b, "hundred-thousand", "✓ Working")
}

func decisionOn(address, origin, scenario string) wireDecision {
	return wireDecision{Duration: "4h", Origin: origin, Scenario: scenario, Scope: "Ip", Type: "ban", Value: address}
}

// withLocalAPI configures the Local API, before CrowdSec starts.
func withLocalAPI(t testing.TB) func(*Environment) {
	return func(env *Environment) {
		env.CrowdSec.addBouncer(t)
		env.Plugin.values["LAPIURL"], env.Plugin.values["LAPIKey"] = env.CrowdSec.url(), bouncerKey
		env.Plugin.configure(t)
	}
}

// seedSamples records samples of the last 24 hours, with a gap of two hours.
func (env *Environment) seedSamples(t testing.TB) {
	t.Helper()
	state := filepath.Join(env.Plugin.values["StateDir"].(string), notification+".db")
	run(t, exec.CommandContext(t.Context(), "sqlite3", "-cmd", ".timeout 10000", state, `
		WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 287)
		INSERT OR REPLACE INTO sample (place, at, in_force, waiting, pending)
		SELECT (strftime('%s', 'now') - 300 * i) / 300 % 288, (strftime('%s', 'now') - 300 * i) * 1000, 1100 + abs(i % 160 - 80) + i * 37 % 11, 0, 0
		FROM n WHERE i NOT BETWEEN 170 AND 193`))
}

// waitForStatus waits until `status` prints a text.
func (env *Environment) waitForStatus(t testing.TB, text string) {
	t.Helper()
	waitForEvery(t, 500*time.Millisecond, 3*time.Minute, "status prints "+text, func() (bool, string) {
		out, _ := env.Plugin.Command(t, "status") // it fails while the plugin does not work
		return strings.Contains(out, text), out
	})
}

// shownPage is what the page shows.
type shownPage struct {
	Verdict   string   `json:"verdict"`
	Theme     string   `json:"theme"`
	Foreign   int      `json:"foreign"`   // elements and attributes that the page never has
	Scenarios []string `json:"scenarios"` // of the newest bans
	Bans      int      `json:"bans"`      // rows of the table of the newest bans
	Words     string   `json:"words"`     // those of the chart
}

const readPage = `({
	verdict: document.querySelector('.verdict').innerText.replace(/\s+/g, ' '),
	theme: getComputedStyle(document.documentElement).backgroundColor,
	foreign: document.querySelectorAll('script, img, iframe, object, embed, form, link, [style], [onerror]').length,
	scenarios: [...document.querySelectorAll('.newest td[data-title=Scenario] > bdi')].map(e => e.children.length ? 'ELEMENTS' : e.textContent),
	bans: document.querySelectorAll('.newest tbody tr').length,
	words: document.querySelector('figure desc').textContent,
})`

// checkPage looks at the page on each screen.
func (env *Environment) checkPage(t *testing.T, b *browser, state, verdict string) {
	t.Helper()
	themes := map[string]string{}
	for _, s := range screens {
		shown := open[shownPage](t, b, s, fmt.Sprintf("http://127.0.0.1:%d/", env.Plugin.metricsPort()), readPage)
		found := shown.found
		themes[found.Theme] = s.theme
		if !strings.HasPrefix(found.Verdict, verdict) || found.Foreign > 0 || found.Bans != 20 || !strings.Contains(found.Words, " now; lowest ") {
			t.Errorf("%s on %s: %+v", state, s.name, found)
		}
		if hostile := slices.Contains(found.Scenarios, hostileScenario); hostile != (state == "trouble") {
			t.Errorf("%s on %s: the hostile scenario is a text among the newest bans: %t", state, s.name, hostile)
		}
		if *pictures == "" || !slices.Contains(kept, state+"-"+s.name) {
			continue
		}
		picture, err := compressed(shown.picture)
		if err == nil {
			err = os.WriteFile(filepath.Join(*pictures, "status-page-"+state+"-"+s.name+".png"), picture, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(themes) != 2 {
		t.Errorf("%s: the themes have the colours %v", state, themes)
	}
}
