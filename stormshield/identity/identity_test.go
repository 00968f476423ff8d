package identity_test

import (
	"testing"

	"notification-stormshield/stormshield/identity"
	"notification-stormshield/stormshield/snstest"
)

func target(sim *snstest.Appliance) identity.Target {
	return identity.Target{Host: sim.Host(), SSHPort: sim.SSHPort(), APIPort: sim.APIPort()}
}

func TestAskReturnsBothFingerprintsAndSendsNoSecret(t *testing.T) {
	sim := snstest.Start(t)
	i, err := identity.Ask(t.Context(), target(sim))
	if err != nil || i.HostKey != sim.HostKeyFingerprint() || i.CertFingerprint != sim.CertificateFingerprint() || i.CertUntil == nil {
		t.Errorf("identity %+v, want both fingerprints: %v", i, err)
	}
	if seen := sim.Stats().CredentialsSeen; seen != 0 {
		t.Errorf("a credential was sent %d times", seen)
	}
}

func TestAskReturnsTheAnswerOfOneEndIfTheOtherDoesNotAnswer(t *testing.T) {
	sim := snstest.Start(t)
	sim.SetFaults(func(f *snstest.Faults) { f.APIRefuse = true })
	i, err := identity.Ask(t.Context(), target(sim))
	if err == nil || i.HostKey != sim.HostKeyFingerprint() || i.CertFingerprint != "" || i.CertUntil != nil {
		t.Errorf("identity %+v, want the host key alone; error %v", i, err)
	}
}

func TestAskWithoutSSHAsksOnlyTheAPI(t *testing.T) {
	sim := snstest.Start(t)
	sim.SetFaults(func(f *snstest.Faults) { f.SSHRefuse = true })
	without := target(sim)
	without.WithoutSSH = true
	i, err := identity.Ask(t.Context(), without)
	if err != nil || i.HostKey != "" || i.CertFingerprint != sim.CertificateFingerprint() {
		t.Errorf("identity %+v, want the certificate alone: %v", i, err)
	}
}

func TestPinAcceptsOnlyAKeyOfTheAppliance(t *testing.T) {
	i := identity.Identity{HostKeys: []identity.HostKey{{Type: "a", Fingerprint: "1"}, {Type: "b", Fingerprint: "2"}}}
	i.Pin("2")
	i.Pin("3")
	if others := i.UnpinnedKeys(); i.HostKey != "2" || i.HostKeyType != "b" || len(others) != 1 || others[0].Fingerprint != "1" {
		t.Errorf("pinned %s (%s), others %v", i.HostKey, i.HostKeyType, others)
	}
}
