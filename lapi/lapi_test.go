package lapi_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
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

// serve starts a Local API and returns its URL.
func serve(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

// answer answers everything with a text.
func answer(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }
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

// question asks for the decisions on a prefix, for those above an ID, or polls.
type question struct {
	lapi.Query
	on    string
	above int64
}

func (q question) ask(t *testing.T, url string) (events []lapi.Event, seen lapi.Summary, err error) {
	t.Helper()
	c := client(t, lapi.Config{URL: url})
	add := func(e lapi.Event) error {
		events = append(events, e)
		return nil
	}
	switch {
	case q.on != "":
		var found []lapi.Decision
		found, err = c.Lookup(t.Context(), q.Query, netip.MustParsePrefix(q.on))
		for _, d := range found {
			events = append(events, lapi.Event{Decision: d})
		}
	case q.above > 0:
		seen, err = c.ReadAbove(t.Context(), q.Query, q.above, add)
	default:
		seen, err = c.Stream(t.Context(), q.Query, add)
	}
	return events, seen, err
}

// poll returns the error of a poll.
func poll(c *lapi.Client) error {
	_, err := c.Stream(context.Background(), lapi.Query{}, func(lapi.Event) error { return nil })
	return err
}

func TestAQuestionSelectsDecisionsAndAcceptsAnEmptyAnswer(t *testing.T) {
	t.Parallel()
	capi := lapi.Query{Startup: true, Origins: []string{"CAPI"}}
	full := lapi.Query{Startup: true, Scopes: []string{"ip", "range"}, Origins: []string{"CAPI", "lists"}, Include: []string{"ssh"}, Exclude: []string{"http"}}
	for want, q := range map[string]question{
		"/v1/decisions/stream?dedup=false": {},
		"/v1/decisions/stream?dedup=false&origins=CAPI%2Clists&scenarios_containing=ssh&scenarios_not_containing=http&scopes=ip%2Crange" +
			"&startup=true": {Query: full},
		"/v1/decisions?dedup=false&ip=203.0.113.7&origins=CAPI":          {Query: capi, on: "203.0.113.7/32"},
		"/v1/decisions?dedup=false&origins=CAPI&range=198.51.100.0%2F24": {Query: capi, on: "198.51.100.0/24"},
		"/v1/decisions?dedup=false&ip=2001%3Adb8%3A%3A7&origins=CAPI":    {Query: capi, on: "2001:db8::7/128"},
		"/v1/decisions?dedup=false&id_gt=7&origins=CAPI":                 {Query: capi, above: 7},
	} {
		empty := []string{"null", "[]"}
		if strings.Contains(want, "stream") {
			empty = []string{`{"new":null,"deleted":null}`, `{"new":null}`, `{"deleted":[],"new":[]}`, " {\"new\": [\n], \"deleted\": []}\n"}
		}
		for _, text := range empty {
			events, _, err := q.ask(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.WriteString(w, text)
				if h := r.Header; r.URL.RequestURI() != want || h.Get("X-Api-Key") != "secret key" || h.Get("User-Agent") != "crowdsec-stormshield/1.0" {
					t.Errorf("asked %s %v, want %s", r.URL, h, want)
				}
			}))
			if err != nil || len(events) > 0 {
				t.Errorf("%s, answered with %s: events %v, error %v", want, text, events, err)
			}
		}
	}
}

