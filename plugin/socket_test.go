package plugin_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"notification-stormshield/plugin"
)

// longFolder makes a folder whose path has this many bytes.
func longFolder(t *testing.T, length int) string {
	t.Helper()
	base, err := os.MkdirTemp("/tmp", "s") // t.TempDir may be too long by itself
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(base) })
	folder := base + "/" + strings.Repeat("x", length-len(base)-1)
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	return folder
}

func TestTheFirstFolderWithRoomForASocketIsChosen(t *testing.T) {
	t.Parallel()
	longest := longFolder(t, plugin.LongestSocketFolder)
	tooLong := longFolder(t, plugin.LongestSocketFolder+1)
	missing := filepath.Join(longest, "missing")
	got, err := plugin.FirstForSocket([]string{missing, tooLong, longest, "/tmp"})
	if err != nil || got != longest {
		t.Errorf("chosen: %q, %v; want the longest that is possible", got, err)
	}
	if left, err := os.ReadDir(longest); err != nil || len(left) > 0 {
		t.Errorf("the attempt leaves %v (%v)", left, err)
	}
}

func TestTheErrorHasTheCauseForEachFolderOfASocket(t *testing.T) {
	t.Parallel()
	tooLong, missing := longFolder(t, plugin.LongestSocketFolder+1), filepath.Join(t.TempDir(), "missing")
	folders := map[string]string{missing: "no such file or directory", tooLong: "too long"}
	if os.Geteuid() != 0 { // root writes everywhere
		private := longFolder(t, 60)
		if err := os.Chmod(private, 0o500); err != nil {
			t.Fatal(err)
		}
		folders[private] = "permission denied"
	}
	for folder, why := range folders {
		got, err := plugin.FirstForSocket([]string{folder})
		if err == nil {
			t.Errorf("%s is chosen: %s", folder, got)
		} else if !strings.Contains(err.Error(), folder) || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v; want %q", folder, err, why)
		}
	}
}
