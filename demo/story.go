package main

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"time"

	"notification-stormshield/plugin/plugintest"
	"notification-stormshield/stormshield/snstest"
)

var (
	address   = netip.MustParsePrefix("203.0.113.77/32")
	address6  = netip.MustParsePrefix("2001:db8:bad::7/128")
	ipRange   = netip.MustParsePrefix("192.0.2.128/25")
	three     = []netip.Prefix{address, address6, ipRange}
	hundred   = plugintest.Addresses(netip.MustParseAddr("198.51.100.100"), 100)
	protected = netip.MustParsePrefix("10.0.0.1/32")
	left      = netip.MustParsePrefix("203.0.113.99/32")
)

const (
	threeFor   = 14 * time.Second
	hundredFor = 9 * time.Second
	shorterFor = 3 * time.Second
	leftFor    = 4 * time.Hour

	// patience is how much later than it should a thing may happen before the
	// demo gives up.
	patience = 8 * time.Second
)

// before shows the appliance as the administrator left it, and starts the
// plugin.
func (s *stage) before(ctx context.Context) error {
	say("notification-stormshield keeps CrowdSec's bans enforced on a Stormshield firewall.")
	say("Here the firewall is simulated, CrowdSec is played by this program, and the plugin is the real one.")
	title(1, "Before: the appliance as its administrator left it")
	s.printBlacklist()
	s.printFiles(true)
	say("\n  Meanwhile the administrator works in the web interface and holds the right to change the configuration.")
	say("  Now the plugin starts. In its first 3 seconds it leaves the appliance alone; then it makes its two groups.")
	say("")
	if err := s.start(ctx); err != nil {
		return err
	}
	if err := s.flushed(ctx, 0, 0, 3*time.Second); err != nil {
		return err
	}
	groups := string(s.appliance.Read(snstest.GroupFile))
	s.check(strings.Contains(groups, "[Crowdsec]\n") && strings.Contains(groups, "[CrowdsecDeleteGroup]\n"), "both groups are there, empty")
	s.checkFiles()
	return nil
}

// flushed waits for the plugin to log that a flush is complete which blocked so
// many; that must be so after a time. Log lines before a number are passed over.
func (s *stage) flushed(ctx context.Context, number, added int, after time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, after+patience, fmt.Errorf("no flush came to its end"))
	defer cancel()
	_, err := s.plugin.Log().Wait(ctx, number, func(l plugintest.Line) bool {
		return l.Message == "flushed" && l.Int("added") == added
	})
	return err
}

// bans has an address, an IPv6 address and a range banned, and one address
// that may never be.
func (s *stage) bans(ctx context.Context) error {
	title(2, "During: an address, an IPv6 address, a range, and one that may never be blocked")
	said, logged := len(s.commands()), s.plugin.Log().Len()
	for _, p := range append(three[:3:3], protected) {
		if err := s.notify(ctx, plugintest.Ban(threeFor, p)); err != nil {
			return err
		}
	}
	if err := s.diary.until(ctx, threeFor, "blocked", three, blocked); err != nil {
		return err
	}
	s.printCommands(said)
	s.printBlacklist()
	say("\n  The plugin's lines are marked >. The next full entry into the blacklist goes by them, such as after a reboot.")
	s.printFiles(false)
	say("")
	group := slices.ContainsFunc(s.commands()[said:], func(c string) bool { return strings.Contains(c, "Name1=Crowdsec ") })
	for _, p := range three {
		s.checkLife(p, group)
	}
	refusal := "the log does not say so"
	for _, line := range s.plugin.Log().Since(logged) {
		if reason, ok := line.Fields["reason"].(string); ok && line.Fields["first"] == protected.Addr().String() {
			refusal = reason
		}
	}
	s.check(s.diary.of(protected).from.IsZero() && strings.Contains(refusal, "never blocked"), "%s was refused: %s", protected.Addr(), refusal)
	s.checkFiles()
	return nil
}

// checkLife checks when an entry would end without the plugin: at its ban's
// end, or with the group's, if the group was blocked too.
func (s *stage) checkLife(p netip.Prefix, group bool) {
	n := s.diary.of(p)
	over := n.expires.Sub(n.end)
	exact := over >= 0 && over < 3*time.Second
	if group && !exact {
		s.check(n.expires.After(n.end) && n.expires.Before(n.from.Add(blacklistTimeout+time.Second)),
			"%s: went with its group, and would end by itself after blacklist_timeout (%s)", p, short(blacklistTimeout))
		return
	}
	s.check(exact, "%s: would end by itself %s after its ban", p, over.Round(10*time.Millisecond))
}

