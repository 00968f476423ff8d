package outbox_test

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"notification-stormshield/plugin/ban"
	"notification-stormshield/plugin/outbox"
)

var start = time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func want(t testing.TB, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func open(t testing.TB) *outbox.Outbox {
	t.Helper()
	return openAt(t, filepath.Join(t.TempDir(), "test.outbox.db"))
}

func openAt(t testing.TB, path string) *outbox.Outbox {
	t.Helper()
	o, err := outbox.Open(t.Context(), path)
	check(t, err)
	t.Cleanup(func() { o.Close() })
	return o
}

// run runs statements in the file.
func run(t testing.TB, o *outbox.Outbox, statements string) {
	t.Helper()
	_, err := o.DB().ExecContext(t.Context(), statements)
	check(t, err)
}

// numbered returns decisions for an hour, each on another address.
func numbered(first, count int) []ban.Decision {
	decisions := make([]ban.Decision, count)
	for i := range decisions {
		n := first + i
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{203, byte(n >> 16), byte(n >> 8), byte(n)}), 32)
		decisions[i] = ban.Decision{
			UUID: ban.ParseUUID(fmt.Sprint("decision ", n)), Prefix: p, RangeBits: 32, Until: start.Add(time.Hour),
			Type: "ban", Origin: "crowdsec", Scenario: "crowdsecurity/ssh-bf",
		}
	}
	return decisions
}

// add adds one message with one decision for each number.
func add(t testing.TB, o *outbox.Outbox, now time.Time, numbers ...int) {
	t.Helper()
	for _, n := range numbers {
		check(t, o.Add(t.Context(), numbered(n, 1), now))
	}
}

// messages returns all messages after a number.
func messages(t testing.TB, o *outbox.Outbox, after int64) []outbox.Message {
	t.Helper()
	all, err := o.Next(t.Context(), after, 1_000_000)
	check(t, err)
	return all
}

// waiting returns the last parts of the addresses of the decisions that wait, in order.
func waiting(t testing.TB, o *outbox.Outbox) string {
	t.Helper()
	forwarded, err := o.Forwarded(t.Context())
	check(t, err)
	var names []string
	count := 0
	for _, m := range messages(t, o, forwarded) {
		if m.Number <= forwarded {
			t.Errorf("message %d waits, and %d was forwarded", m.Number, forwarded)
		}
		name := ""
		for _, d := range m.Decisions {
			name += fmt.Sprint(d.Prefix.Addr().As4()[3])
		}
		if m.Attempted {
			name += "!"
		}
		names = append(names, name)
		count += len(m.Decisions)
	}
	w, err := o.Waiting(t.Context())
	check(t, err)
	want(t, "counted as waiting", w.Decisions, count)
	want(t, "nothing waits since a time", w.Since.IsZero(), count == 0)
	return strings.Join(names, " ")
}

func TestAMessageComesOutAsItWentIn(t *testing.T) {
	o := open(t)
	decisions := []ban.Decision{
		{
			UUID: ban.ParseUUID("f8b2a3d4-0000-4000-8000-0123456789ab"), ID: 1 << 60, Prefix: netip.MustParsePrefix("2001:db8::/126"), RangeBits: 120,
			Until: time.Date(2261, 1, 2, 3, 4, 5, 6_000_000, time.UTC), Type: `<ban> & "more"`, Origin: "lists:tor", Scenario: "größer\u2028als",
		},
		{Prefix: netip.MustParsePrefix("203.0.113.7/32"), RangeBits: 32, Until: start},
	}
	check(t, o.Add(t.Context(), decisions, start))
	check(t, o.Add(t.Context(), nil, start))
	all := messages(t, o, 0)
	want(t, "messages", len(all), 1)
	want(t, "decisions", all[0].Decisions, decisions)
	want(t, "time", all[0].At, start)
	want(t, "attempted", all[0].Attempted, false)
	want(t, "more messages", len(messages(t, o, all[0].Number)), 0)
}

