// Package edit replaces the two files in which an appliance keeps its objects,
// `object` and `objectgroup`, over an SSH connection. Its main type is [Files].
//
// It replaces both files together, and only if they still have the content that the
// caller expects. Otherwise somebody else changed them: that edit stays, and the
// error is [ErrChanged]. It never writes a file in place, and keeps mode and owner.
// If the connection breaks, each file is the old one or the new one. A program that
// runs on the appliance at that moment goes on to its end. If it meets another change,
// one of them finds a changed file and gives up. The package knows no bans; an
// [objects.Patch] says what to change.
//
// There are two ways, which make the same bytes:
//
//   - [Files.Patch] sends the patch, and a program of sh and awk makes the new
//     texts on the appliance. Large files cost no more bytes than small ones.
//   - [Files.Replace] sends whole texts. It needs neither awk nor cksum on the
//     appliance.
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

// ErrChanged says that somebody else changed a file. Their file stays. The other
// file may have been replaced already.
var ErrChanged = errors.New("somebody else changed the file meanwhile")

// ErrLink says that a file is a symbolic link. No file was replaced.
var ErrLink = errors.New("it is a symbolic link, which a rename would replace; set config_dir to the folder that it leads to")

// ErrNoFile says that config_dir holds no such file.
var ErrNoFile = errors.New("there is no such file (config_dir)")

// UnableError says that a tool that [Files.Patch] needs is missing or does not work.
// No file was replaced.
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

// NewFiles returns the files in a folder of the appliance. Two changes at the same
// time must be for different groups, because each change removes the temporary folders
// for its group in which no program works.
func NewFiles(folder, group string, client *shell.Client) *Files {
	return &Files{client, folder, group}
}

// Texts are the texts of the files.
type Texts struct {
	Object, Objectgroup []byte
}

// State identifies the contents of the files.
type State struct {
	Object, Objectgroup string // the output of POSIX's cksum: CRC and number of bytes
	Entries             int    // the number of entries of the group of bans in force
}

// IsKnown reports whether the state identifies any contents.
func (s State) IsKnown() bool { return s.Object != "" && s.Objectgroup != "" }

// String returns the state in a form that [ParseState] reads.
func (s State) String() string {
	if !s.IsKnown() {
		return ""
	}
	return fmt.Sprintf("%s %s %d", s.Object, s.Objectgroup, s.Entries)
}

// ParseState reads the output of [State.String]. Any other text is no known state.
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

// Read returns the texts of both files.
func (f *Files) Read(ctx context.Context) (t Texts, err error) {
	if t.Object, err = f.File(ctx, "object"); err != nil {
		return Texts{}, err
	}
	t.Objectgroup, err = f.File(ctx, "objectgroup")
	return t, err
}

// File returns the text of one file.
func (f *Files) File(ctx context.Context, name string) ([]byte, error) {
	text, err := f.shell.Run(ctx, "cat "+f.folder+"/"+name, nil)
	if err != nil {
		return nil, fmt.Errorf("read %s/%s on %s: %w", f.folder, name, f.shell.Host(), err)
	}
	return text, nil
}

// Replaceable returns [ErrNoFile] for a file that is missing, and [ErrLink] for a
// symbolic link. No other file is a reason not to replace it.
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
