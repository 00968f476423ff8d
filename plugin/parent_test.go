package plugin_test

import (
	"context"
	"os"
	"os/exec"
	"testing"
	"time"

	"notification-stormshield/plugin"
)

// parentGone reports whether ParentGone returns by itself.
func parentGone(t *testing.T, parent int, out *os.File) bool {
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

func TestAPluginWhoseParentEndedBeforeItLookedLeaves(t *testing.T) {
	parent := exec.CommandContext(t.Context(), "true")
	if err := parent.Run(); err != nil {
		t.Fatal(err)
	}
	_, out := pipe(t)
	if !parentGone(t, parent.Process.Pid, out) {
		t.Error("it stays, and watches the process that inherited it")
	}
}

func TestAPluginWhoseOutputNobodyReadsLeavesWhateverItsParentIs(t *testing.T) {
	read, out := pipe(t)
	ended := make(chan bool, 1)
	go func() { ended <- parentGone(t, os.Getppid(), out) }()
	_ = read.Close()
	if !<-ended {
		t.Error("it stays, though CrowdSec is gone")
	}
}

func TestAPluginStaysWhileCrowdSecReadsItsOutput(t *testing.T) {
	_, out := pipe(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	left := make(chan struct{})
	go func() {
		defer close(left)
		plugin.WaitForParentEnd(ctx, os.Getppid(), out)
	}()
	select {
	case <-left:
		t.Error("it leaves, though CrowdSec runs")
	case <-time.After(200 * time.Millisecond):
	}
	cancel()
	<-left
}
