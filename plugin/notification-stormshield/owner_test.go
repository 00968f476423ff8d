package main

import (
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"notification-stormshield/plugin"
	"notification-stormshield/plugin/plugintest"
)

// nobody is an ordinary user, and stranger one without a name.
const (
	nobody   = 65534
	stranger = 12345
)

// credentialOf returns the user to run a program as; nil: the user of this process.
func credentialOf(uid int) *syscall.Credential {
	if uid == os.Geteuid() {
		return nil
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}
}

// ordinaryUser returns a user who is not root.
func ordinaryUser() int {
	if os.Geteuid() == 0 {
		return nobody
	}
	return os.Geteuid()
}

// newOpenHarness returns a harness whose folders and program are open to every user.
func newOpenHarness(t *testing.T) (h *harness, binary string) {
	t.Helper()
	h = newHarness(t)
	for _, dir := range []string{filepath.Dir(h.dir), h.dir} {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// A link, because a program that is being written cannot run while another test forks (go.dev/issue/22315).
	binary = filepath.Join(h.dir, "crowdsec-stormshield")
	if err := os.Link(self, binary); err != nil {
		t.Fatal(err)
	}
	h.dir = filepath.Join(h.dir, "state")
	if err := os.Mkdir(h.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	h.write(h.yaml(nil))
	if err := os.Chmod(h.file, 0o644); err != nil {
		t.Fatal(err)
	}
	return h, binary
}

// runAs runs a command line in a process of its own, which may give up root.
func runAs(t *testing.T, uid int, binary string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credentialOf(uid)}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestACommandWithoutTheRightsSaysToRunItAsRoot(t *testing.T) {
	t.Parallel()
	h, binary := newOpenHarness(t)
	h.openLedger()
	state := plugin.StateOf(h.document())
	for _, file := range []string{state.Lease, state.Lockout} {
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if os.Geteuid() == 0 {
		chownAll(t, h.dir, nobody)
	}
	bans, check, others := []string{"bans"}, []string{"check"}, [][]string{{"status"}, {"bans", "remove", "203.0.113.7"}, {"flush"}, {"cleanup"}}
	for closed, commands := range map[string][][]string{
		h.file:        append([][]string{{"trust"}, bans, check}, others...),
		h.dir:         append([][]string{bans, check}, others...),
		state.Path:    append([][]string{bans}, others...),
		state.Lease:   others,
		state.Lockout: append([][]string{check}, others...),
	} {
		info, err := os.Stat(closed)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(closed, 0); err != nil {
			t.Fatal(err)
		}
		for _, words := range commands {
			out, err := runAs(t, ordinaryUser(), binary, append(words, "-c", h.file)...)
			if err == nil || !strings.Contains(out, closed) || !strings.Contains(out, "permission denied (hint: run this as root)") {
				t.Errorf("%v with %s closed: %v\n%s", words, closed, err, out)
			}
		}
		if err := os.Chmod(closed, info.Mode().Perm()); err != nil {
			t.Fatal(err)
		}
	}
}

// chownAll gives a folder and all files in it to a user.
func chownAll(t *testing.T, dir string, uid int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chown(path, uid, uid)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// serve starts the plugin as a user, configures it and bans an address.
func (h *harness) serve(uid int, binary string) error {
	h.t.Helper()
	p, err := plugintest.Start(binary, credentialOf(uid))
	if err != nil {
		h.t.Fatal(err)
	}
	defer p.Kill()
	if err := p.Configure(h.t.Context(), h.yaml(nil)); err != nil {
		return err
	}
	return p.Notify(h.t.Context(), "test", plugintest.Ban(time.Hour, netip.MustParsePrefix("203.0.113.7/32")).Text())
}

// stateUsers are a user of the plugin, an owner of the state folder, and the process that makes the first state file.
type stateUsers struct {
	plugin, folder int
	first          string
}

func TestThePluginCanOpenTheStateFilesOfEachCommand(t *testing.T) {
	testStateUsers(t, []stateUsers{{nobody, nobody, "check"}, {stranger, stranger, "flush"}, {0, 0, "plugin"}, {0, nobody, "check"}})
}

func TestLongThePluginCanOpenTheStateFilesOfEachCommand(t *testing.T) {
	var all []stateUsers
	for _, users := range []stateUsers{{nobody, nobody, ""}, {stranger, stranger, ""}, {0, 0, ""}, {0, nobody, ""}} {
		for _, users.first = range []string{"plugin", "check", "flush"} {
			all = append(all, users)
		}
	}
	testStateUsers(t, all)
}

func testStateUsers(t *testing.T, all []stateUsers) {
	if os.Geteuid() != 0 {
		t.Skip("only root changes its user")
	}
	for _, c := range all {
		t.Run(fmt.Sprintf("plugin %d, folder %d, first %s", c.plugin, c.folder, c.first), func(t *testing.T) {
			t.Parallel()
			h, binary := newOpenHarness(t)
			chownAll(t, h.dir, c.folder)
			if err := os.Chmod(h.dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if c.first != "plugin" {
				_, _ = runAs(t, 0, binary, c.first, "-c", h.file) // there may be no state yet
			}
			if err := h.serve(c.plugin, binary); err != nil {
				t.Fatal(err)
			}
			for _, words := range [][]string{{"bans"}, {"check"}, {"flush"}, {"bans", "remove", "203.0.113.7"}, {"flush"}} {
				if out, err := runAs(t, 0, binary, append(words, "-c", h.file)...); err != nil {
					t.Errorf("%v as root: %v\n%s", words, err, out)
				}
			}
			h.checkOwner(c.plugin)
			if err := h.serve(c.plugin, binary); err != nil {
				t.Errorf("the plugin after the commands: %v", err)
			}
		})
	}
}

// checkOwner reports an error for a state file that a user does not own.
func (h *harness) checkOwner(uid int) {
	h.t.Helper()
	files, err := filepath.Glob(filepath.Join(h.dir, "*"))
	if err != nil || len(files) < 2 {
		h.t.Fatal(files, err)
	}
	for _, file := range files {
		owner, err := plugin.OwnerOf(file)
		if err != nil || uid != 0 && owner.UID != uid {
			h.t.Errorf("%s belongs to %d (%v), and the plugin is %d", file, owner.UID, err, uid)
		}
	}
}

func TestTheErrorAboutAStateOfAnotherUserNamesTheCure(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root changes its user")
	}
	for uid, name := range map[int]string{nobody: "nobody", stranger: strconv.Itoa(stranger)} {
		h, binary := newOpenHarness(t)
		chownAll(t, h.dir, uid)
		if err := h.serve(0, binary); err != nil { // plugin_config named root
			t.Fatal(err)
		}
		if out, err := runAs(t, 0, binary, "bans", "-c", h.file); err != nil || !strings.Contains(out, "203.0.113.7") {
			t.Errorf("bans: %v\n%s", err, out)
		}
		cure := fmt.Sprintf("chown -R %s %s", name, h.dir)
		err := h.serve(uid, binary)
		if err == nil || !strings.Contains(err.Error(), cure) {
			t.Fatalf("as %s again: %v; want the hint %q", name, err, cure)
		}
		if out, err := exec.CommandContext(t.Context(), "sh", "-c", cure).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v %s", cure, err, out)
		}
		if err := h.serve(uid, binary); err != nil {
			t.Errorf("after %s: %v", cure, err)
		}
	}
}

func TestTheErrorAboutAMissingStateFolderNamesTheCure(t *testing.T) {
	h, binary := newOpenHarness(t)
	if err := os.Chmod(h.dir, 0); err != nil {
		t.Fatal(err)
	}
	me := plugin.UserName(ordinaryUser())
	if os.Geteuid() != 0 {
		defer func() { _ = os.Chmod(h.dir, 0o755) }()
	}
	closed := h.dir
	h.dir = filepath.Join(closed, "state")
	h.expectCure(binary, fmt.Sprintf("let the plugin's user, %s, through each folder above it; namei -l %s", me, h.dir))
	if err := os.Chmod(closed, 0o555); err != nil {
		t.Fatal(err)
	}
	h.expectCure(binary, fmt.Sprintf("install -d -m 700 -o %s %s", me, h.dir))
}

func (h *harness) expectCure(binary, cure string) {
	h.t.Helper()
	if err := h.serve(ordinaryUser(), binary); err == nil || !strings.Contains(err.Error(), cure) {
		h.t.Errorf("%v; want the hint %q", err, cure)
	}
}
