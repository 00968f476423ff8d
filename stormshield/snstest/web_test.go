package snstest_test

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"notification-stormshield/stormshield/snstest"
)

func TestWrongPasswordsOnWebAndSSHLockBothTogether(t *testing.T) {
	a := snstest.Start(t, func(o *snstest.Options) { o.BruteForceLock = 30 * time.Second })
	c := newAPIClient(t, a)
	for range 2 {
		if d := c.loginWith(a.User(), "wrong", ""); d.Msg != "AUTH_FAILED" {
			t.Fatalf("message %s", d.Msg)
		}
	}
	if _, err := dialSSH(a, sshConfig(a, ssh.Password("wrong"))); err == nil {
		t.Fatal("SSH took a wrong password")
	}
	d := c.loginWith(a.User(), a.Password(), "")
	if d.Msg != "ERR_BRUTEFORCE" || d.Delay < 25 || d.Delay > 30 {
		t.Errorf("message %s, delay %d, want ERR_BRUTEFORCE and up to 30", d.Msg, d.Delay)
	}
	if _, err := dialSSH(a, sshConfig(a)); err == nil {
		t.Error("SSH took the right password while locked")
	}
	s := a.Stats()
	if s.Lockouts != 1 || s.APILoginsFailed != 3 || s.SSHAuthFailed != 2 || s.CredentialsSeen != 5 {
		t.Errorf("stats: %d lockouts, %d web and %d SSH failures, %d credentials", s.Lockouts, s.APILoginsFailed, s.SSHAuthFailed, s.CredentialsSeen)
	}
	a.Unlock()
	connect(t, a)
}

func TestTheLockEndsAfterItsTime(t *testing.T) {
	t.Parallel()
	a := snstest.Start(t, func(o *snstest.Options) { o.BruteForceLock = 300 * time.Millisecond })
	c := newAPIClient(t, a)
	for range 3 {
		c.loginWith(a.User(), "wrong", "")
	}
	if a.Locked() == 0 {
		t.Fatal("not locked after three failures")
	}
	eventually(t, "the lock ends", func() bool { return a.Locked() == 0 })
	if d := c.loginWith(a.User(), a.Password(), ""); d.Msg != "AUTH_SUCCESS" {
		t.Errorf("message %s after the lock", d.Msg)
	}
}

func TestALoginResetsTheCountOfFailures(t *testing.T) {
	a := snstest.Start(t)
	c := newAPIClient(t, a)
	for range 3 {
		c.loginWith(a.User(), "wrong", "")
		c.loginWith("root", a.Password(), "")
		if d := c.loginWith(a.User(), a.Password(), ""); d.Msg != "AUTH_SUCCESS" {
			t.Fatalf("message %s", d.Msg)
		}
	}
}

func TestASessionNeedsTheCookieOfItsLogin(t *testing.T) {
	a := snstest.Start(t)
	stranger := newAPIClient(t, a)
	if d := stranger.openSession(""); d.Code != 205 || d.Session != "" {
		t.Errorf("without a cookie: code %d, session %q", d.Code, d.Session)
	}
	stranger.session = connect(t, a).session
	if d := stranger.run("NOP"); d.Code != 205 {
		t.Errorf("a stranger with a session's id: code %d", d.Code)
	}
}

func TestAPlusInACommandIsNoSpace(t *testing.T) {
	c := connect(t, snstest.Start(t))
	if d := c.want(100, "SYSTEM PROPERTY"); len(d.Serverd) != 2 {
		t.Errorf("%d serverd elements, want 2", len(d.Serverd))
	}
	d := c.must("GET", "/api/command?sessionid="+c.session+"&cmd=SYSTEM+PROPERTY", nil)
	if d.ret() != 200 || d.Serverd[0].Code != "00100200" {
		t.Errorf("with a plus: ret %d, want 200", d.ret())
	}
}

