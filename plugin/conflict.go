package plugin

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"notification-stormshield/appliance"
	"notification-stormshield/config"
	"notification-stormshield/plugin/enforcer"
)

// checkConflicts returns an error if a configuration cannot run beside another one of this process.
func (p *Plugin) checkConflicts(d config.Document) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, n := range p.running {
		if name == d.Name {
			continue // d replaces it
		}
		if reader := d.LAPI.ClientID(); reader != "" && n.document.LAPI.ClientID() == reader {
			return fmt.Errorf("%s: lapi.key is also that of %s, and each misses changes that the other reads "+
				"(hint: give each a key of its own, with `cscli bouncers add`)", d.Name, name)
		}
		if err := CheckGroups(n.document, d); err != nil {
			return err
		}
	}
	return nil
}

// CheckGroups returns an error if two configurations write the same group on the same appliance.
func CheckGroups(a, b config.Document) error {
	group := config.SharedGroup(a, b)
	if group == "" {
		return nil
	}
	return fmt.Errorf("the notifications %s and %s both write group %s on the appliance at %s: each would remove the other's bans "+
		"(hint: give each a group and a delete_group of its own, or remove one of the two)",
		a.Name, b.Name, group, a.Stormshield.Host)
}

// endsElsewhere returns the prefixes, of some, that other configurations of this process block on the same appliance. It
// returns the end of each.
func (p *Plugin) endsElsewhere(ctx context.Context, n *notification, some []netip.Prefix) (map[netip.Prefix]time.Time, error) {
	var others []*notification
	p.mu.Lock()
	for name, other := range p.running {
		applies := other.stateless == nil && !other.document.DryRun
		if name != n.document.Name && applies && other.document.Stormshield.Address() == n.document.Stormshield.Address() {
			others = append(others, other)
		}
	}
	p.mu.Unlock()
	all := map[netip.Prefix]time.Time{}
	for _, other := range others {
		ends, err := other.ledger.Ends(ctx, some, time.Now())
		if err != nil {
			return nil, err
		}
		for prefix, end := range ends {
			if end.After(all[prefix]) {
				all[prefix] = end
			}
		}
	}
	return all, nil
}

// oneAtATime is an appliance that several configurations share. Its files are replaced whole, so two flushes at the same moment
// would each undo what the other wrote.
type oneAtATime struct {
	enforcer.Appliance
	turn chan struct{} // of all configurations of this appliance; holds a value during a flush
}

func (o oneAtATime) Apply(ctx context.Context, c appliance.Change) (appliance.Outcome, error) {
	select {
	case o.turn <- struct{}{}:
		defer func() { <-o.turn }()
		return o.Appliance.Apply(ctx, c)
	case <-ctx.Done():
		return appliance.Outcome{}, ctx.Err()
	}
}

// turnAt returns the turn of all configurations for the appliance at an address.
func (p *Plugin) turnAt(address string) chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.turns[address] == nil {
		p.turns[address] = make(chan struct{}, 1)
	}
	return p.turns[address]
}
