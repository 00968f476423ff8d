// The demo shows in half a minute what notification-stormshield does. It starts a
// simulated appliance and the real plugin binary, sends alerts as CrowdSec does,
// and prints what the appliance blocks. It checks every claim that it prints, and
// ends with status 1 if one is wrong.
//
//	go run ./demo -plugin bin/notification-stormshield
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"notification-stormshield/plugin/plugintest"
	"notification-stormshield/stormshield/snstest"
)

const (
	limit           = time.Minute // of the whole demo
	updateFrequency = 2 * time.Second
	short           = 9 * time.Second  // a ban that ends during the demo
	patience        = 15 * time.Second // for one change on the appliance
)

var (
	address  = netip.MustParsePrefix("203.0.113.77/32")
	address6 = netip.MustParsePrefix("2001:db8:bad::7/128")
	ipRange  = netip.MustParsePrefix("192.0.2.128/25")
	hundred  = plugintest.Addresses(netip.MustParseAddr("198.51.100.100"), 100)
	another  = netip.MustParsePrefix("203.0.113.99/32")
	oneMore  = netip.MustParsePrefix("203.0.113.88/32")
)

func main() {
	binary := flag.String("plugin", "bin/notification-stormshield", "the plugin's `binary`")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("it took longer than %s", limit))
	err := run(ctx, *binary)
	cancel()
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "\nThe demo failed: %v\n", err)
		os.Exit(1)
	}
}

// demo is the appliance, the plugin, and the claims that were wrong.
type demo struct {
	*plugintest.Harness
	original map[string]string // the administrator's files
	end      time.Time         // of the ban of another
	logged   int               // the lines of the plugin's log at the last flush
	printed  int               // the commands of the API that were printed
	wrong    []string
}

func run(ctx context.Context, binary string) error {
	began := time.Now()
	h, err := plugintest.New(plugintest.Options{
		Binary:        binary,
		Configuration: plugintest.Configuration{Name: "stormshield_default", UpdateFrequency: updateFrequency, Debounce: time.Second},
	})
	if err != nil {
		return err
	}
	defer h.Close()
	d := &demo{Harness: h}
	d.original = d.files()
	for i, step := range []struct {
		title string
		show  func(context.Context) error
	}{
		{"The plugin starts", d.start},
		{"CrowdSec bans an IPv4 address, an IPv6 address and a range", d.block},
		{"The ban of the IPv4 address ends, and CrowdSec bans one more", d.changeLittle},
		{"The administrator edits a file while CrowdSec bans 100 addresses", d.edit},
		{"The plugin crashes, and a ban ends before it starts again", d.crash},
		{"The administrator removes everything with the command cleanup", d.cleanup},
	} {
		title := fmt.Sprintf("%d. %s", i+1, step.title)
		say("\n%s\n%s\n", title, strings.Repeat("=", len(title)))
		if err := step.show(ctx); err != nil {
			return err
		}
	}
	if len(d.wrong) > 0 {
		return fmt.Errorf("%d claims are wrong:\n  %s", len(d.wrong), strings.Join(d.wrong, "\n  "))
	}
	say("\nEvery claim holds. The demo took %s.", time.Since(began).Round(100*time.Millisecond))
	return nil
}

func (d *demo) start(ctx context.Context) error {
	say("  The firewall is simulated, this program acts as CrowdSec, and the plugin is the real one.")
	say("  The administrator works in the web interface and holds the right to change the configuration.")
	d.Appliance.AdminTakesModify()
	if err := d.Start(ctx); err != nil {
		return err
	}
	if err := d.waitForFlush(ctx, func() bool { return strings.Contains(d.files()[snstest.GroupFile], "[CrowdsecDeleteGroup]") }); err != nil {
		return err
	}
	d.print()
	d.check(d.Appliance.BlacklistLen() == 0, "the appliance blocks nothing, and both groups of the plugin are empty")
	return nil
}

