package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"notification-stormshield/stormshield/snstest"
)

// control lets tests in another process look at the appliance and act on it, over plain HTTP on the loopback interface:
//
//	GET  /blacklist            [{"source": "192.0.2.1/32", "expires": "2026-…"}]
//	GET  /stats                snstest.Stats
//	GET  /problems             ["…"]
//	POST /reboot
//	POST /unlock               ends the brute-force lock
//	POST /password?new=…
//	POST /faults               JSON of snstest.Faults: the fields that it names change, all others stay (see -list-faults)
//	POST /rename?object=…&to=… an administrator renames an object, also in the groups that list it
//	POST /admin-modify?on=1|0  an administrator takes or releases the configuration right
//	POST /stats/reset
type control struct {
	listener net.Listener
	server   *http.Server
	done     chan struct{}
}

func startControl(address string, a *snstest.Appliance) (*control, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("control address %q: %w", address, err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("control address %q is not on the loopback interface", address)
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("control: %w", err)
	}
	c := &control{
		listener: listener,
		server:   &http.Server{Handler: routes(a), ReadHeaderTimeout: time.Minute},
		done:     make(chan struct{}),
	}
	go func() {
		defer close(c.done)
		_ = c.server.Serve(listener)
	}()
	return c, nil
}

func (c *control) url() string { return "http://" + c.listener.Addr().String() }

func (c *control) close() error {
	err := c.server.Close()
	<-c.done
	return err
}

func routes(a *snstest.Appliance) http.Handler {
	mux := http.NewServeMux()
	look := func(path string, get func() any) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) { reply(w, get()) })
	}
	act := func(path string, do func(*http.Request) error) {
		mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
			if err := do(r); err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			w.WriteHeader(http.StatusNoContent)
		})
	}
	look("/blacklist", func() any { return entries(a) })
	look("/stats", func() any { return a.Stats() })
	look("/problems", func() any { return append([]string{}, a.Problems()...) })
	act("/reboot", func(*http.Request) error { a.Reboot(); return nil })
	act("/unlock", func(*http.Request) error { a.Unlock(); return nil })
	act("/stats/reset", func(*http.Request) error { a.ResetStats(); return nil })
	act("/password", func(r *http.Request) error {
		if !r.URL.Query().Has("new") {
			return errors.New("say ?new=PASSWORD")
		}
		a.SetPassword(r.URL.Query().Get("new"))
		return nil
	})
	act("/faults", func(r *http.Request) error { return setFaults(a, r.Body) })
	act("/rename", func(r *http.Request) error {
		return a.RenameObject(r.URL.Query().Get("object"), r.URL.Query().Get("to"))
	})
	act("/admin-modify", func(r *http.Request) error { return adminModify(a, r.URL.Query().Get("on")) })
	return mux
}

// setFaults changes the faults that the JSON names. Broken JSON and unknown names change nothing.
func setFaults(a *snstest.Appliance, text io.Reader) error {
	next := a.Faults()
	decoder := json.NewDecoder(text)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&next); err != nil {
		return err
	}
	a.SetFaults(func(f *snstest.Faults) { *f = next })
	return nil
}

func adminModify(a *snstest.Appliance, on string) error {
	switch on {
	case "1":
		a.AdminTakesModify()
	case "0":
		a.AdminReleasesModify()
	default:
		return errors.New("say ?on=1 or ?on=0")
	}
	return nil
}

type entry struct {
	Source  string    `json:"source"`
	Expires time.Time `json:"expires"`
}

func entries(a *snstest.Appliance) []entry {
	list := []entry{}
	for _, e := range a.Blacklist() {
		list = append(list, entry{e.Source.String(), e.Expires})
	}
	return list
}

func reply(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value) // the client sees what did not arrive
}
