package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The second build is of a copy of the tree in another folder, with newer files, another umask and another time zone.
func TestTwoBuildsOfACommitGiveTheSameBytes(t *testing.T) {
	first, err := thesePackages()
	if err != nil {
		t.Fatal(err)
	}
	folder := temporaryFolder(t)
	tree, second := filepath.Join(folder, "tree"), filepath.Join(folder, "dist")
	run(t, shell(t.Context(), `
		mkdir "$1"
		cp -r ../.git "$1"
		cd ..
		git ls-files -z --cached --others --exclude-standard | tar -c --null --ignore-failed-read -T - | (umask 077 && tar -xm --no-same-permissions -C "$1")`, tree))
	t.Setenv("TZ", "Pacific/Auckland")
	t.Setenv("HOSTNAME", "another")
	if err := makeRelease("077", tree, second, "package", "image"); err != nil {
		t.Fatal(err)
	}
	names := []string{}
	for _, folder := range []string{first, second} {
		entries, err := os.ReadDir(folder)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if len(names) != 10 { // a deb, an rpm, an archive and a bill of materials for each architecture, the image, and the checksums
		t.Errorf("the builds have %d files: %v", len(names), names)
	}
	for _, name := range names {
		one, err := os.ReadFile(filepath.Join(first, name))
		if err != nil {
			t.Fatal(err)
		}
		other, err := os.ReadFile(filepath.Join(second, name))
		if err != nil {
			t.Fatal(err)
		}
		if string(one) != string(other) {
			t.Errorf("%s differs between two builds: %d and %d bytes", name, len(one), len(other))
		}
	}
	t.Logf("MEASURED %d files are the same bytes in both builds", len(names))
}

func TestAllPackagesHaveChecksums(t *testing.T) {
	folder, err := thesePackages()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "sha256sum", "--check", "--strict", "SHA256SUMS")
	cmd.Dir = folder
	if well := strings.Count(run(t, cmd), ": OK\n"); well != 9 {
		t.Errorf("%d files have a checksum, want 9", well)
	}
}

func TestTheBillOfMaterialsNamesEveryModuleOfTheBinary(t *testing.T) {
	for _, architecture := range []string{"amd64", "arm64"} {
		text, err := os.ReadFile(packageFile(t, thesePackages, "*_linux_"+architecture+".cdx.json"))
		if err != nil {
			t.Fatal(err)
		}
		var bill struct {
			BOMFormat  string
			Components []struct{ Name, Version string }
		}
		if err := json.Unmarshal(text, &bill); err != nil || bill.BOMFormat != "CycloneDX" {
			t.Fatalf("it is not a bill of materials: %v", err)
		}
		named := map[string]bool{}
		for _, c := range bill.Components {
			named[c.Name+" "+c.Version] = true
		}
		binary := filepath.Join(unpacked(t, architecture), "notification-stormshield")
		modules := 0
		for _, line := range strings.Split(run(t, exec.CommandContext(t.Context(), "go", "version", "-m", binary)), "\n") {
			if words := strings.Fields(line); len(words) > 2 && words[0] == "dep" {
				modules++
				if !named[words[1]+" "+words[2]] {
					t.Errorf("it does not name %s %s", words[1], words[2])
				}
			}
		}
		if modules < 10 {
			t.Errorf("the binary has %d modules, which is too few", modules)
		}
	}
}

func TestABuildOutsideGitAsksForTheTimeOfTheCommit(t *testing.T) {
	folder := temporaryFolder(t)
	cmd := shell(t.Context(), `
		mkdir "$1/packaging"
		cp ../packaging/build.sh ../packaging/version.sh "$1/packaging"
		unset SOURCE_DATE_EPOCH
		GIT_CEILING_DIRECTORIES=$(dirname "$1") VERSION=1.2.3 "$1/packaging/build.sh" "$1/dist" image`, folder)
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "set VERSION, COMMIT and SOURCE_DATE_EPOCH") {
		t.Errorf("%v: %s", err, out)
	}
}

func TestVersionsOfPackagesSortAsTheirCommits(t *testing.T) {
	described := []string{
		"a5826d7", "a5826d7-dirty", "v0.9.0", "v1.0.0-rc1", "v1.0.0-rc1-7-gabc1234", "v1.0.0-rc2", "v1.0.0",
		"v1.0.0-2-gabc1234", "v1.0.0-2-gabc1234-dirty", "v1.0.0-10-gabc1234", "v1.0.1", "1.2.0", "v1.10.0",
	}
	versions := make([]string, len(described))
	for i, d := range described {
		cmd := exec.CommandContext(t.Context(), "../packaging/version.sh", d)
		cmd.Env = append(os.Environ(), "SOURCE_DATE_EPOCH="+strconv.Itoa(1_790_000_000))
		versions[i] = strings.TrimSpace(run(t, cmd))
	}
	for i, higher := range versions[1:] {
		lower := versions[i]
		if err := exec.CommandContext(t.Context(), "dpkg", "--compare-versions", lower, "lt", higher).Run(); err != nil {
			t.Errorf("for dpkg %s is not lower than %s (%v)", lower, higher, err)
		}
		order := run(t, exec.CommandContext(t.Context(), "rpm", "--eval", `%{lua: print(rpm.vercmp("`+lower+`", "`+higher+`"))}`))
		if strings.TrimSpace(order) != "-1" {
			t.Errorf("for rpm %s is not lower than %s (%s)", lower, higher, order)
		}
	}
	if out, err := exec.CommandContext(t.Context(), "../packaging/version.sh", "not a version").CombinedOutput(); err == nil {
		t.Errorf("it accepts a text that is not a version: %s", out)
	}
}
