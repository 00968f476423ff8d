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

// Decision is a decision as the Local API gives it out (pkg/models/decision.go).
type Decision struct {
	ID       int64 // grows with each new one
	UUID     string
	Origin   string
	Scenario string
	Scope    string
	Type     string
	Value    string
	Left     time.Duration `json:"-"` // until its end; negative: it is over
}

// Event is a decision in an answer.
type Event struct {
	Decision
	Deleted bool // it has ended, or somebody deleted it; otherwise it is in force
}

// Summary says what an answer held.
type Summary struct {
	New, Deleted int
	Unreadable   int // decisions that could not be read, and were left out
	// HighestID is the highest ID of the new decisions. A stream that ends well may still be cut: the Local API ends a list as
	// usual when its database fails in the midst of it (streamDecisions).
	HighestID int64
}

// Stream reads decisions and calls do with each, in the order of the answer. An error of do ends it. An answer that breaks
// off is an error, and do was called with the decisions before that.
//
// Stream returns when the Local API has closed its answer. Just before that, the Local API records the time of the read. A
// second question before then could lose changes.
func (c *Client) Stream(ctx context.Context, q Query, do func(Event) error) (Summary, error) {
	return c.read(ctx, "", "v1/decisions/stream", q.values(), (*answer).changes, do)
}

// Lookup returns the decisions in force on a prefix and on networks around it, of those that q selects. It must follow a
// Stream within a minute. Later, the Local API counts Lookup as a Stream (GetDecision), and the next Stream lacks the changes
// before it.
func (c *Client) Lookup(ctx context.Context, q Query, prefix netip.Prefix) (found []Decision, err error) {
	key, value := "range", prefix.String()
	if prefix.IsSingleIP() {
		key, value = "ip", prefix.Addr().String()
	}
	seen, err := c.standing(ctx, " on "+value, q, key, value, func(e Event) error {
		found = append(found, e.Decision)
		return nil
	})
	if err == nil && seen.Unreadable > 0 {
		err = fmt.Errorf("the Local API at %s lists a decision on %s that cannot be read", c.Address(), value)
	}
	return found, err
}

// ErrNoIDs says that the Local API does not select decisions by ID. CrowdSec 1.4.6 does not.
var ErrNoIDs = errors.New("the Local API does not select decisions by ID")

// ReadAbove reads the decisions in force with an ID above the given one, of those that q selects, in any order. Like Lookup, it
// must follow a Stream within a minute. It ends with [ErrNoIDs] if the Local API does not select by ID.
func (c *Client) ReadAbove(ctx context.Context, q Query, id int64, do func(Event) error) (Summary, error) {
	value := strconv.FormatInt(id, 10)
	return c.standing(ctx, " above ID "+value, q, "id_gt", value, func(e Event) error {
		if e.ID <= id {
			return ErrNoIDs
		}
		return do(e)
	})
}

// standing reads what is in force, of those that q and one more condition select.
func (c *Client) standing(ctx context.Context, which string, q Query, key, value string, do func(Event) error) (Summary, error) {
	q.Startup = false
	query := q.values()
	query.Set(key, value)
	list := func(a *answer) error { return a.list(false) }
	return c.read(ctx, which, "v1/decisions", query, list, do)
}

// read asks for decisions and goes through the answer.
func (c *Client) read(ctx context.Context, which, path string, query url.Values, through func(*answer) error, do func(Event) error) (Summary, error) {
	a := &answer{do: do}
	body, err := c.do(ctx, http.MethodGet, path, query, nil, http.StatusOK)
	if err == nil {
		defer body.Close()
		a.decoder = json.NewDecoder(body)
		if err = through(a); err == nil {
			_, _ = io.Copy(io.Discard, body) // until the Local API closes it
		}
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		err = fmt.Errorf("read the decisions%s of the Local API at %s: %w", which, c.Address(), err)
	}
	return a.seen, err
}

// Ping tries the key. It does not count as a read, so the next Stream is complete.
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

// answer goes through an answer once.
type answer struct {
	decoder *json.Decoder
	do      func(Event) error
	seen    Summary
}

// changes reads {"new": […] or null, "deleted": […] or null}.
func (a *answer) changes() error {
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
			err = a.list(key == "deleted")
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

// list reads […] or null.
func (a *answer) list(deleted bool) error {
	token, err := a.decoder.Token()
	if err != nil || token == nil {
		return err
	}
	if token != json.Delim('[') {
		return errors.New("its answer holds no list of decisions")
	}
	for a.decoder.More() {
		if err := a.one(deleted); err != nil {
			return err
		}
	}
	return a.expect(']')
}

func (a *answer) one(deleted bool) error {
	var w struct { // any field may be null
		Decision
		Duration string
	}
	readable := true
	if err := a.decoder.Decode(&w); errors.As(err, new(*json.UnmarshalTypeError)) {
		readable = false // the entries after it can be read
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
