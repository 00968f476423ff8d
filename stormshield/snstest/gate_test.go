package snstest

import (
	"net"
	"os/exec"
	"sync"
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
