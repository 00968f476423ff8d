package main

import (
	"strings"
	"testing"
	"time"
)

func printed(t table) string {
	var out strings.Builder
	t.print(&out)
	return out.String()
}

func TestTargetTableShowsWhetherATargetIsReached(t *testing.T) {
	got := printed(targetTable([]target{
		{what: "a", bans: 1000, measured: "1 s", aim: "≤ 2 s", reached: true},
		{what: "b", measured: "3 s", aim: "≤ 2 s"},
		{what: "c", measured: "5"},
	}))
	want := `| What | Bans in force | Measured | Target | Reached |
|---|--:|--:|--:|---|
| a | 1,000 | 1 s | ≤ 2 s | yes |
| b | 0 | 3 s | ≤ 2 s | **no** |
| c | 0 | 5 | – | – |
`
	if got != want {
		t.Errorf("printed\n%s", got)
	}
}

func TestCostTableHasBothNetworksInOneRow(t *testing.T) {
	got := printed(costTable(example()))
	if rows := strings.Count(got, "\n"); rows != 2+2*(int(kinds)+3) {
		t.Errorf("%d lines in\n%s", rows, got)
	}
	for _, row := range []string{
		"| one more range | 100,000 | 1.0 kB / 7.0 kB | 9.0 MB / 1.0 kB → 9.0 kB / 1.0 kB (900×) | 1 / 1 | 5 ms → 7 ms | " +
			"20.0 s → 1.00 s (20×) | 20.0 s → 1.00 s (20×) |\n",
		"| one more ban | 100,000 | 1.0 kB / 7.0 kB | 0 B / 0 B | 1 / 0 | 0 ms | 100 ms | 100 ms |\n",
		"| a re-assert, without SSH | 1,000 | 1.0 kB / 7.0 kB | 0 B / 0 B | 1 / 0 | 0 ms | 100 ms | 100 ms |\n",
	} {
		if !strings.Contains(got, row) {
			t.Errorf("no %s in\n%s", row, got)
		}
	}
}

func TestBatchTableShowsTheFasterWay(t *testing.T) {
	ms := time.Millisecond
	got := printed(batchTable([]batches{{bans: 10_000, link: emulated, of: []batch{
		{8, []span{{20 * ms, 160 * ms}, {21 * ms, 900 * ms}, {19 * ms, 100 * ms}}, []span{{690 * ms, 691 * ms}}},
		{128, []span{{20 * ms, 2600 * ms}}, []span{{700 * ms, 701 * ms}}},
	}}}))
	for _, row := range []string{
		"| 8 | 20 Mbit/s, 20 ms | 20 ms / 160 ms | 690 ms / 691 ms | address by address |\n",
		"| 128 | 20 Mbit/s, 20 ms | 20 ms / 2.60 s | 700 ms / 701 ms | by the group |\n",
	} {
		if !strings.Contains(got, row) {
			t.Errorf("no %s in\n%s", row, got)
		}
	}
}
