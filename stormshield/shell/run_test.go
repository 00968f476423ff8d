package shell_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"notification-stormshield/stormshield/shell"
	"notification-stormshield/stormshield/snstest"
)

// dial logs in to a simulated appliance, which stays silent for at most a time.
func dial(t *testing.T, a *snstest.Appliance, timeout time.Duration) *shell.Client {
	t.Helper()
	client, err := shell.NewDialer(shell.Config{
		Host: a.Host(), Port: a.SSHPort(), User: a.User(), Password: a.Password(), HostKey: a.HostKeyFingerprint(), Timeout: timeout,
	}).Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

func TestOutputAndExitStatusAreThoseOfTheScript(t *testing.T) {
	t.Parallel()
	for _, login := range []string{"/bin/sh", "/bin/csh"} {
		for _, noise := range []string{"", "Welcome\nobject 1 2\nexit 9"} {
			a := snstest.Start(t, func(o *snstest.Options) { o.LoginShell = login })
			a.SetFaults(func(f *snstest.Faults) { f.ShellPrints = noise })
			client := dial(t, a, time.Minute)
			for script, want := range map[string]struct {
				out    string
				status int
				stderr string
			}{
				`:`:                                 {},
				`printf "no line end"`:              {out: "no line end"},
				`printf "\\0\\377\\r\\n\\n"`:        {out: "\x00\xff\r\n\n"},
				`echo a # a comment`:                {out: "a\n"},
				`echo a; exit 3`:                    {out: "a\n", status: 3},
				`exec /bin/sh -c "echo b; exit 40"`: {out: "b\n", status: 40},
				`echo oops >&2; exit 1`:             {status: 1, stderr: "oops"},
				`exit 255`:                          {status: 255},
			} {
				out, err := client.Run(t.Context(), script, nil)
				var exit *shell.ExitError
				if !errors.As(err, &exit) {
					exit = &shell.ExitError{}
				}
				if string(out) != want.out || exit.Status != want.status || exit.Stderr != want.stderr || err != nil && want.status == 0 {
					t.Errorf("%s, noise %q: %s came to %q, %v", login, noise, script, out, err)
				}
				if printed := client.Printed(); (printed != "") != (noise != "") || !strings.HasPrefix(noise, printed) {
					t.Errorf("%s, noise %q: the login shell printed %q", login, noise, printed)
				}
			}
			if _, err := client.Run(t.Context(), "(", nil); !errors.As(err, new(*shell.ExitError)) {
				t.Errorf("%s, noise %q: a script that sh cannot read came to %v", login, noise, err)
			}
			text := bytes.Repeat([]byte("\x00\xfe\n"), 100_000)
			if out, err := client.Run(t.Context(), "cat", bytes.NewReader(text)); err != nil || !bytes.Equal(out, text) {
				t.Errorf("%s, noise %q: %d bytes came back of %d, %v", login, noise, len(out), len(text), err)
			}
		}
	}
}

func TestALoginShellThatDoesNotRunSHIsNoSuccessAndSeesNoInput(t *testing.T) {
	for text, status := range map[string]int{
		`echo "SRPClient>"`:                   0,
		`true`:                                0,
		`echo This account is closed; exit 1`: 1,
		`cat > $HOME/swallowed`:               0,
		`echo stty: not a terminal >&2`:       0,
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			a := snstest.Start(t)
			a.SetFaults(func(f *snstest.Faults) { f.InsteadOfShell = text })
			for _, stdin := range []io.Reader{nil, strings.NewReader("MODIFY ON FORCE\n")} {
				_, err := dial(t, a, 4*time.Second).Run(t.Context(), "cat", stdin)
				var notRun *shell.NoShellError
				if !errors.As(err, &notRun) || notRun.Status != status || !strings.Contains(err.Error(), "CLIShell") {
					t.Errorf("error %v", err)
				} else if !strings.Contains(text, notRun.Output) {
					t.Errorf("output %q", notRun.Output)
				}
			}
			if swallowed, err := os.ReadFile(filepath.Join(a.Dir(), "swallowed")); err == nil && len(swallowed) > 0 {
				t.Errorf("the login shell got %q as input", swallowed)
			}
		})
	}
}

func TestAnEchoOfTheCommandIsNotItsOutput(t *testing.T) {
	t.Parallel()
	a := snstest.Start(t)
	a.SetFaults(func(f *snstest.Faults) { f.InsteadOfShell = `echo "$COMMAND"` })
	_, err := dial(t, a, time.Minute).Run(t.Context(), "echo yes", nil)
	var notRun *shell.NoShellError
	if !errors.As(err, &notRun) || !strings.Contains(notRun.Output, "echo yes") {
		t.Errorf("it came to %v", err)
	}
}

