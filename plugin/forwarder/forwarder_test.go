package forwarder_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"notification-stormshield/plugin/ledger"
)

// fails returns failures before each commit.
func fails(err error) func() (error, error) { return func() (error, error) { return err, nil } }

func TestATriggerForwardsAtOnceAndInOrder(t *testing.T) {
	t.Parallel()
	run(t, func(h *harness) {
		h.add(1, 2)
		h.add(3)
		h.want("got without a wait", h.got(), "1 2 3")
		h.want("time that passed", time.Since(h.start), time.Duration(0))
		h.want("waiting", h.waiting(), 0)
		h.want("calls of OnForwarded", h.forwarded, 2)
		h.want("calls of OnRestored", h.restored, 0)
	})
}

func TestLateMessagesAreReportedOnceAllAreForwarded(t *testing.T) {
	t.Parallel()
	run(t, func(h *harness) {
		h.add(1)
		h.want("calls for a message that did not wait", h.caughtUp, 0)
		h.stop()
		for n := range 5 {
			h.check(h.outbox.Add(context.Background(), decisions(1000*(n+1), 900), time.Now()))
		}
		h.sleep(time.Minute)
		h.begin()
		synctest.Wait()
		h.want("calls for messages that waited", h.caughtUp, 1)
		h.sleep(time.Minute)
		h.add(2)
		h.want("calls afterwards", h.caughtUp, 1)
	})
}

func TestMessagesOfOtherProcessesAreForwardedWithinASecond(t *testing.T) {
	t.Parallel()
	run(t, func(h *harness) {
		h.sleep(300 * time.Millisecond)
		h.check(h.other.Add(context.Background(), decisions(7, 1), time.Now()))
		h.sleep(time.Second)
		h.want("got", h.got(), "7")
	})
}

func TestMessagesThatWaitAtTheStartAreForwarded(t *testing.T) {
	t.Parallel()
	run(t, func(h *harness) {
		h.stop()
		h.add(1, 2)
		h.want("got without a forwarder", h.got(), "")
		h.begin()
		synctest.Wait()
		h.want("got", h.got(), "1 2")
	})
}

func TestManyMessagesGoInOneTransactionAndALargeOneInSeveral(t *testing.T) {
	t.Parallel()
	run(t, func(h *harness) {
		h.stop()
		for n := range 5 {
			h.check(h.outbox.Add(context.Background(), decisions(1000*n, 450), time.Now()))
		}
		h.check(h.outbox.Add(context.Background(), decisions(10_000, 20_000), time.Now()))
		h.begin()
		synctest.Wait()
		h.want("decisions", len(h.ledger.backup().got), 5*450+20_000)
		h.want("the first batches", h.ledger.uses().batches[:3], []int{1800, 1450, 2000})
		for _, n := range h.ledger.uses().batches {
			if n > 2000 {
				h.Error("a batch has", n, "decisions")
			}
		}
	})
}

func TestDecisionsWaitWhileTheSharedStateIsAway(t *testing.T) {
	t.Parallel()
	run(t, func(h *harness) {
		h.add(1)
		h.sleep(time.Minute)
		h.ledger.set(func() { h.ledger.fail = fails(errAway) })
		h.add(2)
		for n := range 120 {
			h.sleep(30 * time.Second)
			h.add(n % 10)
		}
		h.want("got", h.got(), "1")
		h.want("waiting", h.waiting(), 121)
		h.want("away since, and why", h.away(), "1m0s connection refused")
		if n := strings.Count(h.log.String(), "[ERROR]"); n < 6 || n > 8 {
			t.Errorf("the error was logged %d times in an hour:\n%s", n, h.log)
		}
		if !strings.Contains(h.log.String(), "waiting=1") || !strings.Contains(h.log.String(), "state_url") {
			t.Errorf("the log:\n%s", h.log)
		}
		if n := h.ledger.uses().calls; n < 3600/5 || n > 3600/2 {
			t.Errorf("%d calls in an hour", n)
		}
		h.ledger.set(func() { h.ledger.fail = nil })
		h.sleep(5 * time.Second)
		h.want("got after the outage", len(h.ledger.backup().got), 122)
		h.want("waiting after the outage", h.waiting(), 0)
		h.want("away after the outage", h.away(), "no")
		h.want("restored", h.ledger.uses().restored, 0)
		if !strings.Contains(h.log.String(), "can be used again") {
			t.Errorf("the log does not report the success:\n%s", h.log)
		}
	})
}

func TestAnAlertDoesNotShortenThePauseWhileTheSharedStateIsAway(t *testing.T) {
	t.Parallel()
	run(t, func(h *harness) {
		h.ledger.set(func() { h.ledger.fail = fails(errAway) })
		h.sleep(time.Minute)
		before := h.ledger.uses().calls
		for n := range 1000 {
			h.forwarder.Trigger()
			h.sleep(time.Duration(n%2) * time.Millisecond)
		}
		if n := h.ledger.uses().calls - before; n > 1 {
			t.Errorf("%d calls in half a second", n)
		}
	})
}

