package stormshield_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"notification-stormshield/stormshield"
	"notification-stormshield/stormshield/objects"
	"notification-stormshield/stormshield/serverd"
	"notification-stormshield/stormshield/snstest"
)

// command runs a command in a session with the monitor right.
func (h *harness) command(line string) {
	h.T.Helper()
	session, err := serverd.Dial(h.T.Context(), configFor(h.T, h.Sim).API)
	if err != nil {
		h.T.Fatal(err)
	}
	for _, l := range []string{"MODIFY MONITOR FORCE ON", line, "MODIFY MONITOR OFF"} {
		if _, err := session.Run(h.T.Context(), l); err != nil {
			h.T.Fatal(err)
		}
	}
	if err := session.Close(h.T.Context()); err != nil {
		h.T.Fatal(err)
	}
}

func TestCleanupUnblocksTheForeignMembersThatTheGroupBlocked(t *testing.T) {
	t.Parallel()
	for name, refused := range map[string]map[string]int{
		"by the group":                        nil,
		"one by one where that is refused":    {"MONITOR ADDRESSLIST DELETE TYPE=BLACKLIST NAME1=CROWDSEC": 200},
		"and says what cannot be found out":   {"MONITOR ADDRESSLIST DELETE TYPE=BLACKLIST NAME1=CROWDSEC": 200, "MONITOR ADDRESSLIST DELETE TYPE=BLACKLIST NAME1=PC_ADMIN": 200},
		"also where nothing of it is blocked": {"reboot": 1},
	} {
		t.Run(name, func(t *testing.T) {
			h := start(t)
			bans := addresses(20)
			h.MustFlush(bans, nil, true)
			h.renameObject(bans[3], "bad_guy")
			h.addMember("Crowdsec", "pc_admin")
			h.command("MONITOR ADDRESSLIST ADD Type=BlackList Name1=Crowdsec Timeout=86400")
			if len(h.Sim.Blacklist()) != 21 {
				t.Fatalf("%d entries", len(h.Sim.Blacklist()))
			}
			rebooted := refused["reboot"] == 1
			if rebooted {
				h.Sim.Reboot()
				refused = nil
			}
			h.Sim.SetFaults(func(f *snstest.Faults) { f.Ret, f.DeleteUnknownFails = refused, true })
			cleaned, err := h.Client.Cleanup(t.Context(), bans)
			if err != nil {
				t.Fatal(err)
			}
			clear(h.InForce)
			if len(refused) == 2 {
				h.InForce[prefixes("192.168.10.20/32")[0]] = true
			}
			h.WantInForce()
			if unknown := rebooted || len(refused) == 2; unknown != strings.Contains(fmt.Sprint(cleaned.Kept), "refused to unblock pc_admin") {
				t.Errorf("kept: %q", cleaned.Kept)
			}
			if !slices.Equal(cleaned.Groups, []string{"CrowdsecDeleteGroup"}) || len(cleaned.Kept) != 1 || !strings.Contains(cleaned.Kept[0], "group Crowdsec has members") {
				t.Errorf("groups removed: %q, kept: %q", cleaned.Groups, cleaned.Kept)
			}
			if !bytes.HasSuffix(h.Sim.Read("objectgroup"), []byte("[Crowdsec]\npc_admin\nbad_guy\n")) {
				t.Errorf("objectgroup:\n%s", h.Sim.Read("objectgroup"))
			}
		})
	}
}

func TestCleanupNamesTenOfTheObjectsThatStayAndCountsTheOthers(t *testing.T) {
	t.Parallel()
	h := start(t)
	bans := addresses(40)
	h.MustFlush(bans, nil, true)
	lines := "[Mine]\npc_admin\n" + objects.Name(bans[0]) + "\n[Blocked2]\n"
	for _, b := range bans[:25] {
		lines += objects.Name(b) + "\n"
	}
	if err := h.Sim.AdminEdit("objectgroup", func(text []byte) []byte { return append(text, lines...) }); err != nil {
		t.Fatal(err)
	}
	cleaned, err := h.Client.Cleanup(t.Context(), nil)
	if err != nil || len(cleaned.Kept) != 11 || cleaned.Objects != 15 || !slices.Equal(cleaned.Groups, []string{"Crowdsec", "CrowdsecDeleteGroup"}) {
		t.Fatalf("cleaned: %+v, %v", cleaned, err)
	}
	said := strings.Join(cleaned.Kept, "\n")
	for text, times := range map[string]int{
		"object crowdsec_ip_": 10,
		"object " + objects.Name(bans[0]) + ": group Mine lists it, a group of the administrator":   1,
		": group Blocked2 lists it, which holds only such objects: another notification may use it": 9,
		"… and 15 more objects": 1,
	} {
		if n := strings.Count(said, text); n != times {
			t.Errorf("%q stands %d times in\n%s", text, n, said)
		}
	}
	clear(h.InForce)
	h.WantInForce()
}

// An entry that has ended already is no fault, and SSH is off.
func TestCleanupWithoutSSHUnblocksEachKnownPrefix(t *testing.T) {
	t.Parallel()
	h := start(t)
	bans := append(addresses(20), prefixes("203.0.113.0/24")...)
	h.MustFlush(bans, nil, true)
	h.Sim.SetFaults(func(f *snstest.Faults) { f.SSHRefuse, f.DeleteUnknownFails = true, true })
	h.command("MONITOR ADDRESSLIST DELETE Type=BlackList Name1=" + bans[3].Addr().String())
	object, logins := h.Sim.Read("object"), h.Sim.Stats().SSHAuthOK
	config := configFor(t, h.Sim)
	config.WithoutSSH = true
	cleaned, err := stormshield.New(config).Cleanup(t.Context(), bans)
	if err != nil || cleaned.Unblocked != len(bans) || len(cleaned.Groups) != 0 || cleaned.Objects != 0 {
		t.Errorf("cleaned: %+v, %v", cleaned, err)
	}
	if len(cleaned.Kept) != 1 || !strings.Contains(cleaned.Kept[0], "Crowdsec and CrowdsecDeleteGroup") {
		t.Errorf("kept: %q", cleaned.Kept)
	}
	clear(h.InForce)
	h.WantBlacklist()
	if !bytes.Equal(h.Sim.Read("object"), object) || h.Sim.Stats().SSHAuthOK != logins {
		t.Error("the clean-up used SSH")
	}
}

func TestCleanupWithoutSSHFailsIfTheApplianceRefusesToUnblock(t *testing.T) {
	t.Parallel()
	h := start(t)
	h.MustFlush(addresses(3), nil, true)
	h.Sim.SetFaults(func(f *snstest.Faults) {
		f.Ret = map[string]int{"MONITOR ADDRESSLIST DELETE TYPE=BLACKLIST NAME1=198.18.0.1": 200}
	})
	config := configFor(t, h.Sim)
	config.WithoutSSH = true
	cleaned, err := stormshield.New(config).Cleanup(t.Context(), addresses(3))
	if cleaned.Unblocked != 2 || err == nil || !strings.Contains(err.Error(), "unblock 198.18.0.1/32") {
		t.Errorf("cleaned: %+v, %v", cleaned, err)
	}
}
