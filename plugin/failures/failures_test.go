package failures_test

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"notification-stormshield/plugin/failures"
)

func TestAFailureThatGoesOnIsLoggedEveryTenMinutesWithACount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, lines := newLog()
		for range 21 * 60 {
			log.Failed(hclog.Error, "no answer", "port", 443)
			time.Sleep(time.Second)
		}
		log.Succeeded("it works again")
		log.Succeeded("it works again")
		want(t, lines(), "[ERROR] no answer: port=443", "[ERROR] no answer: port=443 failures=601", "[ERROR] no answer: port=443 failures=1201",
			"[INFO]  it works again: failures=1260")
	})
}

func TestOnlyAMessageThatDiffersInMoreThanDigitsIsLoggedAtOnce(t *testing.T) {
	log, lines := newLog()
	log.Failed(hclog.Error, "no answer on port 1234")
	log.Failed(hclog.Error, "no answer on port 56")
	log.Failed(hclog.Warn, "the answer is malformed")
	want(t, lines(), "[ERROR] no answer on port 1234", "[WARN]  the answer is malformed: failures=3")
}

func TestAFailureAfterASuccessIsLoggedAtOnce(t *testing.T) {
	log, lines := newLog()
	for range 2 {
		log.Failed(hclog.Error, "no answer")
		log.Succeeded("it works again")
	}
	want(t, lines(), "[ERROR] no answer", "[INFO]  it works again: failures=1", "[ERROR] no answer", "[INFO]  it works again: failures=1")
}

func TestTheBackoffDoublesUpToTheLongestAndHasARandomPart(t *testing.T) {
	for n, full := range map[int]time.Duration{0: time.Second, 1: time.Second, 2: 2 * time.Second, 5: 16 * time.Second, 9: 256 * time.Second,
		10: 5 * time.Minute, 1000: 5 * time.Minute} {
		waits := map[time.Duration]bool{}
		for range 100 {
			wait := failures.Backoff(n, time.Second, 5*time.Minute)
			if wait < full/2 || wait > full {
				t.Errorf("after %d failures: a wait of %v, want %v to %v", n, wait, full/2, full)
			}
			waits[wait] = true
		}
		if len(waits) < 50 {
			t.Errorf("after %d failures: only %d different waits of 100", n, len(waits))
		}
	}
}

// newLog returns a log and a function that returns its lines.
func newLog() (*failures.Log, func() []string) {
	var text bytes.Buffer
	log := failures.NewLog(hclog.New(&hclog.LoggerOptions{Output: &text, DisableTime: true}))
	return log, func() []string { return strings.Split(strings.TrimSpace(text.String()), "\n") }
}

func want(t *testing.T, got []string, lines ...string) {
	t.Helper()
	if strings.Join(got, "\n") != strings.Join(lines, "\n") {
		t.Errorf("logged\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(lines, "\n"))
	}
}
