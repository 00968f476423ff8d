package snstest

import (
	"crypto/tls"
	"io"
	"log"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// cookieName is the name of the login's cookie.
const cookieName = "NETASQ_sslclient"

func (a *Appliance) webServer() *http.Server {
	return &http.Server{
		Handler:           http.HandlerFunc(a.serveRequest),
		ReadHeaderTimeout: time.Minute,
		IdleTimeout:       a.options.SessionIdle,
		TLSConfig: &tls.Config{
			GetCertificate: a.identity.get, MinVersion: tls.VersionTLS12,
			ClientAuth: tls.RequestClientCert, GetConfigForClient: a.strictTLS,
		},
		// The appliance speaks HTTP/1.1 only.
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
		ErrorLog:     log.New(io.Discard, "", 0),
	}
}

func (a *Appliance) serveWeb() { _ = a.web.ServeTLS(a.apiGate, "", "") }

func (a *Appliance) serveRequest(w http.ResponseWriter, r *http.Request) {
	a.counters.count(func(s *Stats) { s.APIRequests++ })
	if !a.pause(r.Context().Done(), func(f *Faults) bool { return f.APIHang }) {
		panic(http.ErrAbortHandler)
	}
	command, _ := rawQuery(r, "cmd")
	a.stepOrCut(command, false)
	f, _ := a.faults.current()
	if f.APIPage != "" && strings.HasPrefix(r.URL.Path, f.APIPage) {
		sendPage(w, f.APIStatus)
		return
	}
	if f.APIStatus != 0 {
		http.Error(w, http.StatusText(f.APIStatus), f.APIStatus)
		return
	}
	var handle func(http.ResponseWriter, *http.Request, *Faults) string
	switch r.Method + " " + r.URL.Path {
	case "POST /auth/admin.html":
		handle = a.webLogin
	case "GET /auth/admin.html":
		handle = a.webCertificateLogin
	case "POST /api/auth/login":
		handle = a.webOpenSession
	case "GET /api/command":
		handle = a.webCommand
	case "GET /api/auth/logout":
		handle = a.webLogout
	default:
		http.NotFound(w, r)
		return
	}
	a.power.RLock()
	if a.ctx.Err() != nil {
		a.power.RUnlock()
		panic(http.ErrAbortHandler)
	}
	document := handle(w, r, f)
	a.power.RUnlock()
	a.stepOrCut(command, true)
	send(w, r, f, document)
}

// stepOrCut calls Faults.Step for a command, and cuts the connection if the fault says so.
func (a *Appliance) stepOrCut(command string, ran bool) {
	if command != "" && a.step(command, ran) {
		panic(http.ErrAbortHandler)
	}
}

// rawQuery finds a parameter of the query. Unlike net/url it keeps a plus as a plus.
func rawQuery(r *http.Request, name string) (value string, ok bool) {
	for pair := range strings.SplitSeq(r.URL.RawQuery, "&") {
		key, escaped, _ := strings.Cut(pair, "=")
		if key != name {
			continue
		}
		value, err := url.PathUnescape(escaped)
		return value, err == nil
	}
	return "", false
}

func requestCookie(r *http.Request) string {
	cookie, err := r.Cookie(cookieName)
	if err != nil {
		return ""
	}
	return cookie.Value
}

func (a *Appliance) language(f *Faults) string {
	if f.Language != "" {
		return f.Language
	}
	return a.options.Language
}

// webCommand runs a command of a session.
func (a *Appliance) webCommand(_ http.ResponseWriter, r *http.Request, f *Faults) string {
	id, _ := rawQuery(r, "sessionid")
	line, ok := rawQuery(r, "cmd")
	if !ok || id == "" {
		return rootXML(200, "")
	}
	a.counters.apiCommand(line)
	cookie := requestCookie(r)
	if !a.sessions.isLoggedIn(cookie) {
		return rootXML(205, "")
	}
	s, expired := a.sessions.forCommand(id, cookie, f.ExpireSessionAfter)
	switch {
	case expired:
		return rootXML(204, "")
	case s == nil:
		return rootXML(203, "")
	}
	s.running.Lock()
	defer s.running.Unlock()
	a.overlaps.command(s, line)
	return a.runLine(&call{appliance: a, session: s, faults: f}, line)
}

// webLogout ends the session. The cookie of the login stays valid.
func (a *Appliance) webLogout(_ http.ResponseWriter, r *http.Request, _ *Faults) string {
	id, _ := rawQuery(r, "sessionid")
	a.sessions.closeSession(id, requestCookie(r))
	return rootXML(100, "")
}
