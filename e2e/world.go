package e2e

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// World is an appliance, a CrowdSec and a plugin between them.
type World struct {
	Appliance *Appliance
	SSH       *sshd
	CrowdSec  *CrowdSec
	Plugin    *Plugin

	before map[string]string // the administrator's files, before the plugin
}

// newWorld makes a world in which everything runs and the plugin is ready to act. The test ends it.
func newWorld(t *testing.T, c Combination) *World {
	t.Helper()
	folder := temporaryFolder(t)
	w := newAppliance(t, folder, c.LoginShell)
	w.CrowdSec = installCrowdSec(t, folder, c.CrowdSec)
	w.Plugin = installPlugin(t, folder, w.CrowdSec, w.Appliance, w.SSH)
	w.CrowdSec.Start(t)
	w.Plugin.waitUntilActive(t)
	return w
}

// temporaryFolder makes a folder for a test. Its path is short, for sockets live in it, and open to others: the plugin and
// the SSH user are not root.
func temporaryFolder(t testing.TB) string {
	t.Helper()
	folder, err := os.MkdirTemp("", "e2e-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	if err := os.Chmod(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	return folder
}

// newAppliance makes a world of an appliance alone.
func newAppliance(t testing.TB, folder, loginShell string) *World {
	t.Helper()
	w := &World{}
	disk := filepath.Join(folder, "appliance")
	w.Appliance = startAppliance(t, folder, disk)
	w.SSH = startSSHD(t, folder, disk, loginShell)
	w.before = w.Appliance.Files(t)
	return w
}

// leaveNoTrace checks what must hold at the end of every story: the files were never broken, no administrator lost a
// right, and after cleanup the appliance is as it was.
func (w *World) leaveNoTrace(t *testing.T) {
	t.Helper()
	w.CrowdSec.Stop(t)
	w.Plugin.waitUntilGone(t)
	if problems := w.Appliance.Problems(t); len(problems) > 0 {
		t.Errorf("the appliance chokes on its files: %q", problems)
	}
	if out, err := w.Plugin.Command(t, "cleanup"); err != nil {
		t.Errorf("cleanup: %v\n%s", err, out)
	}
	for file, before := range w.before {
		if after := w.Appliance.Files(t)[file]; after != before {
			t.Errorf("%s is not as the administrator left it:\n%s", file, differences(before, after))
		}
	}
	for file := range w.Appliance.Files(t) {
		if _, known := w.before[file]; !known {
			t.Errorf("%s was left on the appliance", file)
		}
	}
	if list := w.Appliance.Blacklist(t); len(list) > 0 {
		t.Errorf("%d entries are left on the blacklist, such as %v", len(list), slices.Collect(maps.Keys(list))[0])
	}
	if problems := w.Appliance.Problems(t); len(problems) > 0 {
		t.Errorf("the appliance chokes on its files after cleanup: %q", problems)
	}
	if stats := w.Appliance.Stats(t); stats.Evictions > 0 {
		t.Errorf("%d times an administrator lost the right to modify", stats.Evictions)
	}
}

// differences names the first lines that are not the same.
func differences(before, after string) string {
	old, now := strings.SplitAfter(before, "\n"), strings.SplitAfter(after, "\n")
	for len(old) > 0 && len(now) > 0 && old[0] == now[0] {
		old, now = old[1:], now[1:]
	}
	few := func(lines []string) []string { return lines[:min(10, len(lines))] }
	return fmt.Sprintf("from the first that differs, %d lines before: %q\n%d lines after: %q", len(old), few(old), len(now), few(now))
}
