package plugin_test

import (
	"context"
	"os"
	"os/exec"
	"testing"
	"time"

	"notification-stormshield/plugin"
)

// parentEnds reports whether WaitForParentEnd returns within a minute.
func parentEnds(t *testing.T, parent int, out *os.File) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	plugin.WaitForParentEnd(ctx, parent, out)
	return ctx.Err() == nil
}

func pipe(t *testing.T) (read, write *os.File) {
	t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = read.Close(), write.Close() })
	return read, write
}

func TestAPluginEndsWhenItsParentEndedBefore(t *testing.T) {
	t.Parallel()
	parent := exec.CommandContext(t.Context(), "true")
	if err := parent.Run(); err != nil {
		t.Fatal(err)
	}
	_, out := pipe(t)
	if !parentEnds(t, parent.Process.Pid, out) {
		t.Error("WaitForParentEnd waits for the new parent, though the old one has ended")
	}
}

func TestAPluginEndsWhenNobodyReadsItsOutput(t *testing.T) {
	t.Parallel()
	read, out := pipe(t)
	ended := make(chan bool, 1)
	go func() { ended <- parentEnds(t, os.Getppid(), out) }()
	_ = read.Close()
	if !<-ended {
		t.Error("WaitForParentEnd waits, though CrowdSec has ended")
	}
}

func TestAPluginStaysWhileCrowdSecReadsItsOutput(t *testing.T) {
	t.Parallel()
	_, out := pipe(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	returned := make(chan struct{})
	go func() {
		defer close(returned)
		plugin.WaitForParentEnd(ctx, os.Getppid(), out)
	}()
	select {
	case <-returned:
		t.Error("WaitForParentEnd returns, though CrowdSec runs")
	case <-time.After(200 * time.Millisecond):
	}
	cancel()
	<-returned
}
