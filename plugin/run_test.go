package plugin_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/crowdsecurity/crowdsec/pkg/protobufs"
	"github.com/hashicorp/go-hclog"

	"notification-stormshield/appliance"
	"notification-stormshield/config"
	"notification-stormshield/plugin"
	"notification-stormshield/plugin/lease"
	"notification-stormshield/plugin/ledger"
	"notification-stormshield/plugin/plugintest"
)

// blocking is an appliance that acknowledges everything, and records its blocks.
type blocking struct {
	mu      sync.Mutex
	blocked []string
	flushes int
}

func (b *blocking) Apply(_ context.Context, c appliance.Change) (appliance.Outcome, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.flushes++
	done := appliance.Outcome{At: time.Now(), Listed: true, Cleared: true, Unblocked: c.Unblock}
	for _, s := range c.Block {
		b.blocked = append(b.blocked, s.Prefix.Addr().String())
		done.Blocked = append(done.Blocked, appliance.Entry{Prefix: s.Prefix, Expires: s.Until})
	}
	return done, nil
}

func (b *blocking) Check(context.Context) error { return nil }

func (b *blocking) LogOut() {}

func (b *blocking) Observed() appliance.Observed { return appliance.Observed{} }

func (b *blocking) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.flushes
}

func (b *blocking) has(address string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Contains(b.blocked, address)
}

// slow is an appliance whose flushes take a second. It counts the flushes that begin while another one runs.
type slow struct {
	blocking
	busy     sync.Mutex
	together atomic.Int64
}

func (s *slow) Apply(ctx context.Context, c appliance.Change) (appliance.Outcome, error) {
	if !s.busy.TryLock() {
		s.together.Add(1)
		return appliance.Outcome{}, errors.New("another flush runs")
	}
	defer s.busy.Unlock()
	time.Sleep(time.Second)
	return s.blocking.Apply(ctx, c)
}

// process starts a process of the plugin on a state folder.
func process(t *testing.T, dir string, on plugin.Appliance, log hclog.Logger) *harness {
	t.Helper()
	h := &harness{t: t}
	h.p = plugin.New(plugin.Options{
		Log: log, Started: time.Now(), Connect: func(config.Document) plugin.Appliance { return on },
		Resolve: func(context.Context, string) ([]netip.Addr, error) { return nil, nil },
	})
	text := configuration(dir)
	if _, err := h.p.Configure(t.Context(), &protobufs.Config{Config: []byte(text)}); err != nil {
		t.Fatal(err)
	}
	var err error
	if h.d, err = config.ParseOne([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *harness) ban(address string) {
	h.t.Helper()
	if err := h.notify(alert(address, "")); err != nil {
		h.t.Fatal(err)
	}
}

func TestAProcessDoesNotFlushInItsFirstThreeSeconds(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		appliance := new(blocking)
		h := process(t, dir, appliance, hclog.NewNullLogger())
		defer h.p.Close()
		h.ban("203.0.113.7")
		time.Sleep(2900 * time.Millisecond)
		synctest.Wait()
		if appliance.count() > 0 {
			t.Error("the process flushed in its first three seconds")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if !appliance.has("203.0.113.7") {
			t.Error("the process does not flush after three seconds")
		}
	})
}

func TestTwoConfigurationsOfOneApplianceNeverFlushAtTheSameMoment(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		shared := new(slow)
		h := process(t, dir, shared, hclog.NewNullLogger())
		defer h.p.Close()
		second := strings.Replace(configuration(dir), "name: test", "name: second", 1) +
			"  group: Second\n  delete_group: SecondEnded\n"
		if _, err := h.p.Configure(t.Context(), &protobufs.Config{Config: []byte(second)}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if together, flushes := shared.together.Load(), shared.count(); together > 0 || flushes != 2 {
			t.Errorf("%d of %d flushes began while another one ran", together, flushes)
		}
	})
}

// hanging is an appliance whose first flush takes longer than a flush may take.
type hanging struct {
	blocking
	first sync.Once
}

func (h *hanging) Apply(ctx context.Context, c appliance.Change) (appliance.Outcome, error) {
	h.first.Do(func() { time.Sleep(16 * time.Minute) })
	return h.blocking.Apply(ctx, c)
}

func TestAFlushThatWaitsTooLongForAnotherOneSaysSoAndIsTriedAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		shared, log := new(hanging), new(strings.Builder)
		h := process(t, dir, shared, hclog.New(&hclog.LoggerOptions{Output: log}))
		second := strings.Replace(configuration(dir), "name: test", "name: second", 1) +
			"  group: Second\n  delete_group: SecondEnded\n"
		if _, err := h.p.Configure(t.Context(), &protobufs.Config{Config: []byte(second)}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Minute)
		synctest.Wait()
		h.p.Close()
		if !strings.Contains(log.String(), "wait for the flush of another notification on the same appliance") {
			t.Errorf("the log does not say why the flush failed:\n%s", log)
		}
		if shared.count() < 2 {
			t.Errorf("%d flushes ended, want those of both configurations", shared.count())
		}
	})
}

