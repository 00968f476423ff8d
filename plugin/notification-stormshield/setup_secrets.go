package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"notification-stormshield/config"
)

// secretToPlace is a secret of the document, and the file to write it into.
type secretToPlace struct{ path, text string }

// nameSecretFiles replaces each secret of a document by the path of a file in dir,
// and returns the secrets to write into these files.
func nameSecretFiles(d *config.Document, dir string) []secretToPlace {
	var found []secretToPlace
	s := &d.Stormshield
	for _, f := range []struct {
		secret *config.Secret
		path   *string
		name   string
	}{
		{&s.SSHPassword, &s.SSHPasswordPath, "ssh_password"},
		{&s.SSHPrivateKeyPassphrase, &s.SSHPrivateKeyPassphrasePath, "ssh_private_key_passphrase"},
		{&s.APIPassword, &s.APIPasswordPath, "api_password"},
		{&d.LAPI.Key, &d.LAPI.APIKeyPath, "lapi_key"},
	} {
		if *f.secret == "" {
			continue
		}
		*f.path = filepath.Join(dir, d.Name+"."+f.name)
		found = append(found, secretToPlace{*f.path, f.secret.Reveal()})
		*f.secret = ""
	}
	return found
}

// placeSecrets writes the secrets into files that only the plugin's user can read.
// It overwrites no file.
func (s *setup) placeSecrets() error {
	if s.secretsDir == "" {
		return nil
	}
	uid, gid, err := s.pluginOwner()
	if err != nil {
		return fmt.Errorf("find the plugin's user: %w", err)
	}
	if err := os.MkdirAll(s.secretsDir, 0o755); err != nil { //nolint:gosec // the plugin's user must get through to its files, which have 0600
		return fmt.Errorf("make the folder of the secrets: %w", err)
	}
	for _, secret := range nameSecretFiles(&s.document, s.secretsDir) {
		err := placeFile(secret.path, []byte(secret.text+"\n"), func(path string) error {
			if uid == os.Geteuid() {
				return nil
			}
			return os.Chown(path, uid, gid)
		})
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%s exists, and nothing is overwritten (hint: remove it, or name another --secrets-dir)", secret.path)
		}
		if err != nil {
			return fmt.Errorf("write a secret: %w", err)
		}
		s.secrets = append(s.secrets, secret.path)
		fmt.Fprintf(s.out, "\nWritten: %s", secret.path)
		s.undo = append(s.undo, "rm "+inShell(secret.path))
	}
	return nil
}

// removeSecrets removes the files that placeSecrets made.
func (s *setup) removeSecrets() {
	for _, path := range s.secrets {
		if err := os.Remove(path); err != nil {
			s.warn("%v", err)
		}
	}
	s.secrets = nil
}
