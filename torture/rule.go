package torture

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"notification-stormshield/plugin/plugintest"
	"notification-stormshield/stormshield/snstest"
)

// ways are those to enforce. The first two use a filter rule.
var ways = []string{"rule", "both", "blacklist"}

// activateEvery are values of activate_every. With the last one, a new process often may not activate at once.
var activateEvery = []time.Duration{time.Second, time.Second, 10 * time.Second}

// activation is the default of rule.activate.
var activation = []string{"enobject", "enfilter -u"}

func (h *harness) usesRule() bool { return slices.Contains(ways[:2], h.Configuration.Enforce) }

// enforce configures another way to enforce.
func (h *harness) enforce(way string) error {
	h.Configuration.Enforce = way
	return h.Plugin.Configure(h.ctx, h.Configuration.YAML())
}

// installRule installs the filter rule by the plugin's command.
func (h *harness) installRule() {
	h.Helper()
	if out, err := h.command(h.ctx, nil, "rule install --yes"); err != nil {
		h.Fatalf("rule install: %v: %s", err, out)
	}
	h.rules, _ = splitPolicy(h.Appliance.Policy(snstest.DefaultSlot))
	if len(h.rules) == 0 {
		h.Fatal("rule install installed no rule")
	}
}

// protect notes the bans that the blacklist or the running rule has. They must stay enforced.
func (h *harness) protect() {
	inRule := h.Appliance.RunningMembers("Crowdsec")
	h.protected = nil
	for p := range h.expected.until {
		if _, blocked := h.Appliance.BlockedPrefix(p); blocked || slices.Contains(inRule, p) {
			h.protected = append(h.protected, p)
		}
	}
}

// checkProtected reports the protected bans that neither the blacklist nor the running rule has.
func (h *harness) checkProtected(blocked, inRule map[netip.Prefix]bool, now time.Time) {
	h.protected = slices.DeleteFunc(h.protected, func(p netip.Prefix) bool {
		isLost := h.expected.mustBlock(p, now) && !blocked[p] && !inRule[p]
		if isLost {
			h.report(lostBans, 1, "%s was not enforced for a time, now by %s", p, h.Configuration.Enforce)
		}
		return isLost
	})
}

// compareRules returns what is wrong with the running rules of the plugin, and with their effect on a packet.
func (h *harness) compareRules(now time.Time) (missing []string) {
	if rules, _ := splitPolicy(h.Appliance.RunningPolicy()); !slices.Equal(rules, h.rules) {
		return []string{fmt.Sprintf("the filter rule: %q", rules)}
	}
	for p := range h.expected.until { // any one, since a packet takes long
		if h.expected.mustBlock(p, now) {
			if v := h.Appliance.Packet(p.Addr(), netip.AddrFrom4([4]byte{203, 0, 113, 99})); v.Action != "block" {
				missing = append(missing, fmt.Sprintf("a packet from %s: %+v", p, v))
			}
			break
		}
	}
	return missing
}

// splitPolicy divides the lines of a policy into the rules of the plugin and the lines of the administrator.
func splitPolicy(lines []string) (ours, administrators []string) {
	for _, line := range lines {
		if strings.Contains(line, " # crowdsec-stormshield ") {
			ours = append(ours, line)
		} else {
			administrators = append(administrators, line)
		}
	}
	return ours, administrators
}

// policies are the versions of the policy of the active slot.
func (a *administrator) policies() map[string][]string {
	return map[string][]string{
		"activated": a.appliance.Policy(snstest.DefaultSlot), "edited": a.appliance.EditedPolicy(snstest.DefaultSlot),
		"running": a.appliance.RunningPolicy(),
	}
}

// writePolicy replaces the policy, and activates it.
func (a *administrator) writePolicy(lines []string) error {
	_, a.policy = splitPolicy(lines)
	return a.appliance.SetPolicy(snstest.DefaultSlot, lines...)
}

// manyRules is a policy of rules and separators.
func manyRules() []string {
	lines := []string{
		`separator; color=C0C0C0; collapse=0; comment=Postes "d'administration"; position=9: été`,
		"pass log from admin_stations to firewall_all port firewall_srv|https # Admin from everywhere",
		"off decrypt inspection ips sslfiltering:0 from Network_internals to internet",
		"block log minor from !net_lan|srv_web on in to any # <angle> & 'quotes' # from any to any",
		"rulename=mail: pass from any to srv_mail",
	}
	for i := range 50 {
		if i%10 == 0 {
			lines = append(lines, fmt.Sprintf("separator; color=99CC00; collapse=1; comment=Groupe %d", i))
		}
		lines = append(lines, fmt.Sprintf("pass from net_lan to srv_web port http|https # règle n° %d, à l'essai", i))
	}
	return append(lines, "pass from any to any # Pass all")
}

// ruleFaults are all faults that concern the files, the API or the filter rule.
var ruleFaults = slices.Concat([]fault{
	set("enfilter fails", func(f *snstest.Faults, _ *harness) { f.RefusedTools = []string{"enfilter"} }),
	set("enobject fails", func(f *snstest.Faults, _ *harness) { f.RefusedTools = []string{"enobject"} }),
	atActivation("a reboot at a step of an activation", func(h *harness) bool { h.Appliance.Reboot(); return false }),
	atActivation("SSH is cut at a step of an activation", func(*harness) bool { return true }),
	{"the administrator switches our rule off", func(h *harness) func() {
		before := h.Appliance.Policy(snstest.DefaultSlot)
		h.must(h.administrator.writePolicy(before[1:]))
		return func() { h.must(h.administrator.writePolicy(before)) }
	}},
	{"the administrator activates the policy", func(h *harness) func() {
		h.must(h.Appliance.AdminActivatePolicy(snstest.DefaultSlot))
		return nil
	}},
	ret("CONFIG FILTER", 200),
}, sshFaults, blacklistFaults, fileFaults, apiFaults)

