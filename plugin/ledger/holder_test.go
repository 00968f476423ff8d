package ledger_test

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"notification-stormshield/appliance"
	"notification-stormshield/plugin/ban"
	"notification-stormshield/plugin/ledger"
	"notification-stormshield/plugin/plugintest"
	"notification-stormshield/plugin/postgres"
	"notification-stormshield/plugin/sqlite"
)

// onlyPostgres skips a test about a shared state, unless the tests use PostgreSQL.
func onlyPostgres(t *testing.T) {
	if !plugintest.TestsPostgres() {
		t.Skip("it is about a shared state: make test-postgres")
	}
}

func prefixes(texts ...string) (all []netip.Prefix) {
	for _, text := range texts {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

func TestOnlyTheMachineThatTookOverLastRecordsAcknowledgements(t *testing.T) {
	onlyPostgres(t)
	one, two := twoMachines(t)
	record(t, one, start, decided(address, start.Add(time.Hour)))
	p := plan(t, one, start)
	before, err := two.TakeOver(t.Context(), noLimit, start.Add(time.Minute))
	check(t, err)
	before.MayBeOld = false // the server of the tests may just have started
	want(t, "the holder before", before, ledger.Holder{Machine: "one", Term: 1, Since: start})
	for what, do := range map[string]func(l *ledger.Ledger) error{
		"attempt": func(l *ledger.Ledger) error { return l.RecordAttempt(t.Context(), p) },
		"unsure":  func(l *ledger.Ledger) error { return l.RecordUnsure(t.Context(), p) },
		"outcome": func(l *ledger.Ledger) error {
			_, err := l.RecordOutcome(t.Context(), p, appliance.Outcome{}, start)
			return err
		},
		"activation": func(l *ledger.Ledger) error { return l.RecordActivation(t.Context(), start) },
		"target":     func(l *ledger.Ledger) error { return l.SetTarget(t.Context(), ledger.Target{Host: "one"}, start) },
		"tidy":       func(l *ledger.Ledger) error { return l.Tidy(t.Context(), p) },
		"failure":    func(l *ledger.Ledger) error { return l.RecordFailure(t.Context(), ledger.WholeFlush, "x", 0, start) },
		"clean-up":   func(l *ledger.Ledger) error { return l.RecordCleanup(t.Context(), start) },
	} {
		if err := do(one); !errors.Is(err, ledger.ErrNotHolder) {
			t.Errorf("%s of the machine before: %v", what, err)
		}
		if err := do(two); err != nil {
			t.Errorf("%s of the holder: %v", what, err)
		}
	}
	check(t, one.HandOver(t.Context())) // of a term that has ended
	check(t, two.HandOver(t.Context()))
	before, err = one.TakeOver(t.Context(), noLimit, start)
	before.MayBeOld = false
	want(t, "the holder before, error", fmt.Sprint(before, err), fmt.Sprint(ledger.Holder{Machine: "two", Term: 2, Released: true, Since: start.Add(time.Minute)}, nil))
}

func TestTheLimitOfTheHolderHoldsForAllMachines(t *testing.T) {
	onlyPostgres(t)
	one, two := twoMachines(t)
	_, err := one.TakeOver(t.Context(), 2, start)
	check(t, err)
	recordAtMost(t, two, noLimit, start, numbered(0, 5)...)
	want(t, "in force", plan(t, one, start).InForce, 2)
	recordAtMost(t, one, 3, start, numbered(5, 1)...)
	want(t, "in force by the limit of the holder's call", plan(t, one, start).InForce, 3)
}

func TestAMessageIsForwardedOnce(t *testing.T) {
	onlyPostgres(t)
	one, two := twoMachines(t)
	forward := func(l *ledger.Ledger, messages ...ledger.Forwarded) ledger.Recorded {
		t.Helper()
		r, err := l.Forward(t.Context(), messages, start, noLimit)
		check(t, err)
		return r
	}
	message := func(number int64, mayBe bool, prefix string) ledger.Forwarded {
		return ledger.Forwarded{Number: number, MaybeBlocked: mayBe, Decisions: []ban.Decision{decided(prefix, start.Add(time.Hour))}}
	}
	want(t, "added", forward(one, message(3, false, "203.0.113.1/32"), message(5, true, "203.0.113.2/32")).Added, 2)
	want(t, "unknown of the same message", forward(one, message(5, false, "203.0.113.3/32")).Unknown, 0)
	want(t, "added of the same number of another machine", forward(two, message(5, true, "203.0.113.4/32"), message(6, false, "203.0.113.5/32")).Added, 2)
	forward(one, ledger.Forwarded{Number: 6, After: 5})
	_, err := one.Forward(t.Context(), []ledger.Forwarded{{Number: 9, After: 8}}, start, noLimit)
	want(t, "a message is lacking", errors.Is(err, ledger.ErrGap), true)
	beaten, err := one.Beat(t.Context(), ledger.Beat{Version: "1"}, start)
	want(t, "beaten, error", fmt.Sprint(beaten, err), fmt.Sprint(ledger.Beaten{Beat: 1, Forwarded: 6}, nil))
	may, err := one.OnAppliance(t.Context())
	check(t, err)
	want(t, "bans that may be on the appliance", texts(may), []string{"203.0.113.2/32", "203.0.113.4/32"})
}

func TestTheStatusShowsAllMachines(t *testing.T) {
	onlyPostgres(t)
	one, two := twoMachines(t)
	_, err := two.Beat(t.Context(), ledger.Beat{Version: "1.2.3", Waiting: 7, WaitingSince: start}, start.Add(time.Minute))
	check(t, err)
	check(t, one.RecordRead(t.Context(), start))
	check(t, two.RecordReadFailure(t.Context(), "no answer", start))
	s := status(t, two, start)
	want(t, "this machine's Local API", s.LocalAPI, ledger.LocalAPI{FailingSince: start, Error: "no answer"})
	want(t, "machines", s.Machines, []ledger.Machine{
		{Name: "one", Number: 1, IsHolder: true, LocalAPI: ledger.LocalAPI{LastRead: start}},
		{Name: "two", Number: 2, Seen: start.Add(time.Minute), Version: "1.2.3", Waiting: 7, WaitingSince: start, LocalAPI: s.LocalAPI},
	})
	check(t, one.HandOver(t.Context()))
	want(t, "the first one holds", status(t, two, start).Machines[0].IsHolder, false)
}

func TestABackupOfTheStateMakesTheNextFlushCompareAndReassert(t *testing.T) {
	onlyPostgres(t)
	l := open(t)
	record(t, l, start, decided(address, start.Add(time.Hour)))
	flush(t, l, start, byGroup)
	check(t, l.RecordRestored(t.Context(), start, noLimit))
	p := plan(t, l, start)
	want(t, "unsure, mark, confirmed", fmt.Sprint(p.Unsure, p.Mark, p.Confirmed.IsZero()), fmt.Sprint(true, "", true))
}

// The state from the backup knows none of the attempts.
func TestTheFlushAfterABackupUnblocksAttemptsThatAreNotInForce(t *testing.T) {
	onlyPostgres(t)
	const limit = 2
	l, now := open(t), start.Add(10*time.Minute)
	recordAtMost(t, l, 1, start, decided("203.0.113.3/32", start.Add(time.Hour)))
	recordAtMost(t, l, 1, start, decided("203.0.113.1/32", start.Add(time.Hour)))
	flush(t, l, start, byGroup) // 203.0.113.3 waits, and has no entry
	recordAtMost(t, l, limit, start, decided("203.0.113.2/32", start.Add(time.Hour)))
	recordAtMost(t, l, limit+1, start, decided("203.0.113.4/32", start.Add(5*time.Minute)))
	p := plan(t, l, now)
	want(t, "blocks, unblocks, in force, waiting before", fmt.Sprint(blocks(p), texts(p.Unblock), p.InForce, p.Waiting), "[203.0.113.2/32] [] 2 1")
	attempted := prefixes("203.0.113.1/32", "203.0.113.2/32", "203.0.113.3/32", "203.0.113.4/32", "203.0.113.9/32", "2001:db8::/126")
	for range 2 {
		check(t, l.RecordRestored(t.Context(), now, limit))
		check(t, l.RecordAttempted(t.Context(), attempted, now, limit))
		p = plan(t, l, now)
		want(t, "blocks, in force, waiting", fmt.Sprint(blocks(p), p.InForce, p.Waiting), "[203.0.113.2/32] 2 1")
		want(t, "unblocks", texts(p.Unblock), []string{"2001:db8::/126", "203.0.113.3/32", "203.0.113.4/32", "203.0.113.9/32"})
		may, err := l.OnAppliance(t.Context())
		check(t, err)
		want(t, "bans that may be on the appliance", texts(may), texts(attempted))
		status(t, l, now)
	}
	recordOutcome(t, l, p, oneByOne(p, now))
	const rows = "SELECT prefix || ' ' || expires FROM ban ORDER BY prefix"
	after := lines(t, l, rows)
	want(t, "rows after the flush", after,
		[]string{"203.0.113.1/32 1", fmt.Sprint("203.0.113.2/32 ", start.Add(time.Hour).UnixMilli()), "203.0.113.3/32 0"})
	check(t, l.RecordAttempted(t.Context(), attempted[:2], now, limit))
	want(t, "rows after the next restore", lines(t, l, rows), after)
}

func TestManyAttemptsAreRecordedInABackup(t *testing.T) {
	onlyPostgres(t)
	l := open(t)
	var attempted []netip.Prefix
	for _, d := range numbered(0, 2500) {
		attempted = append(attempted, d.Prefix)
	}
	record(t, l, start, numbered(0, 10)...)
	check(t, l.RecordAttempted(t.Context(), attempted, start, 20))
	p := plan(t, l, start)
	want(t, "in force, unblocks", fmt.Sprint(p.InForce, len(p.Unblock)), "10 2490")
}

func TestAMachineSeesTheChangesOfOthersAfterABackup(t *testing.T) {
	onlyPostgres(t)
	one, two := twoMachines(t)
	for _, d := range numbered(0, 5) {
		record(t, one, start, d)
	}
	run(t, one, "UPDATE flushing SET changes = 1") // as in the backup
	check(t, one.RecordRestored(t.Context(), start, noLimit))
	for what, do := range map[string]func(){
		"a ban":                             func() { record(t, two, start, decided(address, start.Add(time.Hour))) },
		"that the state came from a backup": func() { check(t, two.RecordRestored(t.Context(), start, noLimit)) },
	} {
		before, err := one.Changes(t.Context())
		check(t, err)
		do()
		after, err := one.Changes(t.Context())
		want(t, "another machine recorded "+what, after.Change > before.Change && !after.Own && err == nil, true)
	}
}

func TestOnlyANewStateTakesOverTheNamesInTheFiles(t *testing.T) {
	onlyPostgres(t)
	for beats, isNew := range map[int]bool{1: true, 2: false} {
		l := open(t)
		for range beats {
			_, err := l.Beat(t.Context(), ledger.Beat{}, start)
			check(t, err)
		}
		check(t, l.RecordRestored(t.Context(), start, noLimit))
		want(t, fmt.Sprintf("after %d beats the files were never compared", beats), plan(t, l, start).Compared.IsZero(), isNew)
	}
}

func TestBlockedBansAreThoseInForceWithANewDecision(t *testing.T) {
	onlyPostgres(t)
	l := open(t)
	record(t, l, start, decided("203.0.113.1/32", start.Add(time.Hour)), decided("203.0.113.2/32", start.Add(2*time.Hour)))
	bans, last, err := l.BlockedBans(t.Context(), 0)
	want(t, "bans, last, error", fmt.Sprint(bans, last, err), fmt.Sprint(map[netip.Prefix]time.Time{
		netip.MustParsePrefix("203.0.113.1/32"): start.Add(time.Hour), netip.MustParsePrefix("203.0.113.2/32"): start.Add(2 * time.Hour),
	}, 2, nil))
	record(t, l, start, decided("203.0.113.2/32", start.Add(3*time.Hour)))
	bans, last, err = l.BlockedBans(t.Context(), last)
	want(t, "new bans, last, error", fmt.Sprint(bans, last, err),
		fmt.Sprint(map[netip.Prefix]time.Time{netip.MustParsePrefix("203.0.113.2/32"): start.Add(3 * time.Hour)}, 3, nil))
	_, err = l.Lift(t.Context(), netip.MustParsePrefix("203.0.113.1/32"), start, noLimit)
	check(t, err)
	bans, _, err = l.BlockedBans(t.Context(), 0)
	want(t, "bans when one was lifted, error", fmt.Sprint(len(bans), err), fmt.Sprint(1, nil))
}

func TestSeveralMachinesOpenANewStateAtOnce(t *testing.T) {
	onlyPostgres(t)
	d := databaseAt(t, t.Name())
	const machines = 5
	failed := make(chan error, machines)
	for n := range machines {
		go func() {
			l, err := ledger.OpenShared(t.Context(), d, fmt.Sprint("machine ", n))
			if err == nil {
				err = l.Close()
			}
			failed <- err
		}()
	}
	for range machines {
		check(t, <-failed)
	}
	l := openShared(t, d, "machine 3")
	want(t, "machines", len(status(t, l, start).Machines), machines)
	reader, err := ledger.OpenSharedReadOnly(t.Context(), d, "machine 3")
	check(t, err)
	defer reader.Close()
	check(t, l.RecordRead(t.Context(), start))
	want(t, "the reader sees its machine", status(t, reader, start).LocalAPI.LastRead, start)
	if _, err := reader.RequestFlush(t.Context()); err == nil {
		t.Error("a state opened for reading accepted a request")
	}
}

func TestOpenSharedRefusesAStateOfAnotherVersion(t *testing.T) {
	onlyPostgres(t)
	d := databaseAt(t, t.Name())
	if _, err := ledger.OpenSharedReadOnly(t.Context(), d, "one"); err == nil {
		t.Error("OpenSharedReadOnly opened a state that does not exist")
	}
	l := openShared(t, d, "one")
	for version, cause := range map[int]error{3: ledger.ErrUnreadable, 99: sqlite.ErrNewer} {
		run(t, l, fmt.Sprintf("UPDATE version SET number = %d", version))
		_, err := ledger.OpenShared(t.Context(), d, "one")
		_, failed := ledger.OpenSharedReadOnly(t.Context(), d, "one")
		if !errors.Is(err, cause) || !errors.Is(failed, cause) {
			t.Errorf("schema %d: %v; for reading: %v", version, err, failed)
		}
	}
}

func TestADatabaseThatIsAwayIsUnavailable(t *testing.T) {
	onlyPostgres(t)
	away := postgres.Database{URL: "postgres://somebody@127.0.0.1:1/x", Password: "secret", Name: "away"}
	for how, open := range map[string]func() (*ledger.Ledger, error){
		"for writing": func() (*ledger.Ledger, error) { return ledger.OpenShared(t.Context(), away, "one") },
		"for reading": func() (*ledger.Ledger, error) { return ledger.OpenSharedReadOnly(t.Context(), away, "one") },
	} {
		if _, err := open(); !errors.Is(err, ledger.ErrUnavailable) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", how, err)
		}
	}
}

func TestALedgerOfOneMachineRefusesWhatNeedsASharedState(t *testing.T) {
	onlySQLite(t)
	l := open(t)
	_, beat := l.Beat(t.Context(), ledger.Beat{}, start)
	_, takeOver := l.TakeOver(t.Context(), noLimit, start)
	_, forward := l.Forward(t.Context(), nil, start, noLimit)
	for _, err := range []error{beat, takeOver, forward, l.HandOver(t.Context()), l.RecordRestored(t.Context(), start, noLimit)} {
		want(t, "it failed", err != nil, true)
	}
}

func TestAMachineJoinsAStateThatDoesNotKnowItAnyMore(t *testing.T) {
	onlyPostgres(t)
	message := []ledger.Forwarded{{Number: 7, Decisions: []ban.Decision{decided(address, start.Add(time.Hour))}}}
	for what, replace := range map[string]string{
		"the schema was deleted":                             "DROP SCHEMA %s CASCADE",
		"the rows were deleted":                              "DELETE FROM %[1]s.local_api; DELETE FROM %[1]s.machine",
		"the row of this machine is that of another machine": "UPDATE %s.machine SET name = 'three' WHERE number = 1",
	} {
		d := databaseAt(t, t.Name()+what)
		one, two := openShared(t, d, "one"), openShared(t, d, "two")
		_, err := one.Beat(t.Context(), ledger.Beat{}, start)
		check(t, err)
		run(t, one, fmt.Sprintf(replace, d.Schema()))
		_, err = two.Beat(t.Context(), ledger.Beat{}, start)
		check(t, err)
		if _, err := one.Forward(t.Context(), message, start, noLimit); err == nil {
			t.Errorf("%s: a machine forwarded that the state does not know", what)
		}
		for _, l := range []*ledger.Ledger{one, two} {
			if _, err = l.Beat(t.Context(), ledger.Beat{}, start); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
		}
		recorded, err := one.Forward(t.Context(), message, start, noLimit)
		want(t, what+": added, error", fmt.Sprint(recorded.Added, err), "1 <nil>")
		beaten, err := two.Beat(t.Context(), ledger.Beat{}, start)
		want(t, what+": the other machine, error", fmt.Sprint(beaten, err), fmt.Sprint(ledger.Beaten{Beat: 3}, nil))
	}
}

func TestANameBelongsToOneMachineUntilItIsSilent(t *testing.T) {
	onlyPostgres(t)
	d := databaseAt(t, t.Name())
	one, clone, command := openShared(t, d, "one"), openShared(t, d, "one"), openShared(t, d, "one")
	one.UseIdentity("first")
	clone.UseIdentity("second")
	beat := func(l *ledger.Ledger, clock time.Duration) error {
		_, err := l.Beat(t.Context(), ledger.Beat{}, start.Add(clock))
		return err
	}
	decision := decided(address, start.Add(time.Hour))
	wantRefused := func(when string, refused, works *ledger.Ledger) {
		for what, do := range map[string]func(l *ledger.Ledger) error{
			"forward": func(l *ledger.Ledger) error { _, err := l.Forward(t.Context(), nil, start, noLimit); return err },
			"listed": func(l *ledger.Ledger) error {
				_, err := l.RecordListed(t.Context(), nil, []ban.Decision{decision}, start, noLimit)
				return err
			},
			"deleted": func(l *ledger.Ledger) error {
				_, err := l.RemoveDeleted(t.Context(), []ban.Decision{decision}, start, noLimit)
				return err
			},
			"full read": func(l *ledger.Ledger) error { _, err := l.BeginFullRead(t.Context()); return err },
			"name":      func(l *ledger.Ledger) error { return l.CheckName(t.Context()) },
			"take-over": func(l *ledger.Ledger) error { _, err := l.TakeOver(t.Context(), noLimit, start); return err },
		} {
			if err := do(refused); !errors.Is(err, ledger.ErrNameTaken) {
				t.Errorf("%s: %s of the machine without the name: %v", when, what, err)
			}
			check(t, do(works))
		}
	}
	wantTaken := func(what string, err error) { want(t, what, errors.Is(err, ledger.ErrNameTaken), true) }
	check(t, beat(one, 0))
	wantTaken("the beat of the other one, whose clock is a day ahead", beat(clone, 24*time.Hour))
	wantRefused("while the first one runs", clone, one)
	check(t, clone.RecordReadFailure(t.Context(), "of the other one", start))
	want(t, "the failure of the first one", status(t, one, start).LocalAPI.Error, "")
	record(t, command, start, decision) // a command of the machine has no identity
	run(t, one, "UPDATE machine SET beaten = beaten - 31000")
	check(t, beat(clone, 0))
	wantTaken("the beat of the first one", beat(one, 24*time.Hour))
	wantRefused("after the first one was silent", one, clone)
}
