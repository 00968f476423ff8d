package serverd_test

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"context"
	"crypto/sha256"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"notification-stormshield/stormshield/serverd"
)

const (
	loggedIn = `<nws msg="AUTH_SUCCESS"></nws>`
	opened   = `<nws code="100" msg="OK"><sessionid>s1</sessionid><sessionlevel>base, MON_WRITE</sessionlevel></nws>`
	done     = `<nws code="100" msg="OK"><serverd ret="100" code="00a00100" msg="Ok"></serverd></nws>`
)

// api answers each step with a document.
type api struct {
	login, open, command string
	status               int         // of HTTP; 0: 200
	header               http.Header // of every answer
}

func (a api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for name, values := range a.header {
		w.Header()[name] = values
	}
	if a.status != 0 {
		w.WriteHeader(a.status)
	}
	answers := map[string]string{"/auth/admin.html": a.login, "/api/auth/login": a.open, "/api/command": a.command}
	_, _ = io.WriteString(w, answers[r.URL.Path])
}

// serve starts an API and returns how to reach it.
func serve(t *testing.T, handler http.Handler) serverd.Config {
	t.Helper()
	server := httptest.NewTLSServer(handler)
	t.Cleanup(server.Close)
	return configOf(t, server)
}

func configOf(t *testing.T, server *httptest.Server) serverd.Config {
	t.Helper()
	at, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(at.Port())
	if err != nil {
		t.Fatal(err)
	}
	return serverd.Config{
		Host: at.Hostname(), Port: port, User: "admin", Password: "secret", Timeout: 10 * time.Second,
		Trust: serverd.Trust{Fingerprint: sha256.Sum256(server.Certificate().Raw)},
	}
}

// run logs in and runs one command.
func run(t *testing.T, c serverd.Config) (serverd.Answer, error) {
	t.Helper()
	session, err := serverd.Dial(t.Context(), c)
	if err != nil {
		return serverd.Answer{}, err
	}
	defer session.Close(context.WithoutCancel(t.Context()))
	return session.Run(t.Context(), "SYSTEM PROPERTY")
}

func TestOnlyARefusalInTheAnswerCountsAsARefusedLogin(t *testing.T) {
	for name, c := range map[string]struct {
		login, open     string
		refused, locked bool
		delay           time.Duration
		says            string
	}{
		"wrong password":           {`<nws msg="AUTH_FAILED"/>`, "", true, false, 0, "refused the account or its password"},
		"root code of a refusal":   {`<nws code="205" msg="Erreur"/>`, "", true, false, 0, "refused the login"},
		"one-time password":        {`<nws msg="NEED_TOTP_AUTH"/>`, "", true, false, 0, "one-time password"},
		"something else is needed": {`<nws msg="NEED_NEW_PASSWORD"/>`, "", true, false, 0, "NEED_NEW_PASSWORD"},
		"locked":                   {`<nws msg="ERR_BRUTEFORCE" delay="60"/>`, "", false, true, time.Minute, "for another 60 s"},
		"locked, no delay":         {`<nws msg="ERR_BRUTEFORCE"/>`, "", false, true, 0, "does not say for how long"},
		"locked, delay a word":     {`<nws msg="ERR_BRUTEFORCE" delay="abc"/>`, "", false, true, 0, "does not say for how long"},
		"locked, delay negative":   {`<nws msg="ERR_BRUTEFORCE" delay="-5"/>`, "", false, true, 0, "does not say for how long"},
		"locked, delay too large":  {`<nws msg="ERR_BRUTEFORCE" delay="999999999"/>`, "", false, true, 24 * time.Hour, "for another 86400 s"},
		"a message nobody knows":   {`<nws msg="ERR_RESTARTING"/>`, "", false, false, 0, "ERR_RESTARTING"},
		"no message":               {`<nws code="900"/>`, "", false, false, 0, "an unknown message"},
		"too many sessions":        {loggedIn, `<nws code="202" msg="x"><serverd ret="204" code="1" msg="y"/></nws>`, false, false, 0, "too many sessions"},
		"the cookie is not known":  {loggedIn, `<nws code="205" msg="x"/>`, false, false, 0, "API code 205"},
		"no session id":            {loggedIn, `<nws code="100" msg="OK"/>`, false, false, 0, "no session id"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := run(t, serve(t, api{login: c.login, open: c.open}))
			var auth *serverd.AuthError
			if !errors.As(err, &auth) || auth.Refused() != c.refused || auth.Locked() != c.locked || auth.Delay != c.delay || !strings.Contains(err.Error(), c.says) {
				t.Errorf("the login says %v (%+v)", err, auth)
			}
		})
	}
}