func (d *demo) block(ctx context.Context) error {
	if err := errors.Join(d.ban(ctx, short, address), d.ban(ctx, time.Hour, address6), d.ban(ctx, time.Hour, ipRange)); err != nil {
		return err
	}
	three := []netip.Prefix{address, address6, ipRange}
	if err := d.waitForFlush(ctx, func() bool { return d.blocks(three...) }); err != nil {
		return err
	}
	d.print()
	d.check(d.blocks(three...), "the appliance blocks %s, %s and %s", address.Addr(), address6.Addr(), ipRange)
	return nil
}

func (d *demo) changeLittle(ctx context.Context) error {
	before := d.Appliance.Stats()
	if err := d.waitForFlush(ctx, func() bool { return !d.blocks(address) }); err != nil {
		return err
	}
	if err := d.ban(ctx, time.Hour, oneMore); err != nil {
		return err
	}
	if err := d.waitForFlush(ctx, func() bool { return d.blocks(oneMore) }); err != nil {
		return err
	}
	d.print()
	d.check(!d.blocks(address) && d.blocks(oneMore, address6, ipRange), "the appliance no longer blocks %s, and blocks %s and the other two",
		address.Addr(), oneMore.Addr())
	after := d.Appliance.Stats()
	d.check(after.APILoginsOK <= before.APILoginsOK+2 && after.SSHConnections == before.SSHConnections,
		"each of the two changes took at most one login to the API, and none over SSH: the files follow later")
	return nil
}

func (d *demo) edit(ctx context.Context) error {
	const line = "srv_new=203.0.113.12,resolve=static"
	d.end = time.Now().Add(short)
	if err := errors.Join(d.ban(ctx, time.Hour, hundred...), d.ban(ctx, short, another)); err != nil {
		return err
	}
	insert := func(text string) string { return strings.Replace(text, "[Host]\n", "[Host]\n"+line+"\n", 1) }
	if err := d.Appliance.AdminEdit(snstest.ObjectFile, func(text []byte) []byte { return []byte(insert(string(text))) }); err != nil {
		return err
	}
	say("  The administrator adds to object: %s", line)
	d.original[snstest.ObjectFile] = insert(d.original[snstest.ObjectFile])
	if err := d.waitForFlush(ctx, func() bool { return d.blocks(hundred...) && d.blocks(another) }); err != nil {
		return err
	}
	d.print()
	d.check(strings.Contains(d.files()[snstest.ObjectFile], line+"\n"), "the edit is still there, beside the objects of the 100 addresses")
	return nil
}

func (d *demo) crash(ctx context.Context) error {
	say("  kill -9")
	if err := syscall.Kill(d.Plugin.PID(), syscall.SIGKILL); err != nil {
		return err
	}
	d.Plugin.Kill()
	if err := plugintest.Pause(ctx, time.Until(d.end)); err != nil {
		return err
	}
	say("  The ban of %s has ended. CrowdSec starts the plugin again.", another.Addr())
	d.check(d.blocks(another), "without the plugin, its entry stays")
	d.logged = 0 // the new process has its own log
	if err := d.Start(ctx); err != nil {
		return err
	}
	if err := d.waitForFlush(ctx, func() bool { return !d.blocks(another) }); err != nil {
		return err
	}
	d.print()
	d.check(!d.blocks(another), "the appliance no longer blocks %s", another.Addr())
	d.check(d.blocks(hundred...) && d.blocks(oneMore, address6, ipRange), "the appliance still blocks all other bans")
	return nil
}

func (d *demo) cleanup(ctx context.Context) error {
	if err := d.command(ctx, "status"); err != nil {
		return err
	}
	say("")
	d.check(d.Plugin.Kill(), "the plugin ends when CrowdSec asks it to")
	d.check(d.blocks(hundred...), "without the plugin, the entries stay until they end by themselves")
	if err := d.command(ctx, "cleanup"); err != nil {
		return err
	}
	d.print()
	d.check(d.Appliance.BlacklistLen() == 0, "the appliance blocks nothing")
	for _, file := range []string{snstest.ObjectFile, snstest.GroupFile} {
		d.check(d.files()[file] == d.original[file], "%s is what the administrator wrote, byte for byte", file)
	}
	d.check(d.Appliance.AdminHoldsModify() && d.Appliance.Stats().Evictions == 0, "the administrator held the right all the time")
	return nil
}

