package setup

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"notification-stormshield/config"
)

// askSharing asks only whether other machines share the state, with these flags and answers. try gets each document that the set-up
// tries the database of.
func askSharing(t *testing.T, o Options, flags, answers string, try func(config.Document) error) (config.Document, string, error) {
	t.Helper()
	var out bytes.Buffer
	in := strings.NewReader(answers)
	o.Given = func(flag string) bool { return strings.Contains(" "+flags+" ", " "+flag+" ") }
	s := setup{Options: o, dialogue: newDialogue(in, &out), document: config.Default(), Program: Program{
		In: in, Out: &out, Warnings: &out, TryDatabase: func(_ context.Context, d config.Document) error { return try(d) },
	}}
	err := s.askForSharing(t.Context())
	return s.document, out.String(), err
}

func neverTried(t *testing.T) func(config.Document) error {
	return func(config.Document) error {
		t.Error("the set-up tries a database")
		return nil
	}
}

func TestNoOtherMachineSharesTheStateUnlessTheUserSaysSo(t *testing.T) {
	for name, test := range map[string]struct {
		options Options
		flags   string
		answers string
	}{
		"an empty answer": {answers: "\n"}, "no": {answers: "No\n"}, "--yes": {options: Options{Yes: true}}, "an empty flag": {flags: "state-url"},
	} {
		d, _, err := askSharing(t, test.options, test.flags, test.answers, neverTried(t))
		if err != nil || d.SharesState() || d.StateMachine != "" {
			t.Errorf("%s: shares the state: %v, %v", name, d.SharesState(), err)
		}
	}
}

func TestTheSetUpTriesTheDatabaseThatMachinesShare(t *testing.T) {
	var tried config.Document
	d, out, err := askSharing(t, Options{}, "", "yes\npostgres://crowdsec@192.0.2.5/crowdsec\nCorrect-Horse+7\ncs1\n",
		func(d config.Document) error { tried = d; return nil })
	if err != nil || d.StateURL != "postgres://crowdsec@192.0.2.5/crowdsec" || d.StatePassword.Reveal() != "Correct-Horse+7" || d.StateMachine != "cs1" {
		t.Errorf("%v: %v %v", err, d.StateURL, d.StateMachine)
	}
	if tried.StateURL != d.StateURL || tried.StatePassword != d.StatePassword {
		t.Errorf("tried %q", tried.StateURL)
	}
	if strings.Contains(out, "Correct-Horse") {
		t.Errorf("it prints the password:\n%s", out)
	}
	_, out, err = askSharing(t, Options{}, "", "y\npostgres://u@h/d\n\n\n", func(config.Document) error { return errors.New("role u may not log in") })
	if err == nil || err.Error() != "the database cannot be used: role u may not log in" {
		t.Errorf("err = %v\n%s", err, out)
	}
}

func TestTheDatabaseIsNotTriedWhereThePluginsUserMayDecide(t *testing.T) {
	for name, o := range map[string]Options{
		"a socket": {StateURL: "postgres:///crowdsec?host=/run/postgresql"}, "no host": {StateURL: "postgres:///crowdsec"},
		"--no-check": {StateURL: "postgres://u@h/d", NoCheck: true}, "--dry-run": {StateURL: "postgres://u@h/d", DryRun: true},
	} {
		o.Yes = true
		if d, out, err := askSharing(t, o, "state-url state-password-path", "", neverTried(t)); err != nil || d.StateURL != o.StateURL {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

func TestThePasswordOfTheDatabaseComesFromAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("Correct-Horse+7\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	o := Options{Yes: true, StateURL: "postgres://u@h/d", StatePasswordPath: file}
	tried := ""
	d, _, err := askSharing(t, o, "state-url state-password-path", "", func(d config.Document) error { tried = d.StatePassword.Reveal(); return nil })
	if err != nil || tried != "Correct-Horse+7" || d.StatePasswordPath != file || d.StatePassword != "" {
		t.Errorf("err = %v, password %q, path %q", err, tried, d.StatePasswordPath)
	}
	if _, _, err := askSharing(t, Options{Yes: true, StateURL: "postgres://u:secret@h/d"}, "state-url", "", neverTried(t)); err == nil ||
		!strings.Contains(err.Error(), "--state-url: holds a password; remove it there") {
		t.Errorf("a password in the URL: %v", err)
	}
	var usage UsageError
	if _, _, err := askSharing(t, Options{StateMachine: "cs1"}, "state-machine", "", neverTried(t)); !errors.As(err, &usage) {
		t.Errorf("a machine without a database: %v", err)
	}
}

func TestThePasswordOfTheDatabaseGoesIntoTheFolderOfSecrets(t *testing.T) {
	dir := t.TempDir()
	s := setup{Program: Program{Out: io.Discard}, Options: Options{SecretsDir: dir}, document: config.Default()}
	s.document.Name, s.document.StateURL, s.document.StatePassword = "one", "postgres://u@h/d", "a$b"
	files := moveSecrets(&s.document, dir)
	if path := filepath.Join(dir, "one.state_password"); len(files) != 1 || files[0] != (secretFile{path, "a$b"}) || s.document.StatePasswordPath != path {
		t.Errorf("files %v, path %q", files, s.document.StatePasswordPath)
	}
}
