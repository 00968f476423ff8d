package enforcer

import (
	"context"
	"net/netip"
	"slices"

	"notification-stormshield/plugin/ledger"
)

// yield keeps the bans of other configurations for the same appliance. These write
// groups of their own, but an address has only one entry on the blacklist, and the
// last command decides about it. So a new entry lasts as long as the longest ban,
// and an address that another configuration bans is not unblocked: kept is the list
// of these.
func (f *flush) yield(ctx context.Context) (block []ledger.Standing, unblock, kept []netip.Prefix, err error) {
	block, unblock = f.plan.Block, f.plan.Unblock
	if f.Shared == nil || len(block)+len(unblock) == 0 {
		return block, unblock, nil, nil
	}
	some := slices.Clone(unblock)
	for _, b := range block {
		some = append(some, b.Prefix)
	}
	ends, err := f.Shared(ctx, some)
	if err != nil || len(ends) == 0 {
		return block, unblock, nil, err
	}
	block = slices.Clone(block)
	for i, b := range block {
		if end := ends[b.Prefix]; end.After(b.Until) {
			block[i].Until = end
		}
	}
	unblock = nil
	for _, p := range f.plan.Unblock {
		if _, shared := ends[p]; shared {
			kept = append(kept, p)
		} else {
			unblock = append(unblock, p)
		}
	}
	return block, unblock, kept, nil
}
