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
	"strings"
	"sync"
	"time"
)

// LocalAPI is a fake of CrowdSec's Local API, on loopback, for one bouncer.
type LocalAPI struct {
	Key    string        // that a request must have
	Left   time.Duration // until a decision ends, in every answer
	server *httptest.Server

	mu      sync.Mutex
	stats   LocalAPIStats
	lastID  int
	refuses bool
	// In the order of their IDs: all decisions in force, and the changes since the last poll.
	inForce, added, deleted []decision
}

type decision struct {
	id          int
	uuid, value string
	until       time.Time // zero: it ends after Left, in every answer
}

func (d decision) hasEnded(now time.Time) bool { return !d.until.IsZero() && !d.until.After(now) }

// LocalAPIStats counts requests and the bytes of the answers to polls.
type LocalAPIStats struct {
	Requests int
	Bytes    int64
}

// NewLocalAPI starts a Local API without decisions.
func NewLocalAPI() *LocalAPI {
	l := &LocalAPI{Key: "the-bouncers-key", Left: time.Hour}
	l.server = httptest.NewServer(l)
	return l
}

// URL returns its address.
func (l *LocalAPI) URL() string { return l.server.URL + "/" }

// Close stops the server.
func (l *LocalAPI) Close() { l.server.Close() }

// Section is the section of a configuration for this Local API.
func (l *LocalAPI) Section() LAPI { return LAPI{URL: l.URL(), Key: l.Key} }

// Add adds a decision on an address. An address can have several. The decision
// of an alert has the same UUID as in the alert.
func (l *LocalAPI) Add(uuid, value string) { l.AddUntil(uuid, value, time.Time{}) }

// AddUntil adds a decision on an address or a range that ends at a time.
func (l *LocalAPI) AddUntil(uuid, value string, until time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lastID++
	d := decision{l.lastID, uuid, value, until}
	l.inForce, l.added = append(l.inForce, d), append(l.added, d)
}

// Delete deletes the decisions on an address.
func (l *LocalAPI) Delete(value string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inForce = slices.DeleteFunc(l.inForce, func(d decision) bool {
		if d.value == value {
			l.deleted = append(l.deleted, d)
		}
		return d.value == value
	})
}

// endDecisions moves the decisions that have ended to the deleted ones.
func (l *LocalAPI) endDecisions(now time.Time) {
	l.inForce = slices.DeleteFunc(l.inForce, func(d decision) bool {
		if d.hasEnded(now) {
			l.deleted = append(l.deleted, d)
		}
		return d.hasEnded(now)
	})
	l.added = slices.DeleteFunc(l.added, func(d decision) bool { return d.hasEnded(now) })
}

// SetRefusing makes it refuse its key, or accept it again.
func (l *LocalAPI) SetRefusing(refuses bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refuses = refuses
}

// TakeStats returns the counts since the last call.
func (l *LocalAPI) TakeStats() LocalAPIStats {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.stats
	l.stats = LocalAPIStats{}
	return s
}

func (l *LocalAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stats.Requests++
	l.endDecisions(time.Now())
	switch {
	case l.refuses || r.Header.Get("X-Api-Key") != l.Key:
		w.WriteHeader(http.StatusForbidden)
	case r.URL.Path == "/v1/usage-metrics":
		w.WriteHeader(http.StatusCreated)
	case r.Method == http.MethodGet && r.URL.Path == "/v1/decisions/stream":
		fresh := l.added
		if r.URL.Query().Get("startup") == "true" {
			fresh = l.inForce
		}
		out := bufio.NewWriter(&counter{w, &l.stats.Bytes})
		_, _ = fmt.Fprint(out, `{"new": [`)
		writeDecisions(out, fresh, l.Left)
		_, _ = fmt.Fprint(out, `], "deleted": [`)
		writeDecisions(out, l.deleted, -time.Second)
		_, _ = fmt.Fprint(out, `]}`)
		_ = out.Flush() // the client may have gone
		l.added, l.deleted = nil, nil
	case r.Method == http.MethodGet && r.URL.Path == "/v1/decisions":
		value := r.URL.Query().Get("ip")
		after, _ := strconv.Atoi(r.URL.Query().Get("id_gt"))
		found := slices.DeleteFunc(slices.Clone(l.inForce), func(d decision) bool {
			return value != "" && d.value != value || d.id <= after
		})
		_, _ = fmt.Fprint(w, "[")
		writeDecisions(w, found, l.Left)
		_, _ = fmt.Fprint(w, "]")
	}
}

func writeDecisions(out io.Writer, decisions []decision, left time.Duration) {
	for i, d := range decisions {
		scope := "Ip"
		if strings.Contains(d.value, "/") {
			scope = "Range"
		}
		remains := left
		if left > 0 && !d.until.IsZero() {
			remains = time.Until(d.until)
		}
		text, _ := json.Marshal(map[string]any{ // texts and numbers can always be encoded
			"id": d.id, "uuid": d.uuid, "origin": "CAPI", "scenario": "http:scan", "scope": scope, "type": "ban", "value": d.value, "duration": remains.String(),
		})
		if i > 0 {
			_, _ = fmt.Fprint(out, ",")
		}
		_, _ = out.Write(text)
	}
}

// counter counts the bytes that are written.
type counter struct {
	io.Writer
	bytes *int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.Writer.Write(p)
	*c.bytes += int64(n)
	return n, err
}
