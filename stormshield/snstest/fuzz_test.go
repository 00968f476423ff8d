package snstest

import (
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
