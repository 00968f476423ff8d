package config

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"strconv"
	"strings"
)

// longestSecret is how long the first line of a secret's file may be, in bytes.
const longestSecret = 4096

// secretFile is a secret, and the path of the file that may hold it.
type secretFile struct {
	key    string
	path   string
	secret *Secret
}

func (d *Document) secretFiles() []secretFile {
	s := &d.Stormshield
	return []secretFile{
		{"lapi.api_key_path", d.LAPI.APIKeyPath, &d.LAPI.Key},
		{"stormshield.ssh_password_path", s.SSHPasswordPath, &s.SSHPassword},
		{"stormshield.ssh_private_key_passphrase_path", s.SSHPrivateKeyPassphrasePath, &s.SSHPrivateKeyPassphrase},
		{"stormshield.api_password_path", s.APIPasswordPath, &s.APIPassword},
	}
}

// ReadSecrets sets each secret whose file the document names. The first line of
// the file, without its end, is the secret. A file that cannot be used is a fault
// of the configuration: the error is an [*Error] with all of them.
//
// Call it as the user that runs the plugin, so that the error says what the
// plugin would say. A document that has read its secrets does not pass Validate
// any more, because each of them is there twice.
func (d *Document) ReadSecrets() error {
	var faults []Fault
	for _, f := range d.secretFiles() {
		if f.path == "" {
			continue
		}
		secret, err := readSecret(f.path)
		if err != nil {
			faults = append(faults, Fault{Document: d.Name, Key: f.key, Problem: err.Error(), Hint: readersHint(f.path)})
			continue
		}
		*f.secret = secret
	}
	return errorOf(faults)
}

func readSecret(path string) (Secret, error) {
	// A pipe without a writer would not open.
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s is not a file", path)
	}
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	if info, err = file.Stat(); err != nil {
		return "", err
	}
	if mode := info.Mode().Perm(); mode&0o007 != 0 {
		return "", fmt.Errorf("%s (mode %#o) is open to every user of this machine", path, mode)
	}
	line, err := bufio.NewReader(io.LimitReader(file, longestSecret+1)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	if len(line) > longestSecret {
		return "", fmt.Errorf("the first line of %s is longer than %d bytes", path, longestSecret)
	}
	line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
	switch {
	case line == "":
		return "", fmt.Errorf("the first line of %s is empty", path)
	case !isOneLine(line):
		return "", fmt.Errorf("the first line of %s holds a control character", path)
	}
	return Secret(line), nil
}

// readersHint says which user must be able to read a secret's file.
func readersHint(path string) string {
	name := strconv.Itoa(os.Geteuid())
	if who, err := user.LookupId(name); err == nil {
		name = who.Username
	}
	return fmt.Sprintf("write the secret into its first line, and let only the user %s, which this process runs as, read it: "+
		"chown %[1]s %[2]s && chmod 600 %[2]s", name, path)
}
