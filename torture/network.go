package torture

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// network is a network namespace for one machine. It has a link to this machine, and its loopback interface has ports of this machine's
// loopback interface (bridge).
type network struct {
	here, there string // the addresses of this machine and of the namespace on the link
	device      string // this machine's end of the link
	net         string // of both addresses
	keeper      *exec.Cmd
	ended       chan struct{} // closed when the keeper has ended
	namespace   *os.File
	bridges     []*bridge
}

// newNetwork makes a namespace. The namespace and its link end with the function close, or with this process.
func newNetwork(ctx context.Context) (n *network, err error) {
	n = &network{keeper: exec.Command("sleep", "infinity"), ended: make(chan struct{})}
	if err := n.startKeeper(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			n.close()
		}
	}()
	pid := strconv.Itoa(n.keeper.Process.Pid)
	if n.namespace, err = os.Open("/proc/" + pid + "/ns/net"); err != nil {
		return n, err
	}
	const peer = "torture"
	for range 50 { // another network may have this one
		part := rand.IntN(1 << 14)
		address := func(last int) string { return fmt.Sprintf("10.213.%d.%d", part>>6, part&63<<2+last) }
		n.device, n.net, n.here, n.there = fmt.Sprintf("torture%d", part), address(0)+"/30", address(1), address(2)
		if err = command(ctx, "ip", "link", "add", n.device, "type", "veth", "peer", "name", peer, "netns", pid); err == nil {
			break
		}
	}
	if err != nil {
		return n, err
	}
	// Without its link, this machine would look for the namespace elsewhere. A process that was killed may have left the route.
	err = errors.Join(
		command(ctx, "ip", "route", "replace", "blackhole", n.net, "metric", "9999"),
		command(ctx, "ip", "address", "add", n.here+"/30", "dev", n.device),
		command(ctx, "ip", "link", "set", n.device, "up"))
	if err != nil {
		return n, err
	}
	return n, n.inside(func() error {
		return errors.Join(
			command(ctx, "ip", "link", "set", "lo", "up"),
			command(ctx, "ip", "address", "add", n.there+"/30", "dev", peer),
			command(ctx, "ip", "link", "set", peer, "up"))
	})
}

// startKeeper starts the program that keeps the namespace.
func (n *network) startKeeper() error {
	n.keeper.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		// Pdeathsig kills the keeper when the thread that started it ends. So this goroutine keeps its thread until the keeper has ended.
		runtime.LockOSThread()
		defer close(n.ended)
		err := n.keeper.Start()
		started <- err
		if err == nil {
			_ = n.keeper.Wait()
		}
	}()
	return <-started
}

func command(ctx context.Context, words ...string) error {
	if out, err := exec.CommandContext(ctx, words[0], words[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(words, " "), err, out)
	}
	return nil
}

// inside calls a function in the namespace. Programs that it starts and sockets that it opens belong there.
func (n *network) inside(do func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // the thread ends with this goroutine
		err := unix.Setns(int(n.namespace.Fd()), unix.CLONE_NEWNET)
		if err == nil {
			err = do()
		}
		done <- err
	}()
	return <-done
}

// cut makes the link lose everything that both ends send, or carry it again. Neither end gets an error at once.
func (n *network) cut(ctx context.Context, cut bool) error {
	state := "up"
	if cut {
		state = "down"
	}
	return command(ctx, "ip", "link", "set", n.device, state)
}

// close ends all processes that keep the namespace. The kernel then removes it with its link.
func (n *network) close() {
	for _, b := range n.bridges {
		b.close()
	}
	if n.device != "" {
		_ = command(context.Background(), "ip", "link", "delete", n.device) // it may not exist
		_ = command(context.Background(), "ip", "route", "delete", "blackhole", n.net, "metric", "9999")
	}
	if n.namespace != nil {
		_ = n.namespace.Close()
	}
	_ = n.keeper.Process.Kill()
	<-n.ended
}

// bridge carries connections from a port of a namespace's loopback interface to the same port of this machine's.
type bridge struct {
	listener net.Listener
	target   string
	from     net.IP // the client's address, as the server sees it

	mu   sync.Mutex
	down bool
	open map[net.Conn]bool
}

// bridge adds a bridge.
func (n *network) bridge(port int, from net.IP) error {
	b := &bridge{target: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), from: from, open: map[net.Conn]bool{}}
	err := n.inside(func() (err error) {
		b.listener, err = new(net.ListenConfig).Listen(context.Background(), "tcp", b.target)
		return err
	})
	if err != nil {
		return err
	}
	n.bridges = append(n.bridges, b)
	go b.serve()
	return nil
}

// cutBridges closes all connections of the bridges and accepts no new ones, or accepts them again.
func (n *network) cutBridges(cut bool) {
	for _, b := range n.bridges {
		b.mu.Lock()
		b.down = cut
		for c := range b.open {
			if cut {
				_ = c.Close()
			}
		}
		b.mu.Unlock()
	}
}

func (b *bridge) close() {
	_ = b.listener.Close()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.down = true
	for c := range b.open {
		_ = c.Close()
	}
}

func (b *bridge) serve() {
	for {
		near, err := b.listener.Accept()
		if err != nil {
			return
		}
		go b.carry(near)
	}
}

func (b *bridge) carry(near net.Conn) {
	defer near.Close()
	if !b.register(near) {
		return
	}
	defer b.unregister(near)
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: b.from}}
	far, err := dialer.DialContext(context.Background(), "tcp", b.target)
	if err != nil {
		return
	}
	defer far.Close()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_, _ = io.Copy(far, near)
		_ = far.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(near, far)
	_ = near.Close()
	<-sent
}

func (b *bridge) register(c net.Conn) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.down {
		b.open[c] = true
	}
	return !b.down
}

func (b *bridge) unregister(c net.Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.open, c)
}
