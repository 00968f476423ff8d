package flushtest

import (
	"errors"

	"notification-stormshield/appliance"
	"notification-stormshield/stormshield/snstest"
)

// BrokenTools returns tools of the appliance with a broken replacement of each, for [snstest.Faults]. A flush works with each.
func BrokenTools() map[string]string {
	return map[string]string{
		"cksum": "echo 0 0",
		"awk":   "echo 'awk: cmd. line:67: broken' >&2; exit 2",
		"tail":  "exec /bin/cat",
		"mv":    `test "$1" = -i && shift && set -- -f "$@"; exec /bin/mv "$@"`, // it never asks
		"sync":  "exit 1",
		"ln":    "exit 1",
	}
}

// FailedWrites returns faults with which no file can be written.
func FailedWrites() map[string]func(*snstest.Faults) {
	return map[string]func(*snstest.Faults){
		"read-only":             func(f *snstest.Faults) { f.ReadOnlyDir = true },
		"disk full":             func(f *snstest.Faults) { f.DiskFullAfter = 512 },
		"disk full at a copy":   func(f *snstest.Faults) { f.BrokenTools = map[string]string{"cp": "exit 1"} },
		"disk full, sent whole": func(f *snstest.Faults) { f.DiskFullAfter, f.MissingTools = 512, []string{"awk"} },
	}
}

// OtherEncodings returns faults with which the API answers in another encoding than the client asks for.
func OtherEncodings() map[string]func(*snstest.Faults) {
	return map[string]func(*snstest.Faults){
		"gzip that nobody asked for":    func(f *snstest.Faults) { f.CompressAnyway = true },
		"Latin-1 that is not declared":  func(f *snstest.Faults) { f.Latin1, f.Language = true, "fr" },
		"Latin-1, compressed with gzip": func(f *snstest.Faults) { f.Latin1, f.Language, f.CompressAnyway = true, "fr", true },
	}
}

// EndlessObjectFile makes the file object endless for a client that reads it.
func EndlessObjectFile(f *snstest.Faults) {
	f.BrokenTools = map[string]string{"cat": `case "$*" in */object) exec /bin/cat /dev/zero;; esac; exec /bin/cat "$@"`}
}

// FailedLogin returns the failed login in an error; nil: there is none.
func FailedLogin(err error) *appliance.LoginError {
	var login *appliance.LoginError
	errors.As(err, &login)
	return login
}
