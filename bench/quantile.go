package main

import (
	"cmp"
	"math"
	"slices"
)

// quantile is by the nearest rank: the lowest value that at least the part q of
// the values does not exceed.
func quantile[T cmp.Ordered](values []T, q float64) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[max(0, int(math.Ceil(q*float64(len(sorted))))-1)]
}

func median[T cmp.Ordered](values []T) T { return quantile(values, 0.5) }

// column is one measure of all elements.
func column[T any, V any](of []T, measure func(T) V) []V {
	values := make([]V, 0, len(of))
	for _, t := range of {
		values = append(values, measure(t))
	}
	return values
}
