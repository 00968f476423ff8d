package config

import (
	"net/url"
	"slices"
	"strings"
	"time"
)

// LAPI is CrowdSec's Local API, and which of its decisions are followed.
type LAPI struct {
	URL        string // http, https, or unix:///PATH; "": it is not followed
	Key        Secret // of `cscli bouncers add`
	APIKeyPath string // the file that holds Key instead
	// A client certificate instead of a key.
	CertPath           string
	KeyPath            string
	CACertPath         string
	InsecureSkipVerify bool
	// Timeout is how long it may take until its answer begins, and how long it may be
	// silent within the answer.
	Timeout time.Duration
	// Proxy is the URL of a proxy on the way to it; "": none.
	Proxy string
	// UpdateFrequency is how often it is asked what changed; 0 is the document's.
	UpdateFrequency time.Duration
	// ResyncEvery is how often everything is read; 0 is at the start, after a failure,
	// and when a poll may have missed decisions.
	ResyncEvery time.Duration
	// Which decisions it gives out, beside what [Decisions] says; none: all.
	Origins, Scopes, IncludeScenarios, ExcludeScenarios []string
}

// Followed reports whether the Local API is followed.
func (l LAPI) Followed() bool { return l.URL != "" }

// Host is where the Local API is, without port; "" if it is not followed.
func (l LAPI) Host() string {
	at, err := url.Parse(l.URL)
	if err != nil {
		return ""
	}
	return at.Hostname()
}

// ClientID is how the Local API tells its clients apart: it delivers each change once to
// each of them.
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

func (l *LAPI) keys() []key {
	return []key{
		{name: "url", set: text(&l.URL)},
		{name: "key", set: text(&l.Key)},
		{name: "api_key_path", set: text(&l.APIKeyPath)},
		{name: "cert_path", set: text(&l.CertPath)},
		{name: "key_path", set: text(&l.KeyPath)},
		{name: "ca_cert_path", set: text(&l.CACertPath)},
		{name: "insecure_skip_verify", set: boolean(&l.InsecureSkipVerify)},
		{name: "timeout", set: duration(&l.Timeout)},
		{name: "proxy", set: text(&l.Proxy)},
		{name: "update_frequency", set: duration(&l.UpdateFrequency)},
		{name: "resync_every", set: duration(&l.ResyncEvery)},
		{name: "origins", set: list(&l.Origins)},
		{name: "scopes", set: list(&l.Scopes)},
		{name: "include_scenarios_containing", set: list(&l.IncludeScenarios)},
		{name: "exclude_scenarios_containing", set: list(&l.ExcludeScenarios)},
	}
}

func (l LAPI) check(c *checks) {
	const section = "lapi."
	if !l.Followed() {
		c.that(l.Key == "" && l.APIKeyPath == "" && l.CertPath == "", section+"url", "is empty, and there is a key or certificate for it", "write http://127.0.0.1:8080/")
		return
	}
	c.that(isAddress(l.URL, "http", "https") || strings.HasPrefix(l.URL, "unix:///") && isOneLine(l.URL), section+"url",
		"is not the address of a Local API, or holds more than that", "write http://127.0.0.1:8080/, or unix:///PATH for a socket")
	c.that(l.Proxy == "" || isAddress(l.Proxy, "http", "https", "socks5"), section+"proxy",
		"is not the address of a proxy, or holds more than that", "write http://192.0.2.1:3128/, or nothing for none")
	c.that(l.Timeout >= time.Second && l.Timeout <= time.Hour, section+"timeout", "is not between 1s and 1h", "write 5m")
	c.that(l.Key != "" || l.APIKeyPath != "" || l.CertPath != "", section+"key", "is empty, and so are api_key_path and cert_path",
		"write what `cscli bouncers add stormshield` prints", section+"api_key_path", section+"cert_path")
	c.that((l.CertPath == "") == (l.KeyPath == ""), section+"key_path", "and cert_path belong together", "set both or neither")
	c.secret(section+"key", l.Key, section+"api_key_path", l.APIKeyPath)
	c.absolute(section+"cert_path", l.CertPath, false)
	c.absolute(section+"key_path", l.KeyPath, false)
	c.absolute(section+"ca_cert_path", l.CACertPath, false)
	c.that(l.UpdateFrequency == 0 || l.UpdateFrequency >= time.Second && l.UpdateFrequency <= time.Hour, section+"update_frequency",
		"is not between 1s and 1h", "write 30s, or 0 for that of the document")
	c.that(l.ResyncEvery == 0 || l.ResyncEvery >= time.Minute, section+"resync_every", "is shorter than 1m", "write 24h")
	for name, entries := range map[string][]string{
		"origins": l.Origins, "scopes": l.Scopes, "include_scenarios_containing": l.IncludeScenarios, "exclude_scenarios_containing": l.ExcludeScenarios,
	} {
		c.entries(section+name, entries)
	}
}

// isAddress reports whether a text is a URL of a host with one of the schemes, without credentials.
func isAddress(text string, schemes ...string) bool {
	at, err := url.Parse(text)
	return err == nil && slices.Contains(schemes, at.Scheme) && at.Host != "" && at.User == nil && at.RawQuery == "" && isOneLine(text)
}
