package config_test

import (
	"reflect"
	"regexp"
	"strings"
	"testing"

	"notification-stormshield/config"
)

// identified is the sample once the fingerprints are put in.
func identified() string {
	text := strings.Replace(config.Sample(), `# ssh_host_key: ""`, "ssh_host_key: "+hostKey, 1)
	return strings.Replace(text, `# api_cert_fingerprint: ""`, "api_cert_fingerprint: "+hostKey, 1)
}

func TestSampleLeavesOnlyTheIdentityToItsReader(t *testing.T) {
	_, err := config.ParseOne([]byte(config.Sample()))
	for _, fault := range faultsOf(t, err) {
		if !strings.Contains(fault.Hint, "crowdsec-stormshield trust") {
			t.Errorf("fault = %v", fault)
		}
	}
	if _, err := config.LoadUnidentified(file(t, config.Sample())); err != nil {
		t.Errorf("LoadUnidentified: %v", err)
	}
	docs, err := config.Load(file(t, identified()))
	if err != nil || docs[0].Name != config.SampleName {
		t.Errorf("Load with fingerprints: %v, %+v", err, docs)
	}
}

// commentedKey is a key with a default, behind a comment sign.
var commentedKey = regexp.MustCompile(`(?m)^( *)# ([a-z_0-9]+:) ?(.*)$`)

func TestSampleShowsTheRealDefaults(t *testing.T) {
	want := parsed(t, identified())
	uncommented := commentedKey.ReplaceAllString(identified(), "$1$2 $3")
	uncommented = regexp.MustCompile(`(?m)^ +(ssh_host_key|api_cert_fingerprint): ""$`).ReplaceAllString(uncommented, "")
	if got := parsed(t, uncommented); !reflect.DeepEqual(normal(got), normal(want)) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// normal makes no difference between no list and an empty one.
func normal(doc config.Document) config.Document {
	d := &doc.Decisions
	l := &doc.LAPI
	for _, list := range []*[]string{&d.Origins, &d.IncludeScenarios, &d.ExcludeScenarios, &l.Origins, &l.Scopes, &l.IncludeScenarios, &l.ExcludeScenarios} {
		if len(*list) == 0 {
			*list = nil
		}
	}
	return doc
}

func TestSampleHasEveryKey(t *testing.T) {
	anyKey := regexp.MustCompile(`(?m)^ *(?:# )?([a-z_0-9]+):( |$)`)
	shown := make(map[string]int)
	for _, found := range anyKey.FindAllStringSubmatch(config.Sample(), -1) {
		shown[found[1]]++
	}
	there := make(map[string]int)
	for _, found := range anyKey.FindAllStringSubmatch(everyKey, -1) {
		there[found[1]]++
	}
	for _, name := range []string{"api_key_path", "ssh_password_path", "ssh_private_key_passphrase_path", "api_password_path"} {
		there[name] = 1 // they stand instead of others in everyKey
	}
	for name, n := range there {
		if shown[name] != n {
			t.Errorf("%s is %d times in the sample, want %d", name, shown[name], n)
		}
		delete(shown, name)
	}
	delete(shown, "notifications") // of profiles.yaml, in a comment
	for name := range shown {
		t.Errorf("the sample has %s, which is not known", name)
	}
}
