package filter

import (
	"reflect"
	"strings"
	"testing"
)

func TestALineOfThePolicyIsRead(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]Line{
		"position=1; ruleid=1: pass log from any to firewall_all port firewall_srv|https # Admin from everywhere": {
			Kind: Rule, Position: 1, Action: "pass", From: []string{"any"}, To: []string{"firewall_all"}, Comment: "Admin from everywhere",
			Text: "pass log from any to firewall_all port firewall_srv|https # Admin from everywhere",
		},
		"position=3; ruleid=2: off decrypt inspection ips sslfiltering:0 from Network_internals to internet": {
			Kind: Rule, Position: 3, Off: true, Action: "decrypt", From: []string{"Network_internals"}, To: []string{"internet"},
			Text: "off decrypt inspection ips sslfiltering:0 from Network_internals to internet",
		},
		"position=12; usage=7 match=99 ruleid=5: block from any@Crowdsec|b,c on in to !d": {
			Kind: Rule, Position: 12, Action: "block", From: []string{"Crowdsec", "b", "c"}, To: []string{"!d"},
			Text: "block from any@Crowdsec|b,c on in to !d",
		},
		"usage=0 match=0 ruleid=5: pass from any to any": {
			Kind: Rule, Action: "pass", From: []string{"any"}, To: []string{"any"}, Text: "pass from any to any",
		},
		`position=1; ruleid=1; rulename="crowdsec": block from "Crowdsec" to any # from a to b: # c`: {
			Kind: Rule, Position: 1, Name: "crowdsec", Action: "block", From: []string{"Crowdsec"}, To: []string{"any"}, Comment: "from a to b: # c",
			Text: `rulename="crowdsec" block from "Crowdsec" to any # from a to b: # c`,
		},
		"position=4;separator;collapse=0;color=C0C0C0;comment=Servers: from here to there": {
			Kind: Separator, Position: 4, Text: ";separator;collapse=0;color=C0C0C0;comment=Servers: from here to there",
		},
		`separator;position=4;first_ruleid=3;nb_elements=1;collapse=0;comment="Default policy"`: {
			Kind: Separator, Position: 4, Text: `separator;;;;collapse=0;comment="Default policy"`,
		},
		"position=4; ruleid=2: separator color=C0C0C0 comment=from a to b": {
			Kind: Separator, Position: 4, Text: "; : separator color=C0C0C0 comment=from a to b",
		},
		"position=9; ruleid=1: another form": {Kind: Unknown, Position: 9, Text: "another form"},
		"something else":                     {Kind: Unknown, Text: "something else"},
		"position=99999999999999999999; ruleid=1: pass from a to b": {
			Kind: Rule, Action: "pass", From: []string{"a"}, To: []string{"b"}, Text: "pass from a to b",
		},
	} {
		if got := parseLine(line); !reflect.DeepEqual(got, want) {
			t.Errorf("%s\n got %+v\nwant %+v", line, got, want)
		}
	}
}

func TestTheTextOfALineLeavesOutWhatChangesByItself(t *testing.T) {
	t.Parallel()
	for _, same := range [][]string{
		{"position=1; ruleid=1: pass from a to b # c", "position=7; usage=3; match=8; ruleid=5: pass from a to b # c"},
		{"position=2;separator;color=000000;comment=A", "position=3;separator;color=000000;comment=A"},
		{"separator;position=2;first_ruleid=2;nb_elements=1;color=000000;comment=A", "separator;position=3;first_ruleid=4;nb_elements=7;color=000000;comment=A"},
	} {
		if a, b := parseLine(same[0]).Text, parseLine(same[1]).Text; a != b {
			t.Errorf("%q and %q", a, b)
		}
	}
	for _, different := range [][]string{
		{"position=1; ruleid=1: pass from a to b # c", "position=1; ruleid=1: pass from a to b # d"},
		{"position=1; ruleid=1: pass from a to b", "position=1; ruleid=1: off pass from a to b"},
		{"position=2;separator;color=000000;comment=A", "position=2;separator;color=111111;comment=A"},
		{"position=2;separator;color=000000;comment=A 1", "position=2;separator;color=000000;comment=A 2"},
	} {
		if a, b := parseLine(different[0]).Text, parseLine(different[1]).Text; a == b {
			t.Errorf("%q and %q have the text %q", different[0], different[1], a)
		}
	}
}

