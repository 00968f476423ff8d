package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"notification-stormshield/stormshield/snstest"
)

// control is plain HTTP on the loopback interface. With it another process looks at the appliance and acts on it:
//
//	GET  /blacklist  [{"source": "192.0.2.1/32", "expires": "2026-…"}]
//	GET  /stats      snstest.Stats
//	GET  /problems   ["…"]
//	GET  /overlaps   ["…"] as snstest.Appliance.Overlaps
//	GET  /packet?source=192.0.2.1&destination=203.0.113.10  snstest.Verdict
//	GET  /policy     the slots and the running rules: see policies
//	POST /policy     {"slot": 5, "lines": ["block from any to any"]} as snstest.Appliance.SetPolicy
//	POST /policy/edit      the same body, as AdminEditPolicy: the lines are not activated
//	POST /policy/activate  {"slot": 5} as AdminActivatePolicy
//	POST /faults     JSON of snstest.Faults: the named fields change, all others stay (see -list-faults)
//	POST /reboot
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
	get := func(path string, value func() any) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) { reply(w, value()) })
	}
	post := func(path string, do func(*http.Request) error) {
		mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
			if err := do(r); err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			w.WriteHeader(http.StatusNoContent)
		})
	}
	get("/blacklist", func() any { return entries(a) })
	get("/stats", func() any { return a.Stats() })
	get("/overlaps", func() any { return a.Overlaps() })
	get("/problems", func() any { return append([]string{}, a.Problems()...) })
	post("/faults", func(r *http.Request) error { return setFaults(a, r.Body) })
	mux.HandleFunc("GET /packet", func(w http.ResponseWriter, r *http.Request) { answerPacket(w, r, a) })
	get("/policy", func() any { return policiesOf(a) })
	for path, do := range policyChanges(a) {
		post(path, func(r *http.Request) error { return changePolicy(r.Body, do) })
	}
	post("/reboot", func(*http.Request) error { a.Reboot(); return nil })
	return mux
}

// setFaults changes the faults that the JSON names. Malformed JSON and unknown names change nothing.
func setFaults(a *snstest.Appliance, text io.Reader) error {
	next := a.Faults()
	if err := decode(text, &next); err != nil {
		return err
	}
	a.SetFaults(func(f *snstest.Faults) { *f = next })
	return nil
}

func decode(text io.Reader, into any) error {
	decoder := json.NewDecoder(text)
	decoder.DisallowUnknownFields()
	return decoder.Decode(into)
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
	_ = json.NewEncoder(w).Encode(value) // the client notices an incomplete answer
}
