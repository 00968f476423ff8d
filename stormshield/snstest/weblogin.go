package snstest

import (
	"encoding/base64"
	"fmt"
	"math"
	"net/http"
	"strings"
)

// webLogin is the first step of a login: user and password in base64.
func (a *Appliance) webLogin(w http.ResponseWriter, r *http.Request, f *Faults) string {
	if r.ParseForm() != nil || r.PostForm.Get("app") != "sslclient" {
		return loginXML("AUTH_FAILED", "")
	}
	user, userErr := base64.StdEncoding.DecodeString(r.PostForm.Get("uid"))
	password, passwordErr := base64.StdEncoding.DecodeString(r.PostForm.Get("pswd"))
	wellFormed := userErr == nil && passwordErr == nil
	a.counters.count(func(s *Stats) { s.CredentialsSeen++ })

	message, extra := a.judge(wellFormed && a.options.hasUser(string(user)), string(password), r.PostForm.Get("totp"), f)
	return a.answerLogin(w, writerAt(string(user), r.RemoteAddr), message, extra)
}

// answerLogin ends the first step of a login.
func (a *Appliance) answerLogin(w http.ResponseWriter, writer, message, extra string) string {
	if message != "AUTH_SUCCESS" {
		a.counters.count(func(s *Stats) { s.APILoginsFailed++ })
		return loginXML(message, extra)
	}
	a.lockout.forgetFailures()
	a.counters.count(func(s *Stats) { s.APILoginsOK++ })
	http.SetCookie(w, &http.Cookie{
		Name: cookieName, Value: a.sessions.addLogin(writer), Path: "/", Secure: true, HttpOnly: true,
	})
	return loginXML(message, "")
}

// judge returns the message of the answer to a login, and the attributes beside it.
func (a *Appliance) judge(userMatches bool, password, totp string, f *Faults) (message, extra string) {
	if f.LoginMessage != "" {
		if f.LoginDelay != "" {
			extra = ` delay="` + escape(f.LoginDelay) + `"`
		}
		return escape(f.LoginMessage), extra
	}
	ok, locked := a.lockout.checkPassword(userMatches, password)
	switch {
	case locked > 0:
		return "ERR_BRUTEFORCE", fmt.Sprintf(` delay="%d"`, int(math.Ceil(locked.Seconds())))
	case !ok:
		return "AUTH_FAILED", ""
	case !f.NeedTOTP:
		return "AUTH_SUCCESS", ""
	case totp == "":
		return "NEED_TOTP_AUTH", ""
	}
	if given, err := base64.StdEncoding.DecodeString(totp); err != nil || string(given) != "123456" {
		a.lockout.checkPassword(false, "")
		return "AUTH_FAILED", ""
	}
	return "AUTH_SUCCESS", ""
}

func loginXML(message, extra string) string {
	return xmlHeader + `<nws msg="` + message + `"` + extra + `></nws>`
}

// webOpenSession is the second step of a login: a session, for a client with the cookie of the first step.
func (a *Appliance) webOpenSession(_ http.ResponseWriter, r *http.Request, f *Faults) string {
	cookie := requestCookie(r)
	if !a.sessions.isLoggedIn(cookie) {
		return rootXML(205, "")
	}
	if r.ParseForm() != nil || r.PostForm.Get("app") != "sslclient" || r.PostForm.Get("id") != "0" {
		return rootXML(200, "")
	}
	s := a.sessions.openSession(cookie, grantLevels(f, r.PostForm.Get("reqlevel")), a.viewer.read(f.StaleUntilReload))
	if s == nil {
		var b strings.Builder
		statusTooMany.open(&b, a.language(f))
		return rootXML(202, b.String()+`</serverd>`)
	}
	s.span = a.overlaps.begin(s.span.writer)
	return rootXML(100, `<sessionid>`+s.id+`</sessionid><protocol>1</protocol><sessionlevel>`+
		strings.Join(s.levels, ",")+`</sessionlevel>`)
}
