package plugin

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"time"

	"notification-stormshield/config"
	"notification-stormshield/lapi"
	"notification-stormshield/plugin/follower"
)

// Component is what CrowdSec's Local API knows this program as.
const Component = "crowdsec-stormshield"

// LocalAPI returns access to the Local API that a configuration names.
func LocalAPI(d config.Document, version string) (*lapi.Client, error) {
	l := d.LAPI
	client, err := lapi.New(lapi.Config{
		URL: l.URL, Key: l.Key.Reveal(), CertPath: l.CertPath, KeyPath: l.KeyPath, CAPath: l.CACertPath, Insecure: l.InsecureSkipVerify,
		UserAgent: Component + "/" + cmp.Or(version, "unknown"),
	})
	if err != nil {
		return nil, fmt.Errorf("lapi: %w", err)
	}
	return client, nil
}

// follow returns what follows the Local API while this process holds the lease;
// nil if it is not to be followed.
func (o Options) follow(n *notification) func(context.Context) {
	l := n.document.LAPI
	if !l.Followed() {
		return nil
	}
	return func(ctx context.Context) {
		client, err := LocalAPI(n.document, o.Version)
		if err != nil { // a file of a certificate: no reason to keep CrowdSec from starting
			n.log.Error("the Local API is not followed", "error", err, "hint", "correct lapi in the notification's YAML and reload CrowdSec")
			if err := n.ledger.ReadFailed(ctx, err.Error(), time.Now()); err != nil {
				n.log.Debug("the failure could not be recorded", "error", err)
			}
			return
		}
		defer client.Close()
		follower.New(follower.Config{
			List: client, Ledger: n.ledger, Filter: n.filter,
			Query: lapi.Query{Scopes: l.Scopes, Origins: l.Origins, Include: l.IncludeScenarios, Exclude: l.ExcludeScenarios},
			Every: cmp.Or(l.UpdateFrequency, n.document.UpdateFrequency), Resync: l.ResyncEvery, MaxBans: n.document.Decisions.MaxBans,
			Usage:   lapi.Usage{Type: Component, Version: cmp.Or(o.Version, "unknown"), OS: runtime.GOOS, Started: o.Started},
			Changed: n.enforcer.Changed, Log: n.log,
		}).Run(ctx)
	}
}
