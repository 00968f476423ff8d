package snstest_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"notification-stormshield/stormshield/snstest"
)

// writer is one machine that flushes: a session of the API and an SSH connection of its own account.
type writer struct {
	t    *testing.T
	a    *snstest.Appliance
	user string
	api  *apiClient
	ssh  *ssh.Client
	n    int
}

func newWriter(t *testing.T, a *snstest.Appliance, user string) *writer {
	w := &writer{t: t, a: a, user: user}
	w.logIn()
	return w
}

// logIn opens another session, as a flush does after an edit.
func (w *writer) logIn() {
	w.t.Helper()
	w.api = newAPIClient(w.t, w.a)
	if d := w.api.loginWith(w.user, w.a.Password(), ""); d.Msg != "AUTH_SUCCESS" {
		w.t.Fatalf("log in as %s: %s", w.user, d.Msg)
	}
	w.api.openSession("")
}

// do does the steps of a flush.
func (w *writer) do(steps ...string) {
	w.t.Helper()
	for _, step := range steps {
		switch step {
		case "take":
			w.api.want(100, "MODIFY MONITOR FORCE ON")
		case "block":
			w.api.block("192.0.2.1", 60)
		case "show":
			w.api.run("MONITOR ADDRESSLIST SHOW Type=BlackList")
		case "give":
			w.api.want(100, "MODIFY MONITOR OFF")
		case "login":
			w.logIn()
		case "dial":
			config := sshConfig(w.a)
			config.User = w.user
			client, err := dialSSH(w.a, config)
			if err != nil {
				w.t.Fatal(err)
			}
			w.t.Cleanup(func() { _ = client.Close() })
			w.ssh = client
			w.run("cat > /dev/null") // the appliance begins the span of a connection after the client's login
		case "edit":
			w.n++
			w.run("cd " + w.a.ConfigDir() + fmt.Sprintf(" && cat > new.%d && echo %s=192.0.2.1 >> new.%d && mv new.%d object", w.n, w.user, w.n, w.n))
		case "upload":
			w.run("cat > " + filepath.Join(w.a.ConfigDir(), "beside"))
		case "read":
			if r := runSSH(w.t, w.ssh, "cat "+filepath.Join(w.a.ConfigDir(), "object"), nil); r.status != 0 {
				w.t.Fatalf("%+v", r)
			}
		case "reload":
			w.run("enobject")
		default:
			w.t.Fatalf("no step %q", step)
		}
	}
}

func (w *writer) run(command string) {
	w.t.Helper()
	if r := runSSH(w.t, w.ssh, command, strings.NewReader("[Host]\n")); r.status != 0 {
		w.t.Fatalf("%s: %+v", command, r)
	}
}

func TestAChangeAmidAFlushOfAnotherMachineIsAnOverlap(t *testing.T) {
	t.Parallel()
	// Each step begins with the machine that does it.
	for name, test := range map[string]struct {
		steps string
		want  int
	}{
		"one flush":                   {"a:dial a:take a:block a:edit a:give a:login a:take a:block a:edit a:block a:give", 0},
		"one after the other":         {"a:dial a:take a:block a:edit a:give b:dial b:edit b:take b:block b:give a:take a:block a:give", 0},
		"a command between commands":  {"a:take a:block b:take b:block a:block", 1},
		"a refused command":           {"a:take b:take a:block", 1},
		"a session that is resumed":   {"a:take a:block b:take b:block b:give a:take a:give", 0},
		"a late release":              {"a:take a:block b:take a:give", 1},
		"an edit between commands":    {"b:dial a:take a:block b:edit a:block", 2},
		"a command between edits":     {"a:dial a:edit b:take b:block b:give a:edit", 1},
		"an edit between edits":       {"a:dial b:dial a:edit b:edit a:edit", 2},
		"a reload of another machine": {"a:dial b:dial a:edit b:reload a:reload", 2},
		"a reader":                    {"a:dial b:dial a:edit b:read b:upload a:edit b:show a:take b:show a:block a:give", 0},
		"a killed machine":            {"a:dial a:take a:block b:dial b:edit b:take b:block b:give", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := snstest.Start(t, func(o *snstest.Options) { o.OtherUsers = []string{"second"} })
			machines := map[string]*writer{"a": newWriter(t, a, a.User()), "b": newWriter(t, a, "second")}
			for step := range strings.FieldsSeq(test.steps) {
				machine, do, _ := strings.Cut(step, ":")
				machines[machine].do(do)
			}
			if n, texts := a.Stats().Overlaps, a.Overlaps(); n != test.want || len(texts) != n {
				t.Errorf("%d overlaps, want %d: %q", n, test.want, texts)
			}
			a.ResetStats()
			if n, texts := a.Stats().Overlaps, a.Overlaps(); n != 0 || len(texts) != 0 {
				t.Errorf("after a reset: %d, %q", n, texts)
			}
		})
	}
}