func TestAFailedCommandIsNoRefusedLogin(t *testing.T) {
	for document, is := range map[string]struct{ right, over, refused bool }{
		`<nws code="100"><serverd ret="200" code="1" msg="x"/></nws>`: {refused: true},
		`<nws code="100"><serverd ret="202" code="1" msg="x"/></nws>`: {right: true},
		`<nws code="100"><serverd ret="204" code="1" msg="x"/></nws>`: {},
		`<nws code="100"><serverd ret="205" code="1" msg="x"/></nws>`: {right: true},
		`<nws code="203" msg="x"/>`:                                   {over: true},
		`<nws code="204" msg="x"/>`:                                   {over: true},
		`<nws code="205" msg="x"/>`:                                   {over: true},
		`<nws code="501" msg="x"/>`:                                   {},
		`<nws code="900" msg="x"/>`:                                   {},
	} {
		_, err := run(t, serve(t, api{login: loggedIn, open: opened, command: document}))
		var auth *serverd.AuthError
		var root *serverd.RootError
		over := errors.As(err, &root) && root.IsSessionEnded()
		if err == nil || errors.As(err, &auth) || serverd.IsForbidden(err) != is.right || over != is.over || serverd.IsRefused(err) != is.refused {
			t.Errorf("%s: %v", document, err)
		}
	}
}

func TestACompressedAnswerIsRead(t *testing.T) {
	for encoding, compress := range map[string]func(io.Writer) io.WriteCloser{
		"gzip":    func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) },
		"deflate": func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) },
	} {
		packed := func(document string) string {
			var b bytes.Buffer
			z := compress(&b)
			if _, err := io.WriteString(z, document); err != nil {
				t.Fatal(err)
			}
			if err := z.Close(); err != nil {
				t.Fatal(err)
			}
			return b.String()
		}
		header := http.Header{"Content-Encoding": {encoding}}
		answer, err := run(t, serve(t, api{login: packed(loggedIn), open: packed(opened), command: packed(done), header: header}))
		if err != nil || answer.Ret != 100 {
			t.Errorf("%s: %+v, %v", encoding, answer, err)
		}
	}
	_, err := run(t, serve(t, api{login: "x", header: http.Header{"Content-Encoding": {"br"}}}))
	if err == nil || !strings.Contains(err.Error(), `"br"`) {
		t.Errorf("an encoding that is not known: %v", err)
	}
}

func TestTextThatIsNotUTF8IsLatin1WhateverTheAnswerDeclares(t *testing.T) {
	const body = `<nws code="100" msg="OK"><serverd ret="200" code="1" msg="Droit d` + "\xe9j\xe0" + ` acquis"/></nws>`
	for _, declared := range []string{"", `<?xml version="1.0"?>`, `<?xml version="1.0" encoding="UTF-8"?>`, `<?xml version="1.0" encoding="ISO-8859-1"?>`} {
		_, err := run(t, serve(t, api{login: loggedIn, open: opened, command: declared + body}))
		if err == nil || !strings.Contains(err.Error(), "Droit déjà acquis") {
			t.Errorf("declared %q: %v", declared, err)
		}
	}
	_, err := run(t, serve(t, api{login: loggedIn, open: opened, command: strings.ReplaceAll(body, "\xe9", "é")}))
	if err == nil || !strings.Contains(err.Error(), "Droit déjà acquis") {
		t.Errorf("both: %v", err)
	}
}

