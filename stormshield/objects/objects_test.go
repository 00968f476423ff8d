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

// patched applies a patch for the groups Crowdsec and Gone.
func patched(object, objectgroup string, p objects.Patch) (string, string) {
	p.Group, p.DeleteGroup = "Crowdsec", "Gone"
	is := p.Apply([]byte(object), []byte(objectgroup))
	return string(is.Object), string(is.Objectgroup)
}

func TestAPatchAddsBelowTheHeaderAndKeepsEveryOtherByte(t *testing.T) {
	got, _ := patched(administrator, "", objects.Patch{InForce: set("203.0.113.7/32", "2001:db8::1/128", "198.51.100.0/24")})
	want := strings.Replace(administrator, "[Host]\r\n", "[Host]\r\ncrowdsec_ip_3405803783=203.0.113.7,resolve=static\r\n"+
		"crowdsec_ip_42540766411282592856903984951653826561=2001:db8::1,resolve=static\r\n", 1)
	want = strings.Replace(want, "[Network]\n", "[Network]\ncrowdsec_net_3325256704_24=198.51.100.0/24\n", 1)
	if got != want {
		t.Errorf("got:\n%q\nwant:\n%q", got, want)
	}
}

func TestAPatchReplacesEveryOldLineOfItsPrefixes(t *testing.T) {
	object := "[Host]\ncrowdsec_ip_1=9.9.9.9,resolve=static\ncrowdsec_ip_4=0.0.0.4,resolve=static\ncrowdsec_ip_1=0.0.0.1\ncrowdsec_ip_9=0.0.0.9,resolve=static\n"
	groups := "[Gone]\ncrowdsec_ip_1\n[Crowdsec]\ncrowdsec_ip_2\n# mine\nprinter\ncrowdsec_ip_4\ncrowdsec_ip_9\n\n[Others]\ncrowdsec_ip_4\n"
	gotObject, gotGroups := patched(object, groups, objects.Patch{
		InForce: set("0.0.0.1/32"), Ended: set("0.0.0.2/32"), Unlisted: set("0.0.0.3/32"), Removed: set("0.0.0.4/32", "0.0.0.5/32")})
	wantObject := "[Host]\ncrowdsec_ip_1=0.0.0.1,resolve=static\ncrowdsec_ip_2=0.0.0.2,resolve=static\ncrowdsec_ip_3=0.0.0.3,resolve=static\n" +
		"crowdsec_ip_4=0.0.0.4,resolve=static\ncrowdsec_ip_9=0.0.0.9,resolve=static\n" // 4: a group of the administrator lists it
	wantGroups := "[Gone]\ncrowdsec_ip_2\n[Crowdsec]\ncrowdsec_ip_1\n# mine\nprinter\ncrowdsec_ip_9\n\n[Others]\ncrowdsec_ip_4\n"
	if gotObject != wantObject {
		t.Errorf("object:\n%s\nwant:\n%s", gotObject, wantObject)
	}
	if gotGroups != wantGroups {
		t.Errorf("objectgroup:\n%s\nwant:\n%s", gotGroups, wantGroups)
	}
	if used := objects.Referenced([]byte(groups), "Crowdsec", "Gone"); !used.Has(netip.MustParsePrefix("0.0.0.4/32")) || used.Len() != 1 {
		t.Errorf("used by the administrator: %v", slices.Collect(used.All()))
	}
	if kept := string(objects.RemoveGroup([]byte(groups), "Crowdsec")); kept != "[Gone]\ncrowdsec_ip_1\n[Crowdsec]\n# mine\nprinter\n\n[Others]\ncrowdsec_ip_4\n" {
		t.Errorf("a group with an administrator's member became:\n%s", kept)
	}
}

func TestEveryMemberHasAnObjectAfterEachStepOfAPatch(t *testing.T) {
	object, groups := "[Host]\ncrowdsec_ip_1=0.0.0.1,resolve=static\n", "[Crowdsec]\ncrowdsec_ip_1\n[Gone]\n"
	p := objects.Patch{Group: "Crowdsec", DeleteGroup: "Gone", InForce: set("0.0.0.2/32"), Removed: set("0.0.0.1/32")}
	is := p.Apply([]byte(object), []byte(groups))
	for _, step := range []struct{ object, groups []byte }{
		{is.Defined, []byte(groups)}, {is.Defined, is.Objectgroup}, {is.Object, is.Objectgroup},
	} {
		defined := objects.NewSet(slices.Collect(objects.Defined(step.object)))
		for m := range objects.Members(step.groups, "Crowdsec") {
			if !defined.Has(m) {
				t.Errorf("%s is listed and not defined:\n%s\n%s", m, step.object, step.groups)
			}
		}
	}
}

