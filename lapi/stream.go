package lapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Query says what to read.
type Query struct {
	// Startup asks for everything in force, and for what has ended lately;
	// otherwise for what changed since this key last read.
	Startup bool
	// Scopes, Origins and parts of scenario names; none: all, of scopes ip and
	// range.
	Scopes, Origins  []string
	Include, Exclude []string
}

// Decision is a decision as the Local API gives it out.
type Decision struct {
	ID       int64 // grows with each new one
	UUID     string
	Origin   string
	Scenario string
	Scope    string
	Type     string
	Value    string
	Left     time.Duration // what remains of it; below zero when it is over
}

// Event is a decision that is in force, or that is not any more.
type Event struct {
	Decision
	Deleted bool
}

// Seen is what a stream held.
type Seen struct {
	New, Deleted int
	Unreadable   int // decisions that could not be read, and were passed over
	// LastID is the greatest number among those in force. The Local API gives
	// them out by their numbers, and ends a list as usual when its database
	// fails in the midst of it (streamDecisions): only what is below LastID is
	// certainly gone if it was not there.
	LastID int64
	// Waited is how long the Local API took, after its answer, to note when it was
	// read. With SQLite that waits for whoever is writing, as of a long list.
	Waited time.Duration
}

// Stream reads decisions and hands each to do, in the order of the answer; an
// error of do ends it. An answer that breaks off is an error, and what was
// handed out until then was there.
//
// It returns when the Local API has noted when it was read: to ask again before
// would move that time on, and what a long transaction stores would be left out of
// what changed.
func (c *Client) Stream(ctx context.Context, q Query, do func(Event) error) (Seen, error) {
	body, err := c.do(ctx, http.MethodGet, "v1/decisions/stream", q.values(), nil, http.StatusOK)
	if err != nil {
		return Seen{}, fmt.Errorf("read the decisions of the Local API at %s: %w", c.base.Host, err)
	}
	defer func() { _ = body.Close() }() // it was read to its end, or an error says why not
	s := stream{decoder: json.NewDecoder(body), do: do, now: time.Now}
	if err := s.read(); err != nil {
		return s.seen, fmt.Errorf("read the decisions of the Local API at %s: %w", c.base.Host, err)
	}
	start := time.Now()
	_, _ = io.Copy(io.Discard, body) // all that counts was read
	s.seen.Waited = time.Since(start)
	return s.seen, nil
}

// Lookup returns the decisions in force on a prefix and on networks around it, of
// those that q selects. It is to follow a Stream within less than a minute: after
// that the Local API would take it for one (GetDecision), and what changed before
// it would never be told.
func (c *Client) Lookup(ctx context.Context, q Query, prefix netip.Prefix) (found []Decision, err error) {
	key, value := "range", prefix.String()
	if prefix.IsSingleIP() {
		key, value = "ip", prefix.Addr().String()
	}
	seen, err := c.standing(ctx, q, key, value, func(e Event) error {
		found = append(found, e.Decision)
		return nil
	})
	if err == nil && seen.Unreadable > 0 {
		err = errors.New("its answer holds a decision that cannot be read")
	}
	if err != nil {
		return nil, fmt.Errorf("look up the decisions on %s of the Local API at %s: %w", prefix, c.base.Host, err)
	}
	return found, nil
}

// ErrNoNumbers says that the Local API does not select decisions by number.
// CrowdSec 1.4.6 does not.
var ErrNoNumbers = errors.New("the Local API does not select decisions by number")

// Newer reads the decisions in force whose number is greater than one, of those
// that q selects, in no order, and also those that a longer one hides from Stream.
// It is to follow a Stream as Lookup is.
func (c *Client) Newer(ctx context.Context, q Query, than int64, do func(Event) error) (Seen, error) {
	seen, err := c.standing(ctx, q, "id_gt", strconv.FormatInt(than, 10), func(e Event) error {
		if e.ID <= than {
			return ErrNoNumbers
		}
		return do(e)
	})
	if err != nil {
		return seen, fmt.Errorf("read the decisions of the Local API at %s after number %d: %w", c.base.Host, than, err)
	}
	return seen, nil
}

