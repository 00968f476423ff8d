package main

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"notification-stormshield/plugin/plugintest"
)

// processes has other processes of the binary come and go beside the plugin, as
// `crowdsec -t`, `cscli notifications test` and reloads make them, while bans
// come. One of them flushes at a time, and each ban is blocked once.
func processes(ctx context.Context, t *trial) error {
	w, err := newWorld(ctx, t)
	if err != nil {
		return err
	}
	defer w.end()
	w.mustBan(ctx, long, w.truth.fresh(w.random, 3)...)
	if err := w.settle(ctx); err != nil {
		return err
	}
	var once []netip.Prefix
	for range 8 {
		ban := w.truth.fresh(w.random, 1+w.random.IntN(3))
		once = append(once, ban...)
		w.mustBan(ctx, long, ban...)
		if err := w.visit(ctx); err != nil {
			return err
		}
		if err := pause(ctx, time.Duration(w.random.IntN(1500))*time.Millisecond); err != nil {
			return err
		}
	}
	if err := w.settle(ctx); err != nil {
		return err
	}
	w.blockedOnce(once)
	return nil
}

// visit starts another process, or replaces the plugin as a reload does.
func (w *world) visit(ctx context.Context) error {
	other, err := plugintest.Start(w.binary)
	if err != nil {
		return err
	}
	if err := other.Configure(ctx, w.configuration.YAML()); err != nil {
		other.Kill()
		return err
	}
	switch w.random.IntN(3) {
	case 0: // crowdsec -t
		other.Kill()
	case 1: // cscli notifications test
		if err := other.Notify(ctx, notification, plugintest.TestAlert()); err != nil {
			w.found.other++
			w.found.notef("the test alert was refused: %v", err)
		}
		other.Kill()
	case 2: // SIGHUP: the new one starts while the old one goes
		w.lookAtLog()
		w.plugin.Kill()
		w.plugin = other
	}
	return nil
}

// blockedOnce finds addresses that the appliance was asked more than once to
// block by themselves.
func (w *world) blockedOnce(prefixes []netip.Prefix) {
	count := map[string]int{}
	for _, command := range w.appliance.Stats().APICommands {
		for word := range strings.FieldsSeq(command) {
			if name, ok := strings.CutPrefix(word, "Name1="); ok && strings.Contains(command, "ADDRESSLIST ADD") {
				count[name]++
			}
		}
	}
	for _, p := range prefixes {
		for _, name := range []string{p.Addr().String(), object(p)} {
			if count[name] > 1 {
				w.found.other++
				w.found.notef("%s was blocked %d times", fmt.Sprint(p), count[name])
			}
		}
	}
}
