// The binary notification-stormshield is the plugin when CrowdSec starts it. Otherwise it is the command line of the
// administrator, under the name crowdsec-stormshield.
//
// Package plugin implements the plugin. This package connects configuration, plugin and appliance, and has the commands, one
// file each. [command] says how to add one. Only cobra.go uses the library of the command line.
package main

import (
	"context"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/unix"

	"notification-stormshield/plugin"
)

// memoryLimit is the goal of the garbage collector for the plugin's memory, in bytes. The plugin usually needs less than
// half of it. A message may have 64 MiB, and gRPC holds copies of it.
const memoryLimit = 200 << 20

func main() {
	started, parent := time.Now(), os.Getppid()
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}) // the memory holds passwords
	if plugin.StartedByCrowdSec() && len(os.Args) == 1 {
		os.Exit(serve(started, parent))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

// serve runs the plugin until CrowdSec ends it, and returns the exit status. The process then ends at once, because all records
// are durable.
func serve(started time.Time, parent int) int {
	// A flush of many bans holds the text of large files for a moment. A low percentage costs little time and keeps the
	// process small.
	debug.SetGCPercent(20)
	debug.SetMemoryLimit(memoryLimit)
	// plugin.Serve replaces os.Stderr and os.Stdout.
	log := hclog.New(&hclog.LoggerOptions{Level: hclog.Info, Output: os.Stderr, JSONFormat: true, IndependentLevels: true})
	stdout := os.Stdout
	p := plugin.New(plugin.Options{Log: log, Connect: connect, Started: started, Version: version, IsCommandError: isCommandError})
	defer p.LogOut()
	leave := func() {
		p.LogOut()
		os.Exit(statusDone)
	}
	terminated := make(chan os.Signal, 1)
	signal.Notify(terminated, syscall.SIGTERM)
	go func() {
		<-terminated
		leave()
	}()
	go func() {
		plugin.WaitForParentEnd(context.Background(), parent, stdout)
		leave()
	}()
	if err := plugin.Serve(p, log); err != nil {
		log.Error("the plugin cannot start", "error", err)
		return statusFailed
	}
	return statusDone
}
