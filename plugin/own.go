package plugin

import (
	"context"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/hashicorp/go-hclog"

	"notification-stormshield/config"
)

// ownEvery is how often the machine's addresses are read and names resolved again.
const ownEvery = time.Minute

// ownAddresses finds the addresses of this machine, of the appliance and of the
// Local API. A ban of one of them could cut the connection that removes the ban.
type ownAddresses struct {
	interfaces func() ([]net.Addr, error)
	lookup     func(ctx context.Context, name string) ([]netip.Addr, error)
	log        hclog.Logger
	appliance  string // an address or a name
	port       int    // of its API
	localAPI   string // an address or a name; "" if there is none

	machine  []netip.Addr            // the last that were read
	resolved map[string][]netip.Addr // the last addresses of each name
	warned   map[string]bool         // what failed and was logged
}

func newOwnAddresses(d config.Document, options Options, log hclog.Logger) *ownAddresses {
	o := &ownAddresses{
		interfaces: options.Interfaces, lookup: options.Resolve, log: log,
		appliance: d.Stormshield.Host, port: d.Stormshield.APIPort, localAPI: d.LAPI.Host(),
		resolved: map[string][]netip.Addr{}, warned: map[string]bool{},
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

// read returns the addresses, each with a text that names its owner. An address that
// cannot be read now stays as it was. ctx bounds the time to resolve names.
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
	if err != nil {
		o.warn("interfaces", "the addresses of this machine cannot be read now, so a new one is not protected from being blocked",
			"error", err, "hint", "list them under never_block")
		return o.machine
	}
	o.warned["interfaces"] = false
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

// resolve returns the addresses of a host, none if it is "".
func (o *ownAddresses) resolve(ctx context.Context, host, whose string) []netip.Addr {
	if host == "" {
		return nil
	}
	addresses := []netip.Addr{}
	if address, err := netip.ParseAddr(host); err == nil {
		addresses = append(addresses, address)
	} else if addresses, err = o.lookup(ctx, host); err != nil {
		if ctx.Err() != context.Canceled {
			o.warn(host, "the name of the "+whose+" cannot be resolved now, so only its last known address is protected from being blocked",
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
	o.warned[host], o.resolved[host] = false, kept
	return kept
}

// warn logs a failure once, until it is over.
func (o *ownAddresses) warn(what, text string, args ...any) {
	if !o.warned[what] {
		o.warned[what] = true
		o.log.Warn(text, args...)
	}
}

// sourceTowards returns the address that this machine uses towards another. It
// sends nothing.
func sourceTowards(ctx context.Context, address netip.Addr, port int) (netip.Addr, bool) {
	connection, err := new(net.Dialer).DialContext(ctx, "udp", net.JoinHostPort(address.String(), strconv.Itoa(port)))
	if err != nil {
		return netip.Addr{}, false
	}
	defer connection.Close()
	local, err := netip.ParseAddrPort(connection.LocalAddr().String())
	return local.Addr().WithZone("").Unmap(), err == nil
}

// watchOwnAddresses reads the addresses again every minute, in each process, because each records. The enforcer of the
// process that holds the lease then ends the bans that cover a new one.
func (n *notification) watchOwnAddresses(ctx context.Context) {
	tick := time.NewTicker(ownEvery)
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
