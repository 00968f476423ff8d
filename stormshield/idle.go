package stormshield

import (
	"context"
	"sync"
	"time"

	"notification-stormshield/stormshield/serverd"
)

// idleSession holds the session that stays open between flushes, without the monitor right. A flush takes the session out, so that the
// session has one user at a time. The zero value holds none.
type idleSession struct {
	mu      sync.Mutex       // locked until a logout has ended
	session *serverd.Session // nil: none
	timer   *time.Timer      // calls LogOut
}

// takeOut returns the session, and leaves none. Its caller locks mu.
func (i *idleSession) takeOut() *serverd.Session {
	session := i.session
	if session != nil {
		i.session = nil
		i.timer.Stop()
	}
	return session
}

// LogOut ends the session that stays open between flushes. It may run beside a flush.
func (a *Appliance) LogOut() {
	a.idle.mu.Lock()
	defer a.idle.mu.Unlock()
	if session := a.idle.takeOut(); session != nil {
		_ = session.Close(context.Background())
	}
}

// resumeTimeout bounds the first command in the session of an earlier flush. It is short, because a new login may work while the old
// connection hangs.
const resumeTimeout = 5 * time.Second

// resumeSession returns the session of an earlier flush, with the monitor right. It returns nil if there is none, or if its first command
// fails, such as after the appliance ended it. Then the flush logs in.
func (f *flush) resumeSession(ctx context.Context) *serverd.Session {
	f.idle.mu.Lock()
	session := f.idle.takeOut()
	f.idle.mu.Unlock()
	if session == nil {
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, resumeTimeout)
	defer cancel()
	session.Permit = f.permit
	if _, err := session.Run(limited, takeMonitor); err != nil {
		f.background.Go(func() { _ = session.Close(context.WithoutCancel(ctx)) })
		return nil
	}
	return session
}

// keepSession keeps the session of a flush that succeeded for the next flush, without the monitor right.
func (f *flush) keepSession(ctx context.Context) {
	if f.session == nil || f.done.At.IsZero() || f.config.SessionIdle == 0 {
		return
	}
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
	defer cancel()
	f.session.Permit = nil
	if _, err := f.session.Run(limited, releaseMonitor); err != nil {
		return
	}
	f.idle.mu.Lock()
	defer f.idle.mu.Unlock()
	before := f.idle.takeOut() // a flush that needed a new session did not take it out
	f.idle.session, f.idle.timer = f.session, time.AfterFunc(f.config.SessionIdle, f.LogOut)
	f.session = before // close ends it
}
