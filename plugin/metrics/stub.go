package metrics // page.go replaces this file

import (
	"fmt"
	"io"
	"net/http"
	"time"

	"notification-stormshield/plugin/health"
	"notification-stormshield/plugin/ledger"
)

type page struct {
	Version    string
	At         time.Time
	Appliances []view
}

type view struct {
	Report  health.Report
	History []ledger.Sample
	Recent  []ledger.RecentBan
}

func renderPage(w io.Writer, p page) error { _, err := fmt.Fprintln(w, p.Version); return err }

func pageHeaders(http.Header) {}
