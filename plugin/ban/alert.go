package ban

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// latest is the last moment a ban may end at. Later ones would not fit in 64
// bits of nanoseconds.
var latest = time.Date(2261, time.December, 31, 23, 59, 59, 0, time.UTC)

// alert is what counts of an alert beside its decisions. Its fields may come
// after the decisions.
type alert struct {
	scenario  string
	stopAt    string
	simulated bool
	stored    bool // it has an id: it comes from the database, by `cscli notifications reinject`
}

// alert reads an object whose beginning is read. It is no alert if it has none
// of the fields that every alert has. Of one that cannot be read to its end,
// nothing is kept.
func (r *reader) alert() (isAlert bool, err error) {
	var a alert
	first := len(r.reading.Decisions)
	r.durations, r.decisive = r.durations[:0], false
	if isAlert, err = r.fields(&a); err != nil {
		r.reading.Decisions = r.reading.Decisions[:first]
		return false, err
	}
	r.finish(a, first)
	if isAlert && !r.decisive && !a.simulated {
		r.reading.Undecided++
	}
	return isAlert, nil
}

// fields reads up to the end of an alert.
func (r *reader) fields(a *alert) (isAlert bool, err error) {
	for r.decoder.More() {
		key, err := r.token()
		if err != nil {
			return false, err
		}
		if key == "decisions" {
			err = r.decisions()
		} else {
			err = r.field(key, a)
		}
		if err != nil {
			return false, err
		}
		switch key {
		case "decisions", "scenario", "source", "stop_at":
			isAlert = true
		}
	}
	_, err = r.token()
	return isAlert, err
}

// field reads one field of an alert other than its decisions.
func (r *reader) field(key json.Token, a *alert) error {
	value, err := r.scalar()
	if err != nil {
		return err
	}
	switch key {
	case "scenario":
		a.scenario, _ = value.(string)
	case "stop_at":
		a.stopAt, _ = value.(string)
	case "simulated":
		a.simulated = value == true
	case "id":
		number, isNumber := value.(json.Number)
		a.stored = isNumber && number != "0"
	}
	return nil
}

// decisions reads the list of an alert's decisions, or null.
func (r *reader) decisions() error {
	token, err := r.token()
	if err != nil || token == nil {
		return err
	}
	if token != json.Delim('[') {
		r.decisive = true // the alert may have decisions
		r.reading.Refused.add("", "an alert's decisions are not a list")
		if token == json.Delim('{') {
			return r.skipRest(true)
		}
		return nil
	}
	for r.decoder.More() {
		r.decisive = true
		if err := r.decision(); err != nil {
			return err
		}
	}
	_, err = r.token()
	return err
}

// finish gives the bans from first on their end, and takes out again those that
// the alert as a whole rules out.
func (r *reader) finish(a alert, first int) {
	bans := r.reading.Decisions
	kept := bans[:first]
	for i, b := range bans[first:] {
		b.Until = r.end(a, r.durations[i])
		reason := ""
		if b.Scenario == "" {
			b.Scenario = r.label(a.scenario)
			reason = r.filter.ignoresScenario(b.Scenario)
		}
		switch {
		case a.simulated:
			reason = "alert is simulated"
		case !b.Until.After(r.now):
			reason = "already over"
		}
		if reason != "" {
			r.reading.Ignored.add(b.Prefix.String(), reason)
			continue
		}
		kept = append(kept, b)
	}
	clear(bans[len(kept):])
	r.reading.Decisions = kept
}

// end is when a decision of this duration ends.
//
// The Local API counts from stop_at, and from now when it cannot read stop_at
// (crowdsec 1.7.8, pkg/database/alerts.go, parseAlertTimes). What the database
// gives back has the time that remains instead (FormatOneAlert in
// pkg/apiserver/controllers/v1/alerts.go).
func (r *reader) end(a alert, duration time.Duration) time.Time {
	from := r.now
	if !a.stored && len(a.stopAt) <= longestField {
		if stop, err := time.Parse(time.RFC3339, a.stopAt); err == nil {
			from = stop.UTC()
		}
	}
	if until := from.Add(duration); until.Before(latest) {
		return until
	}
	return latest
}

