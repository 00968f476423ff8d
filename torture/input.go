package main

import (
	"bytes"
	"context"
	"strings"
	"time"

	"notification-stormshield/plugin/plugintest"
)

// memoryBound is what the plugin's memory stays below, whatever it is sent. A
// message alone may have 64 MiB, and gRPC holds it twice.
const memoryBound = 400 << 20

// hostileTexts are notifications that nobody honest sends.
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

// hostileInput sends what nobody honest sends, as a notification and as a
// configuration. Whatever the answer is, the plugin stays, its memory is
// bounded, and the bans after it are taken.
func hostileInput(ctx context.Context, t *trial) error {
	w, err := newWorld(ctx, t)
	if err != nil {
		return err
	}
	defer w.end()
	w.mustBan(ctx, long, w.truth.fresh(w.random, 5)...)
	texts := hostileTexts()
	_ = w.plugin.NotifyWithin(ctx, time.Minute, notification, texts[t.choose(len(texts))])
	for range 300 {
		_ = w.plugin.Notify(ctx, notification, w.mutated(plugintest.Ban(time.Nanosecond, w.truth.fresh(w.random, 3)...).Text()))
		// The last line keeps a configuration from being good by chance, and so
		// from naming another host.
		if w.plugin.Configure(ctx, w.mutated(w.configuration.YAML())+"\nunknown: 1\n") == nil {
			w.found.other++
			w.found.notef("a configuration with an unknown key was taken")
		}
	}
	if peak, err := w.plugin.PeakMemory(); err != nil || peak > memoryBound {
		w.found.other++
		w.found.notef("the plugin's memory: %d MiB (%v)", peak>>20, err)
	}
	w.mustBan(ctx, long, w.truth.fresh(w.random, 5)...)
	w.truth.anything = true // of a mutated alert there may be bans that nobody drew
	return w.settle(ctx)
}

// mutated changes, drops and repeats bytes of a text.
func (w *world) mutated(text string) string {
	b := []byte(text)
	for range 1 + w.random.IntN(6) {
		at := w.random.IntN(len(b))
		to := min(len(b), at+1+w.random.IntN(20))
		switch w.random.IntN(4) {
		case 0:
			b[at] = byte(w.random.Uint32())
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
