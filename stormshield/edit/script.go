package edit

import (
	"bytes"
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"
	"strings"

	"notification-stormshield/stormshield/objects"
	"notification-stormshield/stormshield/shell"
)

//go:embed edit.sh
var shellProgram string

//go:embed edit.awk
var awkProgram string

// The programs as they travel.
var (
	shellText = terse(shellProgram)
	awkText   = terse(awkProgram)
)

// Statuses of edit.sh.
const (
	statusChanged = 9
	statusDamaged = 10
	statusNoFile  = 11
	statusNoCopy  = 12
	statusLink    = 14
	statusNoTool  = 21
)

// The files that edit.sh may put in place, in its order.
const (
	newDefined     = "object.1"
	newObjectgroup = "objectgroup.1"
	newObject      = "object.2"
)

// Patch has the appliance carry the patch out, if the files are in the state
// given, and returns the state that they are in then. An appliance that lacks a
// tool for it is an [UnableError].
func (f *Files) Patch(ctx context.Context, was State, p objects.Patch) (State, error) {
	var patch bytes.Buffer
	_ = p.Encode(&patch) // a buffer takes everything
	r := f.begin()
	r.patch(was, p)
	is, err := r.run(ctx, &patch)
	if err == nil && makes(p) == "" {
		is = was
	}
	return is, err
}

func (r *run) patch(was State, p objects.Patch) {
	r.set("needs", "awk cksum tail")
	r.sums(was)
	if made := makes(p); made != "" {
		r.set("makes", made)
		r.set("program", awkText)
		r.set("group", p.Group)
		r.set("deleteGroup", p.DeleteGroup)
		r.set("mark", objects.Mark)
		r.set("had", strconv.Itoa(was.Entries))
	}
}

// makes names the files that edit.awk makes for a patch.
func makes(p objects.Patch) string {
	var files []string
	if p.Standing.Len()+p.Ended.Len()+p.Named.Len() > 0 {
		files = append(files, newDefined)
	}
	if !p.Empty() {
		files = append(files, newObjectgroup)
	}
	if p.Absent.Len() > 0 {
		files = append(files, newObject)
	}
	return strings.Join(files, " ")
}

// Replace puts texts that were made here in the place of those that were read.
func (f *Files) Replace(ctx context.Context, was Texts, is objects.Patched) error {
	sums, err := f.shell.Has(ctx, "cksum")
	if err != nil {
		return err
	}
	r := f.begin()
	var made []string
	for _, file := range []struct {
		new, variable, of string
		text, before      []byte
	}{
		{newDefined, "object1", "object", is.Defined, was.Object},
		{newObjectgroup, "objectgroup1", "objectgroup", is.Objectgroup, was.Objectgroup},
		{newObject, "object2", "object", is.Object, is.Defined},
	} {
		if bytes.Equal(file.text, file.before) {
			continue
		}
		if err := r.upload(ctx, file.new, file.of, file.text); err != nil {
			return err
		}
		made = append(made, file.new)
		if sums {
			r.set(file.variable, checksum(file.text))
		}
	}
	if len(made) == 0 {
		return nil
	}
	r.set("makes", strings.Join(made, " "))
	if sums {
		r.set("object", checksum(was.Object))
		r.set("objectgroup", checksum(was.Objectgroup))
	} else {
		if err := r.upload(ctx, "object.text", "", was.Object); err != nil {
			return err
		}
		if err := r.upload(ctx, "objectgroup.text", "", was.Objectgroup); err != nil {
			return err
		}
	}
	_, err = r.run(ctx, nil)
	return err
}

// end is the last line of what is sent.
const end = "#end"

// run is one run of edit.sh: its folder, and the variables it will get.
type run struct {
	*Files
	work      string
	variables strings.Builder
}