// storm has a hundred addresses banned by one alert, and one banned again for
// shorter.
func (s *stage) storm(ctx context.Context) error {
	title(3, "During: one alert with 100 addresses, and a ban that is shorter than the one in force")
	said := len(s.commands())
	shorter := plugintest.Ban(shorterFor, address)
	if err := s.notify(ctx, shorter); err != nil {
		return err
	}
	many := plugintest.Ban(hundredFor, hundred...)
	if err := s.notify(ctx, many); err != nil {
		return err
	}
	if err := s.diary.until(ctx, hundredFor, "blocked", hundred, blocked); err != nil {
		return err
	}
	s.printCommands(said)
	say("\n  So many go by one command for the whole group. It sets one time for all, blacklist_timeout, in case the plugin")
	say("  never comes back. Taking each one off at its own end is the plugin's work.")
	s.printBlacklist()
	s.printFiles(false)
	say("")
	late := 0
	for _, p := range hundred {
		if life := s.diary.of(p).expires.Sub(many.StopAt); life < blacklistTimeout || life > blacklistTimeout+patience {
			late++
		}
	}
	s.check(late == 0, "each of the 100 would end by itself after blacklist_timeout (%s)", short(blacklistTimeout))
	s.checkFiles()
	if err := pause(ctx, time.Until(shorter.End().Add(time.Second))); err != nil {
		return err
	}
	s.check(blocked(s.diary.of(address)), "the shorter ban of %s is over, the longer one still stands", address.Addr())
	return nil
}

// after waits for the end of every ban.
func (s *stage) after(ctx context.Context) error {
	title(4, "After: every ban has ended")
	said := len(s.commands())
	all := slices.Concat(hundred, three)
	if err := s.diary.until(ctx, time.Until(s.diary.of(ipRange).end)+patience, "gone", all, gone); err != nil {
		return err
	}
	if err := s.settled(ctx); err != nil {
		return err
	}
	s.printCommands(said)
	s.printBlacklist()
	s.printFiles(false)
	say("")
	s.checkEnds(all)
	s.check(s.appliance.BlacklistLen() == 0, "the blacklist is empty")
	now := s.files()
	s.check(ourLines(now[snstest.ObjectFile]) == 0, "no object of the plugin is left")
	s.check(ourLines(now[snstest.GroupFile]) == 0, "both groups are empty")
	s.checkFiles()
	return nil
}

// checkEnds checks that each entry went when its ban had ended, and not long
// after.
func (s *stage) checkEnds(prefixes []netip.Prefix) {
	early, again, latest := 0, 0, time.Duration(0)
	for _, p := range prefixes {
		n := s.diary.of(p)
		if n.to.Before(n.end) {
			early++
		}
		if n.again {
			again++
		}
		latest = max(latest, n.to.Sub(n.end))
	}
	s.check(early == 0, "none of the %d was let go before its end", len(prefixes))
	s.check(again == 0, "none of them came back")
	s.check(latest < updateFrequency+patience, "the last to go went %s after its end (update_frequency is %s)",
		latest.Round(10*time.Millisecond), short(updateFrequency))
}

// settled waits until the plugin has done what follows the last unblocking.
func (s *stage) settled(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("objects or members of the plugin are left in the files"))
	defer cancel()
	for {
		now := s.files()
		held, _ := s.appliance.MonitorHeld()
		if ourLines(now[snstest.ObjectFile])+ourLines(now[snstest.GroupFile]) == 0 && !held {
			return nil
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
}

// cleanup stops the plugin while a ban is in force, and takes everything off
// by the plugin's command.
func (s *stage) cleanup(ctx context.Context) error {
	title(5, "Leaving: the plugin is stopped, and its command `cleanup` takes everything off")
	logged := s.plugin.Log().Len()
	if err := s.notify(ctx, plugintest.Ban(leftFor, left)); err != nil {
		return err
	}
	if err := s.flushed(ctx, logged, 1, updateFrequency); err != nil {
		return err
	}
	if err := s.command(ctx, "status"); err != nil {
		return err
	}
	say("")
	s.check(s.plugin.Kill(), "the plugin left by itself when it was asked to")
	s.printBlacklist()
	s.printFiles(false)
	say("")
	s.check(blocked(s.diary.of(left)), "without the plugin, %s stays blocked", left.Addr())
	if err := s.command(ctx, "cleanup"); err != nil {
		return err
	}
	s.printBlacklist()
	say("")
	s.check(s.appliance.BlacklistLen() == 0, "the blacklist is empty")
	now := s.files()
	for _, file := range []string{snstest.ObjectFile, snstest.GroupFile} {
		s.check(bytes.Equal(now[file], s.original[file]), "%s is what it was at the beginning, byte for byte (%d bytes)", file, len(now[file]))
	}
	s.checkFiles()
	held, _ := s.appliance.MonitorHeld()
	s.check(!held, "the right to monitor was given back")
	s.check(s.appliance.AdminHoldsModify() && s.appliance.Stats().Evictions == 0,
		"the administrator held the right to change the configuration all the time")
	return nil
}

// command runs one of the plugin's commands and shows what it prints.
func (s *stage) command(ctx context.Context, name string) error {
	say("\n  $ crowdsec-stormshield %s -c stormshield.yaml", name)
	out, err := exec.CommandContext(ctx, s.binary, name, "-c", s.config).CombinedOutput()
	for line := range strings.Lines(string(out)) {
		say("  %s", strings.TrimRight(line, "\n"))
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
