package serverd

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// AuthError says that the appliance answered a login and did not accept it. Another
// attempt may cause a lock-out or prolong one.
type AuthError struct {
	Msg   string        // such as AUTH_FAILED, NEED_TOTP_AUTH or ERR_BRUTEFORCE
	Delay time.Duration // how long the appliance asks to wait; 0: it names no time
	Err   error         // why it opened no session after it accepted the account; otherwise nil
	// ByCertificate says that a client certificate was used instead of a password. Msg may then be a TLS alert.
	ByCertificate bool

	refused bool // the answer has the root code of a failed authentication, or is a TLS alert about the certificate
}

// Messages of a login (vendor's Python client).
const (
	msgSuccess = "AUTH_SUCCESS"
	msgFailed  = "AUTH_FAILED"
	msgTOTP    = "NEED_TOTP_AUTH"
	msgLocked  = "ERR_BRUTEFORCE"
)

// Refused reports whether the appliance refused the account, its password or its certificate. It is
// false if the same login may succeed later: logins from this address are locked for
// a time, or the message is unknown.
func (e *AuthError) Refused() bool {
	return e.refused || e.Msg == msgFailed || strings.HasPrefix(e.Msg, "NEED_")
}

// Locked reports whether the appliance locks all logins from this address.
func (e *AuthError) Locked() bool { return e.Msg == msgLocked }

// NeedsTOTP reports whether the appliance asks for a one-time password.
func (e *AuthError) NeedsTOTP() bool { return e.Msg == msgTOTP }

func (e *AuthError) Error() string {
	switch {
	case e.ByCertificate && e.Refused() && !e.NeedsTOTP():
		return fmt.Sprintf("the appliance refused the client certificate (%.60s)", e.Msg)
	case e.Msg == msgFailed:
		return "the appliance refused the account or its password (AUTH_FAILED)"
	case e.NeedsTOTP():
		return "the appliance asks this account for a one-time password (NEED_TOTP_AUTH), which no program can give"
	case e.Locked() && e.Delay == 0:
		return "the appliance has locked logins from here after failed attempts (ERR_BRUTEFORCE), and does not say for how long"
	case e.Locked():
		return fmt.Sprintf("the appliance has locked logins from here after failed attempts (ERR_BRUTEFORCE), for another %.0f s", e.Delay.Seconds())
	case e.Err != nil && e.ByCertificate:
		return fmt.Sprintf("the appliance accepted the client certificate and opened no session: %v", e.Err)
	case e.Err != nil:
		return fmt.Sprintf("the appliance accepted the password and opened no session: %v", e.Err)
	case e.Refused():
		return fmt.Sprintf("the appliance refused the login (%.60q)", e.Msg)
	}
	return fmt.Sprintf("the appliance did not accept the login, with an unknown message (%.60q)", e.Msg)
}

func (e *AuthError) Unwrap() error { return e.Err }

// delayOf reads a number of seconds; 0 for any other text.
func delayOf(text string) time.Duration {
	seconds, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil {
		return 0
	}
	return time.Duration(max(0, min(seconds, 86400))) * time.Second
}

// HTTPError says that the answer does not come from the API: its HTTP status is not
// 200, or it is a page for browsers.
type HTTPError struct {
	Status string // such as "405 Method Not Allowed"
	Code   int
	Page   bool // HTML
}

func (e *HTTPError) Error() string {
	if e.Page {
		return "the answer is a page for browsers and not one of the API (HTTP " + e.Status + ")"
	}
	return "the appliance answered HTTP " + e.Status
}

// RootError says that a command did not reach serverd: the session has ended, or
// serverd is not there.
type RootError struct {
	Code int
	Msg  string
}

func (e *RootError) Error() string {
	meaning, known := map[int]string{
		200: "request error", 201: "unknown command", 202: "command error", 203: "the session is not valid",
		204: "the session has expired", 205: "authentication failed", 206: "a transfer is pending", 207: "a transfer is pending",
		500: "the appliance is overheated", 501: "serverd cannot be reached; a configuration file may be broken",
		502: "serverd disconnected", 900: "internal error of the appliance",
	}[e.Code]
	if !known {
		meaning = "error"
	}
	return fmt.Sprintf("%s (API code %d, %.80q)", meaning, e.Code, e.Msg)
}

// IsSessionEnded reports whether the session or its login is not valid any more.
func (e *RootError) IsSessionEnded() bool { return e.Code >= 203 && e.Code <= rootAuthentication }

// CommandError says that serverd refused a command.
type CommandError struct {
	Ret  int
	Code string
	Msg  string
	// Lines are further lines of the answer, such as the faults of a policy with ret 201.
	Lines []string
}

func (e *CommandError) Error() string {
	meaning := "the appliance refused the command"
	switch e.Ret {
	case RetAuthentication:
		meaning = "the appliance does not allow this to the account"
	case 203:
		meaning = "the session was idle for too long"
	case RetTooMany:
		meaning = "too many sessions hold this right"
	case RetPrivilege:
		meaning = "the account has no right to this"
	case 206:
		meaning = "the appliance's licence does not cover this"
	}
	return fmt.Sprintf("%s (ret %d, code %s, %.120q)", meaning, e.Ret, e.Code, e.Msg)
}

// IsRefused reports whether err says that serverd refused the command itself. It
// refuses the same command again.
func IsRefused(err error) bool {
	var command *CommandError
	return errors.As(err, &command) && (command.Ret == 200 || command.Ret == 201)
}

// IsForbidden reports whether err says that the account lacks a right. After a login,
// ret 202 is not about the password.
func IsForbidden(err error) bool {
	var command *CommandError
	return errors.As(err, &command) && (command.Ret == RetPrivilege || command.Ret == RetAuthentication)
}
