package snstest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// The two files of the object base, in the configuration folder.
const (
	ObjectFile = "object"
	GroupFile  = "objectgroup"
)

// disk is the folder that stands for the appliance's disk.
type disk struct {
	root, config string
	temporary    bool
	readOnly     bool // guarded by the fault box

	mu sync.Mutex // held during an administrator's edit
}

// openDisk makes the folders, and the files if they do not exist.
func openDisk(dir string) (*disk, error) {
	d := &disk{root: dir}
	if dir == "" {
		temporary, err := os.MkdirTemp("", "snstest-")
		if err != nil {
			return nil, err
		}
		d.root, d.temporary = temporary, true
	}
	root, err := filepath.Abs(d.root)
	if err != nil {
		return nil, err
	}
	d.root = root
	d.config = filepath.Join(root, "data", "Main", "ConfigFiles")
	if err := os.MkdirAll(d.config, 0o755); err != nil {
		return nil, err
	}
	for file, text := range map[string]string{ObjectFile: administratorsObjects, GroupFile: administratorsGroups} {
		if _, err := os.Stat(d.path(file)); errors.Is(err, fs.ErrNotExist) {
			if err := os.WriteFile(d.path(file), []byte(text), 0o644); err != nil {
				return nil, err
			}
		}
	}
	return d, nil
}

// linked is the second path of the configuration folder.
func (d *disk) linked() string { return filepath.Join(d.root, "usr", "Firewall", "ConfigFiles") }

