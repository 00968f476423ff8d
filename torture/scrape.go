package torture

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"notification-stormshield/plugin/plugintest"
)

// scrapeEvery is how often a harness asks for the metrics or the page.
const scrapeEvery = 500 * time.Millisecond

// scrape asks for the metrics and the status page until stop is called. A killed plugin does not answer. Each answer
// must be whole, and hold no password.
func (h *harness) scrape() (stop func()) {
	ctx, cancel := context.WithCancel(h.ctx)
	from := h.Configuration.Prometheus
	var scraping sync.WaitGroup
	scraping.Go(func() {
		for plugintest.Pause(ctx, scrapeEvery) == nil {
			h.get(ctx, from.URL("/metrics"), "process_virtual_memory_max_bytes")
			h.get(ctx, from.URL("/"), "</html>")
		}
	})
	return func() { cancel(); scraping.Wait() }
}

// get requests a page, and reports a wrong answer. A whole answer has the text last near its end.
func (h *harness) get(ctx context.Context, url, last string) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	h.must(err)
	answer, err := client.Do(request)
	if err != nil {
		return
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return
	}
	if answer.StatusCode != http.StatusOK || !strings.Contains(string(text), last) {
		h.report(others, 1, "%s answered %s: %.200q", url, answer.Status, text)
	}
	h.checkFor(fmt.Sprintf("the answer of %s", url), string(text), h.Appliance.Password())
}
