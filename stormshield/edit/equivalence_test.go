package edit_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"notification-stormshield/stormshield/edit"
	"notification-stormshield/stormshield/objects"
	"notification-stormshield/stormshield/shell"
	"notification-stormshield/stormshield/snstest"
)

// A toolset is a shell and an awk that an appliance may have. Each is a program
// of this machine under the name that it has there.
type toolset struct {
	sh, awk string
}

func (s toolset) String() string { return s.sh + "+" + s.awk }

// toolsets returns every shell with every awk. It leaves out programs that this
// machine lacks; where CI is set, that is a failure.
func toolsets(t testing.TB) (sets []toolset) {
	t.Helper()
	for _, sh := range []string{"dash", "busybox", "bash"} {
		for _, awk := range []string{"original-awk", "mawk", "gawk", "busybox"} {
			if has(t, sh) && has(t, awk) {
				sets = append(sets, toolset{sh, awk})
			}
		}
	}
	return sets
}

func has(t testing.TB, program string) bool {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("this machine lacks %s, with which the programs must be tried", program)
		}
		t.Logf("this machine lacks %s: NOT tried with it", program)
		return false
	}
	return true
}

// machine is a folder with the files, and the tools that work on it.
type machine struct {
	tools, folder string
}

// newMachine links the tools under the names sh and awk. An empty name stands for the
// tool of this machine.
func newMachine(t testing.TB, s toolset) machine {
	t.Helper()
	m := machine{tools: t.TempDir(), folder: t.TempDir()}
	for name, program := range map[string]string{"sh": s.sh, "awk": s.awk} {
		if program == "" {
			program = name
		}
		path, err := exec.LookPath(program)
		if err == nil {
			err = os.Symlink(path, filepath.Join(m.tools, name))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return m
}

func (m machine) command(args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(m.tools, "sh"), args...)
	cmd.Env = []string{"PATH=" + m.tools + ":" + os.Getenv("PATH"), "LANG=C.UTF-8"}
	return cmd
}

// patch applies a patch with the tools, and checks that they leave no other file.
func (m machine) patch(t testing.TB, was edit.Texts, state edit.State, p objects.Patch) (edit.Texts, string, error) {
	t.Helper()
	is, report, err := m.run(t, was, state, p)
	if names := m.names(t); !slices.Equal(names, []string{"object", "objectgroup"}) {
		t.Errorf("in the folder is %q", names)
	}
	return is, report, err
}

// run applies a patch with the tools. A status other than 0 is an *exec.ExitError.
func (m machine) run(t testing.TB, was edit.Texts, state edit.State, p objects.Patch) (edit.Texts, string, error) {
	t.Helper()
	for name, text := range map[string][]byte{"object": was.Object, "objectgroup": was.Objectgroup} {
		if err := os.WriteFile(filepath.Join(m.folder, name), text, 0o640); err != nil {
			t.Fatal(err)
		}
	}
	work, program := edit.Program(m.folder, state, p)
	if err := os.Mkdir(filepath.Join(m.folder, work), 0o700); err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(m.folder, work, "script")
	if err := os.WriteFile(script, program, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := m.command(script)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, complaint.String())
	} else if complaint.Len() > 0 {
		t.Errorf("the program complained: %s", complaint.String())
	}
	var is edit.Texts
	is.Object, _ = os.ReadFile(filepath.Join(m.folder, "object"))
	is.Objectgroup, _ = os.ReadFile(filepath.Join(m.folder, "objectgroup"))
	return is, string(out), err
}

