package config

import (
	"net/url"
	"time"
)

// LAPI is the access to CrowdSec's Local API, and which of its decisions are followed.
type LAPI struct {
	// URL is http, https, or unix:///PATH; "" if there is no access to the Local API.
	URL string `key:"url" rule:"lapi_url"`
	// Follow makes the plugin read decisions. Without it, the plugin only reports usage metrics.
	Follow bool `key:"follow" default:"true"`
	// Key is what `cscli bouncers add` prints.
	Key        Secret `key:"key"`
	APIKeyPath string `key:"api_key_path" rule:"absolute" file_of:"key"`
	// CertPath is a client certificate, which replaces the key.
	CertPath           string `key:"cert_path" rule:"absolute"`
	KeyPath            string `key:"key_path" rule:"absolute"`
	CACertPath         string `key:"ca_cert_path" rule:"absolute"`
	InsecureSkipVerify bool   `key:"insecure_skip_verify"`
	// UpdateFrequency is the time between two polls; 0 is that of the document.
	UpdateFrequency time.Duration `key:"update_frequency" range:"0, 1s..1h" hint:"write 30s, or 0 for that of the document"`
	// Timeout limits the time until an answer begins, and each silence within an answer.
	Timeout time.Duration `key:"timeout" default:"5m" range:"1s..1h"`
	// Proxy is the URL of a proxy on the way to the Local API; "": none.
	Proxy string `key:"proxy" rule:"proxy_url"`
	// ResyncEvery is the time between two full reads. With 0 there is one at the start, after a failure, and when a poll
	// may have missed decisions.
	ResyncEvery time.Duration `key:"resync_every" default:"24h" range:"0, 1m.."`
	// These lists select decisions, in addition to [Decisions]; none: all.
	Origins          []string `key:"origins"`
	Scopes           []string `key:"scopes"`
	IncludeScenarios []string `key:"include_scenarios_containing"`
	ExcludeScenarios []string `key:"exclude_scenarios_containing"`
}

// IsUsed reports whether there is access to the Local API.
func (l LAPI) IsUsed() bool { return l.URL != "" }

// Followed reports whether the plugin reads the decisions of the Local API.
func (l LAPI) Followed() bool { return l.IsUsed() && l.Follow }

// Host is the host of the Local API, without port; "" if there is no access to it.
func (l LAPI) Host() string {
	at, err := url.Parse(l.URL)
	if err != nil {
		return ""
	}
	return at.Hostname()
}

// ClientID is the same for two documents that are one client for the Local API. Two such documents must not run: the Local API
// reports each change once to each client, and keeps the usage metrics of each client. ClientID is "" if there is no access
// to the Local API.
func (l LAPI) ClientID() string {
	if !l.IsUsed() {
		return ""
	}
	key := l.Key.Reveal()
	if key == "" {
		key = "\x00" + l.APIKeyPath // the content of the file is not known yet
	}
	return l.URL + "\x00" + key + "\x00" + l.CertPath
}
