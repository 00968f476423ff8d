// Package lapi is a client of CrowdSec's Local API. It reads decisions as a bouncer does, and sends usage metrics. Its main
// type is [Client].
//
//	client, err := lapi.New(lapi.Config{URL: "http://127.0.0.1:8080", Key: key, UserAgent: "…/1.0"})
//	seen, err := client.Stream(ctx, lapi.Query{Startup: true}, func(e lapi.Event) error { … })
//
// [Client.Stream] reads everything in force at first, and then the changes since the last Stream. The Local API remembers for
// each key and address when it was last read, and reports each change once. So two readers with one key miss changes.
// [Client.ReadAbove] and [Client.Lookup] ask for some of the decisions in force.
//
// The client holds one decision of an answer at a time, because a full list has hundreds of thousands. It keeps none between
// calls, and knows neither bans nor an appliance. It asks for every decision (dedup=false): otherwise the Local API hides
// all decisions on a value but the one that ends last. The protocol is that of CrowdSec 1.7.8 (pkg/apiserver/controllers/v1).
package lapi

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// DefaultTimeout is how long the Local API may stay silent, before its answer and within it. A Local API with a slow
// database needs minutes before a full list begins.
const DefaultTimeout = 5 * time.Minute

// Config has the address of the Local API, and the identity of the client.
type Config struct {
	URL       string        // such as http://127.0.0.1:8080/ or unix:///run/crowdsec.sock
	Key       string        // of `cscli bouncers add`; "": CertPath and KeyPath identify the client
	CertPath  string        // the client certificate, in PEM
	KeyPath   string        // its key, in PEM
	CAPath    string        // the CA of the Local API's certificate, in PEM; "": those of the system
	Insecure  bool          // accept any certificate of the Local API
	UserAgent string        // type/version
	Timeout   time.Duration // 0: [DefaultTimeout]
	Proxy     string        // the URL of a proxy; "": none, also if the environment names one
}

// Client is a bouncer's access to one Local API. It is safe for concurrent use.
type Client struct {
	config Config
	base   *url.URL
	socket string // the path of a unix socket; "": TCP
	proxy  *url.URL
}

// KeyError means that the Local API refused the key or the certificate. It gives the same answer when it cannot look the
// key up in its database.
type KeyError struct {
	Status int
	Reason string
}

func (e *KeyError) Error() string {
	return fmt.Sprintf("the Local API refused the key or certificate, or cannot look it up in its database (HTTP %d%s)",
		e.Status, formatReason(e.Reason))
}

// StatusError means that the Local API answered with another HTTP status than expected.
type StatusError struct {
	Code   int
	Status string // the code with its words, such as "500 Internal Server Error"
	Reason string // the message of the Local API, or the target of a redirect
}

func (e *StatusError) Error() string {
	return "the Local API answered HTTP " + e.Status + formatReason(e.Reason)
}

func formatReason(text string) string {
	if text == "" {
		return ""
	}
	return ": " + text
}

// New returns a client. It opens nothing.
func New(c Config) (*Client, error) {
	client := &Client{config: c}
	if path, isSocket := strings.CutPrefix(c.URL, "unix://"); isSocket {
		client.socket = path
		c.URL = "http://unix/"
	}
	var err error
	if client.base, err = url.Parse(strings.TrimSuffix(c.URL, "/") + "/"); err != nil {
		return nil, fmt.Errorf("url: %w", err)
	}
	if c.Proxy != "" {
		if client.proxy, err = url.Parse(c.Proxy); err != nil {
			return nil, fmt.Errorf("proxy: %w", err)
		}
	}
	if client.config.Timeout == 0 {
		client.config.Timeout = DefaultTimeout
	}
	return client, nil
}

// Address returns the host or the socket of the Local API, for messages.
func (c *Client) Address() string {
	if c.socket != "" {
		return c.socket
	}
	return c.base.Host
}

