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

// longestSecret is the greatest length of a secret in a file, in bytes.
const longestSecret = 4096

// secretFile is the path of a file that holds a secret, and where to put the secret.
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
// the file, without its line end, is the secret. The error is an [*Error] with a
// fault for each file that cannot be used.
//
// Call it as the plugin's user, so that it finds the same faults as the plugin.
// Afterwards the document does not pass Validate, which refuses a secret beside
// the path of its file.
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
	// To open a pipe would wait for a writer.
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s is not a regular file", path)
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

// readersHint returns the hint that names the user who must read a secret's file.
func readersHint(path string) string {
	name := strconv.Itoa(os.Geteuid())
	if who, err := user.LookupId(name); err == nil {
		name = who.Username
	}
	return fmt.Sprintf("write the secret into the first line, and let only the user %s read the file, whom this process runs as: "+
		"chown %[1]s %[2]s && chmod 600 %[2]s", name, path)
}
