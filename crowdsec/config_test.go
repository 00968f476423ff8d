package crowdsec_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"notification-stormshield/crowdsec"
)

// folder makes a folder with files, by their names.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func loaded(t *testing.T, dir string) crowdsec.Config {
	t.Helper()
	c, err := crowdsec.Load(filepath.Join(dir, "config.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestLoadReadsTheKeysOfNotifications(t *testing.T) {
	t.Setenv("PLACE", "/opt")
	dir := folder(t, map[string]string{"config.yaml": `
config_paths:
  config_dir: /etc/x/
  notification_dir: ${PLACE}/notifications/
  plugin_dir: $PLACE/plugins
  hub_dir: $UNSET/hub
plugin_config: {user: someone, group: some}
api:
  server: {profiles_path: /etc/x/p.yaml, listen_uri: 127.0.0.1:8080}
other: [1, {a: b}]
`})
	want := crowdsec.Config{
		File: filepath.Join(dir, "config.yaml"), NotificationDir: "/opt/notifications", PluginDir: "/opt/plugins", PluginDirFile: filepath.Join(dir, "config.yaml"), ProfilesPath: "/etc/x/p.yaml",
		PluginUser: "someone", PluginGroup: "some", HasPluginConfig: true, LocalAPI: true, LocalAPIURL: "http://127.0.0.1:8080/",
	}
	if got := loaded(t, dir); got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestLoadHasTheDefaultsOfCrowdSec(t *testing.T) {
	dir := folder(t, map[string]string{"config.yaml": ""})
	want := crowdsec.Config{
		File: filepath.Join(dir, "config.yaml"), NotificationDir: filepath.Join(dir, "notifications"), ProfilesPath: filepath.Join(dir, "profiles.yaml"),
	}
	if got := loaded(t, dir); got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	dir = folder(t, map[string]string{"config.yaml": "config_paths: {config_dir: /etc/x}\napi: {server: {enable: true}}"})
	if got := loaded(t, dir); got.NotificationDir != "/etc/x/notifications" || got.ProfilesPath != "/etc/x/profiles.yaml" || !got.LocalAPI {
		t.Errorf("with a config_dir: %+v", got)
	}
}

func TestLoadReturnsTheURLOfTheLocalAPIForThisMachine(t *testing.T) {
	for server, want := range map[string]string{
		"{listen_uri: 0.0.0.0:8081}":                               "http://127.0.0.1:8081/",
		"{listen_uri: '[::]:8081'}":                                "http://127.0.0.1:8081/",
		"{listen_uri: ':8081'}":                                    "http://127.0.0.1:8081/",
		"{listen_uri: '192.0.2.1:8080'}":                           "http://192.0.2.1:8080/",
		"{listen_uri: '192.0.2.1:8080', tls: {cert_file: /c.pem}}": "",
		"{listen_uri: '192.0.2.1:8080', enable: false}":            "",
		"{listen_uri: nowhere}":                                    "",
		"{enable: true}":                                           "",
	} {
		dir := folder(t, map[string]string{"config.yaml": "api: {server: " + server + "}"})
		if got := loaded(t, dir).LocalAPIURL; got != want {
			t.Errorf("%s: %q, want %q", server, got, want)
		}
	}
}

func TestLoadMergesTheLocalFile(t *testing.T) {
	dir := folder(t, map[string]string{
		"config.yaml":       "config_paths: {notification_dir: /a, plugin_dir: /b}\nplugin_config: {user: u, group: g}\napi: {server: {profiles_path: /p}}",
		"config.yaml.local": "config_paths: {plugin_dir: /c}\nplugin_config: {user: v}\napi: {server: {enable: false}}",
	})
	want := crowdsec.Config{
		File: filepath.Join(dir, "config.yaml"), NotificationDir: "/a", PluginDir: "/c", PluginDirFile: filepath.Join(dir, "config.yaml.local"), ProfilesPath: "/p",
		PluginUser: "v", PluginGroup: "g", HasPluginConfig: true,
	}
	if got := loaded(t, dir); got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestLoadNamesAFileThatItCannotRead(t *testing.T) {
	dir := folder(t, nil)
	if _, err := crowdsec.Load(filepath.Join(dir, "config.yaml")); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), dir) {
		t.Errorf("missing: %v", err)
	}
	dir = folder(t, map[string]string{"config.yaml": "", "config.yaml.local": "a: ["})
	if _, err := crowdsec.Load(filepath.Join(dir, "config.yaml")); err == nil || !strings.Contains(err.Error(), "config.yaml.local") {
		t.Errorf("no YAML: %v", err)
	}
}

func TestPluginFaultsReportFilesThatCrowdSecRefuses(t *testing.T) {
	for title, c := range map[string]struct {
		files map[string]os.FileMode
		says  []string // nothing: all is well
	}{
		"as CrowdSec needs them": {files: map[string]os.FileMode{"notification-stormshield": 0o551, "notification-http": 0o755, "other-thing": 0o755}},
		"missing":                {files: map[string]os.FileMode{"notification-http": 0o755}, says: []string{"notification-stormshield is not in the plugin folder"}},
		"Debian 12":              {files: map[string]os.FileMode{"notification-stormshield": 0o551, "http": 0o755}, says: []string{"http is not the name of a plugin"}},
		"writable":               {files: map[string]os.FileMode{"notification-stormshield": 0o775}, says: []string{"writable for others"}},
		"writable for anyone":    {files: map[string]os.FileMode{"notification-stormshield": 0o551, "notification-x": 0o757}, says: []string{"notification-x (-rwxr-xrwx) is writable"}},
	} {
		t.Run(title, func(t *testing.T) {
			dir := t.TempDir()
			for name, mode := range c.files {
				path := filepath.Join(dir, name)
				if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Chmod(path, mode)); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Mkdir(filepath.Join(dir, "folder"), 0o755); err != nil { // CrowdSec leaves folders out
				t.Fatal(err)
			}
			config := crowdsec.Config{PluginDir: dir, HasPluginConfig: true}
			got := errors.Join(config.PluginFaults("notification-stormshield")...)
			if (got == nil) != (len(c.says) == 0) {
				t.Errorf("faults: %v", got)
			}
			for _, say := range c.says {
				if !strings.Contains(fmt.Sprint(got), say) {
					t.Errorf("faults: %v, without %q", got, say)
				}
			}
			if misnamed := config.MisnamedFile(); (misnamed == filepath.Join(dir, "http")) != (title == "Debian 12") || (misnamed == "") != (title != "Debian 12") {
				t.Errorf("misnamed: %q", misnamed)
			}
		})
	}
}

func TestPluginFaultsReportMissingKeys(t *testing.T) {
	got := fmt.Sprint(errors.Join(crowdsec.Config{File: "config.yaml"}.PluginFaults("x")...))
	if !strings.Contains(got, "plugin_config") || !strings.Contains(got, "plugin_dir is not set in config.yaml") {
		t.Error(got)
	}
	got = fmt.Sprint(errors.Join(crowdsec.Config{PluginDir: filepath.Join(t.TempDir(), "none"), HasPluginConfig: true}.PluginFaults("x")...))
	if !strings.Contains(got, "no such file") {
		t.Error(got)
	}
}

func TestReadsAcceptsTheFilesThatCrowdSecReads(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	c := crowdsec.Config{NotificationDir: dir}
	for file, want := range map[string]bool{
		filepath.Join(dir, "a.yaml"): true, filepath.Join(dir, "a.yml"): true, filepath.Join(dir, "a"): false, filepath.Join(dir, "a.yaml.bak"): false,
		filepath.Join(dir, "b", "a.yaml"): false, "/elsewhere/a.yaml": false, filepath.Join(link, "a.yaml"): true,
	} {
		if got := c.Reads(file); got != want {
			t.Errorf("%s: %v", file, got)
		}
	}
}

func TestFindNotificationReturnsTheFileOfAName(t *testing.T) {
	dir := folder(t, map[string]string{
		"a.yaml": "name: one\n---\nname: two\n", "b.yml": "name: [no]\n---\nname: three\n", "c.yaml": "a: [", "d.txt": "name: four\n",
	})
	c := crowdsec.Config{NotificationDir: dir}
	for name, want := range map[string]string{"one": "a.yaml", "two": "a.yaml", "three": "b.yml", "four": "", "five": ""} {
		got, err := c.FindNotification(name)
		if want != "" {
			want = filepath.Join(dir, want)
		}
		if err != nil || got != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if got, err := (crowdsec.Config{NotificationDir: filepath.Join(dir, "none")}).FindNotification("one"); got != "" || err != nil {
		t.Errorf("without the folder: %q, %v", got, err)
	}
}
