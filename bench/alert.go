package main

import (
	"context"
	"time"
)

// bigAlert is the result of one alert with very many bans, which is the first that
// the plugin receives.
type bigAlert struct {
	bans     int
	answered time.Duration
	peak     int64 // memory after the first flush, in bytes
}

func measureAlert(ctx context.Context, o options, bans int) (bigAlert, error) {
	progress("one alert of %s bans", grouped(bans))
	a := bigAlert{bans: bans}
	h, err := newHarness(ctx, o, setting{way: changeOnly, frequency: updateFrequency, debounce: debounce})
	if err != nil {
		return a, err
	}
	defer h.close()
	if a.answered, err = h.ban(ctx, banFor, h.fresh.next(bans)...); err != nil {
		return a, err
	}
	if _, err = h.firstFlush(ctx); err != nil {
		return a, err
	}
	a.peak, err = h.Plugin.PeakMemory()
	return a, err
}
