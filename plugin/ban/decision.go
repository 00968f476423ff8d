package ban

import (
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"strings"
	"time"
)

// Decision is one decision of CrowdSec on one prefix.
//
// CrowdSec decides on an address or a range. When a range holds addresses that may never be blocked, there is one
// Decision for each remaining part, and all parts have the same UUID and ID.
type Decision struct {
	// UUID identifies the decision. An alert and the Local API's list carry the same one. Zero: it has none
	// (CrowdSec 1.4.6, and alerts that `cscli notifications reinject` sends again).
	UUID UUID
	// ID is the Local API's number of the decision. Zero: not known, as in an alert.
	ID int64
	// Prefix is what to block. It is masked, and an IPv4-mapped IPv6 prefix is written as IPv4. A single address has
	// 32 or 128 bits.
	Prefix netip.Prefix
	// RangeBits is the length of the range that CrowdSec decided on. It is less than Prefix.Bits() for a part.
	RangeBits int
	// Until is when the decision ends, in UTC. It is never later than the year 2261, so that it also fits in 64 bits
	// of nanoseconds.
	Until time.Time
	// Type is ban, captcha, free text, or [FoundEntry].
	Type string
	// Origin is who decided: crowdsec, cscli, cscli-import, CAPI, lists:….
	Origin string
	// Scenario is why: the scenario's name, or the reason given to cscli. Like Type and Origin it is cut to a sane
	// length and holds printable characters only.
	Scenario string
}

// FoundEntry is the type of a decision that stands for an entry that was found on the appliance. No decision of CrowdSec has it.
// Of the filter, only never-block and the widest range apply to it.
const FoundEntry = "appliance"

// Range is the range that CrowdSec decided on.
func (d Decision) Range() netip.Prefix {
	return netip.PrefixFrom(d.Prefix.Addr(), d.RangeBits).Masked()
}

// UUID identifies a decision of CrowdSec. The zero UUID is none.
type UUID [16]byte

// ParseUUID reads a UUID. Text that is none becomes a UUID by its hash, so that no two different texts are the same.
// Empty text is the zero UUID.
func ParseUUID(text string) UUID {
	var u UUID
	if text == "" {
		return u
	}
	digits := strings.ReplaceAll(text, "-", "")
	if n, err := hex.Decode(u[:], []byte(digits[:min(len(digits), 2*len(u))])); err == nil && n == len(u) && len(digits) == 2*len(u) {
		return u
	}
	sum := sha256.Sum256([]byte(text))
	return UUID(sum[:len(u)])
}

// Class orders bans when there are more of them than the appliance shall enforce. A lower number goes first.
type Class int

// The classes of decisions.
const (
	// Local are detections and manual decisions of this CrowdSec.
	Local Class = iota + 1
	// Imported are decisions of `cscli decisions import`.
	Imported
	// Remote are lists, the community blocklist, and lists of the console.
	Remote
)

var classNames = map[Class]string{Local: "local", Imported: "imports", Remote: "lists"}

// String names the class as `status` and the log do.
func (c Class) String() string { return classNames[c] }

// MarshalText is String, for JSON.
func (c Class) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// Class is the class of the decision, by its origin. An unknown origin is Local.
func (d Decision) Class() Class {
	family := strings.ToLower(d.Origin)
	if end := strings.IndexAny(family, ":/"); end >= 0 {
		family = family[:end]
	}
	switch family {
	case "cscli-import":
		return Imported
	case "capi", "console", "lists":
		return Remote
	}
	return Local
}

// Bytes is what identifies the decision, as it is stored; empty for the zero UUID.
func (u UUID) Bytes() []byte {
	if u == (UUID{}) {
		return []byte{}
	}
	return u[:]
}