// atActivation returns a fault at a random step of each activation. The step is right before or after a command.
func atActivation(name string, do func(*harness) (cut bool)) fault {
	return set(name, func(f *snstest.Faults, h *harness) {
		at, steps := h.random.IntN(2*len(activation)), 0
		f.Step = func(command string, _ bool) (cut bool) {
			if slices.Contains(activation, command) {
				steps++
				cut = steps%(at+1) == 0 && do(h)
			}
			return cut
		}
	})
}

func faultyRule(t *try) {
	h := newHarness(t)
	h.reassertEvery(shortestReassert)
	h.runFault(ruleFaults)
}

// ruleCommands runs `rule install` and `rule remove` again and again, and kills them, cuts their connection or restarts the
// appliance at a step of the API. The running policy must be the old or the new one, and the next run must repair what is left.
func ruleCommands(t *try) {
	h := newHarness(t, func(o *snstest.Options) { o.SessionIdle = 3 * time.Second }) // a killed command keeps the configuration right
	h.reassertEvery(shortestReassert)                                                // after a reboot
	h.ban(long, h.draw(20)...)
	h.settle()
	wanted := h.Configuration.Rule
	rounds := 12
	if t.Short {
		rounds = 5
	}
	for range rounds {
		h.interruptRuleCommand()
		h.ban(long, h.drawUpTo(3)...)
	}
	h.repair("rule remove --yes") // install leaves a rule at its place
	h.Configuration.Rule = wanted
	h.repair("rule install --yes")
	h.rules, _ = splitPolicy(h.Appliance.Policy(snstest.DefaultSlot))
	h.settle()
}

// interruptRuleCommand interrupts a command several times, and then lets it end.
func (h *harness) interruptRuleCommand() {
	words := "rule install --yes"
	if h.random.IntN(3) == 0 {
		words = "rule remove --yes"
	} else {
		pick := func(texts ...string) string { return texts[h.random.IntN(len(texts))] }
		h.Configuration.Rule = plugintest.Rule{
			Action: pick("block", "reset"), Log: pick("none", "minor", "major"), Direction: pick("in", "out", "both"), Position: 1 + h.random.IntN(80),
		}
	}
	old := h.Appliance.RunningPolicy()
	var seen [][]string
	for range 1 + h.random.IntN(3) {
		h.tries++
		h.runInterrupted(words)
		seen = append(seen, h.Appliance.RunningPolicy(), h.Appliance.Policy(snstest.DefaultSlot))
	}
	h.repair(words)
	now := h.Appliance.RunningPolicy()
	for _, policy := range seen {
		if !slices.Equal(policy, old) && !slices.Equal(policy, now) {
			h.report(others, 1, "%s: the policy was neither the old nor the new one:\n%q\n%q\n%q", words, old, policy, now)
		}
	}
	rules, _ := splitPolicy(now)
	want := 1
	switch {
	case words == "rule remove --yes":
		want = 0
	case h.Configuration.Rule.Direction == "both":
		want = 2
	}
	if len(rules) != want {
		h.report(others, 1, "%s: the rules are %q", words, rules)
	}
	if lost, _ := h.administrator.compareLines(); len(lost) > 0 {
		h.report(lostLines, len(lost), "%s: %s", words, lost[0])
	}
}

// lastRuleStep is about the number of steps of a command that changes the rules, each before and after.
const lastRuleStep = 40

// runInterrupted runs a command that something interrupts at a step.
func (h *harness) runInterrupted(words string) {
	ctx, kill := context.WithCancel(h.ctx)
	defer kill()
	at, steps, once := 1+h.random.IntN(lastRuleStep), 0, sync.Once{}
	interrupt := []func() bool{
		func() bool { kill(); return false },
		func() bool { kill(); return true },
		func() bool { return true },
		func() bool { h.Appliance.Reboot(); return false },
	}[h.random.IntN(4)]
	var mu sync.Mutex
	h.Appliance.SetFaults(func(f *snstest.Faults) {
		f.Step = func(command string, _ bool) (cut bool) {
			if !strings.HasPrefix(command, "CONFIG ") && !strings.HasPrefix(command, "MODIFY O") { // the plugin's
				return false
			}
			mu.Lock()
			steps++
			isNow := steps == at
			mu.Unlock()
			if isNow {
				once.Do(func() { cut = interrupt() })
			}
			return cut
		}
	})
	_, _ = h.command(ctx, nil, words) // it is interrupted
	h.Appliance.SetFaults(func(f *snstest.Faults) { f.Step = nil })
}

// repair runs a command until it succeeds. A killed command holds the configuration right until its session ends.
func (h *harness) repair(words string) {
	for end := time.Now().Add(recovery); ; h.pause(time.Second / 2) {
		out, err := h.command(h.ctx, nil, words)
		switch {
		case err == nil:
			return
		case time.Now().After(end):
			h.Fatalf("%s: %v: %s", words, err, out)
		}
	}
}
