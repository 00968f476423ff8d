package snstest_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"notification-stormshield/stormshield/snstest"
)

func TestAToolThatFailsSaysSo(t *testing.T) {
	a := snstest.Start(t)
	client := connectSSH(t, a)
	a.SetFaults(func(f *snstest.Faults) { f.RefusedTools = []string{"enobject"} })
	for command, want := range map[string]result{
		"enobject":         {err: "enobject: cannot load\n", status: 1},
		"enobject -x":      {err: "enobject: unknown option -x\n", status: 1},
		"enfilter":         {err: "enfilter: usage: enfilter -u\n", status: 1},
		"enfilter -u 5":    {err: "enfilter: unknown option 5\n", status: 1},
		"enfilter -u":      {},
		"enobject && true": {err: "enobject: cannot load\n", status: 1},
	} {
		if got := runSSH(t, client, command, nil); got != want {
			t.Errorf("%s: %+v, want %+v", command, got, want)
		}
	}
	if s := a.Stats(); s.Activations != 1 {
		t.Errorf("%d activations, want 1", s.Activations)
	}
}

// Another program may serve the disk over SSH.
func TestTheToolsRunWithoutTheSSHServer(t *testing.T) {
	a := snstest.Start(t, func(o *snstest.Options) { o.NoSSH = true })
	setPolicy(t, a, 5, "block from admin_stations to any # b")
	appendTo(t, a, snstest.GroupFile, "[admin_stations]\nsrv_mail\n")
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for _, words := range []string{"enobject", "enfilter -u"} {
				name, option, _ := strings.Cut(words, " ")
				if out, err := exec.Command("/bin/sh", "-c", `"$0" $1`, filepath.Join(a.ToolDir(), name), option).CombinedOutput(); err != nil || len(out) > 0 {
					t.Errorf("%s: %v %s", words, err, out)
				}
			}
		})
	}
	all.Wait()
	wantPacket(t, a, "203.0.113.11", "198.51.100.1", snstest.Verdict{Action: "block", By: "b"})
	if s := a.Stats(); s.Activations != 4 {
		t.Errorf("%d activations, want 4", s.Activations)
	}
}

// A step is before or after a command.
func TestAStepMayCutTheConnectionOrRebootTheAppliance(t *testing.T) {
	const insert = "CONFIG FILTER RULE INSERT index=5 type=filter state=on action=reset srctarget=any dsttarget=any"
	for name, test := range map[string]struct {
		at     string
		after  bool
		reboot bool
		copied bool // the copy has the rule
		runs   int  // rules
	}{
		"cut before an insertion":     {at: insert},
		"cut after an insertion":      {at: insert, after: true, copied: true},
		"reboot before an insertion":  {at: insert, reboot: true},
		"reboot after an insertion":   {at: insert, reboot: true, after: true},
		"cut before an activation":    {at: "CONFIG FILTER ACTIVATE", copied: true},
		"cut after an activation":     {at: "CONFIG FILTER ACTIVATE", after: true, copied: true},
		"reboot before an activation": {at: "CONFIG FILTER ACTIVATE", reboot: true},
		"reboot after an activation":  {at: "CONFIG FILTER ACTIVATE", reboot: true, after: true, copied: true, runs: 1},
		"cut before the tool":         {at: "enfilter -u", copied: true},
		"cut after the tool":          {at: "enfilter -u", after: true, copied: true, runs: 1},
		"reboot before the tool":      {at: "enfilter -u", reboot: true, copied: true, runs: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := snstest.Start(t)
			setPolicy(t, a, 5)
			c, client := configure(t, a), connectSSH(t, a)
			a.SetFaults(func(f *snstest.Faults) {
				f.Step = func(command string, ran bool) bool {
					if command != test.at || ran != test.after {
						return false
					}
					if test.reboot {
						a.Reboot()
					}
					return !test.reboot
				}
			})
			for _, line := range []string{insert, "CONFIG FILTER ACTIVATE"} {
				_, err := c.do("GET", "/api/command?sessionid="+c.session+"&cmd="+strings.ReplaceAll(line, " ", "%20"), nil)
				if (err != nil) != (line == test.at) {
					t.Errorf("%s: error %v", line, err)
				}
				if line == test.at {
					break
				}
			}
			if test.at == "enfilter -u" {
				if r := runSSH(t, client, "enfilter -u", nil); r.status == 0 {
					t.Errorf("enfilter: %+v", r)
				}
			}
			if got := len(a.EditedPolicy(5)) > 0; got != test.copied {
				t.Errorf("the copy has the rule: %v", got)
			}
			if got := len(a.RunningPolicy()); got != test.runs {
				t.Errorf("%d rules run, want %d", got, test.runs)
			}
		})
	}
}

func TestAnAdministratorMayEditBetweenTwoCommands(t *testing.T) {
	a := snstest.Start(t)
	setPolicy(t, a, 5)
	c := configure(t, a)
	a.SetFaults(func(f *snstest.Faults) {
		f.Step = func(command string, ran bool) bool {
			if !ran && command == "CONFIG FILTER ACTIVATE" {
				if err := a.AdminEditPolicy(5, func(lines []string) []string { return append(lines, "pass from any to any") }); err != nil {
					t.Error(err)
				}
			}
			return false
		}
	})
	c.want(100, "CONFIG FILTER ACTIVATE")
	wantLines(t, "the activated rules", a.Policy(5), "pass from any to any")
}
