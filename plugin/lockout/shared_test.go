package lockout_test

import (
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"notification-stormshield/plugin/lockout"
)

// openDatabase opens a database with the table of the hold-off.
func openDatabase(t *testing.T) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "shared.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	db.SetMaxOpenConns(1)
	if _, err := db.Exec("CREATE TABLE lockout (id BIGINT PRIMARY KEY, record TEXT NOT NULL)"); err != nil {
		t.Fatal(err)
	}
	return db
}

// holdOffs are the machines of a test.
type holdOffs struct {
	t               *testing.T
	file            lockout.File // of the first machine
	*lockout.Shared              // the first machine
	other           *lockout.Shared
}

func openShared(t *testing.T, db *sql.DB) holdOffs {
	file := open(t)
	return holdOffs{t, file, lockout.NewShared(file, db), lockout.NewShared(open(t), db)}
}

func (h holdOffs) wantActive(what string, of interface {
	Current(credentials string, now time.Time) (lockout.HoldOff, bool, error)
}, credentials string, now time.Time, active bool) {
	h.t.Helper()
	_, got, err := of.Current(credentials, now)
	if got != active || err != nil {
		h.t.Errorf("%s: active %t, %v, want %t", what, got, err, active)
	}
}

func (h holdOffs) fail(of *lockout.Shared, credentials string, now time.Time) lockout.HoldOff {
	h.t.Helper()
	hold, err := of.RecordFailure(credentials, lockout.Failure{Reason: "AUTH_FAILED", Hint: "correct it"}, now)
	if err != nil {
		h.t.Fatal(err)
	}
	return hold
}

func TestARefusedLoginOfOneMachineHoldsOffAll(t *testing.T) {
	h := openShared(t, openDatabase(t))
	h.wantActive("at first", h.other, "wrong", start, false)
	want(t, "first", h.fail(h.Shared, "wrong", start).Until, start.Add(30*time.Minute))
	for name, machine := range map[string]*lockout.Shared{"the machine": h.Shared, "the other": h.other} {
		h.wantActive(name, machine, "wrong", start.Add(29*time.Minute), true)
		h.wantActive(name+" afterwards", machine, "wrong", start.Add(30*time.Minute), false)
		h.wantActive(name+" with other credentials", machine, "corrected", start, false)
		hold, active, err := machine.CurrentReadOnly("wrong", start)
		if !active || err != nil || hold.Hint != "correct it" {
			t.Errorf("%s: %+v, %t, %v", name, hold, active, err)
		}
	}
	later := start.Add(31 * time.Minute)
	second := h.fail(h.other, "wrong", later)
	want(t, "second, of the other machine", second.Until, later.Add(time.Hour))
	want(t, "in a row", second.Failures, 2)
	want(t, "third, of the first machine", h.fail(h.Shared, "wrong", later.Add(time.Hour)).Until, later.Add(3*time.Hour))
}

func TestAnAcceptedLoginOfOneMachineEndsTheHoldOffOfAll(t *testing.T) {
	h := openShared(t, openDatabase(t))
	now := time.Now().Add(-time.Minute)
	h.fail(h.Shared, "some", now)
	if err := h.other.RecordSuccess("others"); err != nil {
		t.Fatal(err)
	}
	h.wantActive("after a success with other credentials", h.other, "some", now, true)
	if err := h.other.RecordSuccess("some"); err != nil {
		t.Fatal(err)
	}
	h.wantActive("the machine that logged in", h.other, "some", time.Now(), false)
	h.wantActive("the copy of the other one", h.Shared, "some", time.Now(), false)
	now = time.Now()
	want(t, "the next failure counts from 1", h.fail(h.other, "some", now).Failures, 1)
	h.wantActive("again", h.Shared, "some", now, true)
}

func TestTheFileIsTheHoldOffWithoutTheDatabase(t *testing.T) {
	db := openDatabase(t)
	h := openShared(t, db)
	h.fail(h.Shared, "wrong", start)
	db.Close()
	h.wantActive("the machine that failed", h.Shared, "wrong", start, true)
	h.wantActive("its file", h.file, "wrong", start, true)
	h.wantActive("another machine", h.other, "wrong", start, false)
	hold, err := h.RecordFailure("wrong", lockout.Failure{Reason: "AUTH_FAILED"}, start.Add(30*time.Minute))
	want(t, "second", hold.Until, start.Add(90*time.Minute))
	if err == nil {
		t.Error("it is no error that the other machines do not know")
	}
	h.wantActive("the second", h.Shared, "wrong", start.Add(89*time.Minute), true)
	if err := h.RecordSuccess("wrong"); err != nil {
		t.Error(err)
	}
	h.wantActive("after a success", h.Shared, "wrong", start.Add(time.Hour), false)
}

func TestASharedHoldOffBeginsAgainWhenTheClockIsSetBackFar(t *testing.T) {
	h := openShared(t, openDatabase(t))
	h.fail(h.Shared, "wrong", start)
	for _, skewed := range []time.Duration{-5 * time.Minute, 5 * time.Minute} { // the clocks of two machines differ
		h.wantActive("with another clock", h.other, "wrong", start.Add(skewed), true)
	}
	h.wantActive("the end stays", h.Shared, "wrong", start.Add(30*time.Minute-time.Second), true)
	back := start.Add(-72 * time.Hour)
	h.wantActive("the clock was set back", h.other, "wrong", back, true)
	h.wantActive("29 minutes later", h.other, "wrong", back.Add(29*time.Minute), true)
	h.wantActive("31 minutes later", h.other, "wrong", back.Add(31*time.Minute), false)
}
