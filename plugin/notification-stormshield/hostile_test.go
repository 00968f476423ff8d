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

// flush does one flush as the plugin would.
func (w *harness) flush(l *ledger.Ledger) {
	w.t.Helper()
	d := w.document()
	e := enforcer.New(enforcer.Config{
		Appliance: connect(d), Ledger: l, Lockout: lockout.File{Path: plugin.StateOf(d).Lockout}, Rhythm: pacer.Rhythm{Every: d.UpdateFrequency},
		Reassert: d.Stormshield.ReassertEvery, EntryLife: d.Stormshield.BlacklistTimeout, MaxBans: d.Decisions.MaxBans, SingleMax: d.Stormshield.APISingleMax,
		Filter: func() ban.Filter { return ban.Filter{} }, Log: hclog.NewNullLogger(),
	})
	if _, err := e.Flush(w.t.Context()); err != nil {
		w.t.Fatal(err)
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

// FuzzNothingInAnAlertReachesAFileOrACommand sends alerts with hostile fields
// through the whole path: Notify, ledger, flush, and the appliance.
func FuzzNothingInAnAlertReachesAFileOrACommand(f *testing.F) {
	hostile := []string{
		"203.0.113.7\n[Host]\nevil=1.2.3.4", "]", "=", "a\"b'c`d$(reboot)", "203.0.113.7 Timeout=1", "203.0.113.7,resolve=static #x",
		"crowdsec_console", "../../etc/passwd", "203.0.113.7\x00", "!!", "' ; rm -rf / ; '", "2001:db8::1%eth0;reboot", "203.0.113.0/24\r\n",
		"\u202e7.311.0.302", "<>&amp;", "203.0.113.7&cmd=MODIFY ON FORCE", strings.Repeat("A", 10<<20), "203.0.113.7", "198.51.100.0/24", "2001:db8::7",
	}
	for i, value := range hostile {
		other := hostile[(i+1)%len(hostile)]
		f.Add(value, "Ip", "ban", "crowdsec", "crowdsecurity/ssh-bf", "4h", "")
		f.Add(victim, "Ip", "ban", value, other, "4h", "")
		f.Add(victim, value, other, "x", "x", "4h", "")
		f.Add(victim, "Range", "ban", "x", "x", value, other)
	}
	for _, duration := range []string{"4h", "8h", "8h", "-1s"} { // one decision again and again
		f.Add("198.51.100.9", "Ip", "ban", "x", "20f8aaaa-0000-4000-8000-000000000001", duration, "")
	}
	f.Add("198.51.100.9", "Ip", "ban", "x", "another", "1h", "")
	f.Add("198.51.100.9", "Ip", "captcha", "", "", "4h", "")
	w := newHarness(f)
	l := w.books()
	p := plugin.New(plugin.Options{Log: hclog.NewNullLogger(), Connect: connect, Started: time.Now().Add(time.Hour)})
	f.Cleanup(p.Close)
	if _, err := p.Configure(f.Context(), &protobufs.Config{Config: []byte(w.yaml(nil))}); err != nil {
		f.Fatal(err)
	}
	administrators := map[string]string{"object": string(w.sim.Read("object")), "objectgroup": string(w.sim.Read("objectgroup"))}
	shapes := w.benignShapes(f, p, l)

	f.Fuzz(func(t *testing.T, value, scope, kind, origin, scenario, duration, stopAt string) {
		w.t = t
		text, err := json.Marshal([]map[string]any{{
			"decisions": []map[string]any{{"value": value, "scope": scope, "type": kind, "origin": origin, "scenario": scenario, "duration": duration, "uuid": scenario}},
			"scenario":  scenario, "message": value, "stop_at": stopAt, "source": map[string]any{"ip": value, "scope": scope, "value": value},
		}})
		if err != nil {
			t.Skip("no JSON can be made of it")
		}
		if _, err := p.Notify(t.Context(), &protobufs.Notification{Name: "test", Text: string(text)}); err != nil {
			return // refused as a whole
		}
		w.sim.ResetStats()
		w.flush(l)
		w.wantOnlyOurShapes(administrators, shapes)
		if value == victim && scope == "Ip" && kind == "ban" && duration == "4h" && stopAt == "" && !w.sim.Blocked(netip.MustParseAddr(victim)) {
			t.Errorf("%s is not blocked, whatever else the alert holds", victim)
		}
	})
}

// benignShapes are the forms of the SSH commands of flushes with harmless
// bans, digits, tickets and
// markers left out.
func (w *harness) benignShapes(f *testing.F, p *plugin.Plugin, l *ledger.Ledger) map[string]bool {
	now := time.Now().UTC()
	for _, values := range [][]string{{"192.0.2.1", "192.0.2.0/28", "2001:db8:1::1"}, {"192.0.2.2"}} {
		for _, v := range values {
			text := `[{"decisions":[{"value":"` + v + `","scope":"Ip","type":"ban","duration":"1s"}],"stop_at":"` + now.Format(time.RFC3339) + `"}]`
			if _, err := p.Notify(f.Context(), &protobufs.Notification{Name: "test", Text: text}); err != nil {
				f.Fatal(err)
			}
		}
		w.flush(l)
		for time.Now().Before(now.Add(2 * time.Second)) {
			time.Sleep(50 * time.Millisecond)
		}
		w.flush(l) // takes them off
	}
	shapes := map[string]bool{}
	for _, c := range w.sim.Stats().SSHCommands {
		shapes[shape(c)] = true
	}
	return shapes
}

func shape(command string) string {
	command = aMarker.ReplaceAllString(aTicket.ReplaceAllString(command, ".crowdsec-T"), "' sh M ")
	return aNumber.ReplaceAllString(command, "N")
}

// wantOnlyOurShapes says that files and commands hold nothing but the
// administrator's lines, ours, and the commands of a harmless flush.
func (w *harness) wantOnlyOurShapes(administrators map[string]string, shapes map[string]bool) {
	w.t.Helper()
	for file, before := range administrators {
		var others strings.Builder
		for line := range strings.Lines(string(w.sim.Read(file))) {
			if !aFileLine.MatchString(strings.TrimSuffix(line, "\n")) {
				others.WriteString(line)
			}
		}
		if others.String() != before {
			w.t.Errorf("%s holds other than the administrator's lines and ours:\n%.2000s", file, others.String())
		}
	}
	stats := w.sim.Stats()
	for _, c := range stats.APICommands {
		if !aCommand.MatchString(c) {
			w.t.Errorf("API command %.300q", c)
		}
	}
	for _, c := range stats.SSHCommands {
		if !shapes[shape(c)] {
			w.t.Errorf("SSH command %.300q is of no known shape", c)
		}
	}
	if problems := w.sim.Problems(); len(problems) > 0 {
		w.t.Errorf("an appliance would choke on its files: %q", problems)
	}
}