// standing reads what is in force, of those that q and one more condition select.
func (c *Client) standing(ctx context.Context, q Query, key, value string, do func(Event) error) (Seen, error) {
	query := q.values()
	query.Del("startup")
	query.Set(key, value)
	body, err := c.do(ctx, http.MethodGet, "v1/decisions", query, nil, http.StatusOK)
	if err != nil {
		return Seen{}, err
	}
	defer func() { _ = body.Close() }() // it was read to its end, or an error says why not
	s := stream{decoder: json.NewDecoder(body), do: do}
	err = s.list(false)
	return s.seen, ended(err)
}

// Ping tries the key. It takes no change away from whoever reads.
func (c *Client) Ping(ctx context.Context) error {
	body, err := c.do(ctx, http.MethodHead, "v1/decisions/stream", nil, nil, http.StatusOK)
	if err != nil {
		return fmt.Errorf("ask the Local API at %s: %w", c.base.Host, err)
	}
	return body.Close()
}

func (q Query) values() url.Values {
	v := url.Values{}
	if q.Startup {
		v.Set("startup", "true")
	}
	for key, words := range map[string][]string{
		"scopes": q.Scopes, "origins": q.Origins, "scenarios_containing": q.Include, "scenarios_not_containing": q.Exclude,
	} {
		if len(words) > 0 {
			v.Set(key, strings.Join(words, ","))
		}
	}
	return v
}

// stream goes through an answer once.
type stream struct {
	decoder *json.Decoder
	do      func(Event) error
	now     func() time.Time
	seen    Seen
}

// read reads {"new": […] or null, "deleted": […] or null}.
func (s *stream) read() error {
	if err := s.expect('{'); err != nil {
		return err
	}
	for s.decoder.More() {
		key, err := s.decoder.Token()
		if err != nil {
			return ended(err)
		}
		switch key {
		case "new", "deleted":
			err = s.list(key == "deleted")
		default:
			err = s.decoder.Decode(new(json.RawMessage))
		}
		if err != nil {
			return ended(err)
		}
	}
	return s.expect('}')
}

func (s *stream) list(deleted bool) error {
	token, err := s.decoder.Token()
	if err != nil || token == nil {
		return err
	}
	if token != json.Delim('[') {
		return errors.New("its answer holds no list of decisions")
	}
	for s.decoder.More() {
		if err := s.one(deleted); err != nil {
			return err
		}
	}
	return s.expect(']')
}

// wire is a decision in JSON (pkg/models/decision.go); any field may be null.
type wire struct {
	ID       int64  `json:"id"`
	UUID     string `json:"uuid"`
	Origin   string `json:"origin"`
	Scenario string `json:"scenario"`
	Scope    string `json:"scope"`
	Type     string `json:"type"`
	Value    string `json:"value"`
	Duration string `json:"duration"`
}

func (s *stream) one(deleted bool) error {
	var w wire
	readable := true
	if err := s.decoder.Decode(&w); err != nil {
		if !errors.As(err, new(*json.UnmarshalTypeError)) {
			return err
		}
		readable = false // what follows it is
	}
	left, err := time.ParseDuration(w.Duration)
	if readable = readable && err == nil && w.Value != ""; !readable {
		s.seen.Unreadable++
		return nil
	}
	if deleted {
		s.seen.Deleted++
	} else {
		s.seen.New++
		s.seen.LastID = max(s.seen.LastID, w.ID)
	}
	return s.do(Event{Deleted: deleted, Decision: Decision{
		ID: w.ID, UUID: w.UUID, Origin: w.Origin, Scenario: w.Scenario, Scope: w.Scope, Type: w.Type, Value: w.Value, Left: left,
	}})
}

func (s *stream) expect(want json.Delim) error {
	token, err := s.decoder.Token()
	if err != nil {
		return ended(err)
	}
	if token != want {
		return fmt.Errorf("its answer holds %v where %v was expected", token, want)
	}
	return nil
}

// ended calls the end of a text that is not at its end what it is.
func ended(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
