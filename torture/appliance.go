package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"notification-stormshield/plugin/plugintest"
	"notification-stormshield/stormshield/snstest"
)

// blow is something that happens to the appliance. What it returns, if
// anything, makes it well again.
type blow struct {
	name string
	deal func(context.Context, *world) (mend func(), err error)
}

// during is a blow that a switch of the appliance makes.
func during(set func(*world, *snstest.Faults)) func(context.Context, *world) (func(), error) {
	return func(_ context.Context, w *world) (func(), error) {
		healthy := w.appliance.Faults()
		w.appliance.SetFaults(func(f *snstest.Faults) { set(w, f) })
		return func() { w.appliance.SetFaults(func(f *snstest.Faults) { *f = healthy }) }, nil
	}
}

var applianceFaults = []blow{
	{"a reboot", func(_ context.Context, w *world) (func(), error) { w.appliance.Reboot(); return nil, nil }},
	{"a failover to a peer that lacks our objects", func(_ context.Context, w *world) (func(), error) {
		w.appliance.Reboot()
		for _, file := range files {
			if err := w.administrator.write(file, strings.Join(w.administrator.lines[file], "\n")+"\n"); err != nil {
				return nil, err
			}
		}
		return nil, nil
	}},
	{"the disk is full", during(func(w *world, f *snstest.Faults) { f.DiskFullAfter = int64(1 + w.random.IntN(4000)) })},
	{"the folder is read-only", during(func(_ *world, f *snstest.Faults) { f.ReadOnlyDir = true })},
	{"the administrator deletes [Host]", func(_ context.Context, w *world) (func(), error) {
		w.broken = true // the groups name what is gone
		text := string(w.appliance.Read("object"))
		start, end := strings.Index(text, "[Host]"), strings.Index(text, "[Network]")
		return nil, w.administrator.write("object", text[:start]+text[end:])
	}},
	{"the administrator deletes the group of bans", func(_ context.Context, w *world) (func(), error) {
		return nil, w.administrator.write("objectgroup", withoutGroup(string(w.appliance.Read("objectgroup")), "Crowdsec"))
	}},
	{"the administrator deletes the group of ended bans", func(_ context.Context, w *world) (func(), error) {
		return nil, w.administrator.write("objectgroup", withoutGroup(string(w.appliance.Read("objectgroup")), "CrowdsecDeleteGroup"))
	}},
	{"the administrator uses one of our objects", func(ctx context.Context, w *world) (func(), error) {
		prefix := w.truth.fresh(w.random, 1)
		if err := w.ban(ctx, 4*time.Second, prefix...); err != nil {
			return nil, err
		}
		if err := w.settle(ctx); err != nil {
			return nil, err
		}
		name := object(prefix[0])
		w.kept[name] = true
		text := string(w.appliance.Read("objectgroup"))
		return nil, w.administrator.write("objectgroup", strings.Replace(text, "[everything]\n", "[everything]\n"+name+"\n", 1))
	}},
	{"the administrator empties object", func(_ context.Context, w *world) (func(), error) {
		w.broken = true
		return nil, w.administrator.write("object", "")
	}},
	{"the administrator empties objectgroup", func(_ context.Context, w *world) (func(), error) {
		return nil, w.administrator.write("objectgroup", "")
	}},
	{"object has 50 MB", func(_ context.Context, w *world) (func(), error) {
		var text strings.Builder
		text.WriteString("[Host]\n")
		for i := 0; text.Len() < 50<<20; i++ {
			fmt.Fprintf(&text, "host_%d=10.%d.%d.%d,resolve=static\n", i, i>>16&255, i>>8&255, i&255)
		}
		w.broken = true // so that nobody parses it every 20 ms
		return nil, w.administrator.write("object", text.String()+strings.Join(w.administrator.lines["object"], "\n")+"\n")
	}},
	{"somebody else holds the monitor right", func(_ context.Context, w *world) (func(), error) {
		w.appliance.HoldMonitor()
		return w.appliance.ReleaseMonitor, nil
	}},
	{"the administrator ends all sessions", func(_ context.Context, w *world) (func(), error) { w.appliance.EndSessions(); return nil, nil }},
}

// withoutGroup is a text without a group and its members.
func withoutGroup(text, group string) string {
	start := strings.Index(text, "["+group+"]\n")
	if start < 0 {
		return text
	}
	rest := text[start+1:]
	if next := strings.Index(rest, "\n["); next >= 0 {
		return text[:start] + rest[next+1:]
	}
	return text[:start]
}

// badAppliance deals the appliance a blow while bans come and end.
func badAppliance(ctx context.Context, t *trial) error {
	w, err := newWorld(ctx, t)
	if err != nil {
		return err
	}
	defer w.end()
	w.way()
	// An emptied blacklist is healed by the rhythm of re-asserting.
	if err := w.reconfigure(ctx, func(c *plugintest.Configuration) { c.ReassertEvery = 10 * time.Second }); err != nil {
		return err
	}
	w.mustBan(ctx, long, w.truth.fresh(w.random, 5+w.random.IntN(40))...)
	if err := w.settle(ctx); err != nil {
		return err
	}
	b := applianceFaults[t.choose(len(applianceFaults))]
	mend, err := b.deal(ctx, w)
	if err != nil {
		return fmt.Errorf("%s: %w", b.name, err)
	}
	w.mustBan(ctx, long, w.truth.fresh(w.random, 1+w.random.IntN(30))...)
	w.mustBan(ctx, time.Second, w.truth.fresh(w.random, 1+w.random.IntN(30))...)
	if err := pause(ctx, 3*time.Second); err != nil {
		return err
	}
	if mend != nil {
		mend()
	}
	return w.settleAfter(ctx, b.name)
}
