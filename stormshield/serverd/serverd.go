// Package serverd talks to serverd, the command server of a Stormshield appliance, over
// its HTTPS API: log in, run commands, read answers, log out. Its main type is
// [Session]; [Dial] opens one.
//
// It knows no bans and no files. It never repeats a login, because three wrong
// passwords lock the appliance.
//
//	session, err := serverd.Dial(ctx, serverd.Config{Host: "192.0.2.1", …})
//	if err != nil { … }                       // *AuthError: do not log in again soon
//	defer session.Close(ctx)
//	answer, err := session.Run(ctx, "SYSTEM PROPERTY")
//	model := answer.Section("Result")["Model"]
//
// The protocol is that of the vendor's Python client (stormshield.sns.sslclient).
// The appliance translates its messages, so decisions depend on numbers only.
package serverd

import (
	"cmp"
	"context"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// DefaultTimeout bounds each request when Config.Timeout is zero.
const DefaultTimeout = 30 * time.Second

// Config describes an appliance and the account.
type Config struct {
	Host     string // an address or a name, without port
	Port     int
	User     string
	Password string
	// ClientCertPath and ClientKeyPath are a client certificate, in PEM, that logs in instead of User and Password; "": none.
	ClientCertPath, ClientKeyPath string
	Trust                         Trust
	Timeout                       time.Duration // of one request; zero: DefaultTimeout

	Wrap    func(net.Conn) net.Conn // replaces each new connection; nil: none does
	Trusted func(*x509.Certificate) // is called with each certificate that is trusted; may be nil
}

// Account describes the account in a message.
func (c Config) Account() string {
	if c.ClientCertPath != "" {
		return "of the client certificate " + c.ClientCertPath
	}
	return c.User
}

// Session is one session of the API. It sees the objects that the appliance had when
// the session was opened. It is not for concurrent use.
type Session struct {
	base   string
	http   *http.Client
	id     string
	levels []string

	// Permit is called before each command of Run. An error of it is Run's error, and the command is not sent. nil: nothing is called.
	Permit func() error
}

// Dial logs in and opens a session. It reads the client certificate each time, so that a renewed one needs no restart.
func Dial(ctx context.Context, c Config) (*Session, error) {
	tls, err := c.Trust.config(c.Host, c.Trusted)
	if err == nil {
		err = c.addClientCertificate(tls)
	}
	if err != nil {
		return nil, err
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	base := url.URL{Scheme: "https", Host: net.JoinHostPort(c.Host, strconv.Itoa(c.Port))} // net/url escapes the zone of an address
	s := &Session{base: base.String()}
	s.http = &http.Client{
		Jar:     jar,
		Timeout: c.timeout(),
		Transport: &http.Transport{
			TLSClientConfig:    tls,
			DisableCompression: true, // compressed answers have arrived broken
			MaxConnsPerHost:    1,
			DialContext:        c.dial,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	if err := s.open(ctx, c); err != nil {
		s.http.CloseIdleConnections()
		return nil, fmt.Errorf("log in to the API at %s: %w", s.base, err)
	}
	return s, nil
}

func (c Config) timeout() time.Duration { return cmp.Or(c.Timeout, DefaultTimeout) }

func (c Config) dial(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: min(c.timeout(), 10*time.Second)}
	conn, err := dialer.DialContext(ctx, network, address)
	if err == nil && c.Wrap != nil {
		conn = c.Wrap(conn)
	}
	return conn, err
}

func (s *Session) open(ctx context.Context, c Config) error {
	byCertificate := c.ClientCertPath != ""
	login, err := s.logIn(ctx, c)
	if alert := certificateAlert(err); byCertificate && alert != "" {
		return &AuthError{Msg: alert, ByCertificate: true, refused: true}
	}
	if err != nil {
		return err
	}
	if login.Msg != msgSuccess {
		return &AuthError{Msg: login.Msg, Delay: delayOf(login.Delay), ByCertificate: byCertificate, refused: login.Code == rootAuthentication}
	}
	opened, err := s.post(ctx, "/api/auth/login", url.Values{"app": {"sslclient"}, "id": {"0"}})
	if err != nil {
		return err
	}
	if opened.Code != rootOK || opened.SessionID == "" {
		return &AuthError{Msg: login.Msg, ByCertificate: byCertificate, Err: opened.openFailure()}
	}
	s.id = opened.SessionID
	for level := range strings.SplitSeq(opened.Level, ",") {
		s.levels = append(s.levels, strings.ToLower(strings.TrimSpace(level)))
	}
	return nil
}

// logIn does the first step of a login, in which the appliance accepts the account.
func (s *Session) logIn(ctx context.Context, c Config) (root, error) {
	if c.ClientCertPath != "" {
		return s.do(ctx, http.MethodGet, "/auth/admin.html?sslcert=1&app=sslclient", nil)
	}
	encode := base64.StdEncoding.EncodeToString
	return s.post(ctx, "/auth/admin.html", url.Values{
		"uid": {encode([]byte(c.User))}, "pswd": {encode([]byte(c.Password))}, "app": {"sslclient"},
	})
}

// openFailure returns why a session was not opened. A serverd status is more precise
// than the root code around it.
func (r root) openFailure() error {
	for _, s := range r.Serverd {
		if s.failed() {
			return s.failure()
		}
	}
	if r.Code != rootOK {
		return &RootError{Code: r.Code, Msg: r.Msg}
	}
	return errors.New("its answer has no session id")
}

// Levels returns the rights of the session in lower case, such as base,
// modify, mon_write.
func (s *Session) Levels() []string { return s.levels }

// Run sends one command and returns its answer. A failed command is a [CommandError].
// It is a [RootError] if the command did not reach serverd, or if the session has ended.
func (s *Session) Run(ctx context.Context, command string) (Answer, error) {
	if strings.ContainsAny(command, "\r\n\x00") {
		return Answer{}, fmt.Errorf("command %q holds a line end", command)
	}
	if s.Permit != nil {
		if err := s.Permit(); err != nil {
			return Answer{}, fmt.Errorf("%s: %w", command, err)
		}
	}
	// A space is sent as %20, because the appliance reads + as a plus.
	query := "sessionid=" + url.QueryEscape(s.id) + "&cmd=" + strings.ReplaceAll(url.QueryEscape(command), "+", "%20")
	root, err := s.do(ctx, http.MethodGet, "/api/command?"+query, nil)
	if err == nil {
		var answer Answer
		if answer, err = root.answer(); err == nil {
			return answer, nil
		}
	}
	return Answer{}, fmt.Errorf("%s: %w", command, err)
}

// Close logs out. The session ends also with an error.
func (s *Session) Close(ctx context.Context) error {
	defer s.http.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := s.request(ctx, http.MethodGet, "/api/auth/logout?sessionid="+url.QueryEscape(s.id), nil)
	if err != nil {
		return err
	}
	response, err := s.http.Do(request)
	if err != nil {
		return fmt.Errorf("log out of the API: %w", withoutURL(err))
	}
	return response.Body.Close()
}

func (s *Session) post(ctx context.Context, path string, form url.Values) (root, error) {
	return s.do(ctx, http.MethodPost, path, strings.NewReader(form.Encode()))
}

func (s *Session) do(ctx context.Context, method, path string, body io.Reader) (root, error) {
	request, err := s.request(ctx, method, path, body)
	if err != nil {
		return root{}, err
	}
	response, err := s.http.Do(request)
	if err != nil {
		return root{}, withoutURL(err)
	}
	defer response.Body.Close()
	return readAnswer(response, largestAnswer)
}

func (s *Session) request(ctx context.Context, method, path string, body io.Reader) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, method, s.base+path, body)
	if err != nil {
		return nil, withoutURL(err)
	}
	if body == nil {
		// If a connection breaks, net/http sends a GET without a body again. The appliance may have run the command already. So the
		// request has an empty body. The encoding keeps net/http from reading it in a goroutine, and adds no header (transferWriter).
		request.Body, request.TransferEncoding = io.NopCloser(strings.NewReader("")), []string{"identity"}
	}
	request.Header.Set("Accept-Encoding", "identity")
	request.Header.Set("User-Agent", "notification-stormshield")
	if body != nil {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return request, nil
}

// withoutURL removes the URL from an error, because it holds the session's id.
func withoutURL(err error) error {
	var urlError *url.Error
	if errors.As(err, &urlError) {
		return urlError.Err
	}
	return err
}
