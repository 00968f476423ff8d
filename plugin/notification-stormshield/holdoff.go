package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"notification-stormshield/appliance"
	"notification-stormshield/config"
	"notification-stormshield/plugin"
	"notification-stormshield/plugin/enforcer"
)

// loginHoldOff is the hold-off that the commands share with the plugin.
type loginHoldOff struct {
	store       plugin.LoginHoldOff
	path        string // of this machine's file
	credentials string
}

// holdOffOf returns the hold-off of a configuration whose secrets were read. The end of the command closes its database.
func holdOffOf(d config.Document) (loginHoldOff, error) {
	store, _, err := plugin.OpenLoginHoldOff(d)
	return loginHoldOff{store, plugin.StateOf(d).Lockout, plugin.Credentials(d)}, err
}

// prepareLogin reads the secrets of a configuration, and returns an error during a hold-off.
func prepareLogin(d *config.Document) (loginHoldOff, error) {
	if err := readSecrets(d); err != nil {
		return loginHoldOff{}, err
	}
	h, err := holdOffOf(*d)
	if err != nil {
		return h, err
	}
	return h, h.check()
}

// check returns an error during a hold-off.
func (h loginHoldOff) check() error {
	current, found, err := h.store.Current(h.credentials, time.Now())
	if err != nil || !found {
		return err
	}
	return fmt.Errorf("no login is tried before %s; %d failed in a row, the last: %s (hint: %s)",
		current.Until.Local().Format(time.DateTime), current.Failures, current.Reason, current.Advice())
}

// record records the result of logins. It makes a missing file only in a folder that this user alone can write to:
// elsewhere the plugin may run as another user, who could not open the file.
func (h loginHoldOff) record(result error) error {
	var failed *appliance.LoginError
	if errors.As(result, &failed) {
		if _, err := os.Stat(h.path); err != nil && !isOwnFolder(filepath.Dir(h.path)) {
			return nil
		}
		_, err := h.store.RecordFailure(h.credentials, enforcer.FailureOf(failed), time.Now())
		return err
	}
	if result == nil {
		return h.store.RecordSuccess(h.credentials)
	}
	return nil
}

// isOwnFolder reports whether this process's user owns a folder, and nobody else can write to it.
func isOwnFolder(path string) bool {
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm()&0o022 != 0 {
		return false
	}
	owner, err := plugin.OwnerOf(path)
	return err == nil && owner.UID == os.Geteuid()
}
