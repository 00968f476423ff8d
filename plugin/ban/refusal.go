package ban

import "fmt"

// Kind is a short name for the reason of a refusal.
type Kind string

// All kinds of refusals.
const (
	NeverBlocked Kind = "never-block" // decisions.never_block covers the prefix
	OwnAddress   Kind = "own-address" // of this machine, of the appliance or of the Local API
	TooWide      Kind = "too-wide"
	Scope        Kind = "scope"     // a range, and there are no credentials for SSH
	Malformed    Kind = "malformed" // CrowdSec's text cannot be read
	Other        Kind = "other"     // no host has the address, or too many prefixes would be necessary
)

// Kinds returns all kinds.
func Kinds() []Kind { return []Kind{NeverBlocked, OwnAddress, TooWide, Scope, Malformed, Other} }

// refusal is the error for a prefix that may not be blocked.
type refusal struct {
	kind   Kind
	reason string
}

func (r *refusal) Error() string { return r.reason }

func refuse(kind Kind, format string, values ...any) error {
	return &refusal{kind, fmt.Sprintf(format, values...)}
}