func TestUnreadableDecisionsAreLeftOutAndCounted(t *testing.T) {
	t.Parallel()
	const list = `
		{"id":9,"origin":"cscli","scenario":"manual","scope":"Range","type":"ban","value":"198.51.100.0/24","duration":"167h0m0s","new_field":{"a":[1]}},
		{"id":8,"uuid":"u-8","origin":"CAPI","scenario":"http:scan","scope":"Ip","type":"ban","value":"203.0.113.7","duration":"3h59m58s"}]`
	const unreadable = `{}, null, 7, {"value":"203.0.113.8"}, {"value":"203.0.113.8","duration":"soon"}, {"value":7,"duration":"1h"}, {"duration":"1h"}, [],`
	want := []lapi.Event{
		{Decision: lapi.Decision{ID: 9, Origin: "cscli", Scenario: "manual", Scope: "Range", Type: "ban", Value: "198.51.100.0/24", Left: 167 * time.Hour}},
		{Decision: lapi.Decision{ID: 8, UUID: "u-8", Origin: "CAPI", Scenario: "http:scan", Scope: "Ip", Type: "ban", Value: "203.0.113.7", Left: 4*time.Hour - 2*time.Second}},
		{Decision: lapi.Decision{ID: 3, Value: "203.0.113.3", Left: -5 * time.Second}, Deleted: true},
	}
	for name, c := range map[string]struct {
		question
		text   string
		events int
		seen   lapi.Summary
		err    error
	}{
		"a stream": {
			question{}, `{"new": [` + unreadable + list + `, "other": [{"x":1}], "deleted": [{"id":3,"value":"203.0.113.3","duration":"-5s"}]}`,
			3, lapi.Summary{New: 2, Deleted: 1, HighestID: 9, Unreadable: 8}, nil,
		},
		"a look-up":              {question{on: "203.0.113.7/32"}, "[" + list, 2, lapi.Summary{}, nil},
		"IDs above":              {question{above: 7}, "[" + unreadable + list, 2, lapi.Summary{New: 2, HighestID: 9, Unreadable: 8}, nil},
		"all, of CrowdSec 1.4.6": {question{above: 8}, "[" + list, 1, lapi.Summary{New: 2, HighestID: 9}, lapi.ErrNoIDs},
	} {
		if events, seen, err := c.ask(t, serve(t, answer(c.text))); !slices.Equal(events, want[:c.events]) || seen != c.seen || !errors.Is(err, c.err) {
			t.Errorf("%s: events %+v, summary %+v, error %v", name, events, seen, err)
		}
	}
}

func TestABrokenOrForeignAnswerIsAnError(t *testing.T) {
	t.Parallel()
	const one = `[{"id":8,"value":"203.0.113.7","duration":"1h0m0s"}]`
	none := []string{"<html>", `{}`, `{"message":"try later"}`, `{"new":{}}`, `{"new":7}`}
	for whole, c := range map[string]struct {
		question
		bad []string
	}{
		`{"new":` + one + `,"deleted":[]}`: {question{}, append(none, "[]")},
		one:                                {question{on: "203.0.113.7/32"}, append(none, `[{}]`)},
		one + " ":                          {question{above: 7}, none},
	} {
		for cut := range strings.TrimSpace(whole) {
			c.bad = append(c.bad, whole[:cut])
		}
		for _, text := range c.bad {
			if _, _, err := c.ask(t, serve(t, answer(text))); err == nil || errors.Is(err, io.EOF) || errors.Is(err, lapi.ErrNoIDs) {
				t.Errorf("%q instead of %s: %v", text, whole, err)
			}
		}
	}
}

// The Local API has recorded a poll when its answer is lost, and does not list the same changes again.
func TestALostAnswerIsAnErrorAndNoSecondPoll(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	c := client(t, lapi.Config{URL: serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) == 2 {
			panic(http.ErrAbortHandler) // breaks the connection
		}
		_, _ = io.WriteString(w, `{"new": [], "deleted": []}`)
	})})
	if first, second := poll(c), poll(c); first != nil || second == nil || asked.Load() != 2 {
		t.Errorf("the client asked %d times, and returned %v and then %v", asked.Load(), first, second)
	}
}

