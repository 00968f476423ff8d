package ban

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"
)

// Result is what a text of CrowdSec holds.
type Result struct {
	// Decisions are in the order of the text; an address may come several times.
	Decisions []Decision
	// Refused asked for a block and did not get one: unreadable, never to be
	// blocked, too wide. The administrator should hear of them.
	Refused Skips
	// Ignored are no business of ours: other scopes and types, filtered out,
	// simulated, already over.
	Ignored Skips
	// Undecided is how many alerts had no decisions. Simulated alerts do not count.
	Undecided int
	// Test says that the alert of `cscli notifications test` is among them. It
	// is neither a ban nor a skip.
	Test bool
}

// Read turns the alerts of a notification into decisions. now is when re-injected
// alerts count from, and what is over by then is no ban.
//
// The text is what the template `{{.|toJson}}` makes: a JSON list of alerts.
// One alert without a list, and several of either after each other, are read
// too. For other text the error says to set `format`; the Result then holds
// the alerts that stood whole before the fault.
func Read(text string, filter Filter, now time.Time) (Result, error) {
	r := reader{decoder: json.NewDecoder(strings.NewReader(text)), filter: filter, now: now.UTC().Round(0)}
	r.decoder.UseNumber()
	r.labels = make(map[string]string)
	// As many decisions as there may be, without believing a text of nothing else.
	r.reading.Decisions = make([]Decision, 0, min(strings.Count(text, `"value"`), len(text)/shortestDecision))
	if err := r.values(); err != nil {
		return r.reading, fmt.Errorf("the notification's text (%s) is not a JSON list of alerts: %w; "+
			"set format to {{.|toJson}} in the plugin's configuration", shorten(strings.TrimSpace(text)), err)
	}
	return r.reading, nil
}

// shortestDecision is about how many bytes CrowdSec needs for one.
const shortestDecision = 100

// reader goes through the text once, and holds no more of it than one decision.
type reader struct {
	decoder *json.Decoder
	filter  Filter
	now     time.Time
	reading Result

	durations []time.Duration   // of the decisions of the alert being read
	parts     []netip.Prefix    // scratch for what of a decision may be blocked
	decided   decision          // the decision being read
	decisive  bool              // the alert being read has decisions
	labels    map[string]string // one copy of each origin and scenario
}

// values reads the JSON values that stand one after the other.
func (r *reader) values() error {
	for n := 0; ; n++ {
		token, err := r.decoder.Token()
		switch {
		case errors.Is(err, io.EOF) && n > 0:
			return nil
		case errors.Is(err, io.EOF):
			return errors.New("it is empty")
		case err != nil:
			return err
		}
		switch token {
		case json.Delim('['):
			err = r.list()
		case json.Delim('{'):
			var isAlert bool
			if isAlert, err = r.alert(); err == nil && !isAlert {
				err = errors.New("it holds an object without the fields of an alert")
			}
		default:
			err = errors.New("it holds a value that is not an alert")
		}
		if err != nil {
			return err
		}
	}
}

// list reads alerts up to the end of their list, whose beginning is read.
func (r *reader) list() error {
	for r.decoder.More() {
		token, err := r.token()
		if err != nil {
			return err
		}
		isAlert := token == nil // an absent alert is nothing to speak of
		switch token {
		case json.Delim('{'):
			isAlert, err = r.alert()
		case json.Delim('['):
			err = r.skipRest(false)
		}
		if err != nil {
			return err
		}
		if !isAlert {
			r.reading.Refused.add("", "the list holds something that is not an alert")
		}
	}
	_, err := r.token()
	return err
}

// token is the next token inside a value, where the text must not end.
func (r *reader) token() (json.Token, error) {
	token, err := r.decoder.Token()
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return token, err
}

// decode reads the next value whole. A value of another shape than its target
// gives a [json.UnmarshalTypeError], and reading can go on behind it.
func (r *reader) decode(target any) error {
	err := r.decoder.Decode(target)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// scalar reads the next value and gives it if it is text, a number, a boolean
// or null; a list or an object gives its opening bracket and is skipped.
func (r *reader) scalar() (json.Token, error) {
	token, err := r.token()
	if err != nil {
		return nil, err
	}
	if bracket, nested := token.(json.Delim); nested {
		err = r.skipRest(bracket == '{')
	}
	return token, err
}

// skipRest reads up to the end of a list or an object whose beginning is read,
// value by value, so that a long list of events is never held in memory.
func (r *reader) skipRest(isObject bool) error {
	for r.decoder.More() {
		if isObject {
			if _, err := r.token(); err != nil {
				return err
			}
		}
		if err := r.decode(&skipped{}); err != nil {
			return err
		}
	}
	_, err := r.token()
	return err
}

// skipped is a value that nobody asks for.
type skipped struct{}

// UnmarshalJSON takes any value and keeps nothing of it.
func (*skipped) UnmarshalJSON([]byte) error { return nil }