// names lists the folder.
func (m machine) names(t testing.TB) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(m.folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// wantSame applies a patch with the tools and with Go, and compares the texts.
func (m machine) wantSame(t testing.TB, was edit.Texts, p objects.Patch) {
	t.Helper()
	state := was.State(p.Group)
	got, report, err := m.patch(t, was, state, p)
	if err != nil {
		t.Fatalf("%v\nobject %q\nobjectgroup %q\npatch %s", err, was.Object, was.Objectgroup, encoded(p))
	}
	patched := p.Apply(was.Object, was.Objectgroup)
	want := edit.Texts{Object: patched.Object, Objectgroup: patched.Objectgroup}
	if p.Empty() {
		want = was
	}
	if !bytes.Equal(got.Object, want.Object) || !bytes.Equal(got.Objectgroup, want.Objectgroup) {
		t.Fatalf("object\n was %q\n got %q\nwant %q\nobjectgroup\n was %q\n got %q\nwant %q\npatch %s",
			was.Object, got.Object, want.Object, was.Objectgroup, got.Objectgroup, want.Objectgroup, encoded(p))
	}
	is := want.State(p.Group)
	wantReport := fmt.Sprintf("object %s\nobjectgroup %s\nhas %d\n", is.Object, is.Objectgroup, is.Entries)
	if !p.Empty() && report != wantReport {
		t.Errorf("reported %q, want %q", report, wantReport)
	}
}

func encoded(p objects.Patch) string {
	var b strings.Builder
	_ = p.Encode(&b)
	return b.String()
}

// Four pairs have each shell and each awk.
func TestEachShellAndAwkMakesTheSameBytesAsGo(t *testing.T) {
	var some []toolset
	for _, s := range toolsets(t) {
		switch s {
		case toolset{"dash", "original-awk"}, toolset{"busybox", "mawk"}, toolset{"bash", "gawk"}, toolset{"dash", "busybox"}:
			some = append(some, s)
		}
	}
	makeTheSameBytes(t, some, 15)
}

func TestLongEveryShellWithEveryAwkMakesTheSameBytesAsGo(t *testing.T) {
	makeTheSameBytes(t, toolsets(t), 60)
}

// makeTheSameBytes applies random patches with each toolset.
func makeTheSameBytes(t *testing.T, sets []toolset, patches int) {
	for i, s := range sets {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			m := newMachine(t, s)
			if out, err := m.command("-c", "command -v awk").Output(); err != nil || strings.TrimSpace(string(out)) != filepath.Join(m.tools, "awk") {
				t.Fatalf("this shell takes %q for awk, not the one to be tried (%v)", out, err)
			}
			for n := range patches {
				random := rand.New(rand.NewPCG(uint64(i), uint64(n)))
				m.wantSame(t, randomTexts(random), randomPatch(random))
			}
		})
	}
}

func TestEveryShellAndAwkEditsInAFolderThatIsALink(t *testing.T) {
	for i, s := range toolsets(t) {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			m := newMachine(t, s)
			link := filepath.Join(t.TempDir(), "link")
			if err := os.Symlink(m.folder, link); err != nil {
				t.Fatal(err)
			}
			m.folder = link
			random := rand.New(rand.NewPCG(uint64(i), 0))
			m.wantSame(t, randomTexts(random), randomPatch(random))
		})
	}
}

func TestEveryAwkNamesTheLargestAddresses(t *testing.T) {
	large := objects.NewSet([]netip.Prefix{
		netip.MustParsePrefix("255.255.255.255/32"), netip.MustParsePrefix("128.0.0.0/32"), netip.MustParsePrefix("127.255.255.255/32"),
		netip.MustParsePrefix("0.0.0.1/32"), netip.MustParsePrefix("255.255.255.254/31"),
		netip.MustParsePrefix("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128"), netip.MustParsePrefix("ffff::/17"),
	})
	for _, s := range toolsets(t) {
		t.Run(s.String(), func(t *testing.T) {
			newMachine(t, s).wantSame(t, edit.Texts{}, objects.Patch{Group: "Crowdsec", DeleteGroup: "Gone", InForce: large})
		})
	}
}

// Some awks lose zero bytes.
func TestTextThatAnAwkChangesIsNeverWritten(t *testing.T) {
	was := edit.Texts{Object: []byte("[Host]\na\x00b=1.2.3.4\ncrowdsec_ip_1=0.0.0.1,resolve=static\n"), Objectgroup: []byte("[Crowdsec]\n\x00\n")}
	p := objects.Patch{Group: "Crowdsec", DeleteGroup: "Gone",
		InForce: objects.NewSet([]netip.Prefix{netip.MustParsePrefix("0.0.0.2/32")}), Removed: objects.NewSet([]netip.Prefix{netip.MustParsePrefix("0.0.0.1/32")})}
	patched := p.Apply(was.Object, was.Objectgroup)
	for _, s := range toolsets(t) {
		t.Run(s.String(), func(t *testing.T) {
			got, _, err := newMachine(t, s).patch(t, was, was.State(p.Group), p)
			var exit *exec.ExitError
			switch {
			case err == nil:
				if !bytes.Equal(got.Object, patched.Object) || !bytes.Equal(got.Objectgroup, patched.Objectgroup) {
					t.Errorf("wrote %q and %q", got.Object, got.Objectgroup)
				}
			case !errors.As(err, &exit) || exit.ExitCode() != 10 && exit.ExitCode() != 9: // lost bytes, or counted otherwise
				t.Error(err)
			case !bytes.Equal(got.Object, was.Object) || !bytes.Equal(got.Objectgroup, was.Objectgroup):
				t.Errorf("failed, and left %q and %q", got.Object, got.Objectgroup)
			}
		})
	}
}

