package edit

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/hex"
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

// The programs without comments and indentation, as they are sent.
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
	statusUnmoved = 13
	statusLink    = 14
	statusCut     = 15
	statusNoTool  = 21
)

// The files that edit.sh may put in place, in its order.
const (
	newDefined     = "object.1"
	newObjectgroup = "objectgroup.1"
	newObject      = "object.2"
)

// Patch applies the patch on the appliance, if the files are in the given state, and
// returns their new state. A missing tool is an [UnableError].
func (f *Files) Patch(ctx context.Context, was State, p objects.Patch) (State, error) {
	var patch bytes.Buffer
	_ = p.Encode(&patch) // a buffer takes everything
	r := f.begin()
	r.setPatch(was, p)
	now, err := r.run(ctx, &patch)
	if err == nil && newFiles(p) == "" {
		now = was
	}
	return now, err
}

func (r *run) setPatch(was State, p objects.Patch) {
	r.setSums(was)
	if made := newFiles(p); made != "" {
		r.set("newFiles", made)
		r.set("program", awkText)
		r.set("group", p.Group)
		r.set("deleteGroup", p.DeleteGroup)
		r.set("mark", objects.Mark)
		r.set("had", strconv.Itoa(was.Entries))
	}
}

// newFiles returns the names of the new texts that a patch needs.
func newFiles(p objects.Patch) string {
	var files []string
	if p.InForce.Len()+p.Ended.Len()+p.Unlisted.Len() > 0 {
		files = append(files, newDefined)
	}
	if !p.Empty() {
		files = append(files, newObjectgroup)
	}
	if p.Removed.Len() > 0 {
		files = append(files, newObject)
	}
	return strings.Join(files, " ")
}

// Replace replaces the files by whole texts, if they still have the given texts.
func (f *Files) Replace(ctx context.Context, was Texts, next objects.Patched) error {
	r := f.begin()
	sums := false // cksum works on the appliance
	var made []string
	for _, file := range []struct {
		new, variable, of string
		text, before      []byte
	}{
		{newDefined, "object1", "object", next.Defined, was.Object},
		{newObjectgroup, "objectgroup1", "objectgroup", next.Objectgroup, was.Objectgroup},
		{newObject, "object2", "object", next.Object, next.Defined},
	} {
		if bytes.Equal(file.text, file.before) {
			continue
		}
		question := ""
		if len(made) == 0 {
			question = askChecksum
		}
		answer, err := r.upload(ctx, file.new, file.of, file.text, question)
		if err != nil {
			return err
		}
		sums = sums || len(answer) > 0
		made = append(made, file.new)
		if sums {
			r.set(file.variable, checksum(file.text))
		}
	}
	if len(made) == 0 {
		return nil
	}
	r.set("newFiles", strings.Join(made, " "))
	if sums {
		r.set("object", checksum(was.Object))
		r.set("objectgroup", checksum(was.Objectgroup))
	} else {
		if _, err := r.upload(ctx, "object.text", "", was.Object, ""); err != nil {
			return err
		}
		if _, err := r.upload(ctx, "objectgroup.text", "", was.Objectgroup, ""); err != nil {
			return err
		}
	}
	_, err := r.run(ctx, nil)
	return err
}

// lastLine is the last line of the program and its data.
const lastLine = "#end"

// run is one run of edit.sh: its folder, and the variables it will get.
type run struct {
	*Files
	prefix    string // of the folders of all runs for the group
	work      string
	variables strings.Builder
}

func (f *Files) begin() *run {
	var random [6]byte
	_, _ = rand.Read(random[:]) // never fails
	prefix := fmt.Sprintf(".crowdsec-%08x-", crc32.ChecksumIEEE([]byte(f.group)))
	r := &run{Files: f, prefix: prefix, work: prefix + hex.EncodeToString(random[:])}
	r.set("folder", f.folder)
	r.set("work", r.work)
	return r
}

func (r *run) set(name, value string) { fmt.Fprintf(&r.variables, "%s=%s\n", name, quote(value)) }

func (r *run) setSums(s State) {
	r.set("object", s.Object)
	r.set("objectgroup", s.Objectgroup)
}

// askChecksum is a question for upload. It prints a word if cksum works.
const askChecksum = " && { " + shell.ChecksumTest + " && echo works; true; }"

// upload writes a file into the folder of this run. The file gets mode and owner of
// the file like, unless that is "". Then upload runs the question, if there is one,
// and returns its output.
func (r *run) upload(ctx context.Context, name, like string, text []byte, question string) (answer []byte, err error) {
	script := fmt.Sprintf("cat > %s/%s", r.work, name)
	if like != "" {
		script = fmt.Sprintf("cp -p %s %s/%s && %s", like, r.work, name, script)
	}
	answer, err = r.shell.Run(ctx, r.inWork(script)+question, bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("write %s beside the files in %s on %s: %w", name, r.folder, r.shell.Host(), r.withoutRandomName(err))
	}
	return answer, nil
}

