package lapi_test

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"notification-stormshield/lapi"
)

// answering is a Local API that answers everything with a text.
func answering(t *testing.T, status int, text string) (*lapi.Client, *[]*http.Request) {
	t.Helper()
	var asked []*http.Request
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text)
	}))
	t.Cleanup(server.Close)
	return client(t, lapi.Config{URL: server.URL}), &asked
}

func client(t *testing.T, c lapi.Config) *lapi.Client {
	t.Helper()
	c.Key, c.UserAgent = "secret key", "crowdsec-stormshield/1.0"
	made, err := lapi.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func collect(c *lapi.Client, q lapi.Query) (events []lapi.Event, seen lapi.Seen, err error) {
	seen, err = c.Stream(context.Background(), q, func(e lapi.Event) error {
		events = append(events, e)
		return nil
	})
	return events, seen, err
}

// The Local API has recorded the poll when its answer is lost, and would not list the same changes again.
func TestAPollWhoseAnswerIsLostFailsInsteadOfBeingAskedAgainSilently(t *testing.T) {
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) == 2 {
			panic(http.ErrAbortHandler) // breaks the connection
		}
		_, _ = io.WriteString(w, `{"new": [], "deleted": []}`)
	}))
	t.Cleanup(server.Close)
	c := client(t, lapi.Config{URL: server.URL})
	if _, _, err := collect(c, lapi.Query{}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := collect(c, lapi.Query{}); err == nil || asked.Load() != 2 {
		t.Errorf("asked %d times: %v", asked.Load(), err)
	}
}

func TestAStreamGivesWhatIsInForceAndWhatIsNot(t *testing.T) {
	c, asked := answering(t, 200, `{"new": [
		{"id":7,"uuid":"u-7","origin":"CAPI","scenario":"http:scan","scope":"Ip","type":"ban","value":"203.0.113.7","duration":"3h59m58s"},
		{"id":9,"origin":"cscli","scenario":"manual","scope":"Range","type":"ban","value":"198.51.100.0/24","duration":"167h0m0s","new_field":{"a":[1]}}],
		"other": [{"x":1}],
		"deleted": [{"id":3,"origin":"crowdsec","scenario":"s","scope":"Ip","type":"ban","value":"203.0.113.3","duration":"-5s"}]}`)
	events, seen, err := collect(c, lapi.Query{Startup: true, Scopes: []string{"ip", "range"}, Origins: []string{"CAPI", "lists"}, Include: []string{"ssh"}, Exclude: []string{"http"}})
	if err != nil {
		t.Fatal(err)
	}
	if seen != (lapi.Seen{New: 2, Deleted: 1, LastID: 9}) {
		t.Errorf("seen %+v", seen)
	}
	want := lapi.Event{Decision: lapi.Decision{ID: 7, UUID: "u-7", Origin: "CAPI", Scenario: "http:scan", Scope: "Ip", Type: "ban", Value: "203.0.113.7", Left: 3*time.Hour + 59*time.Minute + 58*time.Second}}
	if len(events) != 3 || events[0] != want || events[2].Left != -5*time.Second || !events[2].Deleted {
		t.Errorf("events %+v", events)
	}
	r := (*asked)[0]
	if r.URL.Path != "/v1/decisions/stream" || r.Header.Get("X-Api-Key") != "secret key" || r.Header.Get("User-Agent") != "crowdsec-stormshield/1.0" ||
		r.URL.Query().Encode() != "dedup=false&origins=CAPI%2Clists&scenarios_containing=ssh&scenarios_not_containing=http&scopes=ip%2Crange&startup=true" {
		t.Errorf("asked %s %v", r.URL, r.Header)
	}
}

