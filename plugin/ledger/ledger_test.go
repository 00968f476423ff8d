package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"notification-stormshield/plugin/ban"
	"notification-stormshield/plugin/ledger"
)

var start = time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)

const many = 1_000_000

func open(t testing.TB) *ledger.Ledger {
	t.Helper()
	return openAt(t, filepath.Join(t.TempDir(), "test.db"))
}

func openAt(t testing.TB, path string) *ledger.Ledger {
	t.Helper()
	l, err := ledger.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func aBan(prefix string, until time.Time) ban.Ban {
	return ban.Ban{Prefix: netip.MustParsePrefix(prefix), Until: until, UUID: prefix + until.String(), Origin: "crowdsec", Scenario: "test"}
}

func record(t testing.TB, l *ledger.Ledger, now time.Time, bans ...ban.Ban) ledger.Recorded {
	t.Helper()
	r, err := l.Record(t.Context(), bans, ledger.Alert, now, many)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func plan(t testing.TB, l *ledger.Ledger, now time.Time) ledger.Plan {
	t.Helper()
	p, err := l.Plan(t.Context(), ledger.Question{Now: now, Renew: now.Add(12 * time.Hour), Few: 32, All: true})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func wrote(t testing.TB, l *ledger.Ledger, p ledger.Plan, o ledger.Outcome) {
	t.Helper()
	if err := l.Wrote(t.Context(), p, o); err != nil {
		t.Fatal(err)
	}
}

// all is the outcome of a flush in which everything went well.
func all(p ledger.Plan, now time.Time) ledger.Outcome {
	o := ledger.Outcome{Unblocked: p.Unblock, Filed: true, At: now}
	for _, b := range p.Block {
		o.Blocked = append(o.Blocked, ledger.Entry{Prefix: b.Prefix, Expires: b.Until})
	}
	return o
}

func blocks(p ledger.Plan) []string {
	var out []string
	for _, b := range p.Block {
		out = append(out, b.Prefix.String())
	}
	slices.Sort(out)
	return out
}

func texts(ps []netip.Prefix) []string {
	var out []string
	for _, p := range ps {
		out = append(out, p.String())
	}
	slices.Sort(out)
	return out
}

func want(t *testing.T, what string, got, want any) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func TestABanIsOwedUntilItIsWrittenAndItsRemovalUntilItIsAcknowledged(t *testing.T) {
	l := open(t)
	r := record(t, l, start, aBan("203.0.113.7/32", start.Add(time.Hour)))
	want(t, "added", r.Added, 1)

	p := plan(t, l, start)
	want(t, "to block", blocks(p), []string{"203.0.113.7/32"})
	want(t, "next", p.Next, start.Add(time.Hour))
	wrote(t, l, p, all(p, start))
	want(t, "due after the flush", plan(t, l, start).Due(), false)

	later := start.Add(time.Hour)
	p = plan(t, l, later)
	want(t, "to unblock", texts(p.Unblock), []string{"203.0.113.7/32"})
	want(t, "standing", len(p.Standing), 0)

	wrote(t, l, p, ledger.Outcome{Unblocked: p.Unblock, At: later}) // the files could not be written
	p = plan(t, l, later)
	want(t, "to unblock once unblocked", len(p.Unblock), 0)
	want(t, "untidy", p.Untidy, true)

	wrote(t, l, p, ledger.Outcome{Filed: true, At: later})
	want(t, "due at the end", plan(t, l, later).Due(), false)
}

func TestTheLatestEndingDecisionCounts(t *testing.T) {
	l := open(t)
	long := aBan("203.0.113.7/32", start.Add(2*time.Hour))
	record(t, l, start, long)
	p := plan(t, l, start)
	wrote(t, l, p, all(p, start))

	r := record(t, l, start, aBan("203.0.113.7/32", start.Add(time.Hour)), long)
	want(t, "known", r.Known, 2)
	want(t, "due after a shorter and the same", plan(t, l, start).Due(), false)
	want(t, "next", plan(t, l, start).Next, start.Add(2*time.Hour))

	r = record(t, l, start, aBan("203.0.113.7/32", start.Add(3*time.Hour)))
	want(t, "extended", r.Extended, 1)
	p = plan(t, l, start)
	want(t, "to block again", blocks(p), []string{"203.0.113.7/32"})
	want(t, "until", p.Block[0].Until, start.Add(3*time.Hour))
}

func TestAnAssertedBanNeedsNoEntryOfItsOwn(t *testing.T) {
	l := open(t)
	record(t, l, start, aBan("203.0.113.7/32", start.Add(time.Hour)), aBan("203.0.113.8/32", start.Add(48*time.Hour)))
	p := plan(t, l, start)
	wrote(t, l, p, ledger.Outcome{Filed: true, Asserted: start, AssertedUntil: start.Add(24 * time.Hour), At: start})
	want(t, "due", plan(t, l, start).Due(), false)

	record(t, l, start, aBan("203.0.113.9/32", start.Add(time.Hour)))
	want(t, "to block: only what came later", blocks(plan(t, l, start)), []string{"203.0.113.9/32"})

	p = plan(t, l, start.Add(2*time.Hour))
	want(t, "to unblock: never written is not owed", texts(p.Unblock), []string{"203.0.113.7/32"})
	s, err := l.Status(t.Context(), start.Add(2*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	want(t, "in force", s.InForce, 1)
	want(t, "asserted until", s.AssertedUntil, start.Add(24*time.Hour))
}

func TestAShortEntryIsRenewedOnlyWhenItsBanOutlastsIt(t *testing.T) {
	l := open(t)
	record(t, l, start, aBan("203.0.113.7/32", start.Add(30*24*time.Hour)))
	p := plan(t, l, start)
	wrote(t, l, p, ledger.Outcome{Blocked: []ledger.Entry{{Prefix: p.Block[0].Prefix, Expires: start.Add(24 * time.Hour)}}, Filed: true, At: start})
	want(t, "due at once", plan(t, l, start).Due(), false)
	want(t, "to block when half the time is over", len(plan(t, l, start.Add(13*time.Hour)).Block), 1)
}

func TestWhatIsRecordedDuringAFlushStaysOwed(t *testing.T) {
	l := open(t)
	record(t, l, start, aBan("203.0.113.7/32", start.Add(time.Minute)))
	p := plan(t, l, start)
	wrote(t, l, p, all(p, start))

	later := start.Add(time.Minute)
	p = plan(t, l, later) // takes 203.0.113.7 off
	record(t, l, later, aBan("203.0.113.7/32", later.Add(time.Hour)), aBan("203.0.113.8/32", later.Add(time.Hour)))
	wrote(t, l, p, ledger.Outcome{Unblocked: p.Unblock, Filed: true, Asserted: later, AssertedUntil: later.Add(24 * time.Hour), At: later})

	want(t, "to block", blocks(plan(t, l, later)), []string{"203.0.113.7/32", "203.0.113.8/32"})
}

func TestWhenFullTheSoonestToEndGoListsFirst(t *testing.T) {
	l := open(t)
	list := aBan("198.51.100.1/32", start.Add(100*time.Hour))
	list.Origin = "lists:firehol"
	record(t, l, start, list, aBan("203.0.113.1/32", start.Add(time.Hour)), aBan("203.0.113.2/32", start.Add(2*time.Hour)))
	p := plan(t, l, start)
	wrote(t, l, p, all(p, start))

	r, err := l.Record(t.Context(), []ban.Ban{aBan("203.0.113.3/32", start.Add(3*time.Hour))}, ledger.Alert, start, 2)
	if err != nil {
		t.Fatal(err)
	}
	want(t, "evicted", r.Evicted, 2)
	p = plan(t, l, start)
	want(t, "to unblock", texts(p.Unblock), []string{"198.51.100.1/32", "203.0.113.1/32"})
	want(t, "standing", texts(p.Standing), []string{"203.0.113.2/32", "203.0.113.3/32"})
}

func TestRefusedBansEnd(t *testing.T) {
	l := open(t)
	record(t, l, start, aBan("203.0.113.1/32", start.Add(time.Hour)), aBan("203.0.113.2/32", start.Add(time.Hour)))
	p := plan(t, l, start)
	wrote(t, l, p, all(p, start))
	ended, err := l.Refuse(t.Context(), func(p netip.Prefix) bool { return p.String() == "203.0.113.1/32" }, start)
	if err != nil {
		t.Fatal(err)
	}
	want(t, "ended", texts(ended), []string{"203.0.113.1/32"})
	want(t, "to unblock", texts(plan(t, l, start).Unblock), []string{"203.0.113.1/32"})
}

func TestAnEntryThatACrashLeftUnacknowledgedIsOwedItsRemoval(t *testing.T) {
	l := open(t)
	record(t, l, start, aBan("203.0.113.1/32", start.Add(time.Hour)))
	p := plan(t, l, start)
	if err := l.Trying(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	// The process dies here, whatever the appliance did.
	want(t, "to block", blocks(plan(t, l, start)), []string{"203.0.113.1/32"})
	written, err := l.Written(t.Context())
	want(t, "possibly on the appliance", texts(written), []string{"203.0.113.1/32"})
	want(t, "error", err, nil)
	want(t, "to unblock at its end", texts(plan(t, l, start.Add(time.Hour)).Unblock), []string{"203.0.113.1/32"})
}

func TestForgetOwesEverythingAgain(t *testing.T) {
	l := open(t)
	record(t, l, start, aBan("203.0.113.1/32", start.Add(time.Hour)), aBan("203.0.113.2/32", start.Add(time.Minute)))
	p := plan(t, l, start)
	wrote(t, l, p, ledger.Outcome{Filed: true, Asserted: start, AssertedUntil: start.Add(24 * time.Hour), At: start})
	later := start.Add(2 * time.Minute)
	if err := l.Forget(t.Context(), later); err != nil {
		t.Fatal(err)
	}
	p = plan(t, l, later)
	want(t, "to block", blocks(p), []string{"203.0.113.1/32"})
	want(t, "to unblock", len(p.Unblock), 0)
}

func TestEndedBansThatWereNeverWrittenAreTidiedAway(t *testing.T) {
	l := open(t)
	record(t, l, start, aBan("203.0.113.1/32", start.Add(time.Minute)))
	later := start.Add(time.Hour)
	p := plan(t, l, later)
	want(t, "due", p.Due(), false)
	want(t, "stale", p.Stale, true)
	if err := l.Tidy(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	want(t, "stale afterwards", plan(t, l, later).Stale, false)
}

func TestSeveralProcessesWriteOneLedger(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	const writers, each = 4, 50
	failed := make(chan error, writers)
	for w := range writers {
		l := openAt(t, path) // its own connections, as another process has
		go func() {
			for i := range each {
				b := aBan(fmt.Sprintf("203.0.%d.%d/32", w, i), start.Add(time.Hour))
				if _, err := l.Record(context.Background(), []ban.Ban{b}, ledger.Alert, start, many); err != nil {
					failed <- err
					return
				}
			}
			failed <- nil
		}()
	}
	for range writers {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
	l := openAt(t, path)
	want(t, "standing", len(plan(t, l, start).Standing), writers*each)
	changes, err := l.Changes(t.Context())
	want(t, "changes", changes, writers*each)
	want(t, "error", err, nil)
}

func TestTheFilesAreTheOwnersOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "test.db")
	l := openAt(t, path)
	record(t, l, start, aBan("203.0.113.1/32", start.Add(time.Minute)))
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	want(t, "there are database and log", len(entries) >= 2, true)
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		want(t, "mode of "+e.Name(), info.Mode().Perm(), os.FileMode(0o600))
	}
}

func TestWhatIsNoLedgerIsLeftAloneAndCanBeSetAside(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	garbage := []byte("this is no database, but somebody may want it\n")
	garbage = append(garbage, make([]byte, 4096)...)
	if err := os.WriteFile(path, garbage, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ledger.Open(t.Context(), path); !errors.Is(err, ledger.ErrUnreadable) {
		t.Fatalf("Open of garbage: %v", err)
	}
	aside, err := ledger.SetAside(path, start)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := os.ReadFile(aside)
	want(t, "kept", string(kept) == string(garbage) && err == nil, true)
	openAt(t, path)
}

func TestALedgerOfANewerVersionIsLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	if err := openAt(t, path).SetVersion(t.Context(), 99); err != nil {
		t.Fatal(err)
	}
	if _, err := ledger.Open(t.Context(), path); !errors.Is(err, ledger.ErrNewer) {
		t.Errorf("Open of schema 99: %v", err)
	}
}

func TestOneLeaseAtATime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.lock")
	first, err := ledger.TryLease(path)
	if err != nil || first == nil {
		t.Fatalf("first: %v, %v", first, err)
	}
	if second, err := ledger.TryLease(path); err != nil || second != nil {
		t.Errorf("second while the first is held: %v, %v", second, err)
	}
	pid, err := ledger.Holder(path)
	want(t, "holder", pid, os.Getpid())
	want(t, "error", err, nil)
	first.Release()
	third, err := ledger.TryLease(path)
	if err != nil || third == nil {
		t.Fatalf("after the release: %v, %v", third, err)
	}
	third.Release()
}

func TestEachRefusedLoginDoublesTheHoldOffOfTheseCredentials(t *testing.T) {
	l := open(t)
	held := func(credentials string, now time.Time) bool {
		_, held, err := l.HeldOff(t.Context(), credentials, now)
		if err != nil {
			t.Fatal(err)
		}
		return held
	}
	refuse := func(asked time.Duration, now time.Time) ledger.HoldOff {
		h, err := l.LoginRefused(t.Context(), "wrong", "AUTH_FAILED", asked, now)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	want(t, "held at first", held("wrong", start), false)
	want(t, "first", refuse(0, start).Until, start.Add(30*time.Minute))
	want(t, "held", held("wrong", start.Add(29*time.Minute)), true)
	want(t, "held with other credentials", held("corrected", start), false)
	want(t, "held afterwards", held("wrong", start.Add(30*time.Minute)), false)
	want(t, "second", refuse(0, start).Until, start.Add(time.Hour))
	want(t, "with a delay of the appliance", refuse(3*time.Hour, start).Until, start.Add(3*time.Hour+time.Minute))
	for range 10 {
		refuse(0, start)
	}
	want(t, "longest", refuse(0, start).Until, start.Add(24*time.Hour))
	for _, credentials := range []string{"other", "wrong"} {
		if err := l.LoginAccepted(t.Context(), credentials); err != nil {
			t.Fatal(err)
		}
		want(t, "held after a success of "+credentials, held("wrong", start), credentials == "other")
	}
	want(t, "first again", refuse(0, start).Until, start.Add(30*time.Minute))
}

func BenchmarkRecordOneAlertOf100000(b *testing.B) {
	bans := make([]ban.Ban, 100_000)
	for i := range bans {
		bans[i] = aBan(netip.PrefixFrom(netip.AddrFrom4([4]byte{203, byte(i >> 16), byte(i >> 8), byte(i)}), 32).String(), start.Add(time.Hour))
	}
	for b.Loop() {
		record(b, open(b), start, bans...)
	}
}
