package config_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"notification-stormshield/config"
	"notification-stormshield/crowdsec"
)

// containerFile returns the text of a file for containers.
func containerFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "packaging", "container", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// containerConfig is a configuration for containers, and the profiles beside it.
type containerConfig struct{ text, profiles string }

// containerConfigs returns the configurations by their files.
func containerConfigs(t *testing.T) map[string]containerConfig {
	t.Helper()
	var values struct {
		Config struct {
			Profiles      string            `yaml:"profiles.yaml"`
			Notifications map[string]string `yaml:"notifications"`
		} `yaml:"config"`
	}
	if err := yaml.Unmarshal([]byte(containerFile(t, "values.yaml")), &values); err != nil {
		t.Fatal(err)
	}
	return map[string]containerConfig{
		"stormshield.yaml": {containerFile(t, "stormshield.yaml"), containerFile(t, "profiles.yaml")},
		"values.yaml":      {values.Config.Notifications["stormshield.yaml"], values.Config.Profiles},
	}
}

// identities puts both fingerprints into a configuration.
var identities = strings.NewReplacer("ssh_host_key: ''", "ssh_host_key: "+hostKey, "api_cert_fingerprint: ''", "api_cert_fingerprint: "+hexDigits)

func TestTheConfigurationsForContainersAreValid(t *testing.T) {
	for file, c := range containerConfigs(t) {
		doc := parsed(t, identities.Replace(c.text))
		if doc.StateDir != config.Default().StateDir || doc.Stormshield.SSHPasswordPath == "" || !doc.LAPI.Followed() {
			t.Errorf("%s: %+v", file, doc)
		}

		_, err := config.ParseOne([]byte(c.text))
		var missing []string
		for _, fault := range faultsOf(t, err) {
			missing = append(missing, fault.Key)
		}
		slices.Sort(missing)
		if want := []string{"stormshield.api_cert_fingerprint", "stormshield.ssh_host_key"}; !slices.Equal(missing, want) {
			t.Errorf("%s: as it is, it lacks %q, want %q", file, missing, want)
		}
	}
}

func TestTheConfigurationsForContainersAreValidWithoutTheLinesForSSH(t *testing.T) {
	for file, c := range containerConfigs(t) {
		lines := strings.SplitAfter(identities.Replace(c.text), "\n")
		rest := slices.DeleteFunc(slices.Clone(lines), func(line string) bool { return strings.HasPrefix(strings.TrimSpace(line), "ssh_") })
		if len(lines)-len(rest) != 3 {
			t.Errorf("%s has %d lines for SSH", file, len(lines)-len(rest))
		}
		if doc := parsed(t, strings.Join(rest, "")); doc.Stormshield.UsesSSH() {
			t.Errorf("%s uses SSH without these lines", file)
		}
	}
}

func TestTheProfilesForContainersNotifyThePlugin(t *testing.T) {
	for file, c := range containerConfigs(t) {
		name := parsed(t, identities.Replace(c.text)).Name
		edit, err := crowdsec.AddNotification([]byte(c.profiles), name)
		if err != nil || len(edit.Present) != 2 || len(edit.Added) != 0 {
			t.Errorf("%s: the profiles %q name %s, and %q do not; error %v", file, edit.Present, name, edit.Added, err)
		}
	}
}
