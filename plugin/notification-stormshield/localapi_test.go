package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
)

// fakeLocalAPI is CrowdSec's Local API as one bouncer meets it.
type fakeLocalAPI struct {
	server *httptest.Server

	mu             sync.Mutex
	next           int
	standing       map[string]int // numbers, by value
	added, deleted map[string]int
	refuse         bool
}

const fakeKey = "the-bouncers-key"

func newFakeLocalAPI() *fakeLocalAPI {
	l := &fakeLocalAPI{standing: map[string]int{}, added: map[string]int{}, deleted: map[string]int{}}
	l.server = httptest.NewServer(l)
	return l
}

func (l *fakeLocalAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.refuse || r.Header.Get("X-Api-Key") != fakeKey:
		w.WriteHeader(http.StatusForbidden)
	case r.URL.Path == "/v1/usage-metrics":
		w.WriteHeader(http.StatusCreated)
	case r.Method == http.MethodGet && r.URL.Path == "/v1/decisions/stream":
		fresh := l.added
		if r.URL.Query().Get("startup") == "true" {
			fresh = l.standing
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"new": decisionsOf(fresh, "1h0m0s"), "deleted": decisionsOf(l.deleted, "-1s")})
		clear(l.added)
		clear(l.deleted)
	}
}

func decisionsOf(numbers map[string]int, duration string) []map[string]any {
	var all []map[string]any
	for value, n := range numbers {
		all = append(all, map[string]any{
			"id": n, "origin": "CAPI", "scenario": "http:scan", "scope": "Ip", "type": "ban", "value": value, "duration": duration,
		})
	}
	return all
}

// localAPICommand is a command of scripts.
func (s *stage) localAPICommand(args []string) error {
	if strings.Join(args, " ") == "serve" {
		s.local = newFakeLocalAPI()
		return s.configure(fmt.Sprintf("lapi:\n  url: %s/\n  key: %q\n", s.local.server.URL, fakeKey))
	}
	if s.local == nil {
		return fmt.Errorf("lapi serve comes first")
	}
	l := s.local
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case len(args) == 2 && args[0] == "list":
		l.next++
		l.standing[args[1]], l.added[args[1]] = l.next, l.next
	case len(args) == 2 && args[0] == "unlist":
		l.deleted[args[1]] = l.standing[args[1]]
		delete(l.standing, args[1])
	case len(args) == 1 && (args[0] == "refuse" || args[0] == "heal"):
		l.refuse = args[0] == "refuse"
	default:
		return fmt.Errorf("lapi serve, list ADDRESS, unlist ADDRESS, refuse or heal, not %q", args)
	}
	return nil
}
