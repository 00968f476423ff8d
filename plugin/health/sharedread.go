package health

import (
	"context"
	"fmt"
	"strings"
	"time"

	"notification-stormshield/plugin/ledger"
	"notification-stormshield/plugin/outbox"
)

// Outbox is the part of the outbox that a report needs.
type Outbox interface {
	Waiting(context.Context) (outbox.Waiting, error)
	Contact(context.Context) (outbox.Contact, error)
}

const (
	// ledgerTimeout bounds how long a report waits for the database.
	ledgerTimeout = 4 * time.Second
	// awayTimeout is the same while the plugin cannot use the database.
	awayTimeout = time.Second
)

// readShared reads what this machine knows of the shared state without its database.
func (s Source) readShared(ctx context.Context, isRunning bool) (*Shared, error) {
	waiting, err := s.Outbox.Waiting(ctx)
	if err != nil {
		return nil, err
	}
	contact, err := s.Outbox.Contact(ctx)
	if err != nil {
		return nil, err
	}
	shared := &Shared{Place: s.Place, Machine: s.Machine, Waiting: waiting.Decisions, WaitingSince: jsonTime(waiting.Since)}
	if isRunning { // otherwise a process that has ended wrote it
		shared.AwaySince, shared.Error, shared.Alone = jsonTime(contact.AwaySince), contact.Cause, contact.IsAlone
	}
	return shared, nil
}

// addFailure adds that the database cannot be used now.
func (s *Shared) addFailure(err error, now time.Time) {
	if s.AwaySince == nil {
		s.AwaySince = jsonTime(now)
	}
	if s.Error == "" {
		s.Error = err.Error()
	}
}

// addMachines adds what the database says of the machines.
func (s *Shared) addMachines(machines []ledger.Machine, holder ledger.Holder, now time.Time) {
	s.Machines = []Machine{}
	if holder.Released {
		s.unheldSince = holder.Since
	}
	var unseen []string
	for _, m := range machines {
		one := Machine{
			Name: m.Name, Seen: jsonTime(m.Seen), Holder: m.IsHolder, Version: m.Version, Waiting: m.Waiting, WaitingSince: jsonTime(m.WaitingSince),
		}
		if a := m.LocalAPI; a != (ledger.LocalAPI{}) {
			one.LocalAPI = &Reads{LastRead: jsonTime(a.LastRead), UnreadSince: jsonTime(a.FailingSince), Error: a.Error}
		}
		s.Machines = append(s.Machines, one)
		switch {
		case m.IsHolder && now.Sub(m.Seen) <= holderFor:
			s.Holder = m.Name
		case m.IsHolder:
			s.unheldSince = m.Seen
		}
		if one.isUnseen(now) && m.Name != s.Machine {
			unseen = append(unseen, fmt.Sprintf("%s was last seen %s ago", m.Name, FormatDuration(now.Sub(m.Seen))))
		}
	}
	if len(unseen) > 0 {
		s.Warning = strings.Join(unseen, ", ") + unseenHint
	}
}
