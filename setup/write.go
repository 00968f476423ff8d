package setup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"

	"notification-stormshield/config"
)

// writeFiles writes the files of the secrets and of the notification, and makes the state folder.
func (s *setup) writeFiles() error {
	err := os.Mkdir(s.crowdsec.NotificationDir, 0o755) //nolint:gosec // CrowdSec's own has this mode, and its files have 0600
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make the notifications folder: %w", err)
	}
	if s.SecretsDir != "" {
		if err := s.writeSecrets(); err != nil {
			return err
		}
	}
	if err := createFile(s.File, []byte(config.FillSample(s.document)), s.checkAnswersIn); err != nil {
		return fmt.Errorf("write %s: %w", s.File, err)
	}
	fmt.Fprintf(s.Out, "\nWritten: %s\n", s.File)
	s.addWritten(s.File)
	if err := s.makeStateDir(); err != nil {
		s.warn("%v (hint: it must belong to the user that plugin_config in %s names)", err, s.crowdsec.File)
	}
	return nil
}

func (s *setup) addWritten(path string) {
	s.done = append(s.done, change{"rm " + shellWord(path), func(context.Context) error { return os.Remove(path) }})
}

// checkAnswersIn returns an error if the plugin would read other values than the answers from a file.
func (s *setup) checkAnswersIn(path string) error {
	documents, err := config.Load(path)
	if err != nil {
		return err
	}
	read, want := documents[0], s.document
	if len(documents) != 1 || read.Name != want.Name || read.StateDir != want.StateDir || !reflect.DeepEqual(read.Stormshield, want.Stormshield) ||
		read.StateURL != want.StateURL || read.StatePassword != want.StatePassword || read.StatePasswordPath != want.StatePasswordPath ||
		read.StateMachine != want.StateMachine ||
		read.LAPI.URL != want.LAPI.URL || read.LAPI.Key != want.LAPI.Key || read.LAPI.APIKeyPath != want.LAPI.APIKeyPath ||
		!slices.Equal(read.Decisions.NeverBlock, want.Decisions.NeverBlock) {
		return errors.New("the file cannot hold one of the answers as it was given")
	}
	return nil
}

// secretFile is a secret, and the file to write it into.
type secretFile struct{ path, text string }

// moveSecrets replaces each secret of a document by the path of a file in dir, and returns these files.
func moveSecrets(d *config.Document, dir string) []secretFile {
	var files []secretFile
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
		{&d.StatePassword, &d.StatePasswordPath, "state_password"},
	} {
		if *f.secret == "" {
			continue
		}
		*f.path = filepath.Join(dir, d.Name+"."+f.name)
		files = append(files, secretFile{*f.path, f.secret.Reveal()})
		*f.secret = ""
	}
	return files
}

// writeSecrets writes the secrets into files that only the plugin's user can read.
func (s *setup) writeSecrets() error {
	uid, gid, err := s.pluginOwner()
	if err != nil {
		return fmt.Errorf("find the plugin's user: %w", err)
	}
	if err := os.MkdirAll(s.SecretsDir, 0o755); err != nil { //nolint:gosec // the plugin's user must get through to its files, which have 0600
		return fmt.Errorf("make the folder of the secrets: %w", err)
	}
	for _, secret := range moveSecrets(&s.document, s.SecretsDir) {
		err := createFile(secret.path, []byte(secret.text+"\n"), func(path string) error {
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
		fmt.Fprintf(s.Out, "\nWritten: %s", secret.path)
		s.addWritten(secret.path)
	}
	return nil
}

// makeStateDir makes the state folder for the plugin's user. It does not change a folder that exists.
func (s *setup) makeStateDir() error {
	dir := s.document.StateDir
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if os.Geteuid() != 0 {
		return fmt.Errorf("the state folder %s is missing, and only root can make it", dir)
	}
	uid, gid, err := s.pluginOwner()
	if err != nil {
		return fmt.Errorf("make the state folder %s: %w", dir, err)
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil { //nolint:gosec // the plugin's user must get through to its own folder
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	s.done = append(s.done, change{undo: func(context.Context) error {
		_ = os.Remove(dir) // fails if the folder has files by now, which stay
		return nil
	}})
	fmt.Fprintf(s.Out, "Made:    %s\n", dir)
	return os.Chown(dir, uid, gid)
}

// pluginOwner returns the user and group that CrowdSec runs plugins as.
func (s *setup) pluginOwner() (uid, gid int, err error) {
	name, group := s.crowdsec.PluginAccount()
	if name == "" {
		return os.Geteuid(), os.Getegid(), nil // CrowdSec's own user
	}
	owner, err := user.Lookup(name)
	if err != nil {
		return 0, 0, err
	}
	if group != "" {
		found, err := user.LookupGroup(group)
		if err != nil {
			return 0, 0, err
		}
		owner.Gid = found.Gid
	}
	uid, uidErr := strconv.Atoi(owner.Uid)
	gid, gidErr := strconv.Atoi(owner.Gid)
	return uid, gid, errors.Join(uidErr, gidErr)
}
