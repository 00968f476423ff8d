package metrics

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"notification-stormshield/plugin/health"
	"notification-stormshield/plugin/ledger"
)

// page is what the status page shows.
type page struct {
	Version    string
	At         time.Time
	Appliances []view
	Reloads    bool // the browser asks for the page again every reloadEvery
}

// view is one document with its appliance.
type view struct {
	Report  health.Report
	History []ledger.Sample
	Recent  []ledger.RecentBan
}

// reloadEvery is how often a page reloads by itself.
const reloadEvery = 30 * time.Second

//go:embed page.html page.css
var pageFiles embed.FS

var (
	pageTemplate = template.Must(template.New("page.html").Funcs(template.FuncMap{
		"address": formatAddress, "clean": clean, "duration": health.FormatDuration, "number": formatNumber,
	}).ParseFS(pageFiles, "page.html", "page.css"))
	pagePolicy = "default-src 'none'; style-src 'sha256-" + hashOf("page.css") +
		"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

func hashOf(file string) string {
	text, err := pageFiles.ReadFile(file)
	if err != nil {
		panic(err) // the file is part of the binary
	}
	hash := sha256.Sum256(text)
	return base64.StdEncoding.EncodeToString(hash[:])
}

// sendPage answers a request for the status page. The page reloads by itself if its address ends in ?reload. A page that always
// does would move the text away under a reader (WCAG, failure F41).
func sendPage(w http.ResponseWriter, r *http.Request, p page) {
	p.Reloads = r.URL.Query().Has("reload")
	var text bytes.Buffer
	if err := renderPage(&text, p); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	pageHeaders(w.Header())
	if p.Reloads {
		w.Header().Set("Refresh", fmt.Sprint(int(reloadEvery.Seconds())))
	}
	_, _ = text.WriteTo(w) // an error means that the browser is gone
}

// pageHeaders sets the headers of the status page. A browser then runs no script, loads no file, and keeps no copy.
func pageHeaders(h http.Header) {
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", pagePolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
}

// renderPage writes the status page.
func renderPage(w io.Writer, p page) error {
	if err := pageTemplate.Execute(w, p); err != nil {
		return fmt.Errorf("render the status page: %w", err)
	}
	return nil
}

// Failing is how many appliances do not work.
func (p page) Failing() (n int) {
	for _, v := range p.Appliances {
		if !v.Report.Working {
			n++
		}
	}
	return n
}

// longestText is how much of a text of others the page shows.
const longestText = 1000

// clean cuts a long text, and replaces characters that nobody sees, such as those that turn the direction of the text.
func clean(text string) string {
	cut := len(text) > longestText
	text = strings.Map(func(r rune) rune {
		if r == '\n' || unicode.IsPrint(r) {
			return r
		}
		return utf8.RuneError
	}, text[:min(len(text), longestText)])
	if cut {
		text += "…"
	}
	return text
}

// formatNumber writes a number with a comma before each three digits.
func formatNumber(n int) string {
	digits := fmt.Sprint(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// formatAddress writes an address without the length of its prefix, and a range with it.
func formatAddress(prefix netip.Prefix) string {
	if prefix.IsSingleIP() {
		return prefix.Addr().String()
	}
	return prefix.String()
}