func TestNextReturnsMessagesInOrderUpToANumberOfDecisions(t *testing.T) {
	o := open(t)
	for n := range 4 {
		check(t, o.Add(t.Context(), numbered(10*n, 3), start))
	}
	all := messages(t, o, 0)
	for n, expected := range map[int]int{0: 1, 1: 1, 3: 1, 5: 1, 6: 2, 100: 4} {
		some, err := o.Next(t.Context(), 0, n)
		check(t, err)
		want(t, fmt.Sprint("messages with ", n, " decisions"), some, all[:expected])
	}
	want(t, "after the second", messages(t, o, all[1].Number), all[2:])
	want(t, "in order", slices.IsSortedFunc(all, func(a, b outbox.Message) int { return int(a.Number - b.Number) }), true)
}

func TestALargeAlertBecomesSeveralMessagesAtOnce(t *testing.T) {
	o := open(t)
	run(t, o, `CREATE TRIGGER full BEFORE INSERT ON message WHEN (SELECT COUNT(*) FROM message) > 2
		BEGIN SELECT RAISE(ABORT, 'the disk is full'); END`)
	decisions := numbered(0, 3500)
	if err := o.Add(t.Context(), decisions, start); err == nil || !strings.Contains(err.Error(), "record 3500 decisions in "+o.Path()) {
		t.Error("the full disk is no error with the file's name:", err)
	}
	want(t, "after a failure in between", waiting(t, o), "")
	run(t, o, "DROP TRIGGER full")
	check(t, o.Add(t.Context(), decisions, start))
	var got []ban.Decision
	for _, m := range messages(t, o, 0) {
		want(t, "is small", len(m.Decisions) <= 1000, true)
		got = append(got, m.Decisions...)
	}
	want(t, "decisions", got, decisions)
}

func TestNumbersGrowWhateverTheClockDoes(t *testing.T) {
	o := open(t)
	last := int64(0)
	for i, now := range []time.Time{start, start, start.Add(-time.Hour), start.Add(time.Hour), start.Add(-1000 * time.Hour)} {
		add(t, o, now, i)
		all := messages(t, o, last)
		want(t, "new messages", len(all), 1)
		last = all[0].Number
	}
	check(t, o.MarkForwarded(t.Context(), last, start))
	check(t, o.MarkForwarded(t.Context(), last+1, start.Add(48*time.Hour))) // which deletes all messages
	want(t, "messages that are left", len(messages(t, o, 0)), 0)
	add(t, o, start.Add(-time.Hour), 6)
	want(t, "waiting", waiting(t, o), "6")
}

func TestALaterOutboxGivesHigherNumbers(t *testing.T) {
	o, later := open(t), open(t)
	check(t, o.Add(t.Context(), numbered(0, 20_000), start))
	add(t, later, start.Add(time.Second), 1)
	all := messages(t, o, 0)
	want(t, "higher", messages(t, later, 0)[0].Number > all[len(all)-1].Number, true)
}

// The forwarder asks each second. The questions may not read all messages of the last day.
func TestQuestionsReadOnlyWhatWaits(t *testing.T) {
	o := open(t)
	rows, err := o.DB().QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+outbox.NextQuery, 0)
	check(t, err)
	defer rows.Close()
	plan := ""
	for rows.Next() {
		var line string
		check(t, rows.Scan(new(int), new(int), new(int), &line))
		plan += line + "\n"
	}
	check(t, rows.Err())
	if !strings.Contains(plan, "SEARCH message USING INTEGER PRIMARY KEY (rowid>?)") || strings.Contains(plan, "TEMP B-TREE") {
		t.Errorf("the plan:\n%s", plan)
	}
}