func TestAStreamReturnsAfterTheLocalAPIRecordedIt(t *testing.T) {
	t.Parallel()
	var recorded atomic.Bool
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"new":[],"deleted":[]}`)
		_ = http.NewResponseController(w).Flush()
		time.Sleep(100 * time.Millisecond)
		recorded.Store(true)
	})
	if err := poll(client(t, lapi.Config{URL: url})); err != nil || !recorded.Load() {
		t.Errorf("Stream returned before the Local API had recorded the request: %v", err)
	}
}

// silence is the timeout of tests in which the Local API falls silent. The beginning of its answer needs much less.
const silence = 2 * time.Second

func TestACompleteAnswerWithoutItsEndIsNoError(t *testing.T) {
	t.Parallel()
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `{"new":[],"deleted":[]}`)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	if err := poll(client(t, lapi.Config{URL: url, Timeout: silence})); err != nil {
		t.Error(err)
	}
}

func TestASilentLocalAPIIsAnError(t *testing.T) {
	t.Parallel()
	for begin, c := range map[string]struct {
		timeout time.Duration
		want    string
	}{"": {50 * time.Millisecond, "lapi.timeout"}, `{"new":[`: {silence, "fell silent"}} {
		t.Run(c.want, func(t *testing.T) {
			t.Parallel()
			url := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if begin != "" {
					_, _ = io.WriteString(w, begin)
					_ = http.NewResponseController(w).Flush()
				}
				<-r.Context().Done()
			})
			err := poll(client(t, lapi.Config{URL: url, Timeout: c.timeout}))
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), url) {
				t.Errorf("after %q: %v", begin, err)
			}
		})
	}
}

func TestAFullListIsReadInBoundedMemory(t *testing.T)     { readLongList(t, 30) }
func TestLongAFullListIsReadInBoundedMemory(t *testing.T) { readLongList(t, 300) }

// readLongList reads so many thousand decisions, and fails the test if the heap grows meanwhile.
func readLongList(t *testing.T, thousands int) {
	t.Helper()
	thousand := strings.Repeat(`,{"id":7,"origin":"CAPI","scenario":"http:scan","scope":"Ip","type":"ban","value":"203.0.113.7","duration":"100h0m0s"}`, 1000)
	c := client(t, lapi.Config{URL: serve(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"new": [{}`)
		for range thousands {
			_, _ = io.WriteString(w, thousand)
		}
		_, _ = io.WriteString(w, `], "deleted": []}`)
	})})
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before, most, n := heap(), int64(0), 0
	seen, err := c.Stream(t.Context(), lapi.Query{Startup: true}, func(lapi.Event) error {
		if n++; n%(100*thousands) == 0 {
			most = max(most, heap())
		}
		return nil
	})
	if err != nil || seen.New != 1000*thousands || most-before > 3<<20 {
		t.Errorf("the heap grew by %d bytes: %+v, %v", most-before, seen, err)
	}
}

func TestUsageMetricsCountEnforcedAndWaitingBans(t *testing.T) {
	t.Parallel()
	var got string
	status := http.StatusCreated
	c := client(t, lapi.Config{URL: serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = r.Method + " " + r.URL.Path + " " + string(body)
		w.WriteHeader(status)
	})})
	usage := lapi.Usage{Type: "crowdsec-stormshield", Version: "1.0", OS: "linux", Started: time.Unix(1000, 0), Window: 15 * time.Minute, LeftOut: 3}
	usage.Active = map[string]int{"CAPI": 7}
	want := `POST /v1/usage-metrics {"remediation_components":[{"feature_flags":[],"metrics":[{"items":[{"labels":{},"name":"left_out_gauge","unit":"ip",` +
		`"value":3},{"labels":{"origin":"CAPI"},"name":"active_decisions","unit":"ip","value":7}],"meta":{"utc_now_timestamp":2000,"window_size_seconds":900}}],` +
		`"os":{"name":"linux","version":""},"type":"crowdsec-stormshield","utc_startup_timestamp":1000,"version":"1.0"}]}`
	if err := c.SendUsage(t.Context(), usage, time.Unix(2000, 0)); err != nil || got != want {
		t.Errorf("sent %s: %v", got, err)
	}
	status = http.StatusNotFound
	if err := c.SendUsage(t.Context(), usage, time.Unix(2000, 0)); !errors.Is(err, lapi.ErrNoMetrics) {
		t.Errorf("an old Local API: %v", err)
	}
}

func FuzzAnswer(f *testing.F) {
	for _, text := range []string{`{"new":[{"id":1,"value":"203.0.113.7","duration":"1h"}],"deleted":null}`, `{"new":[[[`, `{"new":[{"id":1e99}]}`, `{"a":{"new":[]}}`, "\x00"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		events, seen, err := question{}.ask(t, serve(t, answer(text)))
		if err == nil && len(events) != seen.New+seen.Deleted {
			t.Errorf("%d events, %+v", len(events), seen)
		}
	})
}

