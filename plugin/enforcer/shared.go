package enforcer

import (
	"context"
	"net/netip"
	"slices"

	"notification-stormshield/appliance"
)

// keepShared changes what is pending so that it does not end the bans of other configurations on the same appliance. Each
// configuration has its own groups, but an address has only one entry on the blacklist. So a new entry lasts as long as the longest
// of these bans, and an address that another configuration bans is not unblocked. kept has these addresses.
func (f *flush) keepShared(ctx context.Context) (pending appliance.Pending, kept []netip.Prefix, err error) {
	pending = f.plan.Pending
	if f.Shared == nil || len(pending.Block)+len(pending.Unblock) == 0 {
		return pending, nil, nil
	}
	some := slices.Clone(pending.Unblock)
	for _, b := range pending.Block {
		some = append(some, b.Prefix)
	}
	ends, err := f.Shared(ctx, some)
	if err != nil || len(ends) == 0 {
		return pending, nil, err
	}
	pending.Block, pending.Unblock = slices.Clone(pending.Block), nil
	for i, b := range pending.Block {
		if end := ends[b.Prefix]; end.After(b.Until) {
			pending.Block[i].Until = end
		}
	}
	for _, p := range f.plan.Unblock {
		if _, shared := ends[p]; shared {
			kept = append(kept, p)
		} else {
			pending.Unblock = append(pending.Unblock, p)
		}
	}
	return pending, kept, nil
}
