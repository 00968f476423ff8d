// Package edit rewrites the two files in which an appliance keeps its objects,
// `object` and `objectgroup`, over an SSH connection.
//
// Both are replaced together and only if they are still the files that the
// caller means; whatever somebody else wrote meanwhile stays, and is
// [ErrChanged]. No file is ever written in place, mode and owner stay, and a
// connection that breaks at any moment leaves each file as it was or as it was
// to be. The package knows no ban and decides nothing; what is to change is an
// [objects.Patch]. Its main type is [Files].
//
// There are two ways, which make the same bytes:
//
//   - [Files.Patch] sends the patch alone. A small program of sh and awk makes
//     the new texts on the appliance. It costs what the patch costs, however
//     large the files are.
//   - [Files.Replace] sends whole texts that were made here. It needs neither
//     awk nor cksum on the appliance.
package edit

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"notification-stormshield/stormshield/objects"
	"notification-stormshield/stormshield/shell"
)

// ErrChanged says that a file is not the one that was meant: somebody else
// wrote it. Nothing of theirs was touched, but the other file may have been
// replaced already.
var ErrChanged = errors.New("somebody else changed the file meanwhile")

// ErrLink says that a file is a symbolic link. Nothing was touched.
var ErrLink = errors.New("it is a symbolic link, which a rename would replace; set config_dir to the folder that it leads to")

// ErrNoFile says that config_dir holds no such file.
var ErrNoFile = errors.New("there is no such file (config_dir)")

// UnableError says that the appliance lacks a tool that [Files.Patch] needs, or
// that the tool does not work. Nothing was touched.
type UnableError struct {
	Tool string
}

func (e *UnableError) Error() string {
	return "the appliance has no " + e.Tool + " that works"
}

// Files are object and objectgroup of one appliance.
type Files struct {
	shell         *shell.Client
	folder, group string
}

// NewFiles returns the files in a folder of the appliance, to be changed for a group.
// A change takes away what a broken one for the same group left: two at a time
// must be for different groups, and the later of them finds the files changed.
func NewFiles(folder, group string, client *shell.Client) *Files {
	return &Files{client, folder, group}
}

// Texts are what the files hold.
type Texts struct {
	Object, Objectgroup []byte
}

// State tells the files apart from any others, and says what they list.
type State struct {
	Object, Objectgroup string // what POSIX's cksum prints: CRC and number of bytes
	Entries             int    // how many entries the group of bans in force has
}

// IsKnown reports whether the state says anything.
func (s State) IsKnown() bool { return s.Object != "" && s.Objectgroup != "" }

// String returns the state in a form that [ParseState] reads.
func (s State) String() string {
	if !s.IsKnown() {
		return ""
	}
	return fmt.Sprintf("%s %s %d", s.Object, s.Objectgroup, s.Entries)
}

// ParseState reads a state. What is none is not known.
func ParseState(text string) State {
	f := strings.Fields(text)
	if len(f) != 5 {
		return State{}
	}
	entries, err := strconv.Atoi(f[4])
	if err != nil {
		return State{}
	}
	return State{f[0] + " " + f[1], f[2] + " " + f[3], entries}
}

// State returns the state of texts whose group of bans in force is named.
func (t Texts) State(group string) State {
	return State{checksum(t.Object), checksum(t.Objectgroup), objects.Entries(t.Objectgroup, group)}
}

// Read returns what the files hold.
func (f *Files) Read(ctx context.Context) (t Texts, err error) {
	if t.Object, err = f.File(ctx, "object"); err != nil {
		return Texts{}, err
	}
	t.Objectgroup, err = f.File(ctx, "objectgroup")
	return t, err
}

// File returns what one of them holds.
func (f *Files) File(ctx context.Context, name string) ([]byte, error) {
	text, err := f.shell.Run(ctx, "cat "+f.folder+"/"+name, nil)
	if err != nil {
		return nil, fmt.Errorf("read %s/%s on %s: %w", f.folder, name, f.shell.Host(), err)
	}
	return text, nil
}

// Replaceable checks that a file is there and that it is no symbolic link, which is
// [ErrLink].
func (f *Files) Replaceable(ctx context.Context, name string) error {
	path := f.folder + "/" + name
	script := fmt.Sprintf("test -f %[1]s || exit %[2]d; test -h %[1]s && exit %[3]d; true", path, statusNoFile, statusLink)
	_, err := f.shell.Run(ctx, script, nil)
	var exit *shell.ExitError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &exit) && exit.Status == statusNoFile:
		err = ErrNoFile
	case errors.As(err, &exit) && exit.Status == statusLink:
		err = ErrLink
	}
	return fmt.Errorf("look at %s on %s: %w", path, f.shell.Host(), err)
}

// checksum returns what `cksum < file` prints for the text: POSIX's CRC and
// the number of bytes.
func checksum(text []byte) string {
	var crc uint32
	for _, b := range text {
		crc = crc<<8 ^ crcTable[byte(crc>>24)^b]
	}
	for n := len(text); n > 0; n >>= 8 {
		crc = crc<<8 ^ crcTable[byte(crc>>24)^byte(n)]
	}
	return strconv.FormatUint(uint64(^crc), 10) + " " + strconv.Itoa(len(text))
}

var crcTable = func() (table [256]uint32) {
	for i := range table {
		crc := uint32(i) << 24
		for range 8 {
			if crc&0x80000000 != 0 {
				crc = crc<<1 ^ 0x04C11DB7
			} else {
				crc <<= 1
			}
		}
		table[i] = crc
	}
	return table
}()