func TestACompareFindsWrongAndLeftoverPrefixes(t *testing.T) {
	object := "[Host]\ncrowdsec_ip_1=0.0.0.1,resolve=static\ncrowdsec_ip_2=9.9.9.9,resolve=static\ncrowdsec_ip_3=\"0.0.0.3\", resolve=static #\"by hand\"\n" +
		"crowdsec_ip_4=0.0.0.4,resolve=static\ncrowdsec_ip_4=0.0.0.4,resolve=static\ncrowdsec_ip_5=0.0.0.5,resolve=static\n" +
		"crowdsec_ip_7=0.0.0.7,resolve=static\ncrowdsec_ip_8=0.0.0.8,resolve=static\ncrowdsec_ip_11=0.0.0.11,resolve=static\n"
	groups := "[Crowdsec]\ncrowdsec_ip_1\ncrowdsec_ip_2\ncrowdsec_ip_3\ncrowdsec_ip_4\ncrowdsec_ip_6\ncrowdsec_ip_10\ncrowdsec_ip_11\n" +
		"[Gone]\ncrowdsec_ip_9\ncrowdsec_ip_11\n[Mine]\ncrowdsec_ip_8\ncrowdsec_ip_10\n"
	// In order: 1 and 3. Wrong: 2 (value), 4 (twice), 5 (no member), 6 (no object), 11 (also in Gone).
	// Not in force: 7 (object), 9 and 10 (members); 8 is the administrator's.
	inForce := set("0.0.0.1/32", "0.0.0.2/32", "0.0.0.3/32", "0.0.0.4/32", "0.0.0.5/32", "0.0.0.6/32", "0.0.0.11/32")
	s := objects.Compare([]byte(object), []byte(groups), "Crowdsec", "Gone", inForce)
	if want := set("0.0.0.2/32", "0.0.0.4/32", "0.0.0.5/32", "0.0.0.6/32", "0.0.0.11/32"); !equal(objects.NewSet(s.Wrong), want) {
		t.Errorf("wrong: %v", s.Wrong)
	}
	if want := set("0.0.0.7/32", "0.0.0.9/32", "0.0.0.10/32"); !equal(objects.NewSet(s.Leftovers), want) {
		t.Errorf("left ended: %v", s.Leftovers)
	}
	if len(s.Members) != 7 || !s.Complete || objects.Entries([]byte(groups), "Crowdsec") != 7 {
		t.Errorf("members: %v, complete: %t", s.Members, s.Complete)
	}
	p := objects.Patch{Group: "Crowdsec", DeleteGroup: "Gone", InForce: objects.NewSet(s.Wrong), Removed: objects.NewSet(s.Leftovers)}
	is := p.Apply([]byte(object), []byte(groups))
	if s := objects.Compare(is.Object, is.Objectgroup, "Crowdsec", "Gone", inForce); len(s.Wrong)+len(s.Leftovers) > 0 {
		t.Errorf("after the repair: %+v\n%s\n%s", s, is.Object, is.Objectgroup)
	}
}

func TestAPatchMakesMissingGroups(t *testing.T) {
	for text, want := range map[string]string{
		"":             "[Crowdsec]\ncrowdsec_ip_1\n[Gone]\n",
		"[A]\nx\n":     "[A]\nx\n[Crowdsec]\ncrowdsec_ip_1\n[Gone]\n",
		"[A]\r\nx":     "[A]\r\nx\n[Crowdsec]\r\ncrowdsec_ip_1\r\n[Gone]\r",
		"[Crowdsec]":   "[Crowdsec]\ncrowdsec_ip_1\n[Gone]",
		"[Crowdsec2]":  "[Crowdsec2]\n[Crowdsec]\ncrowdsec_ip_1\n[Gone]",
		"no newline\r": "no newline\r\n[Crowdsec]\r\ncrowdsec_ip_1\r\n[Gone]\r",
	} {
		if _, got := patched("", text, objects.Patch{InForce: set("0.0.0.1/32")}); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
}

func TestAPatchIsEncodedAsAddresses(t *testing.T) {
	var b strings.Builder
	p := objects.Patch{InForce: set("203.0.113.7/32", "198.51.100.0/24"), Removed: set("2001:db8::1/128")}
	if err := p.Encode(&b); err != nil {
		t.Fatal(err)
	}
	if want := "=S\n3325256704 198.51.100.0/24\n203.0.113.7\n=A\n42540766411282592856903984951653826561 2001:db8::1\n"; b.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", b.String(), want)
	}
}

