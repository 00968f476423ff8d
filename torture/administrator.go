package torture

import (
	"fmt"
	"slices"
	"time"

	"notification-stormshield/plugin/plugintest"
	"notification-stormshield/stormshield/snstest"
)

// administrator edits the appliance's files and its policy, and remembers every
// line that they must have beside those of the plugin.
type administrator struct {
	appliance *snstest.Appliance
	lines     map[string][]string // by file
	policy    []string            // of the active slot
	edits     int
}

var files = []string{snstest.ObjectFile, snstest.GroupFile}

func newAdministrator(appliance *snstest.Appliance) administrator {
	a := administrator{appliance: appliance, lines: map[string][]string{}, policy: appliance.Policy(snstest.DefaultSlot)}
	for _, file := range files {
		_, a.lines[file] = plugintest.SplitFile(string(appliance.Read(file)))
	}
	return a
}

// edit adds a line to a file, at its top, by a rename over it or in place.
func (a *administrator) edit(file string, inPlace bool) error {
	line := fmt.Sprintf("# edit %d", a.edits)
	a.edits++
	add := func(text []byte) []byte { return append([]byte(line+"\n"), text...) }
	a.lines[file] = append([]string{line}, a.lines[file]...)
	if inPlace {
		return a.appliance.AdminEditInPlace(file, add)
	}
	return a.appliance.AdminEdit(file, add)
}

// write replaces a file by another text.
func (a *administrator) write(file, text string) error {
	_, a.lines[file] = plugintest.SplitFile(text)
	return a.appliance.Write(file, []byte(text))
}

// compareLines returns the administrator's lines that are gone, and the lines
// that nobody wrote.
func (a *administrator) compareLines() (lost, added []string) {
	for name, policy := range a.policies() {
		if _, present := splitPolicy(policy); !slices.Equal(present, a.policy) {
			lost = append(lost, fmt.Sprintf("the %s policy is %q", name, policy))
		}
	}
	for _, file := range files {
		_, present := plugintest.SplitFile(string(a.appliance.Read(file)))
		if slices.Equal(present, a.lines[file]) {
			continue
		}
		before := len(lost) + len(added)
		count := map[string]int{}
		for _, line := range present {
			count[line]++
		}
		for _, line := range a.lines[file] {
			if count[line]--; count[line] < 0 {
				lost = append(lost, file+": "+line)
			}
		}
		for line, n := range count {
			if n > 0 {
				added = append(added, file+": "+line)
			}
		}
		if len(lost)+len(added) == before {
			lost = append(lost, file+": the lines are in another order")
		}
	}
	return lost, added
}

// administratorAtWork edits the files again and again while bans start and end,
// and holds the configuration right all the time.
func administratorAtWork(t *try) {
	h := newHarness(t)
	h.maybeRemoveAwk()
	h.Appliance.AdminTakesModify()
	h.ban(long, h.draw(40)...)
	h.settle()
	for end := time.Now().Add(8 * time.Second); time.Now().Before(end); {
		h.ban(time.Duration(1+h.random.IntN(5))*time.Second, h.drawUpTo(20)...)
		for range h.random.IntN(6) {
			h.pauseUpTo(200 * time.Millisecond)
			h.must(h.administrator.edit(files[h.random.IntN(2)], h.random.IntN(2) == 0))
		}
	}
	if !h.Appliance.AdminHoldsModify() {
		h.report(evictions, 1, "the administrator lost the configuration right")
	}
	h.settle()
}