func (f *Files) begin() *run {
	var ticket [6]byte
	_, _ = rand.Read(ticket[:]) // never fails
	r := &run{Files: f, work: fmt.Sprintf(".crowdsec-%08x-%x", crc32.ChecksumIEEE([]byte(f.group)), ticket)}
	r.set("folder", f.folder)
	r.set("work", r.work)
	return r
}

func (r *run) set(name, value string) { fmt.Fprintf(&r.variables, "%s=%s\n", name, quote(value)) }

func (r *run) sums(s State) {
	r.set("object", s.Object)
	r.set("objectgroup", s.Objectgroup)
}

// upload writes a file into the folder of this run, with mode and owner of
// another if one is named.
func (r *run) upload(ctx context.Context, name, like string, text []byte) error {
	script := fmt.Sprintf("cd %s && { test -d %[2]s || mkdir -m 700 %[2]s; } && ", r.folder, r.work)
	if like != "" {
		script += fmt.Sprintf("cp -p %s %s/%s && ", like, r.work, name)
	}
	script += fmt.Sprintf("cat > %[1]s/%[2]s || { s=$?; rm -rf %[1]s; exit $s; }", r.work, name)
	if _, err := r.shell.Run(ctx, script, bytes.NewReader(text)); err != nil {
		return fmt.Errorf("write %s beside the files in %s on %s: %w", name, r.folder, r.shell.Host(), err)
	}
	return nil
}

// run sends the program with its data, runs it, and returns what it reports.
func (r *run) run(ctx context.Context, data io.Reader) (State, error) {
	program := io.Reader(strings.NewReader(r.program()))
	if data != nil {
		program = io.MultiReader(program, strings.NewReader("#data\n"), data)
	}
	program = io.MultiReader(program, strings.NewReader(end+"\n"))
	// A connection that breaks ends the input: what did not arrive whole must
	// not run.
	script := fmt.Sprintf("cd %[1]s && { test -d %[2]s || mkdir -m 700 %[2]s; } && cat > %[2]s/script && "+
		"{ grep -qx %[3]q %[2]s/script || { rm -rf %[2]s; exit %[4]d; }; } && exec /bin/sh %[2]s/script",
		r.folder, r.work, end, statusDamaged)
	out, err := r.shell.Run(ctx, script, program)
	if err != nil {
		return State{}, r.explain(err)
	}
	var is State
	for line := range strings.Lines(string(out)) {
		what, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch what {
		case "object":
			is.Object = value
		case "objectgroup":
			is.Objectgroup = value
		case "has":
			is.Entries, _ = strconv.Atoi(value) // empty unless awk counted
		}
	}
	return is, nil
}

func (r *run) program() string { return r.variables.String() + shellText }

// explain says what a status of edit.sh means. What it complained of stands in
// the first line of its standard error.
func (r *run) explain(err error) error {
	var exit *shell.ExitError
	if !errors.As(err, &exit) {
		return fmt.Errorf("rewrite the files in %s on %s: %w", r.folder, r.shell.Host(), err)
	}
	path := r.folder + "/" + exit.Stderr
	switch exit.Status {
	case statusNoTool:
		return &UnableError{exit.Stderr}
	case statusChanged:
		err = ErrChanged
	case statusDamaged:
		err = fmt.Errorf("the new text could not be written whole beside it; is the disk full? (%s)", exit.Stderr)
	case statusNoFile:
		err = errors.New("there is no such file (config_dir)")
	case statusNoCopy:
		err = fmt.Errorf("make a copy beside it: %w", err)
	case statusLink:
		err = errors.New("it is a symbolic link, which a rename would replace; set config_dir to the folder it leads to")
	default:
		path = "the files in " + r.folder
	}
	return fmt.Errorf("rewrite %s on %s: %w", path, r.shell.Host(), err)
}

// terse is a program without the lines that only its reader needs.
func terse(program string) string {
	var b strings.Builder
	for line := range strings.Lines(program) {
		if line = strings.TrimLeft(line, "\t"); line != "\n" && !strings.HasPrefix(line, "#") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// quote returns text as one word of a shell.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }
