package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestADockerEngineLoadsAndRunsTheImage uses a Docker engine if there is one, and says so. In any case skopeo reads the archive, in both of
// its forms.
func TestADockerEngineLoadsAndRunsTheImage(t *testing.T) {
	archive := packageFile(t, thesePackages, "*_image.tar")
	skopeoCopies(t, archive)
	engine, err := findDocker(t)
	if err != nil {
		t.Logf("no Docker engine is here (%v). Only skopeo copied the archive, in both of its forms", err)
		return
	}
	t.Logf("a Docker engine is here: %s", engine.about)
	image := engine.load(t, archive)
	debian := engine.image(t, "debian", func(name string) *exec.Cmd { return engine.command(t, "import", bareDebian, name) })
	t.Run("run", func(t *testing.T) { engine.runs(t, image, debian) })
	t.Run("build", func(t *testing.T) { engine.builds(t, image, debian) })
	if out, err := engine.command(t, "compose", "version").CombinedOutput(); err != nil {
		t.Logf("this Docker has no Compose (%v): %s", err, out)
		return
	}
	t.Run("compose", func(t *testing.T) { engine.composes(t, image, debian) })
}

// skopeoCopies copies the image for each architecture out of an archive: from the index of OCI with its digest, and from the list for
// Docker. skopeo compares every digest.
func skopeoCopies(t *testing.T, archive string) {
	t.Helper()
	folder := temporaryFolder(t)
	raw := run(t, skopeo(t, "inspect", "--raw", "oci-archive:"+archive))
	var index struct {
		Manifests []struct {
			Platform struct{ OS, Architecture string }
		}
	}
	if err := json.Unmarshal([]byte(raw), &index); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(index.Manifests); got != "[{{linux amd64}} {{linux arm64}}]" {
		t.Errorf("skopeo finds the images %s", got)
	}
	run(t, skopeo(t, "copy", "--quiet", "--all", "--preserve-digests", "oci-archive:"+archive, "dir:"+filepath.Join(folder, "all")))
	copied, err := os.ReadFile(filepath.Join(folder, "all", "manifest.json"))
	if err != nil || string(copied) != raw {
		t.Errorf("skopeo copies the index %s, want %s; error %v", copied, raw, err)
	}
	var images []struct{ RepoTags []string }
	list := run(t, exec.CommandContext(t.Context(), "tar", "-xOf", archive, "manifest.json"))
	if err := json.Unmarshal([]byte(list), &images); err != nil || len(images) != 2 {
		t.Fatalf("the list for Docker: %s, error %v", list, err)
	}
	for i, image := range images {
		run(t, skopeo(t, "copy", "--quiet", "docker-archive:"+archive+":"+image.RepoTags[0], "dir:"+filepath.Join(folder, fmt.Sprint(i))))
	}
}

func skopeo(t *testing.T, words ...string) *exec.Cmd {
	return exec.CommandContext(t.Context(), "skopeo", append([]string{"--insecure-policy"}, words...)...)
}

// runs runs the default command of the image, and the command install with a state folder, with new volumes.
func (d *docker) runs(t *testing.T, image, debian string) {
	plugins, state := d.volume(t, "plugins"), d.volume(t, "state")
	d.runImage(t, "--read-only", "--volume", plugins+":/plugins", image)
	mounted := []string{"--volume", plugins + ":/plugins:ro", "--volume", state + ":/state:ro", debian}
	d.wantLines(t, mounted, "-r-xr-x--x 0:0 /plugins/notification-stormshield")
	d.runImage(t, "--read-only", "--volume", plugins+":/plugins", "--volume", state+":/state", image, "install", "/plugins", "--state", "/state")
	d.wantLines(t, mounted, "-r-xr-x--x 0:0 /plugins/notification-stormshield", "drwx------ 65534:65534 /state")

	program := filepath.Join(unpacked(t, "amd64"), "notification-stormshield")
	want, _, _ := strings.Cut(run(t, exec.CommandContext(t.Context(), "sha256sum", program)), " ")
	if got := d.runImage(t, append(mounted, "sha256sum", "/plugins/notification-stormshield")...); !strings.HasPrefix(got, want) {
		t.Errorf("the checksum of the plugin is %s, want %s", got, want)
	}
}

// builds builds the Dockerfile with Debian in place of CrowdSec's image, because no registry can be reached.
func (d *docker) builds(t *testing.T, image, debian string) {
	file, err := os.Open("../packaging/container/Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	built := d.image(t, "built", func(name string) *exec.Cmd {
		// --force-rm is for Podman, which keeps a container of each stage without it.
		build := d.command(t, "build", "--force-rm", "--network", "none", "--tag", name,
			"--build-arg", "CROWDSEC_IMAGE="+debian, "--build-arg", "STORMSHIELD_IMAGE="+image, "-")
		build.Stdin = file
		return build
	})
	state := d.volume(t, "built-state")
	d.wantLines(t, []string{"--volume", state + ":/var/lib/crowdsec-stormshield", built},
		"drwx------ 65534:65534 /var/lib/crowdsec-stormshield", "-r-xr-x--x 0:0 /usr/local/lib/crowdsec/plugins/notification-stormshield")
	if got, want := d.runImage(t, built, "crowdsec-stormshield", "version"), d.runImage(t, image, "version"); got != want {
		t.Errorf("the program in PATH is %s, want %s", got, want)
	}
}

// composes runs the service stormshield of compose.yaml as docs/containers.md says, without a network.
func (d *docker) composes(t *testing.T, image, debian string) {
	folder := filepath.Join(temporaryFolder(t), d.names+"-compose")
	run(t, exec.CommandContext(t.Context(), "cp", "-r", "../packaging/container", folder))
	write := func(name, text string) {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(folder, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(".env", "STORMSHIELD_IMAGE="+image+"\n")
	write("alone.yaml", "services: {stormshield: {network_mode: none}, crowdsec: {network_mode: none}}\n")
	words := []string{"compose", "--project-directory", folder, "--file", filepath.Join(folder, "compose.yaml"), "--file", filepath.Join(folder, "alone.yaml")}
	compose := func(more ...string) string { return d.run(t, append(words, more...)...) }

	var project struct {
		Volumes map[string]struct{ Name string }
		Secrets map[string]struct{ File string }
	}
	if err := json.Unmarshal([]byte(compose("config", "--format", "json")), &project); err != nil {
		t.Fatal(err)
	}
	lines := []string{"-r-xr-x--x 0:0 /plugins/notification-stormshield", "drwx------ 65534:65534 /state", "drwx------ 65534:65534 /secrets"}
	for name, secret := range project.Secrets {
		write(strings.TrimPrefix(secret.File, folder), "secret\n")
		lines = append(lines, "-r-------- 65534:65534 /secrets/"+name)
	}
	d.remove(t, append(words, "down", "--volumes")...)
	t.Logf("%s", compose("run", "--rm", "stormshield"))
	var mounted []string
	for _, name := range []string{"plugins", "state", "secrets"} {
		mounted = append(mounted, "--volume", project.Volumes[name].Name+":/"+name+":ro")
	}
	d.wantLines(t, append(mounted, debian), lines...)
}
