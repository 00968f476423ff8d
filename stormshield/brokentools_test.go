package stormshield_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"notification-stormshield/stormshield/flushtest"
	"notification-stormshield/stormshield/snstest"
)

func TestAFlushWorksWithABrokenTool(t *testing.T) {
	t.Parallel()
	for tool, text := range flushtest.BrokenTools() {
		t.Run(tool, func(t *testing.T) {
			h := start(t)
			h.MustFlush(addresses(10), nil, true)
			h.Sim.SetFaults(func(f *snstest.Faults) { f.BrokenTools = map[string]string{tool: text} })
			h.MustFlush(addresses(20)[10:], addresses(3), false)
			h.WantInForce()
		})
	}
}

// The script uses tail to find out whether the last line of a file has an end.
func TestAFlushKeepsAFileWithoutAFinalNewlineWithABrokenTail(t *testing.T) {
	t.Parallel()
	for name, set := range map[string]func(*snstest.Faults){
		"broken":  func(f *snstest.Faults) { f.BrokenTools = map[string]string{"tail": "true"} },
		"missing": func(f *snstest.Faults) { f.MissingTools = []string{"tail"} },
	} {
		t.Run(name, func(t *testing.T) {
			const last = "# the last line"
			h := start(t)
			h.MustFlush(addresses(10), nil, true)
			if err := h.Sim.AdminEdit("object", func(text []byte) []byte { return append(text, last...) }); err != nil {
				t.Fatal(err)
			}
			h.MustFlush(nil, nil, true)
			h.Sim.SetFaults(set)
			h.MustFlush(addresses(20)[10:], addresses(3), false)
			h.WantInForce()
			if !strings.Contains(string(h.Sim.Read("object")), last) {
				t.Errorf("%q is lost", last)
			}
		})
	}
}

func TestTheErrorOfAFailedWriteNamesTheFile(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		tool, text, says string
	}{
		"cp": {"cp", "echo \"stty: 'standard input'\" >&2; exit 1", "/object on"},
		"mv": {"mv", "echo mv: not today >&2; exit 1", "/object on"},
	} {
		t.Run(name, func(t *testing.T) {
			h := start(t)
			h.MustFlush(addresses(10), nil, true)
			h.Sim.SetFaults(func(f *snstest.Faults) { f.BrokenTools = map[string]string{c.tool: c.text} })
			_, err := h.Flush(addresses(20)[10:], nil, false)
			if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "ConfigFiles/"+c.tool) || strings.Contains(err.Error(), "ConfigFiles/stty") {
				t.Errorf("the flush says %v", err)
			}
			if !strings.Contains(err.Error(), "stty: 'standard input'") && !strings.Contains(err.Error(), "not today") {
				t.Errorf("the flush does not say what the tool printed: %v", err)
			}
		})
	}
}

func TestAFailedWriteLeavesNothingAndGivesTheSameErrorAgain(t *testing.T) {
	t.Parallel()
	for name, set := range flushtest.FailedWrites() {
		t.Run(name, func(t *testing.T) {
			h := start(t)
			h.MustFlush(addresses(30), nil, true)
			h.Sim.SetFaults(set)
			var texts []string
			for range 2 {
				_, err := h.Flush(addresses(40)[30:], nil, true)
				if err == nil {
					t.Fatal("no error")
				}
				texts = append(texts, err.Error())
				if left := h.Sim.Leftovers(); len(left) > 0 {
					t.Errorf("left beside the files: %q", left)
				}
			}
			if texts[0] != texts[1] {
				t.Errorf("the same failure reads\n%s\n%s", texts[0], texts[1])
			}
		})
	}
}

func TestAFailingFlushRemovesTheFolderOfAnInterruptedOne(t *testing.T) {
	t.Parallel()
	h := start(t)
	h.MustFlush(addresses(10), nil, true)
	// A flush whose connection is cut within its upload may leave its folder.
	if err := os.MkdirAll(filepath.Join(h.Sim.ConfigDir(), workPrefix(t, h), "deep"), 0o700); err != nil {
		t.Fatal(err)
	}
	h.Sim.SetFaults(func(f *snstest.Faults) { f.DiskFullAfter = 512 })
	if _, err := h.Flush(addresses(20)[10:], nil, false); err == nil {
		t.Fatal("no error")
	}
	if left := h.Sim.Leftovers(); len(left) > 0 {
		t.Errorf("left beside the files: %q", left)
	}
}

// workPrefix returns a name like that of a flush's folder.
func workPrefix(t *testing.T, h *harness) string {
	t.Helper()
	for _, command := range h.Sim.Stats().SSHCommands {
		if i := strings.Index(command, ".crowdsec-"); i >= 0 && strings.Count(command[i:i+32], "-") == 2 {
			return command[i:i+len(".crowdsec-00000000-")] + "0badc0de0bad"
		}
	}
	t.Fatal("no command names the folder of a flush")
	return ""
}

func TestAnObjectFileWithoutEndIsAnError(t *testing.T) {
	t.Parallel()
	h := start(t)
	h.Sim.SetFaults(flushtest.EndlessObjectFile)
	_, err := h.Flush(addresses(10), nil, true)
	if err == nil || !strings.Contains(err.Error(), "more than 56 MiB") || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the flush says %v", err)
	}
}

func TestAFlushRefusesASymbolicLink(t *testing.T) {
	t.Parallel()
	h := start(t)
	h.Sim.SetFaults(func(f *snstest.Faults) { f.ObjectIsLink = true })
	if _, err := h.Flush(addresses(10), nil, true); err == nil || !strings.Contains(err.Error(), "symbolic link") {
		t.Errorf("the flush says %v", err)
	}
	h.Sim.SetFaults(func(f *snstest.Faults) { f.ObjectIsLink = false })
	h.MustFlush(nil, nil, true)
	h.WantInForce()
}
