package e2e

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"image/png"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// axe looks for barriers to people with disabilities (https://github.com/dequelabs/axe-core).
//
//go:embed testdata/axe.min.js
var axe string

// lookForBarriers runs axe in a page.
const lookForBarriers = `axe.run({runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']}).then(result =>
	({rules: result.passes.length, barriers: result.violations.flatMap(v => v.nodes.map(n => v.id + ': ' + n.failureSummary + '\n' + n.html))}))`

// screen is the size of a browser's window, and the theme of its system.
type screen struct {
	name          string
	width, height int64
	theme         string
}

var screens = []screen{
	{"desktop-light", 1280, 1000, "light"}, {"desktop-dark", 1280, 1000, "dark"}, {"phone-light", 390, 844, "light"}, {"phone-dark", 390, 844, "dark"},
}

// browser is a headless Chromium with one page.
type browser struct {
	ctx context.Context

	mu       sync.Mutex
	requests []string // addresses
	faults   []string // dialogs, errors, and what a policy refused
}

// newBrowser starts a browser. The test ends it.
func newBrowser(t testing.TB) *browser {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, // it does not work for root
		chromedp.UserDataDir(t.TempDir()), chromedp.WSURLReadTimeout(time.Minute))
	allocator, end := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()), options...) // t's context ends before the clean-up
	t.Cleanup(end)
	b := &browser{}
	var closePage context.CancelFunc
	b.ctx, closePage = chromedp.NewContext(allocator)
	t.Cleanup(closePage)
	if err := chromedp.Listen(b.ctx, b.addEvent); err != nil {
		t.Fatalf("start chromium: %v", err)
	}
	_, failed := chromedp.Call(b.ctx, network.Enable, network.EnableParams{})
	if failed == nil {
		_, failed = chromedp.Call(b.ctx, log.Enable, cdp.Empty{})
	}
	if failed != nil {
		t.Fatalf("listen to chromium: %v", failed)
	}
	return b
}

// addEvent keeps an event.
func (b *browser) addEvent(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		b.requests = append(b.requests, e.Request.URL)
	case *page.EventJavascriptDialogOpening:
		b.faults = append(b.faults, "dialog: "+e.Message)
	case *log.EventEntryAdded:
		b.faults = append(b.faults, e.Entry.Text)
	case *runtime.EventExceptionThrown:
		b.faults = append(b.faults, e.ExceptionDetails.Text)
	}
}

// seen is what the browser shows.
type seen[T any] struct {
	found   T // by the expression
	picture []byte
}

// open opens a page on a screen, evaluates an expression, and takes a picture. It fails the test if the page asks for another file, if
// the browser reports an error, if the page is wider than the screen, or if axe finds a barrier.
func open[T any](t testing.TB, b *browser, s screen, url, expression string) (shown seen[T]) {
	t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
	defer cancel()
	b.mu.Lock()
	b.requests, b.faults = nil, nil
	b.mu.Unlock()
	var audit struct {
		Rules    int      `json:"rules"`
		Barriers []string `json:"barriers"`
	}
	var width int64
	err := func() (err error) {
		if _, err = chromedp.Call(ctx, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
			Width: s.width, Height: s.height, DeviceScaleFactor: 1, Mobile: s.width < 600,
		}); err != nil {
			return err
		}
		if _, err = chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: s.theme}},
		}); err != nil {
			return err
		}
		if err = chromedp.Do(ctx, chromedp.Navigate(url)); err != nil {
			return err
		}
		if shown.found, err = chromedp.Run(ctx, chromedp.Evaluate[T](expression)); err != nil {
			return err
		}
		if width, err = chromedp.Run(ctx, chromedp.Evaluate[int64]("document.documentElement.scrollWidth")); err != nil {
			return err
		}
		if shown.picture, err = chromedp.Run(ctx, chromedp.CaptureScreenshot()); err != nil {
			return err
		}
		if err = chromedp.Do(ctx, chromedp.Evaluate[chromedp.Void](axe+"\n;0")); err != nil {
			return err
		}
		return evaluateInto(ctx, &audit, lookForBarriers)
	}()
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil {
		t.Fatalf("%s: %v; faults %q", s.name, err, b.faults)
	}
	if len(b.requests) != 1 || len(b.faults) > 0 {
		t.Errorf("%s: the page asks for %q, and the browser reports %q", s.name, b.requests, b.faults)
	}
	if width > s.width {
		t.Errorf("%s: the page is %d wide", s.name, width)
	}
	if audit.Rules < 20 || len(audit.Barriers) > 0 {
		t.Errorf("%s: axe passed %d rules, and found %d barriers", s.name, audit.Rules, len(audit.Barriers))
		for _, barrier := range audit.Barriers {
			t.Error(barrier)
		}
	}
	return shown
}

// evaluateInto stores the result of a promise.
func evaluateInto[T any](ctx context.Context, result *T, expression string) (err error) {
	*result, err = chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	return err
}

// compressed returns a picture in fewer bytes.
func compressed(picture []byte) ([]byte, error) {
	decoded, err := png.Decode(bytes.NewReader(picture))
	if err != nil {
		return nil, fmt.Errorf("read a picture: %w", err)
	}
	var out bytes.Buffer
	err = (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, decoded)
	return out.Bytes(), err
}
