package main

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"notification-stormshield/stormshield/snstest"
)

// administrator is whoever else edits the appliance's files, and remembers every
// line that they must hold.
type administrator struct {
	appliance *snstest.Appliance
	lines     map[string][]string // by file
	edits     int
}

var files = []string{snstest.ObjectFile, snstest.GroupFile}

// meet takes note of the lines that there are.
func meet(appliance *snstest.Appliance) administrator {
	a := administrator{appliance: appliance, lines: map[string][]string{}}
	for _, file := range files {
		a.lines[file] = theirs(string(appliance.Read(file)))
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

// write replaces a file by a text of the administrator's own.
func (a *administrator) write(file, text string) error {
	a.lines[file] = theirs(text)
	return a.appliance.Write(file, []byte(text))
}

// lost tells how many of the administrator's lines are gone, and how many are
// there that nobody wrote.
func (a *administrator) lost() (gone, strange []string) {
	for _, file := range files {
		is := theirs(string(a.appliance.Read(file)))
		if slices.Equal(is, a.lines[file]) {
			continue
		}
		count := map[string]int{}
		for _, line := range is {
			count[line]++
		}
		for _, line := range a.lines[file] {
			if count[line]--; count[line] < 0 {
				gone = append(gone, file+": "+line)
			}
		}
		for line, n := range count {
			if n > 0 {
				strange = append(strange, file+": "+line)
			}
		}
		if len(gone)+len(strange) == 0 {
			gone = append(gone, file+": the lines are in another order")
		}
	}
	return gone, strange
}

var (
	oursInObject = regexp.MustCompile(`^crowdsec_(ip_\d+|net_\d+_\d+)=`)
	oursInGroup  = regexp.MustCompile(`^crowdsec_(ip_\d+|net_\d+_\d+)$`)
)

// mark stands below the header of a section that there was not, as the plugin
// had to make it.
const mark = "# section made by notification-stormshield"

// theirs are the lines of a text that are not the plugin's.
func theirs(text string) []string {
	var lines []string
	ours := false // inside of a group of the plugin's
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "[") {
			ours = line == "[Crowdsec]" || line == "[CrowdsecDeleteGroup]"
			if ours {
				continue
			}
		}
		if line == mark {
			lines = lines[:len(lines)-1]
			continue
		}
		if oursInObject.MatchString(line) || ours && oursInGroup.MatchString(line) {
			continue
		}
		lines = append(lines, line)
	}
	return lines
}

// members are the lines of a group.
func members(text, group string) []string {
	var lines []string
	inside := false
	for line := range strings.SplitSeq(text, "\n") {
		if strings.HasPrefix(line, "[") {
			inside = line == "["+group+"]"
		} else if inside && line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	return lines
}

// defined are the names of the plugin's objects.
func defined(text string) []string {
	var names []string
	for line := range strings.SplitSeq(text, "\n") {
		if oursInObject.MatchString(line) {
			name, _, _ := strings.Cut(line, "=")
			names = append(names, name)
		}
	}
	return names
}

// administratorAtWork has an administrator edit the files again and again while
// bans come and go, with the configuration right held all the time.
func administratorAtWork(ctx context.Context, t *trial) error {
	w, err := newWorld(ctx, t)
	if err != nil {
		return err
	}
	defer w.end()
	w.way()
	w.appliance.AdminTakesModify()
	w.mustBan(ctx, long, w.truth.fresh(w.random, 40)...)
	if err := w.settle(ctx); err != nil {
		return err
	}
	for end := time.Now().Add(8 * time.Second); time.Now().Before(end); {
		w.mustBan(ctx, time.Duration(1+w.random.IntN(5))*time.Second, w.truth.fresh(w.random, 1+w.random.IntN(20))...)
		for range w.random.IntN(6) {
			if err := pause(ctx, time.Duration(w.random.IntN(200))*time.Millisecond); err != nil {
				return err
			}
			if err := w.administrator.edit(files[w.random.IntN(2)], w.random.IntN(2) == 0); err != nil {
				return err
			}
		}
	}
	if !w.appliance.AdminHoldsModify() {
		w.found.evictions++
		w.found.notef("the administrator lost the configuration right")
	}
	return w.settle(ctx)
}
