package shell

import (
	"context"
	"fmt"
	"strings"
)

// ToolState says whether the appliance has a tool.
type ToolState int

// Absent means that the shell does not find the tool. Works and Fails are the
// result of a test of the tool.
const (
	Absent ToolState = iota
	Works
	Fails
)

// Tools are the tools that [Client.Tool] can test.
var Tools = []string{
	"awk", "cat", "cksum", "cmp", "cp", "dd", "enobject", "grep", "gzip", "ln", "ls", "md5", "mv", "rm", "sed", "sync", "tail",
}

// MoveAsks is `mv -i` that asks although there is no terminal. For [Client.Tool] it
// is a tool of its own.
const MoveAsks = "mv -i"

// ChecksumTest is a command that succeeds where cksum works.
const ChecksumTest = `test "$(echo crowdsec | cksum 2>/dev/null)" = "2245184355 9"`

// toolProbe prints a line `has TOOL` for each tool that is there, and a line
// `bad TOOL` for each tool that fails its test. Tests with files use a temporary
// folder; they are left out if it cannot be made.
var toolProbe = "{ for t in " + strings.Join(Tools, " ") + "; do command -v $t >/dev/null && echo has $t; done; " +
	ChecksumTest + ` || echo bad cksum; ` +
	`test "$(echo a b | awk "{ print \$2 }")" = b || echo bad awk; ` +
	`test "$(echo ab | tail -c 2)" = b || echo bad tail; ` +
	`test "$(echo a | cat)" = a || echo bad cat; ` +
	`echo a | grep -qx a || echo bad grep; ` +
	`d=${TMPDIR:-/tmp}/.crowdsec-tools-$$; if mkdir -m 700 $d && cd $d; then echo has ` + MoveAsks + `; ` +
	`echo a > a; cp -p a b; test -f b || echo bad cp; ` +
	`echo b > b; echo n | mv -i a b >/dev/null 2>asked; test -s asked && test -f a || echo bad ` + MoveAsks + `; ` +
	`echo a > a; mv -f a c; test -f c && test -f a && echo bad mv; test -f c || echo bad mv; ` +
	`rm -f c; test -f c && echo bad rm; cd /; rm -rf $d; fi; true; } 2>/dev/null`

// Tool reports whether the appliance has a tool, one of [Tools] or [MoveAsks], and
// whether it works. It asks once a connection.
func (c *Client) Tool(ctx context.Context, tool string) (ToolState, error) {
	if c.tools == nil {
		out, err := c.Run(ctx, toolProbe, nil)
		if err != nil {
			return Absent, fmt.Errorf("ask which tools the appliance has: %w", err)
		}
		c.tools = map[string]ToolState{}
		for line := range strings.Lines(string(out)) {
			verdict, name, _ := strings.Cut(strings.TrimSpace(line), " ")
			switch {
			case verdict == "has":
				c.tools[name] = Works
			case verdict == "bad" && c.tools[name] == Works:
				c.tools[name] = Fails
			}
		}
	}
	return c.tools[tool], nil
}
