package plugin

import (
	"fmt"

	"notification-stormshield/config"
)

// conflict refuses a configuration that cannot run beside another one of this
// process.
func (p *Plugin) conflict(d config.Document) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, n := range p.running {
		if name == d.Name {
			continue // d takes its place
		}
		if reader := d.LAPI.Reader(); reader != "" && n.document.LAPI.Reader() == reader {
			return fmt.Errorf("%s: lapi.key is also that of %s, and each would miss what the other reads; give each a key of its own, with `cscli bouncers add`",
				d.Name, name)
		}
		if err := Clash(n.document, d); err != nil {
			return err
		}
	}
	return nil
}

// Clash says that two configurations write the same group on the same appliance.
func Clash(a, b config.Document) error {
	group := config.SharedGroup(a, b)
	if group == "" {
		return nil
	}
	return fmt.Errorf("the notifications %s and %s both write group %s on the appliance at %s: each would remove the other's bans (hint: give each a group and a delete_group of its own, or remove one of the two)",
		a.Name, b.Name, group, a.Stormshield.Host)
}