func TestAnErrorCarriesTheReasonOfTheLocalAPI(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status               int
		refused              bool // the error is a KeyError
		location, text, want string
	}{
		"a message":             {500, false, "", `{"message":"database is locked"}`, `"database is locked"`},
		"a line of text":        {400, false, "", "Client sent an HTTP request to an HTTPS server.\n", "Client sent an HTTP request to an HTTPS server."},
		"a redirect":            {302, false, "https://crowdsec.example/login", "", "https://crowdsec.example/login"},
		"a refused key":         {403, true, "", `{"message":"access forbidden"}`, `"access forbidden"`},
		"a refused certificate": {401, true, "", `{"message":"no"}`, "HTTP 401"},
		"no reason at all":      {503, false, "", "", "HTTP 503"},
		"a page without end":    {502, false, "", strings.Repeat("x", 1<<20), strings.Repeat("x", 50)},
	} {
		err := poll(client(t, lapi.Config{URL: serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", c.location)
			w.WriteHeader(c.status)
			_, _ = io.WriteString(w, c.text)
		})}))
		if err == nil || !strings.Contains(err.Error(), c.want) || len(err.Error()) > 600 ||
			strings.Contains(err.Error(), "secret") || errors.As(err, new(*lapi.KeyError)) != c.refused {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, c := range []lapi.Config{{URL: "http://[::1"}, {URL: "http://x", Proxy: "http://[::1"}} {
		if _, err := lapi.New(c); err == nil {
			t.Errorf("%+v is accepted", c)
		}
	}
}

// A proxy would get the key.
func TestTheEnvironmentsProxyIsNotUsed(t *testing.T) {
	proxied := 0
	proxy := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		proxied++
		_, _ = io.WriteString(w, `{"new":null}`)
	})
	t.Setenv("HTTP_PROXY", proxy)
	t.Setenv("http_proxy", proxy)
	if err := poll(client(t, lapi.Config{URL: "http://crowdsec.invalid:8080"})); err == nil || proxied > 0 {
		t.Errorf("the proxy was asked %d times: %v", proxied, err)
	}
	if err := poll(client(t, lapi.Config{URL: "http://crowdsec.invalid:8080", Proxy: proxy})); err != nil || proxied != 1 {
		t.Errorf("the configured proxy was asked %d times: %v", proxied, err)
	}
}

func TestAUnixSocketIsReached(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lapi.sock")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(answer(`{"new":null}`))
	server.Listener = listener
	server.Start()
	defer server.Close()
	c := client(t, lapi.Config{URL: "unix://" + path})
	if err := poll(c); err != nil || c.Address() != path {
		t.Errorf("%s: %v", c.Address(), err)
	}
}

// certificate returns a self-signed certificate of 127.0.0.1, in PEM with its key.
func certificate(t *testing.T, number int64) []byte {
	t.Helper()
	public, private, _ := ed25519.GenerateKey(nil)
	template := &x509.Certificate{SerialNumber: big.NewInt(number), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	key, _ := x509.MarshalPKCS8PrivateKey(private)
	return append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})...)
}

func TestTheCertificateIsCheckedAndRenewedFilesAreReadAgain(t *testing.T) {
	t.Parallel()
	var of int64 // the number of the client's certificate
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		of = r.TLS.PeerCertificates[0].SerialNumber.Int64()
		_, _ = io.WriteString(w, `{"new":null}`)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{MinVersion: tls.VersionTLS12, ClientAuth: tls.RequireAnyClientCert}
	server.StartTLS()
	defer server.Close()

	ca, pair := filepath.Join(t.TempDir(), "ca.pem"), filepath.Join(t.TempDir(), "client.pem")
	c := client(t, lapi.Config{URL: server.URL, CAPath: ca, CertPath: pair, KeyPath: pair})
	for _, now := range []struct {
		path string
		text []byte
		err  string
		of   int64
	}{
		{pair, certificate(t, 1), "ca_cert_path", 0},
		{ca, certificate(t, 9), "x509", 0},
		{ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), "<nil>", 1},
		{pair, certificate(t, 2), "<nil>", 2},
	} {
		if err := os.WriteFile(now.path, now.text, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := fmt.Sprint(poll(c)); !strings.Contains(err, now.err) || of != now.of {
			t.Errorf("with certificate %d: %s, want certificate %d and %s", of, err, now.of, now.err)
		}
	}
	for want, c := range map[string]lapi.Config{
		"x509":                        {CertPath: pair, KeyPath: pair},
		"<nil>":                       {CertPath: pair, KeyPath: pair, Insecure: true},
		"no such file":                {CertPath: pair, KeyPath: "/nowhere", Insecure: true},
		"holds no certificate in PEM": {CAPath: os.DevNull},
	} {
		c.URL = server.URL
		if err := fmt.Sprint(poll(client(t, c))); !strings.Contains(err, want) {
			t.Errorf("%+v: %s, want %s", c, err, want)
		}
	}
}