// decision is one decision as CrowdSec writes it (pkg/models/decision.go). Any
// field may be null or absent.
type decision struct {
	Duration  string `json:"duration"`
	Origin    string `json:"origin"`
	Scenario  string `json:"scenario"`
	Scope     string `json:"scope"`
	Simulated bool   `json:"simulated"`
	Type      string `json:"type"`
	UUID      string `json:"uuid"`
	Value     string `json:"value"`
}

// isTest tells the decision of `cscli notifications test`. An administrator can
// override fields of its alert, so only the decision is looked at; one that
// passed the Local API would have a uuid.
func (d *decision) isTest() bool {
	return d.Value == "10.10.10.10" && d.Scenario == "test alert" && d.UUID == "" &&
		strings.EqualFold(d.Origin, "cscli")
}

// decision reads the next decision and keeps its bans, with their ends yet
// unknown.
func (r *reader) decision() error {
	d := &r.decided
	*d = decision{}
	err := r.decode(d)
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrong):
		reason := "the decision is not an object"
		if wrong.Field != "" {
			reason = fmt.Sprintf("the decision's %s is not of its type", wrong.Field)
		}
		r.reading.Refused.add(d.Value, reason)
	case err != nil:
		return err
	case *d == decision{}:
		r.reading.Refused.add("", "the decision is empty")
	case d.isTest():
		r.reading.Test = true
	default:
		r.consider(d)
	}
	return nil
}

// consider turns one decision into bans, or into a skip.
func (r *reader) consider(d *decision) {
	if reason := r.filter.ignores(d); reason != "" {
		r.reading.Ignored.add(d.Value, reason)
		return
	}
	if err := r.keep(d); err != nil {
		r.reading.Refused.add(d.Value, err.Error())
	}
}

// ignores tells why a decision is none of our business, or "".
func (f Filter) ignores(d *decision) string {
	switch {
	case d.Simulated:
		return "decision is simulated"
	case !strings.EqualFold(d.Scope, "ip") && !strings.EqualFold(d.Scope, "range"):
		return "scope " + shorten(d.Scope) + " is neither Ip nor Range"
	}
	if reason := f.ignoresType(d.Type); reason != "" {
		return reason
	}
	if reason := f.ignoresOrigin(d.Origin); reason != "" {
		return reason
	}
	if d.Scenario == "" {
		return "" // the alert's counts instead, once it is read
	}
	return f.ignoresScenario(d.Scenario)
}

// keep appends one decision on each prefix that it blocks.
func (r *reader) keep(d *decision) error {
	prefix, err := ParsePrefix(d.Value)
	if err != nil {
		return err
	}
	duration, err := ParseDuration(d.Duration)
	if err != nil {
		return err // the Local API does not store such an alert either
	}
	if r.parts, err = r.filter.appendAdmitted(r.parts[:0], prefix); err != nil {
		return err
	}
	kept := Decision{UUID: ParseUUID(d.UUID), RangeBits: prefix.Bits(), Type: r.label(d.Type), Origin: r.label(d.Origin), Scenario: r.label(d.Scenario)}
	for _, kept.Prefix = range r.parts {
		r.reading.Decisions = append(r.reading.Decisions, kept)
		r.durations = append(r.durations, duration)
	}
	return nil
}

// label cleans an origin or a scenario and keeps one copy of it for all bans.
func (r *reader) label(text string) string {
	if known, ok := r.labels[text]; ok {
		return known
	}
	clean := label(text)
	if len(r.labels) < 1000 && len(text) <= longestLabel {
		r.labels[text] = clean
	}
	return clean
}
