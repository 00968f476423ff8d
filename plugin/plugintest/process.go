// Package plugintest runs the real plugin binary the way CrowdSec does: it
// starts the process with go-plugin's client, hands it its configuration and
// its notifications over gRPC, and reads the log on its standard error.
//
// It never looks inside the plugin and imports no other package of this
// module, so that a misunderstanding of the protocol cannot hide on both
// sides. Its main type is [Process]; [Start] starts one. [Configuration] and
// [Alert] write the texts that CrowdSec would send.
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
	// pluginType is what CrowdSec dispenses the plugin under: the type in its
	// configuration.
	pluginType = "stormshield"

	// largestMessage is more than the Local API lets through (50 MiB).
	largestMessage = 64 << 20
)

// Process is a plugin at work. It is safe for concurrent use, but for Kill.
type Process struct {
	client   *goplugin.Client
	notifier protobufs.NotifierClient
	command  *exec.Cmd
	started  time.Time
	log      *Log
}

// Start starts the plugin binary at a path, as a user, and waits for its
// handshake. It is not configured yet. The caller calls Kill. Without a user it
// has the user of this process. Its environment is that of this process, and the
// given KEY=VALUEs.
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
		SkipHostEnv:      true, // it would go before ours
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
		return errors.New("what it serves is no Notifier")
	}
	return nil
}

// Configure hands over one YAML document. Like CrowdSec it sets no deadline of
// its own.
func (p *Process) Configure(ctx context.Context, yaml string) error {
	_, err := p.notifier.Configure(ctx, &protobufs.Config{Config: []byte(yaml)})
	return err
}

// Notify hands over the text of a notification to the configuration of a name,
// with the deadline that CrowdSec sets by default (5 s).
func (p *Process) Notify(ctx context.Context, name, text string) error {
	return p.NotifyWithin(ctx, 5*time.Second, name, text)
}

// NotifyWithin is Notify with another deadline (timeout in a notification's
// configuration).
func (p *Process) NotifyWithin(ctx context.Context, timeout time.Duration, name, text string) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	_, err := p.notifier.Notify(ctx, &protobufs.Notification{Name: name, Text: text})
	return err
}

// PID is the number of the process.
func (p *Process) PID() int { return p.command.Process.Pid }

// Started is when the process was started.
func (p *Process) Started() time.Time { return p.started }

// Log is what the plugin wrote to its standard error so far.
func (p *Process) Log() *Log { return p.log }

// Exited tells whether the process has ended.
func (p *Process) Exited() bool { return p.client.Exited() }

// PeakMemory returns the most memory that the process ever had resident, in
// bytes: the kernel's VmHWM. It is known as long as the process runs.
func (p *Process) PeakMemory() (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID()))
	if err != nil {
		return 0, fmt.Errorf("read the plugin's peak of memory: %w", err)
	}
	for line := range bytes.Lines(status) {
		if value, ok := bytes.CutPrefix(line, []byte("VmHWM:")); ok {
			kib, err := strconv.ParseInt(string(bytes.TrimSpace(bytes.TrimSuffix(bytes.TrimSpace(value), []byte("kB")))), 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("read the plugin's peak of memory: process %d has none", p.PID())
}

// Kill ends the process as CrowdSec does: a Shutdown call, and SIGKILL if the
// plugin is still there 2 s later. It reports whether the plugin left by
// itself. Further calls do nothing.
func (p *Process) Kill() (left bool) {
	p.client.Kill()
	return p.command.ProcessState == nil || p.command.ProcessState.Exited()
}

// notifier is CrowdSec's part of the plugin in go-plugin's terms.
type notifier struct {
	goplugin.NetRPCUnsupportedPlugin
}

// GRPCServer is the plugin's part.
func (notifier) GRPCServer(*goplugin.GRPCBroker, *grpc.Server) error {
	return errors.New("this is the client")
}

// GRPCClient returns the client of the service.
func (notifier) GRPCClient(_ context.Context, _ *goplugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return protobufs.NewNotifierClient(conn), nil
}
