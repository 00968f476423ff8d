package acceptance_test

import (
	"os"
	"path/filepath"
	"testing"

	"notification-stormshield/stormshield"
	"notification-stormshield/stormshield/acceptance"
	"notification-stormshield/stormshield/snstest"
)

func TestCheckSaysWhereTheConfigurationFolderLeads(t *testing.T) {
	t.Parallel()
	for _, shell := range []string{"/bin/sh", "/bin/csh"} {
		h := start(t, func(o *snstest.Options) { o.FolderLink, o.LoginShell = true, shell })
		h.MustFlush(append(addresses(3), prefixes("203.0.113.0/24")...), nil, false)
		object, objectgroup := h.Sim.Read("object"), h.Sim.Read("objectgroup")
		data, link := h.Sim.ConfigDir(), h.Sim.LinkedConfigDir()
		config := configFor(t, h.Sim)
		if f := finding(acceptance.Check(t.Context(), stormshield.New(config)), "configuration folder"); f.Detail != data+"; the same files are in "+link {
			t.Errorf("%s: found %q", shell, f.Detail)
		}
		config.ConfigDir = link
		findings := acceptance.CheckAndWrite(t.Context(), stormshield.New(config))
		for _, f := range findings {
			if f.Verdict != acceptance.Holds {
				t.Errorf("%s: %s: %s, %v", shell, f.Subject, f.Detail, f.Err)
			}
		}
		if f := finding(findings, "configuration folder"); f.Detail != link+", which leads to "+data+"; the same files are in "+data {
			t.Errorf("%s: found %q", shell, f.Detail)
		}
		h.wantUntouched(object, objectgroup)
	}
}

func TestCheckNamesASecondFolderWithOtherFiles(t *testing.T) {
	t.Parallel()
	h := start(t)
	second := h.Sim.LinkedConfigDir()
	if err := os.MkdirAll(second, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(second, "object"), h.Sim.Read("object"), 0o600); err != nil {
		t.Fatal(err)
	}
	if f := finding(h.check(), "configuration folder"); f.Verdict != acceptance.Differs || f.Detail != h.Sim.ConfigDir()+"; another file object is in "+second {
		t.Errorf("found %+v", f)
	}
}

func TestCheckFindsTheFolderAtItsOtherPath(t *testing.T) {
	t.Parallel()
	h := start(t)
	config := configFor(t, h.Sim)
	config.ConfigDir = h.Sim.LinkedConfigDir() // it does not exist
	if f := finding(acceptance.Check(t.Context(), stormshield.New(config)), "configuration folder"); f.Hint != "set config_dir: "+h.Sim.ConfigDir()+", where the file object is" {
		t.Errorf("found %v (hint: %s)", f.Err, f.Hint)
	}
}