func TestAPageForBrowsersIsNamed(t *testing.T) {
	const page = "<!DOCTYPE HTML PUBLIC \"-//IETF//DTD HTML 2.0//EN\">\n<html><head><title>405</title><br></head></html>"
	for name, a := range map[string]api{
		"405 with a page":    {login: page, status: 405},
		"200 with a page":    {login: page},
		"a page in a second": {login: loggedIn, open: "<html lang=fr>", command: page},
	} {
		_, err := run(t, serve(t, a))
		var other *serverd.HTTPError
		if !errors.As(err, &other) || !other.Page || !strings.Contains(err.Error(), "page for browsers") {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := run(t, serve(t, api{login: "busy", status: 503}))
	var other *serverd.HTTPError
	if !errors.As(err, &other) || other.Page || other.Code != 503 {
		t.Errorf("503 without a page: %v", err)
	}
}

func TestAnAnswerIsBoundedInBytesAndInMemory(t *testing.T) {
	lines := func(n int) string {
		return `<nws code="100"><serverd ret="100"><data format="section_line"><section title="Result">` +
			strings.Repeat("<line/>", n) + `</section></data></serverd></nws>`
	}
	raw := func(data string) string {
		return `<nws code="100"><serverd ret="100"><data>` + data + `</data></serverd></nws>`
	}
	packed := func(document string) *bytes.Buffer {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		if _, err := io.WriteString(z, document); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		return &b
	}
	for name, c := range map[string]struct {
		document    string
		bytes, kept int
		within      bool
	}{
		"small":               {lines(10), 1000, 1000, true},
		"too many elements":   {lines(100), 10_000, 1000, false},
		"too many bytes":      {strings.Repeat(" ", 1001) + lines(10), 1000, 1000, false},
		"both at their most":  {lines(90), len(lines(90)), 4*48 + 3*48 + len("Result") + 90*48, true},
		"a long line":         {raw(strings.Repeat("x", 70_000)), 1e6, 1e6, false},
		"a long attribute":    {raw(`<x y="` + strings.Repeat("x", 70_000) + `"/>`), 1e6, 1e6, false},
		"a line of many keys": {raw(`<section><line>` + strings.Repeat(`<key name="a" value="b"/>`, 20_000) + `</line></section>`), 1e6, 1e6, false},
		"deep":                {strings.Repeat("<nws>", 51), 1e6, 1e6, false},
	} {
		for encoding, body := range map[string]io.Reader{"": strings.NewReader(c.document), "gzip": packed(c.document)} {
			response := &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Encoding": {encoding}}, Body: io.NopCloser(body)}
			_, err := serverd.ReadWithin(response, c.bytes, c.kept)
			if c.within != (err == nil) || err != nil && !strings.Contains(err.Error(), "too large") {
				t.Errorf("%s, encoding %q: %v", name, encoding, err)
			}
		}
	}
}

func TestALongTextHasTheSameLines(t *testing.T) {
	var text strings.Builder
	var want []string
	for i := range 20_000 {
		line := fmt.Sprintf("src=192.0.2.1 timeout=%d", i)
		want = append(want, line)
		text.WriteString(line + "\n")
	}
	for _, data := range []string{text.String(), "<![CDATA[" + text.String() + "]]>", "<![CDATA[<]]>" + text.String()[1:]} {
		answer, err := serverd.Read(strings.NewReader(`<nws code="100"><serverd ret="100"><data>` + data + `</data></serverd></nws>`))
		lines := answer.Lines()
		if err != nil || len(lines) != len(want) || !slices.Equal(lines[1:], want[1:]) {
			t.Errorf("%.20s: %d lines, want %d: %v", data, len(lines), len(want), err)
		}
	}
}

// The entries are the longest that SHOW can print for an IPv6 address.
func TestLongABlacklistOf300000EntriesIsRead(t *testing.T) {
	t.Parallel()
	const entries, most = 300_000, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
	for name, data := range map[string]string{
		"raw": strings.Repeat("src="+most+" dstrange=::-"+most+" timeout=4294967295\n", entries),
		"section_line": `<section title="Result">` + strings.Repeat(`<line><key name="src" value="`+most+`"/><key name="dstrange" value="::-`+most+
			`"/><key name="timeout" value="4294967295"/></line>`, entries) + `</section>`,
	} {
		answer, err := serverd.Read(strings.NewReader(`<nws code="100"><serverd ret="101"><data>` + data + `</data></serverd><serverd ret="100"/></nws>`))
		if lines := answer.Lines(); err != nil || len(lines) != entries || lines[entries-1] != "src="+most+" dstrange=::-"+most+" timeout=4294967295" {
			t.Errorf("%s: %d lines, %v", name, len(lines), err)
		}
	}
}

func TestLinesReturnsEveryLineOfAnAnswer(t *testing.T) {
	for data, want := range map[string][]string{
		"\n src=192.0.2.1 timeout=5 \n\nsrc=192.0.2.2\n":                                                               {"src=192.0.2.1 timeout=5", "src=192.0.2.2"},
		`<section title="R"><line><key name="src" value="192.0.2.1"/><key name="timeout" value="5"/></line></section>`: {"src=192.0.2.1 timeout=5"},
		`<section title="R"><line> 192.0.2.1 </line></section>`:                                                        {"192.0.2.1"},
		`<section title="1"><key name="src" value="192.0.2.1"/><key name="timeout" value="5"/></section>`:              {"src=192.0.2.1 timeout=5"},
		`<entry src="192.0.2.1"/>`: {"<entry>"},
		"<section>\n<line>\n<key name=\"a\" value=\"1\"/>\n<key name=\"b\" value=\"2\"/>\n</line>\n</section>": {"a=1 b=2"},
	} {
		answer, err := serverd.Read(strings.NewReader(
			`<nws code="100"><serverd ret="101"><data format="x">` + data + `</data></serverd><serverd ret="100"/></nws>`))
		if err != nil || !slices.Equal(answer.Lines(), want) {
			t.Errorf("%s: lines %q, %v, want %q", data, answer.Lines(), err, want)
		}
	}
}

func TestAHostMayHaveAZone(t *testing.T) {
	listener, err := net.Listen("tcp", "[::1%lo]:0")
	if err != nil {
		t.Skip("no IPv6 on the interface lo: ", err)
	}
	server := httptest.NewUnstartedServer(api{login: loggedIn, open: opened, command: done})
	server.Listener = listener
	server.StartTLS()
	t.Cleanup(server.Close)
	port := netip.MustParseAddrPort(listener.Addr().String()).Port()
	for name, trust := range map[string]serverd.Trust{
		"pinned":    {Fingerprint: sha256.Sum256(server.Certificate().Raw)},
		"with a CA": {CAPath: caFile(t, server)},
	} {
		if _, err := run(t, serverd.Config{Host: "::1%lo", Port: int(port), Trust: trust}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// caFile writes the CA of a server's certificate, which httptest's is itself.
func caFile(t *testing.T, server *httptest.Server) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestACertificateOfAnotherNameSaysWhichNameItHas(t *testing.T) {
	server := httptest.NewTLSServer(api{login: loggedIn, open: opened, command: done})
	t.Cleanup(server.Close)
	config := configOf(t, server)
	config.Trust = serverd.Trust{CAPath: caFile(t, server), ServerName: "firewall.example.org"}
	_, err := run(t, config)
	var name *serverd.NameError
	if !errors.As(err, &name) || name.Name != "example.com" || name.Wanted != "firewall.example.org" {
		t.Errorf("a certificate for %v: %v", server.Certificate().DNSNames, err)
	}
}

func TestRunRefusesACommandOfTwoLines(t *testing.T) {
	session, err := serverd.Dial(t.Context(), serve(t, api{login: loggedIn, open: opened, command: done}))
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close(t.Context())
	for _, command := range []string{"NOP\nQUIT", "NOP\r", "NOP\x00"} {
		if _, err := session.Run(t.Context(), command); err == nil {
			t.Errorf("%q is sent", command)
		}
	}
	if levels := fmt.Sprint(session.Levels()); levels != "[base mon_write]" {
		t.Errorf("rights %s", levels)
	}
}
