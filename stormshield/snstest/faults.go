package snstest

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// Faults are the switches of everything that can go wrong, and of every behaviour no source settles. The zero value is
// an appliance in good health. Appliance.SetFaults changes them at any moment.
type Faults struct {
	// SSHRefuse and APIRefuse close the port: connections are cut, new ones are refused.
	SSHRefuse, APIRefuse bool
	// SSHHang accepts connections and sends nothing. On open connections it runs no further command and answers no
	// keepalive request.
	// APIHang accepts requests and never answers. Both go on where they stopped once the switch is off.
	SSHHang, APIHang bool
	// SSHCutAfterUpload cuts the connection once a command was given so many bytes on its standard input. The command
	// gets those bytes and then end of file, as from OpenSSH, and goes on.
	SSHCutAfterUpload int
	// Delay holds back each SSH command and each API request for so long.
	Delay time.Duration

	// APIStatus answers every request with this HTTP status (e.g. 503) and no XML.
	APIStatus int
	// APIPage answers requests whose path begins with it, such as "/" or "/api/command", with an HTML page for browsers.
	// Its HTTP status is APIStatus, or 200. An appliance sends a page with status 405 to a client that its web
	// administration does not allow.
	APIPage string
	// CompressAnyway compresses every answer with gzip, also for a client that asks for identity.
	CompressAnyway bool
	// Latin1 sends every answer in ISO-8859-1, and does not declare that.
	Latin1 bool
	// MalformedXML spoils the XML of every answer; the command was carried out.
	MalformedXML bool
	// TruncateBody sends half of every answer and cuts the connection; the command was carried out.
	TruncateBody bool
	// RootCode answers every command with this root code (203, 204, 205, 500, 501, 502, 900) without running it.
	RootCode int
	// Ret answers commands that begin with a key (upper case, e.g. "MONITOR ADDRESSLIST ADD"; "" is every command)
	// with this ret. Below 200 the command is carried out first, otherwise it is not.
	Ret map[string]int
	// Answer decides for each command, given as sent: a root code other than 0 is used like RootCode, a ret other than 0 like Ret.
	Answer func(command string) (rootCode, ret int) `json:"-"`
	// Language overrides Options.Language: "en" or "fr".
	Language string

	// ExpireSessionAfter ends a session (root code 204, later 203) when it has run so many commands.
	ExpireSessionAfter int
	// NoMonWrite takes mon_write from the account: MODIFY MONITOR answers ret 205. It concerns sessions opened later.
	NoMonWrite bool
	// NoModify takes modify from the account: MODIFY ON answers ret 205. It concerns sessions opened later.
	NoModify bool
	// NeedTOTP asks the web login for a one-time password, which is 123456.
	NeedTOTP bool

	// LoginMessage answers every web log-in with this message, such as ERR_BRUTEFORCE or one that no client knows.
	// LoginDelay is the attribute delay of the answer; empty: none.
	LoginMessage, LoginDelay string

	// NoIPv6 refuses IPv6 addresses (ret 200) and passes over IPv6 members of a group.
	NoIPv6 bool
	// DeleteUnknownFails makes DELETE of something not on the list answer ret 200 instead of 100.
	DeleteUnknownFails bool
	// NetworksRefused is what NoIPv6 is for networks.
	NetworksRefused bool
	// RenewalIgnored makes ADD of what is listed answer ret 100 and leave its time as it is.
	RenewalIgnored bool
	// MonitorIsNotEnough makes changes of the address lists ask for the configuration right.
	MonitorIsNotEnough bool
	// ShowOtherwise prints the blacklist in the format section_line, with other names.
	ShowOtherwise bool
	// ShowRanges prints the blacklist as the vendor's reference does: range1=FIRST:LAST range2=FIRST:LAST timeout=SECONDS.
	ShowRanges bool
	// ShowSectionLine prints the blacklist in the format section_line instead of raw, under the usual names.
	ShowSectionLine bool
	// ShowExtra is a line that is printed before the blacklist.
	ShowExtra string
	// StaleUntilReload lets sessions see the files as the last session before saw them, until enobject ran.
	StaleUntilReload bool
	// EmptyGroupBreaks answers root code 501 when the files a session sees have a group without members.
	EmptyGroupBreaks bool

	// SerialNumber replaces the serial number of the options in the answer to SYSTEM PROPERTY. When it changes, another
	// appliance answers, such as the other member of an HA pair after a failover: it has the same files, no session and
	// an empty blacklist.
	SerialNumber string
	// NoSerialNumber leaves the serial number out of the answer to SYSTEM PROPERTY.
	NoSerialNumber bool

	// MissingTools are programs SSH commands do not find in their PATH, e.g. cksum, awk, cp. What the shell has
	// built in stays.
	MissingTools []string
	// BrokenTools puts a text for /bin/sh in the place of programs that SSH commands find in their PATH, e.g.
	// "cksum": "echo 0 0" for a wrong sum, or "mv": "exec /bin/mv -f \"$2\" \"$3\"" for an mv that never asks.
	BrokenTools map[string]string
	// ObjectIsLink makes the file object a symbolic link, to a folder beside the configuration folder.
	ObjectIsLink bool
	// ReadOnlyDir takes the right to write in the configuration folder and its files from SSH commands.
	ReadOnlyDir bool
	// DiskFullAfter makes writes of SSH commands fail beyond so many bytes in one file (rounded up to 512). The
	// message is "File too large", not "No space left on device": it is done with the shell's file size limit.
	DiskFullAfter int64

	// InsteadOfShell is a text for /bin/sh that runs instead of every SSH command: "echo SRPClient"
	// for nsrpc as login shell (CLIShell=1), "true" for a ForceCommand, "echo not available; exit 1" for nologin. $COMMAND is
	// the command.
	InsteadOfShell string
	// ShellPrints is what the login shell prints by itself, on standard output and on standard error, before and after
	// each command: a noisy .cshrc, a message of the day.
	ShellPrints string
	// SSHMaxSessions limits the sessions open at once on one SSH connection; 0 is no limit. One that was closed counts
	// for a tenth of a second more, as with sshd, which waits for its child.
	SSHMaxSessions int
	// NoKeyboardInteractive, NoPassword and PublicKeyOnly take SSH authentication methods away.
	NoKeyboardInteractive, NoPassword, PublicKeyOnly bool
	// LoginAnswer is the reaction of the SSH server to a password, an answer or a signature, instead of a login:
	//	close            it ends the connection without an answer
	//	reset            the same, by a TCP reset
	//	silence          nothing, until the switch changes
	//	change           it asks for a new password (SSH_MSG_USERAUTH_PASSWD_CHANGEREQ); only a password is answered so
	//	second-method    it accepts a right secret, and also wants keyboard-interactive (partial success)
	//	second-question  keyboard-interactive asks "Verification code:" after the right password
	//	two-questions    keyboard-interactive asks "Password:" and "Verification code:" together
	LoginAnswer string
	// HostKeys are the kinds of host key that the SSH server has, of ed25519, ecdsa (P-256) and rsa. Empty: ed25519.
	HostKeys []string
	// HostCertificates adds to each host key a certificate of the appliance's own CA (see Appliance.HostCA).
	HostCertificates bool
	// LegacyAlgorithmsOnly offers only what old OpenSSH did: diffie-hellman-group1-sha1 and group14-sha1, ssh-rsa,
	// aes128-cbc and 3des-cbc, hmac-sha1. The host key is then another one, of type RSA.
	LegacyAlgorithmsOnly bool
}

