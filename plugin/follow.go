package plugin

import (
	"cmp"
	"context"
	"fmt"
	"runtime"

	"notification-stormshield/config"
	"notification-stormshield/lapi"
	"notification-stormshield/plugin/ban"
	"notification-stormshield/plugin/follower"
	"notification-stormshield/plugin/usage"
)

// Component is this program's name in CrowdSec's list of bouncers.
const Component = "crowdsec-stormshield"

// LocalAPI returns access to the Local API that a configuration names.
func LocalAPI(d config.Document, version string) (*lapi.Client, error) {
	l := d.LAPI
	client, err := lapi.New(lapi.Config{
		URL: l.URL, Key: l.Key.Reveal(), CertPath: l.CertPath, KeyPath: l.KeyPath, CAPath: l.CACertPath, Insecure: l.InsecureSkipVerify,
		UserAgent: Component + "/" + cmp.Or(version, "unknown"), Timeout: l.Timeout, Proxy: l.Proxy,
	})
	if err != nil {
		return nil, fmt.Errorf("lapi: %w", err)
	}
	return client, nil
}

// reportUsage reports to CrowdSec how many bans are enforced, until the context ends.
func (n *notification) reportUsage(ctx context.Context) {
	program := lapi.Usage{Type: Component, Version: cmp.Or(n.options.Version, "unknown"), OS: runtime.GOOS, Started: n.options.Started}
	(&usage.Reporter{LocalAPI: n.localAPI, Ledger: n.ledger, Program: program, Log: n.log}).Run(ctx)
}

// follow follows the Local API until the context ends.
func (n *notification) follow(ctx context.Context) {
	l := n.document.LAPI
	follower.New(follower.Config{
		LocalAPI: n.localAPI, Ledger: n.ledger, Filter: func() ban.Filter { return n.filter },
		Query:     lapi.Query{Scopes: l.Scopes, Origins: l.Origins, Include: l.IncludeScenarios, Exclude: l.ExcludeScenarios},
		PollEvery: cmp.Or(l.UpdateFrequency, n.document.UpdateFrequency), ResyncEvery: l.ResyncEvery, MaxBans: n.document.Decisions.MaxBans,
		OnChange: n.enforcer.TriggerNow, OnRefused: n.counters.CountRefused, OnFailure: n.counters.CountLocalAPIFailure, Log: n.log,
	}).Run(ctx)
}
