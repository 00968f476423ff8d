package plugintest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
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

	mu      sync.Mutex
	next    int
	refuses bool
	// In the order of their IDs.
	standing, added, deleted []decision
}

// decision is one that it lists, or has listed.
type decision struct {
	id          int
	uuid, value string
}

// LocalAPIStats is what it was asked, and how long its answers were.
type LocalAPIStats struct {
	Requests int
	Bytes    int64
}

// NewLocalAPI starts one that lists nothing.
func NewLocalAPI() *LocalAPI {
	l := &LocalAPI{Key: "the-bouncers-key", Lasting: time.Hour}
	l.server = httptest.NewServer(l)
	return l
}

// URL is where it listens.
func (l *LocalAPI) URL() string { return l.server.URL + "/" }

// Close ends it.
func (l *LocalAPI) Close() { l.server.Close() }

// List lists a ban of each address. An address may have several.
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
	listed := decision{l.next, uuid, value}
	l.standing, l.added = append(l.standing, listed), append(l.added, listed)
}

// Unlist ends the bans of an address.
func (l *LocalAPI) Unlist(value string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.standing = slices.DeleteFunc(l.standing, func(d decision) bool {
		if d.value == value {
			l.deleted = append(l.deleted, d)
		}
		return d.value == value
	})
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
		l.added, l.deleted = nil, nil
	case r.Method == http.MethodGet && r.URL.Path == "/v1/decisions":
		value := r.URL.Query().Get("ip")
		after, _ := strconv.Atoi(r.URL.Query().Get("id_gt"))
		found := slices.DeleteFunc(slices.Clone(l.standing), func(d decision) bool {
			return value != "" && d.value != value || d.id <= after
		})
		_, _ = fmt.Fprint(w, "[")
		writeDecisions(w, found, l.Lasting)
		_, _ = fmt.Fprint(w, "]")
	}
}

// writeDecisions writes decisions as JSON.
func writeDecisions(out io.Writer, decisions []decision, left time.Duration) {
	for i, d := range decisions {
		text, _ := json.Marshal(map[string]any{ // texts and numbers alone
			"id": d.id, "uuid": d.uuid, "origin": "CAPI", "scenario": "http:scan", "scope": "Ip", "type": "ban", "value": d.value, "duration": left.String(),
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