// inWork returns a script that makes the folder of this run, unless the folder exists.
// Then the script runs commands in the folder above it. A script that fails removes
// the folder of its own run.
//
// The first script of a run removes the folders of broken runs for the group. It keeps
// the folder of a program that still works after its connection broke. Another process
// may have got the same number since, so it keeps no folder for longer than a day.
func (r *run) inWork(commands string) string {
	const removeBroken = "for d in %[3]s*; do test -d $d && " +
		"{ kill -0 $(cat $d/process) && test -z \"$(find $d -prune -mtime +0)\" || rm -rf $d; } 2> /dev/null; done"
	return fmt.Sprintf("cd %[1]s && { { test -d %[2]s || { "+removeBroken+"; mkdir -m 700 %[2]s; }; } && %[4]s || { s=$?; rm -rf %[2]s; exit $s; }; }",
		r.folder, r.work, r.prefix, commands)
}

// run sends the program with its data, runs it, and returns what it reports.
func (r *run) run(ctx context.Context, data io.Reader) (State, error) {
	program := io.Reader(strings.NewReader(r.program()))
	if data != nil {
		program = io.MultiReader(program, strings.NewReader("#data\n"), data)
	}
	// The upload of a large patch may take minutes.
	late := &permitReader{permit: r.shell.Permit}
	program = io.MultiReader(program, late, strings.NewReader(lastLine+"\n"))
	// A broken connection also ends the input. A program without its end must not run.
	script := r.inWork(fmt.Sprintf("cat > %[1]s/script && { grep -qx %[2]q %[1]s/script || { echo failed script; (exit %[3]d); }; }",
		r.work, lastLine, statusCut)) + fmt.Sprintf(" && exec /bin/sh %s/script", r.work)
	out, err := r.shell.Run(ctx, script, program)
	report := readReport(out)
	switch {
	case late.denied != nil:
		return State{}, fmt.Errorf("rewrite the files in %s on %s: %w", r.folder, r.shell.Host(), late.denied)
	case err != nil:
		return State{}, r.explain(err, report["failed"])
	case !report.isComplete():
		return State{}, fmt.Errorf("rewrite the files in %s on %s: the appliance ended the program before its last line", r.folder, r.shell.Host())
	}
	now := State{Object: report["object"], Objectgroup: report["objectgroup"]}
	now.Entries, _ = strconv.Atoi(report["has"]) // empty unless awk counted
	return now, nil
}

// permitReader is an empty text that asks for the permit when it is read.
type permitReader struct {
	permit func() error // nil: it permits
	denied error
}

func (p *permitReader) Read([]byte) (int, error) {
	if p.permit != nil {
		p.denied = p.permit()
	}
	return 0, cmp.Or(p.denied, io.EOF)
}

// report is the report of edit.sh: the rest of each line by its first word.
type report map[string]string

func readReport(out []byte) report {
	r := report{}
	for line := range strings.Lines(string(out)) {
		word, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		r[word] = rest
	}
	return r
}

// isComplete reports whether the report has the last line of a run that succeeded.
func (r report) isComplete() bool {
	_, last := r["has"]
	return last
}

func (r *run) program() string { return r.variables.String() + shellText }

// explain returns the error for a status of edit.sh. about is the file or the tool that edit.sh reports.
func (r *run) explain(err error, about string) error {
	err = r.withoutRandomName(err)
	path := r.folder + "/" + about
	var exit *shell.ExitError
	if !errors.As(err, &exit) || about == "" {
		return fmt.Errorf("rewrite the files in %s on %s: %w", r.folder, r.shell.Host(), err)
	}
	switch exit.Status {
	case statusCut:
		return fmt.Errorf("rewrite the files in %s on %s: the program did not arrive whole", r.folder, r.shell.Host())
	case statusNoTool:
		return &UnableError{about}
	case statusChanged:
		err = ErrChanged
		if about == "files" {
			path = "the files in " + r.folder
		}
	case statusDamaged:
		err = fmt.Errorf("the new text could not be written whole beside it; is the disk full? (%w)", err)
	case statusNoFile:
		err = ErrNoFile
	case statusNoCopy:
		err = fmt.Errorf("make a copy beside it: %w", err)
	case statusUnmoved:
		err = fmt.Errorf("mv does not put the new text in its place: %w", err)
	case statusLink:
		err = ErrLink
	}
	return fmt.Errorf("rewrite %s on %s: %w", path, r.shell.Host(), err)
}

// withoutRandomName removes the random part of the folder's name from an error, because
// the same failure must read the same each time.
func (r *run) withoutRandomName(err error) error {
	var exit *shell.ExitError
	if !errors.As(err, &exit) {
		return err
	}
	return &shell.ExitError{Status: exit.Status, Stderr: strings.ReplaceAll(exit.Stderr, r.work, r.prefix+"*")}
}

// terse removes comments and indentation.
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