func TestACallThatGetsNoAnswerEnds(t *testing.T) {
	t.Parallel()
	run(t, func(h *harness) {
		h.ledger.set(func() { h.ledger.waits = true })
		h.add(1)
		h.sleep(35 * time.Second)
		h.want("the log names the cause", strings.Contains(h.log.String(), "deadline exceeded"), true)
		h.ledger.set(func() { h.ledger.waits = false })
		h.sleep(35 * time.Second)
		h.want("got", h.got(), "1")
		h.ledger.set(func() { h.ledger.waits = true })
		h.sleep(6 * time.Second)
		before := time.Now()
		h.stop() // in the middle of a beat
		h.want("time that the end takes", time.Since(before), time.Duration(0))
		h.begin()
	})
}

func TestABatchWhoseAnswerWasLostIsNotSentTwice(t *testing.T) {
	t.Parallel()
	for name, next := range map[string]func(h *harness){
		"the same process": func(*harness) {}, "the next process": (*harness).again,
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(h *harness) {
				h.ledger.set(func() { h.ledger.fail = func() (error, error) { return nil, errAway } })
				h.add(1, 2, 3)
				h.want("got", h.got(), "1 2 3")
				h.want("waiting, because the answer is lost", h.waiting(), 3)
				next(h)
				h.ledger.set(func() { h.ledger.fail = nil })
				h.add(4)
				h.sleep(10 * time.Second)
				h.want("got in the end", h.got(), "1 2 3 4")
				h.want("batches", len(h.ledger.uses().batches), 2)
				h.want("waiting in the end", h.waiting(), 0)
				h.want("restored", h.ledger.uses().restored, 0)
			})
		})
	}
}

func TestABeatTellsWhatWaits(t *testing.T) {
	t.Parallel()
	run(t, func(h *harness) {
		h.sleep(21 * time.Second)
		h.want("beats in 21 s", len(h.ledger.uses().beats), 5)
		h.want("a beat", h.ledger.uses().beats[4], ledger.Beat{Version: "1.2.3"})
		h.stop()
		since := time.Now().UTC().Truncate(time.Millisecond)
		h.add(1, 2)
		h.begin()
		synctest.Wait()
		h.want("the beat with messages", h.ledger.uses().beats[5], ledger.Beat{Version: "1.2.3", Waiting: 2, WaitingSince: since})
	})
}

func TestALongBacklogDoesNotStopTheBeats(t *testing.T) {
	t.Parallel()
	run(t, func(h *harness) {
		h.stop()
		h.check(h.outbox.Add(context.Background(), decisions(0, 14_000), time.Now()))
		h.ledger.set(func() { h.ledger.slow = 3 * time.Second })
		h.begin()
		h.sleep(19 * time.Second)
		if n := len(h.ledger.uses().beats); n < 3 {
			t.Errorf("%d beats in 19 s", n)
		}
	})
}

func TestAfterABackupTheLastMessagesAreSentAgain(t *testing.T) {
	t.Parallel()
	run(t, func(h *harness) {
		h.add(1, 2)
		backup := h.ledger.backup()
		h.add(3, 4)
		h.ledger.restore(backup)
		h.sleep(6 * time.Second)
		h.want("got", h.got(), "1 2 3! 4!")
		h.want("calls of RecordRestored", h.ledger.uses().restored, 1)
		h.want("calls of OnRestored", h.restored, 1)
		h.add(5)
		h.sleep(time.Minute)
		h.want("got in the end", h.got(), "1 2 3! 4! 5")
		h.want("calls of RecordRestored in the end", h.ledger.uses().restored, 1)
		if n := strings.Count(h.log.String(), "[WARN]"); n != 1 {
			t.Errorf("%d warnings:\n%s", n, h.log)
		}
	})
}

// The new message has a higher number than those that the shared state lacks.
func TestANewMessageDoesNotHideTheOnesThatABackupLacks(t *testing.T) {
	t.Parallel()
	run(t, func(h *harness) {
		h.add(1)
		backup := h.ledger.backup()
		h.add(2)
		h.ledger.restore(backup)
		h.add(3) // before the next beat
		h.want("got", h.got(), "1 2! 3")
		h.want("calls of RecordRestored", h.ledger.uses().restored, 1)
	})
}

func TestABackupIsNoticedByTheBeatAlone(t *testing.T) {
	t.Parallel()
	for name, next := range map[string]func(h *harness){
		"the same process": func(*harness) {}, "the next process": (*harness).again,
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(h *harness) {
				h.add(1)
				backup := h.ledger.backup()
				h.sleep(6 * time.Second) // nothing is forwarded
				h.ledger.restore(backup)
				next(h)
				h.sleep(5 * time.Second)
				h.want("got", h.got(), "1")
				h.want("calls of RecordRestored", h.ledger.uses().restored, 1)
				h.want("calls of OnRestored", h.restored, 1)
			})
		})
	}
}