func TestMessagesAreTranslatedAndCodesAreNot(t *testing.T) {
	a := snstest.Start(t, func(o *snstest.Options) { o.Language = "fr" })
	c := connect(t, a)
	c.want(100, "MODIFY MONITOR ON")
	french := []*document{c.run("SYSTEM PROPERTY"), c.run("BOGUS"), c.run("MONITOR ADDRESSLIST ADD")}
	a.SetFaults(func(f *snstest.Faults) { f.Language = "en" })
	english := []*document{c.run("SYSTEM PROPERTY"), c.run("BOGUS"), c.run("MONITOR ADDRESSLIST ADD")}
	for i, message := range []string{"Début", "Commande inconnue", "argument manquant ou invalide"} {
		f, e := french[i].Serverd[0], english[i].Serverd[0]
		if f.Msg != message || e.Msg == message {
			t.Errorf("messages %q and %q, want %q in French only", f.Msg, e.Msg, message)
		}
		if f.Code != e.Code || f.Ret != e.Ret {
			t.Errorf("codes differ: %v and %v", f, e)
		}
	}
}

func TestAnswersHaveTheCapturedForm(t *testing.T) {
	a := snstest.Start(t, func(o *snstest.Options) { o.Language = "fr" })
	c := connect(t, a)
	text := c.text("BOGUS", "identity")
	want := `<?xml version="1.0"?>` + "\n" + `<nws code="100" msg="OK"><serverd ret="200" code="00100200" msg="Commande inconnue"></serverd></nws>`
	if text != want {
		t.Errorf("got  %s\nwant %s", text, want)
	}
	wantFormat := func(line, format string) {
		t.Helper()
		d := c.want(100, line)
		if len(d.Serverd) != 2 || d.Serverd[0].Ret != 101 || d.Serverd[0].Data.Format != format {
			t.Errorf("%s: not 101 with %s data, then 100: %+v", line, format, d.Serverd)
		}
	}
	wantFormat("SYSTEM PROPERTY", "section")
	wantFormat("MONITOR ADDRESSLIST SHOW Type=BlackList", "raw")
	a.SetFaults(func(f *snstest.Faults) { f.ShowSectionLine = true })
	wantFormat("MONITOR ADDRESSLIST SHOW Type=BlackList", "section_line")
}

// text is the body of a command's answer, decompressed.
func (c *apiClient) text(line, accept string) string {
	c.t.Helper()
	response := c.get(line, accept)
	defer response.Body.Close()
	var body io.Reader = response.Body
	if response.Header.Get("Content-Encoding") == "gzip" {
		var err error
		if body, err = gzip.NewReader(body); err != nil {
			c.t.Fatal(err)
		}
	}
	text, err := io.ReadAll(body)
	if err != nil {
		c.t.Fatal(err)
	}
	return string(text)
}

func (c *apiClient) get(line, accept string) *http.Response {
	c.t.Helper()
	request, err := http.NewRequest(http.MethodGet, c.url("/api/command?sessionid="+c.session+"&cmd="+url.PathEscape(line)), nil)
	if err != nil {
		c.t.Fatal(err)
	}
	if accept != "" {
		request.Header.Set("Accept-Encoding", accept)
	}
	response, err := c.http.Do(request)
	if err != nil {
		c.t.Fatal(err)
	}
	return response
}

func TestAnswersAreCompressedUnlessIdentityIsAsked(t *testing.T) {
	c := connect(t, snstest.Start(t))
	plain := c.text("SYSTEM PROPERTY", "identity")
	for accept, encoding := range map[string]string{
		"": "gzip", "gzip": "gzip", "identity;q=0": "gzip", "deflate, Identity": "", "identity": "",
	} {
		response := c.get("SYSTEM PROPERTY", accept)
		response.Body.Close()
		if got := response.Header.Get("Content-Encoding"); got != encoding {
			t.Errorf("Accept-Encoding %q answered in %q, want %q", accept, got, encoding)
		}
		if c.text("SYSTEM PROPERTY", accept) != plain {
			t.Errorf("Accept-Encoding %q gives another text", accept)
		}
	}
}