func (d *demo) ban(ctx context.Context, duration time.Duration, prefixes ...netip.Prefix) error {
	list := prefixes[0].String()
	if n := len(prefixes); n > 1 {
		list = fmt.Sprintf("%d addresses, %s to %s,", n, list, prefixes[n-1])
	}
	say("  alert: ban %s for %s", list, duration)
	return d.Plugin.Notify(ctx, d.Configuration.Name, plugintest.Ban(duration, prefixes...).Text())
}

// command runs a command of the plugin and prints its output.
func (d *demo) command(ctx context.Context, name string) error {
	file, err := d.WriteConfiguration("stormshield-*.yaml")
	if err != nil {
		return err
	}
	say("\n  $ crowdsec-stormshield %s -c stormshield.yaml", name)
	out, err := d.Command(ctx, nil, name, file)
	say("  %s", strings.ReplaceAll(strings.TrimSpace(out), "\n", "\n  "))
	return err
}

// waitForFlush waits for a flush after which a condition holds.
func (d *demo) waitForFlush(ctx context.Context, holds func() bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errors.New("no flush changed the appliance as it should"))
	defer cancel()
	_, err := d.Plugin.Log().Wait(ctx, d.logged, func(l plugintest.Line) bool { return l.IsFlush() && holds() })
	d.logged = d.Plugin.Log().Len()
	return err
}

func (d *demo) blocks(prefixes ...netip.Prefix) bool {
	return !slices.ContainsFunc(prefixes, func(p netip.Prefix) bool {
		_, blocked := d.Appliance.BlockedPrefix(p)
		return !blocked
	})
}

func (d *demo) files() map[string]string {
	files := map[string]string{}
	for _, file := range []string{snstest.ObjectFile, snstest.GroupFile} {
		files[file] = string(d.Appliance.Read(file))
	}
	return files
}

// commands are the API commands about the blacklist so far.
func (d *demo) commands() []string {
	return slices.DeleteFunc(d.Appliance.Stats().APICommands, func(c string) bool { return !strings.HasPrefix(c, "MONITOR ADDRESSLIST ") })
}

// check prints a claim, and whether it holds.
func (d *demo) check(holds bool, format string, args ...any) {
	claim := fmt.Sprintf(format, args...)
	if holds {
		say("  ok     %s", claim)
		return
	}
	say("  WRONG  %s", claim)
	d.wrong = append(d.wrong, claim)
}

// print prints the latest commands, the blacklist and the plugin's lines in the
// files, and checks the claims that hold at all times.
func (d *demo) print() {
	commands := d.commands()
	printList("The plugin sends to the appliance's API", commands[d.printed:])
	d.printed = len(commands)
	var entries []string
	for _, e := range d.Appliance.Blacklist() {
		entries = append(entries, fmt.Sprintf("%-22s ends by itself in %s", e.Source, time.Until(e.Expires).Round(time.Second)))
	}
	printList("The appliance blocks", entries)
	same := true
	for file, text := range d.files() {
		ours, present := plugintest.SplitFile(text)
		_, original := plugintest.SplitFile(d.original[file])
		same = same && slices.Equal(present, original)
		printList("The plugin's lines in the file "+file, ours)
	}
	d.check(same, "every line of the administrator is in its place")
	unusual := slices.Concat(d.Appliance.Problems(), d.Appliance.Leftovers())
	d.check(len(unusual) == 0, "the appliance can read both files, and no temporary file is left%s", strings.Join(unusual, ", "))
}

// printList prints a list without its middle.
func printList(title string, lines []string) {
	const most = 6
	if len(lines) == 0 {
		return
	}
	say("  %s:", title)
	for i, line := range lines {
		switch {
		case len(lines) <= most || i < most/2 || i == len(lines)-1:
			say("    %s", line)
		case i == most/2:
			say("    … %d more …", len(lines)-most/2-1)
		}
	}
	say("")
}

func say(format string, args ...any) { fmt.Printf(format+"\n", args...) }
