package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// image is an image of `make image` for one architecture, unpacked.
type image struct {
	root   string // the folder with its files
	Size   int64  // of the compressed layers, in bytes
	Config imageConfig
}

// imageConfig is the part of an image's configuration that tests read:
// https://github.com/opencontainers/image-spec/blob/main/config.md
type imageConfig struct {
	Architecture, OS string
	Config           struct {
		Entrypoint, Cmd, Env []string
		Labels               map[string]string
	}
}

// unpackImages checks the archive of `make image`, every digest and size of it, and unpacks it. It returns the images by architecture.
func unpackImages(t testing.TB) map[string]image {
	t.Helper()
	folder := temporaryFolder(t)
	archive, err := filepath.Abs(packageFile(t, thesePackages, "*_image.tar"))
	if err != nil {
		t.Fatal(err)
	}
	run(t, exec.CommandContext(t.Context(), "go", "run", "-C", "../packaging", "./image/unpack", archive, folder))
	architectures, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]image{}
	for _, a := range architectures {
		text, err := os.ReadFile(filepath.Join(folder, a.Name(), "image.json"))
		if err != nil {
			t.Fatal(err)
		}
		one := image{root: filepath.Join(folder, a.Name(), "root")}
		if err := json.Unmarshal(text, &one); err != nil {
			t.Fatal(err)
		}
		all[a.Name()] = one
	}
	return all
}
