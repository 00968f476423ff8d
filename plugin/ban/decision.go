// Package ban turns the decisions of CrowdSec into prefixes to block, each with its end. Its main type is [Decision].
//
// [Read] parses the alerts in a notification's text. [Filter.AdmitListed] does the same for a decision of the Local API, and
// [Filter.AdmitStored] for a stored one. A [Filter] chooses the decisions that count. It also knows the addresses that are
// never blocked, and the widest range. If a range contains such addresses, the remaining parts are blocked.
//
// Each decision that blocks nothing has a reason ([Skip]). It is refused if it asks for a block and may not get it ([Kind]). It
// is ignored if it asks for no block.
//
// The package does not trust the text. A decision that cannot be read is refused, and the others count. Foreign text is
// shortened and escaped before it reaches a log. The package stores nothing and reads no clock: the caller passes the
// time. It knows neither CrowdSec's process nor the appliance.
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
// CrowdSec decides on an address or a range. If a range contains addresses that may never be blocked, there is one
// Decision for each remaining part. All parts have the same UUID and ID.
type Decision struct {
	// UUID identifies the decision. An alert and the Local API's list have the same one. It is zero in CrowdSec 1.4.6, and
	// in alerts that `cscli notifications reinject` sends again.
	UUID UUID
	// ID is the Local API's number of the decision. It is zero in an alert.
	ID int64
	// Prefix is masked. An IPv4-mapped prefix is written as IPv4. A single address has 32 or 128 bits.
	Prefix netip.Prefix
	// RangeBits is the length, in bits, of the prefix that CrowdSec decided on. It is less than Prefix.Bits() for a part.
	RangeBits int
	// Until is the end of the decision, in UTC. It is never later than the year 2261, so that it fits in 64 bits of
	// nanoseconds.
	Until time.Time
	// Type, Origin and Scenario have at most 200 bytes, and printable characters only.
	Type     string // ban, captcha, free text, or [FoundEntry]
	Origin   string // crowdsec, cscli, cscli-import, CAPI, lists:…
	Scenario string // the name of a scenario, or the reason given to cscli
}

// FoundEntry is the type of a decision that the plugin makes for an entry that it found on the appliance. The filter checks
// only never-block and the widest range for it.
const FoundEntry = "appliance"

// Range returns the address or the range that CrowdSec decided on.
func (d Decision) Range() netip.Prefix {
	return netip.PrefixFrom(d.Prefix.Addr(), d.RangeBits).Masked()
}

// UUID identifies a decision of CrowdSec. The zero UUID is none.
type UUID [16]byte

// ParseUUID parses a UUID. It hashes other text, so that different texts give different UUIDs. Empty text gives the zero UUID.
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

// Class ranks bans when there are more than the limit. The lowest class is enforced first.
type Class int

// The classes of decisions.
const (
	Local    Class = iota + 1 // detections and manual decisions of this CrowdSec, and unknown origins
	Imported                  // `cscli decisions import`
	Remote                    // lists, the community blocklist, and the console
)

var classNames = map[Class]string{Local: "local", Imported: "imports", Remote: "lists"}

// String returns the name of the class in `status` and in the log.
func (c Class) String() string { return classNames[c] }

// MarshalText is String, for JSON.
func (c Class) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// Class returns the class of the decision, by its origin.
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

// Bytes returns the stored form of the UUID. It is empty for the zero UUID.
func (u UUID) Bytes() []byte {
	if u == (UUID{}) {
		return []byte{}
	}
	return u[:]
}
