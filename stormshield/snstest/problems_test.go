package snstest_test

import (
	"strings"
	"testing"

	"notification-stormshield/stormshield/snstest"
)

func TestNewApplianceHasNoProblems(t *testing.T) {
	a := snstest.Start(t)
	if got := a.Problems(); len(got) != 0 {
		t.Errorf("problems %q", got)
	}
}

func TestProblemsListEachInvalidLine(t *testing.T) {
	for name, c := range map[string]struct{ object, groups, want string }{
		"dangling member":     {"", "[g]\nnobody\n", `objectgroup line 2: the member "nobody" of [g] is unknown`},
		"member of services":  {"[Service]\nhttp=80/tcp\n", "[g]\nhttp\n", "is unknown"},
		"repeated object":     {"[Host]\na=192.0.2.1\n[Network]\na=192.0.2.0/24\n", "", `object line 4: the name "a" is taken since line 2`},
		"repeated group":      {"", "[g]\n[g]\n", "stands in line 1 already"},
		"repeated member":     {"[Host]\na=192.0.2.1\n", "[g]\na\na\n", "stands in line 2 already"},
		"object and group":    {"[Host]\na=192.0.2.1\n", "[a]\n", "an object is named like the group"},
		"illegal name":        {"[Host]\na b=192.0.2.1\n", "", "has a character"},
		"illegal group":       {"", "[a,b]\n", "has a character"},
		"long name":           {"[Host]\n" + strings.Repeat("a", 256) + "=192.0.2.1\n", "", "longer than 255"},
		"empty name":          {"[Host]\n=192.0.2.1\n", "", "is empty"},
		"broken address":      {"[Host]\na=192.0.2.256,resolve=static\n", "", "object line 2: the address of a"},
		"prefix as host":      {"[Host]\na=192.0.2.0/24\n", "", "the address of a"},
		"broken network":      {"[Network]\na=192.0.2.0/33\n", "", "the address of a"},
		"network with a host": {"[Network]\na=192.0.2.1/24\n", "", "bits set beyond its mask"},
		"broken mask":         {"[Network]\na=192.0.2.0/255.0.255.0\n", "", "is not a mask"},
		"backward range":      {"[Range]\na=192.0.2.9-192.0.2.1\n", "", "ends before it begins"},
		"unknown section":     {"[Hosts]\n", "", "there is no section [Hosts]"},
		"before a section":    {"a=192.0.2.1\n", "", "before the first section"},
		"member before group": {"", "a\n", "before the first group"},
		"no assignment":       {"[Host]\njust text\n", "", "neither a section nor name=value"},
		"open quotes":         {"[Host]\na=\"192.0.2.1\n", "", "quotation marks"},
		"open header":         {"[Host\n", "", "does not end in ]"},
		"half a line":         {"[Host]\na=192.0.2.1\ncrowdsec_i", "", "neither a section"},
		"NUL":                 {"[Host]\na=192.0.2.1\n\x00\n", "", "object line 3: a NUL byte"},
		"cycle":               {"", "[a]\nb\n[b]\na\n", "contains itself"},
		"assignment in group": {"", "[a]\nb=c\n", "is not a member's name"},
	} {
		t.Run(name, func(t *testing.T) {
			a := snstest.Start(t)
			for file, text := range map[string]string{snstest.ObjectFile: c.object, snstest.GroupFile: c.groups} {
				if err := a.Write(file, []byte(text)); err != nil {
					t.Fatal(err)
				}
			}
			if got := strings.Join(a.Problems(), "\n"); !strings.Contains(got, c.want) {
				t.Errorf("problems %q, want one with %q", got, c.want)
			}
		})
	}
}

func TestProblemsAcceptsEveryValidForm(t *testing.T) {
	a := snstest.Start(t)
	object := "# c\r\n[Host] #\"section\"\r\na=192.0.2.1 , resolve=static #\"x # y = z\"\r\n b=\"2001:db8::1,resolve=static\" #\"q\"\r\n" +
		"[Service]\r\na=80/tcp\r\n[Network]\r\nn=192.0.2.0/24\r\n[Host]\r\nc=192.0.2.3"
	if err := a.Write(snstest.ObjectFile, []byte(object)); err != nil {
		t.Fatal(err)
	}
	if err := a.Write(snstest.GroupFile, []byte("[g] #\"all\"\r\na\r\n\r\n  b #\"c\"\r\nn\r\nc\r\n[empty]\r\n")); err != nil {
		t.Fatal(err)
	}
	if got := a.Problems(); len(got) != 0 {
		t.Errorf("problems %q", got)
	}
	monitor(t, a).want(100, "MONITOR ADDRESSLIST ADD Type=BlackList Name1=g Timeout=60")
	wantSources(t, a, "192.0.2.0/24", "192.0.2.1/32", "192.0.2.3/32", "2001:db8::1/128")
}
