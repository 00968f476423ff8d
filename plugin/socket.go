package plugin

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	goplugin "github.com/hashicorp/go-plugin"
)

const (
	// longestSocketPath is what the kernel takes, in bytes (unix(7)).
	longestSocketPath = 107
	// longestSocketFolder leaves room for the name of the socket.
	longestSocketFolder = longestSocketPath - len("/plugin4294967295")
)

// chooseSocketFolder has go-plugin make its socket in the first folder that takes
// one: the folder that CrowdSec's environment names, else another. go-plugin alone
// would use TMPDIR or fail, and CrowdSec does not start when it fails. The plugin
// has CrowdSec's TMPDIR, but is another user: a TMPDIR of root alone is the rule
// with libpam-tmpdir.
func chooseSocketFolder() error {
	var folders []string
	if named := os.Getenv(goplugin.EnvUnixSocketDir); named != "" {
		folders = append(folders, named)
	}
	folder, err := firstForSocket(append(folders, os.TempDir(), "/tmp", "/run", "/var/tmp", "/dev/shm"))
	if err != nil {
		return err
	}
	return os.Setenv(goplugin.EnvUnixSocketDir, folder)
}

// firstForSocket returns the first folder that takes a socket. The error has what
// failed in each.
func firstForSocket(folders []string) (string, error) {
	var failures []string
	for _, folder := range folders {
		err := trySocket(folder)
		if err == nil {
			return folder, nil
		}
		failures = append(failures, fmt.Sprintf("%s: %v", folder, err))
	}
	return "", errors.New(strings.Join(failures, "; "))
}

// trySocket makes a socket in a folder and removes it. Its name is as long as the
// longest name that go-plugin gives.
func trySocket(folder string) error {
	path := filepath.Join(folder, fmt.Sprintf("plugin%010d", rand.Uint32())) //nolint:gosec // a name, and no secret
	if len(path) > longestSocketPath {                                       // the system would say "invalid argument"
		return errors.New("the path is too long for a socket")
	}
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	var cause syscall.Errno
	if errors.As(err, &cause) {
		return cause // without the name, which is another each time
	}
	if err != nil {
		return err
	}
	return listener.Close() // this removes the socket
}
