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
	got := column([]cost{{sshUp: 3, sshDown: 1}, {sshUp: 5}}, cost.ssh)
	if !slices.Equal(got, []int64{4, 5}) {
		t.Errorf("%v, want 4 and 5", got)
	}
}

func TestTypicalCostIsTheMedianOfEachMeasure(t *testing.T) {
	tries := []cost{
		{wall: 3, sshUp: 10, sshDown: 1, apiUp: 7, apiDown: 9, shellCPU: 2, connections: 1, logins: 2},
		{wall: 1, sshUp: 30, sshDown: 2, apiUp: 8, apiDown: 7, shellCPU: 3, connections: 1, logins: 1},
		{wall: 2, sshUp: 20, sshDown: 3, apiUp: 9, apiDown: 8, shellCPU: 1, connections: 3, logins: 1},
	}
	want := cost{wall: 2, sshUp: 20, sshDown: 2, apiUp: 8, apiDown: 8, shellCPU: 2, connections: 1, logins: 1}
	if got := typical(tries); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}
