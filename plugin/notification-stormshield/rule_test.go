package main

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"notification-stormshield/plugin"
	"notification-stormshield/stormshield/snstest"
)

func TestOnlyAYesInstallsTheRule(t *testing.T) {
	for answer, installs := range map[string]bool{"y\n": true, "YES\n": true, "\n": false, "no\n": false, "yesterday\n": false, "\x04": false} {
		h := newRuleHarness(t)
		program, screen := terminal(t)
		o := ruleChangeOptions{in: program}
		o.file = h.file
		fmt.Fprint(screen, answer)
		var stdout, stderr bytes.Buffer
		if err := runRuleInstall(t.Context(), o, output{&stdout, &stderr}); err != nil {
			t.Errorf("%q: %v", answer, err)
		}
		if isThere := len(h.sim.Policy(snstest.DefaultSlot)) > 1; isThere != installs {
			t.Errorf("%q: installed %t\n%s%s", answer, isThere, stdout.String(), stderr.String())
		}
		if !strings.Contains(stderr.String(), "install the rule? [y/N]: ") {
			t.Errorf("%q: no question in %q", answer, stderr.String())
		}
		if n := h.sim.Stats().SessionsOpen; n > 0 {
			t.Errorf("%q: %d sessions stay open", answer, n)
		}
	}
}

func TestAnInterruptedQuestionInstallsNothing(t *testing.T) {
	h := newRuleHarness(t)
	program, _ := terminal(t)
	o := ruleChangeOptions{in: program}
	o.file = h.file
	ctx, cancel := context.WithCancel(t.Context())
	asked := writerFunc(func(text []byte) (int, error) {
		if strings.Contains(string(text), "[y/N]") {
			cancel()
		}
		return len(text), nil
	})
	if err := runRuleInstall(ctx, o, output{&bytes.Buffer{}, asked}); err == nil || !strings.Contains(err.Error(), "interrupted; nothing was changed") {
		t.Errorf("error %v", err)
	}
	if slices.Contains(h.sim.Stats().APICommands, "MODIFY ON") {
		t.Error("it took the configuration right")
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(text []byte) (int, error) { return f(text) }

func TestADryRunInstallsNoRule(t *testing.T) {
	h := newRuleHarness(t)
	h.write("dry_run: true\n" + h.yaml(nil))
	for _, do := range []string{"install", "remove"} {
		if status, _, complaint := h.run("rule", do, "--yes", "-c", h.file); status != 1 || !strings.Contains(complaint, "dry_run is set") {
			t.Errorf("%s: status %d, %s", do, status, complaint)
		}
	}
	if n := h.sim.Stats().APIRequests; n > 0 {
		t.Errorf("%d requests", n)
	}
}

func TestARefusedLoginOfRuleStopsTheNextOne(t *testing.T) {
	h := newRuleHarness(t)
	_ = h.openLedger() // makes the state folder as the plugin does
	h.sim.SetPassword("another")
	for _, do := range []string{"show", "diff", "install", "remove"} {
		if status, _, complaint := h.run("rule", do, "-c", h.file); status != 1 || !strings.Contains(complaint, "AUTH_FAILED") {
			t.Errorf("%s: status %d, %s", do, status, complaint)
		}
	}
	if n := h.sim.Stats().APILoginsFailed; n != 1 {
		t.Errorf("%d logins failed", n)
	}
	holdOff, err := holdOffOf(h.document())
	if err != nil {
		t.Fatal(err)
	}
	if _, found, err := holdOff.store.Current(plugin.Credentials(h.document()), time.Now()); err != nil || !found {
		t.Errorf("hold-off %t, %v", found, err)
	}
}

func TestAnAccountWithoutTheRightIsNamed(t *testing.T) {
	h := newRuleHarness(t)
	h.sim.SetFaults(func(f *snstest.Faults) { f.NoModify = true })
	status, _, complaint := h.run("rule", "install", "--yes", "-c", h.file)
	if status != 1 || !strings.Contains(complaint, "give the account admin the rights filter and modify") {
		t.Errorf("status %d, %s", status, complaint)
	}
}

// newRuleHarness starts an appliance with one filter rule and the group.
func newRuleHarness(t *testing.T) *harness {
	t.Helper()
	h := newHarness(t)
	h.write(h.yaml(map[string]string{"enforce": "rule"}))
	err := h.sim.AdminEdit(snstest.GroupFile, func(text []byte) []byte { return append(text, "[Crowdsec]\nsrv_web\n"...) })
	if err == nil {
		err = h.sim.SetPolicy(snstest.DefaultSlot, "block from any to any")
	}
	if err != nil {
		t.Fatal(err)
	}
	return h
}
