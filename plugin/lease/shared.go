package lease

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"notification-stormshield/plugin/postgres"
)

const (
	// askEvery is how often the holder asks the database whether it still holds the shared lease.
	askEvery = time.Second
	// askWait bounds the wait for an answer.
	askWait = 2 * time.Second
	// permitFor is how long an answer counts, from the moment of the question. Package plugin lets the next holder begin 5 s later than the
	// database frees the lease, so the steps of two holders are 2 s apart.
	permitFor = 3 * time.Second
	// tryWait bounds the login to the database and the question for the lease.
	tryWait = 10 * time.Second
	// releaseWait bounds how long Release waits for the database, because the process may be about to end.
	releaseWait = 500 * time.Millisecond
)

// Contender contends for the lease that several machines share: a session lock (pg_advisory_lock) in their database. The server frees it
// when the connection ends: at once if the process ends, and within 15 s if the machine vanishes. It is not for concurrent use.
type Contender struct {
	Database postgres.Database

	connection *postgres.Conn // nil: none is open
}

// Try takes the shared lease. It returns nil if another machine holds the lease. Then it leaves its connection open for the next Try; Close
// closes it.
func (c *Contender) Try(ctx context.Context) (*Shared, error) {
	ctx, cancel := context.WithTimeout(ctx, tryWait)
	defer cancel()
	isOld := c.connection != nil
	held, err := c.try(ctx)
	if err != nil && isOld && ctx.Err() == nil { // the server may have restarted meanwhile
		held, err = c.try(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("take the shared lease: %w", err)
	}
	return held, nil
}

// try asks once. After an error there is no connection.
func (c *Contender) try(ctx context.Context) (_ *Shared, err error) {
	if c.connection == nil {
		if c.connection, err = c.Database.Connect(ctx); err != nil {
			c.connection = nil
			return nil, err
		}
	}
	key, asked := c.Database.LockKey("lease"), sinceBoot()
	var isTaken bool
	if err := c.connection.QueryRowContext(ctx, "SELECT pg_try_advisory_lock(?)", key).Scan(&isTaken); err != nil {
		c.Close()
		return nil, err
	}
	if !isTaken {
		return nil, nil
	}
	s := &Shared{
		connection: c.connection, key: key, answered: asked,
		lost: make(chan struct{}), stop: make(chan struct{}), watched: make(chan struct{}),
	}
	c.connection = nil
	go s.watch(context.WithoutCancel(ctx)) // until Release, or until the lease is lost
	return s, nil
}

// Close closes the connection that Try left open.
func (c *Contender) Close() {
	if c.connection != nil {
		_ = c.connection.Close() // it may be broken
		c.connection = nil
	}
}

// Shared is the shared lease, held by this process. Its methods may be called from any goroutine.
type Shared struct {
	connection *postgres.Conn
	key        int64

	mu       sync.Mutex
	answered time.Duration // since the machine booted: when the last question was sent that the database answered
	denied   error         // why this process does not hold the lease any more; nil: it does

	lost, stop, watched chan struct{}
	stopping            sync.Once
}

var errReleased = errors.New("this process gave the shared lease back")

// Permit returns nil while this process surely holds the lease. It does not wait. After its first error it never returns nil again.
func (s *Shared) Permit() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if age := sinceBoot() - s.answered; s.denied == nil && age > permitFor {
		s.deny(fmt.Errorf("the database has not answered for %s, so another machine may hold the shared lease", age.Round(time.Millisecond)))
		close(s.lost)
	}
	return s.denied
}

// Lost returns a channel that closes when the lease is lost without Release.
func (s *Shared) Lost() <-chan struct{} { return s.lost }

// Release gives the lease back. When it returns, another machine can take the lease, if the database answers.
func (s *Shared) Release() {
	s.mu.Lock()
	s.deny(errReleased)
	s.mu.Unlock()
	s.stopping.Do(func() { close(s.stop) })
	<-s.watched
}

// deny ends the lease for the callers of Permit. Its caller holds mu.
func (s *Shared) deny(why error) {
	if s.denied == nil {
		s.denied = why
	}
}

// lose ends the lease without Release.
func (s *Shared) lose(why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.denied == nil {
		s.deny(fmt.Errorf("the shared lease is lost: %w", why))
		close(s.lost)
	}
}

// watch asks the database until the lease is lost or given back. Then it closes the connection.
func (s *Shared) watch(ctx context.Context) {
	defer close(s.watched)
	defer func() { _ = s.connection.Close() }() // it may be broken
	asking, end := context.WithCancel(ctx)
	defer end()
	go func() {
		select {
		case <-asking.Done():
			return
		case <-s.stop:
		case <-s.lost:
		}
		select {
		case <-asking.Done():
		case <-time.After(releaseWait):
			end()
		}
	}()
	for {
		select {
		case <-s.lost:
			return
		case <-s.stop:
			_ = s.unlock(asking) // closing the connection frees the lease too
			return
		case <-time.After(askEvery):
		}
		if err := s.ask(asking); err != nil {
			s.lose(err)
			return
		}
	}
}

// ask asks whether this connection holds the lock. A pooler between this process and the server may have given the lock's connection to
// somebody else.
func (s *Shared) ask(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, askWait)
	defer cancel()
	asked := sinceBoot()
	var held int
	err := s.connection.QueryRowContext(ctx, "SELECT COUNT(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND granted "+
		"AND pid = pg_backend_pid() AND (classid::bigint << 32 | objid::bigint) = ?", s.key).Scan(&held)
	switch {
	case err != nil:
		return err
	case held == 0:
		return errors.New("this connection does not hold the lock any more (hint: state_url must lead to PostgreSQL itself, " +
			"or to a pooler that keeps a session for each client)")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answered = asked
	return nil
}

func (s *Shared) unlock(ctx context.Context) error {
	var freed bool
	return s.connection.QueryRowContext(ctx, "SELECT pg_advisory_unlock(?)", s.key).Scan(&freed)
}

// sinceBoot returns how long ago this machine booted, with the time of its suspension. Go's monotonic clock stops while a machine is
// suspended, but the database frees the lease meanwhile.
func sinceBoot() time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		panic(fmt.Sprintf("read the clock: %v", err)) // every Linux kernel since 2.6.39 has it
	}
	return time.Duration(now.Nano())
}
