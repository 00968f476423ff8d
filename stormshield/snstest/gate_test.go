package snstest

import (
	"errors"
	"net"
	"os/exec"
	"sync"
	"syscall"
	"testing"
)

// A child process holds the sockets of its parent between fork and exec. Without stopListening about 1 of 60 connections
// succeeds here.
func TestAPortThatStoppedListeningRefusesWhileChildrenStart(t *testing.T) {
	var children sync.WaitGroup
	defer children.Wait()
	done := make(chan struct{})
	defer close(done)
	for range 8 {
		children.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					_ = exec.Command("true").Run()
				}
			}
		})
	}
	for range 300 {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		stopListening(ln)
		ln.Close()
		if conn, err := net.Dial("tcp", ln.Addr().String()); err == nil {
			conn.Close()
			t.Fatal("the port is open")
		}
	}
}

func TestAPortThatIsRefusedIsGivenToNobodyElse(t *testing.T) {
	t.Parallel()
	g, err := openGate("127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	for range 3 {
		g.refuse(true)
		if ln, err := net.Listen("tcp", g.address); err == nil {
			ln.Close()
			t.Fatal("another program can have the port")
		}
		if _, err := net.Dial("tcp", g.address); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatalf("Dial: %v, want a refusal", err)
		}
		g.refuse(false)
		conn, err := net.Dial("tcp", g.address)
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
		accepted, err := g.Accept()
		if err != nil {
			t.Fatal(err)
		}
		accepted.Close()
	}
}