func (f *Faults) clone() *Faults {
	c := *f
	c.Ret = maps.Clone(f.Ret)
	c.MissingTools = slices.Clone(f.MissingTools)
	c.HostKeys = slices.Clone(f.HostKeys)
	c.BrokenTools = maps.Clone(f.BrokenTools)
	return &c
}

// faultBox holds the switches in force. What it hands out is never changed afterwards.
type faultBox struct {
	mu      sync.Mutex
	current *Faults
	changed chan struct{}
}

func newFaultBox() *faultBox {
	return &faultBox{current: &Faults{}, changed: make(chan struct{})}
}

// now returns the switches in force and a channel closed when they change.
func (b *faultBox) now() (*Faults, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.current, b.changed
}

// set puts changed switches in force after apply has done what they need outside this box.
func (b *faultBox) set(edit func(*Faults), apply func(*Faults)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	next := b.current.clone()
	edit(next)
	next = next.clone()
	apply(next)
	b.current = next
	close(b.changed)
	b.changed = make(chan struct{})
}

// SetFaults changes the switches; edit sees those in force. They hold for everything that begins afterwards.
func (a *Appliance) SetFaults(edit func(*Faults)) { a.faults.set(edit, a.applyFaults) }

// Faults returns a copy of the switches in force.
func (a *Appliance) Faults() Faults {
	f, _ := a.faults.now()
	return *f.clone()
}

func (a *Appliance) applyFaults(f *Faults) {
	a.apiGate.refuse(f.APIRefuse)
	if a.sshGate != nil {
		a.sshGate.refuse(f.SSHRefuse)
	}
	a.hostKeys.signers(f)                                // now, so that no connection waits for a key to be made
	if f.SerialNumber != a.faults.current.SerialNumber { // set holds the lock of faults
		a.desk.clear()
		a.blacklist.flush()
	}
	a.disk.setReadOnly(f.ReadOnlyDir)
	a.disk.setLinked(f.ObjectIsLink)
	_, _ = a.toolbox.path(f.MissingTools, f.BrokenTools) // now, so that no command takes longer for it; one says what failed
}

// pause waits for the delay and for the end of a hang. It reports false when the caller should give up.
func (a *Appliance) pause(gone <-chan struct{}, hangs func(*Faults) bool) bool {
	f, _ := a.faults.now()
	if f.Delay > 0 {
		timer := time.NewTimer(f.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-gone:
			return false
		case <-a.ctx.Done():
			return false
		}
	}
	return a.pauseWhile(gone, hangs)
}

// pauseWhile is pause without the delay.
func (a *Appliance) pauseWhile(gone <-chan struct{}, hangs func(*Faults) bool) bool {
	f, changed := a.faults.now()
	for hangs(f) {
		select {
		case <-changed:
			f, changed = a.faults.now()
		case <-gone:
			return false
		case <-a.ctx.Done():
			return false
		}
	}
	return true
}
