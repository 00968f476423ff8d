package acceptance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"notification-stormshield/stormshield"
	"notification-stormshield/stormshield/edit"
	"notification-stormshield/stormshield/objects"
	"notification-stormshield/stormshield/shell"
)

func (c *checker) server(ctx context.Context) Finding {
	detail := c.shell.Server()
	if has, err := c.shell.HasSubsystem(ctx, "sftp"); err == nil && has {
		detail += "; has SFTP, which is not used"
	} else if err == nil {
		detail += "; has no SFTP, which is not used"
	}
	if c.config.SSH.LegacyAlgorithms {
		return differs(detail, "ssh_legacy_algorithms is set: try without, old algorithms are weak")
	}
	return holds(detail)
}

// runShort runs a command that must end soon.
func (c *checker) runShort(ctx context.Context, script string) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, shell.DefaultTimeout, fmt.Errorf("the command did not end within %s", shell.DefaultTimeout))
	defer cancel()
	return c.shell.Run(ctx, script, nil)
}

func (c *checker) loginShell(ctx context.Context) Finding {
	out, err := c.runShort(ctx, "echo $SHELL")
	if err != nil {
		return wrong(err, c.scriptHint(err))
	}
	name := strings.ToValidUTF8(strings.TrimSpace(string(out)), "?")
	if name == "" {
		name = "unknown: SHELL is empty"
	}
	if printed := c.shell.Printed(); printed != "" {
		return differs(fmt.Sprintf("%s; it prints text of its own around the output of a command: %q", name, printed),
			"the plugin ignores that text; change the account's .cshrc or .profile so that it prints only on a terminal")
	}
	return holds(name)
}

// Tools of the appliance, by use.
var (
	neededTools = []string{"cat", "cp", "grep", "mv", "rm"}
	editTools   = []string{"awk", "cksum", "tail"} // with these the appliance edits its files (package edit)
)

func (c *checker) tools(ctx context.Context) Finding {
	found := map[shell.ToolState][]string{}
	for _, tool := range shell.Tools {
		state, err := c.shell.Tool(ctx, tool)
		if err != nil {
			c.closeShell()
			return wrong(err, c.scriptHint(err))
		}
		found[state] = append(found[state], tool)
	}
	asks, _ := c.shell.Tool(ctx, shell.MoveAsks) // the loop has asked for it
	detail := "has " + strings.Join(found[shell.Works], " ")
	if broken := found[shell.Fails]; len(broken) > 0 {
		detail += "; does not work: " + strings.Join(broken, " ")
	}
	if lacks := found[shell.Absent]; len(lacks) > 0 {
		detail += "; lacks " + strings.Join(lacks, " ")
	}
	if asks == shell.Fails {
		detail += "; " + shell.MoveAsks + " does not ask without a terminal"
	}
	unusable := slices.Concat(found[shell.Absent], found[shell.Fails])
	switch needed, edits := commonWords(neededTools, unusable), commonWords(editTools, unusable); {
	case needed != "":
		return wrong(errors.New(detail), "the plugin cannot replace the files without "+needed)
	case edits != "":
		return differs(detail, "without "+edits+" each flush sends both files whole")
	case asks == shell.Fails:
		return differs(detail, fmt.Sprintf("without %s, an edit of the administrator in the very moment of a flush may be lost", shell.MoveAsks))
	}
	return holds(detail)
}

// commonWords returns the words that are in both lists.
func commonWords(some, others []string) string {
	both := slices.DeleteFunc(slices.Clone(some), func(word string) bool { return !slices.Contains(others, word) })
	return strings.Join(both, ", ")
}

// Two paths of the folder with both files. The older component uses the first, and the vendor's scripts use the second. One may be a
// link to the other [?].
const (
	dataFolder   = "/data/Main/ConfigFiles"
	scriptFolder = "/usr/Firewall/ConfigFiles"
)

// otherFolders returns the paths, other than config_dir, at which files of these names may be.
func (c *checker) otherFolders() []string {
	if root, ok := strings.CutSuffix(c.config.ConfigDir, dataFolder); ok {
		return []string{root + scriptFolder}
	}
	if root, ok := strings.CutSuffix(c.config.ConfigDir, scriptFolder); ok {
		return []string{root + dataFolder}
	}
	return []string{dataFolder, scriptFolder}
}

