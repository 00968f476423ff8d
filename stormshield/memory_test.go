package stormshield_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"notification-stormshield/stormshield/serverd"
	"notification-stormshield/stormshield/shell"
	"notification-stormshield/stormshield/snstest"
)

const gibibyte = 1 << 30

// mostMemory leaves 20 MB of 128 MB for the other parts of the plugin.
const mostMemory = 108_000_000

// The client runs in a process of its own, because the appliance needs memory too.
func TestLongAGibibyteFromTheApplianceIsAnErrorInBoundedMemory(t *testing.T) {
	if port := os.Getenv("SNS_SSH_PORT"); port != "" {
		readTooMuch(t, overSSH(t, port), "more than 56 MiB")
		return
	}
	if port := os.Getenv("SNS_API_PORT"); port != "" {
		readTooMuch(t, overAPI(t, port), "too large")
		return
	}
	t.Parallel()
	for name, set := range map[string]func(*snstest.Faults){
		"SSH, one line": func(f *snstest.Faults) { f.BrokenTools = map[string]string{"cat": "exec head -c 1073741824 /dev/zero"} },
		"SSH, short lines": func(f *snstest.Faults) {
			f.BrokenTools = map[string]string{"cat": "yes crowdsec_ip_1= | head -c 1073741824"}
		},
		"SSH, login shell": func(f *snstest.Faults) { f.InsteadOfShell = "yes not available | head -c 1073741824" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sim := snstest.Start(t)
			sim.SetFaults(set)
			runChild(t, "SNS_SSH_PORT", sim.SSHPort())
		})
	}
	for name, unit := range map[string]string{
		"API, one line":           "x",
		"API, lines":              "src=192.0.2.1 dstrange=0.0.0.0-255.255.255.255 timeout=25\n",
		"API, empty lines":        "\n",
		"API, one CDATA":          "<![CDATA[\x00x",
		"API, lines in CDATA":     "<![CDATA[\x00src=192.0.2.1\n",
		"API, small elements":     "<line/>",
		"API, elements with keys": `<line><key name="src" value="192.0.2.1"/><key name="timeout" value="25"/></line>`,
		"API, keys of a section":  `<key name="a" value="b"/>`,
		"API, sections":           "</section><section>",
		"API, unknown elements":   "</section><x/><section>",
		"API, statuses":           `</section></data></serverd><serverd/><serverd><data><section>`,
		"API, nested elements":    "<x>",
		"API, attributes":         "<x \x00a=''\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			runChild(t, "SNS_API_PORT", serveGibibyte(t, unit))
		})
	}
}

// runChild runs this test in another process, with the port of an appliance.
func runChild(t *testing.T, variable string, port int) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestLongAGibibyteFromTheApplianceIsAnErrorInBoundedMemory$", "-test.v")
	cmd.Env = append(os.Environ(), variable+"="+strconv.Itoa(port))
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("peak memory")) {
		t.Error(err)
	}
	t.Logf("%s", out)
}

// serveGibibyte serves an API whose answer to a command repeats a text. A text before a zero byte comes once.
func serveGibibyte(t *testing.T, unit string) (port int) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/auth/admin.html":
			_, _ = io.WriteString(w, `<nws msg="AUTH_SUCCESS"/>`)
		case "/api/auth/login":
			_, _ = io.WriteString(w, `<nws code="100"><sessionid>1</sessionid></nws>`)
		case "/api/command":
			first, repeated, ok := strings.Cut(unit, "\x00")
			if !ok {
				first, repeated = "", unit
			}
			if strings.HasPrefix(repeated, "<") {
				first = "<section>"
			}
			_, _ = io.WriteString(w, `<nws code="100"><serverd ret="100"><data>`+first)
			block := []byte(strings.Repeat(repeated, 64<<10/len(repeated)))
			for sent := 0; sent < gibibyte; sent += len(block) {
				if _, err := w.Write(block); err != nil {
					return
				}
			}
		}
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().(*net.TCPAddr).Port
}

func overSSH(t *testing.T, port string) error {
	t.Helper()
	client, err := shell.NewDialer(shell.Config{
		Host: "127.0.0.1", Port: portNumber(t, port), User: snstest.DefaultUser, Password: snstest.DefaultPassword, InsecureHostKey: true,
	}).Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.Run(t.Context(), "cat object", nil)
	if !errors.As(err, new(*shell.OutputError)) {
		t.Errorf("no error about the output: %v", err)
	}
	return err
}

func overAPI(t *testing.T, port string) error {
	t.Helper()
	session, err := serverd.Dial(t.Context(), serverd.Config{
		Host: "127.0.0.1", Port: portNumber(t, port), Trust: serverd.Trust{Insecure: true}, Timeout: 5 * time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = session.Run(t.Context(), "MONITOR ADDRESSLIST SHOW type=blacklist")
	return err
}

func portNumber(t *testing.T, port string) int {
	t.Helper()
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func readTooMuch(t *testing.T, err error, says string) {
	if err == nil || !strings.Contains(err.Error(), says) {
		t.Errorf("error %v, want %q", err, says)
	}
	if peak := peakMemory(t); peak > mostMemory {
		t.Errorf("peak memory %d MB, want at most %d MB: %v", peak/1e6, mostMemory/1_000_000, err)
	} else {
		t.Logf("peak memory %d MB: %v", peak/1e6, err)
	}
}

// peakMemory returns the most memory that this process ever had, without that of the race detector itself.
func peakMemory(t *testing.T) (peak int) {
	t.Helper()
	build, ok := debug.ReadBuildInfo()
	if ok && slices.Contains(build.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		return int(stats.HeapSys)
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, line, _ := strings.Cut(string(status), "VmHWM:")
	if _, err := fmt.Sscanf(line, "%d kB", &peak); err != nil {
		t.Fatal(err)
	}
	return peak * 1024
}