// Adding our lines to any text and removing them gives back the same bytes.
func FuzzAdministratorsBytesComeBack(f *testing.F) {
	f.Add([]byte(administrator), uint64(1))
	f.Add([]byte(""), uint64(2))
	f.Add([]byte("[Host]"), uint64(3))
	f.Add([]byte("[Network]\r\n[Host]\n\n"), uint64(4))
	f.Add([]byte("[Crowdsec]\r"), uint64(5))
	f.Add([]byte("before=1\r\n \n[Host]\r\na=1 #comment\n\n[a] x\n[Network]\n[no end\n"), uint64(1))
	f.Fuzz(func(t *testing.T, text []byte, seed uint64) {
		if holdsOurs(text) {
			t.Skip("the text holds lines of ours already")
		}
		random := rand.New(rand.NewPCG(seed, seed))
		first, second := randomSet(random), randomSet(random)

		// First is in force, then second. The bans that only first has end.
		begin := objects.Patch{Group: "Crowdsec", DeleteGroup: "Gone", InForce: first}
		var ended []netip.Prefix
		for p := range first.All() {
			if !second.Has(p) {
				ended = append(ended, p)
			}
		}
		change := objects.Patch{Group: "Crowdsec", DeleteGroup: "Gone", InForce: second, Ended: objects.NewSet(slices.Clone(ended))}
		end := objects.Patch{Group: "Crowdsec", DeleteGroup: "Gone", Removed: objects.NewSet(ended)}
		is := begin.Apply(text, text)
		is = change.Apply(is.Object, is.Objectgroup)
		if have := objects.NewSet(slices.Collect(objects.Defined(is.Object))); !equal(have, first.Union(second)) {
			t.Errorf("objects: %v", slices.Collect(have.All()))
		}
		if have := objects.NewSet(slices.Collect(objects.Members(is.Objectgroup, "Gone"))); !equal(have, change.Ended) {
			t.Errorf("ended members: %v", slices.Collect(have.All()))
		}
		is = end.Apply(is.Object, is.Objectgroup)
		if s := objects.Compare(is.Object, is.Objectgroup, "Crowdsec", "Gone", second); len(s.Wrong)+len(s.Leftovers) > 0 || !s.Complete {
			t.Errorf("in the end: %+v", s)
		}
		if got := objects.Remove(is.Object, objects.Set{}); !bytes.Equal(got, text) {
			t.Errorf("object: got %q, want %q", got, text)
		}
		if got := objects.RemoveGroup(objects.RemoveGroup(is.Objectgroup, "Gone"), "Crowdsec"); !bytes.Equal(got, text) {
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

func TestRemoveKeepsTheMarkOfASectionWhileAnObjectOfOursIsInIt(t *testing.T) {
	made, _ := patched("[Host]\n", "", objects.Patch{InForce: set("203.0.113.0/24", "198.51.100.0/24")})
	if !strings.Contains(made, "[Network]\n"+objects.Mark+"\n") {
		t.Fatalf("the patch made no section:\n%s", made)
	}
	one := string(objects.Remove([]byte(made), set("198.51.100.0/24")))
	if want := "[Host]\n[Network]\n" + objects.Mark + "\ncrowdsec_net_3325256704_24=198.51.100.0/24\n"; one != want {
		t.Errorf("with a used object:\n%s\nwant:\n%s", one, want)
	}
	if got := string(objects.Remove([]byte(one), set())); got != "[Host]\n" {
		t.Errorf("when it is used no longer:\n%s", got)
	}
	if got := string(objects.Remove([]byte(made+"lan=10.0.0.0/24\n"), set())); got != "[Host]\n[Network]\nlan=10.0.0.0/24\n" {
		t.Errorf("with an administrator's object:\n%s", got)
	}
}