func TestCompressedAnswersAnnounceBothLengths(t *testing.T) {
	c := connect(t, snstest.Start(t))
	raw := rawExchange(t, c, "GET /api/command?sessionid="+c.session+"&cmd=NOP HTTP/1.1\r\nHost: x\r\n\r\n")
	header, _, _ := strings.Cut(raw, "\r\n\r\n")
	if !strings.Contains(header, "Content-Length: ") || !strings.Contains(header, "Transfer-Encoding: chunked") {
		t.Errorf("not both lengths in %q", header)
	}
}

func TestTooManySessionsAreRefused(t *testing.T) {
	a := snstest.Start(t)
	c := connect(t, a)
	first := c.session
	for range 19 {
		if d := c.openSession(""); d.Code != 100 {
			t.Fatalf("code %d", d.Code)
		}
	}
	if d := c.openSession(""); d.Code == 100 || d.ret() != 204 {
		t.Errorf("session 21: code %d, ret %d, want ret 204", d.Code, d.ret())
	}
	c.must("GET", "/api/auth/logout?sessionid="+first, nil)
	if d := c.openSession(""); d.Code != 100 {
		t.Errorf("after a log-out: code %d", d.Code)
	}
	if s := a.Stats(); s.SessionsOpen != 20 {
		t.Errorf("stats: %d sessions are open, want 20", s.SessionsOpen)
	}
}

func TestIdleSessionsEnd(t *testing.T) {
	t.Parallel()
	a := snstest.Start(t, func(o *snstest.Options) { o.SessionIdle = 200 * time.Millisecond })
	c := connect(t, a)
	eventually(t, "the session ends", func() bool { return a.Stats().SessionsOpen == 0 })
	if d := c.run("NOP"); d.Code == 100 {
		t.Error("an idle session still runs commands")
	}
}

func TestLogoutEndsTheSessionAndItsRights(t *testing.T) {
	a := snstest.Start(t)
	c := connect(t, a)
	c.want(100, "MODIFY MONITOR ON")
	c.want(100, "MODIFY ON")
	c.must("GET", "/api/auth/logout?sessionid="+c.session, nil)
	if held, _ := a.MonitorHeld(); held || a.ModifyHeld() {
		t.Error("a right is still held")
	}
	if d := c.run("NOP"); d.Code != 203 {
		t.Errorf("code %d after the log-out, want 203", d.Code)
	}
	if d := c.openSession(""); d.Code != 100 {
		t.Errorf("the cookie ended too: code %d", d.Code)
	}
}

func TestRequestedLevelsAreGranted(t *testing.T) {
	a := snstest.Start(t)
	c := connect(t, a)
	if d := c.openSession("BASE,MON_WRITE,FILTER"); d.Level != "base,mon_write,filter" {
		t.Errorf("level %q", d.Level)
	}
	c.want(205, "MODIFY ON")
	c.want(100, "MODIFY MONITOR ON")
	if d := c.openSession(""); !strings.HasPrefix(d.Level, "base,modify,mon_write,filter") {
		t.Errorf("level %q", d.Level)
	}
	if d := c.openSession("BASE"); d.Level != "base" {
		t.Errorf("level %q", d.Level)
	}
	c.want(205, "MODIFY MONITOR ON FORCE")
}

func TestUnknownRequestsAreRefused(t *testing.T) {
	c := connect(t, snstest.Start(t))
	for _, request := range []struct{ method, path string }{
		{"GET", "/"}, {"POST", "/api/command?sessionid=x&cmd=NOP"},
	} {
		if _, err := c.do(request.method, request.path, nil); err == nil {
			t.Errorf("%s %s was answered", request.method, request.path)
		}
	}
	if d := c.must("GET", "/api/command?sessionid="+c.session, nil); d.Code != 200 {
		t.Errorf("no command: code %d", d.Code)
	}
}

func TestTextIsEscapedInXML(t *testing.T) {
	const odd = "a&b<c>'d"
	c := connect(t, snstest.Start(t, func(o *snstest.Options) { o.SerialNumber = odd }))
	for _, key := range c.want(100, "SYSTEM PROPERTY").Serverd[0].Data.Sections[0].Keys {
		if key.Name == "SerialNumber" && key.Value == odd {
			return
		}
	}
	t.Errorf("the serial number %s is not in the answer %s", odd, c.text("SYSTEM PROPERTY", "identity"))
}
