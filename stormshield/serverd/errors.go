package serverd

import (
	"errors"
	"fmt"
	"time"
)

// AuthError says that the appliance refused the login. Another attempt brings
// the account nearer to a lock-out, or prolongs one.
type AuthError struct {
	Msg   string        // AUTH_FAILED, NEED_TOTP_AUTH or ERR_BRUTEFORCE
	Delay time.Duration // how long the appliance wants to be left alone; 0: not said
}

func (e *AuthError) Error() string {
	switch e.Msg {
	case "AUTH_FAILED":
		return "the appliance refused the account or its password (AUTH_FAILED)"
	case "NEED_TOTP_AUTH":
		return "the appliance asks this account for a one-time password (NEED_TOTP_AUTH), which no program can give"
	case "ERR_BRUTEFORCE":
		return fmt.Sprintf("the appliance has locked logins from here after failed attempts (ERR_BRUTEFORCE), for another %s", e.Delay)
	}
	return fmt.Sprintf("the appliance refused the login (%.60q)", e.Msg)
}

func authError(r root) error {
	if r.Msg == "" {
		return fmt.Errorf("the appliance answered the login with code %d and no message", r.Code)
	}
	return &AuthError{Msg: r.Msg, Delay: time.Duration(max(0, min(r.Delay, 86400))) * time.Second}
}

// RootError says that a command did not reach serverd: the session is over,
// or serverd is not there.
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

// CommandError says that serverd refused a command.
type CommandError struct {
	Ret  int
	Code string
	Msg  string
}

func (e *CommandError) Error() string {
	meaning := "the appliance refused the command"
	switch e.Ret {
	case RetAuthentication:
		meaning = "the appliance refused the login"
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

// Refused reports whether err says that serverd understood the session but
// refused the command itself, so that sending it again changes nothing.
func Refused(err error) bool {
	var command *CommandError
	return errors.As(err, &command) && (command.Ret == 200 || command.Ret == 201)
}

// NoRight reports whether err says that the account lacks a right.
func NoRight(err error) bool {
	var command *CommandError
	return errors.As(err, &command) && command.Ret == RetPrivilege
}

// AuthFailed reports whether err says that the appliance refused the login,
// and for how long it wants to be left alone, if it said so.
func AuthFailed(err error) (delay time.Duration, failed bool) {
	var auth *AuthError
	if errors.As(err, &auth) {
		return auth.Delay, true
	}
	var root *RootError
	var command *CommandError
	return 0, errors.As(err, &root) && root.Code == 205 || errors.As(err, &command) && command.Ret == RetAuthentication
}
