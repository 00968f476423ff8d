package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// installed is the output of the plugin's image.
var installed = regexp.MustCompile(`^installed /\S+/notification-stormshield \(.+\)
the state folder /\S+ belongs to 65534:65534
copied secrets to /\S+ for 65534:65534: 3
$`)

func TestTheImageFillsEmptyVolumesAndAsksForFingerprints(t *testing.T) {
	t.Parallel() // it mostly waits
	c := newContainers(t)
	volumes := debian{root: c.project.volumes}
	for _, when := range []string{"first", "again"} {
		out := c.install(t)
		t.Logf("%s\n%s", when, out)
		if !installed.MatchString(out) {
			t.Errorf("install prints\n%s\nwant %s", out, installed)
		}
		volumes.wantLines(t, "-r-xr-x--x 0:0 /plugins/notification-stormshield", "drwxr-xr-x 0:0 /plugins", "drwx------ 65534:65534 /state",
			"drwx------ 65534:65534 /secrets", "-r-------- 65534:65534 /secrets/ssh_password",
			"-r-------- 65534:65534 /secrets/api_password", "-r-------- 65534:65534 /secrets/bouncer_key_stormshield")
		if volumes.read(t, "/plugins/notification-stormshield") != (&debian{root: c.image.root}).read(t, "/crowdsec-stormshield") {
			t.Error("the plugin is not the program of the image")
		}
	}

	// An administrator asks for the fingerprints before they are in the configuration.
	c.configure(t, "", "")
	checkContains(t, run(t, c.installer(t, "trust")), c.SSH.hostKey, c.Appliance.fingerprint)

	// compose.yaml lets the image write into the volumes alone.
	out, err := c.installer(t, "install", "/elsewhere").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "read-only file system") {
		t.Errorf("install writes beside its volumes: %v\n%s", err, out)
	}
}

func TestBansStayWhileTheContainersOfCrowdSecAreReplaced(t *testing.T) {
	t.Parallel() // it mostly waits
	const address, network, ended, second = "203.0.113.130", "198.51.100.128/26", "203.0.113.131", "203.0.113.132"
	c := newContainers(t)
	if image := c.project.Services["crowdsec"].Image; !strings.HasSuffix(image, "/crowdsec:v"+current.Version) {
		t.Errorf("compose.yaml has %s, and this suite tests CrowdSec %s", image, current.Version)
	}

	c.up(t)
	c.checkSandbox(t)
	c.checkCommandPrints(t, "check", "All is well")
	for _, b := range []struct{ flag, value string }{{"--ip", address}, {"--range", network}} {
		c.waitUntilEnforced(t, b.value, c.CrowdSec.Ban(t, b.flag, b.value, time.Hour), limitFor(b.value))
	}
	waitUntilEnded := c.banShortly(t, ended)
	stayedBlocked := c.guardBans(t, address, network)

	// New containers with a new plugin, and with new copies of the secrets. The state stays.
	c.down(t, "plugins", "secrets")
	c.up(t)
	c.checkSandbox(t)
	waitUntilEnded()

	// New containers without the state: the plugin reads the bans from the Local API again.
	c.down(t, "plugins", "secrets", "state")
	c.up(t)
	c.waitUntilStatusSays(t, "bans in force   2, ")
	c.banShortly(t, second)()
	stayedBlocked()
	c.checkNeverUnblocked(t, address, network)
	c.CrowdSec.mustCscli(t, "decisions", "delete", "--ip", address)
	checkWithin(t, enforcedWithin, "an address unblocked after its deletion", c.waitUntilUnblocked(t, address))
	c.Plugin.checkStateOwner(t)
	c.checkCleanup(t)
}

// banShortly bans an address for about as long as it takes to replace the containers, and waits until it is blocked. The returned function
// waits for the end of the ban, and checks it.
func (c *containers) banShortly(t testing.TB, address string) (waitUntilEnded func()) {
	t.Helper()
	d := c.CrowdSec.Ban(t, "--ip", address, 15*time.Second)
	c.waitUntilEnforced(t, address, d, enforcedWithin)
	wait := c.watchUntilEnded(t, map[string]Decision{address: d})
	return func() { wait(c.began) }
}

// checkSandbox fails the test if CrowdSec or the plugin has more rights than compose.yaml gives, or if the plugin is another file than
// that of the volume.
func (c *containers) checkSandbox(t testing.TB) {
	t.Helper()
	plugins := filepath.Dir(c.running.pluginPath())
	for _, file := range []string{"/written", "/etc/written", plugins + "/written", "/secrets/written", "/etc/crowdsec/profiles.yaml"} {
		out, err := c.running.command(t.Context(), "touch", file).CombinedOutput()
		if err == nil || !strings.Contains(string(out), "Read-only file system") {
			t.Errorf("touch %s: %v\n%s", file, err, out)
		}
	}
	pids := c.Plugin.Processes()
	if len(pids) != 1 {
		t.Fatalf("the plugin's processes %v, want one", pids)
	}
	if !runs(pids[0], c.project.volume("plugins")+"/notification-stormshield") {
		t.Error("the plugin is not the file of the volume")
	}
	for _, namespace := range []string{"user", "mnt", "pid"} {
		its, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pids[0], namespace))
		ours, ourErr := os.Readlink("/proc/self/ns/" + namespace)
		if err != nil || ourErr != nil || its == ours {
			t.Errorf("the plugin's namespace is %s, the test's is %s: %v %v", its, ours, err, ourErr)
		}
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pids[0]))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"Uid:\t65534\t65534\t65534\t65534\n", "Gid:\t65534\t65534\t65534\t65534\n", "CapEff:\t0000000000000000\n"} {
		if !strings.Contains(string(status), line) {
			t.Errorf("the process of the plugin has not %q:\n%s", line, status)
		}
	}
}
