package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// largestImage is the limit for the compressed layers of an architecture.
const largestImage = 12_000_000

func TestTheImageIsValidAndSmallAndHasTheProgramOfThePackages(t *testing.T) {
	all := unpackImages(t)
	if len(all) != 2 {
		t.Fatalf("the archive has %d images, want 2", len(all))
	}
	for _, architecture := range []string{"amd64", "arm64"} {
		image := all[architecture]
		t.Logf("MEASURED the image for %s has %.1f MB compressed", architecture, float64(image.Size)/1e6)
		if image.Size == 0 || image.Size > largestImage {
			t.Errorf("the image for %s has %d bytes compressed, the limit is %d", architecture, image.Size, largestImage)
		}
		config := image.Config
		got := fmt.Sprint(config.OS, config.Architecture, config.Config.Entrypoint, config.Config.Cmd)
		if want := fmt.Sprint("linux", architecture, []string{"/crowdsec-stormshield"}, []string{"install", "/plugins"}); got != want {
			t.Errorf("the image is for, and runs, %s, want %s", got, want)
		}
		for _, label := range []string{"title", "description", "version", "revision", "created", "licenses"} {
			if config.Config.Labels["org.opencontainers.image."+label] == "" {
				t.Errorf("the image for %s has no label %s: %v", architecture, label, config.Config.Labels)
			}
		}
		files := debian{root: image.root}
		files.wantLines(t,
			"-r-xr-x--x 0:0 /crowdsec-stormshield", "dtrwxrwxrwx 0:0 /tmp", "-rw-r--r-- 0:0 /etc/passwd", "-rw-r--r-- 0:0 /etc/group",
			"-rw-r--r-- 0:0 /usr/share/doc/crowdsec-stormshield/LICENSE", "-rw-r--r-- 0:0 /usr/share/doc/crowdsec-stormshield/third-party.txt")
		packaged, err := os.ReadFile(filepath.Join(unpacked(t, architecture), "notification-stormshield"))
		if err != nil {
			t.Fatal(err)
		}
		if files.read(t, "/crowdsec-stormshield") != string(packaged) {
			t.Errorf("the program for %s differs from that of the archive", architecture)
		}
	}
}