func TestAnAwkThatDropsALineChangesNoFile(t *testing.T) {
	awk, err := exec.LookPath("awk")
	if err != nil {
		t.Fatal(err)
	}
	m := newMachine(t, toolset{})
	link := filepath.Join(m.tools, "awk")
	if err := errors.Join(os.Remove(link), os.WriteFile(link, []byte("#!/bin/sh\n"+awk+" \"$@\" | sed /pc_admin/d\n"), 0o755)); err != nil {
		t.Fatal(err)
	}
	was := edit.Texts{Object: []byte("[Host]\npc_admin=192.0.2.9\nsrv=192.0.2.8\n"), Objectgroup: []byte("[Crowdsec]\n")}
	p := objects.Patch{Group: "Crowdsec", DeleteGroup: "Gone", InForce: objects.NewSet([]netip.Prefix{netip.MustParsePrefix("0.0.0.2/32")})}
	is, _, err := m.patch(t, was, was.State(p.Group), p)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 10 {
		t.Errorf("it ended with %v, want status 10", err)
	}
	if !bytes.Equal(is.Object, was.Object) || !bytes.Equal(is.Objectgroup, was.Objectgroup) {
		t.Errorf("it wrote %q and %q", is.Object, is.Objectgroup)
	}
}

func TestAPatchForOtherFilesChangesNothing(t *testing.T) {
	was := edit.Texts{Object: []byte("[Host]\ncrowdsec_ip_1=0.0.0.1,resolve=static\n"), Objectgroup: []byte("[Crowdsec]\ncrowdsec_ip_1\n[Gone]\n")}
	p := objects.Patch{Group: "Crowdsec", DeleteGroup: "Gone", InForce: objects.NewSet([]netip.Prefix{netip.MustParsePrefix("0.0.0.2/32")})}
	for name, falsify := range map[string]func(*edit.State){
		"object":             func(s *edit.State) { s.Object = "1" + s.Object },
		"objectgroup":        func(s *edit.State) { s.Objectgroup = "1" + s.Objectgroup },
		"the number of bans": func(s *edit.State) { s.Entries++ },
	} {
		t.Run(name, func(t *testing.T) {
			state := was.State(p.Group)
			falsify(&state)
			got, _, err := newMachine(t, toolset{}).patch(t, was, state, p)
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != 9 {
				t.Errorf("it ended with %v", err)
			}
			if !bytes.Equal(got.Object, was.Object) || !bytes.Equal(got.Objectgroup, was.Objectgroup) {
				t.Errorf("it wrote %q and %q", got.Object, got.Objectgroup)
			}
		})
	}
}

