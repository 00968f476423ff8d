// Package guard turns a panic into an error. CrowdSec never starts a crashed plugin again before its next reload, so a
// fault of this program must not end the process. [Call] is the whole package.
package guard

import (
	"fmt"
	"runtime/debug"
)

// Panic is the error of a function that panicked.
type Panic struct {
	Name  string // of the function, for a reader of the log
	Value any    // of the panic
	Stack string
}

func (p *Panic) Error() string {
	return fmt.Sprintf("%s panicked, which is a fault of this program: %v\n%s", p.Name, p.Value, p.Stack)
}

// Call calls f and returns its results. If f panics, the error is a [Panic] and the result is zero.
func Call[T any](name string, f func() (T, error)) (result T, err error) {
	defer func() {
		if value := recover(); value != nil {
			err = &Panic{name, value, string(debug.Stack())}
		}
	}()
	return f()
}
