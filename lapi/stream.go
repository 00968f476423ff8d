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
	// Startup selects everything in force, and the decisions that ended recently. Without it a stream holds the changes since
	// the last stream.
	Startup bool
	Scopes  []string // none: ip and range
	Origins []string // none: all
	// Include and Exclude are parts of scenario names. A scenario must contain one of Include, if there are any, and none of
	// Exclude.
	Include, Exclude []string
}

// Decision is a decision of the Local API (pkg/models/decision.go).
type Decision struct {
	ID       int64 // a later decision has a higher one
	UUID     string
	Origin   string
	Scenario string
	Scope    string
	Type     string
	Value    string
	Left     time.Duration `json:"-"` // until its end; negative: it has ended
}

// Event is one decision in an answer.
type Event struct {
	Decision
	Deleted bool // it has ended, or somebody deleted it; false: it is in force
}

// Summary counts the decisions of an answer.
type Summary struct {
	New, Deleted int
	Unreadable   int   // decisions that could not be read, and were left out
	HighestID    int64 // of the new decisions
}

// Stream reads decisions and calls do with each, in the order of the answer. An error of do ends it. If the answer breaks off,
// Stream returns an error after it called do with the decisions before. An answer without an error may still be cut: the
// Local API ends a list as usual when its database fails (streamDecisions).
//
// Stream returns after the Local API has closed its answer. Just before that, the Local API records the time of the read. A
// question of the caller before that time could make the next Stream lose changes.
func (c *Client) Stream(ctx context.Context, q Query, do func(Event) error) (Summary, error) {
	return c.read(ctx, "", "v1/decisions/stream", q.values(), (*answer).parseStream, do)
}

// Lookup returns the decisions in force on a prefix and on networks around it, of those that q selects. It must follow a
// Stream within a minute: a later Lookup counts as a Stream (GetDecision), and the next Stream lacks the changes before it.
func (c *Client) Lookup(ctx context.Context, q Query, prefix netip.Prefix) (found []Decision, err error) {
	key, value := "range", prefix.String()
	if prefix.IsSingleIP() {
		key, value = "ip", prefix.Addr().String()
	}
	seen, err := c.readInForce(ctx, " on "+value, q, key, value, func(e Event) error {
		found = append(found, e.Decision)
		return nil
	})
	if err == nil && seen.Unreadable > 0 {
		err = fmt.Errorf("the Local API at %s lists a decision on %s that cannot be read", c.Address(), value)
	}
	return found, err
}

// ErrNoIDs means that the Local API does not select decisions by ID. CrowdSec 1.4.6 does not.
var ErrNoIDs = errors.New("the Local API does not select decisions by ID")

// ReadAbove reads the decisions in force with an ID above the given one, of those that q selects, in any order. Like Lookup, it
// must follow a Stream within a minute. It returns [ErrNoIDs] if the Local API does not select by ID.
func (c *Client) ReadAbove(ctx context.Context, q Query, id int64, do func(Event) error) (Summary, error) {
	value := strconv.FormatInt(id, 10)
	return c.readInForce(ctx, " above ID "+value, q, "id_gt", value, func(e Event) error {
		if e.ID <= id {
			return ErrNoIDs
		}
		return do(e)
	})
}

// readInForce reads the decisions in force that q and one more condition select.
func (c *Client) readInForce(ctx context.Context, condition string, q Query, key, value string, do func(Event) error) (Summary, error) {
	q.Startup = false
	query := q.values()
	query.Set(key, value)
	parse := func(a *answer) error { return a.parseList(false) }
	return c.read(ctx, condition, "v1/decisions", query, parse, do)
}

// read asks for decisions and parses the answer. condition goes into an error.
func (c *Client) read(
	ctx context.Context, condition, path string, query url.Values, parse func(*answer) error, do func(Event) error,
) (Summary, error) {
	a := &answer{do: do}
	body, err := c.do(ctx, http.MethodGet, path, query, nil, http.StatusOK)
	if err == nil {
		defer body.Close()
		a.decoder = json.NewDecoder(body)
		if err = parse(a); err == nil {
			_, _ = io.Copy(io.Discard, body) // until the Local API closes it
		}
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		err = fmt.Errorf("read the decisions%s of the Local API at %s: %w", condition, c.Address(), err)
	}
	return a.seen, err
}

// Ping tries the key. It does not count as a Stream, so the next Stream is complete.
func (c *Client) Ping(ctx context.Context) error {
	body, err := c.do(ctx, http.MethodHead, "v1/decisions/stream", nil, nil, http.StatusOK)
	if err != nil {
		return fmt.Errorf("ask the Local API at %s: %w", c.Address(), err)
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

// answer parses an answer.
type answer struct {
	decoder *json.Decoder
	do      func(Event) error
	seen    Summary
}

// parseStream parses {"new": […] or null, "deleted": […] or null}.
func (a *answer) parseStream() error {
	if err := a.expect('{'); err != nil {
		return err
	}
	isStream := false
	for a.decoder.More() {
		key, err := a.decoder.Token()
		switch {
		case err != nil:
		case key == "new" || key == "deleted":
			isStream = true
			err = a.parseList(key == "deleted")
		default:
			err = a.decoder.Decode(new(json.RawMessage))
		}
		if err != nil {
			return err
		}
	}
	if err := a.expect('}'); err != nil {
		return err
	}
	if !isStream {
		return errors.New("its answer holds neither new nor deleted decisions: something else answers there")
	}
	return nil
}

// parseList parses […] or null.
func (a *answer) parseList(deleted bool) error {
	token, err := a.decoder.Token()
	if err != nil || token == nil {
		return err
	}
	if token != json.Delim('[') {
		return errors.New("its answer holds no list of decisions")
	}
	for a.decoder.More() {
		if err := a.parseDecision(deleted); err != nil {
			return err
		}
	}
	return a.expect(']')
}

func (a *answer) parseDecision(deleted bool) error {
	var w struct { // any field may be null
		Decision
		Duration string
	}
	readable := true
	if err := a.decoder.Decode(&w); errors.As(err, new(*json.UnmarshalTypeError)) {
		readable = false // the decoder goes on behind it
	} else if err != nil {
		return err
	}
	left, err := time.ParseDuration(w.Duration)
	readable = readable && err == nil && w.Value != ""
	switch {
	case !readable:
		a.seen.Unreadable++
		return nil
	case deleted:
		a.seen.Deleted++
	default:
		a.seen.New++
		a.seen.HighestID = max(a.seen.HighestID, w.ID)
	}
	w.Left = left
	return a.do(Event{w.Decision, deleted})
}

func (a *answer) expect(want json.Delim) error {
	token, err := a.decoder.Token()
	if err == nil && token != want {
		err = fmt.Errorf("its answer holds %v where %v was expected", token, want)
	}
	return err
}
