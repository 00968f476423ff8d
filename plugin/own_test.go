package plugin_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/crowdsecurity/crowdsec/pkg/protobufs"
	"github.com/hashicorp/go-hclog"

	"notification-stormshield/config"
	"notification-stormshield/plugin"
	"notification-stormshield/plugin/lease"
)

// interfaces are the addresses of a machine, and the answer of its resolver. Both can change.
type interfaces struct {
	mu       sync.Mutex
	list     []string
	err      error
	resolved string // "": no name can be resolved
}

func (i *interfaces) resolve(context.Context, string) ([]netip.Addr, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.resolved == "" {
		return nil, errors.New("no answer")
	}
	return []netip.Addr{netip.MustParseAddr(i.resolved)}, nil
}

func (i *interfaces) setResolved(address string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.resolved = address
}

func (i *interfaces) set(err error, list ...string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.list, i.err = list, err
}

func (i *interfaces) addresses() ([]net.Addr, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	var all []net.Addr
	for _, text := range i.list {
		ip, network, err := net.ParseCIDR(text)
		if err != nil {
			return nil, err
		}
		all = append(all, &net.IPNet{IP: ip, Mask: network.Mask})
	}
	return all, i.err
}

// logged is the log of a plugin.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// onMachine runs a plugin on a machine with addresses, under a clock of its own.
func onMachine(t *testing.T, change func(text string) string, do func(h *harness, machine *interfaces, log *logged)) {
	t.Helper()
	text := change(configuration(t.TempDir()))
	synctest.Test(t, func(t *testing.T) {
		machine, log := new(interfaces), new(logged)
		machine.set(nil, "203.0.113.10/24", "2001:db8::10/64")
		h := &harness{t: t, fw: &firewall{}}
		h.p = plugin.New(plugin.Options{
			Log: hclog.New(&hclog.LoggerOptions{Output: log, Level: hclog.Debug}), Started: time.Now().Add(-time.Minute),
			Interfaces: machine.addresses, Resolve: machine.resolve,
			Connect: func(config.Document) plugin.Appliance { return h.fw },
		})
		defer h.p.Close()
		if _, err := h.p.Configure(t.Context(), &protobufs.Config{Config: []byte(text)}); err != nil {
			t.Fatal(err)
		}
		var err error
		if h.d, err = config.ParseOne([]byte(text)); err != nil {
			t.Fatal(err)
		}
		do(h, machine, log)
	})
}

func TestAnAddressOfThisMachineIsNeverBlocked(t *testing.T) {
	t.Parallel()
	ownList := func(text string) string {
		return text + "decisions: {never_block: [198.51.100.0/24]}\nlapi: {url: 'http://192.0.2.80:8080', key: a, update_frequency: 1h, proxy: 'http://127.0.0.1:1'}\n"
	}
	onMachine(t, ownList, func(h *harness, _ *interfaces, log *logged) {
		for address, whose := range map[string]string{
			"203.0.113.10": "it is an address of this machine", "2001:db8::10": "it is an address of this machine", "127.0.0.1": "it is a loopback address of this machine",
			"192.0.2.80": "it is the Local API's address", "192.0.2.1": "it is the appliance's address",
		} {
			if err := h.notify(alert(address, "")); err != nil {
				t.Fatal(err)
			}
			if got := h.recordedBans(); len(got) > 0 {
				t.Errorf("%s is banned: %s", address, got)
			}
			if !strings.Contains(log.String(), whose) {
				t.Errorf("the log lacks %q:\n%s", whose, log)
			}
		}
		if err := h.notify(alert("203.0.113.8/30", "")); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(h.recordedBans()); got != "[203.0.113.11/32 203.0.113.8/31]" {
			t.Errorf("a range around it: %s", got)
		}
	})
}