// addLink makes the second path a link.
func (d *disk) addLink() error {
	if err := os.MkdirAll(filepath.Dir(d.linked()), 0o755); err != nil {
		return err
	}
	if err := os.Symlink(filepath.Join("..", "..", "data", "Main", "ConfigFiles"), d.linked()); !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

func (d *disk) path(file string) string { return filepath.Join(d.config, file) }

// close gives write permissions back, and removes a temporary disk.
func (d *disk) close() error {
	d.setReadOnly(false)
	d.setLinked(false)
	if d.temporary {
		return os.RemoveAll(d.root)
	}
	return nil
}

// setReadOnly removes or restores the permission to write in the configuration folder and its files.
func (d *disk) setReadOnly(readOnly bool) {
	if d.readOnly == readOnly {
		return
	}
	d.readOnly = readOnly
	dirMode, fileMode := os.FileMode(0o755), os.FileMode(0o644)
	if readOnly {
		dirMode, fileMode = 0o555, 0o444
	}
	for _, file := range []string{ObjectFile, GroupFile} {
		_ = os.Chmod(d.path(file), fileMode) // a file that is absent has no permissions
	}
	if err := os.Chmod(d.config, dirMode); err != nil {
		panic(fmt.Sprintf("snstest: change permissions of %s: %v", d.config, err))
	}
}

// setLinked moves the file object beside the configuration folder and makes a link to it, or moves it back.
func (d *disk) setLinked(linked bool) {
	path, beside := d.path(ObjectFile), filepath.Join(filepath.Dir(d.config), ObjectFile)
	info, err := os.Lstat(path)
	if err != nil || linked == (info.Mode()&fs.ModeSymlink != 0) {
		return
	}
	if linked {
		err = errors.Join(os.Rename(path, beside), os.Symlink(filepath.Join("..", ObjectFile), path))
	} else {
		err = os.Rename(beside, path)
	}
	if err != nil {
		panic(fmt.Sprintf("snstest: make %s a link or a file: %v", path, err))
	}
}

func (d *disk) read(file string) []byte {
	text, err := os.ReadFile(d.path(file))
	if err != nil {
		return nil
	}
	return text
}

// replace writes a file beside the old one and renames it over it.
func (d *disk) replace(file string, text []byte) error {
	temporary, err := os.CreateTemp(d.config, "."+file+".serverd-*")
	if err != nil {
		return err
	}
	_, err = temporary.Write(text)
	err = errors.Join(err, temporary.Chmod(0o644), temporary.Close())
	if err == nil {
		err = os.Rename(temporary.Name(), d.path(file))
	}
	if err != nil {
		_ = os.Remove(temporary.Name())
	}
	return err
}

// overwrite writes a file in place.
func (d *disk) overwrite(file string, text []byte) error {
	return os.WriteFile(d.path(file), text, 0o644)
}

func (d *disk) edit(file string, edit func([]byte) []byte, write func(string, []byte) error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	old, err := os.ReadFile(d.path(file))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := write(file, edit(old)); err != nil {
		return fmt.Errorf("rewrite %s: %w", d.path(file), err)
	}
	return nil
}

// AdminEdit edits a file of the configuration folder as the web interface does: it reads the file and renames a new one over
// it. Edits of administrators wait for each other and for no other writer.
func (a *Appliance) AdminEdit(file string, edit func([]byte) []byte) error {
	return a.disk.edit(file, edit, a.disk.replace)
}

// AdminEditInPlace is AdminEdit, but it writes into the existing file. A reader may see a short file.
func (a *Appliance) AdminEditInPlace(file string, edit func([]byte) []byte) error {
	return a.disk.edit(file, edit, a.disk.overwrite)
}

// Read returns a file of the configuration folder; nil if it does not exist.
func (a *Appliance) Read(file string) []byte { return a.disk.read(file) }

// Write replaces a file of the configuration folder.
func (a *Appliance) Write(file string, text []byte) error {
	return a.AdminEdit(file, func([]byte) []byte { return text })
}

// Leftovers lists the names in the configuration folder other than object and objectgroup.
func (a *Appliance) Leftovers() []string {
	entries, err := os.ReadDir(a.disk.config)
	if err != nil {
		return []string{err.Error()}
	}
	var names []string
	for _, e := range entries {
		if e.Name() != ObjectFile && e.Name() != GroupFile {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names
}

// RenameObject renames an object in object, in every group and in every policy, as an administrator does in the web administration.
func (a *Appliance) RenameObject(from, to string) error {
	if illegal(from) != "" || illegal(to) != "" {
		return fmt.Errorf("%q or %q is no name of an object", from, to)
	}
	err := a.AdminEdit(ObjectFile, func(text []byte) []byte { return []byte(renamed(string(text), from, to, "=")) })
	if err != nil {
		return err
	}
	a.filter.rename(from, to)
	return a.AdminEdit(GroupFile, func(text []byte) []byte { return []byte(renamed(string(text), from, to, "")) })
}

// renamed replaces a name at the begin of lines, where the line ends after it or the text next follows.
func renamed(text, from, to, next string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		rest, has := strings.CutPrefix(line, from)
		if has && (strings.TrimSpace(rest) == "" || next != "" && strings.HasPrefix(rest, next)) {
			line = to + rest
		}
		b.WriteString(line)
	}
	return b.String()
}

// administratorsObjects and administratorsGroups are the files of a new appliance: an administrator's lines in every known
// form, among them an object whose name begins like those of a CrowdSec component.
const administratorsObjects = `# Object base
[Host]
srv_web=203.0.113.10,resolve=static #"public web server"
srv_mail=203.0.113.11, resolve=static
srv_backup="192.168.10.5,resolve=static" #"nightly = 02:00"
pc_admin=192.168.10.20,resolve=static

# console of the security team, not a banned address
crowdsec_console=198.51.100.7,resolve=static #"do not delete"
srv_dns6=2001:db8:10::53,resolve=static

[Network]
net_lan=192.168.10.0/24
net_dmz=203.0.113.0/28 #"DMZ"
net_guests=10.20.0.0/255.255.0.0

[Range]
dhcp_range=192.168.10.100-192.168.10.199

[Fqdn]
update.example.com=198.51.100.80,resolve=dynamic

[Service]
http=80/tcp
webmail=8443/tcp #"behind the proxy"

[Protocol]
gre=47
`

const administratorsGroups = `# Groups
[admin_stations]
pc_admin
crowdsec_console

[internal_servers]
srv_backup
srv_mail #"moves next year"
net_dmz

[everything]
internal_servers
net_lan
dhcp_range
`
