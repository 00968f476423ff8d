package container

import (
	"encoding/json"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// values is what values.yaml gives to the chart.
type values struct {
	Config struct {
		Profiles      string            `json:"profiles.yaml"`
		Notifications map[string]string `json:"notifications"`
	} `json:"config"`
	LAPI struct {
		Env                 list[corev1.EnvVar]      `json:"env"`
		ExtraInitContainers list[corev1.Container]   `json:"extraInitContainers"`
		ExtraVolumes        list[corev1.Volume]      `json:"extraVolumes"`
		ExtraVolumeMounts   list[corev1.VolumeMount] `json:"extraVolumeMounts"`
	} `json:"lapi"`
}

// list is a list of objects of Kubernetes. A key that Kubernetes does not know is an error.
type list[T any] []T

func (l *list[T]) UnmarshalJSON(text []byte) error {
	var plain []T
	err := yaml.UnmarshalStrict(text, &plain)
	*l = plain
	return err
}

func loadValues(t *testing.T) values {
	t.Helper()
	var v values
	check(t, yaml.Unmarshal([]byte(read(t, "values.yaml")), &v))
	return v
}

func (v values) notification(t *testing.T) notification {
	t.Helper()
	wantEqual(t, "the notifications", slices.Collect(maps.Keys(v.Config.Notifications)), []string{"stormshield.yaml"})
	return parseNotification(t, "values.yaml", v.Config.Notifications["stormshield.yaml"])
}

// initContainer returns the container that installs the plugin.
func (v values) initContainer(t *testing.T) corev1.Container {
	t.Helper()
	if len(v.LAPI.ExtraInitContainers) != 1 {
		t.Fatalf("there are %d containers, want one", len(v.LAPI.ExtraInitContainers))
	}
	return v.LAPI.ExtraInitContainers[0]
}

// volume returns the volume of a name.
func (v values) volume(t *testing.T, name string) corev1.Volume {
	t.Helper()
	for _, volume := range v.LAPI.ExtraVolumes {
		if volume.Name == name {
			return volume
		}
	}
	t.Fatalf("there is no volume %s", name)
	return corev1.Volume{}
}

// mountAt returns the mount of a path.
func mountAt(t *testing.T, mounts []corev1.VolumeMount, file string) corev1.VolumeMount {
	t.Helper()
	for _, mount := range mounts {
		if mount.MountPath == file {
			return mount
		}
	}
	t.Fatalf("nothing is mounted at %q: %v", file, mounts)
	return corev1.VolumeMount{}
}

func loadSecret(t *testing.T) corev1.Secret {
	t.Helper()
	var secret corev1.Secret
	parseStrictly(t, "secret.yaml", read(t, "secret.yaml"), &secret)
	wantEqual(t, "the kind in secret.yaml", secret.APIVersion+" "+secret.Kind, "v1 Secret")
	return secret
}

func TestTheValuesHaveOnlyKeysOfTheChart(t *testing.T) {
	var all map[string]any
	parseStrictly(t, "values.yaml", read(t, "values.yaml"), &all)
	loadChart(t).check(t, "", all)
}

func TestTheVolumesOfTheValuesExistAndAreUsed(t *testing.T) {
	v, c := loadValues(t), loadChart(t)
	var names, used []string
	for _, volume := range v.LAPI.ExtraVolumes {
		names = append(names, volume.Name)
		if _, isTaken := c.volumes[volume.Name]; isTaken {
			t.Errorf("the chart also has a volume %s", volume.Name)
		}
	}
	for _, mount := range append(v.initContainer(t).VolumeMounts, v.LAPI.ExtraVolumeMounts...) {
		key, isOfChart := c.volumes[mount.Name]
		if !isOfChart {
			used = append(used, mount.Name)
		} else if c.defaults[key] != "true" {
			t.Errorf("the volume %s needs %s, which is %s", mount.Name, key, c.defaults[key])
		} else if mount.SubPath == "" {
			t.Errorf("%s has the volume %s of the chart without subPath", mount.MountPath, mount.Name)
		}
	}
	wantEqual(t, "the volumes that are used", unique(used), slices.Sorted(slices.Values(names)))
}

func TestThePathsOfTheValuesAgree(t *testing.T) {
	v := loadValues(t)
	container, mounts := v.initContainer(t), v.LAPI.ExtraVolumeMounts
	if len(container.Args) < 2 || container.Args[0] != "install" || container.Command != nil {
		t.Fatalf("the container runs %q %q", container.Command, container.Args)
	}
	plugins, plugin := mountAt(t, container.VolumeMounts, container.Args[1]), mountAt(t, mounts, path.Join(crowdsecPlugins, pluginFile))
	wantEqual(t, "the plugin in CrowdSec's container", []string{plugin.Name, plugin.SubPath}, []string{plugins.Name, path.Join(plugins.SubPath, pluginFile)})
	made, state := mountAt(t, container.VolumeMounts, wordAfter(container.Args, "--state")), mountAt(t, mounts, defaultState(t))
	wantEqual(t, "the state folder in CrowdSec's container", []string{state.Name, state.SubPath}, []string{made.Name, made.SubPath})
	if !plugin.ReadOnly || made.ReadOnly || state.ReadOnly || plugins.ReadOnly {
		t.Error("the plugin can be written in CrowdSec's container, or a folder cannot be written")
	}
}

func TestTheSecretsOfTheValuesAreThoseOfTheConfiguration(t *testing.T) {
	v, secret := loadValues(t), loadSecret(t)
	container, n := v.initContainer(t), v.notification(t)
	from, to := secretFolders(container.Args)
	source := v.volume(t, mountAt(t, container.VolumeMounts, from).Name).Secret
	if source == nil || source.SecretName != secret.Name {
		t.Errorf("the folder %s has the secret %v, want %s", from, source, secret.Name)
	}
	copied, mounted := mountAt(t, container.VolumeMounts, to), mountAt(t, v.LAPI.ExtraVolumeMounts, to)
	wantEqual(t, "the copies in CrowdSec's container", []string{mounted.Name, mounted.SubPath}, []string{copied.Name, copied.SubPath})
	var copies []string
	for key := range secret.StringData {
		copies = append(copies, path.Join(to, key))
	}
	n.wantSecrets(t, copies)

	// CrowdSec's start script adds the key in each such variable to the Local API.
	var keys []string
	for _, variable := range v.LAPI.Env {
		if strings.HasPrefix(variable.Name, "BOUNCER_KEY_") {
			from := variable.ValueFrom.SecretKeyRef
			keys = append(keys, from.Name+" "+from.Key)
		}
	}
	wantEqual(t, "the keys for the Local API", keys, []string{secret.Name + " " + n.key()})
}

func TestAnUnknownKeyOfKubernetesIsAnError(t *testing.T) {
	var v values
	err := json.Unmarshal([]byte(`{"lapi": {"extraVolumes": [{"name": "a", "emptyDirectory": {}}]}}`), &v)
	if err == nil || !strings.Contains(err.Error(), "emptyDirectory") {
		t.Errorf("error = %v", err)
	}
}
