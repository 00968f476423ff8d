package ledger_test

import (
	"testing"
	"time"

	"notification-stormshield/plugin/ledger"
)

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

func TestAHoldOffBeginsAnewWhenTheClockWasSetBack(t *testing.T) {
	l := open(t)
	if _, err := l.LoginRefused(t.Context(), "wrong", "AUTH_FAILED", 0, start); err != nil {
		t.Fatal(err)
	}
	back := start.Add(-72 * time.Hour)
	for _, at := range []struct {
		now  time.Time
		held bool
	}{{back, true}, {back.Add(29 * time.Minute), true}, {back.Add(31 * time.Minute), false}} {
		h, held, err := l.HeldOff(t.Context(), "wrong", at.now)
		if err != nil {
			t.Fatal(err)
		}
		want(t, "held at "+at.now.String(), held, at.held)
		want(t, "until", h.Until, back.Add(30*time.Minute))
	}
}
