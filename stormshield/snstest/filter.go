package snstest

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
)

// Slots is how many slots of filter rules an appliance has. Their numbers begin with 1.
const Slots = 10

// DefaultSlot is the active slot of a new appliance. It has the policy of an administrator; the other slots are empty.
const DefaultSlot = 5

// filter is the filter policies of the appliance, and the running one.
type filter struct {
	mu      sync.Mutex
	slots   [Slots]slot
	active  int   // from 1
	objects *view // the object base, as enobject or a reboot last read it
	running runningPolicy
	listed  int // the counters of Faults.FilterCounters
}

// slot is one policy: the activated rules and the copy that administrators edit.
type slot struct {
	activated []rule
	copy      []rule // nil: as activated
}

// runningPolicy is the rules in force, and the object base as it was when they were loaded.
type runningPolicy struct {
	rules   []rule
	objects *view
}

const administratorsPolicy = `separator; color=C0C0C0; collapse=0; comment=Remote management
pass log from admin_stations to firewall_all port firewall_srv|https # Admin: "stations" only
pass from any to srv_web port http|https # Serveur web public, à l'essai
separator; color=99CC00; collapse=0; comment=Internet access; users
off decrypt inspection ips sslfiltering:0 from net_lan to internet
pass from net_lan to internet
`

func newFilter(objects *view) (*filter, error) {
	rules, err := parseRules(strings.Split(strings.TrimSpace(administratorsPolicy), "\n"))
	f := &filter{active: DefaultSlot}
	f.slots[DefaultSlot-1].activated = rules
	f.reboot(objects)
	return f, err
}

// edited is the copy, or the activated rules if there is none.
func (s *slot) edited() []rule {
	if s.copy != nil {
		return s.copy
	}
	return s.activated
}

// load makes the activated rules of the active slot the running ones. The caller holds mu.
func (f *filter) load() {
	f.running = runningPolicy{f.slots[f.active-1].activated, f.objects}
}

// activate makes the copies of all slots the activated rules. The caller holds mu.
func (f *filter) activate() {
	for i := range f.slots {
		f.slots[i] = slot{activated: f.slots[i].edited()}
	}
}

// reboot drops the copies, and loads the active slot with the files as they are.
func (f *filter) reboot(objects *view) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.slots {
		f.slots[i].copy = nil
	}
	f.objects = objects
	f.load()
}

// readObjects is enobject.
func (a *Appliance) readObjects() {
	objects := a.viewer.read(false)
	f := a.filter
	f.mu.Lock()
	defer f.mu.Unlock()
	f.objects = objects
	if faults, _ := a.faults.current(); faults.EnobjectSuffices {
		f.running.objects = objects
	}
}

// reloadFilter is enfilter -u.
func (a *Appliance) reloadFilter() {
	a.filter.mu.Lock()
	defer a.filter.mu.Unlock()
	a.loadFilter()
}

// loadFilter loads the active slot, and counts that. The caller holds filter.mu.
func (a *Appliance) loadFilter() {
	a.filter.load()
	a.counters.count(func(s *Stats) { s.Activations++ })
}

// runningRules returns the rules in force, and the objects as these rules see them.
func (a *Appliance) runningRules() ([]rule, *objectBase) {
	a.filter.mu.Lock()
	running := a.filter.running
	a.filter.mu.Unlock()
	return a.seenRules(running)
}

func (a *Appliance) seenRules(running runningPolicy) ([]rule, *objectBase) {
	if faults, _ := a.faults.current(); faults.FilesSuffice {
		running.objects = a.filesNow()
	}
	return running.rules, running.objects.parse()
}

func (a *Appliance) filesNow() *view { return newView(a.disk.read(ObjectFile), a.disk.read(GroupFile)) }

// Policy returns the activated rules and separators of a slot, in the form that SetPolicy takes. It panics if the slot does not
// exist.
func (a *Appliance) Policy(number int) []string {
	a.filter.mu.Lock()
	defer a.filter.mu.Unlock()
	return ruleLines(a.filter.slots[number-1].activated)
}

// EditedPolicy returns the copy of a slot that administrators edit. It is equal to Policy if there are no inactive edits.
func (a *Appliance) EditedPolicy(number int) []string {
	a.filter.mu.Lock()
	defer a.filter.mu.Unlock()
	return ruleLines(a.filter.slots[number-1].edited())
}

// RunningPolicy returns the rules and separators in force.
func (a *Appliance) RunningPolicy() []string {
	rules, _ := a.runningRules()
	return ruleLines(rules)
}

// RunningMembers returns the addresses and networks of a group, as the rules in force see it.
func (a *Appliance) RunningMembers(group string) []netip.Prefix {
	_, objects := a.runningRules()
	members, _ := objects.resolve(group)
	return members
}

// ActiveSlot returns the number of the active slot.
func (a *Appliance) ActiveSlot() int {
	a.filter.mu.Lock()
	defer a.filter.mu.Unlock()
	return a.filter.active
}

// SetPolicy replaces a policy and activates it, as an administrator does. The slot has no inactive edits afterwards. If it is the
// active slot, its rules run, with the groups as they are in the files.
//
// A line is what CONFIG FILTER EXPLICIT prints after the position, or a separator, which begins with "separator; ". The text
// "rulename=NAME: " before a rule gives it a name.
func (a *Appliance) SetPolicy(number int, lines ...string) error {
	if err := a.AdminEditPolicy(number, func([]string) []string { return lines }); err != nil {
		return err
	}
	f := a.filter
	f.mu.Lock()
	defer f.mu.Unlock()
	f.slots[number-1] = slot{activated: f.slots[number-1].edited()}
	if number == f.active {
		f.objects = a.filesNow()
		f.load()
	}
	return nil
}

// AdminEditPolicy edits the copy of a slot, as an administrator does before an activation. The lines have the form of SetPolicy.
func (a *Appliance) AdminEditPolicy(number int, edit func(lines []string) []string) error {
	if number < 1 || number > Slots {
		return fmt.Errorf("slot %d: there are the slots 1 to %d", number, Slots)
	}
	f := a.filter
	f.mu.Lock()
	defer f.mu.Unlock()
	s := &f.slots[number-1]
	rules, err := parseRules(edit(ruleLines(s.edited())))
	if err == nil {
		err = unknownTargets(rules, a.filesNow().parse())
	}
	if err != nil {
		return fmt.Errorf("edit the policy of slot %d: %w", number, err)
	}
	s.copy = append([]rule{}, rules...) // not nil
	return nil
}

// rename replaces the name of an object in every policy.
func (f *filter) rename(from, to string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.slots {
		f.slots[i].activated = renamedTargets(f.slots[i].activated, from, to)
		f.slots[i].copy = renamedTargets(f.slots[i].copy, from, to)
	}
}

// AdminActivatePolicy activates the edits of all slots, and makes a slot the active one, as an administrator does in the web
// administration. The rules run with the groups as they are in the files.
func (a *Appliance) AdminActivatePolicy(number int) error {
	if number < 1 || number > Slots {
		return fmt.Errorf("slot %d: there are the slots 1 to %d", number, Slots)
	}
	f := a.filter
	f.mu.Lock()
	defer f.mu.Unlock()
	f.activate()
	f.active, f.objects = number, a.filesNow()
	f.load()
	return nil
}
