package stormshield_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"notification-stormshield/stormshield/snstest"
)

// administrator edits one of the two files, by a rename over it or in place.
type administrator struct {
	file    string
	inPlace bool
}

func (a administrator) String() string {
	if a.inPlace {
		return a.file + " in place"
	}
	return a.file + " renamed"
}

func administrators() []administrator {
	return []administrator{{"object", false}, {"object", true}, {"objectgroup", false}, {"objectgroup", true}}
}

func (a administrator) edit(sim *snstest.Appliance, line string) error {
	add := func(text []byte) []byte { return append(text, line...) }
	if a.inPlace {
		return sim.AdminEditInPlace(a.file, add)
	}
	return sim.AdminEdit(a.file, add)
}

func editLine(i int) string { return fmt.Sprintf("# edit %d\n", i) }

// lostEdits counts the edits that neither file holds any more.
func lostEdits(t *testing.T, sim *snstest.Appliance, edits []string) (lost int) {
	t.Helper()
	all := string(sim.Read("object")) + string(sim.Read("objectgroup"))
	for i, edit := range edits {
		if !strings.Contains(all, editLine(i)) {
			t.Logf("edit %d is lost: %s", i, edit)
			lost++
		}
	}
	return lost
}

// If flushes lose 5 edits in 1,000, less than one run in a million exceeds these limits. A flush that replaced
// files without a comparison would lose every fourth edit.
func TestFewOf60EditsDuringFlushesAreLost(t *testing.T) { editDuringFlushes(t, 60, 5) }

func TestLongFewOf1000EditsDuringFlushesAreLost(t *testing.T) { editDuringFlushes(t, 1000, 20) }

// editDuringFlushes has an administrator edit a file at a random moment of each flush.
func editDuringFlushes(t *testing.T, flushes, mostLost int) {
	t.Parallel()
	h := start(t)
	h.MustFlush(addresses(10), nil, true)
	took := 100 * time.Millisecond
	var edits []string
	for i := range flushes {
		who := administrators()[rand.IntN(4)]
		at := time.Duration(rand.Int64N(int64(took)))
		edits = append(edits, fmt.Sprintf("%s after %s", who, at))
		edited := make(chan error)
		go func() {
			time.Sleep(at)
			edited <- who.edit(h.Sim, editLine(i))
		}()
		began := time.Now()
		h.MustFlush(addresses(i + 11)[i+10:], addresses(i + 1)[i:], false)
		took = (9*took + time.Since(began)) / 10
		if err := <-edited; err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("a flush took about %s; %d of %d read the files whole", took, h.Compared, flushes)
	h.MustFlush(nil, nil, true) // an edit after a flush may have brought back what the flush took out
	h.WantInForce()
	if lost := lostEdits(t, h.Sim, edits); lost > mostLost {
		t.Errorf("%d of %d edits are lost, want at most %d", lost, flushes, mostLost)
	}
	if h.Compared < flushes/4 {
		t.Errorf("only %d of %d flushes met an edit", h.Compared, flushes)
	}
}

func TestAnEditBeforeAComparisonOrARenameIsNotLost(t *testing.T) {
	for _, tool := range []string{"cksum", "mv"} {
		t.Run(tool, func(t *testing.T) { editBeforeSteps(t, tool, false, administrators()[:3]) })
	}
}

func TestLongAnEditBeforeAnyStepOfAFlushIsNotLost(t *testing.T) {
	for _, tool := range []string{"ln", "cp", "tail", "awk", "cksum", "sync", "mv", "rm"} {
		t.Run(tool+" on the appliance", func(t *testing.T) { editBeforeSteps(t, tool, false, administrators()) })
		if tool != "awk" && tool != "tail" {
			t.Run(tool+" whole", func(t *testing.T) { editBeforeSteps(t, tool, true, administrators()) })
		}
	}
}

// editBeforeSteps has administrators edit a file right before a flush runs a tool for the first to the fourth time.
func editBeforeSteps(t *testing.T, tool string, whole bool, editors []administrator) {
	t.Parallel()
	trap := filepath.Join(t.TempDir(), tool)
	writeTrap(t, trap, tool, "", 0, "")
	h := start(t, func(o *snstest.Options) { o.Tools = map[string]string{tool: trap} })
	if whole {
		h.Sim.SetFaults(func(f *snstest.Faults) { f.MissingTools = []string{"awk"} })
	}
	h.MustFlush(addresses(2), nil, true)
	var edits []string
	next := 0
	for _, who := range editors {
		for call := 1; call <= 4; call++ {
			writeTrap(t, trap, tool, filepath.Join(h.Sim.ConfigDir(), who.file), call, h.editor(who, len(edits)))
			h.MustFlush(addresses(next + 3)[next+2:], addresses(next + 1)[next:], false)
			next++
			if _, err := os.Stat(trap + ".sprung"); err == nil {
				edits = append(edits, fmt.Sprintf("%s before %s for the %d. time", who, tool, call))
			}
		}
	}
	if len(edits) == 0 {
		t.Fatal("no flush ran the tool")
	}
	writeTrap(t, trap, tool, "", 0, "")
	h.MustFlush(nil, nil, true)
	if lost := lostEdits(t, h.Sim, edits); lost > 0 {
		t.Errorf("%d of %d edits are lost", lost, len(edits))
	}
	h.WantInForce()
}

// editor returns the commands by which an administrator edits a file.
func (h *harness) editor(who administrator, i int) string {
	path := filepath.Join(h.Sim.ConfigDir(), who.file)
	if who.inPlace {
		return fmt.Sprintf("echo '# edit %d' >> %s", i, path)
	}
	return fmt.Sprintf("PATH=/bin:/usr/bin; cp -p %[2]s %[2]s.serverd; echo '# edit %[1]d' >> %[2]s.serverd; mv %[2]s.serverd %[2]s", i, path)
}

// writeTrap writes a program in the place of a tool. It edits a file before it runs the tool for the nth time.
func writeTrap(t *testing.T, path, tool, file string, call int, editor string) {
	t.Helper()
	program, err := exec.LookPath(tool)
	if err != nil {
		t.Fatal(err)
	}
	_ = os.Remove(path + ".sprung")
	_ = os.Remove(path + ".calls")
	script := "#!/bin/sh\n"
	if file != "" {
		script += fmt.Sprintf("echo >> %[1]s.calls\nif test $(/usr/bin/wc -l < %[1]s.calls) -eq %[2]d; then (%[3]s); echo > %[1]s.sprung; fi\n", path, call, editor)
	}
	if err := os.WriteFile(path, []byte(script+"exec "+program+" \"$@\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}
