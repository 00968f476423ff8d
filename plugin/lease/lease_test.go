package lease_test

import (
	"os"
	"path/filepath"
	"testing"

	"notification-stormshield/plugin/lease"
)

func TestOnlyOneProcessHoldsTheLease(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.lock")
	if err := os.WriteFile(path, []byte("99999999999999\n"), 0o600); err != nil { // of another process
		t.Fatal(err)
	}
	first, err := lease.Try(path)
	if err != nil || first == nil {
		t.Fatalf("first: %v, %v", first, err)
	}
	if second, err := lease.Try(path); err != nil || second != nil {
		t.Errorf("second while the first is held: %v, %v", second, err)
	}
	pid, err := lease.Holder(path)
	if pid != os.Getpid() || err != nil {
		t.Errorf("holder %d, %v", pid, err)
	}
	first.Release()
	pid, err = lease.Holder(path)
	if pid != 0 || err != nil {
		t.Errorf("holder after the release %d, %v", pid, err)
	}
	third, err := lease.Try(path)
	if err != nil || third == nil {
		t.Fatalf("after the release: %v, %v", third, err)
	}
	third.Release()
}

func TestAFreeLeaseHasNoHolder(t *testing.T) {
	if pid, err := lease.Holder(filepath.Join(t.TempDir(), "test.lock")); pid != 0 || err != nil {
		t.Errorf("holder %d, %v", pid, err)
	}
}