// newHTTPClient returns an HTTP client for one request. Each request reads the certificate files again, because somebody may
// have renewed them.
func (c *Client) newHTTPClient() (*http.Client, error) {
	config, err := c.config.loadTLS()
	if err != nil {
		return nil, err
	}
	timeout := c.config.Timeout
	dialer := &net.Dialer{Timeout: min(timeout, 10*time.Second)}
	return &http.Client{
		// net/http silently repeats a request when a connection that was used before breaks. The Local API then counts the
		// changes as reported already, so each connection is used once.
		Transport: &http.Transport{
			DisableKeepAlives: true,
			Proxy:             func(*http.Request) (*url.URL, error) { return c.proxy, nil },
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				if c.socket != "" {
					network, address = "unix", c.socket
				}
				return dialer.DialContext(ctx, network, address)
			},
			TLSClientConfig: config, TLSHandshakeTimeout: min(timeout, 30*time.Second), ResponseHeaderTimeout: timeout,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// loadTLS reads the certificate files.
func (c Config) loadTLS() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: c.Insecure} //nolint:gosec // only if the administrator configures it
	if c.CAPath != "" {
		pem, err := os.ReadFile(c.CAPath)
		if err != nil {
			return nil, fmt.Errorf("read the CA of the Local API (ca_cert_path): %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("ca_cert_path: %s holds no certificate in PEM", c.CAPath)
		}
	}
	if c.CertPath != "" {
		pair, err := tls.LoadX509KeyPair(c.CertPath, c.KeyPath)
		if err != nil {
			return nil, fmt.Errorf("read the client certificate (cert_path, key_path): %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// do sends a request and returns the body of an answer with the wanted status. Reading the body fails when nothing arrives
// for too long.
func (c *Client) do(ctx context.Context, method, path string, query url.Values, body io.Reader, want int) (io.ReadCloser, error) {
	httpClient, err := c.newHTTPClient()
	if err != nil {
		return nil, err
	}
	target := c.base.JoinPath(path)
	target.RawQuery = query.Encode()
	ctx, cancel := context.WithCancelCause(ctx)
	request, err := http.NewRequestWithContext(ctx, method, target.String(), body)
	if err != nil {
		cancel(nil)
		return nil, err
	}
	request.Header.Set("User-Agent", c.config.UserAgent)
	if c.config.Key != "" {
		request.Header.Set("X-Api-Key", c.config.Key)
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := httpClient.Do(request) //nolint:bodyclose // the caller closes the returned body
	if err != nil {
		cancel(nil)
		return nil, c.explain(err)
	}
	answer := &timedBody{response.Body, ctx, c.config.Timeout, cancel}
	if response.StatusCode == want {
		return answer, nil
	}
	defer func() { _ = answer.Close() }() // the status is the error
	reason := reasonOf(response, answer)
	if response.StatusCode == http.StatusUnauthorized || response.StatusCode == http.StatusForbidden {
		return nil, &KeyError{response.StatusCode, reason}
	}
	return nil, &StatusError{response.StatusCode, response.Status, reason}
}

// longestReason bounds, in characters, the part of an answer that an error repeats.
const longestReason = 200

// reasonOf returns the reason in an answer: {"message": …}, the first line of text, or the target of a redirect.
func reasonOf(response *http.Response, body io.Reader) string {
	if target := response.Header.Get("Location"); target != "" {
		return fmt.Sprintf("it leads to %.*q", longestReason, target)
	}
	text, _ := io.ReadAll(io.LimitReader(body, 4096)) // a part of the text is enough
	var answer struct {
		Message string `json:"message"`
	}
	if err := json.Unmarshal(text, &answer); err != nil || answer.Message == "" {
		answer.Message, _, _ = strings.Cut(strings.TrimSpace(string(text)), "\n")
	}
	if answer.Message == "" {
		return ""
	}
	return fmt.Sprintf("%.*q", longestReason, answer.Message)
}

// explain returns an error of net/http without its URL, and with a hint if the answer is late.
func (c *Client) explain(err error) error {
	var withURL *url.Error
	if errors.As(err, &withURL) {
		err = withURL.Err
	}
	if strings.Contains(err.Error(), "timeout awaiting response headers") {
		return fmt.Errorf("the Local API did not begin its answer within %s: %w (hint: if its database is slow, set lapi.timeout higher)",
			c.config.Timeout, err)
	}
	return err
}

// errSilent is the error of a body whose sender sends nothing for too long.
var errSilent = errors.New("the Local API fell silent")

// timedBody cancels its request when a read waits for longer than the timeout.
type timedBody struct {
	io.ReadCloser
	ctx     context.Context
	timeout time.Duration
	cancel  context.CancelCauseFunc
}

func (b *timedBody) Read(p []byte) (int, error) {
	silent := time.AfterFunc(b.timeout, func() { b.cancel(errSilent) })
	defer silent.Stop()
	n, err := b.ReadCloser.Read(p)
	if cause := context.Cause(b.ctx); err != nil && cause != nil { // encoding/json drops the cause, and net/http returns it only once
		err = cause
	}
	return n, err
}

func (b *timedBody) Close() error {
	err := b.ReadCloser.Close()
	b.cancel(nil)
	return err
}
