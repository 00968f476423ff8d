package snstest_test

import (
	"slices"
	"strings"
	"testing"

	"notification-stormshield/stormshield/snstest"
)

// configure opens a session with the configuration right.
func configure(t testing.TB, a *snstest.Appliance) *apiClient {
	t.Helper()
	c := connect(t, a)
	c.want(100, "MODIFY ON")
	return c
}

// listed returns the lines of a slot, as CONFIG FILTER EXPLICIT prints them.
func (c *apiClient) listed(arguments string) (lines []string) {
	c.t.Helper()
	data := c.want(100, "CONFIG FILTER EXPLICIT type=filter "+arguments).Serverd[0].Data
	if data.Format != "list" || len(data.Sections) != 1 || data.Sections[0].Title != "Filter" {
		c.t.Fatalf("data %+v is no list of section Filter", data)
	}
	for _, line := range data.Sections[0].Lines {
		lines = append(lines, line.Text)
	}
	return lines
}

func setPolicy(t testing.TB, a *snstest.Appliance, slot int, lines ...string) {
	t.Helper()
	if err := a.SetPolicy(slot, lines...); err != nil {
		t.Fatal(err)
	}
}

func wantLines(t testing.TB, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n%s\nwant:\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func wantPacket(t testing.TB, a *snstest.Appliance, source, destination string, want snstest.Verdict) {
	t.Helper()
	if got := a.Packet(addr(source), addr(destination)); got != want {
		t.Errorf("packet from %s to %s: %+v, want %+v", source, destination, got, want)
	}
}

// administratorsLines have every form of a line that a list is known to print.
var administratorsLines = []string{
	`separator; color=C0C0C0; collapse=0; comment=Postes "d'administration"; position=9: été`,
	`pass log from any to firewall_all port firewall_srv|https # Admin from everywhere`,
	`off decrypt inspection ips sslfiltering:0 from Network_internals to internet`,
	`separator; color=99CC00; collapse=1; comment=`,
	`block log minor from !net_lan|srv_web on in to any #  two spaces, <angle> & 'quotes' # from any to any`,
	`rulename=mail: pass from any to srv_mail`,
	`block from any to any # Block all`,
}

func TestAPolicyPrintsByteForByte(t *testing.T) {
	a := snstest.Start(t)
	setPolicy(t, a, 3, administratorsLines...)
	wantLines(t, "the policy", a.Policy(3), administratorsLines...)
	want := []string{
		"position=1; " + administratorsLines[0],
		"position=2; ruleid=1: " + administratorsLines[1],
		"position=3; ruleid=2: " + administratorsLines[2],
		"position=4; " + administratorsLines[3],
		"position=5; ruleid=3: " + administratorsLines[4],
		"position=6; ruleid=4: pass from any to srv_mail",
		"position=7; ruleid=5: " + administratorsLines[6],
	}
	c := connect(t, a)
	wantLines(t, "the list", c.listed("index=3"), want...)
	wantLines(t, "the list of slot 03", c.listed("index=03 useclone=1"), want...)

	a.SetFaults(func(f *snstest.Faults) { f.ShowRuleNames = true })
	want[5] = "position=6; ruleid=4; rulename=mail: pass from any to srv_mail"
	wantLines(t, "the list with names", c.listed("index=3 useclone=0"), want...)
	a.SetFaults(func(f *snstest.Faults) { f.FilterCounters, f.ShowRuleNames = true, false })
	counted := c.listed("index=3")
	if counted[0] != "separator; position=1; first_ruleid=1; nb_elements=2; "+strings.TrimPrefix(administratorsLines[0], "separator; ") ||
		!strings.HasPrefix(counted[3], "separator; position=4; first_ruleid=3; nb_elements=3; color=") {
		t.Errorf("separators with counters: %q and %q", counted[0], counted[3])
	}
	if first, second := c.listed("index=3")[6], c.listed("index=3")[6]; first == second || !strings.HasSuffix(first, " ruleid=5: "+administratorsLines[6]) {
		t.Errorf("lines with counters: %q, then %q", first, second)
	}
}

func TestAPolicyThatCannotPrintAsItIsIsRefused(t *testing.T) {
	a := snstest.Start(t)
	for _, line := range []string{
		"", "pass from any", "pass from  any to any", "accept from any to any", "pass from any to any\n", "pass from any to nobody", "pass from any to \xff",
	} {
		if err := a.SetPolicy(1, line); err == nil {
			t.Errorf("%q is accepted", line)
		}
	}
	if err := a.SetPolicy(11); err == nil {
		t.Error("slot 11 is accepted")
	}
}

func TestRulesAreInsertedUpdatedAndRemovedInTheCopy(t *testing.T) {
	a := snstest.Start(t)
	const slot, first, last = 5, "pass from net_lan to any # first", "block from any to any # last"
	setPolicy(t, a, slot, first, last)
	c := configure(t, a)
	c.want(100, `CONFIG FILTER RULE INSERT index=5 type=filter state=on action=block srctarget=admin_stations,!srv_web dsttarget=any position=1 `+
		`rulename=crowdsec loglevel=none comment="crowdsec-stormshield crowdsec: bans as source, block, log none"`)
	c.want(100, `CONFIG FILTER RULE ADDSEP index=5 type=filter position=2 collapse=0 color=C0C0C0 comment="été"`)
	c.want(100, `CONFIG FILTER RULE INSERT index=5 type=filter global=0 state=off action=reset srctarget=any dsttarget=srv_web loglevel=major `+
		`dstport=http,https inspection=ids count=on srcif=in`)
	const ours = " from admin_stations|!srv_web to any # crowdsec-stormshield crowdsec: bans as source, block, log none"
	wantLines(t, "the copy", c.listed("index=5 useclone=1"),
		"position=1; ruleid=1: block"+ours,
		"position=2; separator; color=C0C0C0; collapse=0; comment=été",
		"position=3; ruleid=2: "+first, "position=4; ruleid=3: "+last,
		"position=5; ruleid=4: off reset log major inspection ids count from any on in to srv_web port http|https")
	wantLines(t, "the activated rules", c.listed("index=5"), "position=1; ruleid=1: "+first, "position=2; ruleid=2: "+last)

	c.want(100, `CONFIG FILTER RULE UPDATE index=5 type=filter name=crowdsec action=log loglevel=log`)
	c.want(100, `CONFIG FILTER RULE UPDATE index=5 type=filter position=5 state=on loglevel=minor count=off inspection=ips rulename=other comment=new dstport=any`)
	c.want(100, `CONFIG FILTER RULE REMOVE index=5 type=filter position=2`)
	wantLines(t, "the copy", a.EditedPolicy(slot), "rulename=crowdsec: log log"+ours, first, last,
		"rulename=other: reset log minor inspection ips from any on in to srv_web # new")
	c.want(100, `CONFIG FILTER RULE UPDATE index=5 type=filter name=crowdsec loglevel=none`)
	c.want(100, "CONFIG FILTER ACTIVATE")
	wantLines(t, "the activated rules", a.Policy(slot), a.EditedPolicy(slot)...)
	if line := a.Policy(slot)[0]; line != "rulename=crowdsec: log"+ours {
		t.Errorf("the first rule is %q", line)
	}
}

func TestACommandOnAPolicyWithAWrongArgumentChangesNothing(t *testing.T) {
	a := snstest.Start(t)
	setPolicy(t, a, 5, "rulename=a: pass from any to any", administratorsLines[0], "rulename=b: pass from any to any")
	before := a.Policy(5)
	c := configure(t, a)
	const insert = "CONFIG FILTER RULE INSERT index=5 type=filter state=on action=block srctarget=any dsttarget=any "
	for _, line := range []string{
		insert + "position=5", insert + "position=0", insert + "position=x", insert + "nonsense=1", insert + "rulename=a", insert + "rulename=a,b",
		insert + "comment=a@b", insert + "comment=#1", insert + "loglevel=debug", insert + "inspection=none", insert + "count=1", insert + "global=1",
		strings.Replace(insert, "srctarget=any", "srctarget=nobody", 1), strings.Replace(insert, "srctarget=any", "srctarget=any,srv_web", 1),
		strings.Replace(insert, "srctarget=any", "srctarget=", 1), strings.Replace(insert, "srctarget=any", "srctarget=http", 1),
		strings.Replace(insert, "dsttarget=any", "dsttarget=192.0.2.1", 1), strings.Replace(insert, "dsttarget=any", "", 1),
		strings.Replace(insert, "state=on", "state=maybe", 1), strings.Replace(insert, "action=block", "action=drop", 1),
		strings.Replace(insert, "index=5", "index=11", 1), strings.Replace(insert, "index=5", "", 1), strings.Replace(insert, "type=filter", "type=nat", 1),
		"CONFIG FILTER RULE UPDATE index=5 type=filter state=off", "CONFIG FILTER RULE UPDATE index=5 type=filter name=c state=off",
		"CONFIG FILTER RULE UPDATE index=5 type=filter name=a position=1 state=off", "CONFIG FILTER RULE UPDATE index=5 type=filter position=2 state=off",
		"CONFIG FILTER RULE UPDATE index=5 type=filter position=4 state=off", "CONFIG FILTER RULE UPDATE index=5 type=filter name=a rulename=b",
		"CONFIG FILTER RULE UPDATE index=5 type=filter name=a comment=x srctarget=nobody",
		"CONFIG FILTER RULE REMOVE index=5 type=filter position=4", "CONFIG FILTER RULE REMOVE index=5 type=filter", "CONFIG FILTER RULE REMOVE index=5 position=1",
		"CONFIG FILTER RULE ADDSEP index=5 type=filter position=5 collapse=0 color=C0C0C0 comment=x",
		"CONFIG FILTER RULE ADDSEP index=5 type=filter collapse=0 color=red comment=x",
		"CONFIG FILTER EXPLICIT index=5 type=filter useclone=2", "CONFIG FILTER CHECK index=5", "CONFIG FILTER ACTIVATE index=5",
		"CONFIG SLOT ACTIVATE type=filter slot=0", "CONFIG SLOT ACTIVATE type=filter", "CONFIG SLOT LIST", "MONITOR FILTER type=filter",
	} {
		c.want(200, line)
	}
	wantLines(t, "the copy", a.EditedPolicy(5), before...)
	wantLines(t, "the running rules", a.RunningPolicy(), before...)
	if s := a.Stats(); s.Activations != 0 || s.FilterCommands == 0 {
		t.Errorf("%d activations, %d commands", s.Activations, s.FilterCommands)
	}
}

func TestChangesOfAPolicyNeedThePrivilegeAndTheConfigurationRight(t *testing.T) {
	a := snstest.Start(t)
	reads := []string{"CONFIG SLOT LIST type=filter", "CONFIG FILTER EXPLICIT index=5 type=filter", "MONITOR FILTER"}
	changes := []string{
		"CONFIG FILTER RULE INSERT index=5 type=filter state=on action=block srctarget=any dsttarget=any",
		"CONFIG FILTER RULE UPDATE index=5 type=filter position=2 state=off", "CONFIG FILTER RULE REMOVE index=5 type=filter position=1",
		"CONFIG FILTER RULE ADDSEP index=5 type=filter collapse=0 color=C0C0C0 comment=x", "CONFIG FILTER CHECK index=5 type=filter",
		"CONFIG FILTER ACTIVATE", "CONFIG SLOT ACTIVATE type=filter slot=5",
	}
	all := func(c *apiClient, ret int, lines []string) {
		t.Helper()
		for _, line := range lines {
			c.want(ret, line)
		}
	}
	c := connect(t, a)
	all(c, 100, reads)
	all(c, 205, changes)
	c.want(100, "MODIFY MONITOR ON")
	all(c, 205, changes)
	c.want(100, "MODIFY ON")
	all(c, 100, changes[1:2])
	a.AdminTakesModify()
	all(c, 205, changes)
	a.AdminReleasesModify()

	a.SetFaults(func(f *snstest.Faults) { f.NoFilter = true })
	c = configure(t, a)
	all(c, 100, reads)
	all(c, 205, changes)
	c.openSession("BASE,MODIFY")
	all(c, 205, reads)
}

func TestTheActiveSlotChangesWithItsActivation(t *testing.T) {
	a := snstest.Start(t)
	setPolicy(t, a, 7, "block from any to any")
	c := configure(t, a)
	active := func() string {
		sections := c.want(100, "CONFIG SLOT LIST type=filter").Serverd[0].Data.Sections
		if len(sections) != 1 || sections[0].Title != "Global" || len(sections[0].Keys) != 1 || sections[0].Keys[0].Name != "active" {
			t.Fatalf("slots %+v", sections)
		}
		return sections[0].Keys[0].Value
	}
	if active() != "5" || a.ActiveSlot() != 5 {
		t.Errorf("the active slot is %s", active())
	}
	c.want(100, "CONFIG FILTER RULE INSERT index=7 type=filter state=on action=reset srctarget=any dsttarget=any position=1")
	c.want(100, "CONFIG SLOT ACTIVATE type=filter slot=07")
	a.SetFaults(func(f *snstest.Faults) { f.PaddedSlots = true })
	if active() != "07" || a.ActiveSlot() != 7 {
		t.Errorf("the active slot is %s", active())
	}
	wantPacket(t, a, "192.0.2.1", "203.0.113.10", snstest.Verdict{Action: "block", By: "block from any to any"})
	c.want(100, "CONFIG FILTER ACTIVATE")
	wantPacket(t, a, "192.0.2.1", "203.0.113.10", snstest.Verdict{Action: "block", By: "block from any to any"})
	c.want(100, "CONFIG SLOT ACTIVATE type=filter slot=7")
	wantPacket(t, a, "192.0.2.1", "203.0.113.10", snstest.Verdict{Action: "reset", By: "reset from any to any"})
	if s := a.Stats(); s.Activations != 2 {
		t.Errorf("%d activations, want 2", s.Activations)
	}
}

func TestAnActivationAlsoLoadsIfAFaultSaysSo(t *testing.T) {
	a := snstest.Start(t)
	a.SetFaults(func(f *snstest.Faults) { f.FilterActivateLoads = true })
	setPolicy(t, a, 5)
	c := configure(t, a)
	c.want(100, "CONFIG FILTER RULE INSERT index=5 type=filter state=on action=reset srctarget=any dsttarget=any")
	wantPacket(t, a, "192.0.2.1", "203.0.113.10", snstest.Verdict{Action: "pass"})
	c.want(100, "CONFIG FILTER ACTIVATE")
	wantPacket(t, a, "192.0.2.1", "203.0.113.10", snstest.Verdict{Action: "reset", By: "reset from any to any"})
}

func TestAnAdministratorEditsAndActivatesAPolicy(t *testing.T) {
	a := snstest.Start(t)
	setPolicy(t, a, 5, "pass from net_lan to any")
	edit := func(edit func([]string) []string) {
		if err := a.AdminEditPolicy(5, edit); err != nil {
			t.Fatal(err)
		}
	}
	edit(func(lines []string) []string { return append(lines, "block from any to any") })
	wantLines(t, "the activated rules", a.Policy(5), "pass from net_lan to any")
	wantLines(t, "the copy", a.EditedPolicy(5), "pass from net_lan to any", "block from any to any")
	wantPacket(t, a, "192.0.2.1", "203.0.113.10", snstest.Verdict{Action: "pass"})
	if err := a.AdminActivatePolicy(5); err != nil {
		t.Fatal(err)
	}
	wantPacket(t, a, "192.0.2.1", "203.0.113.10", snstest.Verdict{Action: "block", By: "block from any to any"})
	edit(func([]string) []string { return nil })
	a.Reboot()
	wantLines(t, "the copy after a reboot", a.EditedPolicy(5), "pass from net_lan to any", "block from any to any")
}

func TestACheckNamesTheObjectsThatDoNotExist(t *testing.T) {
	a := snstest.Start(t)
	setPolicy(t, a, 5, "pass from any to srv_web", administratorsLines[0], "pass from any to !srv_mail # été")
	configure(t, a).want(100, "CONFIG FILTER CHECK index=5 type=filter")
	if err := a.Write(snstest.GroupFile, nil); err != nil {
		t.Fatal(err)
	}
	if err := a.Write(snstest.ObjectFile, []byte("[Host]\nsrv_web=203.0.113.10,resolve=static\n")); err != nil {
		t.Fatal(err)
	}
	a.EndSessions()
	d := configure(t, a).want(201, "CONFIG FILTER CHECK index=5 type=filter")
	if got := strings.TrimSpace(d.Serverd[0].Data.Raw); got != "position 3: unknown object srv_mail" {
		t.Errorf("errors %q", got)
	}
}

func TestMonitorFilterPrintsTheRunningRules(t *testing.T) {
	a := snstest.Start(t)
	setPolicy(t, a, 5, administratorsLines...)
	c := configure(t, a)
	c.want(100, "CONFIG FILTER RULE REMOVE index=5 type=filter position=7")
	c.want(100, "CONFIG FILTER ACTIVATE")
	text := c.want(100, "MONITOR FILTER").Serverd[0].Data.Raw
	if lines := strings.Split(strings.TrimSpace(text), "\n"); len(lines) != 5 || lines[4] != "ruleid=5: block from any to any # Block all" {
		t.Errorf("rules in force:\n%s", text)
	}
}

func TestAnApplianceMayRefuseUseclone(t *testing.T) {
	a := snstest.Start(t)
	setPolicy(t, a, 5, "pass from any to any")
	c := configure(t, a)
	c.want(100, "CONFIG FILTER RULE REMOVE index=5 type=filter position=1")
	a.SetFaults(func(f *snstest.Faults) { f.UseCloneRefused = true })
	c.want(200, "CONFIG FILTER EXPLICIT index=5 type=filter useclone=1")
	if lines := c.listed("index=5"); lines != nil {
		t.Errorf("rules of the copy: %q", lines)
	}
}

func TestMonitorFilterMayShowTheMembersOfTheRunningGroups(t *testing.T) {
	a := snstest.Start(t)
	a.SetFaults(func(f *snstest.Faults) { f.MonitorShowsMembers = true })
	setPolicy(t, a, 5, "block from admin_stations to !net_lan|internet")
	appendTo(t, a, snstest.GroupFile, "[admin_stations]\nsrv_mail\n")
	text := connect(t, a).want(100, "MONITOR FILTER").Serverd[0].Data.Raw
	if want := "ruleid=1: block from 192.168.10.20|198.51.100.7 to !192.168.10.0/24|internet\n"; text != want {
		t.Errorf("rules in force %q, want %q", text, want)
	}
}

func TestARenamedObjectHasItsNewNameInThePolicies(t *testing.T) {
	a := snstest.Start(t)
	setPolicy(t, a, 5, "block from srv_mail|!srv_web to any # srv_mail")
	if err := a.AdminEditPolicy(5, func(lines []string) []string { return append(lines, "block from any to srv_mail") }); err != nil {
		t.Fatal(err)
	}
	if err := a.RenameObject("srv_mail", "mail"); err != nil {
		t.Fatal(err)
	}
	wantLines(t, "the copy", a.EditedPolicy(5), "block from mail|!srv_web to any # srv_mail", "block from any to mail")
	wantLines(t, "the activated rules", a.Policy(5), "block from mail|!srv_web to any # srv_mail")
	wantPacket(t, a, "203.0.113.11", "192.0.2.1", snstest.Verdict{Action: "block", By: "srv_mail"})
}
