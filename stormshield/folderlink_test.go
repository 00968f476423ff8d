package stormshield_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"notification-stormshield/stormshield"
	"notification-stormshield/stormshield/snstest"
)

// Vendor's scripts use a path that is probably a link.
func TestTheConfigurationFolderMayBeALink(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		shell   string
		missing []string
	}{
		"edited on the appliance":           {"/bin/sh", nil},
		"edited on the appliance under csh": {"/bin/csh", nil},
		"sent whole":                        {"/bin/sh", []string{"awk"}},
		"sent whole, without cksum":         {"/bin/sh", []string{"awk", "cksum"}},
		"sent whole under csh":              {"/bin/csh", []string{"awk"}},
	} {
		t.Run(name, func(t *testing.T) {
			h := start(t, func(o *snstest.Options) { o.FolderLink, o.LoginShell = true, c.shell })
			h.Sim.SetFaults(func(f *snstest.Faults) {
				f.MissingTools = c.missing
				f.BrokenTools = map[string]string{"mv": `pwd -P >> "$HOME/folders"; exec /bin/mv "$@"`}
			})
			config := configFor(t, h.Sim)
			config.ConfigDir = h.Sim.LinkedConfigDir()
			h.Client = stormshield.New(config)
			h.MustFlush(append(addresses(20), prefixes("203.0.113.0/24")...), nil, false)
			compared := h.Compared
			h.MustFlush(addresses(40)[20:], addresses(5), false)
			h.WantInForce()
			if h.Compared != compared && c.missing == nil {
				t.Error("the second flush read the files whole again")
			}
			folders, err := os.ReadFile(filepath.Join(h.Sim.Dir(), "folders"))
			if err != nil {
				t.Fatal(err)
			}
			real, err := filepath.EvalSymlinks(h.Sim.ConfigDir())
			if err != nil {
				t.Fatal(err)
			}
			for folder := range strings.Lines(string(folders)) {
				if !strings.HasPrefix(folder, real+"/.crowdsec-") {
					t.Errorf("temporary files were in %s", folder)
				}
			}
			if info, err := os.Lstat(h.Sim.LinkedConfigDir()); err != nil || info.Mode()&os.ModeSymlink == 0 {
				t.Errorf("the link is %v, %v", info, err)
			}
			if _, err := h.Client.Cleanup(t.Context(), nil); err != nil {
				t.Error(err)
			}
			if left := h.Sim.Leftovers(); len(left) > 0 {
				t.Errorf("left beside the files: %q", left)
			}
		})
	}
}
