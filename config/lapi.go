package config

import (
	"net/url"
	"time"
)

// LAPI is CrowdSec's Local API, and which of its decisions are followed.
type LAPI struct {
	// URL is http, https, or unix:///PATH; "" if the Local API is not followed.
	URL string `key:"url" rule:"lapi_url"`
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

// Followed reports whether the Local API is followed.
func (l LAPI) Followed() bool { return l.URL != "" }

// Host is the host of the Local API, without port; "" if it is not followed.
func (l LAPI) Host() string {
	at, err := url.Parse(l.URL)
	if err != nil {
		return ""
	}
	return at.Hostname()
}

// ClientID is the same for two documents that are one client for the Local API. Each would miss changes, because the Local
// API reports each change once to each client. ClientID is "" if the Local API is not followed.
func (l LAPI) ClientID() string {
	if !l.Followed() {
		return ""
	}
	key := l.Key.Reveal()
	if key == "" {
		key = "\x00" + l.APIKeyPath // the content of the file is not known yet
	}
	return l.URL + "\x00" + key + "\x00" + l.CertPath
}
