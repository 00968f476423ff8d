package snstest

import (
	"crypto/rand"
	"slices"
	"strings"
	"sync"
	"time"
)

// session is one session of the API. It sees the files as they were when it was opened.
type session struct {
	id     string
	cookie string
	levels []string
	view   *view
	span   span // guarded by running

	used     time.Time // guarded by sessionStore.mu, like commands
	commands int

	running sync.Mutex // one command at a time
}

func (s *session) hasLevel(level string) bool { return slices.Contains(s.levels, level) }

// sessionStore keeps the logins, the sessions, and who holds the two rights that only one session can hold.
type sessionStore struct {
	idle time.Duration

	mu            sync.Mutex
	logins        map[string]login // by their cookies
	sessions      map[string]*session
	configHolder  string // a session's id, or one of the holders of rights.go
	monitorHolder string
}

func newSessionStore(o Options) *sessionStore {
	s := &sessionStore{idle: o.SessionIdle}
	s.clear()
	return s
}

// clear forgets everything, as a reboot does.
func (s *sessionStore) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.logins = map[string]login{}
	s.sessions = map[string]*session{}
	s.configHolder, s.monitorHolder = nobody, nobody
}

// login is a login to the API.
type login struct {
	writer string
	used   time.Time
}

// addLogin returns the cookie of a new login.
func (s *sessionStore) addLogin(writer string) (cookie string) {
	cookie = rand.Text()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.logins[cookie] = login{writer, time.Now()}
	return cookie
}

// isLoggedIn reports whether a cookie belongs to a login that is still valid.
func (s *sessionStore) isLoggedIn(cookie string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire()
	found, ok := s.logins[cookie]
	if ok {
		s.logins[cookie] = login{found.writer, time.Now()}
	}
	return ok
}

// expire ends idle sessions and logins. The caller holds mu.
func (s *sessionStore) expire() {
	for id, open := range s.sessions {
		if time.Since(open.used) > s.idle {
			s.end(id)
		}
	}
	for cookie, login := range s.logins {
		if time.Since(login.used) > s.idle {
			delete(s.logins, cookie)
		}
	}
}

// end ends a session, and with it the rights that it holds. The caller holds mu.
func (s *sessionStore) end(id string) {
	delete(s.sessions, id)
	for _, holder := range []*string{&s.configHolder, &s.monitorHolder} {
		if *holder == id {
			*holder = nobody
		}
	}
}

// openSession returns nil when mostSessions are open.
func (s *sessionStore) openSession(cookie string, levels []string, view *view) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire()
	if len(s.sessions) >= mostSessions {
		return nil
	}
	opened := &session{id: rand.Text(), cookie: cookie, levels: levels, view: view, span: span{writer: s.logins[cookie].writer}, used: time.Now()}
	s.sessions[opened.id] = opened
	return opened
}

// forCommand finds a session for its next command. The session expires when it has run limit commands; 0 is no limit.
func (s *sessionStore) forCommand(id, cookie string, limit int) (found *session, expired bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire()
	found = s.sessions[id]
	if found == nil || found.cookie != cookie {
		return nil, false
	}
	found.used = time.Now()
	found.commands++
	if limit > 0 && found.commands > limit {
		s.end(id)
		return nil, true
	}
	return found, false
}

func (s *sessionStore) closeSession(id, cookie string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if open := s.sessions[id]; open != nil && open.cookie == cookie {
		s.end(id)
	}
}

func (s *sessionStore) countOpen() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire()
	return len(s.sessions)
}

// EndSessions ends every API session and login, as when the administrator disconnects them.
func (a *Appliance) EndSessions() {
	s := a.sessions
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.sessions {
		s.end(id)
	}
	clear(s.logins)
}

// accountLevels are the privileges of the account, in the order in which a session lists them.
func accountLevels(f *Faults) []string {
	levels := []string{"base", "modify", "mon_write", "filter", "filter_read", "object", "log", "maintenance", "other"}
	return slices.DeleteFunc(levels, func(level string) bool {
		return f.NoMonWrite && level == "mon_write" || f.NoModify && level == "modify" || f.NoLog && level == "log" ||
			f.NoFilter && level == "filter"
	})
}

// grantLevels are the privileges of the account that a session asks for. Without a request it gets all.
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
