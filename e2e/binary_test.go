package e2e

import (
	"bufio"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"
)

const (
	// sizeLimit is what a binary may have, in bytes.
	sizeLimit = 22_000_000
	// startLimit is the longest that CrowdSec should wait for the plugin to say where it listens, on a machine's own
	// processor.
	startLimit = 100 * time.Millisecond
)

func TestBinariesAreSmallAndStaticAndStartAtOnce(t *testing.T) {
	for _, c := range []struct {
		architecture, on string
		machine          elf.Machine
		emulator         []string
		limit            time.Duration // of the quickest start
	}{
		{"amd64", "amd64", elf.EM_X86_64, nil, startLimit},
		// Under emulation most of the time goes into translating what runs but once, also in a program of one line.
		{"arm64", "arm64 under qemu", elf.EM_AARCH64, []string{"qemu-aarch64"}, 10 * startLimit},
	} {
		t.Run(c.architecture, func(t *testing.T) {
			binary := filepath.Join(unpacked(t, c.architecture), "notification-stormshield")
			info, err := os.Stat(binary)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("MEASURED size %s %.1f MB", c.architecture, float64(info.Size())/1e6)
			if info.Size() > sizeLimit {
				t.Errorf("it has %d bytes, limit %d", info.Size(), sizeLimit)
			}
			isStatic(t, binary, c.machine)

			quickest := time.Hour
			for range 20 {
				quickest = min(quickest, handshake(t, append(c.emulator, binary)))
			}
			t.Logf("MEASURED start %s %.1f ms", c.on, float64(quickest.Microseconds())/1e3)
			if quickest > c.limit {
				t.Errorf("the quickest of 20 starts took %s, limit %s", quickest, c.limit)
			}
		})
	}
}

func isStatic(t testing.TB, binary string, machine elf.Machine) {
	t.Helper()
	file, err := elf.Open(binary)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if file.Machine != machine {
		t.Errorf("it is for %s, want %s", file.Machine, machine)
	}
	for _, p := range file.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("it is not static: it has %s", p.Type)
		}
	}
}

// handshake starts the plugin as CrowdSec does and returns how long it takes to say where it listens (go-plugin's
// handshake line).
func handshake(t testing.TB, words []string) time.Duration {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), words[0], words[1:]...)
	cmd.Env = append(os.Environ(), "CROWDSEC_PLUGIN_KEY=e2e", "TMPDIR="+temporaryFolder(t))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	started := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	line, err := bufio.NewReader(out).ReadString('\n')
	took := time.Since(started)
	if !regexp.MustCompile(`^1\|1\|unix\|[^|]+\|grpc(\||\n)`).MatchString(line) {
		t.Fatalf("it says %q, which is no handshake (%v)", line, err)
	}
	return took
}