func TestARunRemovesTheFoldersOfBrokenRunsForItsGroupOnly(t *testing.T) {
	sim := snstest.Start(t)
	client, err := shell.NewDialer(shell.Config{
		Host: sim.Host(), Port: sim.SSHPort(), User: sim.User(), Password: sim.Password(), HostKey: sim.HostKeyFingerprint(),
	}).Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	left := map[string]string{}
	for _, group := range []string{"Crowdsec", "CrowdsecCheck"} {
		left[group], _ = edit.Program(sim.ConfigDir(), edit.State{}, objects.Patch{Group: group})
		if err := os.MkdirAll(filepath.Join(sim.ConfigDir(), left[group], "deep"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	files := edit.NewFiles(sim.ConfigDir(), "Crowdsec", client)
	was, err := files.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p := objects.Patch{Group: "Crowdsec", DeleteGroup: "Gone", InForce: objects.NewSet([]netip.Prefix{netip.MustParsePrefix("0.0.0.2/32")})}
	if _, err := files.Patch(t.Context(), was.State(p.Group), p); err != nil {
		t.Error(err)
	}
	if want := []string{left["CrowdsecCheck"]}; !slices.Equal(sim.Leftovers(), want) {
		t.Errorf("in the folder is %q, want %q", sim.Leftovers(), want)
	}
}

func TestParseStateReadsTheOutputOfString(t *testing.T) {
	state := edit.Texts{Object: []byte("x"), Objectgroup: []byte("[Crowdsec]\na\nb\n")}.State("Crowdsec")
	if got := edit.ParseState(state.String()); got != state || !got.IsKnown() || got.Entries != 2 {
		t.Errorf("%q became %+v, want %+v", state, got, state)
	}
	for _, text := range []string{"", "1 2 3 4", "1 2 3 4 x", edit.State{}.String()} {
		if got := edit.ParseState(text); got.IsKnown() {
			t.Errorf("%q became %+v", text, got)
		}
	}
}

func FuzzShellAndAwkMakeTheSameBytesAsGo(f *testing.F) {
	f.Add([]byte("[Host]\nsrv=1.2.3.4\n"), []byte("[Crowdsec]\n"), uint64(1))
	f.Add([]byte("[Host]\r\n\r"), []byte("  [ Crowdsec ] x\r\n crowdsec_ip_1 #\n[Gone"), uint64(2))
	f.Add([]byte("\xff[Network]\n[Host"), []byte("[Gone]\ncrowdsec_ip_3405803776\n[x]\ncrowdsec_ip_3405803776"), uint64(3))
	f.Add([]byte(""), []byte(""), uint64(4))
	f.Add([]byte("[Network]\n"), []byte("[Gone]\ncrowdsec_ip_3405803776\n[x]\ncrowdsec_ip_3405803776\n"), uint64(80))
	f.Add([]byte("x"), []byte("[Gone]\ncrowdsec_ip_1x\n"), uint64(3))
	m := newMachine(f, toolset{})
	f.Fuzz(func(t *testing.T, object, objectgroup []byte, seed uint64) {
		if bytes.IndexByte(object, 0) >= 0 || bytes.IndexByte(objectgroup, 0) >= 0 {
			t.Skip("see TestTextThatAnAwkChangesIsNeverWritten")
		}
		m.wantSame(t, edit.Texts{Object: object, Objectgroup: objectgroup}, randomPatch(rand.New(rand.NewPCG(seed, seed))))
	})
}

// pool are the prefixes in random files and patches.
var pool = func() (ps []netip.Prefix) {
	for i := range byte(6) {
		v4, v6 := netip.AddrFrom4([4]byte{203, 0, 113 + i%2, i}), netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: i})
		ps = append(ps, netip.PrefixFrom(v4, 32), netip.PrefixFrom(v6, 128))
	}
	return append(ps, netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32"))
}()

func randomPatch(r *rand.Rand) objects.Patch {
	var sets [5][]netip.Prefix // the last: in no set
	used := 1 + r.IntN(len(sets))
	for _, p := range pool {
		i := r.IntN(used)
		sets[i] = append(sets[i], p)
	}
	r.Shuffle(len(sets), func(i, j int) { sets[i], sets[j] = sets[j], sets[i] })
	return objects.Patch{Group: "Crowdsec", DeleteGroup: "Gone", InForce: objects.NewSet(sets[0]),
		Ended: objects.NewSet(sets[1]), Unlisted: objects.NewSet(sets[2]), Removed: objects.NewSet(sets[3])}
}

func randomTexts(r *rand.Rand) edit.Texts {
	pick := func(of ...string) string { return of[r.IntN(len(of))] }
	name := func() string { return objects.Name(pool[r.IntN(len(pool))]) }
	end := func() string { return pick("\n", "\n", "\n", "\r\n", "\n\n", " \n", "\t\r\n", "\r\r\n") }
	text := func(line func() string) []byte {
		var b strings.Builder
		for range r.IntN(30) {
			b.WriteString(line() + end())
		}
		return []byte(strings.TrimSuffix(b.String(), pick("\n", "none")))
	}
	odd := func() string {
		return pick("", "# comment", " #x", "\xff\xfe\x80", "=", "a = b", "[", "[unclosed", "]", "\"quoted # text\"", "\v", "\u00a0", "\\", "%s%d", "&",
			strings.Repeat("long ", 3000), "crowdsec_console", "CROWDSEC_IP_1", "crowdsec_ip_", "crowdsec_ip_007", "-x", "$1", "1e3")
	}
	object := func() string {
		p := pool[r.IntN(len(pool))]
		switch r.IntN(8) {
		case 0:
			return pick("[Host]", "[Network]", " [Host]", "[ Host ]", "[Service]", "[Host] # again", "[host]", "[Hosts]", "[]", "[Network]x")
		case 1:
			return odd()
		case 2:
			return pick("srv", "net", "pc 1") + "=" + pick("192.0.2.1", "10.0.0.0/8", "") + pick("", ",resolve=static", " #\"c\"")
		case 3:
			return pick(" ", "\t", "") + name() + pick(" =", "= ", "", "==", " #=", "#") + pick("x", "", "9.9.9.9,resolve=static")
		default:
			return objects.Name(p) + "=" + objects.Value(p) + pick("", "", " #\"note\"")
		}
	}
	group := func() string {
		switch r.IntN(6) {
		case 0:
			return pick("[Crowdsec]", "[Gone]", "[Servers]", "[ Crowdsec]", "[Crowdsec ] #", "[crowdsec]", "[Gone]\r", "[Servers")
		case 1:
			return odd()
		case 2:
			return pick("srv", "net #\"c\"", " srv ")
		default:
			return pick("", "", " ", "\t") + name() + pick("", "", " ", " #\"x\"", "#", " # crowdsec_ip_1")
		}
	}
	return edit.Texts{Object: text(object), Objectgroup: text(group)}
}
