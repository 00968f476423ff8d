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
			return fmt.Errorf("%s: lapi.key is also that of %s, and the Local API takes both for one client "+
				"(hint: give each a key of its own, with `cscli bouncers add`)", d.Name, name)
		}
		if err := CheckPair(n.document, d); err != nil {
			return err
		}
	}
	return nil
}

// CheckPair returns an error if two configurations write the same group on the same appliance, have the same filter rule there, may
// flush it from two machines at once, have the same file of the state, or name different listeners for the metrics.
func CheckPair(a, b config.Document) error {
	if path := StateOf(a).Path; path == StateOf(b).Path {
		return fmt.Errorf("the notifications %s and %s both keep their state in %s (hint: give one of them another name)", a.Name, b.Name, path)
	}
	if config.MayFlushAtOnce(a, b) {
		return fmt.Errorf("the notifications %s and %s both enforce on the appliance at %s, and one of them shares its state with other machines, "+
			"so that two machines could flush at once (hint: keep one of the two for this appliance, or remove state_url from both)",
			a.Name, b.Name, a.Stormshield.Host)
	}
	if config.SharesRule(a, b) {
		return fmt.Errorf("the notifications %s and %s both have the filter rule %s on the appliance at %s "+
			"(hint: give each a rule.name of its own)", a.Name, b.Name, b.Stormshield.Rule.Name, a.Stormshield.Host)
	}
	if a.Prometheus.Disagrees(b.Prometheus) {
		return fmt.Errorf("the notifications %s and %s name different listeners under prometheus, and one process has one listener "+
			"(hint: write the same listen_addr, listen_port and web_config_path in both)", a.Name, b.Name)
	}
	group := config.SharedGroup(a, b)
	if group == "" {
		return nil
	}
	return fmt.Errorf("the notifications %s and %s both write group %s on the appliance at %s: each would remove the other's bans "+
		"(hint: give each a group and a delete_group of its own, or remove one of the two)",
		a.Name, b.Name, group, a.Stormshield.Host)
}

// endsOfOtherBans returns those of some prefixes that other configurations of this process block on the blacklist of the same
// appliance, each with the end of its ban.
func (p *Plugin) endsOfOtherBans(ctx context.Context, n *notification, some []netip.Prefix) (map[netip.Prefix]time.Time, error) {
	var others []*notification
	p.mu.Lock()
	for name, other := range p.running {
		applies := other.ledger != nil && !other.document.DryRun && other.document.Stormshield.UsesBlacklist()
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

// sharedAppliance lets the configurations of one appliance flush one after another. A flush replaces the appliance's files whole, so
// two flushes at the same time would undo each other's changes.
type sharedAppliance struct {
	enforcer.Appliance
	turn chan struct{} // shared by all configurations of this appliance; holds a value during a flush
}

func (s sharedAppliance) Apply(ctx context.Context, c appliance.Change) (appliance.Outcome, error) {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
		return s.Appliance.Apply(ctx, c)
	case <-ctx.Done():
		return appliance.Outcome{}, fmt.Errorf("wait for the flush of another notification on the same appliance: %w", ctx.Err())
	}
}

// turnOf returns the channel by which the configurations of the appliance at an address take turns.
func (p *Plugin) turnOf(address string) chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.turns[address] == nil {
		p.turns[address] = make(chan struct{}, 1)
	}
	return p.turns[address]
}
