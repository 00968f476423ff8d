// Package lapi reads CrowdSec's Local API as a bouncer does: the stream of
// decisions, community lists and unbans included, and it tells CrowdSec what is
// enforced.
//
// It knows nothing of bans or of an appliance, keeps nothing between calls, and
// holds no more of a stream than one decision: a full list has hundreds of
// thousands. Its main type is [Client].
//
//	client, err := lapi.New(lapi.Config{URL: "http://127.0.0.1:8080", Key: key, UserAgent: "…/1.0"})
//	seen, err := client.Stream(ctx, lapi.Query{Startup: true}, func(e lapi.Event) error { … })
//
// The protocol is that of CrowdSec 1.7.8 (pkg/apiserver/controllers/v1). The
// Local API remembers by key and address when it was last read: two that share a
// key take each other's changes away.
package lapi

import (
	"context"
	"crypto/tls"
	"crypto/x509"
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

// DefaultTimeout is how long the Local API may stay silent while something is
// asked of it. A full list takes longer than that as a whole.
const DefaultTimeout = time.Minute

// Config says where the Local API is, and who we are.
type Config struct {
	URL       string // such as http://127.0.0.1:8080/
	Key       string // of `cscli bouncers add`; or a client certificate:
	CertPath  string // PEM
	KeyPath   string // PEM
	CAPath    string // PEM; "": the system's
	Insecure  bool   // do not check its certificate
	UserAgent string // type/version
	Timeout   time.Duration
}

// Client is a bouncer's access to one Local API. It is safe for concurrent use.
type Client struct {
	base    *url.URL
	key     string
	agent   string
	timeout time.Duration
	http    *http.Client
}

// KeyError says that the Local API refused the key or the certificate.
type KeyError struct {
	Status int // of HTTP
}

func (e *KeyError) Error() string {
	return fmt.Sprintf("the Local API refused the key or certificate (HTTP %d)", e.Status)
}

// StatusError says that the Local API answered with another status than it
// should.
type StatusError struct {
	Code   int    // of HTTP
	Status string // with its words, such as "500 Internal Server Error"
}

func (e *StatusError) Error() string { return "the Local API answered HTTP " + e.Status }

// New returns a client. It reads the files of certificates and opens nothing
// else.
func New(c Config) (*Client, error) {
	base, err := url.Parse(strings.TrimSuffix(c.URL, "/") + "/")
	if err != nil {
		return nil, fmt.Errorf("url: %w", err)
	}
	config, err := c.tls()
	if err != nil {
		return nil, err
	}
	timeout := c.Timeout
	if timeout == 0 {
		timeout = DefaultTimeout
	}
	dialer := &net.Dialer{Timeout: min(timeout, 10*time.Second)}
	return &Client{
		base: base, key: c.Key, agent: c.UserAgent, timeout: timeout,
		http: &http.Client{
			Transport: &http.Transport{
				Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext, TLSClientConfig: config,
				TLSHandshakeTimeout: timeout, ResponseHeaderTimeout: timeout, IdleConnTimeout: timeout, MaxConnsPerHost: 2,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

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
		certificate, err := tls.LoadX509KeyPair(c.CertPath, c.KeyPath)
		if err != nil {
			return nil, fmt.Errorf("read the client certificate (cert_path, key_path): %w", err)
		}
		config.Certificates = []tls.Certificate{certificate}
	}
	return config, nil
}

// Close lets go of connections that are idle.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// do sends a request and returns the body of an answer with the wanted status.
// The body ends with an error when nothing comes for too long.
func (c *Client) do(ctx context.Context, method, path string, query url.Values, body io.Reader, want int) (io.ReadCloser, error) {
	where := c.base.JoinPath(path)
	where.RawQuery = query.Encode()
	ctx, cancel := context.WithCancelCause(ctx)
	request, err := http.NewRequestWithContext(ctx, method, where.String(), body)
	if err != nil {
		cancel(nil)
		return nil, err
	}
	request.Header.Set("User-Agent", c.agent)
	if c.key != "" {
		request.Header.Set("X-Api-Key", c.key)
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := c.http.Do(request) //nolint:bodyclose // the body that is returned closes it
	if err != nil {
		cancel(nil)
		return nil, withoutQuery(err)
	}
	patient := newPatientBody(response.Body, c.timeout, cancel)
	if response.StatusCode == want {
		return patient, nil
	}
	_ = patient.Close() // what it says is for people who read English
	if response.StatusCode == http.StatusUnauthorized || response.StatusCode == http.StatusForbidden {
		return nil, &KeyError{response.StatusCode}
	}
	return nil, &StatusError{response.StatusCode, response.Status}
}

// withoutQuery keeps of an error of HTTP what went wrong: where, the caller says.
func withoutQuery(err error) error {
	var of *url.Error
	if errors.As(err, &of) {
		return of.Err
	}
	return err
}

// errSilent ends a body on which nothing came for too long.
var errSilent = errors.New("the Local API fell silent")

// patientBody ends a request when nothing is read for too long.
type patientBody struct {
	io.ReadCloser
	patience time.Duration
	silent   *time.Timer
	cancel   context.CancelCauseFunc
}

func newPatientBody(body io.ReadCloser, patience time.Duration, cancel context.CancelCauseFunc) *patientBody {
	return &patientBody{body, patience, time.AfterFunc(patience, func() { cancel(errSilent) }), cancel}
}

func (b *patientBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.silent.Reset(b.patience)
	return n, err
}

func (b *patientBody) Close() error {
	b.silent.Stop()
	err := b.ReadCloser.Close()
	b.cancel(nil)
	return err
}
