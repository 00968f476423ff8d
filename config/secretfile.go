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

// secret returns the key that holds the secret itself. This key holds the path of a file with the secret.
func (k key) secret() key {
	secret, _ := findKey(k.section, k.fileOf)
	return secret
}

// ReadSecrets sets each secret whose file the document names. The first line of
// the file, without its line end, is the secret. The error is an [*Error] with a
// fault for each file that cannot be used.
//
// Call it as the plugin's user, so that it finds the same faults as the plugin. Afterwards Validate refuses the document,
// because it has a secret and the path of its file.
func (d *Document) ReadSecrets() error {
	var faults []Fault
	for _, k := range keys {
		path := ""
		if k.fileOf != "" {
			path = k.in(d).String()
		}
		if path == "" {
			continue
		}
		secret, err := readSecret(path)
		if err != nil {
			faults = append(faults, Fault{Document: d.Name, Key: k.path(), Problem: err.Error(), Hint: readersHint(path)})
			continue
		}
		k.secret().in(d).SetString(secret)
	}
	return errorOf(faults)
}

// HasSecret reports whether the document itself holds a secret. A secret in another file does not count, unless ReadSecrets has read it.
func (d *Document) HasSecret() bool {
	for _, k := range keys {
		if k.fileOf != "" && k.secret().in(d).String() != "" {
			return true
		}
	}
	return false
}

func readSecret(path string) (string, error) {
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
	return line, nil
}

// readersHint returns a hint with the user that must be able to read the file.
func readersHint(path string) string {
	name := strconv.Itoa(os.Geteuid())
	if account, err := user.LookupId(name); err == nil {
		name = account.Username
	}
	return fmt.Sprintf("write the secret into the first line, and let only the user %s read the file, whom this process runs as: "+
		"chown %[1]s %[2]s && chmod 600 %[2]s", name, path)
}
