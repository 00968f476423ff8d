package ledger_test

import (
	"net/netip"
	"testing"
	"time"

	"notification-stormshield/plugin/ban"
	"notification-stormshield/plugin/ledger"
)

// wholeRange is a decision on 203.0.113.0/24.
func wholeRange() ban.Decision { return identified(1, "203.0.113.0/24", start.Add(time.Hour)) }

// protecting admits what is not one of these prefixes.
func protecting(protected ...string) func(ban.Decision) []netip.Prefix {
	var f ban.Filter
	for _, p := range protected {
		f.NeverBlock = append(f.NeverBlock, netip.MustParsePrefix(p))
	}
	return f.AdmitStored
}

// listAs lists a decision as a follower does whose filter is this one.
func listAs(t *testing.T, l *ledger.Ledger, admit func(ban.Decision) []netip.Prefix, d ban.Decision) {
	t.Helper()
	for _, p := range admit(d) {
		part := d
		part.Prefix = p
		list(t, l, part)
	}
}

func admitted(t *testing.T, l *ledger.Ledger, admit func(ban.Decision) []netip.Prefix) []string {
	t.Helper()
	if _, err := l.Admit(t.Context(), admit, start, many); err != nil {
		t.Fatal(err)
	}
	return standing(t, l, plan(t, l, start))
}

func TestARangeIsSplitAroundWhatIsNeverBlockedAndWholeAgainWhenThatIsOver(t *testing.T) {
	l := open(t)
	record(t, l, start, wholeRange(), decided("198.51.100.1/32", start.Add(time.Hour)))
	want(t, "with a half that is protected", admitted(t, l, protecting("203.0.113.0/25")), []string{"198.51.100.1/32", "203.0.113.128/25"})
	want(t, "with another half", admitted(t, l, protecting("203.0.113.128/25")), []string{"198.51.100.1/32", "203.0.113.0/25"})
	want(t, "with nothing protected", admitted(t, l, protecting()), []string{"198.51.100.1/32", "203.0.113.0/24"})
	want(t, "with an address that is protected", admitted(t, l, protecting("198.51.100.1/32")), []string{"203.0.113.0/24"})
	if _, err := l.Unlist(t.Context(), []ban.Decision{wholeRange()}, start, many); err != nil {
		t.Fatal(err)
	}
	want(t, "in force when it is deleted", plan(t, l, start).InForce, 0)
}

func TestALiftedBanStaysLiftedWhateverIsProtected(t *testing.T) {
	l := open(t)
	record(t, l, start, wholeRange())
	if _, err := l.Lift(t.Context(), wholeRange().Prefix, start, many); err != nil {
		t.Fatal(err)
	}
	for name, admit := range map[string]func(ban.Decision) []netip.Prefix{
		"a half is protected": protecting("203.0.113.0/25"), "the other half": protecting("203.0.113.128/25"), "nothing": protecting(),
		"all of it": protecting("203.0.113.0/24"),
	} {
		want(t, name, admitted(t, l, admit), []string(nil))
		listAs(t, l, admit, wholeRange())
		want(t, name+", after a full read", standing(t, l, plan(t, l, start)), []string(nil))
	}
	list(t, l, identified(2, "203.0.113.0/24", start.Add(2*time.Hour)))
	want(t, "after a new decision", standing(t, l, plan(t, l, start)), []string{"203.0.113.0/24"})
}
