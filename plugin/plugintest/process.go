// Package plugintest is the test harness of the whole program. A [Harness] is a
// simulated appliance, a configuration for it, and a running plugin.
//
// A [Process] runs the real plugin binary the way CrowdSec does: it starts the
// process with go-plugin's client, sends the configuration and the notifications
// over gRPC, and reads the log on standard error. [Configuration] and [Alert]
// write the texts that CrowdSec would send, and [LocalAPI] is a fake of its Local API.
//
// The package never looks inside the plugin. It shares no code with the plugin,
// so that a misunderstanding of the protocol cannot hide on both sides.
package plugintest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"github.com/crowdsecurity/crowdsec/pkg/protobufs"
	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
)

const (
	// pluginType is the type in a configuration, and the name in go-plugin's terms.
	pluginType = "stormshield"

	// largestMessage is above the limit of the Local API (50 MiB).
	largestMessage = 64 << 20
)

// Process is a running plugin. Its methods, except Kill, are safe for concurrent use.
type Process struct {
	client   *goplugin.Client
	notifier protobufs.NotifierClient
	command  *exec.Cmd
	started  time.Time
	log      *Log
}

// Start starts the plugin binary as a user, and waits for its handshake. The user
// nil is that of this process. The environment is that of this process and the
// given KEY=VALUEs. The caller calls Configure, and in the end Kill.
func Start(binary string, as *syscall.Credential, environment ...string) (*Process, error) {
	log := newLog()
	command := exec.Command(binary)
	command.Env = append(os.Environ(), environment...)
	command.SysProcAttr = &syscall.SysProcAttr{Credential: as}
	client := goplugin.NewClient(&goplugin.ClientConfig{
		HandshakeConfig: goplugin.HandshakeConfig{
			ProtocolVersion: 1, MagicCookieKey: "CROWDSEC_PLUGIN_KEY", MagicCookieValue: rand.Text(),
		},
		Plugins:          map[string]goplugin.Plugin{pluginType: notifier{}},
		Cmd:              command,
		SkipHostEnv:      true, // it would replace ours
		AllowedProtocols: []goplugin.Protocol{goplugin.ProtocolGRPC},
		Stderr:           log,
		Logger:           hclog.New(&hclog.LoggerOptions{Level: hclog.Off}),
		GRPCDialOptions:  []grpc.DialOption{grpc.WithDefaultCallOptions(grpc.MaxCallSendMsgSize(largestMessage))},
	})
	p := &Process{client: client, command: command, started: time.Now(), log: log}
	if err := p.dispense(); err != nil {
		client.Kill()
		return nil, fmt.Errorf("start the plugin %s: %w%s", binary, err, log.quote())
	}
	return p, nil
}

func (p *Process) dispense() error {
	connection, err := p.client.Client()
	if err != nil {
		return err
	}
	dispensed, err := connection.Dispense(pluginType)
	if err != nil {
		return err
	}
	var ok bool
	if p.notifier, ok = dispensed.(protobufs.NotifierClient); !ok {
		return errors.New("it serves no Notifier")
	}
	return nil
}

// Configure sends one YAML document. Like CrowdSec it sets no deadline.
func (p *Process) Configure(ctx context.Context, yaml string) error {
	_, err := p.notifier.Configure(ctx, &protobufs.Config{Config: []byte(yaml)})
	return err
}

// Notify sends a text to the configuration of a name, with CrowdSec's default
// deadline of 5 s.
func (p *Process) Notify(ctx context.Context, name, text string) error {
	return p.NotifyWithin(ctx, 5*time.Second, name, text)
}

// NotifyWithin is Notify with another deadline (key timeout).
func (p *Process) NotifyWithin(ctx context.Context, timeout time.Duration, name, text string) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	_, err := p.notifier.Notify(ctx, &protobufs.Notification{Name: name, Text: text})
	return err
}

// PID returns the ID of the process.
func (p *Process) PID() int { return p.command.Process.Pid }

// Started returns when the process was started.
func (p *Process) Started() time.Time { return p.started }

// Log returns the lines on standard error.
func (p *Process) Log() *Log { return p.log }

// Exited reports whether the process has ended.
func (p *Process) Exited() bool { return p.client.Exited() }

// PeakMemory returns the highest resident memory of the running process so far,
// in bytes (the kernel's VmHWM).
func (p *Process) PeakMemory() (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID()))
	if err != nil {
		return 0, fmt.Errorf("read the peak memory of the plugin: %w", err)
	}
	for line := range bytes.Lines(status) {
		if value, ok := bytes.CutPrefix(line, []byte("VmHWM:")); ok {
			kib, err := strconv.ParseInt(string(bytes.TrimSpace(bytes.TrimSuffix(bytes.TrimSpace(value), []byte("kB")))), 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("read the peak memory of the plugin: process %d has none", p.PID())
}

// Kill ends the process as CrowdSec does: a Shutdown call, and SIGKILL 2 s later.
// It reports whether the plugin ended before the SIGKILL. Further calls do nothing.
func (p *Process) Kill() (graceful bool) {
	p.client.Kill()
	return p.command.ProcessState == nil || p.command.ProcessState.Exited()
}

// notifier is the client of the plugin, in go-plugin's terms.
type notifier struct {
	goplugin.NetRPCUnsupportedPlugin
}

// GRPCServer is for the plugin only.
func (notifier) GRPCServer(*goplugin.GRPCBroker, *grpc.Server) error {
	return errors.New("this is the client")
}

// GRPCClient returns the client of the service.
func (notifier) GRPCClient(_ context.Context, _ *goplugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return protobufs.NewNotifierClient(conn), nil
}
