package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
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

// The files that the packages install.
const (
	rulesFile     = "../packaging/prometheus/crowdsec-stormshield.rules.yml"
	rulesTestFile = "../packaging/prometheus/crowdsec-stormshield.rules.test.yml"
	dashboardFile = "../packaging/grafana/crowdsec-stormshield.json"
)

// prometheus is a private Prometheus that scrapes one plugin.
type prometheus struct {
	*process
	url string
}

// scrapeEvery is also how long a scrape may take.
const scrapeEvery = time.Second

// startPrometheus starts a Prometheus with rules that scrapes a port, and waits until it has scraped it.
func startPrometheus(t testing.TB, rules string, scrapes int, flags ...string) *prometheus {
	t.Helper()
	folder := temporaryFolder(t)
	configuration := filepath.Join(folder, "prometheus.yml")
	for file, text := range map[string]string{
		filepath.Join(folder, "rules.yml"): rules,
		configuration: fmt.Sprintf(`global: {scrape_interval: %[1]s, scrape_timeout: %[1]s, evaluation_interval: 1s}
rule_files: [rules.yml]
scrape_configs:
  - job_name: crowdsec-stormshield
    static_configs: [{targets: ["127.0.0.1:%[2]d"]}]
`, scrapeEvery, scrapes),
	} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	address := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	p := &prometheus{url: "http://" + address, process: start(t, folder, "prometheus", exec.CommandContext(t.Context(), "prometheus", append(flags,
		"--config.file", configuration, "--storage.tsdb.path", filepath.Join(folder, "data"), "--web.listen-address", address)...))}
	waitFor(t, 30*time.Second, "Prometheus scrapes the plugin", func() (bool, string) {
		p.checkRunning(t)
		up, err := p.query(t.Context(), "up == 1")
		return len(up) == 1, fmt.Sprint(err)
	})
	return p
}

// sample is one series in the answer to a query, with its last value or all of them.
type sample struct {
	Metric map[string]string
	Value  [2]any
	Values [][2]any
}

// number returns the value of a query; NaN if it has none.
func (s sample) number() float64 {
	text, _ := s.Value[1].(string)
	number, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return math.NaN()
	}
	return number
}

func (p *prometheus) query(ctx context.Context, expression string) (samples []sample, err error) {
	var answer struct{ Data struct{ Result []sample } }
	err = p.get(ctx, "/api/v1/query?query="+url.QueryEscape(expression), &answer)
	return answer.Data.Result, err
}

func (p *prometheus) mustQuery(t testing.TB, expression string) []sample {
	t.Helper()
	samples, err := p.query(t.Context(), expression)
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	return samples
}

func (p *prometheus) get(ctx context.Context, path string, answer any) error {
	code, text, err := httpGet(ctx, p.url+path)
	if err == nil && code != http.StatusOK {
		err = fmt.Errorf("GET %s: %d: %s", path, code, text)
	}
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(text), answer)
}

// alert is a Prometheus alert that fires.
type alert struct {
	Labels, Annotations map[string]string
	State               string
}

// firing returns the alerts that fire, by their names.
func (p *prometheus) firing(t testing.TB) map[string]alert {
	t.Helper()
	var answer struct{ Data struct{ Alerts []alert } }
	if err := p.get(t.Context(), "/api/v1/alerts", &answer); err != nil {
		t.Fatal(err)
	}
	fire := map[string]alert{}
	for _, a := range answer.Data.Alerts {
		if a.State == "firing" {
			fire[strings.TrimPrefix(a.Labels["alertname"], "CrowdsecStormshield")] = a
		}
	}
	return fire
}

// waitUntilFires waits until an alert rule fires.
func (p *prometheus) waitUntilFires(t testing.TB, rule string) alert {
	t.Helper()
	var fires alert
	took := waitFor(t, 30*time.Second, rule+" fires", func() (bool, string) {
		now := p.firing(t)
		fires = now[rule]
		return fires.State != "", fmt.Sprintf("these fire: %v", now)
	})
	t.Logf("MEASURED the alert rule %s fires after %s: %s", rule, took.Round(time.Millisecond), fires.Annotations["summary"])
	for name, text := range fires.Annotations {
		if text == "" || strings.Contains(text, "error expanding") || strings.Contains(text, "<no value>") {
			t.Errorf("%s: the annotation %s is %q", rule, name, text)
		}
	}
	return fires
}

