package main

import (
	"encoding/json"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/crowdsecurity/crowdsec/pkg/protobufs"
	"github.com/hashicorp/go-hclog"

	"notification-stormshield/plugin"
	"notification-stormshield/plugin/ban"
	"notification-stormshield/plugin/enforcer"
	"notification-stormshield/plugin/ledger"
	"notification-stormshield/plugin/lockout"
	"notification-stormshield/plugin/pacer"
)

// flush flushes once, as the plugin does.
func (h *harness) flush(l *ledger.Ledger) {
	h.t.Helper()
	d := h.document()
	appliance := connect(d)
	defer appliance.LogOut()
	e := enforcer.New(enforcer.Config{
		Appliance: appliance, Ledger: l, Lockout: lockout.File{Path: plugin.StateOf(d).Lockout}, Rhythm: pacer.Rhythm{Every: d.UpdateFrequency},
		Reassert: d.Stormshield.ReassertEvery, EntryLife: d.Stormshield.BlacklistTimeout, MaxBans: d.Decisions.MaxBans, SingleMax: d.Stormshield.APISingleMax,
		Filter: func() ban.Filter { return ban.Filter{} }, Log: hclog.NewNullLogger(),
	})
	if _, err := e.Flush(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
}

var (
	aFileLine = regexp.MustCompile(`^(crowdsec_ip_[0-9]+(=[0-9a-f.:]+,resolve=static)?|crowdsec_net_[0-9]+_[0-9]+(=[0-9a-f.:]+/[0-9]+)?|\[Crowdsec\]|\[CrowdsecDeleteGroup\])$`)
	aCommand  = regexp.MustCompile(`^(SYSTEM PROPERTY|MODIFY MONITOR (FORCE ON|OFF)|MONITOR ADDRESSLIST ADD Type=BlackList Name1=[0-9A-Za-z_.:]+ Timeout=[0-9]+|MONITOR ADDRESSLIST DELETE Type=BlackList Name1=[0-9A-Za-z_.:]+|MONITOR ADDRESSLIST SHOW type=blacklist)$`)
	aTicket   = regexp.MustCompile(`\.crowdsec-[0-9a-f]{8}-[0-9a-f]{12}`)
	aMarker   = regexp.MustCompile(`' sh f[A-Z2-7]{12} `) // of the frame around a command's output
	aNumber   = regexp.MustCompile(`[0-9]+`)
)

// victim is an address that is banned beside hostile fields.
const victim = "203.0.113.9"

// hostileAlert is an alert with one decision.
type hostileAlert struct{ value, scope, kind, origin, scenario, duration, stopAt string }

// hostileAlerts puts each text into each field of an alert.
func hostileAlerts(texts ...string) []hostileAlert {
	var all []hostileAlert
	for i, text := range texts {
		other := texts[(i+1)%len(texts)]
		all = append(all,
			hostileAlert{text, "Ip", "ban", "crowdsec", "crowdsecurity/ssh-bf", "4h", ""},
			hostileAlert{victim, "Ip", "ban", text, other, "4h", ""},
			hostileAlert{victim, text, other, "x", "x", "4h", ""},
			hostileAlert{victim, "Range", "ban", "x", "x", text, other})
	}
	return all
}

// FuzzNothingInAnAlertReachesAFileOrACommand sends alerts with hostile fields through the whole path: Notify, ledger,
// flush, and the appliance.
func FuzzNothingInAnAlertReachesAFileOrACommand(f *testing.F) {
	alerts := hostileAlerts("203.0.113.7\n[Host]\nevil=1.2.3.4", "]", "=", "a\"b'c`d$(reboot)", "203.0.113.7 Timeout=1",
		"203.0.113.7,resolve=static #x",
		"crowdsec_console", "../../etc/passwd", "203.0.113.7\x00", "!!", "' ; rm -rf / ; '", "2001:db8::1%eth0;reboot", "203.0.113.0/24\r\n",
		"\u202e7.311.0.302", "<>&amp;", "203.0.113.7&cmd=MODIFY ON FORCE", strings.Repeat("A", 10<<10), "203.0.113.7", "198.51.100.0/24", "2001:db8::7")
	for _, duration := range []string{"4h", "8h", "8h", "-1s"} { // one decision again and again
		alerts = append(alerts, hostileAlert{"198.51.100.9", "Ip", "ban", "x", "20f8aaaa-0000-4000-8000-000000000001", duration, ""})
	}
	alerts = append(alerts, hostileAlert{"198.51.100.9", "Ip", "ban", "x", "another", "1h", ""}, hostileAlert{"198.51.100.9", "Ip", "captcha", "", "", "4h", ""})
	for _, a := range alerts {
		f.Add(a.value, a.scope, a.kind, a.origin, a.scenario, a.duration, a.stopAt)
	}
	h := newHostileHarness(f)
	f.Fuzz(func(t *testing.T, value, scope, kind, origin, scenario, duration, stopAt string) {
		h.t = t
		h.send(hostileAlert{value, scope, kind, origin, scenario, duration, stopAt})
	})
}

func TestLongNothingInAHugeFieldReachesAFileOrACommand(t *testing.T) {
	t.Parallel()
	h := newHostileHarness(t)
	for _, a := range hostileAlerts("203.0.113.7&cmd=MODIFY ON FORCE", strings.Repeat("A", 10<<20), "203.0.113.7") {
		h.send(a)
	}
}

// hostileHarness runs a plugin, and knows the files and commands of harmless flushes.
type hostileHarness struct {
	*harness
	plugin         *plugin.Plugin
	ledger         *ledger.Ledger
	administrators map[string]string // the texts of the files without our lines
	shapes         map[string]bool   // of the SSH commands
}

func newHostileHarness(t testing.TB) *hostileHarness {
	h := &hostileHarness{harness: newHarness(t), shapes: map[string]bool{}}
	h.ledger = h.openLedger()
	h.administrators = map[string]string{"object": string(h.sim.Read("object")), "objectgroup": string(h.sim.Read("objectgroup"))}
	h.plugin = plugin.New(plugin.Options{Log: hclog.NewNullLogger(), Connect: connect, Started: time.Now().Add(time.Hour)}) // too young to flush
	t.Cleanup(h.plugin.Close)
	if _, err := h.plugin.Configure(t.Context(), &protobufs.Config{Config: []byte(h.yaml(nil))}); err != nil {
		t.Fatal(err)
	}
	h.flushHarmlessBans()
	for _, c := range h.sim.Stats().SSHCommands {
		h.shapes[shape(c)] = true
	}
	return h
}

// flushHarmlessBans blocks and unblocks harmless bans.
func (h *hostileHarness) flushHarmlessBans() {
	for _, values := range [][]string{{"192.0.2.1/32", "192.0.2.0/28", "2001:db8:1::1/128"}, {"192.0.2.2/32"}} {
		for _, v := range values {
			if _, err := h.notify(hostileAlert{v, "Ip", "ban", "", "", "1h", ""}); err != nil {
				h.t.Fatal(err)
			}
		}
		h.flush(h.ledger)
		for _, v := range values {
			if _, err := h.ledger.Lift(h.t.Context(), netip.MustParsePrefix(v), time.Now(), 1000); err != nil {
				h.t.Fatal(err)
			}
		}
		h.flush(h.ledger)
		if n := h.sim.BlacklistLen(); n != 0 {
			h.t.Fatalf("%d entries are left", n)
		}
	}
}

func (h *hostileHarness) notify(a hostileAlert) (*protobufs.Empty, error) {
	text, err := json.Marshal([]map[string]any{{
		"decisions": []map[string]any{{
			"value": a.value, "scope": a.scope, "type": a.kind, "origin": a.origin, "scenario": a.scenario, "duration": a.duration, "uuid": a.scenario,
		}},
		"scenario": a.scenario, "message": a.value, "stop_at": a.stopAt, "source": map[string]any{"ip": a.value, "scope": a.scope, "value": a.value},
	}})
	if err != nil {
		return nil, err
	}
	return h.plugin.Notify(h.t.Context(), &protobufs.Notification{Name: "test", Text: string(text)})
}

// send sends an alert and flushes. Files and commands must look like those of harmless flushes.
func (h *hostileHarness) send(a hostileAlert) {
	h.t.Helper()
	if _, err := h.notify(a); err != nil {
		return // the plugin refused the alert
	}
	h.sim.ResetStats()
	h.flush(h.ledger)
	h.checkFilesAndCommands()
	a.origin, a.scenario = "", ""
	if a == (hostileAlert{value: victim, scope: "Ip", kind: "ban", duration: "4h"}) && !h.sim.Blocked(netip.MustParseAddr(victim)) {
		h.t.Errorf("%s is not blocked, because of other fields of its alert", victim)
	}
}

// shape returns a command without digits, tickets and markers.
func shape(command string) string {
	command = aMarker.ReplaceAllString(aTicket.ReplaceAllString(command, ".crowdsec-T"), "' sh M ")
	return aNumber.ReplaceAllString(command, "N")
}

func (h *hostileHarness) checkFilesAndCommands() {
	h.t.Helper()
	for file, before := range h.administrators {
		var others strings.Builder
		for line := range strings.Lines(string(h.sim.Read(file))) {
			if !aFileLine.MatchString(strings.TrimSuffix(line, "\n")) {
				others.WriteString(line)
			}
		}
		if others.String() != before {
			h.t.Errorf("%s holds other lines than the administrator's and ours:\n%.2000s", file, others.String())
		}
	}
	stats := h.sim.Stats()
	for _, c := range stats.APICommands {
		if !aCommand.MatchString(c) {
			h.t.Errorf("the API got the command %.300q", c)
		}
	}
	for _, c := range stats.SSHCommands {
		if !h.shapes[shape(c)] {
			h.t.Errorf("SSH command %.300q differs from those of a harmless flush", c)
		}
	}
	if problems := h.sim.Problems(); len(problems) > 0 {
		h.t.Errorf("an appliance could not read its files: %q", problems)
	}
}
