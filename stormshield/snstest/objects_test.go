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

func TestProblemsNameWhatARealApplianceWouldChokeOn(t *testing.T) {
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

func TestFormsThatAreFineAreNoProblems(t *testing.T) {
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

func TestConfigObjectNeedsTheConfigurationRight(t *testing.T) {
	a := snstest.Start(t)
	w := monitor(t, a)
	for _, line := range []string{
		"CONFIG OBJECT GROUP NEW name=g", "CONFIG OBJECT GROUP DELETE name=admin_stations", "CONFIG OBJECT HOST NEW name=h ip=192.0.2.1",
		"CONFIG OBJECT HOST DELETE name=srv_web", "CONFIG OBJECT ACTIVATE",
	} {
		w.want(205, line)
	}
}

func TestConfigObjectMakesAndDeletes(t *testing.T) {
	a := snstest.Start(t)
	w := monitor(t, a)
	w.want(100, "MODIFY ON")
	w.want(100, "CONFIG OBJECT HOST NEW name=new_host ip=192.0.2.1")
	w.want(200, "CONFIG OBJECT HOST NEW name=new_host ip=192.0.2.2")
	w.want(200, "CONFIG OBJECT HOST NEW name=new_host ip=192.0.2.2 update=0")
	w.want(100, "CONFIG OBJECT HOST NEW name=new_host ip=192.0.2.3 update=1")
	w.want(200, "CONFIG OBJECT HOST NEW name=net_dmz ip=192.0.2.3 update=1")
	w.want(200, `CONFIG OBJECT HOST NEW name="bad name" ip=192.0.2.3`)
	w.want(200, "CONFIG OBJECT HOST NEW name=other ip=nonsense")
	w.want(100, "CONFIG OBJECT GROUP NEW name=new_group")
	w.want(200, "CONFIG OBJECT GROUP NEW name=new_group")
	w.want(100, "CONFIG OBJECT GROUP NEW name=new_group update=1")
	w.want(200, "CONFIG OBJECT GROUP NEW name=srv_web update=1")
	w.want(200, "CONFIG OBJECT HOST DELETE name=srv_mail")
	w.want(100, "CONFIG OBJECT HOST DELETE name=srv_mail force=1")
	w.want(200, "CONFIG OBJECT GROUP DELETE name=internal_servers")
	w.want(100, "CONFIG OBJECT GROUP DELETE name=internal_servers force=1")
	w.want(200, "CONFIG OBJECT GROUP DELETE name=internal_servers")
	w.want(200, "CONFIG OBJECT HOST DELETE name=nobody")
	w.want(100, "CONFIG OBJECT ACTIVATE")

	object, groups := string(a.Read(snstest.ObjectFile)), string(a.Read(snstest.GroupFile))
	if !strings.Contains(object, "[Host]\nnew_host=192.0.2.3,resolve=static\n") || strings.Contains(object, "srv_mail") {
		t.Errorf("object is %s", object)
	}
	if !strings.HasSuffix(groups, "[new_group]\n") || strings.Contains(groups, "internal_servers") || strings.Contains(groups, "srv_mail") {
		t.Errorf("objectgroup is %s", groups)
	}
	if got := a.Problems(); len(got) != 0 {
		t.Errorf("problems %q", got)
	}
	w.want(100, "MONITOR ADDRESSLIST ADD Type=BlackList Name1=new_host Timeout=60")
	wantSources(t, a, "192.0.2.3/32")
}

func TestConfigObjectWritesFromTheSessionsMemory(t *testing.T) {
	a := snstest.Start(t)
	w := connect(t, a)
	w.want(100, "MODIFY ON")
	appendTo(t, a, snstest.GroupFile, "[written_meanwhile]\n")
	w.want(100, "CONFIG OBJECT ACTIVATE")
	if strings.Contains(string(a.Read(snstest.GroupFile)), "written_meanwhile") {
		t.Error("the file was not rewritten from memory")
	}
}

func TestGroupShowListsMembersAndTypes(t *testing.T) {
	a := snstest.Start(t)
	w := connect(t, a)
	d := w.want(100, "config object group show NAME=everything")
	var got []string
	for _, line := range d.Serverd[0].Data.Sections[0].Lines {
		got = append(got, line.Keys[0].Value+" "+line.Keys[1].Value)
	}
	if want := "internal_servers group, net_lan network, dhcp_range range"; strings.Join(got, ", ") != want {
		t.Errorf("members %q, want %s", got, want)
	}
	w.want(200, "CONFIG OBJECT GROUP SHOW name=nothing")
}
