package e2e

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"testing"
)

// Linux gives the ports from 32768 on to connections (ip_local_port_range): a free one of those can be taken before the program
// that it is meant for listens.
const firstPort, ports = 20000, 12000

var nextPort atomic.Int64

func init() { nextPort.Store(rand.Int64N(ports)) }

// freePort returns a loopback port that no connection and no other test takes, for a program that cannot choose one itself.
func freePort(t testing.TB) int {
	t.Helper()
	for range ports {
		port := firstPort + int(nextPort.Add(1)%ports)
		if listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			listener.Close()
			return port
		}
	}
	t.Fatal("no loopback port is free")
	return 0
}