// waitUntilNoneFires waits until no alert fires.
func (p *prometheus) waitUntilNoneFires(t testing.TB) {
	t.Helper()
	waitFor(t, 30*time.Second, "no alert rule fires", func() (bool, string) {
		now := p.firing(t)
		return len(now) == 0, fmt.Sprintf("these fire: %v", now)
	})
}

// longestGap returns the longest time between two successful scrapes.
func (p *prometheus) longestGap(t testing.TB) time.Duration {
	t.Helper()
	all := p.mustQuery(t, `up{job="crowdsec-stormshield"}[10m]`)
	if len(all) != 1 || len(all[0].Values) < 5 {
		t.Fatalf("Prometheus has no scrapes: %v", all)
	}
	var longest, last float64
	for _, v := range all[0].Values {
		if v[1] != "1" {
			continue
		}
		at := v[0].(float64)
		if last > 0 {
			longest = max(longest, at-last)
		}
		last = at
	}
	return time.Duration(longest * float64(time.Second))
}

// startOf returns when the process started that answers the scrapes.
func (p *prometheus) startOf(t testing.TB) float64 {
	t.Helper()
	return p.waitForAnother(t, 0)
}

// waitForAnother waits until a scrape finds a younger process, and returns when that one started.
func (p *prometheus) waitForAnother(t testing.TB, started float64) (starts float64) {
	t.Helper()
	waitFor(t, 20*time.Second, "Prometheus scrapes a younger process", func() (bool, string) {
		found := p.mustQuery(t, "process_start_time_seconds")
		if len(found) == 1 {
			starts = found[0].number()
		}
		return starts > started, fmt.Sprintf("the process started at %f, and before at %f", starts, started)
	})
	return starts
}

// waitForData waits until each expression has a series with a number.
func (p *prometheus) waitForData(t testing.TB, expressions []string) {
	t.Helper()
	waitFor(t, 20*time.Second, "each expression has data", func() (bool, string) {
		without := slices.DeleteFunc(slices.Clone(expressions), func(expression string) bool {
			return slices.ContainsFunc(p.mustQuery(t, expression), func(s sample) bool { return !math.IsNaN(s.number()) })
		})
		return len(without) == 0, strings.Join(without, "\n")
	})
}

// fasterRules returns the alert rules with shorter times: a rule fires when its fault lasts for a second, and after two seconds
// instead of minutes.
func fasterRules(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile(rulesFile)
	if err != nil {
		t.Fatal(err)
	}
	waits := regexp.MustCompile(`(?m)^( +for:) [0-9]+m$`)
	ages := regexp.MustCompile(`(?m)(_age_seconds >) [0-9]+00$`)
	if n, m := len(waits.FindAll(text, -1)), len(ages.FindAll(text, -1)); n != 3 || m != 3 {
		t.Fatalf("the rules have %d times to wait and %d ages, want 3 and 3", n, m)
	}
	return ages.ReplaceAllString(waits.ReplaceAllString(string(text), "$1 1s"), "$1 2")
}

// ofSharedState matches the expressions that have data only if several machines share the state.
var ofSharedState = regexp.MustCompile(`crowdsec_stormshield_(shared|outbox|machine)_`)

// dashboardExpressions returns the expressions of the panels and of the variables. The variables stand for everything.
func dashboardExpressions(t testing.TB) []string {
	t.Helper()
	text, err := os.ReadFile(dashboardFile)
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Targets []struct{ Expr string }
		}
		Templating struct {
			List []struct{ Name, Type, Definition string }
		}
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	values := strings.NewReplacer("$job", ".+", "$name", ".+", "$window", "5m", "$__rate_interval", "10s")
	var all []string
	for _, panel := range dashboard.Panels {
		for _, target := range panel.Targets {
			all = append(all, values.Replace(target.Expr))
		}
	}
	for _, variable := range dashboard.Templating.List {
		if variable.Type == "query" { // label_values(EXPRESSION, LABEL)
			found := regexp.MustCompile(`^label_values\((.+), \w+\)$`).FindStringSubmatch(variable.Definition)
			if found == nil {
				t.Fatalf("the variable %s has another kind of query: %s", variable.Name, variable.Definition)
			}
			all = append(all, values.Replace(found[1]))
		}
	}
	return all
}

// httpGet returns the status and the text of an answer.
func httpGet(ctx context.Context, url string) (status int, text string, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response.StatusCode, string(body), err
}
