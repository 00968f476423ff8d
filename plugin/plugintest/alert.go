package plugintest

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/netip"
	"time"
)

// Alert is an alert with one decision on each prefix.
type Alert struct {
	Scenario string
	StopAt   time.Time
	Duration time.Duration
	Bans     []netip.Prefix
	UUID     string // of the only decision; "": a new one in each text
}

// Ban returns an alert of this moment.
func Ban(duration time.Duration, prefixes ...netip.Prefix) Alert {
	return Alert{Scenario: "crowdsecurity/ssh-bf", StopAt: time.Now(), Duration: duration, Bans: prefixes}
}

// End is when the decisions of an alert end.
func (a Alert) End() time.Time { return a.StopAt.Add(a.Duration) }

// Text is the alert in the format `{{.|toJson}}`.
func (a Alert) Text() string {
	at := a.StopAt.UTC().Format(time.RFC3339Nano)
	decisions := make([]map[string]any, 0, len(a.Bans))
	for _, p := range a.Bans {
		scope, value := scoped(p)
		decisions = append(decisions, map[string]any{
			"duration": a.Duration.String(), "origin": "crowdsec", "scenario": a.Scenario,
			"scope": scope, "type": "ban", "uuid": cmp.Or(a.UUID, NewUUID()), "value": value,
		})
	}
	text, err := json.Marshal([]map[string]any{{
		"decisions": decisions, "events_count": 6, "kind": "crowdsec", "machine_id": "plugintest",
		"message":     fmt.Sprintf("%d addresses performed '%s'", len(a.Bans), a.Scenario),
		"remediation": true, "scenario": a.Scenario, "simulated": false,
		"source": source(a.Bans), "start_at": at, "stop_at": at, "uuid": NewUUID(),
	}})
	if err != nil {
		panic(err) // texts, numbers and booleans can always be encoded
	}
	return string(text)
}

// TestAlert is the text that `cscli notifications test` sends.
func TestAlert() string {
	return `[{"decisions":[{"duration":"4h","origin":"cscli","scenario":"test alert","scope":"Ip","type":"ban","value":"10.10.10.10"}],` +
		`"scenario":"test alert","stop_at":"` + time.Now().UTC().Format(time.RFC3339Nano) + `"}]`
}

// scoped returns a prefix as CrowdSec writes it.
func scoped(p netip.Prefix) (scope, value string) {
	if p.IsSingleIP() {
		return "Ip", p.Addr().String()
	}
	return "Range", p.String()
}

// source is the origin of an attack. An alert on several prefixes has none.
func source(bans []netip.Prefix) map[string]any {
	if len(bans) != 1 {
		return map[string]any{"scope": "", "value": ""}
	}
	scope, value := scoped(bans[0])
	return map[string]any{"scope": scope, "value": value, "ip": bans[0].Addr().String()}
}

// NewUUID returns a random UUID.
func NewUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// Addresses returns n consecutive addresses.
func Addresses(first netip.Addr, n int) []netip.Prefix {
	prefixes := make([]netip.Prefix, 0, n)
	for a := first; len(prefixes) < n; a = a.Next() {
		prefixes = append(prefixes, netip.PrefixFrom(a, a.BitLen()))
	}
	return prefixes
}