func (c *checker) folder(ctx context.Context) Finding {
	script := fmt.Sprintf("cd %[1]s || exit 2; test -w %[1]s || exit 3; pwd -P; ", c.config.ConfigDir)
	for _, other := range c.otherFolders() {
		script += fmt.Sprintf("test -f %[1]s/object && { test %[1]s/object -ef object && echo same %[1]s || echo other %[1]s; }; ", other)
	}
	out, err := c.runShort(ctx, script+"true")
	var exit *shell.ExitError
	switch {
	case err == nil:
		return c.describeFolder(string(out))
	case errors.As(err, &exit) && exit.Status == 2:
		hint := configDirHint
		if found := c.findFolder(ctx); found != "" {
			hint = "set config_dir: " + found + ", where the file object is"
		}
		return wrong(fmt.Errorf("%s cannot be entered on the appliance: %w", c.config.ConfigDir, err), hint)
	case errors.As(err, &exit) && exit.Status == 3:
		return wrong(fmt.Errorf("%s cannot be written by %s", c.config.ConfigDir, c.config.SSH.User), c.writeHint())
	}
	return wrong(err, c.scriptHint(err))
}

// describeFolder says where config_dir leads, and what is in the other folders. out is the output of the script of folder.
func (c *checker) describeFolder(out string) Finding {
	real, others, _ := strings.Cut(strings.ToValidUTF8(out, "?"), "\n")
	found := holds(c.config.ConfigDir)
	if real != c.config.ConfigDir {
		found.Detail += ", which leads to " + real
	}
	for line := range strings.Lines(others) {
		switch word, other, _ := strings.Cut(strings.TrimSpace(line), " "); word {
		case "same":
			found.Detail += "; the same files are in " + other
		case "other":
			found = differs(found.Detail+"; another file object is in "+other,
				"the appliance may read only one of the folders: `check --write` shows whether it reads config_dir")
		}
	}
	return found
}

// findFolder returns the first other folder that holds an object file; "": there is none.
func (c *checker) findFolder(ctx context.Context) string {
	script := fmt.Sprintf("for d in %s; do test -f $d/object && echo $d; done; true", strings.Join(c.otherFolders(), " "))
	out, err := c.runShort(ctx, script)
	if err != nil {
		return ""
	}
	first, _, _ := strings.Cut(string(out), "\n")
	return first
}

func (c *checker) objectFile(ctx context.Context) Finding {
	text, err := c.readFile(ctx, "object")
	switch {
	case err != nil:
		return c.unusableFile(err)
	case !objects.HasSection(text, objects.HostSection):
		return wrong(fmt.Errorf("it has no section [%s]", objects.HostSection),
			"an appliance always has one: see that config_dir is right, and restore the file if it was damaged")
	}
	return holds(fmt.Sprintf("%d bytes, section [%s]", len(text), objects.HostSection))
}

func (c *checker) groupFile(ctx context.Context) Finding {
	text, err := c.readFile(ctx, "objectgroup")
	if err != nil {
		return c.unusableFile(err)
	}
	if err := stormshield.ForeignMembers(text, c.config.Group, c.config.DeleteGroup); err != nil {
		return wrong(err, stormshield.ForeignHint)
	}
	detail := fmt.Sprintf("%d bytes", len(text))
	for _, group := range []string{c.config.Group, c.config.DeleteGroup} {
		detail += ", group " + group
		if !objects.HasSection(text, group) {
			detail += " will be made"
		}
	}
	return holds(detail)
}

func (c *checker) readFile(ctx context.Context, name string) ([]byte, error) {
	files := edit.NewFiles(c.config.ConfigDir, c.config.Group, c.shell)
	if err := files.Replaceable(ctx, name); err != nil {
		return nil, err
	}
	return files.File(ctx, name)
}

// unusableFile returns the finding about a file that a flush cannot use. It closes the connection if that does not work any
// more.
func (c *checker) unusableFile(err error) Finding {
	hint, connected := c.fileHint(err)
	if !connected {
		c.closeShell()
	}
	return wrong(err, hint)
}