func TestALineWithoutAPositionFollowsTheOneBefore(t *testing.T) {
	t.Parallel()
	lines := parseList([]string{"[Filter]", "ruleid=1: pass from a to b", "position=4; ruleid=2: pass from c to d", "else"})
	var positions []int
	for _, l := range lines {
		positions = append(positions, l.Position)
	}
	if want := []int{1, 4, 5}; !reflect.DeepEqual(positions, want) {
		t.Errorf("positions %v, want %v", positions, want)
	}
}

func TestOnlyTheMarkerWithTheNameMakesARuleOurs(t *testing.T) {
	t.Parallel()
	for comment, want := range map[string][2]bool{ // ours, and of the name "crowdsec"
		"crowdsec-stormshield crowdsec: bans as source, block, log none":  {true, true},
		"crowdsec-stormshield crowdsec2: bans as source, block, log none": {true, false},
		"crowdsec-stormshield":                              {false, false},
		"see crowdsec-stormshield crowdsec: bans as source": {false, false},
	} {
		l := parseLine("position=1; ruleid=1: block from Crowdsec to any # " + comment)
		if got := [2]bool{l.IsOurs(), l.IsOf("crowdsec")}; got != want {
			t.Errorf("%s: %v, want %v", comment, got, want)
		}
	}
}

func TestAListOfAnotherFormIsNotChangedAndCountsForTheGroup(t *testing.T) {
	t.Parallel()
	const others, ours = "position=1; ruleid=1: pass from a to b", "position=2; ruleid=2: block from Crowdsec to any # crowdsec-stormshield crowdsec: bans as source"
	for _, c := range []struct {
		others, ours string
		readable     bool
		use          Use
	}{
		{others, ours, true, Use{AsSource: true}},
		{"pass (a,b)", ours, true, Use{AsSource: true}},
		{others, "block (Crowdsec,any) crowdsec-stormshield crowdsec: bans as source", false, Use{true, true}},
		{others, "block Crowdsec any crowdsec-stormshield crowdsec: bans as source", false, Use{true, true}},
		{"pass a b", "block Crowdsec any", false, Use{true, true}},
		{"pass a b", "block c any", false, Use{}},
	} {
		lines := parseList([]string{c.others, c.ours})
		if err := checkReadable(lines); (err == nil) != c.readable {
			t.Errorf("%q: %v", c.ours, err)
		}
		if use := useOf(lines, "Crowdsec"); use != c.use {
			t.Errorf("%q: %+v", c.ours, use)
		}
	}
}

func FuzzParseLine(f *testing.F) {
	for _, line := range []string{
		"position=1; ruleid=1: pass log from any to firewall_all port https # a", "position=4;separator;collapse=0;comment=x: from a to b",
		`position=1; rulename="a b": off block from "x"|y to !z # "c"`, "usage=0 match=0 ruleid=5: pass from a to b",
	} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		l := parseLine(line)
		if l.Position < 0 || l.Kind == Rule && (l.Action == "" || l.Off && l.Action == "off" && !strings.Contains(line, "off off")) {
			t.Errorf("%q is %+v", line, l)
		}
		if l.Kind != Rule && l.Comment != "" && l.IsOurs() {
			t.Errorf("%q is ours", line)
		}
		// A rule that moves keeps its text.
		if again := parseLine("position=77; ruleid=3: " + l.Text); l.Kind == Rule && l.Name == "" && again.Kind == Rule && again.Position != 77 {
			t.Errorf("%q loses its position", l.Text)
		}
	})
}
