package filter_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"notification-stormshield/stormshield/filter"
	"notification-stormshield/stormshield/flushtest"
	"notification-stormshield/stormshield/serverd"
	"notification-stormshield/stormshield/snstest"
)

// policy is a policy of 200 lines in every form that a list is known to print.
func policy() []string {
	lines := []string{
		`separator; color=C0C0C0; collapse=0; comment=Postes "d'administration"; position=9: été`,
		"pass log from admin_stations to firewall_all port firewall_srv|https # Admin from everywhere",
		"off decrypt inspection ips sslfiltering:0 from Network_internals to internet",
		"separator; color=99CC00; collapse=1; comment=",
		"block log minor from !net_lan|srv_web on in to any #  two spaces, <angle> & 'quotes' # from any to any",
		"rulename=mail: pass from any to srv_mail",
		"block from any to srv_mail # see crowdsec-stormshield crowdsec: not ours",
	}
	for i := len(lines); i < 199; i++ {
		line := fmt.Sprintf("pass from net_lan to srv_web port http|https # règle n° %d, «à l'essai»", i)
		if i%20 == 0 {
			line = fmt.Sprintf("separator; color=C0C0C0; collapse=0; comment=Groupe %d: from a to b", i)
		}
		lines = append(lines, line)
	}
	return append(lines, "block from any to any # Block all")
}

// start starts an appliance that runs a policy and knows the group.
func start(t *testing.T, lines ...string) *snstest.Appliance {
	t.Helper()
	sim := snstest.Start(t)
	for file, text := range map[string]string{
		snstest.ObjectFile: "[Host]\ncrowdsec_ip_3325256711=198.51.100.7,resolve=static\n", snstest.GroupFile: "[Crowdsec]\ncrowdsec_ip_3325256711\n",
	} {
		if err := sim.AdminEdit(file, func(before []byte) []byte { return append(before, text...) }); err != nil {
			t.Fatal(err)
		}
	}
	if err := sim.SetPolicy(snstest.DefaultSlot, lines...); err != nil {
		t.Fatal(err)
	}
	sim.ResetStats()
	return sim
}

func dial(t *testing.T, sim *snstest.Appliance) *serverd.Session {
	t.Helper()
	session, err := serverd.Dial(t.Context(), flushtest.Config(t, sim).API)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = session.Close(context.Background()) })
	return session
}

// wanted returns a rule that blocks sources, as edit changes it.
func wanted(edit ...func(*filter.Wanted)) filter.Wanted {
	w := filter.Wanted{Name: "crowdsec", Group: "Crowdsec", Action: "block", Log: "none", Direction: "in", Position: 1}
	for _, e := range edit {
		e(&w)
	}
	return w
}

func direction(d string) func(*filter.Wanted) { return func(w *filter.Wanted) { w.Direction = d } }

// install installs the rules, and returns whether there was something to do.
func install(t *testing.T, session filter.Session, w filter.Wanted) bool {
	t.Helper()
	change, err := filter.Install(t.Context(), session, w)
	if err != nil {
		t.Fatal(err)
	}
	if change.IsEmpty() {
		return false
	}
	if err := change.Apply(t.Context(), session, filter.Options{}); err != nil {
		t.Fatal(err)
	}
	return true
}

func remove(t *testing.T, session filter.Session, w filter.Wanted) {
	t.Helper()
	change, err := filter.Remove(t.Context(), session, w)
	if err == nil && !change.IsEmpty() {
		err = change.Apply(t.Context(), session, filter.Options{})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// ours are the lines of the rules that policies hold for a configuration, in their order.
func ours(w filter.Wanted) []string {
	level := map[string]string{"none": "", "minor": " log minor", "major": " log major"}[w.Log]
	if w.Action == "log" && w.Log == "none" {
		level = " log"
	}
	line := func(name, from, to, side string) string {
		return fmt.Sprintf("rulename=%s: %s%s from %s to %s # crowdsec-stormshield %s: bans as %s, %s, log %s",
			name, w.Action, level, from, to, w.Name, side, w.Action, w.Log)
	}
	in, out := line(w.Name, w.Group, "any", "source"), line(w.Name, "any", w.Group, "destination")
	return map[string][]string{
		"in": {in}, "out": {out}, "both": {in, line(w.Name+"_out", "any", w.Group, "destination")},
	}[w.Direction]
}

// wantPolicy compares the activated, the edited and the running policy of the active slot.
func wantPolicy(t *testing.T, sim *snstest.Appliance, want []string) {
	t.Helper()
	slot := sim.ActiveSlot()
	for what, got := range map[string][]string{"activated": sim.Policy(slot), "edited": sim.EditedPolicy(slot), "running": sim.RunningPolicy()} {
		if !slices.Equal(got, want) {
			t.Errorf("the %s policy differs:\n%s", what, difference(got, want))
		}
	}
}

// difference shows the lines from the first that differs.
func difference(got, want []string) string {
	n := 0
	for n < len(got) && n < len(want) && got[n] == want[n] {
		n++
	}
	return fmt.Sprintf("%d lines, want %d; from line %d on:\n%s\nwant:\n%s", len(got), len(want), n+1,
		strings.Join(got[n:min(n+4, len(got))], "\n"), strings.Join(want[n:min(n+4, len(want))], "\n"))
}

// wantCareful reports a session that forced a right, or that kept one.
func wantCareful(t *testing.T, sim *snstest.Appliance) {
	t.Helper()
	stats := sim.Stats()
	if stats.Evictions != 0 || slices.ContainsFunc(stats.APICommands, func(command string) bool { return strings.Contains(strings.ToUpper(command), "FORCE") }) {
		t.Errorf("%d evictions; commands %q", stats.Evictions, stats.APICommands)
	}
	if sim.ModifyHeld() && !sim.AdminHoldsModify() {
		t.Error("the configuration right is still held")
	}
}

// saboteur is a session in which something happens at its nth command.
type saboteur struct {
	filter.Session
	at     int // from 1; 0: never
	before func() error
	after  func() error
	run    []string // the commands so far
}

func (s *saboteur) Run(ctx context.Context, command string) (serverd.Answer, error) {
	s.run = append(s.run, command)
	isNow := len(s.run) == s.at
	if isNow && s.before != nil {
		if err := s.before(); err != nil {
			return serverd.Answer{}, err
		}
	}
	answer, err := s.Session.Run(ctx, command)
	if isNow && s.after != nil {
		if failed := s.after(); failed != nil {
			return serverd.Answer{}, failed
		}
	}
	return answer, err
}

var errCut = errors.New("the connection was cut")

// withoutUseClone is a session of an appliance that refuses the argument useclone.
type withoutUseClone struct {
	filter.Session
	instead string
}

func (w withoutUseClone) Run(ctx context.Context, command string) (serverd.Answer, error) {
	if strings.Contains(command, "useclone") {
		command += " nonsense=1"
	} else if strings.HasPrefix(command, "CONFIG FILTER EXPLICIT") {
		command += w.instead
	}
	return w.Session.Run(ctx, command)
}
