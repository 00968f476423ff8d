package metrics

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/exporter-toolkit/web"
	"go.yaml.in/yaml/v3"
	"golang.org/x/net/netutil"

	"notification-stormshield/appliance"
	"notification-stormshield/config"
	"notification-stormshield/plugin/failures"
	"notification-stormshield/plugin/health"
)

// Source is one document, as the exporter shows it.
type Source struct {
	Health   health.Source
	NoState  error // why the state cannot be opened, so that Health has no ledger; nil: it is open
	Counters *Counters
	Observed func() appliance.Observed // of the client of the appliance

	last *reading // Show makes it
}

const (
	// listenEvery is how often the exporter tries a port that it cannot have.
	listenEvery = time.Second
	// readTimeout bounds how long a request reads the state.
	readTimeout = 10 * time.Second
	// mostConnections is how many clients are connected at once. More could take the files that the process may open, and flushes need some.
	mostConnections = 100
	// mostStreams is how many requests one connection of HTTP/2 has at once. Each one that waits takes memory.
	mostStreams = 4
	// recentBans is how many bans the page lists.
	recentBans = 20
)

// Exporter serves the metrics and the page of all documents of a process.
type Exporter struct {
	version string
	log     *failures.Log
	handler http.Handler  // of a request with any Host header
	turn    chan struct{} // holds a value while the exporter listens

	mu    sync.Mutex
	shown map[string]Source // by name
}

// New returns an exporter that shows nothing yet.
func New(version string, log hclog.Logger) *Exporter {
	e := &Exporter{version: version, log: failures.NewLog(log), turn: make(chan struct{}, 1), shown: map[string]Source{}}
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), buildInfo(version), stateCollector{e})
	routes := http.NewServeMux()
	routes.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{EnableOpenMetrics: true, ErrorHandling: promhttp.ContinueOnError}))
	routes.HandleFunc("GET /{$}", e.servePage)
	routes.HandleFunc("GET /-/healthy", e.serveHealthy)
	e.handler = limit(routes)
	return e
}

// Listen serves all documents of the exporter at an address until the context ends. While several documents call it, one call
// listens. When that call ends, another one listens. All documents of a process have the same address.
func (e *Exporter) Listen(ctx context.Context, where config.Prometheus) {
	select {
	case e.turn <- struct{}{}:
		defer func() { <-e.turn }()
	case <-ctx.Done():
		return
	}
	for ctx.Err() == nil {
		if err := e.listenAndServe(ctx, where); err != nil && ctx.Err() == nil {
			e.log.Failed(hclog.Warn, "the metrics and the status page are not served: "+err.Error(),
				"hint", "see prometheus in the notification's YAML; bans are enforced all the same")
		}
		select {
		case <-ctx.Done():
		case <-time.After(listenEvery):
		}
	}
}

