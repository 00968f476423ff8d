package objects_test

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"notification-stormshield/stormshield/objects"
)

func set(texts ...string) objects.Set {
	var ps []netip.Prefix
	for _, s := range texts {
		ps = append(ps, netip.MustParsePrefix(s))
	}
	return objects.NewSet(ps)
}

func TestNameIsThatOfTheOlderComponentAndParsesBack(t *testing.T) {
	for prefix, want := range map[string]string{
		"203.0.113.7/32":     "crowdsec_ip_3405803783",
		"0.0.0.1/32":         "crowdsec_ip_1",
		"255.255.255.255/32": "crowdsec_ip_4294967295",
		"198.51.100.0/24":    "crowdsec_net_3325256704_24",
		"2001:db8::1/128":    "crowdsec_ip_42540766411282592856903984951653826561",
		"2001:db8::/32":      "crowdsec_net_42540766411282592856903984951653826560_32",
	} {
		p := netip.MustParsePrefix(prefix)
		if got := objects.Name(p); got != want {
			t.Errorf("Name(%s) = %s, want %s", p, got, want)
		}
		if got, ok := objects.Parse(want); !ok || got != p {
			t.Errorf("Parse(%s) = %s, %t, want %s", want, got, ok, p)
		}
	}
}

func TestParseRefusesNamesThatAreNotOurs(t *testing.T) {
	for _, name := range []string{
		"", "crowdsec_console", "crowdsec_ip_", "crowdsec_ip_-1", "crowdsec_ip_01", "crowdsec_ip_1 ", "crowdsec_ip_1x",
		"crowdsec_ip_340282366920938463463374607431768211456", "crowdsec_net_1", "crowdsec_net_1_", "crowdsec_net_0_32",
		"crowdsec_net_1_24", "crowdsec_net_0_08", "crowdsec_net_0_-1", "Crowdsec_ip_1", "crowdsec_ip_281470681743360",
	} {
		if p, ok := objects.Parse(name); ok {
			t.Errorf("Parse(%q) = %s, want it refused", name, p)
		}
	}
}

const administrator = "# the administrator's file\r\n\r\n[Host]\r\nsrv=203.0.113.10,resolve=static\r\n" +
	"crowdsec_console=192.0.2.5,resolve=static #\"ours? no\"\n\n[Unknown]\nx\n[Service]\ncrowdsec_ip_7=1,2\n[Network]\nlan=10.0.0.0/24"

func TestDefineAddsBelowTheHeaderAndKeepsEveryOtherByte(t *testing.T) {
	got := string(objects.Define([]byte(administrator), set("203.0.113.7/32", "2001:db8::1/128", "198.51.100.0/24")))
	want := strings.Replace(administrator, "[Host]\r\n", "[Host]\r\ncrowdsec_ip_3405803783=203.0.113.7,resolve=static\r\n"+
		"crowdsec_ip_42540766411282592856903984951653826561=2001:db8::1,resolve=static\r\n", 1)
	want = strings.Replace(want, "[Network]\n", "[Network]\ncrowdsec_net_3325256704_24=198.51.100.0/24\n", 1)
	if got != want {
		t.Errorf("got:\n%q\nwant:\n%q", got, want)
	}
}

