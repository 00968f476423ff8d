package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestPromtoolAcceptsTheAlertRulesAndEachFires(t *testing.T) {
	run(t, exec.CommandContext(t.Context(), "promtool", "check", "rules", rulesFile))
	run(t, exec.CommandContext(t.Context(), "promtool", "test", "rules", rulesTestFile))
}

// withMetrics switches the metrics on, before CrowdSec starts.
func withMetrics(t testing.TB) func(*Environment) {
	return func(env *Environment) {
		env.Plugin.values["PrometheusPort"] = freePort(t)
		env.Plugin.configure(t)
	}
}

// withEverySection configures the Local API and a filter rule, so that the plugin has every metric.
func withEverySection(t testing.TB) func(*Environment) {
	return func(env *Environment) {
		env.CrowdSec.addBouncer(t)
		env.Plugin.values["LAPIURL"], env.Plugin.values["LAPIKey"] = env.CrowdSec.url(), bouncerKey
		env.configureRule(t, "both", settings{"activate_every": 2 * time.Second})
		env.checkRuleCommand(t, "install")
	}
}

func (p *Plugin) metricsPort() int { return p.values["PrometheusPort"].(int) }

// page returns the status and the text of an answer of the plugin's listener.
func (p *Plugin) page(t testing.TB, path string) (status int, text string) {
	t.Helper()
	status, text, err := httpGet(t.Context(), fmt.Sprintf("http://127.0.0.1:%d%s", p.metricsPort(), path))
	if err != nil {
		t.Fatal(err)
	}
	return status, text
}

// One Prometheus stores classic histograms, the other one native ones. The dashboard has data from both. Faults fire their rules,
// which have shorter times here.
func TestPrometheusShowsEachMetricAndFiresForFaults(t *testing.T) {
	t.Parallel() // it mostly waits
	env := newEnvironment(t, Combination{current, overSSH}, withMetrics(t), withEverySection(t))
	rules := fasterRules(t)
	classic := startPrometheus(t, rules, env.Plugin.metricsPort())
	native := startPrometheus(t, rules, env.Plugin.metricsPort(), "--enable-feature=native-histograms")

	// A healthy plugin: bans by an alert and by the Local API, one that ends, and a refused decision.
	const banned, ended = "203.0.113.150", "203.0.113.151"
	env.waitUntilEnforced(t, banned, env.CrowdSec.Ban(t, "--ip", banned, time.Hour), 2*enforcedWithin)
	env.importBans(t, 2)
	env.CrowdSec.Ban(t, "--ip", ended, time.Hour)
	env.CrowdSec.Ban(t, "--ip", "10.1.2.3", time.Hour)
	env.waitUntilBlocks(t, 4, time.Minute)
	env.CrowdSec.mustCscli(t, "decisions", "delete", "--ip", ended)
	env.waitUntilBlocks(t, 3, time.Minute)
	waitFor(t, time.Minute, "the plugin is healthy", func() (bool, string) {
		status, text := env.Plugin.page(t, "/-/healthy")
		return status == 200 && strings.Contains(text, ": working"), text
	})
	for _, p := range []*prometheus{classic, native} {
		p.waitUntilNoneFires(t)
	}
	_, text := env.Plugin.page(t, "/metrics")
	check := exec.CommandContext(t.Context(), "promtool", "check", "metrics")
	check.Stdin = strings.NewReader(text)
	if out, err := check.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
	t.Logf("MEASURED a scrape: %d bytes", len(text))
	if _, page := env.Plugin.page(t, "/"); !strings.Contains(page, notification) || !strings.Contains(page, banned) {
		t.Errorf("the status page lacks the notification or the ban:\n%s", page)
	}

	// The appliance refuses connections.
	env.Appliance.setFaults(t, `{"APIRefuse": true}`)
	env.banAndWaitUntilRecorded(t, "--ip", ended, time.Hour)
	fires := classic.waitUntilFires(t, "BansNotEnforced")
	if fires.Labels["name"] != notification || fires.Labels["host"] != "127.0.0.1" || fires.Labels["severity"] != "critical" {
		t.Errorf("the alert has the labels %v", fires.Labels)
	}
	classic.waitUntilFires(t, "PendingTooOld")
	if status, text := env.Plugin.page(t, "/-/healthy"); status != 503 || !strings.Contains(text, "NOT WORKING") {
		t.Errorf("/-/healthy answers %d: %s", status, text)
	}
	env.Appliance.setFaults(t, `{"APIRefuse": false}`)
	env.waitUntilBlocks(t, 4, time.Minute)
	classic.waitUntilNoneFires(t)

	// Each panel has data, and each metric of a rule.
	for kind, p := range map[string]*prometheus{"classic": classic, "native": native} {
		buckets := len(p.mustQuery(t, "last_over_time(crowdsec_stormshield_flush_duration_seconds_bucket[1m])")) > 0
		if buckets != (kind == "classic") {
			t.Errorf("the Prometheus with %s histograms stores classic ones: %t", kind, buckets)
		}
		expressions := append(dashboardExpressions(t), regexp.MustCompile(`crowdsec_stormshield_\w+`).FindAllString(rules, -1)...)
		expressions = slices.DeleteFunc(expressions, ofSharedState.MatchString)
		p.waitForData(t, expressions)
		t.Logf("MEASURED expressions with data from %s histograms: %d", kind, len(expressions))
	}

	// The appliance refuses the password.
	env.Appliance.setFaults(t, `{"APIRefuse": true}`)
	env.banAndWaitUntilRecorded(t, "--ip", "203.0.113.152", time.Hour)
	env.Appliance.setFaults(t, `{"APIRefuse": false, "LoginMessage": "AUTH_FAILED"}`)
	classic.waitUntilFires(t, "LoginHoldOff")
	env.Appliance.setFaults(t, `{"LoginMessage": ""}`)

	// No process runs. Without the file of the hold-off, cleanup logs in.
	if err := os.Remove(filepath.Join(env.Plugin.values["StateDir"].(string), notification+".lockout")); err != nil {
		t.Error(err)
	}
	env.checkCleanup(t)
	if gone := classic.waitUntilFires(t, "PluginGone"); !strings.HasSuffix(gone.Labels["instance"], fmt.Sprint(env.Plugin.metricsPort())) {
		t.Errorf("the alert has the labels %v", gone.Labels)
	}
}

