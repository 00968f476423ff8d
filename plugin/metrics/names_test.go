package metrics

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.yaml.in/yaml/v3"

	"notification-stormshield/appliance"
	"notification-stormshield/plugin/health"
)

// everything collects each metric that a document can have.
type everything struct{ *Counters }

func (everything) Describe(chan<- *prometheus.Desc) {}

func (e everything) Collect(out chan<- prometheus.Metric) {
	for _, counter := range e.collectors() {
		counter.Collect(out)
	}
	now := time.Now()
	d := sender{out, []string{"first", "192.0.2.1"}}
	d.sendState(health.Report{Enforce: "both", Contents: &health.Contents{LocalAPI: &health.LocalAPI{}}, Shared: &health.Shared{
		Machines: []health.Machine{{Name: "first"}}}}, now)
	d.sendObserved(appliance.Observed{Version: "4.8.15", CertificateEnds: now})
}

// exported returns the name of each metric, and its labels other than name and host.
func exported(t *testing.T) map[string][]string {
	t.Helper()
	counters := NewCounters("first", "192.0.2.1")
	counters.CountRefused("scope", 1)
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), buildInfo("1.0.0"), everything{counters})
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	names := map[string][]string{}
	for _, f := range families {
		labels := []string{}
		for _, l := range f.GetMetric()[0].GetLabel() {
			if !slices.Contains(labelsOfAll, l.GetName()) {
				labels = append(labels, l.GetName())
			}
		}
		names[f.GetName()] = labels
	}
	return names
}

// gathered returns the values of the metrics of a report without the prefix of their names. A label other than name and host follows the name.
func gathered(t *testing.T, r health.Report, now time.Time) map[string]float64 {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(reportCollector{r, now})
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := strings.TrimPrefix(f.GetName(), namespace+"_")
			for _, l := range m.GetLabel() {
				if !slices.Contains(labelsOfAll, l.GetName()) {
					name += " " + l.GetValue()
				}
			}
			values[name] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return values
}

// reportCollector collects the metrics of a report.
type reportCollector struct {
	report health.Report
	now    time.Time
}

func (reportCollector) Describe(chan<- *prometheus.Desc) {}

func (c reportCollector) Collect(out chan<- prometheus.Metric) {
	sender{out, []string{"first", "192.0.2.1"}}.sendState(c.report, c.now)
}

func TestTheMetricsShowTheMachinesThatShareTheState(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	ago := func(d time.Duration) *time.Time { at := now.Add(-d); return &at }
	r := health.Report{Working: true, Contents: &health.Contents{}, Shared: &health.Shared{Machine: "a", Holder: "a", Machines: []health.Machine{
		{Name: "a", Seen: ago(time.Second)}, {Name: "b", Seen: ago(time.Hour)},
	}}}
	got := gathered(t, r, now)
	for name, want := range map[string]float64{
		"shared_state_reached": 1, "shared_state_away_age_seconds": 0, "outbox_decisions": 0, "outbox_oldest_age_seconds": 0, "shared_lease_held": 1,
		"shared_state_alone": 0, "machine_last_seen_timestamp_seconds a": 1_799_999_999, "machine_last_seen_timestamp_seconds b": 1_799_996_400,
	} {
		if value, found := got[name]; !found || value != want {
			t.Errorf("%s is %g (it exists: %t), want %g", name, value, found, want)
		}
	}
	r.Shared.Holder = "b"
	if got := gathered(t, r, now); got["shared_lease_held"] != 0 {
		t.Error("the lease that another machine holds counts as this machine's")
	}
	r.Shared = nil
	for name := range gathered(t, r, now) {
		if strings.Contains(name, "shared") || strings.Contains(name, "outbox") || strings.Contains(name, "machine") {
			t.Errorf("%s exists, and no other machine shares the state", name)
		}
	}
}

// A 0 would look as if no ban were in force.
func TestNoMetricOfTheStateExistsWithoutTheDatabaseOfASharedState(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	away, waits := now.Add(-5*time.Minute), now.Add(-time.Minute)
	got := gathered(t, health.Report{Enforce: "blacklist", MaxBans: 7, Shared: &health.Shared{
		Machine: "a", AwaySince: &away, Alone: true, Waiting: 12, WaitingSince: &waits,
	}}, now)
	want := map[string]float64{
		"working": 0, "info blacklist false false": 1, "max_bans": 7, "login_hold_off_until_timestamp_seconds": 0, "shared_state_reached": 0,
		"shared_state_away_age_seconds": 300, "outbox_decisions": 12, "outbox_oldest_age_seconds": 60, "shared_lease_held": 0, "shared_state_alone": 1,
	}
	if !maps.Equal(got, want) {
		t.Errorf("the metrics are %v, want %v", got, want)
	}
}

