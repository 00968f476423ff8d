package torture

import (
	"bytes"
	"strings"
	"time"

	"notification-stormshield/plugin/plugintest"
)

// memoryBound is the limit of the plugin's memory for any input. One message can
// have 64 MiB, and gRPC holds it twice.
const memoryBound = 400 << 20

// hostileTexts are notifications that CrowdSec never sends.
func hostileTexts() []string {
	same := strings.Repeat(`{"duration":"1h","scope":"Ip","type":"ban","value":"198.18.0.1"},`, 1_000_000)
	return []string{
		"", "null", "[]", "{}", `"`, "\x00", "[{}]", `[{"decisions":null}]`, "\xff\xfe[",
		`[{"decisions":[` + same[:len(same)-40], // ends within a decision
		`[{"stop_at":"2026-01-01T00:00:00Z","decisions":[` + strings.TrimSuffix(same, ",") + `]}]`,
		strings.Repeat("[", 10_000_000),
		`[{"decisions":` + strings.Repeat("[", 10_000_000) + strings.Repeat("]", 10_000_000) + "}]",
		`[{"source":` + strings.Repeat(`{"a":`, 5_000_000) + "1" + strings.Repeat("}", 5_000_000) + "}]",
		`[{"decisions":[{"duration":"1h","scope":"Ip","type":"ban","value":"` + strings.Repeat("1", 10<<20) + `"}]}]`,
		`[{"decisions":[{"duration":"` + strings.Repeat("9", 10<<20) + `h","scope":"Ip","type":"ban","value":"198.18.0.2"}]}]`,
		`[{"decisions":[{"duration":"1h","scope":"` + strings.Repeat("\\u0000", 1<<20) + `","type":"ban","value":"198.18.0.2"}]}]`,
		`[{"decisions":[{"duration":-1e999,"scope":[],"type":{},"value":0}]}]`,
		`[{"stop_at":"99999-99-99","decisions":[{"duration":"1h","scope":"Ip","type":"ban","value":"198.18.0.3"}]}]`,
	}
}

// hostileInput sends hostile notifications and configurations. The plugin must
// go on, in bounded memory, and accept the next bans.
func hostileInput(t *try) {
	h := newHarness(t)
	h.ban(long, h.draw(5)...)
	texts, name := hostileTexts(), h.Configuration.Name
	_ = h.Plugin.NotifyWithin(h.ctx, time.Minute, name, texts[t.choose(len(texts))])
	for range 300 {
		_ = h.Plugin.Notify(h.ctx, name, h.mutate(plugintest.Ban(time.Nanosecond, h.draw(3)...).Text()))
		// The last line makes every configuration wrong, so that none names another host.
		if h.Plugin.Configure(h.ctx, h.mutate(h.Configuration.YAML())+"\nunknown: 1\n") == nil {
			h.report(others, 1, "the plugin accepted a configuration with an unknown key")
		}
	}
	if peak, err := h.Plugin.PeakMemory(); err != nil || peak > memoryBound {
		h.report(others, 1, "the plugin's memory: %d MiB (%v)", peak>>20, err)
	}
	h.ban(long, h.draw(5)...)
	h.expected.unknownBans = true // a mutated alert may ban another address
	h.settle()
}

// mutate changes, drops and repeats bytes of a text.
func (h *harness) mutate(text string) string {
	b := []byte(text)
	for range 1 + h.random.IntN(6) {
		at := h.random.IntN(len(b))
		to := min(len(b), at+1+h.random.IntN(20))
		switch h.random.IntN(4) {
		case 0:
			b[at] = byte(h.random.Uint32())
		case 1:
			b = append(b[:at:at], b[to:]...)
		case 2:
			b = append(b[:to:to], b[at:]...)
		case 3:
			b = append(b[:at:at], append(bytes.Repeat(b[at:to], 2), b[to:]...)...)
		}
		if len(b) == 0 {
			return "["
		}
	}
	return string(b)
}
