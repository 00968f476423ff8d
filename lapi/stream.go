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

// Query selects decisions.
type Query struct {
	// Startup selects everything in force, and the decisions that ended lately. Without it a stream holds what changed since
	// this key last read.
	Startup bool
	// Scopes and Origins are those that are read; none: scopes ip and range, and all origins.
	Scopes, Origins []string
	// Include and Exclude are parts of scenario names. A scenario must contain one of Include, and none of Exclude; none: all
	// scenarios are read.
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
	Left     time.Duration // until its end; negative: it is over
}

// Event is a decision in an answer.
type Event struct {
	Decision
	Deleted bool // it has ended, or somebody deleted it; otherwise it is in force
}

// Seen says what an answer held.
type Seen struct {
	New, Deleted int
	Unreadable   int // decisions that could not be read, and were left out
	// LastID is the highest ID of the new decisions. A stream that ends well may still be cut: the Local API ends a list as
	// usual when its database fails in the midst of it (streamDecisions).
	LastID int64
}

// Stream reads decisions and calls do with each, in the order of the answer. An error of do ends it. An answer that breaks
// off is an error, and do was called with the decisions before that.
//
// Stream returns when the Local API has closed its answer. Just before that, the Local API records the time of the read. A
// second question before then could lose changes.
func (c *Client) Stream(ctx context.Context, q Query, do func(Event) error) (Seen, error) {
	body, err := c.do(ctx, http.MethodGet, "v1/decisions/stream", q.values(), nil, http.StatusOK)
	if err != nil {
		return Seen{}, fmt.Errorf("read the decisions of the Local API at %s: %w", c.Where(), err)
	}
	defer func() { _ = body.Close() }() // it was read to its end, or an error says why not
	s := stream{decoder: json.NewDecoder(body), do: do, now: time.Now}
	if err := s.read(); err != nil {
		return s.seen, fmt.Errorf("read the decisions of the Local API at %s: %w", c.Where(), err)
	}
	_, _ = io.Copy(io.Discard, body) // all that counts was read
	return s.seen, nil
}

// Lookup returns the decisions in force on a prefix and on networks around it, of those that q selects. It must follow a
// Stream within a minute. Later, the Local API counts Lookup as a Stream (GetDecision), and the next Stream lacks the changes
// before it.
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
		return nil, fmt.Errorf("look up the decisions on %s of the Local API at %s: %w", prefix, c.Where(), err)
	}
	return found, nil
}

// ErrNoIDs says that the Local API does not select decisions by ID. CrowdSec
// 1.4.6 does not.
var ErrNoIDs = errors.New("the Local API does not select decisions by ID")

// Above reads the decisions in force with an ID above the given one, of those that
// q selects, in any order. Like Lookup, it must follow a Stream within a minute. It
// ends with [ErrNoIDs] if the Local API does not select by ID.
func (c *Client) Above(ctx context.Context, q Query, id int64, do func(Event) error) (Seen, error) {
	seen, err := c.standing(ctx, q, "id_gt", strconv.FormatInt(id, 10), func(e Event) error {
		if e.ID <= id {
			return ErrNoIDs
		}
		return do(e)
	})
	if err != nil {
		return seen, fmt.Errorf("read the decisions of the Local API at %s above ID %d: %w", c.Where(), id, err)
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

// Ping tries the key. The next Stream lacks nothing by that.
func (c *Client) Ping(ctx context.Context) error {
	body, err := c.do(ctx, http.MethodHead, "v1/decisions/stream", nil, nil, http.StatusOK)
	if err != nil {
		return fmt.Errorf("ask the Local API at %s: %w", c.Where(), err)
	}
	return body.Close()
}

func (q Query) values() url.Values {
	v := url.Values{"dedup": {"false"}}
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
	isStream := false
	for s.decoder.More() {
		key, err := s.decoder.Token()
		if err != nil {
			return ended(err)
		}
		switch key {
		case "new", "deleted":
			isStream = true
			err = s.list(key == "deleted")
		default:
			err = s.decoder.Decode(new(json.RawMessage))
		}
		if err != nil {
			return ended(err)
		}
	}
	if err := s.expect('}'); err != nil {
		return err
	}
	if !isStream {
		return errors.New("its answer holds neither new nor deleted decisions: something else answers there")
	}
	return nil
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

// ended returns io.ErrUnexpectedEOF for the end of a text that is cut.
func ended(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
