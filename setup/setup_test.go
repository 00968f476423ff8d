package setup

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"notification-stormshield/config"
	"notification-stormshield/crowdsec"
	"notification-stormshield/stormshield/snstest"
)

func TestAnInterruptEndsAQuestion(t *testing.T) {
	never, _ := io.Pipe()
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	if _, err := newDialogue(never, io.Discard).ask(ctx, "What", false); !errors.Is(err, errInterrupted) {
		t.Errorf("err = %v", err)
	}
}

func TestALastLineWithoutALineBreakIsAnAnswer(t *testing.T) {
	d := newDialogue(strings.NewReader("one\r\ntwo"), io.Discard)
	for _, want := range []string{"one", "two"} {
		if got, err := d.ask(t.Context(), "What", true); err != nil || got != want {
			t.Errorf("answer %q, want %q: %v", got, want, err)
		}
	}
	if _, err := d.ask(t.Context(), "What", false); !errors.Is(err, errInputEnded) {
		t.Errorf("err = %v", err)
	}
}

func TestAnAnswerThatThePluginWouldReadDifferentlyIsRefused(t *testing.T) {
	for answer, want := range map[string]string{
		"\xff": "UTF-8", "a$b": "choose a password without $", "${SNS_PASSWORD}": "$", "a\nb": "line break", "a\x00": "control",
		"a\u2028b": "line break", "a\u0085": "line break",
	} {
		if err := errors.Join(checkText(answer), checkDollar(answer)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", answer, err)
		}
	}
	for _, answer := range []string{"", "it's # é \"x\" \\n", "*a", "0443", "null", " "} {
		if err := errors.Join(checkText(answer), checkDollar(answer)); err != nil {
			t.Errorf("%q: %v", answer, err)
		}
	}
}

func TestThePluginsUserOwnsTheNewStateFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "var", "state")
	s := setup{Program: Program{Out: io.Discard}, document: config.Document{StateDir: dir},
		crowdsec: crowdsec.Config{PluginUser: "nobody", HasPluginConfig: true}}
	err := s.makeStateDir()
	if os.Geteuid() != 0 {
		if err == nil || !strings.Contains(err.Error(), "only root can make it") {
			t.Errorf("without being root: %v", err)
		}
		return
	}
	nobody, unknown := user.Lookup("nobody")
	if err := errors.Join(err, unknown); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := strconv.Itoa(int(owner(info)[0])); info.Mode().Perm() != 0o700 || got != nobody.Uid {
		t.Errorf("%s, of %s", info.Mode(), got)
	}
	if err := errors.Join(os.Chmod(dir, 0o755), s.makeStateDir()); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("one that is there: %v, %v", info.Mode(), err)
	}
}

func TestPathsAreQuotedForAShell(t *testing.T) {
	for path, want := range map[string]string{"/etc/a.yaml": "/etc/a.yaml", "/a b": "'/a b'", "/it's": `'/it'\''s'`, "/$(reboot)": "'/$(reboot)'"} {
		if got := shellWord(path); got != want {
			t.Errorf("%s is quoted as %s, want %s", path, got, want)
		}
	}
}

func TestNoPasswordIsSentBeforeTheApplianceIsConfirmed(t *testing.T) {
	sim := snstest.Start(t)
	dir := t.TempDir()
	for name, text := range map[string]string{"config.yaml": "plugin_config: {user: nobody}\n", "password": sim.Password() + "\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	defaults := config.Default()
	o := Options{
		Given: func(flag string) bool { return flag == "host" }, Yes: true, NoCheck: true,
		CrowdSec: filepath.Join(dir, "config.yaml"), Name: config.SampleName, StateDir: defaults.StateDir, ConfigDir: defaults.Stormshield.ConfigDir,
		Host: sim.Host(), SSHPort: sim.SSHPort(), APIPort: sim.APIPort(), SSHPasswordFile: filepath.Join(dir, "password"),
	}
	var out bytes.Buffer
	err := Run(t.Context(), o, Program{In: strings.NewReader("no\n"), Out: &out, Warnings: &out})
	if err == nil || !strings.Contains(err.Error(), "not confirmed") {
		t.Errorf("err = %v\n%s", err, out.String())
	}
	if seen := sim.Stats().CredentialsSeen; seen != 0 {
		t.Errorf("a credential was sent %d times", seen)
	}
	if left := folderOf(t, dir); left != "config.yaml password" {
		t.Errorf("left: %s", left)
	}
}

func TestAnInstalledRuleInAnInactiveSlotIsNotCalledInForce(t *testing.T) {
	var out bytes.Buffer
	inactive := func(context.Context, string, string) (RuleChange, error) {
		return RuleChange{Slot: 7, Diff: []string{"+ 1: block from Crowdsec to any"}, Changed: true}, nil
	}
	s := setup{Options: Options{File: DefaultFile, InstallRule: true}, Program: Program{Out: &out, RuleDiff: inactive, RuleInstall: inactive},
		document: config.Default()}
	s.document.Stormshield.Enforce = "rule"
	if err := s.offerRule(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.printNextSteps()
	for _, want := range []string{
		"The filter rule is installed in slot 7, which is not the active one.",
		"# Make slot 7 the active one on the appliance. Until then the rule enforces nothing.\n  systemctl reload crowdsec",
		"\n  crowdsec-stormshield rule remove\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, out.String())
		}
	}
}
