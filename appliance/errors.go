package appliance

import (
	"fmt"
	"time"
)

// LoginError says that an appliance answered a login and did not accept it. Another attempt may lock the account, so no
// process logs in again before the login hold-off ends. A connection that failed and a command that was refused are
// other errors.
type LoginError struct {
	Temporary bool          // it did not refuse the account: the same login may be accepted later
	Delay     time.Duration // how long it wants no login; 0: it did not say
	Hint      string        // what the administrator can do
	Err       error
}

func (e *LoginError) Error() string { return e.Err.Error() }

func (e *LoginError) Unwrap() error { return e.Err }

// OtherApplianceError says that another appliance answers than before: it was replaced, or the other member of an HA pair
// answers. The members share an address, and each has a blacklist of its own [?]. The flush blocked and unblocked nothing.
type OtherApplianceError struct {
	Host             string
	Serial, Expected string // serial numbers
}

func (e *OtherApplianceError) Error() string {
	return fmt.Sprintf("another appliance answers at %s: its serial number is %s, and was %s", e.Host, e.Serial, e.Expected)
}

// FilesError says that a flush could not write or compare the files over SSH. The flush may have blocked and unblocked addresses before.
// A refused login is a [LoginError] instead.
type FilesError struct{ Err error }

func (e *FilesError) Error() string { return e.Err.Error() }

func (e *FilesError) Unwrap() error { return e.Err }

// NotPermittedError says that [Change.Permit] ended a flush before its next step.
type NotPermittedError struct{ Err error }

func (e *NotPermittedError) Error() string { return e.Err.Error() }

func (e *NotPermittedError) Unwrap() error { return e.Err }

// ActivationError says that a command of the appliance that activates the filter rule failed. It comes within a [FilesError].
type ActivationError struct {
	Command string
	Err     error
}

func (e *ActivationError) Error() string {
	return fmt.Sprintf("run %s (rule.activate): %v", e.Command, e.Err)
}

func (e *ActivationError) Unwrap() error { return e.Err }
