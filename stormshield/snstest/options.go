package snstest

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"time"
)

// CertificateKind is the kind of the HTTPS API's certificate.
type CertificateKind int

const (
	// FactoryCertificate is signed by a CA of the appliance's own; its common name is the serial number and it has
	// no subject alternative name, as factory certificates have (vendor's Python client, DNSResolverHTTPSAdapter).
	FactoryCertificate CertificateKind = iota
	// ModernCertificate is signed by a CA of the appliance's own and is valid for localhost and the loopback addresses.
	ModernCertificate
	// SelfSigned is its own issuer and is valid for localhost and the loopback addresses.
	SelfSigned
)

// Options describe the appliance that New makes. The zero value is usable.
type Options struct {
	// Dir is the folder that stands for the appliance's disk. Its files are kept. Empty: a temporary folder, which Close
	// removes.
	Dir string
	// FolderLink adds a link to the configuration folder, at the path that the vendor's scripts use. See Appliance.LinkedConfigDir.
	FolderLink bool
	// LoginShell runs every SSH command, as LoginShell -c COMMAND. Default /bin/sh; some appliances may have /bin/csh. New
	// fails if this machine lacks it.
	LoginShell string
	// User and Password are the account for SSH and the API. Defaults: DefaultUser, DefaultPassword.
	User, Password string
	// OtherUsers are more accounts with the same password and rights. The appliance tells two machines with the same address apart by
	// their accounts, if each machine uses one account for SSH and the API.
	OtherUsers []string
	// NoSSH serves the API only. Another program may serve Dir over SSH.
	NoSSH bool
	// Certificate is the kind of the API's certificate.
	Certificate CertificateKind
	// SerialNumber is also the name in a factory certificate. Default DefaultSerialNumber.
	SerialNumber string
	// Language is that of the messages: "en" (default) or "fr". Codes never change.
	Language string
	// Listen is the loopback address that both servers listen on, default 127.0.0.1. A port in it is ignored.
	Listen string
	// APIPort and SSHPort are the ports; 0 takes any.
	APIPort, SSHPort int
	// Link is the network between clients and both ports. The zero value is the loopback interface as it is.
	Link Link
	// HighAvailability makes the appliance the active one of a pair, as SYSTEM PROPERTY and HA INFO say.
	HighAvailability bool
	// SessionIdle ends an API session that has run no command for so long, default 5 minutes.
	SessionIdle time.Duration
	// BruteForceLock is how long three failures in a row lock web and SSH, default 60 s.
	BruteForceLock time.Duration
	// Tools replaces programs of this machine for SSH commands, by name and absolute path, e.g. "awk":
	// "/usr/bin/original-awk".
	Tools map[string]string
}

// Defaults of Options.
const (
	DefaultUser         = "admin"
	DefaultPassword     = "Correct-Horse+7 é"
	DefaultSerialNumber = "VMSNSX09L0639A9"
	// PeerSerialNumber is the serial number of the other appliance of a pair.
	PeerSerialNumber = "VMSNSX09L0640B9"
)

// Limits of the appliance.
const (
	mostSessions    = 20 // API sessions at once (an EVA2)
	mostFailures    = 3  // failed logins in a row before web and SSH are locked
	mostSSHAttempts = 6  // in one connection, as OpenSSH's MaxAuthTries
)

func (o *Options) setDefaults() error {
	setDefault(&o.LoginShell, "/bin/sh")
	setDefault(&o.User, DefaultUser)
	setDefault(&o.Password, DefaultPassword)
	setDefault(&o.SerialNumber, DefaultSerialNumber)
	setDefault(&o.Language, "en")
	setDefault(&o.Listen, "127.0.0.1")
	setDefault(&o.SessionIdle, 5*time.Minute)
	setDefault(&o.BruteForceLock, time.Minute)
	if host, _, err := net.SplitHostPort(o.Listen); err == nil {
		o.Listen = host
	}
	if o.Listen == "localhost" {
		o.Listen = "127.0.0.1"
	}
	return o.check()
}

func (o *Options) hasUser(name string) bool {
	return name == o.User || slices.Contains(o.OtherUsers, name)
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (o *Options) check() error {
	if ip := net.ParseIP(o.Listen); ip == nil || !ip.IsLoopback() {
		return fmt.Errorf("the simulated appliance listens on the loopback interface only, not on %q", o.Listen)
	}
	if o.Language != "en" && o.Language != "fr" {
		return fmt.Errorf("language %q: choose en or fr", o.Language)
	}
	if !o.NoSSH {
		if err := executable(o.LoginShell); err != nil {
			return fmt.Errorf("login shell %s is not usable on this machine (csh comes with the package tcsh): %w", o.LoginShell, err)
		}
	}
	if o.Link.BitsPerSecond < 0 || o.Link.RoundTrip < 0 {
		return fmt.Errorf("link %d bit/s, %s: neither can be negative", o.Link.BitsPerSecond, o.Link.RoundTrip)
	}
	for name, path := range o.Tools {
		if err := executable(path); err != nil {
			return fmt.Errorf("tool %s: %w", name, err)
		}
	}
	return nil
}

func executable(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.IsDir() || info.Mode()&0o111 == 0 {
		return fmt.Errorf("%s is not an executable file", path)
	}
	return nil
}

func address(host string, port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }
