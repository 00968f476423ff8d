package snstest_test

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"notification-stormshield/stormshield/snstest"
)

// document is an answer of the API.
type document struct {
	XMLName xml.Name `xml:"nws"`
	Code    int      `xml:"code,attr"`
	Msg     string   `xml:"msg,attr"`
	Delay   int      `xml:"delay,attr"`
	Session string   `xml:"sessionid"`
	Level   string   `xml:"sessionlevel"`
	Serverd []struct {
		Ret  int    `xml:"ret,attr"`
		Code string `xml:"code,attr"`
		Msg  string `xml:"msg,attr"`
		Data *struct {
			Format   string `xml:"format,attr"`
			Raw      string `xml:",chardata"`
			Sections []struct {
				Title string   `xml:"title,attr"`
				Keys  []keyXML `xml:"key"`
				Lines []struct {
					Text string   `xml:",chardata"`
					Keys []keyXML `xml:"key"`
				} `xml:"line"`
			} `xml:"section"`
		} `xml:"data"`
	} `xml:"serverd"`
}

type keyXML struct {
	Name  string `xml:"name,attr"`
	Value string `xml:"value,attr"`
}

// ret is the final status.
func (d *document) ret() int {
	if len(d.Serverd) == 0 {
		return 0
	}
	return d.Serverd[len(d.Serverd)-1].Ret
}

// apiClient is a client of one appliance, with a cookie jar and at most one session.
type apiClient struct {
	t       testing.TB
	a       *snstest.Appliance
	http    *http.Client
	session string
}

func newAPIClient(t testing.TB, a *snstest.Appliance) *apiClient {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{
		TLSClientConfig:    &tls.Config{InsecureSkipVerify: true},
		DisableCompression: true,
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &apiClient{t: t, a: a, http: &http.Client{Transport: transport, Jar: jar, Timeout: 30 * time.Second}}
}

func (c *apiClient) url(path string) string {
	return "https://" + net.JoinHostPort(c.a.Host(), fmt.Sprint(c.a.APIPort())) + path
}

func (c *apiClient) do(method, path string, form url.Values) (*document, error) {
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	request, err := http.NewRequest(method, c.url(path), body)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept-Encoding", "identity")
	if form != nil {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("HTTP status %s", response.Status)
	}
	var d document
	if err := xml.Unmarshal(text, &d); err != nil {
		return nil, fmt.Errorf("%w in %q", err, text)
	}
	return &d, nil
}

func (c *apiClient) must(method, path string, form url.Values) *document {
	c.t.Helper()
	d, err := c.do(method, path, form)
	if err != nil {
		c.t.Fatal(err)
	}
	return d
}

func (c *apiClient) loginWith(user, password, totp string) *document {
	c.t.Helper()
	encode := base64.StdEncoding.EncodeToString
	form := url.Values{"uid": {encode([]byte(user))}, "pswd": {encode([]byte(password))}, "app": {"sslclient"}}
	if totp != "" {
		form.Set("totp", encode([]byte(totp)))
	}
	return c.must("POST", "/auth/admin.html", form)
}

func (c *apiClient) openSession(reqlevel string) *document {
	c.t.Helper()
	form := url.Values{"app": {"sslclient"}, "id": {"0"}}
	if reqlevel != "" {
		form.Set("reqlevel", reqlevel)
	}
	d := c.must("POST", "/api/auth/login", form)
	c.session = d.Session
	return d
}

// connect logs in and opens a session with all privileges.
func connect(t testing.TB, a *snstest.Appliance) *apiClient {
	t.Helper()
	c := newAPIClient(t, a)
	if d := c.loginWith(a.User(), a.Password(), ""); d.Msg != "AUTH_SUCCESS" {
		t.Fatalf("log in: %s", d.Msg)
	}
	if d := c.openSession(""); d.Code != 100 || d.Session == "" {
		t.Fatalf("open a session: code %d %q", d.Code, d.Msg)
	}
	return c
}

func (c *apiClient) run(line string) *document {
	c.t.Helper()
	return c.must("GET", "/api/command?sessionid="+c.session+"&cmd="+url.PathEscape(line), nil)
}

// want runs a command and checks its final status.
func (c *apiClient) want(ret int, line string) *document {
	c.t.Helper()
	d := c.run(line)
	if d.Code != 100 || d.ret() != ret {
		c.t.Fatalf("%s: root code %d, ret %d, want 100 and %d", line, d.Code, d.ret(), ret)
	}
	return d
}

func (c *apiClient) block(name string, seconds int) *document {
	c.t.Helper()
	return c.run(fmt.Sprintf("MONITOR ADDRESSLIST ADD Type=BlackList Name1=%s Timeout=%d", name, seconds))
}

func sshConfig(a *snstest.Appliance, methods ...ssh.AuthMethod) *ssh.ClientConfig {
	if len(methods) == 0 {
		methods = []ssh.AuthMethod{ssh.Password(a.Password())}
	}
	return &ssh.ClientConfig{
		User: a.User(), Auth: methods, Timeout: 10 * time.Second,
		HostKeyCallback: func(_ string, _ net.Addr, key ssh.PublicKey) error {
			if got := ssh.FingerprintSHA256(key); got != a.HostKeyFingerprint() {
				return fmt.Errorf("host key %s, want %s", got, a.HostKeyFingerprint())
			}
			return nil
		},
	}
}

func dialSSH(a *snstest.Appliance, config *ssh.ClientConfig) (*ssh.Client, error) {
	return ssh.Dial("tcp", net.JoinHostPort(a.Host(), fmt.Sprint(a.SSHPort())), config)
}

func connectSSH(t testing.TB, a *snstest.Appliance) *ssh.Client {
	t.Helper()
	client, err := dialSSH(a, sshConfig(a))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// result is the output and the status of an SSH command.
type result struct {
	out, err string
	status   int // -1: none was sent
	signal   string
}

func runSSH(t testing.TB, client *ssh.Client, command string, stdin io.Reader) result {
	t.Helper()
	session, err := client.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	var stdout, stderr bytes.Buffer
	session.Stdin, session.Stdout, session.Stderr = stdin, &stdout, &stderr
	r := result{}
	err = session.Run(command)
	var exit *ssh.ExitError
	switch {
	case errors.As(err, &exit):
		r.status, r.signal = exit.ExitStatus(), exit.Signal()
	case err != nil:
		r.status = -1
	}
	r.out, r.err = stdout.String(), stderr.String()
	return r
}

func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

func addr(text string) netip.Addr     { return netip.MustParseAddr(text) }
func prefix(text string) netip.Prefix { return netip.MustParsePrefix(text) }

func appendTo(t testing.TB, a *snstest.Appliance, file, text string) {
	t.Helper()
	err := a.AdminEdit(file, func(old []byte) []byte { return append(old, text...) })
	if err != nil {
		t.Fatal(err)
	}
}

// rawExchange sends one request, without cookies, and returns every byte of the answer.
func rawExchange(t *testing.T, c *apiClient, request string) string {
	t.Helper()
	address := net.JoinHostPort(c.a.Host(), strconv.Itoa(c.a.APIPort()))
	conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, strings.Replace(request, "\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1)); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil && len(answer) == 0 {
		t.Fatal(err)
	}
	return string(answer)
}
