package stormshield_test

import (
	"testing"

	"notification-stormshield/stormshield/flushtest"
	"notification-stormshield/stormshield/snstest"
)

var (
	addresses = flushtest.Addresses
	prefixes  = flushtest.Prefixes
	configFor = flushtest.Config
	begun     = flushtest.Begin
)

// harness has the methods of this package's tests.
type harness struct{ *flushtest.Harness }

func start(t *testing.T, options ...func(*snstest.Options)) *harness {
	t.Helper()
	return &harness{flushtest.Start(t, options...)}
}