func TestTheSharedStateLearnsOfItsBackupAlsoAfterFailures(t *testing.T) {
	t.Parallel()
	run(t, func(h *harness) {
		h.add(1)
		backup := h.ledger.backup()
		h.sleep(30 * time.Second)
		h.ledger.restore(backup)
		calls := 0
		h.ledger.set(func() {
			h.ledger.fail = func() (before, after error) {
				if calls++; calls > 1 && calls < 5 {
					return errAway, nil // after the first beat
				}
				return nil, nil
			}
		})
		h.sleep(20 * time.Second)
		h.want("calls of RecordRestored", h.ledger.uses().restored, 1)
		h.want("calls of OnRestored", h.restored, 1)
	})
}

func TestAStateFromABackupGetsThePrefixesThatThisMachineBeganToBlock(t *testing.T) {
	t.Parallel()
	run(t, func(h *harness) {
		attempt := func(prefix string) {
			h.check(h.outbox.RecordAttempt(context.Background(), []netip.Prefix{netip.MustParsePrefix(prefix)}, time.Now()))
		}
		attempt("203.0.113.1/32")
		h.sleep(23 * time.Hour)
		attempt("203.0.113.2/32")
		backup := h.ledger.backup()
		attempt("203.0.113.3/32")
		h.sleep(2 * time.Hour)
		h.want("without a backup", h.ledger.uses().attempted, "[]")
		h.ledger.restore(backup)
		h.sleep(25 * time.Second)
		h.want("calls of RecordRestored", h.ledger.uses().restored, 1)
		h.want("while other machines bring their decisions", h.ledger.uses().attempted, "[]")
		h.ledger.set(func() { h.ledger.fail = func() (before, after error) { return errAway, nil } })
		h.sleep(time.Minute)
		h.ledger.set(func() { h.ledger.fail = nil })
		h.sleep(15 * time.Second)
		h.want("the prefixes of the last day", h.ledger.uses().attempted, "[203.0.113.2/32 203.0.113.3/32]")
		h.want("calls of OnAttempted", h.attempted, 1)
		h.ledger.set(func() { h.ledger.attempted = nil })
		h.sleep(time.Hour)
		h.want("later", h.ledger.uses().attempted, "[]")
	})
}

func TestALostAnswerToABeatIsNoBackup(t *testing.T) {
	t.Parallel()
	run(t, func(h *harness) {
		h.sleep(6 * time.Second)
		h.ledger.set(func() { h.ledger.fail = func() (error, error) { return nil, errAway } })
		h.sleep(30 * time.Second)
		h.ledger.set(func() { h.ledger.fail = nil })
		h.sleep(30 * time.Second)
		h.want("calls of RecordRestored", h.ledger.uses().restored, 0)
	})
}

func TestAnotherDatabaseGetsTheMessagesOfTheLastDay(t *testing.T) {
	t.Parallel()
	run(t, func(h *harness) {
		for n, pause := range []time.Duration{23 * time.Hour, 2 * time.Hour, 0} {
			h.add(1 + n)
			h.stop() // it would look each second
			h.sleep(pause)
			h.begin()
			synctest.Wait()
		}
		h.ledger.restore(content{})
		h.sleep(6 * time.Second)
		h.want("got", h.got(), "2! 3!")
		h.want("calls of RecordRestored", h.ledger.uses().restored, 1)
	})
}

func TestAnOutboxThatBeginsAnewLosesNothing(t *testing.T) {
	t.Parallel()
	run(t, func(h *harness) {
		h.add(1, 2)
		h.stop()
		h.check(errors.Join(h.outbox.Close(), h.other.Close()))
		h.check(os.Rename(h.path, h.path+"-lost"))
		h.outbox, h.other = h.open(), h.open()
		h.check(h.outbox.Add(context.Background(), decisions(3, 1), time.Now().Add(-time.Hour))) // the clock was set back
		h.begin()
		synctest.Wait()
		h.add(4)
		h.want("got", h.got(), "1 2 3 4")
		h.want("calls of RecordRestored", h.ledger.uses().restored, 0)
	})
}

func TestADiskThatFailsIsReported(t *testing.T) {
	t.Parallel()
	run(t, func(h *harness) {
		h.check(h.outbox.Close()) // each use fails from now on
		h.sleep(5 * time.Second)
		if !strings.Contains(h.log.String(), h.path) {
			t.Errorf("the log does not name the file:\n%s", h.log)
		}
		h.outbox = h.open()
		h.again()
	})
}

func TestAPanicDoesNotEndTheForwarder(t *testing.T) {
	t.Parallel()
	run(t, func(h *harness) {
		h.ledger.set(func() { h.ledger.panics = true })
		h.add(1)
		h.sleep(10 * time.Second)
		h.ledger.set(func() { h.ledger.panics = false })
		h.sleep(10 * time.Second)
		h.want("got", h.got(), "1")
		h.want("the log reports the panic", strings.Contains(h.log.String(), "panicked"), true)
	})
}

// Whatever happens to the processes and to the shared state, it has each decision once in the end, in the order of the alerts.
func TestNothingIsLostAndNothingTwice(t *testing.T)     { disturbEach(t, 0, 20) }
func TestLongNothingIsLostAndNothingTwice(t *testing.T) { disturbEach(t, 20, 500) }

func disturbEach(t *testing.T, first, count int) {
	for seed := first; seed < first+count; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			run(t, func(h *harness) { h.disturb(uint64(seed)) })
		})
	}
}
