// Package blacklist reads and changes the blacklist of an appliance in an open session of the API.
//
// It sends the commands of MONITOR ADDRESSLIST (vendor's CLI reference) and reads the lines that SHOW prints. It opens no
// session, writes no file, and decides nothing about bans. Its main type is [Listing].
package blacklist

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"time"

	"notification-stormshield/stormshield/objects"
	"notification-stormshield/stormshield/serverd"
)

// Name returns the name of a single ban in a command. It is the address itself, or the name of a range's object: no source
// shows a command that contains a range.
func Name(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return objects.Name(p)
}

// Block blocks an address, an object or a group. If it is blocked already, Block renews the remaining time.
func Block(ctx context.Context, session *serverd.Session, name string, timeout time.Duration) error {
	_, err := session.Run(ctx, fmt.Sprintf("MONITOR ADDRESSLIST ADD Type=BlackList Name1=%s Timeout=%d", name, seconds(timeout)))
	return err
}

// seconds rounds up, so that no ban ends early. It never returns 0, which might mean for ever.
func seconds(d time.Duration) int64 {
	return max(1, int64((d+time.Second-1)/time.Second))
}

// Unblock unblocks an address, an object or a group.
func Unblock(ctx context.Context, session *serverd.Session, name string) error {
	_, err := session.Run(ctx, "MONITOR ADDRESSLIST DELETE Type=BlackList Name1="+name)
	return err
}

// Show returns the entries of the blacklist.
func Show(ctx context.Context, session *serverd.Session) (Listing, error) {
	answer, err := session.Run(ctx, "MONITOR ADDRESSLIST SHOW type=blacklist")
	if err != nil {
		return Listing{}, err
	}
	return readListing(answer.Lines()), nil
}

// UnblockEach unblocks prefixes one by one until stop reports true. An entry may have timed out, so a refusal counts only if
// SHOW may still list the prefix. After a refusal it goes on with the next prefix. The first refusal is the error.
func UnblockEach(ctx context.Context, session *serverd.Session, prefixes []netip.Prefix, stop func() bool) (unblocked []netip.Prefix, refused error) {
	var listed *Listing
	for _, p := range prefixes {
		if err := Unblock(ctx, session, Name(p)); err != nil {
			err = fmt.Errorf("unblock %s: %w", p, err)
			if !serverd.IsRefused(err) {
				return unblocked, err
			}
			if listed == nil {
				shown, failed := Show(ctx, session)
				if failed != nil {
					return unblocked, failed
				}
				listed = &shown
			}
			if listed.MayHold(p) {
				refused = cmp.Or(refused, err)
				continue
			}
		}
		unblocked = append(unblocked, p)
		if stop() {
			break
		}
	}
	return unblocked, refused
}
