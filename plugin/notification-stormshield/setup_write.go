package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"

	"notification-stormshield/config"
)

// write puts the notification's file in its place, and makes the state folder.
func (s *setup) write() error {
	if err := os.Mkdir(s.place.NotificationDir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) { //nolint:gosec // CrowdSec's own has this mode, and its files have 0600
		return fmt.Errorf("make the notifications folder: %w", err)
	}
	err := s.placeSecrets()
	if err != nil {
		return err
	}
	err = placeFile(s.file, []byte(config.FillSample(s.document)), s.readsAsMeant)
	if err != nil {
		return fmt.Errorf("write %s: %w", s.file, err)
	}
	fmt.Fprintf(s.out, "\nWritten: %s\n", s.file)
	s.undo = append(s.undo, "rm "+inShell(s.file))
	if err := s.makeStateDir(); err != nil {
		s.warn("%v (hint: it must belong to the user that plugin_config in %s names)", err, s.place.File)
	}
	return nil
}

// readsAsMeant demands that a file says what was answered.
func (s *setup) readsAsMeant(path string) error {
	documents, err := config.Load(path)
	if err != nil {
		return err
	}
	read, meant := documents[0], s.document
	if len(documents) != 1 || read.Name != meant.Name || read.StateDir != meant.StateDir || read.Stormshield != meant.Stormshield ||
		read.LAPI.URL != meant.LAPI.URL || read.LAPI.Key != meant.LAPI.Key || read.LAPI.APIKeyPath != meant.LAPI.APIKeyPath || !slices.Equal(read.Decisions.NeverBlock, meant.Decisions.NeverBlock) {
		return errors.New("an answer cannot be written so that it is read as it was given")
	}
	return nil
}

// makeStateDir makes the state folder for the user that the plugin runs as. One
// that is there stays as it is.
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
	s.madeState = true
	fmt.Fprintf(s.out, "Made:    %s\n", dir)
	return os.Chown(dir, uid, gid)
}

// pluginOwner is who CrowdSec runs plugins as.
func (s *setup) pluginOwner() (uid, gid int, err error) {
	name, group := s.place.PluginUser, s.place.PluginGroup
	if name == "" && s.place.HasPluginConfig {
		return os.Geteuid(), os.Getegid(), nil // CrowdSec's own user
	}
	if name == "" {
		name = "nobody"
	}
	who, err := user.Lookup(name)
	if err != nil {
		return 0, 0, err
	}
	if group != "" {
		its, err := user.LookupGroup(group)
		if err != nil {
			return 0, 0, err
		}
		who.Gid = its.Gid
	}
	uid, wrongUser := strconv.Atoi(who.Uid)
	gid, wrongGroup := strconv.Atoi(who.Gid)
	return uid, gid, errors.Join(wrongUser, wrongGroup)
}

// try runs `check`, once. It is a process of its own, for it gives up root, and
// then sees whether the plugin's user can read what it must.
func (s *setup) try(ctx context.Context) error {
	fmt.Fprint(s.out, "\nTrying it: ")
	program, err := os.Executable()
	if err != nil {
		return err
	}
	check := exec.CommandContext(ctx, program, "check", "--unnamed", "-c", s.file, "-n", s.name) //nolint:gosec // this program itself
	check.Args[0] = os.Args[0]
	check.Stdout, check.Stderr = s.out, s.stderr
	failed := check.Run()
	if failed == nil {
		return nil
	}
	if ctx.Err() == nil && !s.yes {
		fmt.Fprintln(s.out, "\nCrowdSec starts with it all the same, and the plugin goes on trying.")
		if keep, err := s.dialogue.confirm(ctx, "Keep "+s.file+" all the same?"); err == nil && keep {
			return nil
		}
	}
	if s.madeState {
		_ = os.Remove(s.document.StateDir) // stays if somebody has put something in
	}
	s.removeSecrets()
	s.removeBouncer(context.WithoutCancel(ctx))
	return errors.Join(os.Remove(s.file), fmt.Errorf("%s did not work, and is removed; profiles are as they were (hint: put right what is WRONG above, "+
		"and run this again; no login is tried by itself. --no-check writes it without trying)", s.file))
}

// show is the end of a dry run.
func (s *setup) show(ctx context.Context) error {
	d := s.document
	if s.secretsDir != "" {
		nameSecretFiles(&d, s.secretsDir)
	}
	for _, secret := range []*config.Secret{&d.Stormshield.SSHPassword, &d.Stormshield.SSHPrivateKeyPassphrase, &d.Stormshield.APIPassword} {
		if *secret != "" {
			*secret = "***"
		}
	}
	fmt.Fprintf(s.out, "\nThis would be %s:\n\n%s", s.file, config.FillSample(d))
	if err := s.profiles(ctx); err != nil {
		return err
	}
	fmt.Fprintln(s.out, "\nNothing was written.")
	return nil
}
