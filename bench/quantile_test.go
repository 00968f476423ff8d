package main

import (
	"slices"
	"testing"
)

func TestQuantileIsTheNearestRank(t *testing.T) {
	twenty := make([]int, 20)
	for i := range twenty {
		twenty[i] = 20 - i
	}
	for _, c := range []struct {
		values []int
		q      float64
		want   int
	}{
		{[]int{7}, 0, 7}, {[]int{7}, 0.5, 7}, {[]int{7}, 1, 7},
		{[]int{3, 1, 2}, 0.5, 2}, {[]int{4, 1, 3, 2}, 0.5, 2},
		{twenty, 0.5, 10}, {twenty, 0.95, 19}, {twenty, 0.951, 20}, {twenty, 0.99, 20}, {twenty, 0, 1},
	} {
		before := slices.Clone(c.values)
		if got := quantile(c.values, c.q); got != c.want {
			t.Errorf("quantile %g of %v is %d, want %d", c.q, c.values, got, c.want)
		}
		if !slices.Equal(before, c.values) {
			t.Error("the values are in another order than before")
		}
	}
	if got := median([]float64{9.5, 1, 2}); got != 2 {
		t.Errorf("median %g, want 2", got)
	}
}

func TestColumnHasOneMeasureOfAll(t *testing.T) {
	got := column([]cost{{api: traffic{up: 3}, ssh: traffic{down: 1}}, {ssh: traffic{up: 5}}}, cost.bytes)
	if !slices.Equal(got, []int64{4, 5}) {
		t.Errorf("%v, want 4 and 5", got)
	}
}

func TestTypicalCostIsTheTryWithTheMedianTime(t *testing.T) {
	tries := []cost{{wall: 3, shellCPU: 2}, {wall: 1, shellCPU: 3}, {wall: 2, shellCPU: 1}, {wall: 4}}
	if got := typical(tries); got != tries[2] {
		t.Errorf("%+v, want %+v", got, tries[2])
	}
}
