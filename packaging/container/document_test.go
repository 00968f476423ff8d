package container

import (
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"
)

const document = "../../docs/containers.md"

// blocks returns the blocks of the document in a language, such as sh.
func blocks(t *testing.T, language string) []string {
	t.Helper()
	var all []string
	for _, found := range regexp.MustCompile("(?ms)^```"+language+"( example)?\n(.*?)^```$").FindAllStringSubmatch(read(t, document), -1) {
		all = append(all, found[2])
	}
	if len(all) == 0 {
		t.Fatalf("%s has no block of %s", document, language)
	}
	return all
}

// commands returns the groups of a pattern in the commands of the document, each once and in order.
func commands(t *testing.T, pattern string) []string {
	t.Helper()
	var all []string
	for _, found := range regexp.MustCompile(pattern).FindAllStringSubmatch(strings.Join(blocks(t, "sh"), ""), -1) {
		all = append(all, found[1])
	}
	return unique(all)
}

func TestTheDocumentMakesEachSecretOfCompose(t *testing.T) {
	var files []string
	for _, secret := range composeProject(t).Secrets {
		files = append(files, relative(t, secret.File))
	}
	wantEqual(t, "the secrets that the document makes", commands(t, `(?m)^(?:editor|openssl rand -hex 32 >) (secrets/\w+)`), unique(files))
	wantEqual(t, "the folder that it makes", commands(t, `mkdir -m 0700 (\S+)`), []string{"secrets"})
}

func TestTheCommandsOfTheDocumentNameServicesAndProgramsThatExist(t *testing.T) {
	project := composeProject(t)
	crowdsec := project.Services["crowdsec"]
	wantEqual(t, "the services", commands(t, `docker compose (?:run --rm|exec|stop) (\S+)`), unique(project.ServiceNames()))
	for pattern, want := range map[string]string{
		`docker compose exec crowdsec (\S+)`:                path.Join(target(t, crowdsec, "plugins"), pluginFile),
		`docker exec crowdsec (\S+)`:                        "crowdsec-stormshield", // the link in the Dockerfile
		`kubectl -n crowdsec exec deploy/\S+-lapi -- (\S+)`: path.Join(crowdsecPlugins, pluginFile),
	} {
		wantEqual(t, "the programs of "+pattern, commands(t, pattern), unique([]string{"cscli", want}))
	}
}

func TestTheDocumentMountsWhatAnImageOfOnesOwnNeeds(t *testing.T) {
	wanted := map[string]string{
		"stormshield-state": defaultState(t),
		"$PWD/secrets":      path.Dir(composeNotification(t).secrets["lapi.api_key_path"]),
	}
	// CrowdSec's start script adds the keys in this folder to the Local API.
	key := path.Base(composeNotification(t).secrets["lapi.api_key_path"])
	wanted["$PWD/secrets/"+key] = "/run/secrets/" + key
	crowdsec := composeProject(t).Services["crowdsec"]
	for _, name := range []string{"stormshield.yaml", "profiles.yaml"} {
		wanted["$PWD/"+name] = target(t, crowdsec, name)
	}
	for _, name := range []string{"crowdsec-config", "crowdsec-data"} {
		wanted[name] = target(t, crowdsec, name)
	}
	var all []string
	for source, where := range wanted {
		all = append(all, source+":"+where)
	}
	wantEqual(t, "the mounts", commands(t, `-v "?([^\s":]+:[^\s":]+)`), unique(all))
}

func TestTheOtherWayToMountThePluginIsValidInCompose(t *testing.T) {
	mount := "      " + strings.ReplaceAll(strings.TrimSpace(blocks(t, "yaml")[0]), "\n", "\n      ") + "\n"
	changes := strings.NewReplacer("      - plugins:/plugins:ro\n", mount, "PLUGIN_DIR: /plugins/", "PLUGIN_DIR: "+crowdsecPlugins+"/")
	project, err := loadCompose(t, changes.Replace(read(t, "compose.yaml")), withImage)
	check(t, err)
	crowdsec := project.Services["crowdsec"]
	i := slices.IndexFunc(crowdsec.Volumes, func(v types.ServiceVolumeConfig) bool { return v.Source == "plugins" })
	if i < 0 || crowdsec.Volumes[i].Volume == nil || crowdsec.Volumes[i].Volume.Subpath != pluginFile || !crowdsec.Volumes[i].ReadOnly {
		t.Fatalf("the volumes are %v", crowdsec.Volumes)
	}
	wantEqual(t, "the plugin", crowdsec.Volumes[i].Target, path.Join(path.Clean(*crowdsec.Environment["PLUGIN_DIR"]), pluginFile))
	if !strings.Contains(read(t, document), "PLUGIN_DIR: "+crowdsecPlugins+"/`") {
		t.Errorf("the document does not name %s", crowdsecPlugins)
	}
}

func TestTheValuesInTheDocumentHaveOnlyKeysOfTheChart(t *testing.T) {
	var values map[string]any
	parseStrictly(t, document, blocks(t, "yaml")[1], &values)
	loadChart(t).check(t, "", values)
	if keys := slices.Sorted(maps.Keys(values)); !slices.Contains(keys, "agent") {
		t.Errorf("the keys are %q", keys)
	}
	wantEqual(t, "the version of the chart", commands(t, `--version (\S+)`), []string{find(t, chartFile, `Helm chart ([\d.]+)`)})
}
