package snstest

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// toolbox makes the PATH of SSH commands: that of this machine and the appliance's own programs, or a folder of links in which
// some programs are missing or replaced. A link goes to the real path, for programs that look at their own name.
type toolbox struct {
	replace  map[string]string
	firmware string // the folder of the appliance's own programs

	mu      sync.Mutex
	folders map[string]string // by the missing and broken tools
}

// posixTools are the programs in a folder in which some are missing. To link all programs of this machine takes long.
const posixTools = `[ awk basename cat chgrp chmod chown cksum cmp comm cp csh cut date dd df diff dirname du echo ed env expr
	false find fold grep head id join kill ln logname ls mkdir mkfifo mktemp mv nice nohup od paste printf ps pwd rm rmdir sed
	seq sh sleep sort split stat stty sum sync tail tee test touch tr true tty umask uname uniq wc which who xargs`

func (b *toolbox) path(missing []string, broken map[string]string) (string, error) {
	key := strings.Join(slices.Sorted(slices.Values(missing)), "\x00")
	for _, name := range slices.Sorted(maps.Keys(broken)) {
		key += "\x00\x00" + name + "\x00" + broken[name]
	}
	usual := len(missing) == 0 // a replaced tool comes first in the PATH
	b.mu.Lock()
	defer b.mu.Unlock()
	if folder, ok := b.folders[key]; ok {
		return searchPath(folder, usual), nil
	}
	folder, err := os.MkdirTemp("", "snstest-tools-")
	if err != nil {
		return "", err
	}
	if err := b.fill(folder, missing, broken); err != nil {
		return "", fmt.Errorf("make a folder of tools: %w", errors.Join(err, os.RemoveAll(folder)))
	}
	if b.folders == nil {
		b.folders = map[string]string{}
	}
	b.folders[key] = folder
	return searchPath(folder, usual), nil
}

// searchPath is the folder alone, or before the machine's PATH if its tools are the usual ones.
func searchPath(folder string, usual bool) string {
	if usual {
		return folder + string(filepath.ListSeparator) + os.Getenv("PATH")
	}
	return folder
}

func (b *toolbox) fill(folder string, missing []string, broken map[string]string) error {
	if err := os.Chmod(folder, 0o755); err != nil {
		return err
	}
	made := map[string]bool{}
	for _, name := range missing {
		made[name] = true
	}
	for name, text := range broken {
		if made[name] {
			continue
		}
		made[name] = true
		if err := os.WriteFile(filepath.Join(folder, name), []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
			return err
		}
	}
	links := map[string]string{}
	for _, name := range firmwareTools {
		links[name] = filepath.Join(b.firmware, name)
	}
	maps.Copy(links, b.replace)
	for name, program := range links {
		if made[name] {
			continue
		}
		made[name] = true
		if err := os.Symlink(program, filepath.Join(folder, name)); err != nil {
			return err
		}
	}
	if len(missing) == 0 {
		return nil
	}
	for name := range strings.FieldsSeq(posixTools) {
		program, err := exec.LookPath(name)
		if err != nil || made[name] {
			continue // this machine need not have all
		}
		if err := os.Symlink(program, filepath.Join(folder, name)); err != nil {
			return err
		}
	}
	return nil
}

func (b *toolbox) close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	var err error
	for _, folder := range b.folders {
		err = errors.Join(err, os.RemoveAll(folder))
	}
	b.folders = nil
	return err
}

// shellCommand prepares the process of an SSH command: the login shell with -c, changed by the faults.
func (a *Appliance) shellCommand(f *Faults, line string) (*exec.Cmd, error) {
	path, err := a.toolbox.path(f.MissingTools, f.BrokenTools)
	if err != nil {
		return nil, err
	}
	args := []string{a.options.LoginShell, "-c", line}
	switch {
	case f.InsteadOfShell != "":
		args = []string{"/bin/sh", "-c", f.InsteadOfShell}
	case f.ShellPrints != "":
		const noisy = `printf "%s\n" "$NOISE"; printf "%s\n" "$NOISE" >&2; "$0" "$@"; s=$?; ` +
			`printf "%s\n" "$NOISE"; printf "%s\n" "$NOISE" >&2; exit $s`
		args = append([]string{"/bin/sh", "-c", noisy}, args...)
	}
	if f.DiskFullAfter > 0 {
		// POSIX counts in blocks of 512 bytes. Without the trap the writer would die of the signal.
		limit := fmt.Sprintf(`trap "" XFSZ; ulimit -f %d && exec "$0" "$@"`, (f.DiskFullAfter+511)/512)
		args = append([]string{"/bin/sh", "-c", limit}, args...)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = a.disk.root
	cmd.Env = []string{
		"PATH=" + path, "HOME=" + a.disk.root, "TMPDIR=" + a.disk.root, "SHELL=" + a.options.LoginShell,
		"USER=" + a.options.User, "LOGNAME=" + a.options.User, "NOISE=" + f.ShellPrints, "COMMAND=" + line,
	}
	return cmd, nil
}
