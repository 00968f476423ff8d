package acceptance_test

import (
	"strings"
	"testing"

	"notification-stormshield/stormshield/acceptance"
	"notification-stormshield/stormshield/flushtest"
	"notification-stormshield/stormshield/snstest"
)

func TestCheckAndWriteNamesAToolThatDoesNotWork(t *testing.T) {
	t.Parallel()
	for tool, text := range flushtest.BrokenTools() {
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
	for name, set := range flushtest.FailedWrites() {
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
	h.Sim.SetFaults(flushtest.EndlessObjectFile)
	if f := finding(h.check(), "file object"); f.Err == nil || !strings.Contains(f.Err.Error(), "more than 56 MiB") {
		t.Errorf("found %+v", f)
	}
}
