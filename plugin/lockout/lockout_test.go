package lockout_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"notification-stormshield/plugin/lockout"
)

var start = time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)

func open(t *testing.T) lockout.File {
	return lockout.File{Path: filepath.Join(t.TempDir(), "test.lockout")}
}

func want(t *testing.T, what string, got, want any) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func TestEachRefusedLoginDoublesTheHoldOffOfTheseCredentials(t *testing.T) {
	f := open(t)
	isActive := func(credentials string, now time.Time) bool {
		_, active, err := f.Current(credentials, now)
		if err != nil {
			t.Fatal(err)
		}
		return active
	}
	refuse := func(asked time.Duration, now time.Time) lockout.HoldOff {
		h, err := f.RecordFailure("wrong", lockout.Failure{Reason: "AUTH_FAILED", Delay: asked}, now)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	want(t, "active at first", isActive("wrong", start), false)
	want(t, "first", refuse(0, start).Until, start.Add(30*time.Minute))
	want(t, "active", isActive("wrong", start.Add(29*time.Minute)), true)
	want(t, "active with other credentials", isActive("corrected", start), false)
	want(t, "active afterwards", isActive("wrong", start.Add(30*time.Minute)), false)
	want(t, "second", refuse(0, start).Until, start.Add(time.Hour))
	want(t, "with a delay of the appliance", refuse(3*time.Hour, start).Until, start.Add(3*time.Hour+time.Minute))
	for range 10 {
		refuse(0, start)
	}
	want(t, "longest", refuse(0, start).Until, start.Add(24*time.Hour))
	for _, credentials := range []string{"other", "wrong"} {
		if err := f.RecordSuccess(credentials); err != nil {
			t.Fatal(err)
		}
		want(t, "active after a success of "+credentials, isActive("wrong", start), credentials == "other")
	}
	want(t, "first again", refuse(0, start).Until, start.Add(30*time.Minute))
}

func TestAHoldOffBeginsAgainWhenTheClockIsSetBack(t *testing.T) {
	f := open(t)
	if _, err := f.RecordFailure("wrong", lockout.Failure{Reason: "AUTH_FAILED"}, start); err != nil {
		t.Fatal(err)
	}
	back := start.Add(-72 * time.Hour)
	for _, at := range []struct {
		now    time.Time
		active bool
	}{{back, true}, {back.Add(29 * time.Minute), true}, {back.Add(31 * time.Minute), false}} {
		h, active, err := f.Current("wrong", at.now)
		if err != nil {
			t.Fatal(err)
		}
		want(t, "active at "+at.now.String(), active, at.active)
		want(t, "until", h.Until, back.Add(30*time.Minute))
	}
}

func TestATemporaryFailureHoldsOffForMinutes(t *testing.T) {
	f := open(t)
	fail := func(failure lockout.Failure) lockout.HoldOff {
		h, err := f.RecordFailure("right", failure, start)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	locked := lockout.Failure{Reason: "ERR_BRUTEFORCE", Hint: "wait", Temporary: true}
	want(t, "first", fail(locked).Until, start.Add(time.Minute))
	want(t, "second", fail(locked).Until, start.Add(2*time.Minute))
	for range 5 {
		fail(locked)
	}
	want(t, "longest", fail(locked).Until, start.Add(5*time.Minute))
	refused := lockout.Failure{Reason: "AUTH_FAILED"}
	want(t, "the first refused one", fail(refused).Until, start.Add(30*time.Minute))
	want(t, "the second refused one", fail(refused).Until, start.Add(time.Hour))
	locked.Delay = time.Minute
	h := fail(locked)
	want(t, "first with a delay", h.Until, start.Add(2*time.Minute))
	want(t, "failures of this kind", h.Failures, 1)
}

func TestAHoldOffIsReadAsRecorded(t *testing.T) {
	f := open(t)
	for _, failure := range []lockout.Failure{{Reason: "AUTH_FAILED", Hint: "correct it"}, {Reason: "busy", Hint: "wait", Temporary: true}} {
		now := start.Add(123456789 * time.Nanosecond)
		recorded, err := f.RecordFailure("some", failure, now)
		if err != nil {
			t.Fatal(err)
		}
		read, active, err := f.Current("some", now)
		if err != nil || !active {
			t.Fatalf("active: %t, %v", active, err)
		}
		want(t, "until", read.Until, recorded.Until)
		want(t, "failure", read.Failure, failure)
		want(t, "failures", read.Failures, recorded.Failures)
		if advised := strings.Contains(read.Advice(), "corrected configuration"); advised == failure.Temporary || !strings.HasPrefix(read.Advice(), failure.Hint) {
			t.Errorf("%s: the advice is %q", failure.Reason, read.Advice())
		}
	}
}

func TestCurrentReadOnlyStoresNothing(t *testing.T) {
	f := open(t)
	if _, active, err := f.CurrentReadOnly("wrong", start); active || err != nil {
		t.Errorf("without a file: %t, %v", active, err)
	}
	if _, err := os.Stat(f.Path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("CurrentReadOnly made the file: %v", err)
	}
	if _, err := f.RecordFailure("wrong", lockout.Failure{Reason: "AUTH_FAILED"}, start); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(f.Path)
	if err != nil {
		t.Fatal(err)
	}
	back := start.Add(-72 * time.Hour) // the clock was set back
	h, active, err := f.CurrentReadOnly("wrong", back)
	if !active || err != nil {
		t.Errorf("active: %t, %v", active, err)
	}
	want(t, "until", h.Until, back.Add(30*time.Minute))
	after, err := os.ReadFile(f.Path)
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("the file was %s, and is %s (%v)", before, after, err)
	}
}

func TestAHoldOffNeedsNoMoreRoomOnTheDisk(t *testing.T) {
	f := open(t)
	if err := os.WriteFile(f.Path, bytes.Repeat([]byte{' '}, 2048), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, reason := range []string{strings.Repeat("long ", 200), "short"} {
		if _, err := f.RecordFailure("some", lockout.Failure{Reason: reason}, start); err != nil {
			t.Fatal(err)
		}
		h, active, err := f.Current("some", start)
		want(t, "active", active, true)
		want(t, "error", err, nil)
		want(t, "reason", h.Reason, reason)
		info, err := os.Stat(f.Path)
		if err != nil {
			t.Fatal(err)
		}
		want(t, "size", info.Size(), 2048)
	}
}