func TestABanEndsWhenThisMachineGetsItsAddress(t *testing.T) {
	t.Parallel()
	unchanged := func(text string) string { return text }
	onMachine(t, unchanged, func(h *harness, machine *interfaces, log *logged) {
		for _, banned := range []string{"203.0.113.20", "203.0.113.21", "198.51.100.0/31"} {
			if err := h.notify(alert(banned, "")); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(2 * time.Minute)
		if got := len(h.recordedBans()); got != 3 {
			t.Fatalf("%d banned at first", got)
		}
		machine.set(nil, "203.0.113.20/24", "198.51.100.1/24")
		time.Sleep(2 * time.Minute)
		if got := fmt.Sprint(h.recordedBans()); got != "[198.51.100.0/32 203.0.113.21/32]" {
			t.Errorf("banned: %s\n%s", got, log)
		}
	})
}

func TestARangeIsBlockedWholeAfterThisMachineLostItsAddress(t *testing.T) {
	t.Parallel()
	unchanged := func(text string) string { return text }
	onMachine(t, unchanged, func(h *harness, machine *interfaces, log *logged) {
		if err := h.notify(alert("203.0.113.10/31", "")); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(h.recordedBans()); got != "[203.0.113.11/32]" {
			t.Errorf("around the address: %s", got)
		}
		machine.set(nil, "192.0.2.10/24")
		time.Sleep(2 * time.Minute)
		if got := fmt.Sprint(h.recordedBans()); got != "[203.0.113.10/31]" {
			t.Errorf("without the address: %s\n%s", got, log)
		}
	})
}

func TestAProcessWithoutTheLeaseKnowsTheAddressesOfThisMachine(t *testing.T) {
	t.Parallel()
	var held *lease.Lease
	holdLease := func(text string) string {
		d, err := config.ParseOne([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if held, err = lease.Try(plugin.StateOf(d).Lease); err != nil || held == nil {
			t.Fatal(held, err)
		}
		return text
	}
	onMachine(t, holdLease, func(h *harness, machine *interfaces, _ *logged) {
		defer func() { _ = held.Release() }()
		machine.set(nil, "203.0.113.20/24")
		time.Sleep(2 * time.Minute)
		if err := h.notify(alert("203.0.113.20", "")); err != nil {
			t.Fatal(err)
		}
		if got := h.recordedBans(); len(got) > 0 {
			t.Errorf("banned: %s", got)
		}
	})
}

// nameAppliance changes the host of a configuration to a name.
func nameAppliance(text string) string {
	return strings.Replace(text, "host: 192.0.2.1", "host: fw.example.org", 1)
}

func TestABanEndsWhenAProtectedNameGetsItsAddress(t *testing.T) {
	t.Parallel()
	onMachine(t, nameAppliance, func(h *harness, machine *interfaces, log *logged) {
		for _, banned := range []string{"203.0.113.20", "203.0.113.21"} {
			if err := h.notify(alert(banned, "")); err != nil {
				t.Fatal(err)
			}
		}
		machine.setResolved("203.0.113.20")
		time.Sleep(2 * time.Minute)
		machine.setResolved("") // its address stays protected
		time.Sleep(2 * time.Minute)
		if err := h.notify(alert("203.0.113.20", "")); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(h.recordedBans()); got != "[203.0.113.21/32]" || !strings.Contains(log.String(), "it is the appliance's address") {
			t.Errorf("banned: %s\n%s", got, log)
		}
	})
}

func TestAddressesThatCannotBeReadStayProtectedAndAreLoggedOnce(t *testing.T) {
	t.Parallel()
	onMachine(t, nameAppliance, func(h *harness, machine *interfaces, log *logged) {
		machine.set(errors.New("no netlink"))
		time.Sleep(5 * time.Minute)
		if err := h.notify(alert("203.0.113.10", "")); err != nil {
			t.Fatal(err)
		}
		if got := h.recordedBans(); len(got) > 0 {
			t.Errorf("banned: %s", got)
		}
		for _, once := range []string{"no netlink", "name of the appliance cannot be resolved now"} {
			if n := strings.Count(log.String(), once); n != 1 {
				t.Errorf("%q is logged %d times:\n%s", once, n, log)
			}
		}
	})
}
