package stormshield

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"notification-stormshield/stormshield/objects"
	"notification-stormshield/stormshield/serverd"
)

// blacklist speaks the commands of MONITOR ADDRESSLIST (vendor's CLI
// reference) in one session.
type blacklist struct {
	session *serverd.Session
}

// add blocks what name stands for: an address, an object or a group. Repeated,
// it renews the time.
func (b blacklist) add(ctx context.Context, name string, timeout time.Duration) error {
	_, err := b.session.Run(ctx, fmt.Sprintf("MONITOR ADDRESSLIST ADD Type=BlackList Name1=%s Timeout=%d", name, seconds(timeout)))
	return err
}

// remove takes what name stands for off the blacklist.
func (b blacklist) remove(ctx context.Context, name string) error {
	_, err := b.session.Run(ctx, "MONITOR ADDRESSLIST DELETE Type=BlackList Name1="+name)
	return err
}

// listed returns the sources on the blacklist, as the appliance writes them.
func (b blacklist) listed(ctx context.Context) (sources, error) {
	answer, err := b.session.Run(ctx, "MONITOR ADDRESSLIST SHOW type=blacklist")
	if err != nil {
		return nil, err
	}
	return sourcesOf(answer.Lines()), nil
}

// sourcesOf returns the sources in lines of SHOW.
func sourcesOf(lines []string) sources {
	listed := sources{}
	for _, line := range lines {
		for word := range strings.FieldsSeq(line) {
			if source, ok := strings.CutPrefix(strings.ToLower(word), "src="); ok {
				listed[source] = true
			}
		}
	}
	return listed
}

// removeEach takes prefixes off one by one. A refusal is final only if the
// blacklist still shows the entry: one that has timed out is off already.
func (b blacklist) removeEach(ctx context.Context, prefixes []netip.Prefix) (removed []netip.Prefix, err error) {
	var listed sources
	for _, p := range prefixes {
		if err := b.remove(ctx, entryName(p)); err != nil {
			if !serverd.Refused(err) {
				return removed, err
			}
			if listed == nil {
				var failed error
				if listed, failed = b.listed(ctx); failed != nil {
					return removed, failed
				}
			}
			if listed.has(p) {
				return removed, err
			}
		}
		removed = append(removed, p)
	}
	return removed, nil
}

// entryName returns what a single ban is called in a command: an address is
// its own name; no source shows that a range is, so its object is named.
func entryName(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return objects.Name(p)
}

// seconds rounds up, so that no ban ends early, and is never 0, which might
// mean for ever.
func seconds(d time.Duration) int64 {
	return max(1, int64((d+time.Second-1)/time.Second))
}

// sources are what SHOW prints behind src=.
type sources map[string]bool

// has reports whether a prefix may still be listed. How a range is printed is
// not documented, so each usual form counts.
func (s sources) has(p netip.Prefix) bool {
	first := p.Addr().String()
	if p.IsSingleIP() {
		return s[first] || s[p.String()]
	}
	if s[p.String()] || s[objects.Name(p)] {
		return true
	}
	for source := range s {
		if strings.HasPrefix(source, first+"-") || strings.HasPrefix(source, first+"/") {
			return true
		}
	}
	return false
}
