package shell

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
)

// ErrChanged says that a file is no longer the one that was read: somebody
// else wrote it meanwhile. Nothing of theirs was touched.
var ErrChanged = errors.New("somebody else changed the file meanwhile")

// temporary is what follows a file's name in the names of what stands beside
// it during a replacement.
const temporary = ".crowdsec-"

// Statuses of the scripts below.
const (
	statusChanged  = 9
	statusDamaged  = 10
	statusNoFile   = 11
	statusNoCopy   = 12
	statusNoUpload = 13
	statusLink     = 14
)

// Read returns what a file holds.
func (c *Client) Read(ctx context.Context, path string) ([]byte, error) {
	text, err := c.Run(ctx, "cat "+path, nil)
	if err != nil {
		return nil, fmt.Errorf("read %s on %s: %w", path, c.host, err)
	}
	return text, nil
}

// Replace puts new in the place of old, by a rename in the file's own folder,
// provided that the file still holds old: otherwise it is [ErrChanged]. Mode
// and owner stay. Until the rename the file is as it was, so that a connection
// which breaks at any moment leaves either the old text or the new.
func (c *Client) Replace(ctx context.Context, path string, old, new []byte) error {
	if err := c.replace(ctx, path, old, new); err != nil {
		return fmt.Errorf("rewrite %s on %s: %w", path, c.host, err)
	}
	return nil
}

func (c *Client) replace(ctx context.Context, path string, old, new []byte) error {
	beside := path + temporary + ticket()
	if err := c.upload(ctx, path, beside, new); err != nil {
		return err
	}
	script, err := c.exchange(ctx, path, beside, old, new)
	if err == nil {
		_, err = c.Run(ctx, script, nil)
	}
	var exit *ExitError
	if errors.As(err, &exit) {
		switch exit.Status {
		case statusChanged:
			return ErrChanged
		case statusDamaged:
			return errors.New("what arrived beside it is not what was sent")
		}
	}
	return err
}

// upload writes text beside the file, into a copy of it, which has its mode
// and owner. What broken flushes left there goes.
func (c *Client) upload(ctx context.Context, path, beside string, text []byte) error {
	script := fmt.Sprintf("rm -f %[1]s%[3]s*; test -f %[1]s || exit %[4]d; test -h %[1]s && exit %[7]d; "+
		"cp -p %[1]s %[2]s || { rm -f %[2]s; exit %[5]d; }; cat > %[2]s || { rm -f %[2]s; exit %[6]d; }",
		path, beside, temporary, statusNoFile, statusNoCopy, statusNoUpload, statusLink)
	_, err := c.Run(ctx, script, bytes.NewReader(text))
	var exit *ExitError
	if errors.As(err, &exit) {
		switch exit.Status {
		case statusNoFile:
			return fmt.Errorf("there is no such file (config_dir): %w", err)
		case statusLink:
			return errors.New("it is a symbolic link, which a rename would replace; set config_dir to the folder it leads to")
		case statusNoCopy:
			return fmt.Errorf("make a copy beside it: %w", err)
		case statusNoUpload:
			return fmt.Errorf("write the new text beside it: %w", err)
		}
	}
	return err
}

// exchange returns the script that checks the file and renames.
//
// There is no rename in a shell that also compares, so the moment between the
// two is made as short as a shell can: `mv -i` is started first, and once it
// waits at its question, that is answered as soon as the file is seen to be
// still the one whose text was compared. The second link, .old, is that file;
// should somebody have written into it until after the rename, their text is
// put back.
func (c *Client) exchange(ctx context.Context, path, beside string, old, new []byte) (string, error) {
	sums, err := c.Has(ctx, "cksum")
	if err != nil {
		return "", err
	}
	check := fmt.Sprintf("same() { test \"$(cksum < $1)\" = \"%s\"; }; test \"$(cksum < %s)\" = \"%s\" || finish %d; ",
		checksum(old), beside, checksum(new), statusDamaged)
	if !sums {
		before := beside + ".before"
		if _, err := c.Run(ctx, "umask 077; cat > "+before, bytes.NewReader(old)); err != nil {
			return "", fmt.Errorf("write %s: %w", before, err)
		}
		check = fmt.Sprintf("same() { test \"$(cat $1; echo .)\" = \"$(cat %s; echo .)\"; }; ", before)
	}
	return fmt.Sprintf("finish() { rm -f %[2]s*; exit $1; }; "+check+
		"asked() { n=0; until test -s %[2]s.ask; do n=$((n+1)); test $n -lt 1000000 || return 0; done; }; "+
		"if test / -ef / && ln %[1]s %[2]s.old; then "+
		"{ sync; same %[2]s.old && asked && test %[1]s -ef %[2]s.old && echo y || echo n; } | mv -i %[2]s %[1]s 2>%[2]s.ask; "+
		"test -f %[2]s && finish %[3]d; same %[2]s.old || { mv -f %[2]s.old %[1]s; finish %[3]d; }; "+
		"else sync; same %[1]s || finish %[3]d; mv -f %[2]s %[1]s || finish 1; fi 2>/dev/null; finish 0",
		path, beside, statusChanged), nil
}

// ticket tells the temporary files of this replacement from all others.
func ticket() string {
	var b [6]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
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