func TestDefineCorrectsAWrongValueAndDropsASecondLine(t *testing.T) {
	text := "[Host]\ncrowdsec_ip_1=9.9.9.9,resolve=static\ncrowdsec_ip_2=\"0.0.0.2\", resolve=static #\"by hand\"\ncrowdsec_ip_2=0.0.0.2,resolve=static\n"
	got := string(objects.Define([]byte(text), set("0.0.0.1/32", "0.0.0.2/32")))
	want := "[Host]\ncrowdsec_ip_1=0.0.0.1,resolve=static\ncrowdsec_ip_2=\"0.0.0.2\", resolve=static #\"by hand\"\n"
	if got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestRetainDropsOnlyWhatNobodyUses(t *testing.T) {
	text := objects.Define([]byte(administrator), set("0.0.0.1/32", "0.0.0.2/32", "0.0.0.3/32"))
	got := objects.Retain(text, set("0.0.0.1/32"), set("0.0.0.3/32"))
	if left := slices.Collect(objects.Defined(got)); !slices.Equal(left, []netip.Prefix{
		netip.MustParsePrefix("0.0.0.1/32"), netip.MustParsePrefix("0.0.0.3/32")}) {
		t.Errorf("left: %v", left)
	}
}

func TestSetMembersKeepsForeignMembersAndOtherGroups(t *testing.T) {
	text := "[Crowdsec]\ncrowdsec_ip_1\n# mine\nprinter\ncrowdsec_ip_2\n\n[Others]\ncrowdsec_ip_1\n"
	got := string(objects.SetMembers([]byte(text), "Crowdsec", set("0.0.0.2/32", "0.0.0.3/32")))
	want := "[Crowdsec]\ncrowdsec_ip_3\n# mine\nprinter\ncrowdsec_ip_2\n\n[Others]\ncrowdsec_ip_1\n"
	if got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	if used := objects.Referenced([]byte(text), "Crowdsec"); !used.Has(netip.MustParsePrefix("0.0.0.1/32")) || used.Len() != 1 {
		t.Errorf("used by the administrator: %v", slices.Collect(used.All()))
	}
	if kept := string(objects.RemoveGroup([]byte(got), "Crowdsec")); kept != "[Crowdsec]\n# mine\nprinter\n\n[Others]\ncrowdsec_ip_1\n" {
		t.Errorf("a group with an administrator's member became:\n%s", kept)
	}
}

func TestSetMembersMakesAMissingGroup(t *testing.T) {
	for text, want := range map[string]string{
		"":             "[Crowdsec]\ncrowdsec_ip_1\n",
		"[A]\nx\n":     "[A]\nx\n[Crowdsec]\ncrowdsec_ip_1\n",
		"[A]\r\nx":     "[A]\r\nx\n[Crowdsec]\r\ncrowdsec_ip_1\r",
		"[Crowdsec]":   "[Crowdsec]\ncrowdsec_ip_1",
		"[Crowdsec2]":  "[Crowdsec2]\n[Crowdsec]\ncrowdsec_ip_1",
		"no newline\r": "no newline\r\n[Crowdsec]\ncrowdsec_ip_1",
	} {
		if got := string(objects.SetMembers([]byte(text), "Crowdsec", set("0.0.0.1/32"))); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
}

// Whatever the administrator's text, adding and taking out again gives back
// the same bytes.
func FuzzAdministratorsBytesComeBack(f *testing.F) {
	f.Add([]byte(administrator), uint64(1))
	f.Add([]byte(""), uint64(2))
	f.Add([]byte("[Host]"), uint64(3))
	f.Add([]byte("[Network]\r\n[Host]\n\n"), uint64(4))
	f.Add([]byte("[Crowdsec]\r"), uint64(5))
	f.Fuzz(func(t *testing.T, text []byte, seed uint64) {
		if holdsOurs(text) {
			t.Skip("the text holds lines of ours already")
		}
		random := rand.New(rand.NewPCG(seed, seed))
		first, second := randomSet(random), randomSet(random)

		object := objects.Define(objects.Define(text, first), second)
		if have := objects.NewSet(slices.Collect(objects.Defined(object))); !equal(have, first.Union(second)) {
			t.Errorf("objects: %v", slices.Collect(have.All()))
		}
		object = objects.Retain(object, second, objects.Set{})
		if have := objects.NewSet(slices.Collect(objects.Defined(object))); !equal(have, second) {
			t.Errorf("objects after Retain: %v", slices.Collect(have.All()))
		}
		if got := objects.Remove(object, objects.Set{}); !bytes.Equal(got, text) {
			t.Errorf("object: got %q, want %q", got, text)
		}

		group := objects.SetMembers(objects.SetMembers(text, "Crowdsec", first), "Gone", second)
		group = objects.SetMembers(group, "Crowdsec", second)
		if have := objects.NewSet(slices.Collect(objects.Members(group, "Crowdsec"))); !equal(have, second) {
			t.Errorf("members: %v", slices.Collect(have.All()))
		}
		if got := objects.RemoveGroup(objects.RemoveGroup(group, "Gone"), "Crowdsec"); !bytes.Equal(got, text) {
			t.Errorf("objectgroup: got %q, want %q", got, text)
		}
	})
}

func holdsOurs(text []byte) bool {
	return bytes.Contains(text, []byte("crowdsec_ip_")) || bytes.Contains(text, []byte("crowdsec_net_")) ||
		bytes.Contains(text, []byte("notification-stormshield")) ||
		objects.HasSection(text, "Crowdsec") || objects.HasSection(text, "Gone")
}

func equal(a, b objects.Set) bool {
	return slices.Equal(slices.Collect(a.All()), slices.Collect(b.All()))
}

func randomSet(r *rand.Rand) objects.Set {
	var ps []netip.Prefix
	for range r.IntN(6) {
		a4 := netip.AddrFrom4([4]byte{203, 0, 113, byte(r.IntN(4))})
		a6 := netip.AddrFrom16([16]byte{0: 0x20, 1: 1, 15: byte(r.IntN(4))})
		for _, p := range []netip.Prefix{netip.PrefixFrom(a4, 32), netip.PrefixFrom(a4, 24).Masked(), netip.PrefixFrom(a6, 128), netip.PrefixFrom(a6, 48).Masked()} {
			if r.IntN(2) == 0 {
				ps = append(ps, p)
			}
		}
	}
	return objects.NewSet(ps)
}
