package ledger_test

import (
	"os"
	"path/filepath"
	"testing"

	"notification-stormshield/plugin/ledger"
)

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
	pid, err = ledger.Holder(path)
	want(t, "holder after the release", pid, 0)
	want(t, "error", err, nil)
	third, err := ledger.TryLease(path)
	if err != nil || third == nil {
		t.Fatalf("after the release: %v, %v", third, err)
	}
	third.Release()
}
