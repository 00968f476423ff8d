package stormshield

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
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

// show returns what SHOW prints.
func (b blacklist) show(ctx context.Context) (listing, error) {
	answer, err := b.session.Run(ctx, "MONITOR ADDRESSLIST SHOW type=blacklist")
	if err != nil {
		return listing{}, err
	}
	return readListing(answer.Lines()), nil
}

// removeEach unblocks prefixes one by one until stop reports true. A refusal counts
// unless SHOW says that the entry is gone, because an entry may have timed out.
// After a refusal it goes on with the next prefix. The first refusal is the error.
func (b blacklist) removeEach(ctx context.Context, prefixes []netip.Prefix, stop func() bool) (removed []netip.Prefix, refused error) {
	var listed *listing
	for _, p := range prefixes {
		if err := b.remove(ctx, entryName(p)); err != nil {
			err = fmt.Errorf("unblock %s: %w", p, err)
			if !serverd.Refused(err) {
				return removed, err
			}
			if listed == nil {
				shown, failed := b.show(ctx)
				if failed != nil {
					return removed, failed
				}
				listed = &shown
			}
			if listed.mayHold(p) {
				refused = cmp.Or(refused, err)
				continue
			}
		}
		removed = append(removed, p)
		if stop() {
			break
		}
	}
	return removed, refused
}

func never() bool { return false }

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