// Only the process that flushes listens. Prometheus scrapes each of them without a long gap.
func TestOneProcessListensWhateverCrowdSecStarts(t *testing.T) {
	t.Parallel() // it mostly waits
	env := newEnvironment(t, Combination{current, overSSH}, withMetrics(t))
	port := env.Plugin.metricsPort()
	scraper := startPrometheus(t, "groups: []\n", port)
	env.waitUntilQuiet(t)

	first, started := env.Plugin.Processes(), scraper.startOf(t)
	env.CrowdSec.tryConfiguration(t)
	testAlert(t, env)
	if now := listenersOf(t, port); !slices.Equal(now, first) {
		t.Errorf("after crowdsec -t and the test alert the processes %v listen, want %v", now, first)
	}
	for range 5 {
		env.CrowdSec.Reload(t)
		started = scraper.waitForAnother(t, started)
		if now, want := listenersOf(t, port), env.Plugin.Processes(); len(want) != 1 || !slices.Equal(now, want) {
			t.Errorf("after a reload the processes %v listen, want %v", now, want)
		}
	}
	checkWithin(t, 5*time.Second, "the longest gap between two scrapes in five reloads", scraper.longestGap(t))

	// A second CrowdSec with the same document, and a plugin that only records.
	other := &Environment{Appliance: env.Appliance, SSH: env.SSH, before: env.before, policy: env.policy}
	folder := temporaryFolder(t)
	other.CrowdSec = installCrowdSec(t, folder, current)
	other.Plugin = installPlugin(t, folder, other.CrowdSec, env.Appliance, env.SSH)
	other.Plugin.values["StateDir"], other.Plugin.values["PrometheusPort"] = env.Plugin.values["StateDir"], port
	other.Plugin.configure(t)
	other.CrowdSec.Start(t)
	other.Plugin.waitUntilActive(t)
	if now, want := listenersOf(t, port), env.Plugin.Processes(); !slices.Equal(now, want) {
		t.Errorf("with a second CrowdSec the processes %v listen, want %v", now, want)
	}
	env.CrowdSec.Stop(t)
	env.Plugin.waitUntilGone(t)
	scraper.waitForAnother(t, started)
	if now, want := listenersOf(t, port), other.Plugin.Processes(); !slices.Equal(now, want) {
		t.Errorf("after the end of the first CrowdSec the processes %v listen, want %v", now, want)
	}
	checkWithin(t, 5*time.Second, "the longest gap, also at the end of one CrowdSec", scraper.longestGap(t))
	for _, c := range []*CrowdSec{env.CrowdSec, other.CrowdSec} {
		if n := c.logged("level=error"); n > 0 {
			t.Errorf("CrowdSec has logged %d errors:\n%s", n, tail(c.log, 60))
		}
	}
	other.checkCleanup(t)
}

// listenersOf returns the processes that listen on a port of loopback. proc_net_tcp(5): state 0A listens, and the tenth field is the
// number of the socket.
func listenersOf(t testing.TB, port int) []int {
	t.Helper()
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, line := range strings.Split(string(table), "\n") {
		fields := strings.Fields(line)
		if len(fields) < 10 || fields[1] != fmt.Sprintf("0100007F:%04X", port) || fields[3] != "0A" {
			continue
		}
		open, _ := filepath.Glob("/proc/[0-9]*/fd/*")
		for _, file := range open {
			if target, err := os.Readlink(file); err == nil && target == "socket:["+fields[9]+"]" {
				pid, err := strconv.Atoi(strings.Split(file, "/")[2])
				if err != nil {
					t.Fatal(err)
				}
				pids = append(pids, pid)
			}
		}
	}
	return pids
}
