package stormshield_test

import (
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"notification-stormshield/stormshield/snstest"
)

// The administrator's own text, with every kind of line.
const (
	administratorsObject = "# comment\r\n\r\n[Host]\r\nsrv=203.0.113.10,resolve=static\r\n" +
		"crowdsec_console=192.0.2.5,resolve=static #\"a console\"\r\n\r\n[Odd section]\nwhat=ever\n\xff\xfe\n" +
		"[Network]\nlan=10.0.0.0/24\n\n\n[Service]\nhttp=80/tcp" // no line end
	administratorsGroups = "[Servers]\nsrv\ncrowdsec_console\n\n# end\n[Empty]\n"
)

func TestTheAdministratorsBytesStayTheSameAfterTenFlushesAndACleanup(t *testing.T) {
	testAdministratorsBytes(t, 10)
}

func TestLongTheAdministratorsBytesStayTheSameAfterAHundredFlushesAndACleanup(t *testing.T) {
	testAdministratorsBytes(t, 100)
}

func testAdministratorsBytes(t *testing.T, flushes int) {
	t.Parallel()
	h := start(t, func(o *snstest.Options) { o.LoginShell = "/bin/csh" })
	for file, text := range map[string]string{"object": administratorsObject, "objectgroup": administratorsGroups} {
		if err := h.Sim.Write(file, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	pool := append(addresses(40), prefixes("203.0.113.0/24", "2001:db8::/32", "2001:db8::1/128")...)
	for range flushes {
		var add, remove []netip.Prefix
		for _, b := range pool {
			switch {
			case h.InForce[b] && random.IntN(4) == 0:
				remove = append(remove, b)
			case !h.InForce[b] && random.IntN(8) == 0:
				add = append(add, b)
			}
		}
		h.MustFlush(add, remove, random.IntN(10) == 0)
	}
	h.WantBlacklist() // an appliance may refuse the administrator's odd text
	for file, text := range map[string]string{"object": administratorsObject, "objectgroup": administratorsGroups} {
		if got := withoutOurs(string(h.Sim.Read(file))); got != text {
			t.Errorf("%s without our lines:\n%q\nwant:\n%q", file, got, text)
		}
	}
	cleaned, err := h.Client.Cleanup(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if cleaned.Unblocked != len(h.InForce) || len(cleaned.Kept) > 0 {
		t.Errorf("cleaned: %+v, want %d unblocked", cleaned, len(h.InForce))
	}
	for file, text := range map[string]string{"object": administratorsObject, "objectgroup": administratorsGroups} {
		if got := string(h.Sim.Read(file)); got != text {
			t.Errorf("%s after the cleanup:\n%q\nwant:\n%q", file, got, text)
		}
	}
	if n := len(h.Sim.Blacklist()); n != 0 {
		t.Errorf("%d entries are still on the blacklist", n)
	}
}

func withoutOurs(text string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		name := strings.TrimSpace(line)
		ours := strings.HasPrefix(name, "crowdsec_ip_") || strings.HasPrefix(name, "crowdsec_net_") ||
			name == "[Crowdsec]" || name == "[CrowdsecDeleteGroup]"
		if !ours {
			out.WriteString(line)
		}
	}
	return out.String()
}

func TestACleanupKeepsAnObjectThatTheAdministratorUses(t *testing.T) {
	t.Parallel()
	h := start(t)
	h.MustFlush(addresses(2), nil, true)
	err := h.Sim.AdminEdit("objectgroup", func(text []byte) []byte {
		return append(text, "[Mine]\ncrowdsec_ip_3323068416\n"...) // 198.18.0.0
	})
	if err != nil {
		t.Fatal(err)
	}
	cleaned, err := h.Client.Cleanup(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(cleaned.Kept) != 1 || cleaned.Objects != 1 || cleaned.Unblocked != 2 {
		t.Errorf("cleaned: %+v", cleaned)
	}
	if problems := h.Sim.Problems(); len(problems) > 0 {
		t.Errorf("an appliance cannot read its files: %q", problems)
	}
}