func readProject(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", file))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestTheTableOfMetricsIsThatOfTheExporter(t *testing.T) {
	t.Parallel()
	row := regexp.MustCompile("(?m)^\\| `(" + namespace + "_\\w+)` \\|([^|]*)\\|")
	listed := map[string][]string{}
	for _, cells := range row.FindAllStringSubmatch(readProject(t, "docs/operations.md"), -1) {
		labels := []string{}
		for _, label := range regexp.MustCompile("`(\\w+)`").FindAllStringSubmatch(cells[2], -1) {
			labels = append(labels, label[1])
		}
		slices.Sort(labels)
		listed[cells[1]] = labels
	}
	for name, labels := range exported(t) {
		if !strings.HasPrefix(name, namespace) {
			continue
		}
		if l, found := listed[name]; !found || !slices.Equal(l, labels) {
			t.Errorf("%s has the labels %q, and the table lists %q (a row: %t)", name, labels, l, found)
		}
		delete(listed, name)
	}
	for name := range listed {
		t.Errorf("the table lists %s, which the exporter does not have", name)
	}
}

// used returns the metrics in an expression. A histogram counts without the suffix of its series.
func used(expression string, exported map[string][]string) (known, unknown []string) {
	for _, name := range regexp.MustCompile(`\b(`+namespace+`|go|process)_\w+`).FindAllString(expression, -1) {
		whole := regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name, "")
		if _, found := exported[name]; found {
			known = append(known, name)
		} else if _, found := exported[whole]; found {
			known = append(known, whole)
		} else {
			unknown = append(unknown, name)
		}
	}
	return known, unknown
}

type alertRule struct {
	Alert, Expr         string
	Labels, Annotations map[string]string
}

func alertRules(t *testing.T) []alertRule {
	t.Helper()
	var file struct{ Groups []struct{ Rules []alertRule } }
	if err := yaml.Unmarshal([]byte(readProject(t, "packaging/prometheus/crowdsec-stormshield.rules.yml")), &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Groups) != 1 || len(file.Groups[0].Rules) < 8 {
		t.Fatalf("the file has no rules: %+v", file)
	}
	return file.Groups[0].Rules
}

func TestEachAlertRuleUsesMetricsOfTheExporterAndHasItsSection(t *testing.T) {
	t.Parallel()
	metrics, operations := exported(t), readProject(t, "docs/operations.md")
	sections := map[string]bool{}
	for _, heading := range regexp.MustCompile(`(?m)^#+ (CrowdsecStormshield\w+)$`).FindAllStringSubmatch(operations, -1) {
		sections[heading[1]] = true
	}
	for _, rule := range alertRules(t) {
		if known, unknown := used(rule.Expr, metrics); len(known) == 0 || len(unknown) > 0 {
			t.Errorf("%s uses %q of the exporter, and %q, which it does not have", rule.Alert, known, unknown)
		}
		if !sections[rule.Alert] || rule.Annotations["runbook"] != "docs/operations.md#"+strings.ToLower(rule.Alert) {
			t.Errorf("%s has the runbook %q, and a section of its name: %t", rule.Alert, rule.Annotations["runbook"], sections[rule.Alert])
		}
		delete(sections, rule.Alert)
		if rule.Annotations["summary"] == "" || !strings.Contains(rule.Annotations["description"], "Run `crowdsec-stormshield ") || rule.Labels["severity"] == "" {
			t.Errorf("%s lacks a summary, a command to run, or a severity: %+v", rule.Alert, rule)
		}
	}
	for section := range sections {
		t.Errorf("the section %s has no rule", section)
	}
}

func TestTheDashboardShowsEachMetricOfTheExporter(t *testing.T) {
	t.Parallel()
	var dashboard struct {
		Panels []struct {
			Type, Title, Description string
			Targets                  []struct{ Expr string }
			FieldConfig              struct{ Defaults struct{ Unit string } }
		}
	}
	if err := json.Unmarshal([]byte(readProject(t, "packaging/grafana/crowdsec-stormshield.json")), &dashboard); err != nil {
		t.Fatal(err)
	}
	metrics := exported(t)
	unseen := maps.Clone(metrics)
	var rows []string
	for _, panel := range dashboard.Panels {
		if panel.Type == "row" {
			rows = append(rows, panel.Title)
			continue
		}
		if panel.Description == "" || panel.FieldConfig.Defaults.Unit == "" && panel.Type != "table" || len(panel.Targets) == 0 {
			t.Errorf("the panel %q lacks a description, a unit or a query", panel.Title)
		}
		for _, target := range panel.Targets {
			known, unknown := used(target.Expr, metrics)
			if len(known) == 0 || len(unknown) > 0 {
				t.Errorf("the panel %q uses %q of the exporter, and %q, which it does not have", panel.Title, known, unknown)
			}
			for _, name := range known {
				delete(unseen, name)
			}
		}
	}
	for name := range unseen {
		if strings.HasPrefix(name, namespace) {
			t.Errorf("no panel shows %s", name)
		}
	}
	if want := []string{"Health", "Enforcement", "Latency", "Logins", "Local API", "Shared state", "Process"}; !slices.Equal(rows, want) {
		t.Errorf("the rows are %q, want %q", rows, want)
	}
}
