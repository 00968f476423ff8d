package plugin

import (
	"notification-stormshield/config"
	"notification-stormshield/plugin/enforcer"
	"notification-stormshield/plugin/health"
	"notification-stormshield/plugin/lockout"
)

// LoginHoldOff is the login hold-off of a configuration: a [lockout.File] or, if several machines share the state, a [lockout.Shared].
type LoginHoldOff interface {
	enforcer.LoginHoldOff
	health.LoginHoldOff
}

// OpenLoginHoldOff returns the login hold-off of a configuration, which holds its secrets. It connects to no database before the hold-off is
// read. The caller calls end after the last use.
func OpenLoginHoldOff(d config.Document) (held LoginHoldOff, end func(), err error) {
	state := StateOf(d)
	file := lockout.File{Path: state.Lockout}
	if !state.IsShared() {
		return file, func() {}, nil
	}
	db, err := state.Database.Pool(1, false)
	if err != nil {
		return nil, nil, err
	}
	return lockout.NewShared(file, db), func() { _ = db.Close() }, nil
}
