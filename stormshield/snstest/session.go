package snstest

import (
	"crypto/rand"
	"slices"
	"strings"
	"sync"
	"time"
)

// Who holds a right when it is no session of the API.
const (
	nobody        = ""
	administrator = "administrator" // in the web interface
	someoneElse   = "someone else"  // a monitoring session
)

// session is one session of the API. It sees the files as they were when it was opened.
type session struct {
	id     string
	cookie string
	levels []string
	used   time.Time // guarded by desk.mu, as is commands
	ran    int

	running sync.Mutex // one command at a time
	view    *view
}

func (s *session) has(level string) bool { return slices.Contains(s.levels, level) }

// desk keeps log-ins, sessions and the rights that only one of them can hold.
type desk struct {
	idle     time.Duration
	counters *counters

	mu       sync.Mutex
	cookies  map[string]time.Time
	sessions map[string]*session
	config   string // holder of the configuration right: a session's id, administrator or nobody
	monitor  string // holder of the monitor right
}

func newDesk(o Options, c *counters) *desk {
	d := &desk{idle: o.SessionIdle, counters: c}
	d.clear()
	return d
}

// clear forgets everything, as a reboot does.
func (d *desk) clear() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cookies = map[string]time.Time{}
	d.sessions = map[string]*session{}
	d.config, d.monitor = nobody, nobody
}

func (d *desk) login() (cookie string) {
	cookie = rand.Text()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cookies[cookie] = time.Now()
	return cookie
}

// knows tells whether a cookie belongs to a log-in that is still good.
func (d *desk) knows(cookie string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.expire()
	if _, ok := d.cookies[cookie]; !ok {
		return false
	}
	d.cookies[cookie] = time.Now()
	return true
}

// expire ends idle sessions and log-ins. The caller holds mu.
func (d *desk) expire() {
	for id, s := range d.sessions {
		if time.Since(s.used) > d.idle {
			d.end(id)
		}
	}
	for cookie, used := range d.cookies {
		if time.Since(used) > d.idle {
			delete(d.cookies, cookie)
		}
	}
}

// end ends a session and gives its rights back. The caller holds mu.
func (d *desk) end(id string) {
	delete(d.sessions, id)
	if d.config == id {
		d.config = nobody
	}
	if d.monitor == id {
		d.monitor = nobody
	}
}

// openSession opens a session, unless there are as many as there can be.
func (d *desk) openSession(cookie string, levels []string, look func() *view) *session {
	s := &session{id: rand.Text(), cookie: cookie, levels: levels, view: look()}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.expire()
	if len(d.sessions) >= mostSessions {
		return nil
	}
	s.used = time.Now()
	d.sessions[s.id] = s
	return s
}

// use finds a session for its next command. It is expired when it has run more than limit commands (0: no limit).
func (d *desk) use(id, cookie string, limit int) (s *session, expired bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.expire()
	s = d.sessions[id]
	if s == nil || s.cookie != cookie {
		return nil, false
	}
	s.used = time.Now()
	s.ran++
	if limit > 0 && s.ran > limit {
		d.end(id)
		return nil, true
	}
	return s, false
}

func (d *desk) logout(id, cookie string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s := d.sessions[id]; s != nil && s.cookie == cookie {
		d.end(id)
	}
}

func (d *desk) open() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.expire()
	return len(d.sessions)
}

// accountLevels are the privileges of the account, in the order a session lists them.
func accountLevels(f *Faults) []string {
	levels := []string{"base", "modify", "mon_write", "filter", "object", "log", "maintenance", "other"}
	return slices.DeleteFunc(levels, func(level string) bool {
		return f.NoMonWrite && level == "mon_write" || f.NoModify && level == "modify"
	})
}

// grantLevels are those of the account's privileges that a session asked for: all when it did not say.
func grantLevels(f *Faults, requested string) []string {
	levels := accountLevels(f)
	if requested == "" {
		return levels
	}
	wanted := strings.Split(strings.ToLower(requested), ",")
	return slices.DeleteFunc(levels, func(level string) bool {
		return level != "base" && !slices.Contains(wanted, level)
	})
}
