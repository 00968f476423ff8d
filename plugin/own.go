package plugin

import (
	"context"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/hashicorp/go-hclog"

	"notification-stormshield/config"
	"notification-stormshield/plugin/failures"
)

// ownAddressesEvery is how often the plugin reads the machine's addresses, and resolves names.
const ownAddressesEvery = time.Minute

// ownAddresses finds the addresses of this machine, of the appliance and of the Local API. A ban of one of them could cut the
// connection that removes the ban.
type ownAddresses struct {
	interfaces func() ([]net.Addr, error)
	lookup     func(ctx context.Context, name string) ([]netip.Addr, error)
	log        hclog.Logger
	appliance  string // an address or a name
	port       int    // of its API
	localAPI   string // an address or a name; "" if there is none

	machine  []netip.Addr            // the addresses of this machine when they were last read
	resolved map[string][]netip.Addr // the last addresses of each name
	failures map[string]*failures.Log
}

func newOwnAddresses(d config.Document, options Options, log hclog.Logger) *ownAddresses {
	o := &ownAddresses{
		interfaces: options.Interfaces, lookup: options.Resolve, log: log,
		appliance: d.Stormshield.Host, port: d.Stormshield.APIPort, localAPI: d.LAPI.Host(),
		resolved: map[string][]netip.Addr{}, failures: map[string]*failures.Log{},
	}
	if o.interfaces == nil {
		o.interfaces = net.InterfaceAddrs
	}
	if o.lookup == nil {
		o.lookup = func(ctx context.Context, name string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", name)
		}
	}
	return o
}

// read returns the addresses, each with a text that names its owner. If they cannot be read now, it returns the last ones. It
// resolves names within the given time.
func (o *ownAddresses) read(ctx context.Context, within time.Duration) map[netip.Addr]string {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	found := map[netip.Addr]string{}
	for _, address := range o.resolve(ctx, o.localAPI, "Local API") {
		found[address] = "the Local API's address"
	}
	for _, address := range o.resolve(ctx, o.appliance, "appliance") {
		found[address] = "the appliance's address"
		if source, ok := sourceTowards(ctx, address, o.port); ok {
			found[source] = "an address of this machine"
		}
	}
	for _, address := range o.readMachine() {
		found[address] = "an address of this machine"
	}
	return found
}

// readMachine returns the addresses of all interfaces.
func (o *ownAddresses) readMachine() []netip.Addr {
	addresses, err := o.interfaces()
	failed := o.failuresOf("interfaces")
	if err != nil {
		failed.Failed(hclog.Warn, "the addresses of this machine cannot be read now, so a new one is not protected from being blocked",
			"error", err, "hint", "list them under never_block")
		return o.machine
	}
	failed.Succeeded("the addresses of this machine are read again")
	o.machine = nil
	for _, address := range addresses {
		if prefix, ok := address.(*net.IPNet); ok {
			if ip, ok := netip.AddrFromSlice(prefix.IP); ok {
				o.machine = append(o.machine, ip.Unmap())
			}
		}
	}
	return o.machine
}

// resolve returns the addresses of a host. It returns none for "".
func (o *ownAddresses) resolve(ctx context.Context, host, whose string) []netip.Addr {
	if host == "" {
		return nil
	}
	failed, addresses := o.failuresOf(host), []netip.Addr{}
	if address, err := netip.ParseAddr(host); err == nil {
		addresses = append(addresses, address)
	} else if addresses, err = o.lookup(ctx, host); err != nil {
		if ctx.Err() != context.Canceled {
			failed.Failed(hclog.Warn, "the name of the "+whose+" cannot be resolved now, so only its last known address is protected from being blocked",
				"host", host, "error", err, "hint", "write its address instead of the name, or list it under never_block")
		}
		return o.resolved[host]
	}
	kept := make([]netip.Addr, 0, len(addresses))
	for _, address := range addresses {
		if address = address.WithZone("").Unmap(); !address.IsUnspecified() {
			kept = append(kept, address)
		}
	}
	failed.Succeeded("the name of the " + whose + " is resolved again")
	o.resolved[host] = kept
	return kept
}

// failuresOf returns the log of the failures to read one source of addresses.
func (o *ownAddresses) failuresOf(source string) *failures.Log {
	if o.failures[source] == nil {
		o.failures[source] = failures.NewLog(o.log)
	}
	return o.failures[source]
}

// sourceTowards returns this machine's address in a connection to another. It sends nothing.
func sourceTowards(ctx context.Context, address netip.Addr, port int) (netip.Addr, bool) {
	connection, err := new(net.Dialer).DialContext(ctx, "udp", net.JoinHostPort(address.String(), strconv.Itoa(port)))
	if err != nil {
		return netip.Addr{}, false
	}
	defer connection.Close()
	local, err := netip.ParseAddrPort(connection.LocalAddr().String())
	return local.Addr().WithZone("").Unmap(), err == nil
}

// watchOwnAddresses reads the addresses every minute. Each process does that, because each records. The enforcer of the process
// that holds the lease then ends the bans that cover a new address.
func (n *notification) watchOwnAddresses(ctx context.Context) {
	tick := time.NewTicker(ownAddressesEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if n.filter.Own.Set(n.own.read(ctx, 10*time.Second)) {
			n.enforcer.ReapplyFilter()
		}
	}
}
