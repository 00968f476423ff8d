package snstest

import (
	_ "embed"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// Faults are the switches of everything that can go wrong, and of every behaviour that no source settles. The zero value
// is a healthy appliance. Appliance.SetFaults changes them at any time. This comment and those of the fields are the only
// description of the faults; DescribeFaults prints them.
type Faults struct {
	// SSHRefuse and APIRefuse close the port. Its connections are cut, and new ones are refused.
	SSHRefuse, APIRefuse bool
	// SSHHang accepts connections and sends nothing. On open connections it runs no further command and answers no
	// keepalive request.
	// APIHang accepts requests and does not answer. Both continue when the switch is off.
	SSHHang, APIHang bool
	// SSHCutAfterUpload cuts the connection after a command got so many bytes on its standard input. The command gets
	// those bytes and then end of file, as from OpenSSH, and continues.
	SSHCutAfterUpload int
	// Delay holds back each SSH command and each API request for this time.
	Delay time.Duration

	// APIStatus answers every request with this HTTP status (e.g. 503) and no XML.
	APIStatus int
	// APIPage answers requests whose path begins with it, such as "/" or "/api/command", with an HTML page for browsers.
	// The HTTP status is APIStatus, or 200. A real appliance sends a page with status 405 to a client that its web
	// administration does not allow.
	APIPage string
	// CompressAnyway compresses every answer with gzip, also for a client that asks for identity.
	CompressAnyway bool
	// Latin1 sends every answer in ISO-8859-1, and does not declare that.
	Latin1 bool
	// MalformedXML breaks the XML of every answer. The command is run before.
	MalformedXML bool
	// TruncateBody sends half of every answer and cuts the connection. The command is run before.
	TruncateBody bool
	// RootCode answers every command with this root code (203, 204, 205, 500, 501, 502, 900) and does not run it.
	RootCode int
	// Ret answers commands that begin with a key (upper case, e.g. "MONITOR ADDRESSLIST ADD"; "" is every command)
	// with this ret. The command is run before if the ret is below 200, and is not run otherwise.
	Ret map[string]int
	// Answer decides for each command, as it was sent. A root code other than 0 is used like RootCode, and a ret other
	// than 0 like Ret.
	Answer func(command string) (rootCode, ret int) `json:"-"`
	// Language overrides Options.Language: "en" or "fr".
	Language string

	// ExpireSessionAfter ends a session when it has run so many commands: root code 204 first, then 203.
	ExpireSessionAfter int
	// NoMonWrite takes the privilege mon_write from the account: MODIFY MONITOR answers ret 205. It applies to sessions
	// that are opened later.
	NoMonWrite bool
	// NoModify takes the privilege modify from the account: MODIFY ON answers ret 205. It applies to sessions that are
	// opened later.
	NoModify bool
	// NoLog takes the privilege log from the account: MONITOR FLUSH STATE answers ret 205. It applies to sessions that are
	// opened later.
	NoLog bool
	// NeedTOTP asks the web login for a one-time password, which is 123456.
	NeedTOTP bool

	// CertificateAlert refuses a client certificate by a TLS alert instead of AUTH_FAILED.
	CertificateAlert bool
	// LoginMessage answers every web login with this message, such as ERR_BRUTEFORCE or one that no client knows.
	// LoginDelay is the attribute delay of that answer. Empty: none.
	LoginMessage, LoginDelay string

	// NoIPv6 refuses IPv6 addresses (ret 200) and skips the IPv6 members of a group.
	NoIPv6 bool
	// NetworksRefused refuses networks and skips the networks of a group.
	NetworksRefused bool
	// DeleteUnknownFails makes DELETE answer ret 200 instead of 100 if it finds no entry.
	DeleteUnknownFails bool
	// RenewalIgnored makes ADD keep the time of an existing entry. It answers ret 100.
	RenewalIgnored bool
	// MonitorIsNotEnough makes changes of the address lists need the configuration right.
	MonitorIsNotEnough bool
	// ShowOtherwise prints the blacklist in the format section_line, with names that no source shows.
	ShowOtherwise bool
	// ShowRanges prints the blacklist as the vendor's reference does: range1=FIRST:LAST range2=FIRST:LAST timeout=SECONDS.
	ShowRanges bool
	// ShowSectionLine prints the blacklist in the format section_line instead of raw, with the usual names.
	ShowSectionLine bool
	// ShowExtra is a line that is printed before the blacklist.
	ShowExtra string
	// StaleUntilReload lets a session see the files as the session before it saw them, until enobject runs.
	StaleUntilReload bool
	// EmptyGroupBreaks answers root code 501 if the files that the session sees have a group without members.
	EmptyGroupBreaks bool

	// EnobjectSuffices lets the running rules see the members of their groups after enobject. Without it, the rules must also be
	// loaded after enobject, by enfilter -u or CONFIG SLOT ACTIVATE. FilesSuffice lets the running rules see the files at once.
	EnobjectSuffices, FilesSuffice bool
	// RefusedTools are programs of the appliance, enobject and enfilter, that end with status 1 and a message.
	RefusedTools []string
	// FilterActivateLoads lets CONFIG FILTER ACTIVATE also load the active slot, as SNS 5.0.6 does.
	FilterActivateLoads bool
	// PaddedSlots prints the number of the active slot with two digits.
	PaddedSlots bool
	// FilterCounters prints each rule after counters that change, and without its position, as SNS 4.2.4 does if a command has
	// the argument start. It prints each separator with the number of its rules.
	FilterCounters bool
	// UseCloneRefused refuses the argument useclone. The list without it is that of the copy.
	UseCloneRefused bool
	// MonitorShowsMembers lets MONITOR FILTER print the addresses of a group instead of its name.
	MonitorShowsMembers bool
	// ShowRuleNames prints the names of rules. No source shows such a list.
	ShowRuleNames bool
	// NoFilter takes the privilege filter from the account, which keeps filter_read. It applies to sessions that are opened
	// later.
	NoFilter bool
	// Step is called before each API command, enobject and enfilter. It is called again when the command has run, before the answer
	// (ran is true). It may do anything with the appliance, such as a reboot. If it returns true, the connection is cut there.
	Step func(command string, ran bool) (cut bool) `json:"-"`

	// SerialNumber replaces the serial number of the options in the answer to SYSTEM PROPERTY. When it changes, another
	// appliance answers, such as the other member of an HA pair after a failover: it has the same files, no session and
	// an empty blacklist.
	SerialNumber string
	// Version replaces the version of the firmware in the answer to SYSTEM PROPERTY.
	Version string
	// NoSerialNumber leaves the serial number out of the answer to SYSTEM PROPERTY.
	NoSerialNumber bool

	// Passive makes the appliance the passive one of its pair.
	Passive bool
	// HAInfo replaces the text that HA INFO prints, and prints it in the format raw.
	HAInfo string

	// MissingTools are programs that SSH commands do not find in their PATH, e.g. cksum, awk, cp. Programs that the
	// shell has built in stay.
	MissingTools []string
	// BrokenTools replaces programs in the PATH of SSH commands by a text for /bin/sh, e.g. "cksum": "echo 0 0" for a
	// wrong sum, or "mv": "exec /bin/mv -f \"$2\" \"$3\"" for an mv that never asks.
	BrokenTools map[string]string
	// ObjectIsLink makes the file object a symbolic link, to a folder beside the configuration folder.
	ObjectIsLink bool
	// ReadOnlyDir denies SSH commands writing in the configuration folder and in its files.
	ReadOnlyDir bool
	// DiskFullAfter makes writes of SSH commands fail beyond so many bytes in one file, rounded up to 512. The message
	// is "File too large", not "No space left on device", because the shell's file size limit does it.
	DiskFullAfter int64

	// InsteadOfShell is a text for /bin/sh that runs instead of every SSH command: "echo SRPClient" for nsrpc as login
	// shell (CLIShell=1), "true" for a ForceCommand, "echo not available; exit 1" for nologin. $COMMAND is the command.
	InsteadOfShell string
	// ShellPrints is a text that the login shell prints on standard output and on standard error, before and after each
	// command, as a noisy .cshrc does.
	ShellPrints string
	// SSHMaxSessions limits the sessions that are open at once on one SSH connection; 0 is no limit. A closed session
	// counts for a tenth of a second more, as with sshd, which waits for its child.
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
	// LegacyAlgorithmsOnly offers only the algorithms of old OpenSSH: diffie-hellman-group1-sha1 and group14-sha1,
	// ssh-rsa, aes128-cbc and 3des-cbc, hmac-sha1. The host key is then another one, of type RSA.
	LegacyAlgorithmsOnly bool
}

//go:embed faults.go
var faultsSource string

// DescribeFaults returns the fields of Faults with their comments, as the source has them.
func DescribeFaults() string {
	_, fields, _ := strings.Cut(faultsSource, "type Faults struct {\n")
	fields, _, _ = strings.Cut(fields, "\n}\n")
	var text strings.Builder
	for line := range strings.Lines(fields + "\n") {
		text.WriteString(strings.TrimPrefix(line, "\t"))
	}
	return text.String()
}

func (f *Faults) clone() *Faults {
	c := *f
	c.Ret = maps.Clone(f.Ret)
	c.MissingTools = slices.Clone(f.MissingTools)
	c.RefusedTools = slices.Clone(f.RefusedTools)
	c.HostKeys = slices.Clone(f.HostKeys)
	c.BrokenTools = maps.Clone(f.BrokenTools)
	return &c
}

// faultStore holds the faults in force. A Faults that it returns is never changed afterwards.
type faultStore struct {
	mu      sync.Mutex
	inForce *Faults
	changed chan struct{}
}

func newFaultStore() *faultStore {
	return &faultStore{inForce: &Faults{}, changed: make(chan struct{})}
}

// current returns the faults in force, and a channel that closes when they change.
func (s *faultStore) current() (*Faults, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inForce, s.changed
}

// SetFaults changes the faults. edit gets a copy of those in force. They apply to everything that begins afterwards.
func (a *Appliance) SetFaults(edit func(*Faults)) {
	s := a.faults
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.inForce.clone()
	edit(next)
	next = next.clone() // edit may keep what it was given
	a.applyFaults(s.inForce, next)
	s.inForce = next
	close(s.changed)
	s.changed = make(chan struct{})
}

// Faults returns a copy of the faults in force.
func (a *Appliance) Faults() Faults {
	f, _ := a.faults.current()
	return *f.clone()
}

// applyFaults does at once what would otherwise delay the next connection or command.
func (a *Appliance) applyFaults(before, after *Faults) {
	a.apiGate.refuse(after.APIRefuse)
	if a.sshGate != nil {
		a.sshGate.refuse(after.SSHRefuse)
	}
	a.hostKeys.signers(after)
	if after.SerialNumber != before.SerialNumber {
		a.sessions.clear()
		a.blacklist.flush()
	}
	a.disk.setReadOnly(after.ReadOnlyDir)
	a.disk.setLinked(after.ObjectIsLink)
	_, _ = a.toolbox.path(after.MissingTools, after.BrokenTools) // a command reports the error
}

// step calls Faults.Step.
func (a *Appliance) step(command string, ran bool) (cut bool) {
	f, _ := a.faults.current()
	return f.Step != nil && f.Step(command, ran)
}

// pause waits for Faults.Delay, and then while the faults hang. It returns false when gone or the appliance ends first.
func (a *Appliance) pause(gone <-chan struct{}, hangs func(*Faults) bool) bool {
	if f, _ := a.faults.current(); f.Delay > 0 {
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
	return a.waitWhile(gone, hangs)
}

// waitWhile is pause without the delay.
func (a *Appliance) waitWhile(gone <-chan struct{}, hangs func(*Faults) bool) bool {
	f, changed := a.faults.current()
	for hangs(f) {
		select {
		case <-changed:
			f, changed = a.faults.current()
		case <-gone:
			return false
		case <-a.ctx.Done():
			return false
		}
	}
	return true
}
