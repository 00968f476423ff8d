package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/prometheus/exporter-toolkit/web"

	"notification-stormshield/config"
	"notification-stormshield/plugin"
	"notification-stormshield/plugin/lease"
	"notification-stormshield/stormshield/acceptance"
)

// checkMetrics reports whether the plugin serves, or can serve, its metrics. It returns nothing if the metrics are off. file is that of
// the document. The plugin's user must call it: that user must be able to listen, and to read web_config_path.
func checkMetrics(ctx context.Context, file string, d config.Document) []acceptance.Finding {
	if !d.Prometheus.Enabled {
		return nil
	}
	f := acceptance.Finding{Subject: "metrics", Assumed: "the plugin serves the metrics and the status page at the address under prometheus"}
	if err := web.Validate(d.Prometheus.WebConfigPath); err != nil {
		f.Verdict, f.Err = acceptance.Wrong, fmt.Errorf("read web_config_path: %w", err)
		f.Hint = "https://prometheus.io/docs/prometheus/latest/configuration/https/ describes the file; the plugin's user must be able to read it"
		return []acceptance.Finding{f}
	}
	running, err := pluginProcesses(file, d)
	if err == nil {
		f.Detail, err = describeListener(ctx, d.Prometheus, running)
	}
	switch {
	case err != nil:
		f.Verdict, f.Err = acceptance.Wrong, err
		f.Hint = "see listen_addr and listen_port under prometheus; `ss -ltnp` names the program that listens on a port"
	case !d.Prometheus.IsLoopback() && d.Prometheus.WebConfigPath == "":
		f.Verdict = acceptance.Differs
		f.Hint = "anybody who reaches the port can read which addresses are banned: set web_config_path, or listen on 127.0.0.1"
	}
	return []acceptance.Finding{f}
}

// describeListener says who listens at an address. It returns an error if the plugin cannot listen there, or if it runs and does not listen.
func describeListener(ctx context.Context, p config.Prometheus, running []int) (string, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", p.Address())
	if err == nil {
		_ = listener.Close() // nobody has connected
		if len(running) > 0 {
			return "", fmt.Errorf("the plugin runs (process %d), and nobody listens at %s: reload CrowdSec, or see the plugin's log", running[0], p.Address())
		}
		return p.Address() + " is free, and the plugin does not run", nil
	}
	if !errors.Is(err, syscall.EADDRINUSE) {
		return "", err
	}
	for _, pid := range running {
		own, err := isListening(pid, p.ListenPort)
		if err != nil {
			return "", fmt.Errorf("find out whether the plugin listens at %s: %w", p.Address(), err)
		}
		if own {
			return fmt.Sprintf("process %d serves them at %s", pid, p.Address()), nil
		}
	}
	return "", fmt.Errorf("another program listens at %s", p.Address())
}

// pluginProcesses returns the processes that enforce a document, or another one of its folder that shares the listener.
func pluginProcesses(file string, d config.Document) ([]int, error) {
	var found []int
	for _, document := range append([]documentAt{{d, file}}, documentsInFolder(file)...) {
		if !document.Prometheus.Enabled {
			continue
		}
		pid, err := lease.Holder(plugin.StateOf(document.Document).Lease)
		if err != nil {
			return nil, err
		}
		if pid != 0 && !slices.Contains(found, pid) {
			found = append(found, pid)
		}
	}
	return found, nil
}

// isListening reports whether a process listens on a TCP port (proc_pid_net(5), proc_pid_fd(5)).
func isListening(pid, port int) (bool, error) {
	folder := filepath.Join("/proc", strconv.Itoa(pid))
	var sockets []string
	for _, name := range []string{"tcp", "tcp6"} {
		table, err := os.ReadFile(filepath.Join(folder, "net", name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // a kernel without IPv6 has no tcp6
			return false, err
		}
		for line := range strings.Lines(string(table)) {
			const address, state, inode, listening = 1, 3, 9, "0A"
			if column := strings.Fields(line); len(column) > inode && column[state] == listening && strings.HasSuffix(column[address], fmt.Sprintf(":%04X", port)) {
				sockets = append(sockets, "socket:["+column[inode]+"]")
			}
		}
	}
	open, err := os.ReadDir(filepath.Join(folder, "fd"))
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(open, func(fd fs.DirEntry) bool {
		target, err := os.Readlink(filepath.Join(folder, "fd", fd.Name()))
		return err == nil && slices.Contains(sockets, target)
	}), nil
}
