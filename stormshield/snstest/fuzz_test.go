package snstest

import (
	"slices"
	"strings"
	"testing"
)

func FuzzParseObjectFiles(f *testing.F) {
	f.Add(administratorsObjects, administratorsGroups)
	f.Add("[Host]\na=\"", "[a]\na\n[a\n]")
	f.Add("[Network]\nn=1.2.3.4/", "[\n=\n#")
	f.Add("x\x00\n[]\n[Host]\n=::\nh=::%c\nx\na b=::ffff:1.2.3.4\n"+strings.Repeat("n", 300)+"=1.2.3.4\n", "x\n[]\n[\x01]\n[\x01]\n[g]\n=\ng\ng\nunknown\n")
	f.Add("[Network]\na=/0.1.0.0\na=0.1.0.0/0\n[Range]\na=0:\nb=::0\nc=0.0.1.0-0.0.0.0\n[x]\n"+strings.Repeat("=\n", 1100), "[empty]")
	f.Fuzz(func(t *testing.T, object, groups string) {
		base := parseObjects(object, groups)
		for name := range base.groups {
			prefixes, known := base.resolve(name)
			if !known {
				t.Errorf("a group is not known by its name %q", name)
			}
			for _, p := range prefixes {
				if p != p.Masked() {
					t.Errorf("%s is not a masked prefix", p)
				}
			}
		}
		problems([]byte(object), []byte(groups))
	})
}

func FuzzParseCommand(f *testing.F) {
	f.Add(`MONITOR ADDRESSLIST ADD Type=BlackList Name1="a b" Timeout=60`)
	f.Add("modify \t on=")
	f.Add(`a="b`)
	f.Add("word =x")
	f.Add("word")
	f.Fuzz(func(t *testing.T, line string) {
		words, arguments, ok := parseCommand(line)
		for _, word := range words {
			if word == "" || strings.ContainsAny(word, " \t=") {
				t.Errorf("word %q", word)
			}
		}
		for name := range arguments {
			if name == "" {
				t.Error("an argument without a name")
			}
		}
		if !ok && len(words)+len(arguments) > 0 {
			t.Error("a refused line has words")
		}
	})
}

// A policy prints byte for byte after any command.
func FuzzFilterCommand(f *testing.F) {
	const at = "index=5 type=filter "
	f.Add("INSERT "+at+`state=on action=log srctarget=srv_web,!net_lan dsttarget=any loglevel=minor comment=" a : b from c to d"`, "REMOVE "+at+"position=1")
	f.Add("ADDSEP "+at+`collapse=0 color=C0C0C0 comment="; é"`, "UPDATE "+at+"name=x dstport=http,https srcif=in rulename=y count=on inspection=ids")
	f.Add("UPDATE "+at+"position=2 action=off", "UPDATE "+at+`position=3 dstport="a # b" comment=`)
	f.Fuzz(func(t *testing.T, first, second string) {
		objects := newView([]byte(administratorsObjects), []byte(administratorsGroups))
		policies, err := newFilter(objects)
		if err != nil {
			t.Fatal(err)
		}
		a := &Appliance{filter: policies, counters: &counters{}, sessions: newSessionStore(Options{})}
		a.sessions.setRightHolder(configRight, "id")
		c := &call{appliance: a, session: &session{id: "id", levels: accountLevels(&Faults{}), view: objects}, faults: &Faults{}}
		for _, line := range []string{first, second} {
			c.run("CONFIG FILTER RULE " + line)
		}
		rules := policies.slots[DefaultSlot-1].edited()
		again, err := parseRules(ruleLines(rules))
		if err != nil || !slices.Equal(again, rules) {
			t.Errorf("%q are not read as they were printed: %v", ruleLines(rules), err)
		}
	})
}