func TestOnlyTheHolderOfTheLeaseFlushesAndTheNextTakesOver(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		holder, other := new(blocking), new(blocking)
		first := process(t, dir, holder, hclog.NewNullLogger())
		time.Sleep(10 * time.Second)
		second := process(t, dir, other, hclog.NewNullLogger())
		defer second.p.Close()
		time.Sleep(50 * time.Second)
		second.ban("203.0.113.7") // recorded beside the holder
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if !holder.has("203.0.113.7") || other.count() > 0 {
			t.Errorf("the holder does not block it, or the other process flushed: %d times", other.count())
		}
		first.p.Close()
		second.ban("203.0.113.8")
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if !other.has("203.0.113.8") {
			t.Error("the next process did not take over within 2 s")
		}
	})
}

func damage(t *testing.T, path string) {
	t.Helper()
	if err := plugintest.DamageFile(path); err != nil {
		t.Fatal(err)
	}
}

func TestFiveProcessesSetADamagedStateAsideOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "test.db")
	damage(t, path)
	var starting sync.WaitGroup
	hosts := make([]*harness, 5)
	for i := range hosts {
		starting.Go(func() { hosts[i] = process(t, dir, new(blocking), hclog.NewNullLogger()) })
	}
	starting.Wait()
	for i, h := range hosts {
		defer h.p.Close()
		h.ban(fmt.Sprintf("203.0.113.%d", i))
	}
	if got := hosts[0].recordedBans(); len(got) != len(hosts) {
		t.Errorf("of %d bans the state holds %v", len(hosts), got)
	}
	if aside, err := filepath.Glob(path + ".unreadable-*Z"); err != nil || len(aside) != 1 {
		t.Errorf("set aside: %v (%v)", aside, err)
	}
}

func TestADamagedStateStaysWhileAnotherProcessHoldsTheLease(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "test.db")
	damage(t, path)
	held, err := lease.Try(filepath.Join(dir, "test.lock"))
	if err != nil || held == nil {
		t.Fatal(held, err)
	}
	synctest.Test(t, func(t *testing.T) {
		h := process(t, dir, new(blocking), hclog.NewNullLogger())
		defer h.p.Close()
		if err := h.notify(alert("203.0.113.7", "")); err == nil || !strings.Contains(err.Error(), "another process holds the lease") {
			t.Errorf("an alert that is not recorded: %v", err)
		}
		time.Sleep(time.Minute)
		if aside, _ := filepath.Glob(path + ".unreadable-*"); len(aside) > 0 {
			t.Errorf("set aside: %v", aside)
		}
		_ = held.Release()
		time.Sleep(10 * time.Second)
		h.ban("203.0.113.7")
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if got := h.recordedBans(); len(got) != 1 {
			t.Errorf("recorded afterwards: %v", got)
		}
	})
}

func TestConfigureSucceedsWhileTheStateCannotBeOpened(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := process(t, dir, new(blocking), hclog.NewNullLogger())
	first.p.Close()
	shared := filepath.Join(dir, "test.db-shm")
	if err := os.Mkdir(shared, 0o700); err != nil { // SQLite cannot make its file, as on a full disk
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		h := process(t, dir, new(blocking), hclog.NewNullLogger())
		defer h.p.Close()
		if err := h.notify(alert("203.0.113.7", "")); err == nil || !strings.Contains(err.Error(), "bans cannot be recorded") {
			t.Errorf("an alert that is not recorded: %v", err)
		}
		if err := os.Remove(shared); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		h.ban("203.0.113.7")
	})
}

func TestACommandDoesNotMoveADamagedState(t *testing.T) {
	t.Parallel()
	d, err := config.ParseOne([]byte(configuration(t.TempDir())))
	if err != nil {
		t.Fatal(err)
	}
	state := plugin.StateOf(d)
	damage(t, state.Path)
	for name, open := range map[string]func(context.Context) (*ledger.Ledger, error){"reading": state.OpenReadOnly, "writing": state.Open} {
		if _, err := open(t.Context()); err == nil || !strings.Contains(err.Error(), "restart CrowdSec") {
			t.Errorf("%s: %v", name, err)
		}
	}
	files, err := os.ReadDir(filepath.Dir(state.Path))
	if err != nil || len(files) != 1 {
		t.Errorf("files: %v (%v)", files, err)
	}
}
