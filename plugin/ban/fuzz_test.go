package ban_test

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"notification-stormshield/plugin/ban"
)

// filterForFuzzing protects addresses, so that ranges are split.
func filterForFuzzing(tb testing.TB) ban.Filter {
	protected, err := ban.ParseNeverBlock([]string{"private", "loopback", "203.0.113.77", "2001:db8::/40"})
	if err != nil {
		tb.Fatal(err)
	}
	return ban.Filter{NeverBlock: protected, MinPrefixIPv4: 8, MinPrefixIPv6: 32, ExcludeScenarios: []string{"secret"}}
}

func FuzzRead(f *testing.F) {
	for _, changes := range []map[string]any{
		nil, {"value": "203.0.113.0/24"}, {"value": "2001:db8::/32"}, {"value": "::ffff:1.2.3.4"}, {"duration": "-3h"},
		{"duration": "99999d"}, {"value": 5}, {"value": "fe80::1%eth0"}, {"scenario": nil}, {"type": "captcha"}, {"scope": "AS"},
		{"value": "0.0.0.0/0"}, {"simulated": true}, {"uuid": nil, "origin": "lists:x"},
		{"duration": "4 hours"}, {"value": ""}, {"value": "it's\n"}, {"value": "x/24"}, {"value": "::7"}, {"value": "0.0.0.0/8"}, {"type": ""},
	} {
		f.Add("[" + alertOf(decisionOf(changes)) + "]")
	}
	for _, text := range []string{
		alertOf(decisionOf(nil), decisionOf(map[string]any{"value": "198.51.100.1"})), "", "null", "[]", "{}", "[null]", `[{"id":1,"decisions":null}]`, `[{"decisions":[null,5,"x",[],{}]}]`, "[[[[",
		`{"decisions":[`, `{"decisions":[` + decisionOf(nil) + `]00`, "-", "[x", "[5]", `{"decisions":0`, `{"decisions":{`, `{"decisions":["",`, `{""`, `{"source":{"a":0`, `{"source":{`, `{"source":{5`,
	} {
		f.Add(text)
	}
	filter := filterForFuzzing(f)
	f.Fuzz(func(t *testing.T, text string) {
		result, err := ban.Read(text, filter, now)
		if err != nil && (len(err.Error()) > 500 || !utf8.ValidString(err.Error())) {
			t.Errorf("error of %d bytes", len(err.Error()))
		}
		for _, b := range result.Decisions {
			checkBan(t, filter, b)
		}
		for _, skips := range []ban.Skips{result.Refused, result.Ignored} {
			checkSafe(t, skips)
		}
	})
}

func checkBan(t *testing.T, filter ban.Filter, b ban.Decision) {
	t.Helper()
	p, least := b.Prefix, filter.MinPrefixIPv6
	if p.Addr().Is4() {
		least = filter.MinPrefixIPv4
	}
	if !p.IsValid() || p != p.Masked() || p.Addr().Is4In6() || p.Addr().Zone() != "" || p.Bits() < least || p.Addr().IsUnspecified() {
		t.Errorf("ban of %v", p)
	}
	if p.Addr().Is6() && netip.MustParsePrefix("::/96").Overlaps(p) {
		t.Errorf("ban of %v, whose number is an IPv4 address", p)
	}
	for _, protected := range filter.NeverBlock {
		if protected.Overlaps(p) {
			t.Errorf("ban of %v, which touches %v", p, protected)
		}
	}
	if !b.Until.After(now) || b.Until.Year() > 2261 {
		t.Errorf("ban until %v", b.Until)
	}
	if strings.Contains(b.Scenario, "secret") || len(b.Scenario) > 200 || len(b.Origin) > 200 ||
		!utf8.ValidString(b.Scenario+b.Origin) {
		t.Errorf("ban %+v", b)
	}
}

func checkSafe(t *testing.T, skips ban.Skips) {
	t.Helper()
	if len(skips.First) > 20 || skips.Total < len(skips.First) {
		t.Errorf("%d kept of %d", len(skips.First), skips.Total)
	}
	for _, skip := range skips.First {
		text := skip.Value + skip.Reason
		if len(skip.Value) > 70 || len(skip.Reason) > 200 || skip.Reason == "" || strings.ContainsFunc(text, func(r rune) bool { return !strconv.IsPrint(r) }) {
			t.Errorf("skip %+q", skip)
		}
	}
}

func FuzzParseDuration(f *testing.F) {
	for _, text := range []string{"4h", "7d", "-1d12h", "99999999999d", "", "d", "1d1d", "+", "+4h", "4 hours", "1d+4h", strings.Repeat("4", 65) + "h"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := ban.ParseDuration(text)
		trimmed := strings.TrimSpace(text)
		if err == nil && got != 0 && (got < 0) != strings.HasPrefix(trimmed, "-") {
			t.Errorf("ParseDuration(%q) = %v", text, got)
		}
	})
}

func BenchmarkRead(b *testing.B) {
	for _, count := range []int{20_000, 100_000, 1_000_000} {
		b.Run(strconv.Itoa(count), func(b *testing.B) {
			var text strings.Builder
			text.WriteString(`[{"decisions":[`)
			for i := range count {
				if i > 0 {
					text.WriteByte(',')
				}
				address := netip.AddrFrom4([4]byte{11, byte(i >> 16), byte(i >> 8), byte(i)})
				fmt.Fprintf(&text, `{"duration":"24h","origin":"cscli-import","scenario":"imported","scope":"Ip","type":"ban",`+
					`"uuid":"20f8aaaa-0000-4000-8000-%012d","value":"%s"}`, i, address)
			}
			text.WriteString(`],` + head + `"stop_at":"2026-11-20T10:00:00Z"}]`)
			filter := filterForFuzzing(b)
			b.SetBytes(int64(text.Len()))
			b.ReportAllocs()
			for b.Loop() {
				if result, err := ban.Read(text.String(), filter, now); err != nil || len(result.Decisions) != count {
					b.Fatal(len(result.Decisions), err)
				}
			}
		})
	}
}
