package acceptance_test

import (
	"slices"
	"testing"

	"notification-stormshield/stormshield"
	"notification-stormshield/stormshield/acceptance"
	"notification-stormshield/stormshield/flushtest"
	"notification-stormshield/stormshield/snstest"
)

var (
	addresses = flushtest.Addresses
	prefixes  = flushtest.Prefixes
	configFor = flushtest.Config
)

// harness has the methods of this package's tests.
type harness struct{ *flushtest.Harness }

func start(t *testing.T, options ...func(*snstest.Options)) *harness {
	t.Helper()
	return &harness{flushtest.Start(t, options...)}
}

func (h *harness) check() []acceptance.Finding {
	return acceptance.Check(h.T.Context(), stormshield.New(configFor(h.T, h.Sim)))
}

func (h *harness) checkAndWrite() []acceptance.Finding {
	return acceptance.CheckAndWrite(h.T.Context(), stormshield.New(configFor(h.T, h.Sim)))
}

func finding(findings []acceptance.Finding, subject string) acceptance.Finding {
	i := slices.IndexFunc(findings, func(f acceptance.Finding) bool { return f.Subject == subject })
	if i < 0 {
		return acceptance.Finding{Subject: "none about " + subject}
	}
	return findings[i]
}
