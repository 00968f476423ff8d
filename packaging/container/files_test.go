// Package container has no code: its tests check the files in this folder. Each file has the form that its program reads,
// and names only files, keys and paths that exist.
package container

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

const (
	// crowdsecFolder is the configuration folder of CrowdSec's image (build/docker/config.yaml of CrowdSec).
	crowdsecFolder = "/etc/crowdsec"
	// crowdsecPlugins is the plugin folder of CrowdSec's image (build/docker/Dockerfile of CrowdSec).
	crowdsecPlugins = "/usr/local/lib/crowdsec/plugins"
	// pluginFile is the file that the command install makes in a plugin folder.
	pluginFile = "notification-stormshield"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	check(t, err)
	return string(text)
}

// find returns what the group of a pattern matches in a file. The pattern must match.
func find(t *testing.T, file, pattern string) string {
	t.Helper()
	found := regexp.MustCompile(pattern).FindStringSubmatch(read(t, file))
	if found == nil {
		t.Fatalf("%s has no text %s", file, pattern)
	}
	return found[1]
}

// defaultState returns the default of the key state_dir.
func defaultState(t *testing.T) string {
	t.Helper()
	return find(t, "../../config/sample.yaml", `(?m)^# state_dir: (\S+)$`)
}

func wantEqual(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// parseStrictly reads a document in YAML. Unknown keys, and keys that are there twice, are errors.
func parseStrictly(t *testing.T, what, text string, into any) {
	t.Helper()
	if err := yaml.UnmarshalStrict([]byte(text), into); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// wordAfter returns the word of a command that follows another word; "": there is none.
func wordAfter(command []string, word string) string {
	if i := slices.Index(command, word); i >= 0 && i+1 < len(command) {
		return command[i+1]
	}
	return ""
}

// secretFolders returns the folders in the argument of --secrets: that with the secrets, and that with their copies.
func secretFolders(command []string) (from, to string) {
	from, to, _ = strings.Cut(wordAfter(command, "--secrets"), ":")
	return from, to
}

func TestAllFilesAreForTheSameCrowdSec(t *testing.T) {
	want := find(t, "../../e2e/go.mod", `github\.com/crowdsecurity/crowdsec (v\S+)`)
	for file, pattern := range map[string]string{
		"compose.yaml": `crowdsecurity/crowdsec:(v[\d.]+)\n`,
		"Dockerfile":   `ARG CROWDSEC_IMAGE=\S+/crowdsecurity/crowdsec:(v[\d.]+)\n`,
		chartFile:      `for CrowdSec (v[\d.]+)`,
		document:       `The files name (v[\d.]+)\.\n`,
	} {
		wantEqual(t, "the version of CrowdSec in "+file, find(t, file, pattern), want)
	}
	if strings.Count(read(t, "compose.yaml"), "crowdsecurity/crowdsec:") != 1 {
		t.Error("compose.yaml does not have one image of CrowdSec")
	}
}
