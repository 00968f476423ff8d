// Package snstest simulates a Stormshield Network Security (SNS) appliance: an SSH server that runs commands in a real
// shell and folder, and the HTTPS API of "serverd" in front of a blacklist whose entries end in real time.
//
// Its one job is to behave towards a client as a real appliance is known to behave. The sources are answers captured from
// SNS 4.8.15, the vendor's Python client and the vendor's CLI reference. It has the traps that they show: a brute-force
// protection that counts web and SSH together, sessions that see the files as they were when the session was opened,
// groups that are resolved once, translated messages, and a certificate without a name that Go accepts. Where no source
// shows how an appliance behaves, the stricter behaviour is the default, and a switch of [Faults] gives the other.
//
// The appliance has ten slots of filter rules, one of them active. A running rule has the members of its groups as they were when
// the rule was loaded: enobject reads the files, and then enfilter -u or CONFIG SLOT ACTIVATE loads the active slot.
// [Appliance.Packet] says what happens to a packet, [Appliance.SetPolicy] replaces a policy, and [Appliance.AdminEditPolicy] edits
// one without activating it.
//
// The package imports no other package of this module, so that one misunderstanding cannot hide on both sides. It listens on the
// loopback interface only, and it needs no root.
//
// The main type is [Appliance]. [Start] makes one for a test, and [New] makes one for a program. Its methods say how to
// reach it, what it blocks and what it was asked. They also do what happens around it: administrators edit files, the
// appliance reboots, [Appliance.SetFaults] makes something fail. The program in snstest/appliance runs one by hand.
package snstest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"testing"
)

// Appliance is a running simulated appliance. Its methods may be used from any goroutine.
type Appliance struct {
	options Options

	disk      *disk
	viewer    *viewer
	blacklist *blacklist
	filter    *filter
	firmware  *firmware
	sessions  *sessionStore
	lockout   *lockout
	faults    *faultStore
	counters  *counters
	overlaps  *overlaps
	identity  *identity
	hostKeys  *hostKeys
	toolbox   *toolbox
	processes *processes

	power sync.RWMutex // a request holds it for reading; Reboot and Close hold it for writing
	boots atomic.Int64

	apiGate, sshGate *gate // sshGate is nil with NoSSH
	web              *http.Server

	ctx   context.Context // ends with Close
	end   context.CancelFunc
	owned sync.WaitGroup // every goroutine the appliance started
}

// New starts an appliance. The caller calls Close.
func New(options Options) (*Appliance, error) {
	if err := options.setDefaults(); err != nil {
		return nil, err
	}
	a := &Appliance{options: options, faults: newFaultStore(), counters: &counters{}, processes: newProcesses()}
	a.ctx, a.end = context.WithCancel(context.Background())
	a.overlaps = newOverlaps(a.counters)
	a.blacklist = newBlacklist()
	a.lockout = &lockout{lasts: options.BruteForceLock, counters: a.counters, password: options.Password}
	a.sessions = newSessionStore(options)
	if err := a.assemble(); err != nil {
		return nil, errors.Join(fmt.Errorf("start the simulated appliance: %w", err), a.Close())
	}
	a.owned.Go(a.serveWeb)
	a.owned.Go(a.serveTools)
	if a.sshGate != nil {
		a.owned.Go(a.serveSSH)
	}
	return a, nil
}

// assemble makes the parts that can fail.
func (a *Appliance) assemble() (err error) {
	if a.disk, err = openDisk(a.options.Dir); err != nil {
		return err
	}
	if a.options.FolderLink {
		if err := a.disk.addLink(); err != nil {
			return err
		}
	}
	a.viewer = &viewer{disk: a.disk}
	if a.filter, err = newFilter(a.viewer.read(false)); err != nil {
		return err
	}
	if a.firmware, err = openFirmware(a.disk); err != nil {
		return err
	}
	if a.identity, err = newIdentity(a.options.Certificate, a.options.SerialNumber); err != nil {
		return err
	}
	a.hostKeys = newHostKeys(a.options.Listen)
	a.toolbox = &toolbox{replace: a.options.Tools, firmware: a.firmware.dir}
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

// Start starts an appliance for a test, and closes it when the test ends. The test is skipped when this machine lacks the
// login shell. Where CI is set, the test fails instead.
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

// Close ends the servers, their connections and every process that they started, and waits for all of them. It removes a
// temporary disk.
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
	if a.firmware != nil {
		err = errors.Join(err, a.firmware.close())
	}
	a.owned.Wait()
	a.power.Lock() // waits for the requests that are served
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

// User is the name of the first account.
func (a *Appliance) User() string { return a.options.User }

// Dir is the folder that stands for the appliance's disk.
func (a *Appliance) Dir() string { return a.disk.root }

// ConfigDir is the folder with object and objectgroup, an absolute path that SSH commands can use.
func (a *Appliance) ConfigDir() string { return a.disk.config }

// LinkedConfigDir is the second path of the same folder. It exists only with Options.FolderLink.
func (a *Appliance) LinkedConfigDir() string { return a.disk.linked() }

// Reboot restarts the appliance at once. The blacklist, the sessions, the rights and the brute-force lock are empty
// afterwards, and the connections and commands are cut. The activated rules of the active slot run, with the groups as they are in
// the files. Inactive edits are lost. Files and faults stay. SSHRefuse and APIRefuse keep it away.
func (a *Appliance) Reboot() {
	a.power.Lock()
	a.boots.Add(1)
	a.sessions.clear()
	a.viewer.forget()
	a.filter.reboot(a.viewer.read(false))
	a.blacklist.flush()
	a.lockout.unlock()
	a.power.Unlock()
	a.apiGate.cut()
	a.cutSSH()
	a.processes.kill()
}

func (a *Appliance) cutSSH() {
	if a.sshGate != nil {
		a.sshGate.cut()
	}
}