// The Local API notes when it was read once it has answered.
func TestAStreamEndsWhenTheLocalAPIHasNotedIt(t *testing.T) {
	var noted atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"new":[],"deleted":[]}`)
		_ = http.NewResponseController(w).Flush()
		time.Sleep(100 * time.Millisecond)
		noted.Store(true)
	}))
	defer server.Close()
	if _, seen, err := collect(client(t, lapi.Config{URL: server.URL}), lapi.Query{}); err != nil || !noted.Load() {
		t.Errorf("it ended before: %+v, %v", seen, err)
	}
	// What was read stands, however long that takes.
	if _, _, err := collect(client(t, lapi.Config{URL: server.URL, Timeout: 50 * time.Millisecond}), lapi.Query{}); err != nil {
		t.Error(err)
	}
}

func TestALookupGivesWhatIsInForceOnAPrefix(t *testing.T) {
	q := lapi.Query{Startup: true, Origins: []string{"CAPI"}}
	for prefix, want := range map[string]string{
		"203.0.113.7/32":  "dedup=false&ip=203.0.113.7&origins=CAPI",
		"198.51.100.0/24": "dedup=false&origins=CAPI&range=198.51.100.0%2F24",
		"2001:db8::7/128": "dedup=false&ip=2001%3Adb8%3A%3A7&origins=CAPI",
	} {
		c, asked := answering(t, 200, `[{"id":7,"scope":"Ip","type":"ban","value":"203.0.113.7","duration":"1h0m0s"},
			{"id":9,"scope":"Range","type":"ban","value":"203.0.113.0/24","duration":"2h0m0s"}]`)
		found, err := c.Lookup(t.Context(), q, netip.MustParsePrefix(prefix))
		if err != nil || len(found) != 2 || found[1] != (lapi.Decision{ID: 9, Scope: "Range", Type: "ban", Value: "203.0.113.0/24", Left: 2 * time.Hour}) {
			t.Errorf("%s: %+v, %v", prefix, found, err)
		}
		if r := (*asked)[0]; r.URL.Path != "/v1/decisions" || r.URL.Query().Encode() != want {
			t.Errorf("%s: asked %s", prefix, r.URL)
		}
	}
	for _, text := range []string{"null", "[]"} {
		c, _ := answering(t, 200, text)
		if found, err := c.Lookup(t.Context(), q, netip.MustParsePrefix("203.0.113.7/32")); err != nil || len(found) > 0 {
			t.Errorf("%s: %+v, %v", text, found, err)
		}
	}
	for _, text := range []string{"", "{}", "[", `[{"id":7}]`, `[{"id":7,"value":"203.0.113.7","duration":"1h"}`} {
		c, _ := answering(t, 200, text)
		if _, err := c.Lookup(t.Context(), q, netip.MustParsePrefix("203.0.113.7/32")); err == nil {
			t.Errorf("%q is taken for an answer", text)
		}
	}
}

func TestAboveGivesTheDecisionsWithAGreaterID(t *testing.T) {
	above := func(text string) (ids []int64, query string, seen lapi.Seen, err error) {
		c, asked := answering(t, 200, text)
		seen, err = c.Above(t.Context(), lapi.Query{Startup: true, Scopes: []string{"ip"}}, 7, func(e lapi.Event) error {
			ids = append(ids, e.ID)
			return nil
		})
		return ids, (*asked)[0].URL.Path + "?" + (*asked)[0].URL.Query().Encode(), seen, err
	}
	const nine, eight = `{"id":9,"scope":"Ip","type":"ban","value":"203.0.113.9","duration":"1h"}`, `{"id":8,"value":"203.0.113.8","duration":"1h"}`
	ids, asked, seen, err := above("[" + nine + "," + eight + "]")
	if err != nil || !slices.Equal(ids, []int64{9, 8}) || seen != (lapi.Seen{New: 2, LastID: 9}) || asked != "/v1/decisions?dedup=false&id_gt=7&scopes=ip" {
		t.Errorf("%v, %+v, %v; asked %s", ids, seen, err, asked)
	}
	for _, text := range []string{"null", "[]"} {
		if ids, _, _, err := above(text); err != nil || len(ids) > 0 {
			t.Errorf("%s: %v, %v", text, ids, err)
		}
	}
	// CrowdSec 1.4.6 gives all.
	if ids, _, _, err := above("[" + nine + "," + strings.ReplaceAll(eight, "8", "7") + "," + eight + "]"); !errors.Is(err, lapi.ErrNoIDs) || len(ids) != 1 {
		t.Errorf("all are given: %v, %v", ids, err)
	}
	if _, _, _, err := above("[" + nine); err == nil || errors.Is(err, lapi.ErrNoIDs) {
		t.Errorf("an answer breaks off: %v", err)
	}
}

func TestEmptyListsAreNoFault(t *testing.T) {
	for _, text := range []string{`{"new":null,"deleted":null}`, `{"new":null}`, `{"deleted":[],"new":[]}`, " {\"new\": [\n], \"deleted\": []}\n"} {
		c, asked := answering(t, 200, text)
		events, _, err := collect(c, lapi.Query{})
		if err != nil || len(events) > 0 || (*asked)[0].URL.RawQuery != "dedup=false" {
			t.Errorf("%s: %v, %v, %s", text, events, err, (*asked)[0].URL)
		}
	}
}

func TestADecisionThatCannotBeReadCostsItselfAlone(t *testing.T) {
	const good = `{"id":1,"value":"203.0.113.7","duration":"1h0m0s","scope":"Ip","type":"ban"}`
	for _, bad := range []string{`{}`, `null`, `7`, `{"value":"203.0.113.8"}`, `{"value":"203.0.113.8","duration":"soon"}`, `{"value":7,"duration":"1h"}`, `[]`} {
		c, _ := answering(t, 200, `{"new":[`+bad+","+good+`]}`)
		events, seen, err := collect(c, lapi.Query{})
		if err != nil || len(events) != 1 || seen.Unreadable != 1 {
			t.Errorf("%s: %+v, %+v, %v", bad, events, seen, err)
		}
	}
}

func TestAnAnswerThatBreaksOffOrIsNoneIsAnError(t *testing.T) {
	whole := `{"new":[{"id":1,"value":"203.0.113.7","duration":"1h0m0s"}],"deleted":[]}`
	for cut := range len(whole) - 1 {
		c, _ := answering(t, 200, whole[:cut+1])
		if _, _, err := collect(c, lapi.Query{}); err == nil {
			t.Errorf("%q is taken for whole", whole[:cut+1])
		}
	}
	for _, text := range []string{"", "<html>", "[]", `{}`, `{"message":"try later"}`, `{"new":{}}`, `{"new":7}`} {
		c, _ := answering(t, 200, text)
		if _, _, err := collect(c, lapi.Query{}); err == nil {
			t.Errorf("%q is taken for an answer", text)
		}
	}
}

func TestARefusedKeyIsKnownAsSuchAndNeverShown(t *testing.T) {
	for status, refused := range map[int]bool{401: true, 403: true, 404: false, 500: false, 302: false} {
		c, _ := answering(t, status, `{"message":"no"}`)
		_, _, err := collect(c, lapi.Query{})
		var key *lapi.KeyError
		if errors.As(err, &key) != refused || err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("HTTP %d: %v", status, err)
		}
	}
}

func TestASilentLocalAPIIsGivenUp(t *testing.T) {
	for name, begin := range map[string]string{"from the first": "", "in the midst": `{"new":[`} {
		over := make(chan struct{})
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if begin != "" {
				_, _ = io.WriteString(w, begin)
				w.(http.Flusher).Flush()
			}
			<-over
		}))
		c := client(t, lapi.Config{URL: server.URL, Timeout: 50 * time.Millisecond})
		if _, _, err := collect(c, lapi.Query{}); err == nil {
			t.Errorf("%s: no error", name)
		}
		close(over)
		server.Close()
	}
}

func TestAnErrorOfTheCallerEndsTheStream(t *testing.T) {
	c, _ := answering(t, 200, `{"new":[{"id":1,"value":"203.0.113.7","duration":"1h0m0s"}]}`)
	full := errors.New("disk is full")
	if _, err := c.Stream(t.Context(), lapi.Query{}, func(lapi.Event) error { return full }); !errors.Is(err, full) {
		t.Errorf("err = %v", err)
	}
}

func TestTheCertificateOfTheLocalAPIIsChecked(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"new":null}`) }))
	defer server.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		config lapi.Config
		good   bool
	}{"unknown": {lapi.Config{}, false}, "of the CA": {lapi.Config{CAPath: ca}, true}, "not checked": {lapi.Config{Insecure: true}, true}} {
		c.config.URL = server.URL
		if _, _, err := collect(client(t, c.config), lapi.Query{}); (err == nil) != c.good {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, c := range []lapi.Config{{URL: "http://[::1"}, {URL: "http://x", Proxy: "http://[::1"}} {
		if _, err := lapi.New(c); err == nil {
			t.Errorf("%+v is taken", c)
		}
	}
	for _, c := range []lapi.Config{{URL: server.URL, CAPath: "/nowhere"}, {URL: server.URL, CertPath: "/nowhere"}} {
		if _, _, err := collect(client(t, c), lapi.Query{}); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestAFullListIsNeverHeldWhole(t *testing.T) {
	const many = 300_000
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"new": [`)
		for i := range many {
			_, _ = fmt.Fprintf(w, `%s{"id":%d,"origin":"CAPI","scenario":"http:scan","scope":"Ip","type":"ban","value":"10.%d.%d.%d","duration":"100h0m0s","uuid":"%036d"}`,
				map[bool]string{true: ","}[i > 0], i+1, i>>16, i>>8&255, i&255, i)
		}
		_, _ = io.WriteString(w, `], "deleted": []}`)
	}))
	defer server.Close()
	c := client(t, lapi.Config{URL: server.URL})
	var before, now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var most uint64
	seen, err := c.Stream(t.Context(), lapi.Query{Startup: true}, func(e lapi.Event) error {
		if e.ID%20_000 == 0 {
			runtime.GC()
			runtime.ReadMemStats(&now)
			most = max(most, now.HeapAlloc)
		}
		return nil
	})
	if err != nil || seen.New != many {
		t.Fatalf("%+v, %v", seen, err)
	}
	if held := int64(most) - int64(before.HeapAlloc); held > 4<<20 {
		t.Errorf("it held %d bytes", held)
	}
}

func TestUsageMetricsSayWhatIsEnforced(t *testing.T) {
	var got map[string]any
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.URL.Path != "/v1/usage-metrics" || json.NewDecoder(r.Body).Decode(&got) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.WriteHeader(http.StatusCreated)
	}))
	defer server.Close()
	usage := lapi.Usage{Type: "crowdsec-stormshield", Version: "1.0", OS: "linux", Started: time.Unix(1000, 0), Window: 15 * time.Minute, Active: map[string]int{"CAPI": 7}, LeftOut: 3}
	if err := client(t, lapi.Config{URL: server.URL}).Tell(t.Context(), usage, time.Unix(2000, 0)); err != nil {
		t.Fatal(err)
	}
	text, _ := json.Marshal(got)
	want := `{"remediation_components":[{"feature_flags":[],"metrics":[{"items":[{"labels":{},"name":"left_out_gauge","unit":"ip","value":3},{"labels":{"origin":"CAPI"},"name":"active_decisions","unit":"ip","value":7}],` +
		`"meta":{"utc_now_timestamp":2000,"window_size_seconds":900}}],"os":{"name":"linux","version":""},"type":"crowdsec-stormshield","utc_startup_timestamp":1000,"version":"1.0"}]}`
	if string(text) != want {
		t.Errorf("told %s", text)
	}
	old, _ := answering(t, 404, "")
	if err := old.Tell(t.Context(), usage, time.Unix(2000, 0)); !errors.Is(err, lapi.ErrNoMetrics) {
		t.Errorf("an old Local API: %v", err)
	}
}

func FuzzAnyAnswerIsReadWithoutHarm(f *testing.F) {
	for _, text := range []string{`{"new":[{"id":1,"value":"203.0.113.7","duration":"1h"}],"deleted":null}`, `{"new":[[[`, `{"new":[{"id":1e99}]}`, `{"a":{"new":[]}}`, "\x00"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, _ := answering(t, 200, text)
		events, seen, err := collect(c, lapi.Query{})
		if err == nil && len(events) != seen.New+seen.Deleted {
			t.Errorf("%d events, %+v", len(events), seen)
		}
	})
}

func TestAnErrorCarriesTheReasonOfTheLocalAPI(t *testing.T) {
	for name, c := range map[string]struct {
		status   int
		location string
		text     string
		want     string
	}{
		"a message":          {500, "", `{"message":"database is locked"}`, `"database is locked"`},
		"a line of text":     {400, "", "Client sent an HTTP request to an HTTPS server.\n", "Client sent an HTTP request to an HTTPS server."},
		"a redirect":         {302, "https://crowdsec.example/login", "", "https://crowdsec.example/login"},
		"a refused key":      {403, "", `{"message":"access forbidden"}`, `"access forbidden"`},
		"no reason at all":   {503, "", "", "HTTP 503"},
		"a page without end": {502, "", strings.Repeat("x", 1<<20), strings.Repeat("x", 50)},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if c.location != "" {
				w.Header().Set("Location", c.location)
			}
			w.WriteHeader(c.status)
			_, _ = io.WriteString(w, c.text)
		}))
		_, _, err := collect(client(t, lapi.Config{URL: server.URL}), lapi.Query{})
		if err == nil || !strings.Contains(err.Error(), c.want) || len(err.Error()) > 600 {
			t.Errorf("%s: %v", name, err)
		}
		server.Close()
	}
}

func TestALateAnswerNamesTheKeyToSet(t *testing.T) {
	over := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-over }))
	defer server.Close()
	defer close(over)
	_, _, err := collect(client(t, lapi.Config{URL: server.URL, Timeout: 50 * time.Millisecond}), lapi.Query{})
	if err == nil || !strings.Contains(err.Error(), "lapi.timeout") {
		t.Errorf("got %v", err)
	}
}

// A proxy would get the key.
func TestTheEnvironmentsProxyGetsNothing(t *testing.T) {
	proxied := 0
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		proxied++
		_, _ = io.WriteString(w, `{"new":null}`)
	}))
	defer proxy.Close()
	t.Setenv("HTTP_PROXY", proxy.URL)
	t.Setenv("http_proxy", proxy.URL)
	if _, _, err := collect(client(t, lapi.Config{URL: "http://crowdsec.invalid:8080"}), lapi.Query{}); err == nil || proxied > 0 {
		t.Errorf("the proxy was asked %d times: %v", proxied, err)
	}
	if _, _, err := collect(client(t, lapi.Config{URL: "http://crowdsec.invalid:8080", Proxy: proxy.URL}), lapi.Query{}); err != nil || proxied != 1 {
		t.Errorf("the configured proxy was asked %d times: %v", proxied, err)
	}
}

func TestAUnixSocketIsReached(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lapi.sock")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"new":null}`) }))
	server.Listener = listener
	server.Start()
	defer server.Close()
	c := client(t, lapi.Config{URL: "unix://" + path})
	if _, _, err := collect(c, lapi.Query{}); err != nil {
		t.Error(err)
	}
	if c.Where() != path {
		t.Errorf("it is at %s", c.Where())
	}
}

func TestARenewedCAIsReadAgain(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"new":null}`) }))
	defer server.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	c := client(t, lapi.Config{URL: server.URL, CAPath: ca})
	if _, _, err := collect(c, lapi.Query{}); err == nil || !strings.Contains(err.Error(), "ca_cert_path") {
		t.Errorf("without the file: %v", err)
	}
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := collect(c, lapi.Query{}); err != nil {
		t.Errorf("with the file: %v", err)
	}
}
