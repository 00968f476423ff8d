package plugintest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"time"
)

// LocalAPI is CrowdSec's Local API as one bouncer meets it, on loopback.
type LocalAPI struct {
	Key      string        // that it takes
	Lasting  time.Duration // of each decision that it lists
	server   *httptest.Server
	requests LocalAPIStats

	mu             sync.Mutex
	next           int
	standing       map[string]decision // by value
	added, deleted map[string]decision
	refuses        bool
}

// decision is what tells a decision from others.
type decision struct {
	id   int
	uuid string
}

// LocalAPIStats is what it was asked, and how long its answers were.
type LocalAPIStats struct {
	Requests int
	Bytes    int64
}

// NewLocalAPI starts one that lists nothing.
func NewLocalAPI() *LocalAPI {
	l := &LocalAPI{Key: "the-bouncers-key", Lasting: time.Hour, standing: map[string]decision{}, added: map[string]decision{}, deleted: map[string]decision{}}
	l.server = httptest.NewServer(l)
	return l
}

// URL is where it listens.
func (l *LocalAPI) URL() string { return l.server.URL + "/" }

// Close ends it.
func (l *LocalAPI) Close() { l.server.Close() }

// List lists bans of addresses.
func (l *LocalAPI) List(values ...string) {
	for _, value := range values {
		l.ListAs(NewUUID(), value)
	}
}

// ListAs lists the ban of an address whose decision has a UUID, such as that of an alert.
func (l *LocalAPI) ListAs(uuid, value string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next++
	listed := decision{l.next, uuid}
	l.standing[value], l.added[value] = listed, listed
}

// Unlist ends the ban of an address.
func (l *LocalAPI) Unlist(value string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.deleted[value] = l.standing[value]
	delete(l.standing, value)
}

// Refuse says whether it refuses the key.
func (l *LocalAPI) Refuse(yes bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refuses = yes
}

// TakeStats returns what it was asked since the last time that somebody took that.
func (l *LocalAPI) TakeStats() LocalAPIStats {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.requests
	l.requests = LocalAPIStats{}
	return s
}

func (l *LocalAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.requests.Requests++
	switch {
	case l.refuses || r.Header.Get("X-Api-Key") != l.Key:
		w.WriteHeader(http.StatusForbidden)
	case r.URL.Path == "/v1/usage-metrics":
		w.WriteHeader(http.StatusCreated)
	case r.Method == http.MethodGet && r.URL.Path == "/v1/decisions/stream":
		fresh := l.added
		if r.URL.Query().Get("startup") == "true" {
			fresh = l.standing
		}
		out := bufio.NewWriter(&counter{w, &l.requests.Bytes})
		_, _ = fmt.Fprint(out, `{"new": [`)
		writeDecisions(out, fresh, l.Lasting)
		_, _ = fmt.Fprint(out, `], "deleted": [`)
		writeDecisions(out, l.deleted, -time.Second)
		_, _ = fmt.Fprint(out, `]}`)
		_ = out.Flush() // whoever asked has gone
		clear(l.added)
		clear(l.deleted)
	case r.Method == http.MethodGet && r.URL.Path == "/v1/decisions":
		found := maps.Clone(l.standing)
		value, than := r.URL.Query().Get("ip"), r.URL.Query().Get("id_gt")
		maps.DeleteFunc(found, func(listed string, d decision) bool {
			after, err := strconv.Atoi(than)
			return value != "" && listed != value || err == nil && d.id <= after
		})
		_, _ = fmt.Fprint(w, "[")
		writeDecisions(w, found, l.Lasting)
		_, _ = fmt.Fprint(w, "]")
	}
}

// writeDecisions writes them in the order of their IDs.
func writeDecisions(out io.Writer, decisions map[string]decision, left time.Duration) {
	values := slices.SortedFunc(maps.Keys(decisions), func(a, b string) int { return decisions[a].id - decisions[b].id })
	for i, value := range values {
		text, _ := json.Marshal(map[string]any{ // texts and numbers alone
			"id": decisions[value].id, "uuid": decisions[value].uuid, "origin": "CAPI", "scenario": "http:scan", "scope": "Ip", "type": "ban", "value": value, "duration": left.String(),
		})
		if i > 0 {
			_, _ = fmt.Fprint(out, ",")
		}
		_, _ = out.Write(text)
	}
}

// counter counts what is written.
type counter struct {
	io.Writer
	bytes *int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.Writer.Write(p)
	*c.bytes += int64(n)
	return n, err
}
