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

// Result is the content of a notification's text.
type Result struct {
	// Decisions are in the order of the text. An address may have several.
	Decisions []Decision
	// Refused are decisions that ask for a block and may not get it: unreadable, never to be blocked, too wide. The
	// administrator should know of them.
	Refused Skips
	// Ignored are decisions that ask for no block: another scope or type, filtered out, simulated, already ended.
	Ignored Skips
	// WithoutDecisions is the number of alerts without decisions. Simulated alerts do not count.
	WithoutDecisions int
	// HasTest reports the alert of `cscli notifications test`, which is neither a decision nor a skip.
	HasTest bool
}

// Read turns the alerts of a notification into decisions. The durations of re-injected alerts count from now. Read ignores
// decisions that have ended by then.
//
// The text is the output of the template `{{.|toJson}}`: a JSON list of alerts. Read also accepts an alert without a list,
// and several of either in a row. For other text it returns an error with the hint to set `format`, and the
// decisions of the complete alerts before the fault.
func Read(text string, filter Filter, now time.Time) (Result, error) {
	r := reader{decoder: json.NewDecoder(strings.NewReader(text)), filter: filter, now: now.UTC().Round(0)}
	r.decoder.UseNumber()
	r.labels = make(map[string]string)
	// The text is not trusted: it may repeat "value" without decisions.
	r.result.Decisions = make([]Decision, 0, min(strings.Count(text, `"value"`), len(text)/shortestDecision))
	if err := r.readValues(); err != nil {
		return r.result, fmt.Errorf("the notification's text (%s) is not a JSON list of alerts: %w; "+
			"set format to {{.|toJson}} in the plugin's configuration", shorten(strings.TrimSpace(text)), err)
	}
	return r.result, nil
}

// shortestDecision is about the fewest bytes of a decision in CrowdSec's text.
const shortestDecision = 100

// reader reads a text once. It holds one decision of the text at a time.
type reader struct {
	decoder *json.Decoder
	filter  Filter
	now     time.Time
	result  Result

	durations    []time.Duration   // of the decisions of the alert being read
	parts        []netip.Prefix    // the prefixes of the current decision
	current      decision          // the decision being read
	hasDecisions bool              // the alert being read has decisions
	labels       map[string]string // one copy of each origin and scenario
}

// readValues reads the JSON values of the text.
func (r *reader) readValues() error {
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
			err = r.readList()
		case json.Delim('{'):
			var isAlert bool
			if isAlert, err = r.readAlert(); err == nil && !isAlert {
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

// readList reads a list of alerts after its opening bracket.
func (r *reader) readList() error {
	for r.decoder.More() {
		token, err := r.nextToken()
		if err != nil {
			return err
		}
		isAlert := token == nil // null is an absent alert
		switch token {
		case json.Delim('{'):
			isAlert, err = r.readAlert()
		case json.Delim('['):
			err = r.skipRest(false)
		}
		if err != nil {
			return err
		}
		if !isAlert {
			r.result.Refused.Add(refusedSkip("", errors.New("the list holds something that is not an alert")))
		}
	}
	_, err := r.nextToken()
	return err
}

// nextToken returns the next token inside a value, where the text must not end.
func (r *reader) nextToken() (json.Token, error) {
	token, err := r.decoder.Token()
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return token, err
}

// decodeNext reads the next value. If the value has another type than its target, the error is a
// [json.UnmarshalTypeError], and the reader can go on behind the value.
func (r *reader) decodeNext(target any) error {
	err := r.decoder.Decode(target)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// readScalar reads and returns a text, a number, a boolean or null. It skips a list or an object and returns its bracket.
func (r *reader) readScalar() (json.Token, error) {
	token, err := r.nextToken()
	if err != nil {
		return nil, err
	}
	if bracket, nested := token.(json.Delim); nested {
		err = r.skipRest(bracket == '{')
	}
	return token, err
}

// skipRest skips a list or an object after its opening bracket. It reads value by value, so a long list of events stays
// out of memory.
func (r *reader) skipRest(isObject bool) error {
	for r.decoder.More() {
		if isObject {
			if _, err := r.nextToken(); err != nil {
				return err
			}
		}
		if err := r.decodeNext(&skipped{}); err != nil {
			return err
		}
	}
	_, err := r.nextToken()
	return err
}

// skipped accepts any JSON value, and stores nothing.
type skipped struct{}

// UnmarshalJSON stores nothing.
func (*skipped) UnmarshalJSON([]byte) error { return nil }
