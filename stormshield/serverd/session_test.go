package serverd_test

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"notification-stormshield/stormshield/serverd"
)

func TestASessionSendsTheCookieOfTheLoginAndItsID(t *testing.T) {
	var requests []string
	config := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cookie := ""
		if c, err := r.Cookie("NETASQ_sslclient"); err == nil {
			cookie = c.Value
		}
		requests = append(requests, fmt.Sprintf("%s %s cookie=%s", r.Method, r.URL.RequestURI(), cookie))
		if r.URL.Path == "/auth/admin.html" {
			for field, want := range map[string]string{"uid": "admin", "pswd": "secret"} {
				if got, err := base64.StdEncoding.DecodeString(r.FormValue(field)); err != nil || string(got) != want {
					t.Errorf("%s is %q, %v", field, got, err)
				}
			}
			http.SetCookie(w, &http.Cookie{Name: "NETASQ_sslclient", Value: "c1", Path: "/", Secure: true, HttpOnly: true})
		}
		api{login: loggedIn, open: opened, command: done}.ServeHTTP(w, r)
	}))
	if _, err := run(t, config); err != nil {
		t.Fatal(err)
	}
	if want := []string{
		"POST /auth/admin.html cookie=",
		"POST /api/auth/login cookie=c1",
		"GET /api/command?sessionid=s1&cmd=SYSTEM%20PROPERTY cookie=c1",
		"GET /api/auth/logout?sessionid=s1 cookie=c1",
	}; !slices.Equal(requests, want) {
		t.Errorf("requests %q, want %q", requests, want)
	}
}

func TestTheErrorOfARootCodeNamesTheFailure(t *testing.T) {
	for code, want := range map[int]string{
		200: "request error", 201: "unknown command", 202: "command error", 203: "the session is not valid", 204: "the session has expired",
		205: "authentication failed", 206: "a transfer is pending", 500: "overheated", 501: "serverd cannot be reached",
		502: "serverd disconnected", 900: "internal error", 999: "error (API code 999",
	} {
		_, err := run(t, serve(t, api{login: loggedIn, open: opened, command: fmt.Sprintf(`<nws code="%d" msg="x"/>`, code)}))
		var root *serverd.RootError
		if !errors.As(err, &root) || root.Code != code || !strings.Contains(err.Error(), want) {
			t.Errorf("code %d: %v", code, err)
		}
	}
}

func TestAServerThatIsNotTrustedGetsNoRequest(t *testing.T) {
	var requests atomic.Int32
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		api{login: loggedIn, open: opened, command: done}.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	shown := sha256.Sum256(server.Certificate().Raw)
	for name, c := range map[string]struct {
		trust serverd.Trust
		says  string // "": trusted
	}{
		"its certificate is pinned":      {serverd.Trust{Fingerprint: shown}, ""},
		"the pin counts before the CA":   {serverd.Trust{Fingerprint: shown, CAPath: caFile(t, server), ServerName: "other"}, ""},
		"a certificate of the CA":        {serverd.Trust{CAPath: caFile(t, server), ServerName: "example.com"}, ""},
		"every certificate is trusted":   {serverd.Trust{Insecure: true}, ""},
		"another certificate is pinned":  {serverd.Trust{Fingerprint: [32]byte{1}, Insecure: true}, "the configuration pins SHA256:AQ"},
		"a certificate for another name": {serverd.Trust{CAPath: caFile(t, server), ServerName: "other"}, `not to "other"`},
		"nothing is configured":          {serverd.Trust{}, "neither a CA nor a fingerprint"},
	} {
		requests.Store(0)
		config := configOf(t, server)
		config.Trust = c.trust
		_, err := run(t, config)
		var untrusted *serverd.CertificateError
		switch {
		case c.says == "":
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		case !errors.As(err, &untrusted) || untrusted.Fingerprint != shown || !strings.Contains(err.Error(), c.says):
			t.Errorf("%s: %v", name, err)
		case requests.Load() > 0:
			t.Errorf("%s: %d requests", name, requests.Load())
		}
	}
}

func TestARedirectGetsNoCredentials(t *testing.T) {
	config := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/auth/admin.html" {
			t.Errorf("the client follows to %s", r.URL.Path)
		}
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	}))
	_, err := run(t, config)
	var other *serverd.HTTPError
	if !errors.As(err, &other) || other.Code != http.StatusTemporaryRedirect {
		t.Errorf("error %v", err)
	}
}

// An appliance may not understand a command with a body.
func TestACommandAnnouncesNoBody(t *testing.T) {
	var announced []string
	config := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			announced = append(announced, slices.Concat(r.TransferEncoding, r.Header["Content-Length"])...)
		}
		api{login: loggedIn, open: opened, command: done}.ServeHTTP(w, r)
	}))
	if _, err := run(t, config); err != nil || len(announced) > 0 {
		t.Errorf("%q, %v", announced, err)
	}
}

// net/http guesses that a body has bytes if its end does not come within 200 ms, such as on a loaded machine.
func TestACommandAnnouncesNoBodyOnALoadedMachine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		request, err := serverd.NewCommand(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		request.Body = slowBody{request.Body}
		var sent strings.Builder
		if err := request.Write(&sent); err != nil {
			t.Fatal(err)
		}
		if text := sent.String(); strings.Contains(text, "Transfer-Encoding") || strings.Contains(text, "Content-Length") || !strings.HasSuffix(text, "\r\n\r\n") {
			t.Errorf("sent %q", text)
		}
	})
}

type slowBody struct{ io.ReadCloser }

func (b slowBody) Read(p []byte) (int, error) {
	time.Sleep(time.Second)
	return b.ReadCloser.Read(p)
}

// A command may not be harmless twice, such as the removal of the first rule of a policy.
func TestACommandWhoseConnectionBreaksIsNotSentAgain(t *testing.T) {
	var commands atomic.Int32
	config := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/command" && commands.Add(1) == 2 {
			panic(http.ErrAbortHandler)
		}
		api{login: loggedIn, open: opened, command: done}.ServeHTTP(w, r)
	}))
	session, err := serverd.Dial(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := session.Run(t.Context(), "NOP"); err != nil { // the connection stays open
		t.Fatal(err)
	}
	if _, err := session.Run(t.Context(), "NOP"); err == nil || commands.Load() != 2 {
		t.Errorf("the appliance got %d commands, and the error is %v", commands.Load(), err)
	}
}
