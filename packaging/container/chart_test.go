package container

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

const chartFile = "testdata/crowdsec-chart.txt"

var chartFolder = flag.String("chart", "", "record the keys of CrowdSec's chart in "+chartFile+": the `folder` charts/crowdsec of a clone of "+chartSource)

const chartSource = "https://github.com/crowdsecurity/helm-charts"

// chart is the record of CrowdSec's Helm chart.
type chart struct {
	defaults map[string]string // in JSON, by the path of the key
	volumes  map[string]string // the key that adds it, by the name of the volume
}

// loadChart reads the record.
func loadChart(t *testing.T) chart {
	t.Helper()
	c := chart{map[string]string{}, map[string]string{}}
	for line := range strings.Lines(read(t, chartFile)) {
		line = strings.TrimSpace(line)
		if key, value, found := strings.Cut(line, " = "); found {
			c.defaults[key] = value
		} else if volume, key, found := strings.Cut(line, " if "); found {
			c.volumes[volume] = key
		} else if line != "" && !strings.HasPrefix(line, "#") {
			t.Fatalf("%s: %q", chartFile, line)
		}
	}
	return c
}

// check fails the test for each key that the chart does not have, and for each value of another type than the chart's. It does not look
// into a list or into a map that the chart leaves empty: the chart copies these into its templates unread.
func (c chart) check(t *testing.T, key string, value any) {
	t.Helper()
	written, known := c.defaults[key]
	if !known {
		section, isSection := value.(map[string]any)
		if !isSection || len(section) == 0 {
			t.Errorf("the chart has no key %s", key)
		}
		for name, value := range section {
			c.check(t, strings.TrimPrefix(key+"."+name, "."), value)
		}
		return
	}
	var want any
	check(t, json.Unmarshal([]byte(written), &want))
	if fmt.Sprintf("%T", value) != fmt.Sprintf("%T", want) {
		t.Errorf("%s is %T, and in the chart %T", key, value, want)
	}
}

// volume matches a volume in the template of the Local API's pod. The groups are the key that adds the volume, and its name.
var volume = regexp.MustCompile(`\{\{-? if \.Values\.([\w.]+) \}\}\n +- name: ([\w-]+)\n +persistentVolumeClaim:\n`)

func TestTheChartIsRecorded(t *testing.T) {
	if *chartFolder != "" {
		check(t, os.WriteFile(chartFile, []byte(recordOf(t, *chartFolder)), 0o644))
	}
	c := loadChart(t)
	if len(c.defaults) < 100 || len(c.volumes) == 0 {
		t.Errorf("the record has %d keys and %d volumes", len(c.defaults), len(c.volumes))
	}
	if commit := find(t, chartFile, `commit ([0-9a-f]{40})`); !strings.Contains(read(t, "values.yaml"), "commit "+commit[:7]) {
		t.Errorf("values.yaml does not name the commit %s", commit)
	}
	if version := find(t, chartFile, `Helm chart ([\d.]+)`); !strings.Contains(read(t, "values.yaml"), "Chart "+version) {
		t.Errorf("values.yaml does not name the chart %s", version)
	}
}

// recordOf returns the record of a chart.
func recordOf(t *testing.T, folder string) string {
	t.Helper()
	var about struct{ Version, AppVersion string }
	check(t, yaml.Unmarshal([]byte(read(t, filepath.Join(folder, "Chart.yaml"))), &about))
	commit, err := exec.CommandContext(t.Context(), "git", "-C", folder, "rev-parse", "HEAD").Output()
	check(t, err)
	var values map[string]any
	check(t, yaml.Unmarshal([]byte(read(t, filepath.Join(folder, "values.yaml"))), &values))
	lines := map[string]string{}
	flatten(t, "", values, lines)

	var text strings.Builder
	fmt.Fprintf(&text, `# The keys and defaults of CrowdSec's Helm chart %s, for CrowdSec %s: charts/crowdsec/values.yaml.
# Then the volumes of the Local API's pod: charts/crowdsec/templates/lapi-deployment.yaml.
# Source: %s, commit %s
# To record another version, run this with a clone of the source:
# go test ./container -run TestTheChartIsRecorded -chart CLONE/charts/crowdsec
`, about.Version, about.AppVersion, chartSource, strings.TrimSpace(string(commit)))
	for _, key := range slices.Sorted(maps.Keys(lines)) {
		fmt.Fprintf(&text, "%s = %s\n", key, lines[key])
	}
	for _, found := range volume.FindAllStringSubmatch(read(t, filepath.Join(folder, "templates", "lapi-deployment.yaml")), -1) {
		fmt.Fprintf(&text, "%s if %s\n", found[2], found[1])
	}
	return text.String()
}

// flatten adds a line for each key below a section.
func flatten(t *testing.T, prefix string, section map[string]any, lines map[string]string) {
	t.Helper()
	for name, value := range section {
		if below, isSection := value.(map[string]any); isSection && len(below) > 0 {
			flatten(t, prefix+name+".", below, lines)
			continue
		}
		text, err := json.Marshal(value)
		check(t, err)
		lines[prefix+name] = string(text)
	}
}
