package snstest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync"
	"testing"
)

// Appliance is a running simulated appliance. Its methods may be used from any goroutine.
type Appliance struct {
	options Options

	disk      *disk
	viewer    *viewer
	blacklist *blacklist
	desk      *desk
	lockout   *lockout
	faults    *faultBox
	counters  *counters
	identity  *identity
	hostKeys  *hostKeys
	toolbox   *toolbox
	processes *processes

	power sync.RWMutex // read-held by a request while it is worked on, held by Reboot and Close

	apiGate, sshGate *gate // sshGate is nil with NoSSH
	web              *http.Server

	ctx   context.Context // ends with Close
	end   context.CancelFunc
	owned sync.WaitGroup // every goroutine the appliance started
}

// New starts an appliance. Whoever calls it calls Close.
func New(options Options) (*Appliance, error) {
	if err := options.setDefaults(); err != nil {
		return nil, err
	}
	a := &Appliance{options: options, faults: newFaultBox(), counters: &counters{}, processes: newProcesses()}
	a.ctx, a.end = context.WithCancel(context.Background())
	a.blacklist = newBlacklist()
	a.lockout = &lockout{lasts: options.BruteForceLock, counters: a.counters, password: options.Password}
	a.desk = newDesk(options, a.counters)
	if err := a.assemble(); err != nil {
		return nil, errors.Join(fmt.Errorf("start the simulated appliance: %w", err), a.Close())
	}
	a.owned.Go(a.serveWeb)
	if a.sshGate != nil {
		a.owned.Go(a.serveSSH)
	}
	return a, nil
}

// assemble does what can fail.
func (a *Appliance) assemble() (err error) {
	if a.disk, err = openDisk(a.options.Dir); err != nil {
		return err
	}
	a.viewer = &viewer{disk: a.disk}
	if a.identity, err = newIdentity(a.options.Certificate, a.options.SerialNumber); err != nil {
		return err
	}
	a.hostKeys = newHostKeys(a.options.Listen)
	a.toolbox = &toolbox{replace: a.options.Tools}
	var slow *link
	if a.options.Link != (Link{}) {
		slow = &link{Link: a.options.Link}
	}
	if a.apiGate, err = openGate(address(a.options.Listen, a.options.APIPort), slow); err != nil {
		return err
	}
	a.web = a.webServer()
	if a.options.NoSSH {
		return nil
	}
	a.sshGate, err = openGate(address(a.options.Listen, a.options.SSHPort), slow)
	return err
}

// Start starts an appliance for a test, which ends it. A test that needs a login shell this machine lacks is skipped,
// but fails where CI is set: there, everything is tested.
func Start(t testing.TB, opts ...func(*Options)) *Appliance {
	t.Helper()
	var options Options
	for _, opt := range opts {
		opt(&options)
	}
	if shell := options.LoginShell; shell != "" && executable(shell) != nil && os.Getenv("CI") == "" {
		t.Skipf("this machine has no %s (csh comes with the package tcsh)", shell)
	}
	a, err := New(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Errorf("close the simulated appliance: %v", err)
		}
	})
	return a
}

// Close ends the servers, their connections and every process they started, and waits for all of them. A temporary
// disk is removed.
func (a *Appliance) Close() error {
	a.end()
	a.blacklist.stop()
	var err error
	if a.web != nil {
		err = a.web.Close()
	}
	for _, g := range []*gate{a.apiGate, a.sshGate} {
		if g != nil {
			err = errors.Join(err, g.Close())
		}
	}
	a.processes.end()
	a.owned.Wait()
	a.power.Lock() // the requests that were being served are
	defer a.power.Unlock()
	if a.toolbox != nil {
		err = errors.Join(err, a.toolbox.close())
	}
	if a.disk != nil {
		err = errors.Join(err, a.disk.close())
	}
	return err
}

// Host is the address both servers listen on.
func (a *Appliance) Host() string { return a.options.Listen }

// APIPort is the port of the HTTPS API.
func (a *Appliance) APIPort() int { return a.apiGate.port() }

// SSHPort is the port of the SSH server, 0 without one.
func (a *Appliance) SSHPort() int {
	if a.sshGate == nil {
		return 0
	}
	return a.sshGate.port()
}

// User is the account's name.
func (a *Appliance) User() string { return a.options.User }

// Dir is the folder that stands for the appliance's disk.
func (a *Appliance) Dir() string { return a.disk.root }

// ConfigDir is the folder with object and objectgroup, an absolute path that SSH commands can use.
func (a *Appliance) ConfigDir() string { return a.disk.config }

// Reboot restarts the appliance: the blacklist, sessions, rights and the brute-force lock are gone, connections are cut
// and commands killed. Files and switches stay. It is back at once; SSHRefuse and APIRefuse make it stay away.
func (a *Appliance) Reboot() {
	a.power.Lock()
	a.desk.clear()
	a.viewer.forget()
	a.blacklist.flush()
	a.lockout.unlock()
	a.power.Unlock()
	a.apiGate.cut()
	if a.sshGate != nil {
		a.sshGate.cut()
	}
	a.processes.kill()
}