func TestSeveralProcessesAddToOneOutbox(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.outbox.db")
	const writers, each = 4, 50
	failed := make(chan error, writers)
	for w := range writers {
		o := openAt(t, path) // its own connections, as another process has
		go func() {
			for i := range each {
				if err := o.Add(context.Background(), numbered(w*each+i, 1), start); err != nil {
					failed <- err
					return
				}
			}
			failed <- nil
		}()
	}
	for range writers {
		check(t, <-failed)
	}
	o, last := openAt(t, path), [writers]int{}
	seen := map[netip.Prefix]bool{}
	for _, m := range messages(t, o, 0) {
		p := m.Decisions[0].Prefix
		n := int(p.Addr().As4()[3])
		if seen[p] || n%each < last[n/each] {
			t.Error("twice, or not in the order of its process:", p)
		}
		seen[p], last[n/each] = true, n%each
	}
	want(t, "messages", len(seen), writers*each)
}

func TestACancelledAddStillAdds(t *testing.T) {
	o := open(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	check(t, o.Add(ctx, numbered(1, 1), start))
	want(t, "waiting", waiting(t, o), "1")
}

func TestForwardedMessagesDoNotWaitAndStayForADay(t *testing.T) {
	o := open(t)
	for n := range 500 {
		add(t, o, start, n)
	}
	all := messages(t, o, 0)
	check(t, o.MarkForwarded(t.Context(), all[449].Number, start))
	check(t, o.MarkForwarded(t.Context(), all[10].Number, start.Add(time.Minute))) // an older number changes nothing
	forwarded, err := o.Forwarded(t.Context())
	want(t, "forwarded, error", fmt.Sprint(forwarded, err), fmt.Sprint(all[449].Number, nil))
	w, err := o.Waiting(t.Context())
	want(t, "waiting, error", fmt.Sprint(w.Decisions, w.Since, err), fmt.Sprint(50, start, nil))
	check(t, o.MarkForwarded(t.Context(), all[460].Number, start.Add(23*time.Hour)))
	want(t, "kept for 23 hours", len(messages(t, o, 0)), 500)
	check(t, o.MarkForwarded(t.Context(), all[461].Number, start.Add(24*time.Hour)))
	want(t, "the first after a day", messages(t, o, 0)[0].Number, all[450].Number)
	check(t, o.MarkForwarded(t.Context(), all[499].Number, start.Add(48*time.Hour)))
	want(t, "the first after two days", messages(t, o, 0)[0].Number, all[462].Number)
	want(t, "nothing waits", waiting(t, o), "")
	add(t, o, start.Add(48*time.Hour), 7)
	want(t, "one waits", waiting(t, o), "7")
}

func TestAttemptedMessagesAreMarkedUntilTheyAreForwarded(t *testing.T) {
	o := open(t)
	add(t, o, start, 1, 2, 3)
	all := messages(t, o, 0)
	check(t, o.MarkAttempted(t.Context(), []int64{all[0].Number, all[2].Number}))
	check(t, o.MarkAttempted(t.Context(), []int64{all[2].Number}))
	want(t, "waiting", waiting(t, o), "1! 2 3!")
	check(t, o.MarkForwarded(t.Context(), all[1].Number, start))
	check(t, o.MarkAttempted(t.Context(), []int64{all[0].Number}))
	want(t, "waiting", waiting(t, o), "3!")
	check(t, o.MarkForwarded(t.Context(), all[2].Number, start))
	var left int
	check(t, o.DB().QueryRowContext(t.Context(), "SELECT COUNT(*) FROM attempted").Scan(&left))
	want(t, "marks that are left", left, 0)
}

func TestAlignSendsAgainWhatASharedStateFromABackupLacks(t *testing.T) {
	o := open(t)
	add(t, o, start, 1, 2, 3, 4, 5)
	all := messages(t, o, 0)
	check(t, o.MarkForwarded(t.Context(), all[3].Number, start))
	later := start.Add(time.Hour)
	check(t, o.Align(t.Context(), all[3].Number, later))
	want(t, "the same state", waiting(t, o), "5")
	check(t, o.Align(t.Context(), all[1].Number, later))
	want(t, "from a backup", waiting(t, o), "3! 4! 5")
	w, err := o.Waiting(t.Context())
	want(t, "since, error", fmt.Sprint(w.Since, err), fmt.Sprint(later, nil))
	check(t, o.MarkForwarded(t.Context(), all[2].Number, start.Add(25*time.Hour))) // the day begins again
	want(t, "kept", messages(t, o, all[1].Number)[0].Number, all[2].Number)
	check(t, o.Align(t.Context(), 0, start.Add(25*time.Hour)))
	want(t, "an empty state", waiting(t, o), "1! 2! 3! 4! 5")
	add(t, o, start, 6)
	want(t, "a new message", waiting(t, o), "1! 2! 3! 4! 5 6")
}

func TestAlignTakesAMessageOfALostAnswerAsForwarded(t *testing.T) {
	o := open(t)
	add(t, o, start, 1, 2, 3)
	check(t, o.Align(t.Context(), messages(t, o, 0)[1].Number, start))
	want(t, "waiting", waiting(t, o), "3")
}

func TestAlignRaisesTheNumbersOfAnOutboxThatIsOlderThanTheSharedState(t *testing.T) {
	for name, c := range map[string]struct {
		shared   func(first, last int64) int64
		expected string
	}{
		"all are lower":  {func(_, last int64) int64 { return last + 1000 }, "3! 4 5"},
		"some are lower": {func(first, _ int64) int64 { return first + 1 }, "3! 4 5"},
		"all are higher": {func(first, _ int64) int64 { return first - 1000 }, "3! 4 5"},
	} {
		o := open(t)
		add(t, o, start, 1, 2)
		all := messages(t, o, 0)
		check(t, o.MarkForwarded(t.Context(), all[1].Number, start))
		for n := range 3 {
			add(t, o, start.Add(time.Duration(n+1)*time.Second), 3+n)
		}
		all = messages(t, o, all[1].Number)
		check(t, o.MarkAttempted(t.Context(), []int64{all[0].Number}))
		shared := c.shared(all[0].Number, all[2].Number)
		check(t, o.Align(t.Context(), shared, start))
		want(t, name, waiting(t, o), c.expected)
		forwarded, err := o.Forwarded(t.Context())
		want(t, name+": forwarded, error", fmt.Sprint(forwarded, err), fmt.Sprint(shared, nil))
		first := messages(t, o, shared)[0].Number
		want(t, name+": the numbers are raised only if they must", first == all[0].Number, shared < all[0].Number)
		add(t, o, start, 6)
		want(t, name+", and a new message", waiting(t, o), c.expected+" 6")
	}
}

func TestTheContactIsKept(t *testing.T) {
	o := open(t)
	wantContact := func(what string, expected outbox.Contact) {
		t.Helper()
		c, err := o.Contact(t.Context())
		check(t, err)
		want(t, what, c, expected)
	}
	wantContact("of a new outbox", outbox.Contact{})
	check(t, o.RecordBeat(t.Context(), 7))
	check(t, o.RecordAway(t.Context(), "refused", start))
	check(t, o.RecordAway(t.Context(), "no route", start.Add(time.Minute)))
	wantContact("away", outbox.Contact{Beat: 7, AwaySince: start, Cause: "no route"})
	check(t, o.RecordBeat(t.Context(), 8))
	wantContact("a beat alone", outbox.Contact{Beat: 8, AwaySince: start, Cause: "no route"})
	check(t, o.RecordAlone(t.Context(), true))
	wantContact("alone", outbox.Contact{Beat: 8, AwaySince: start, Cause: "no route", IsAlone: true})
	check(t, o.RecordAlone(t.Context(), false))
	wantContact("not alone any more", outbox.Contact{Beat: 8, AwaySince: start, Cause: "no route"})
	check(t, o.RecordAlone(t.Context(), true))
	check(t, o.RecordBack(t.Context()))
	wantContact("back", outbox.Contact{Beat: 8})
}
