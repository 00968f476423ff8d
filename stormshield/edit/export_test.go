package edit

import (
	"bytes"

	"notification-stormshield/stormshield/objects"
)

// Program returns the program that Patch sends for files in a folder of this machine,
// and the name of the temporary folder for it.
func Program(folder string, was State, p objects.Patch) (work string, program []byte) {
	r := NewFiles(folder, p.Group, nil).begin()
	r.setPatch(was, p)
	text := bytes.NewBufferString(r.program() + "#data\n")
	_ = p.Encode(text)
	text.WriteString(lastLine + "\n")
	return r.work, text.Bytes()
}
