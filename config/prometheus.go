package config

import (
	"net"
	"net/netip"
	"strconv"
)

// Prometheus is the listener for the metrics and the status page. The documents of one process share it.
type Prometheus struct {
	Enabled bool `key:"enabled"`
	// ListenAddr is an IP address, without brackets.
	ListenAddr string `key:"listen_addr" default:"127.0.0.1" required:"write 127.0.0.1" rule:"listen_addr"`
	ListenPort int    `key:"listen_port" default:"60602" range:"1..65535"`
	// WebConfigPath is a web configuration file of Prometheus's exporter-toolkit, for TLS and passwords; "": none.
	WebConfigPath string `key:"web_config_path" rule:"absolute"`
}

// Address returns the address to listen on, with its port.
func (p Prometheus) Address() string {
	return net.JoinHostPort(p.ListenAddr, strconv.Itoa(p.ListenPort))
}

// IsLoopback reports whether only programs on this machine reach the listener.
func (p Prometheus) IsLoopback() bool {
	address, err := netip.ParseAddr(p.ListenAddr)
	return err == nil && address.IsLoopback()
}

// Disagrees reports whether two documents want different listeners. One process has one listener.
func (p Prometheus) Disagrees(other Prometheus) bool { return p.Enabled && other.Enabled && p != other }

// canonicalAddress returns an IP address in its one spelling. Other text stays.
func canonicalAddress(text string) string {
	if address, err := netip.ParseAddr(unbracketed(text)); err == nil {
		return address.Unmap().String()
	}
	return text
}

func isListenAddress(text string) bool {
	address, err := netip.ParseAddr(text)
	return err == nil && !address.IsMulticast()
}