// The log prints the same error once, and ignores only numbers.
func TestTheErrorAboutALoginShellDiffersOnlyInNumbers(t *testing.T) {
	t.Parallel()
	digits := strings.NewReplacer("0", "", "1", "", "2", "", "3", "", "4", "", "5", "", "6", "", "7", "", "8", "", "9", "")
	for _, text := range []string{`echo "$COMMAND"`, `/bin/sh -c "$COMMAND" | head -c 20`} {
		a := snstest.Start(t)
		a.SetFaults(func(f *snstest.Faults) { f.InsteadOfShell = text })
		errs := map[string]bool{}
		for range 3 {
			_, err := dial(t, a, time.Minute).Run(t.Context(), "echo yes", nil)
			var notRun *shell.NoShellError
			if !errors.As(err, &notRun) || notRun.Output == "" {
				t.Fatalf("%s: it came to %v", text, err)
			}
			errs[digits.Replace(err.Error())] = true
		}
		if len(errs) > 1 {
			t.Errorf("%s: %d errors: %v", text, len(errs), errs)
		}
	}
}

func TestALoginShellThatChangesTheOutputIsNamed(t *testing.T) {
	t.Parallel()
	a := snstest.Start(t)
	for name, shell := range map[string]string{
		"each line":                           `/bin/sh -c "$COMMAND" | sed "s/$/;/"`,
		"standard error into standard output": `/bin/sh -c "$COMMAND" 2>&1`,
	} {
		a.SetFaults(func(f *snstest.Faults) { f.InsteadOfShell = shell })
		_, err := dial(t, a, time.Minute).Run(t.Context(), "echo yes", nil)
		if err == nil || strings.Contains(err.Error(), "did not run") || !strings.Contains(err.Error(), "changes what /bin/sh prints") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOutputWithoutEndIsRefused(t *testing.T) {
	t.Parallel()
	a := snstest.Start(t)
	a.SetFaults(func(f *snstest.Faults) { f.BrokenTools = map[string]string{"cat": "exec /bin/cat /dev/zero"} })
	out, err := dial(t, a, time.Minute).Run(t.Context(), "cat file", nil)
	var output *shell.OutputError
	if !errors.As(err, &output) || len(out) > 0 {
		t.Errorf("%d bytes, %v", len(out), err)
	}
}

// The lines are the longest that an object of an IPv6 address can have.
func TestLong500000IPv6ObjectsAreRead(t *testing.T) {
	t.Parallel()
	const objects = 500_000
	line := "crowdsec_ip_" + strings.Repeat("9", 39) + "=" + strings.Repeat("ffff:", 7) + "ffff,resolve=static\n"
	a := snstest.Start(t)
	a.SetFaults(func(f *snstest.Faults) {
		f.BrokenTools = map[string]string{"cat": fmt.Sprintf("yes %s | head -n %d", strings.TrimSpace(line), objects)}
	})
	out, err := dial(t, a, time.Minute).Run(t.Context(), "cat object", nil)
	if err != nil || len(out) != objects*len(line) {
		t.Errorf("%d bytes, %v", len(out), err)
	}
}

func TestSessionsFollowEachOtherWhereTheServerAllowsOne(t *testing.T) {
	t.Parallel()
	a := snstest.Start(t)
	a.SetFaults(func(f *snstest.Faults) { f.SSHMaxSessions = 1 })
	client := dial(t, a, time.Minute)
	for i := range 3 {
		if _, err := client.HasSubsystem(t.Context(), "sftp"); err != nil {
			t.Error(err)
		}
		want := fmt.Sprintln(i)
		if out, err := client.Run(t.Context(), "echo "+want[:1], nil); err != nil || string(out) != want {
			t.Errorf("output %q, want %q: %v", out, want, err)
		}
	}
}

func TestAToolThatDoesNotWorkFailsItsTest(t *testing.T) {
	all := []string{"cksum", "awk", "tail", "cat", "cp", "rm", "mv", shell.MoveAsks}
	for tool, text := range map[string]string{
		"cksum": "echo 0 0", "awk": "echo broken >&2; exit 2", "tail": "exec /bin/cat", "grep": "exit 0; #", "cat": "exit 1",
		"cp": "exit 0", "rm": "exit 0", "mv": "exit 0", shell.MoveAsks: `shift; exec /bin/mv -f "$@"`,
	} {
		t.Run(tool, func(t *testing.T) {
			t.Parallel()
			a := snstest.Start(t)
			name, _, _ := strings.Cut(tool, " ")
			a.SetFaults(func(f *snstest.Faults) { f.BrokenTools = map[string]string{name: text} })
			client := dial(t, a, time.Minute)
			for _, other := range all {
				want := shell.Works
				if other == tool || tool == "mv" && other == shell.MoveAsks {
					want = shell.Fails
				}
				if state, err := client.Tool(t.Context(), other); err != nil || state != want {
					t.Errorf("%s is in state %d, %v", other, state, err)
				}
			}
		})
	}
}

func TestAMissingToolIsAbsent(t *testing.T) {
	t.Parallel()
	a := snstest.Start(t)
	a.SetFaults(func(f *snstest.Faults) { f.MissingTools = []string{"cksum"} })
	if state, err := dial(t, a, time.Minute).Tool(t.Context(), "cksum"); err != nil || state != shell.Absent {
		t.Errorf("state %d, %v", state, err)
	}
}
