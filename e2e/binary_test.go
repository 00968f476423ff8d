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
	// sizeLimit is the largest size of a binary, in bytes. It finds a dependency that grows unnoticed.
	sizeLimit = 26_500_000
	// startLimit is the longest time until the plugin sends its address to CrowdSec.
	startLimit = 100 * time.Millisecond
)

func TestBinariesAreSmallAndStaticAndStartQuickly(t *testing.T) {
	binaries := map[string]string{}
	for architecture, machine := range map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64} {
		binary := filepath.Join(unpacked(t, architecture), "notification-stormshield")
		binaries[architecture] = binary
		info, err := os.Stat(binary)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("MEASURED size %s %.1f MB", architecture, float64(info.Size())/1e6)
		if info.Size() > sizeLimit {
			t.Errorf("%s has %d bytes, limit %d", architecture, info.Size(), sizeLimit)
		}
		checkStatic(t, binary, machine)
	}
	// An emulator is slow at the start of a program, because it translates code that runs once. The amd64 binary runs with
	// and without an emulator, which shows how much slower the emulator is.
	native := quickest(t, binaries["amd64"])
	slower := float64(quickest(t, "qemu-x86_64", binaries["amd64"])) / float64(native)
	emulated := quickest(t, "qemu-aarch64", binaries["arm64"])
	arm64 := time.Duration(float64(emulated) / slower)
	t.Logf("MEASURED start amd64 %.1f ms; arm64 %.0f ms under an emulator that is %.0f times slower, so %.1f ms",
		milliseconds(native), milliseconds(emulated), slower, milliseconds(arm64))
	for architecture, took := range map[string]time.Duration{"amd64": native, "arm64": arm64} {
		if took > startLimit {
			t.Errorf("the quickest start of %s took %s, limit %s", architecture, took, startLimit)
		}
	}
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }

// quickest returns the shortest of several start times.
func quickest(t testing.TB, words ...string) time.Duration {
	t.Helper()
	took := time.Hour
	for range 20 {
		took = min(took, handshake(t, words))
	}
	return took
}

func checkStatic(t testing.TB, binary string, machine elf.Machine) {
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

// handshake starts the plugin as CrowdSec does, and returns the time until go-plugin's handshake line.
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
		t.Fatalf("%q is not a handshake (%v)", line, err)
	}
	return took
}
