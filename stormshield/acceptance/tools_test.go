package acceptance_test

import (
	"strings"
	"testing"

	"notification-stormshield/stormshield/acceptance"
	"notification-stormshield/stormshield/snstest"
)

func TestCheckAndWriteNamesAToolThatDoesNotWork(t *testing.T) {
	t.Parallel()
	for tool, text := range map[string]string{
		"cksum": "echo 0 0",
		"awk":   "echo 'awk: cmd. line:67: broken' >&2; exit 2",
		"tail":  "exec /bin/cat",
		"mv":    `test "$1" = -i && shift && set -- -f "$@"; exec /bin/mv "$@"`, // it never asks
		"sync":  "exit 1",
		"ln":    "exit 1",
	} {
		t.Run(tool, func(t *testing.T) {
			h := start(t)
			h.MustFlush(addresses(10), nil, true)
			h.Sim.SetFaults(func(f *snstest.Faults) { f.BrokenTools = map[string]string{tool: text} })
			findings := h.checkAndWrite()
			if err := acceptance.FirstFault(findings); err != nil {
				t.Error(err)
			}
			f := finding(findings, "tools")
			if named := tool == "sync" || tool == "ln" || f.Verdict == acceptance.Differs && strings.Contains(f.Hint, tool); !named {
				t.Errorf("found %+v", f)
			}
			h.WantInForce()
		})
	}
}

func TestCheckAndWriteLeavesNothingAfterAFailedWrite(t *testing.T) {
	t.Parallel()
	for name, set := range map[string]func(*snstest.Faults){
		"read-only":             func(f *snstest.Faults) { f.ReadOnlyDir = true },
		"disk full":             func(f *snstest.Faults) { f.DiskFullAfter = 512 },
		"disk full at a copy":   func(f *snstest.Faults) { f.BrokenTools = map[string]string{"cp": "exit 1"} },
		"disk full, sent whole": func(f *snstest.Faults) { f.DiskFullAfter, f.MissingTools = 512, []string{"awk"} },
	} {
		t.Run(name, func(t *testing.T) {
			h := start(t)
			h.MustFlush(addresses(30), nil, true)
			h.Sim.SetFaults(set)
			h.checkAndWrite()
			h.WantInForce()
		})
	}
}

func TestCheckNamesASymbolicLink(t *testing.T) {
	t.Parallel()
	h := start(t)
	h.Sim.SetFaults(func(f *snstest.Faults) { f.ObjectIsLink = true })
	f := finding(h.check(), "file object")
	if f.Err == nil || !strings.Contains(f.Err.Error(), "symbolic link") {
		t.Errorf("found %+v", f)
	}
}

func TestTheHintForAReadOnlyFolderDoesNotNameTheAccountInUse(t *testing.T) {
	t.Parallel()
	for user, hint := range map[string]string{"admin": "mounted read-only", "operator": "ssh_username"} {
		h := start(t, func(o *snstest.Options) { o.User = user })
		h.Sim.SetFaults(func(f *snstest.Faults) { f.ReadOnlyDir = true })
		f := finding(h.check(), "configuration folder")
		if f.Err == nil || !strings.Contains(f.Hint, hint) || user == "admin" && strings.Contains(f.Hint, "the account admin") {
			t.Errorf("%s: %v (hint: %s)", user, f.Err, f.Hint)
		}
	}
}

func TestCheckNamesAnObjectFileWithoutEnd(t *testing.T) {
	t.Parallel()
	h := start(t)
	h.Sim.SetFaults(func(f *snstest.Faults) {
		f.BrokenTools = map[string]string{"cat": `case "$*" in */object) exec /bin/cat /dev/zero;; esac; exec /bin/cat "$@"`}
	})
	if f := finding(h.check(), "file object"); f.Err == nil || !strings.Contains(f.Err.Error(), "more than 64 MiB") {
		t.Errorf("found %+v", f)
	}
}
