package snstest

// right names one of the two rights that a single session can hold.
type right int

const (
	configRight right = iota
	monitorRight
)

func (d *desk) holder(r right) *string {
	if r == monitorRight {
		return &d.monitor
	}
	return &d.config
}

// outcome is what came of asking for a right.
type outcome int

const (
	granted outcome = iota
	heldAlready
	heldByOther
)

// take gives a right to a session; force takes it from whoever holds it.
func (d *desk) take(id string, r right, force bool) outcome {
	d.mu.Lock()
	defer d.mu.Unlock()
	holder := d.holder(r)
	switch {
	case *holder == id:
		return heldAlready
	case *holder != nobody && !force:
		return heldByOther
	case *holder == administrator:
		d.counters.count(func(s *Stats) { s.Evictions++ })
	}
	*holder = id
	return granted
}

// release gives a right back; it is no error not to hold it.
func (d *desk) release(id string, r right) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if holder := d.holder(r); *holder == id {
		*holder = nobody
	}
}

func (d *desk) holds(id string, r right) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return *d.holder(r) == id
}

func (d *desk) set(r right, who string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	*d.holder(r) = who
}

// AdminTakesModify gives the configuration right to an administrator's web session, whoever held it.
func (a *Appliance) AdminTakesModify() { a.desk.set(configRight, administrator) }

// AdminReleasesModify ends that; it does nothing when someone took the right from the administrator.
func (a *Appliance) AdminReleasesModify() { a.desk.release(administrator, configRight) }

// AdminHoldsModify tells whether the administrator still holds the configuration right.
func (a *Appliance) AdminHoldsModify() bool { return a.desk.holds(administrator, configRight) }

// HoldMonitor gives the monitor right to someone else's session, whoever held it.
func (a *Appliance) HoldMonitor() { a.desk.set(monitorRight, someoneElse) }

// ReleaseMonitor ends that; it does nothing when someone took the right meanwhile.
func (a *Appliance) ReleaseMonitor() { a.desk.release(someoneElse, monitorRight) }

// MonitorHeld tells whether any session holds the monitor right, and whether it is that of HoldMonitor.
func (a *Appliance) MonitorHeld() (held, bySomeoneElse bool) {
	a.desk.mu.Lock()
	defer a.desk.mu.Unlock()
	return a.desk.monitor != nobody, a.desk.monitor == someoneElse
}

// ModifyHeld tells whether anyone, session or administrator, holds the configuration right.
func (a *Appliance) ModifyHeld() bool {
	a.desk.mu.Lock()
	defer a.desk.mu.Unlock()
	return a.desk.config != nobody
}

// EndSessions ends every API session and log-in, as when the administrator disconnects them.
func (a *Appliance) EndSessions() {
	a.desk.mu.Lock()
	defer a.desk.mu.Unlock()
	for id := range a.desk.sessions {
		a.desk.end(id)
	}
	clear(a.desk.cookies)
}
