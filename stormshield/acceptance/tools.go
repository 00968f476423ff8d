package acceptance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"notification-stormshield/stormshield/shell"
)

// Tools of the appliance, by use.
var (
	neededTools = []string{"cat", "cp", "grep", "mv", "rm"}
	editTools   = []string{"awk", "cksum", "tail"} // with these the appliance edits its files (package edit)
)

// tools checks which tools the appliance has and whether they work.
func (c *checker) tools(ctx context.Context) bool {
	found := map[shell.ToolState][]string{}
	for _, tool := range shell.Tools {
		state, err := c.shell.Tool(ctx, tool)
		if err != nil {
			c.wrong(tools, err, c.scriptHint(err))
			return false
		}
		found[state] = append(found[state], tool)
	}
	asks, _ := c.shell.Tool(ctx, shell.MoveAsks) // asked already
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
	switch needed, edits := common(neededTools, unusable), common(editTools, unusable); {
	case needed != "":
		c.wrong(tools, errors.New(detail), "the plugin cannot replace the files without "+needed)
		return false
	case edits != "":
		c.differs(tools, detail, "without "+edits+" each flush sends both files whole")
	case asks == shell.Fails:
		c.differs(tools, detail, fmt.Sprintf("without %s, an edit of the administrator in the very moment of a flush may be lost", shell.MoveAsks))
	default:
		c.holds(tools, detail)
	}
	return true
}

// common returns the words that are in both lists.
func common(some, others []string) string {
	both := slices.DeleteFunc(slices.Clone(some), func(word string) bool { return !slices.Contains(others, word) })
	return strings.Join(both, ", ")
}
