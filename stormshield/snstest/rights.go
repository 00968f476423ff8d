package snstest

// right is one of the two rights that only one session can hold.
type right int

const (
	configRight right = iota
	monitorRight
)

// The holder of a right when no session of the API holds it.
const (
	nobody        = ""
	administrator = "administrator" // in the web interface
	someoneElse   = "someone else"  // a monitoring session
)

// outcome is the result of asking for a right.
type outcome int

const (
	granted outcome = iota
	heldAlready
	heldByOther
)

func (s *sessionStore) holder(r right) *string {
	if r == monitorRight {
		return &s.monitorHolder
	}
	return &s.configHolder
}

// acquireRight gives a right to a session; force takes it from its holder. evicts reports whether that was the
// administrator.
func (s *sessionStore) acquireRight(id string, r right, force bool) (result outcome, evicts bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	holder := s.holder(r)
	switch {
	case *holder == id:
		return heldAlready, false
	case *holder != nobody && !force:
		return heldByOther, false
	}
	evicts = *holder == administrator
	*holder = id
	return granted, evicts
}

// releaseRight gives a right back. It does nothing if another one holds the right.
func (s *sessionStore) releaseRight(id string, r right) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if holder := s.holder(r); *holder == id {
		*holder = nobody
	}
}

func (s *sessionStore) holdsRight(id string, r right) bool { return s.rightHolder(r) == id }

func (s *sessionStore) rightHolder(r right) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return *s.holder(r)
}

func (s *sessionStore) setRightHolder(r right, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*s.holder(r) = id
}

// modify acquires or releases a right: MODIFY [MONITOR] [ON|OFF] [FORCE], words in any order; ON unless it says OFF.
func (c *call) modify() answer {
	wanted, force, off, on := configRight, false, false, false
	for _, word := range c.words[1:] {
		switch word {
		case "MONITOR":
			wanted = monitorRight
		case "FORCE":
			force = true
		case "OFF":
			off = true
		case "ON":
			on = true
		default:
			return plain(statusUnknown)
		}
	}
	sessions, id := c.appliance.sessions, c.session.id
	level := map[right]string{configRight: "modify", monitorRight: "mon_write"}[wanted]
	switch {
	case on && off:
		return plain(statusArgument)
	case off:
		sessions.releaseRight(id, wanted)
		return plain(statusOK)
	case !c.session.hasLevel(level):
		return plain(statusLevel)
	}
	result, evicts := sessions.acquireRight(id, wanted, force)
	if evicts {
		c.appliance.counters.count(func(s *Stats) { s.Evictions++ })
	}
	switch result {
	case heldAlready:
		return plain(statusHeld)
	case heldByOther:
		return plain(statusTooMany)
	}
	return plain(statusOK)
}

// AdminTakesModify gives the configuration right to an administrator's web session. Its holder loses it.
func (a *Appliance) AdminTakesModify() { a.sessions.setRightHolder(configRight, administrator) }

// AdminReleasesModify gives the configuration right back. It does nothing if a session took the right from the administrator.
func (a *Appliance) AdminReleasesModify() { a.sessions.releaseRight(administrator, configRight) }

// AdminHoldsModify reports whether the administrator still holds the configuration right.
func (a *Appliance) AdminHoldsModify() bool { return a.sessions.holdsRight(administrator, configRight) }

// HoldMonitor gives the monitor right to the session of another client. Its holder loses it.
func (a *Appliance) HoldMonitor() { a.sessions.setRightHolder(monitorRight, someoneElse) }

// ReleaseMonitor gives the monitor right back. It does nothing if a session took the right from the other client.
func (a *Appliance) ReleaseMonitor() { a.sessions.releaseRight(someoneElse, monitorRight) }

// MonitorHeld reports whether any session holds the monitor right, and whether that session is the one of HoldMonitor.
func (a *Appliance) MonitorHeld() (held, bySomeoneElse bool) {
	holder := a.sessions.rightHolder(monitorRight)
	return holder != nobody, holder == someoneElse
}

// ModifyHeld reports whether a session or the administrator holds the configuration right.
func (a *Appliance) ModifyHeld() bool { return a.sessions.rightHolder(configRight) != nobody }
