package ledger_test

import (
	"fmt"
	"testing"
	"time"

	"notification-stormshield/plugin/ledger"
)

func TestTheHistoryHasOneSampleForEachFiveMinutesOfADay(t *testing.T) {
	l := open(t)
	sample := func(now time.Time) { check(t, l.RecordSample(t.Context(), now)) }
	history := func(now time.Time) []ledger.Sample {
		samples, err := l.History(t.Context(), now)
		check(t, err)
		return samples
	}
	want(t, "history at first", len(history(start)), 0)
	record(t, l, start, numbered(0, 3)...)
	sample(start)
	flush(t, l, start, oneByOne)
	recordAtMost(t, l, 4, start.Add(time.Minute), numbered(3, 2)...)
	sample(start.Add(time.Minute))
	want(t, "history after a minute", history(start.Add(time.Minute)), []ledger.Sample{{At: start.Add(time.Minute), InForce: 4, Waiting: 1, Pending: 3}})
	last := start.Add(30 * time.Hour)
	for now := start.Add(5 * time.Minute); !now.After(last); now = now.Add(5 * time.Minute) {
		sample(now)
	}
	samples := history(last)
	want(t, "samples, first, last", fmt.Sprint(len(samples), samples[0].At, samples[len(samples)-1].At),
		fmt.Sprint(288, last.Add(-24*time.Hour+5*time.Minute), last))
	want(t, "samples when the clock was set back by an hour", len(history(last.Add(-time.Hour))), 276)
}

func TestTheNewestBansInForceComeFirst(t *testing.T) {
	l := open(t)
	hour := start.Add(time.Hour)
	record(t, l, start, ofOrigin("lists:tor", "198.51.100.0/24", hour), decided("203.0.113.1/32", start.Add(time.Minute)))
	flush(t, l, start, oneByOne)
	record(t, l, start, decided("203.0.113.2/32", hour))
	record(t, l, start, ofOrigin("cscli-import", "203.0.113.3/32", hour))
	record(t, l, start, ofOrigin("CAPI", "198.51.100.0/24", hour.Add(time.Hour)))
	recent := func(now time.Time, n int) (lines []string) {
		bans, err := l.Recent(t.Context(), now, n)
		check(t, err)
		for _, b := range bans {
			lines = append(lines, fmt.Sprint(b.Prefix, " ", b.Until.Sub(start), " ", b.Class, " ", b.Origin, " ", b.Scenario, " ", b.Blocked))
		}
		return lines
	}
	all := []string{"198.51.100.0/24 2h0m0s lists CAPI test true", "203.0.113.3/32 1h0m0s imports cscli-import test false",
		"203.0.113.2/32 1h0m0s local crowdsec test false", "203.0.113.1/32 1m0s local crowdsec test true"}
	want(t, "all", recent(start, 10), all)
	want(t, "two", recent(start, 2), all[:2])
	want(t, "when one has ended", recent(start.Add(time.Minute), 10), all[:3])
	recordAtMost(t, l, 1, start, decided("203.0.113.4/32", hour))
	want(t, "when the others wait", recent(start, 10), []string{"203.0.113.4/32 1h0m0s local crowdsec test false"})
}