// listenAndServe serves until the context ends.
func (e *Exporter) listenAndServe(ctx context.Context, where config.Prometheus) error {
	if err := web.Validate(where.WebConfigPath); err != nil {
		return fmt.Errorf("read web_config_path: %w", err)
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", where.Address())
	if err != nil {
		return err
	}
	listener = netutil.LimitListener(listener, mostConnections)
	served := time.AfterFunc(listenEvery, func() { e.log.Succeeded("the metrics and the status page are served") })
	defer served.Stop()
	server := &http.Server{
		Handler:           ownHostOnly(e.handler, where.WebConfigPath),
		ReadHeaderTimeout: readTimeout, ReadTimeout: readTimeout, WriteTimeout: 2 * readTimeout, IdleTimeout: time.Minute,
		MaxHeaderBytes: 16 << 10, HTTP2: &http.HTTP2Config{MaxConcurrentStreams: mostStreams},
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	flags := &web.FlagConfig{WebConfigFile: &where.WebConfigPath}
	err = web.Serve(listener, server, flags, slog.New(slog.DiscardHandler))
	_ = listener.Close()
	return err
}

// Show shows a document until the returned function is called. A document replaces one of the same name.
func (e *Exporter) Show(s Source) (hide func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	name := s.Health.Document.Name
	s.last = new(reading)
	e.shown[name] = s
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.shown[name].Counters == s.Counters {
			delete(e.shown, name)
		}
	}
}

// sources returns the documents by name.
func (e *Exporter) sources() []Source {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.SortedFunc(maps.Values(e.shown), func(a, b Source) int { return strings.Compare(a.Health.Document.Name, b.Health.Document.Name) })
}

// read reads the health of a document. A state that cannot be read or written is a health of its own.
func (s Source) read(ctx context.Context, now time.Time) health.Report {
	report, err := health.Report{}, s.NoState
	if err == nil {
		report, err = s.last.read(ctx, s.Health, now)
	}
	if err != nil {
		d := s.Health.Document
		return health.Report{Name: d.Name, Host: d.Stormshield.Host, Problem: "the state cannot be read: " + err.Error()}
	}
	if last := s.Counters.unrecorded.Load(); last != nil && now.Sub(last.at) < unrecordedFor && report.Working {
		report.Working = false
		report.Problem = "new decisions are not recorded: " + last.why + " (hint: look at the owner, the modes and the disk of the state folder)"
	}
	return report
}

// readShare is the share of the time that requests read the state at most: one of so many parts. While 300,000 bans are pending, one
// reading takes long, and alerts must not wait for many of them.
const readShare = 10

// unknownFor is how long a reading counts that could not use the database of a shared state.
const unknownFor = 2 * time.Second

// reading is the last reading of the health of a document.
type reading struct {
	mu     sync.Mutex
	report health.Report
	until  time.Time // the report counts before
}

// read reads the health, unless the last reading still counts. A reading counts for readShare times as long as it took.
func (r *reading) read(ctx context.Context, from health.Source, now time.Time) (health.Report, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.Before(r.until) {
		return r.report, nil
	}
	begun := time.Now()
	report, err := from.Read(ctx, now)
	if err != nil {
		return report, err
	}
	r.report, r.until = report, now.Add(readShare*time.Since(begun))
	if report.Contents == nil { // it took long because it waited for the database
		r.until = now.Add(unknownFor)
	}
	return report, nil
}

// serveHealthy answers 200 if all documents work, and 503 otherwise.
func (e *Exporter) serveHealthy(w http.ResponseWriter, r *http.Request) {
	code := http.StatusOK
	var text strings.Builder
	for _, s := range e.sources() {
		report := s.read(r.Context(), time.Now())
		if !report.Working {
			code = http.StatusServiceUnavailable
		}
		fmt.Fprintf(&text, "%s: %s\n", report.Name, report.Sentence())
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_, _ = io.WriteString(w, text.String())
}

// servePage sends the status page.
func (e *Exporter) servePage(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	p := page{Version: e.version, At: now}
	for _, s := range e.sources() {
		v := view{Report: s.read(r.Context(), now)}
		if v.IsRead() { // if these fail, the next health says why
			v.History, _ = s.Health.Ledger.History(r.Context(), now)
			v.Recent, _ = s.Health.Ledger.Recent(r.Context(), now, recentBans)
		}
		p.Appliances = append(p.Appliances, v)
	}
	sendPage(w, r, p)
}

// limit lets one request at a time read the state, and bounds how long it reads. A ledger has two connections, and a reader that has both
// delays the record of an alert. [http.TimeoutHandler] keeps the answer until the request has read the state, so that a client that reads
// its answer slowly delays no other one.
func limit(next http.Handler) http.Handler {
	running := make(chan struct{}, 1)
	return http.TimeoutHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case running <- struct{}{}:
			defer func() { <-running }()
			next.ServeHTTP(w, r)
		case <-r.Context().Done():
		}
	}), readTimeout, "the state cannot be read now, or there are too many requests")
}

// ownHostOnly refuses a request whose Host header is no name of this machine. A web page whose name an attacker points at this
// machine (DNS rebinding) would otherwise read the page in the browser of an administrator. The name in a certificate, or a password,
// protects the page too.
func ownHostOnly(next http.Handler, webConfig string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS == nil && !isOwnHost(r.Host) && !hasPasswords(webConfig) {
			http.Error(w, "refused: with neither TLS nor passwords in web_config_path, the Host header must be an IP address, localhost or the host name of this machine",
				http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// hasPasswords reports whether a web configuration asks for a password. The exporter-toolkit also reads the file for each request.
func hasPasswords(webConfig string) bool {
	var file struct {
		Users map[string]string `yaml:"basic_auth_users"`
	}
	text, err := os.ReadFile(webConfig)
	return err == nil && yaml.Unmarshal(text, &file) == nil && len(file.Users) > 0
}

// isOwnHost reports whether a Host header is an IP address, localhost, or the host name of this machine with or without its domain.
func isOwnHost(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.TrimSuffix(strings.ToLower(name), ".")
	if _, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil || name == "localhost" {
		return true
	}
	own, err := os.Hostname()
	own = strings.ToLower(own)
	short, _, _ := strings.Cut(own, ".")
	return err == nil && name != "" && (name == own || name == short)
}
