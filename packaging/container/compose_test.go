package container

import (
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
)

// loadCompose reads the text of a compose.yaml in this folder as Docker Compose does: it checks the schema, and that each name is declared.
func loadCompose(t *testing.T, text string, environment types.Mapping) (*types.Project, error) {
	t.Helper()
	folder, err := os.Getwd()
	check(t, err)
	return loader.LoadWithContext(t.Context(), types.ConfigDetails{
		WorkingDir: folder, ConfigFiles: []types.ConfigFile{{Filename: "compose.yaml", Content: []byte(text)}}, Environment: environment,
	}, func(o *loader.Options) { o.SetProjectName("stormshield", true) })
}

// withImage names the image.
var withImage = types.Mapping{"STORMSHIELD_IMAGE": "crowdsec-stormshield:1.0.0"}

func composeProject(t *testing.T) *types.Project {
	t.Helper()
	project, err := loadCompose(t, read(t, "compose.yaml"), withImage)
	check(t, err)
	return project
}

func composeNotification(t *testing.T) notification {
	t.Helper()
	return parseNotification(t, "stormshield.yaml", read(t, "stormshield.yaml"))
}

// relative returns a path below this folder.
func relative(t *testing.T, file string) string {
	t.Helper()
	folder, err := os.Getwd()
	check(t, err)
	name, err := filepath.Rel(folder, file)
	check(t, err)
	if !filepath.IsLocal(name) {
		t.Errorf("%s is not in this folder", file)
	}
	return name
}

// target returns where a service has a volume or a file of this folder; "": nowhere.
func target(t *testing.T, service types.ServiceConfig, source string) string {
	t.Helper()
	for _, volume := range service.Volumes {
		if volume.Source == source || volume.Type == types.VolumeTypeBind && relative(t, volume.Source) == source {
			return path.Clean(volume.Target)
		}
	}
	return ""
}

func TestComposeNeedsTheNameOfTheImage(t *testing.T) {
	_, err := loadCompose(t, read(t, "compose.yaml"), nil)
	if err == nil || !strings.Contains(err.Error(), "write STORMSHIELD_IMAGE=NAME into the file .env") {
		t.Errorf("without the name: %v", err)
	}
	if image := composeProject(t).Services["stormshield"].Image; image != "crowdsec-stormshield:1.0.0" {
		t.Errorf("the image is %q", image)
	}
}

func TestComposeUsesEachVolumeAndSecretAndMountsOnlyFilesThatExist(t *testing.T) {
	project := composeProject(t)
	var volumes, secrets []string
	for _, service := range project.Services {
		for _, volume := range service.Volumes {
			switch volume.Type {
			case types.VolumeTypeVolume:
				volumes = append(volumes, volume.Source)
			case types.VolumeTypeBind:
				if info, err := os.Stat(relative(t, volume.Source)); err != nil || !info.Mode().IsRegular() {
					t.Errorf("%s mounts %s, which is no file: %v", service.Name, volume.Source, err)
				}
			default:
				t.Errorf("%s has a volume of type %s", service.Name, volume.Type)
			}
		}
		for _, secret := range service.Secrets {
			secrets = append(secrets, secret.Source)
		}
	}
	wantEqual(t, "the volumes that services use", unique(volumes), unique(project.VolumeNames()))
	wantEqual(t, "the secrets that services use", unique(secrets), unique(project.SecretNames()))
	for name, secret := range project.Secrets {
		wantEqual(t, "the file of a secret", relative(t, secret.File), "secrets/"+name)
	}
}

func unique(names []string) []string { return slices.Compact(slices.Sorted(slices.Values(names))) }

func TestThePathsOfComposeAgree(t *testing.T) {
	project := composeProject(t)
	install, crowdsec := project.Services["stormshield"], project.Services["crowdsec"]

	if plugins := target(t, install, "plugins"); len(install.Command) < 2 || install.Command[0] != "install" || install.Command[1] != plugins {
		t.Errorf("the command is %q, and the volume for the plugin is %s", install.Command, plugins)
	}
	wantEqual(t, "the state folder in the command", wordAfter(install.Command, "--state"), target(t, install, "state"))
	wantEqual(t, "the state folder of CrowdSec's container", target(t, crowdsec, "state"), defaultState(t))
	folder := crowdsec.Environment["PLUGIN_DIR"]
	if folder == nil {
		t.Fatal("CrowdSec's container has no PLUGIN_DIR")
	}
	wantEqual(t, "PLUGIN_DIR", path.Clean(*folder), target(t, crowdsec, "plugins"))
	wantEqual(t, "the profiles", target(t, crowdsec, "profiles.yaml"), crowdsecFolder+"/profiles.yaml")
	for _, service := range []types.ServiceConfig{install, crowdsec} {
		wantEqual(t, "the configuration for "+service.Name, target(t, service, "stormshield.yaml"), crowdsecFolder+"/notifications/stormshield.yaml")
	}
	if wait := crowdsec.DependsOn["stormshield"]; wait.Condition != types.ServiceConditionCompletedSuccessfully {
		t.Errorf("CrowdSec starts when the other service is %q", wait.Condition)
	}
	if !install.ReadOnly || !crowdsec.ReadOnly {
		t.Error("a root file system can be written")
	}
}

func TestTheSecretsOfComposeAreThoseOfTheConfiguration(t *testing.T) {
	project, n := composeProject(t), composeNotification(t)
	install, crowdsec := project.Services["stormshield"], project.Services["crowdsec"]
	from, to := secretFolders(install.Command)
	wantEqual(t, "the folder that the command copies", from, secretFolder)
	wantEqual(t, "the folder of the copies", to, target(t, install, "secrets"))
	wantEqual(t, "the folder of the copies in CrowdSec's container", target(t, crowdsec, "secrets"), to)

	var copies []string
	for _, secret := range secretNames(t, install) {
		copies = append(copies, path.Join(to, secret))
	}
	n.wantSecrets(t, copies)
	// CrowdSec's start script adds the key in each such file to the Local API.
	wantEqual(t, "the secrets of CrowdSec's container", secretNames(t, crowdsec), []string{n.key()})
	if !strings.HasPrefix(n.key(), "bouncer_key_") {
		t.Errorf("CrowdSec's start script does not read %s", n.key())
	}
}

// secretFolder is where a container has its secrets: https://docs.docker.com/reference/compose-file/services/#secrets
const secretFolder = "/run/secrets"

// secretNames returns the files in that folder of a service.
func secretNames(t *testing.T, service types.ServiceConfig) []string {
	t.Helper()
	var names []string
	for _, secret := range service.Secrets {
		names = append(names, secret.Source)
		if secret.Target != "" && secret.Target != path.Join(secretFolder, secret.Source) {
			t.Errorf("the secret %s of %s is in %s", secret.Source, service.Name, secret.Target)
		}
	}
	return names
}
