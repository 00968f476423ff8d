package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	goplugin "github.com/hashicorp/go-plugin"

	"notification-stormshield/plugin/plugintest"
)

// program returns a path of this program. TestMain runs main under its name.
func program(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "crowdsec-stormshield")
	if err := os.Symlink(self, path); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestThePluginStartsWithAnUnusableTMPDIR(t *testing.T) {
	private := filepath.Join(t.TempDir(), "private") // libpam-tmpdir's TMPDIR, if the tests are not root
	if err := os.Mkdir(private, 0o500); err != nil {
		t.Fatal(err)
	}
	long := filepath.Join(t.TempDir(), strings.Repeat("x", 100))
	if err := os.Mkdir(long, 0o700); err != nil {
		t.Fatal(err)
	}
	binary := program(t)
	for name, environment := range map[string][]string{
		"of another user":                  {"TMPDIR=" + private},
		"missing":                          {"TMPDIR=/nowhere"},
		"a file":                           {"TMPDIR=/dev/null"},
		"too long":                         {"TMPDIR=" + long},
		"a folder for sockets that is bad": {goplugin.EnvUnixSocketDir + "=/nowhere"},
	} {
		t.Run(name, func(t *testing.T) {
			process, err := plugintest.Start(binary, nil, environment...)
			if err != nil {
				t.Fatal(err)
			}
			defer process.Kill()
			if err := process.Configure(t.Context(), newHarness(t).yaml(nil)); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestThePluginMakesItsSocketInCrowdSecsFolder(t *testing.T) {
	folder, err := os.MkdirTemp("/tmp", "s")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(folder)
	process, err := plugintest.Start(program(t), nil, goplugin.EnvUnixSocketDir+"="+folder)
	if err != nil {
		t.Fatal(err)
	}
	defer process.Kill()
	if sockets, err := os.ReadDir(folder); err != nil || len(sockets) != 1 {
		t.Errorf("sockets there: %v (%v)", sockets, err)
	}
}
