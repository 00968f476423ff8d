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
	// longestSocketPath is the kernel's limit, in bytes (unix(7)).
	longestSocketPath = 107
	// longestSocketFolder leaves room for the name of the socket.
	longestSocketFolder = longestSocketPath - len("/plugin4294967295")
)

// chooseSocketFolder makes go-plugin use the first folder in which a socket can be made. It tries the folder of CrowdSec's
// environment first. go-plugin alone uses TMPDIR or fails, and CrowdSec then does not start. The plugin has CrowdSec's
// TMPDIR and runs as another user: with libpam-tmpdir, only root can use that folder.
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

// firstForSocket returns the first folder in which a socket can be made. The error has the cause for each folder.
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

// trySocket makes a socket in a folder and removes it. Its name is as long as the longest one of go-plugin.
func trySocket(folder string) error {
	path := filepath.Join(folder, fmt.Sprintf("plugin%010d", rand.Uint32())) //nolint:gosec // a name, not a secret
	if len(path) > longestSocketPath {                                       // the error of the system is "invalid argument"
		return errors.New("the path is too long for a socket")
	}
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	var cause syscall.Errno
	if errors.As(err, &cause) {
		return cause // without the random name, so that the error reads the same each time
	}
	if err != nil {
		return err
	}
	return listener.Close() // removes the socket
}
