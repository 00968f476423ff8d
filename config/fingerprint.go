package config

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
)

// Fingerprint is the SHA-256 of a certificate in DER form. The zero Fingerprint
// means that none is set.
type Fingerprint [32]byte

const fingerprintPrefix = "SHA256:"

var errFingerprint = errors.New("not a SHA-256 fingerprint")

// ParseFingerprint reads SHA256: and 43 characters of base64, or 64 hexadecimal
// digits with or without colons, as openssl x509 -fingerprint -sha256 shows them.
func ParseFingerprint(text string) (Fingerprint, error) {
	digits := text
	if len(text) >= len(fingerprintPrefix) && strings.EqualFold(text[:len(fingerprintPrefix)], fingerprintPrefix) {
		digits = text[len(fingerprintPrefix):]
		sum, err := base64.RawStdEncoding.Strict().DecodeString(strings.TrimSuffix(digits, "="))
		if err == nil && len(sum) == len(Fingerprint{}) {
			return Fingerprint(sum), nil
		}
	}
	sum, err := hex.DecodeString(strings.ReplaceAll(digits, ":", ""))
	if err != nil || len(sum) != len(Fingerprint{}) {
		return Fingerprint{}, errFingerprint
	}
	return Fingerprint(sum), nil
}

// IsZero reports whether no fingerprint is set.
func (f Fingerprint) IsZero() bool { return f == Fingerprint{} }

// String returns the form with SHA256: and base64, or "" if none is set.
func (f Fingerprint) String() string {
	if f.IsZero() {
		return ""
	}
	return fingerprintPrefix + base64.RawStdEncoding.EncodeToString(f[:])
}

// MarshalText returns the same as String.
func (f Fingerprint) MarshalText() ([]byte, error) { return []byte(f.String()), nil }
