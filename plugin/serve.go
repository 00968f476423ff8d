package plugin

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/crowdsecurity/crowdsec/pkg/protobufs"
	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"notification-stormshield/plugin/guard"
)

// cookieKey is an environment variable that CrowdSec sets for its plugins (crowdsec, pkg/csplugin).
const cookieKey = "CROWDSEC_PLUGIN_KEY"

// largestMessage is more than the Local API lets through (50 MiB).
const largestMessage = 64 << 20

// StartedByCrowdSec reports whether CrowdSec started this process.
func StartedByCrowdSec() bool { return os.Getenv(cookieKey) != "" }

// Serve answers CrowdSec until CrowdSec ends it. The caller must end the process as soon as Serve returns. If the process
// stays, CrowdSec considers the plugin broken and never starts it again. The error explains why the plugin cannot listen to
// CrowdSec.
func Serve(p *Plugin, log hclog.Logger) error {
	if err := chooseSocketFolder(); err != nil {
		return fmt.Errorf("make the socket by which CrowdSec talks to the plugin: %w (hint: in CrowdSec's environment, set %s to a folder "+
			"where the user %s can write, whose path has at most %d bytes)", err, goplugin.EnvUnixSocketDir, UserName(os.Geteuid()), longestSocketFolder)
	}
	goplugin.Serve(&goplugin.ServeConfig{
		HandshakeConfig: goplugin.HandshakeConfig{ProtocolVersion: 1, MagicCookieKey: cookieKey, MagicCookieValue: os.Getenv(cookieKey)},
		Plugins:         map[string]goplugin.Plugin{"stormshield": &service{plugin: p}},
		GRPCServer: func(options []grpc.ServerOption) *grpc.Server {
			return grpc.NewServer(append(options, grpc.MaxRecvMsgSize(largestMessage), grpc.UnaryInterceptor(survivePanics(log)))...)
		},
		Logger: log,
	})
	return nil
}

// service is the plugin for go-plugin.
type service struct {
	goplugin.NetRPCUnsupportedPlugin
	plugin *Plugin
}

// GRPCServer registers the service.
func (s *service) GRPCServer(_ *goplugin.GRPCBroker, server *grpc.Server) error {
	protobufs.RegisterNotifierServer(server, s.plugin)
	return nil
}

// GRPCClient returns the client, which only CrowdSec uses.
func (*service) GRPCClient(_ context.Context, _ *goplugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return protobufs.NewNotifierClient(conn), nil
}

// survivePanics turns a panic in a call into an error.
func survivePanics(log hclog.Logger) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, request any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		answer, err := guard.Call("a call", func() (any, error) { return next(ctx, request) })
		var fault *guard.Panic
		if errors.As(err, &fault) {
			log.Error("a call panicked, which is a fault of this program", "call", info.FullMethod, "panic", fmt.Sprint(fault.Value), "stack", fault.Stack)
			err = fmt.Errorf("%s: internal error: %v", info.FullMethod, fault.Value)
		}
		return answer, err
	}
}
