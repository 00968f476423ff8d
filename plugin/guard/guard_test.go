package guard_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	"notification-stormshield/plugin/guard"
)

func TestAPanicIsAnErrorWithItsStack(t *testing.T) {
	result, err := guard.Call("a test", func() (int, error) { panic("boom") })
	if result != 0 || !strings.HasPrefix(err.Error(), "a test panicked, which is a fault of this program: boom\n") || !strings.Contains(err.Error(), "guard_test.go") {
		t.Errorf("result %d, error %v, want 0 and the panic with its stack", result, err)
	}
}

func TestCallReturnsTheResultAndTheErrorOfTheFunction(t *testing.T) {
	if result, err := guard.Call("a test", func() (int, error) { return 7, io.EOF }); result != 7 || !errors.Is(err, io.EOF) {
		t.Errorf("result %d, error %v, want 7 and EOF", result, err)
	}
}
