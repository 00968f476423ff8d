package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/netip"
	"time"

	"notification-stormshield/stormshield/snstest"
)

// printChanges prints each entry that is added to the blacklist, renewed or removed, until ctx ends.
func printChanges(ctx context.Context, a *snstest.Appliance, out io.Writer) error {
	shown := map[netip.Prefix]time.Time{}
	for {
		changed := a.BlacklistChanged()
		if err := printDifference(out, shown, a.Blacklist(), time.Now()); err != nil {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

// printDifference prints the difference between shown and the list: time, + or -, source, seconds left. It updates shown.
func printDifference(out io.Writer, shown map[netip.Prefix]time.Time, list []snstest.Entry, now time.Time) error {
	w := bufio.NewWriter(out)
	stamp := now.Format("15:04:05.000")
	live := make(map[netip.Prefix]struct{}, len(list))
	for _, e := range list {
		live[e.Source] = struct{}{}
		if before, ok := shown[e.Source]; ok && before.Equal(e.Expires) {
			continue
		}
		shown[e.Source] = e.Expires
		fmt.Fprintf(w, "%s + %s %.0f\n", stamp, source(e.Source), e.Expires.Sub(now).Seconds())
	}
	for p := range shown {
		if _, ok := live[p]; !ok {
			delete(shown, p)
			fmt.Fprintf(w, "%s - %s 0\n", stamp, source(p))
		}
	}
	return w.Flush()
}

func source(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}
