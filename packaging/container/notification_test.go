package container

import (
	"maps"
	"path"
	"slices"
	"strings"
	"testing"
)

// notification is a configuration of the plugin.
type notification struct {
	name    string
	secrets map[string]string // the files that its keys name, by key
	others  map[string]any    // its other keys
}

// parseNotification reads a configuration. Package config checks its keys; see TestTheConfigurationsForContainersAreValid there.
func parseNotification(t *testing.T, what, text string) notification {
	t.Helper()
	n := notification{secrets: map[string]string{}}
	parseStrictly(t, what, text, &n.others)
	n.name, _ = n.others["name"].(string)
	n.takePaths("", n.others)
	return n
}

// takePaths moves the keys that end in _path from a section to the secrets.
func (n notification) takePaths(prefix string, section map[string]any) {
	for key, value := range section {
		switch value := value.(type) {
		case map[string]any:
			n.takePaths(prefix+key+".", value)
		case string:
			if strings.HasSuffix(key, "_path") {
				n.secrets[prefix+key] = value
				delete(section, key)
			}
		}
	}
}

// wantSecrets fails the test unless the configuration names these files and no others.
func (n notification) wantSecrets(t *testing.T, files []string) {
	t.Helper()
	wantEqual(t, "the files that the configuration names", slices.Sorted(maps.Values(n.secrets)), slices.Sorted(slices.Values(files)))
}

// key returns the name of the file with the key for the Local API.
func (n notification) key() string { return path.Base(n.secrets["lapi.api_key_path"]) }

// parseProfiles reads the profiles. Each must notify a notification.
func parseProfiles(t *testing.T, what, text string, to notification) []map[string]any {
	t.Helper()
	var all []map[string]any
	for _, document := range strings.Split(text, "\n---\n") {
		var profile map[string]any
		parseStrictly(t, what, document, &profile)
		wantEqual(t, what+": the notifications of a profile", profile["notifications"], []any{to.name})
		all = append(all, profile)
	}
	return all
}

func TestComposeAndTheValuesHaveTheSameConfiguration(t *testing.T) {
	compose, chart := composeNotification(t), loadValues(t).notification(t)
	wantEqual(t, "the configuration in values.yaml", chart.others, compose.others)
	profiles := parseProfiles(t, "profiles.yaml", read(t, "profiles.yaml"), compose)
	wantEqual(t, "the profiles in values.yaml", parseProfiles(t, "values.yaml", loadValues(t).Config.Profiles, chart), profiles)
	wantEqual(t, "the number of profiles", len(profiles), 2)
}
