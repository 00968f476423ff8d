// Package lapi reads the decisions of CrowdSec's Local API, as a bouncer does. It also sends usage metrics.
//
// It knows neither bans nor an appliance, and keeps no decision between calls. It holds one decision of an answer at a
// time, because a full list has hundreds of thousands. Its main type is [Client].
//
//	client, err := lapi.New(lapi.Config{URL: "http://127.0.0.1:8080", Key: key, UserAgent: "…/1.0"})
//	seen, err := client.Stream(ctx, lapi.Query{Startup: true}, func(e lapi.Event) error { … })
//
// The protocol is that of CrowdSec 1.7.8 (pkg/apiserver/controllers/v1). The Local API remembers by key and address when it
// was last read, and reports each change once. So two readers with one key miss changes. The client asks for every decision
// (dedup=false): otherwise the Local API hides all decisions on a value but the one that ends last.
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

// DefaultTimeout is how long the Local API may take to its answer's first byte, and how long it may stay silent within
// the answer. A Local API with a slow database needs minutes before a full list begins.
const DefaultTimeout = 5 * time.Minute

// Config says where the Local API is, and who asks.
type Config struct {
	URL       string        // such as http://127.0.0.1:8080/ or unix:///run/crowdsec.sock
	Key       string        // of `cscli bouncers add`; "": CertPath and KeyPath say who asks
	CertPath  string        // the client certificate, in PEM
	KeyPath   string        // its key, in PEM
	CAPath    string        // the CA of the Local API's certificate, in PEM; "": those of the system
	Insecure  bool          // do not check the Local API's certificate
	UserAgent string        // type/version
	Timeout   time.Duration // 0: [DefaultTimeout]
	// Proxy is the URL of a proxy to go through; "": none, whatever the environment says.
	Proxy string
}

// Client is a bouncer's access to one Local API. It is safe for concurrent use.
type Client struct {
	config Config
	base   *url.URL
	socket string // the path of a unix socket; "": TCP
	proxy  *url.URL
}

// KeyError says that the Local API refused the key or the certificate. Its answer is the same when it cannot look the key
// up in its database.
type KeyError struct {
	Status int // of HTTP
	Reason string
}

func (e *KeyError) Error() string {
	return fmt.Sprintf("the Local API refused the key or certificate, or cannot look it up in its database (HTTP %d%s)", e.Status, reason(e.Reason))
}

// StatusError says that the Local API answered with another status than it should.
type StatusError struct {
	Code   int    // of HTTP
	Status string // with its words, such as "500 Internal Server Error"
	Reason string // the Local API's own; or the target of a redirect
}

func (e *StatusError) Error() string {
	return "the Local API answered HTTP " + e.Status + reason(e.Reason)
}

func reason(text string) string {
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

// sender returns an HTTP client for one request. Each request reads the files of certificates anew, because somebody may have
// renewed them.
func (c *Client) sender() (*http.Client, error) {
	config, err := c.config.tls()
	if err != nil {
		return nil, err
	}
	timeout := c.config.Timeout
	dialer := &net.Dialer{Timeout: min(timeout, 10*time.Second)}
	return &http.Client{
		// A connection is used once: net/http silently asks again when one that was used before breaks. But the Local API has
		// reported the changes to the first question.
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

// tls reads the files of certificates.
func (c Config) tls() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: c.Insecure} //nolint:gosec // only if the administrator says so
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

// do sends a request and returns the body of an answer with the wanted status.
// The body ends with an error when nothing comes for too long.
func (c *Client) do(ctx context.Context, method, path string, query url.Values, body io.Reader, want int) (io.ReadCloser, error) {
	sender, err := c.sender()
	if err != nil {
		return nil, err
	}
	where := c.base.JoinPath(path)
	where.RawQuery = query.Encode()
	ctx, cancel := context.WithCancelCause(ctx)
	request, err := http.NewRequestWithContext(ctx, method, where.String(), body)
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
	response, err := sender.Do(request) //nolint:bodyclose // the body that is returned closes it
	if err != nil {
		cancel(nil)
		return nil, c.explain(err)
	}
	patient := &patientBody{response.Body, ctx, c.config.Timeout, cancel}
	if response.StatusCode == want {
		return patient, nil
	}
	defer func() { _ = patient.Close() }() // the status says what is wrong
	why := reasonOf(response, patient)
	if response.StatusCode == http.StatusUnauthorized || response.StatusCode == http.StatusForbidden {
		return nil, &KeyError{response.StatusCode, why}
	}
	return nil, &StatusError{response.StatusCode, response.Status, why}
}

// longestReason bounds what an error repeats of an answer.
const longestReason = 200

// reasonOf returns why the Local API refused a request: {"message": …}, a line of text, or where a redirect leads.
func reasonOf(response *http.Response, body io.Reader) string {
	if target := response.Header.Get("Location"); target != "" {
		return fmt.Sprintf("it leads to %.*q", longestReason, target)
	}
	text, _ := io.ReadAll(io.LimitReader(body, 4096)) // what arrived counts
	var said struct {
		Message string `json:"message"`
	}
	if err := json.Unmarshal(text, &said); err != nil || said.Message == "" {
		said.Message, _, _ = strings.Cut(strings.TrimSpace(string(text)), "\n")
	}
	if said.Message == "" {
		return ""
	}
	return fmt.Sprintf("%.*q", longestReason, said.Message)
}

// explain makes an error of net/http plain: its cause without the URL, and what to do about a late answer.
func (c *Client) explain(err error) error {
	var of *url.Error
	if errors.As(err, &of) {
		err = of.Err
	}
	if strings.Contains(err.Error(), "timeout awaiting response headers") {
		return fmt.Errorf("the Local API did not begin its answer within %s: %w (hint: if its database is slow, set lapi.timeout higher)", c.config.Timeout, err)
	}
	return err
}

// errSilent ends a body whose sender is silent for too long.
var errSilent = errors.New("the Local API fell silent")

// patientBody ends a request when a read waits for too long.
type patientBody struct {
	io.ReadCloser
	ctx      context.Context
	patience time.Duration
	cancel   context.CancelCauseFunc
}

func (b *patientBody) Read(p []byte) (int, error) {
	silent := time.AfterFunc(b.patience, func() { b.cancel(errSilent) })
	defer silent.Stop()
	n, err := b.ReadCloser.Read(p)
	if cause := context.Cause(b.ctx); err != nil && cause != nil { // net/http returns the cause once, and encoding/json drops it
		err = cause
	}
	return n, err
}

func (b *patientBody) Close() error {
	err := b.ReadCloser.Close()
	b.cancel(nil)
	return err
}
