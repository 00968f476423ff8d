package main

import (
	"context"
	"time"
)

// bigAlert is what came of one alert of very many bans to a plugin that has
// received nothing before.
type bigAlert struct {
	bans     int
	answered time.Duration
	first    cost
	peak     int64 // of memory after the first flush, in bytes
}

func measureAlert(ctx context.Context, o options, bans int) (bigAlert, error) {
	progress("one alert of %s bans", grouped(bans))
	a := bigAlert{bans: bans}
	w, err := newWorld(ctx, o, setting{way: changeOnly, frequency: updateFrequency, debounce: debounce})
	if err != nil {
		return a, err
	}
	defer w.close()
	if a.answered, err = w.ban(ctx, banFor, w.fresh.next(bans)...); err != nil {
		return a, err
	}
	if a.first, err = w.firstFlush(ctx); err != nil {
		return a, err
	}
	a.peak, err = w.plugin.PeakMemory()
	return a, err
}
