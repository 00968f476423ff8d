package ban

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// latestEnd is the latest end of a ban. A later one does not fit in 64 bits of nanoseconds.
var latestEnd = time.Date(2261, time.December, 31, 23, 59, 59, 0, time.UTC)

// alert has the fields of an alert that its decisions depend on. They may come after the decisions.
type alert struct {
	scenario  string
	stopAt    string
	simulated bool
	stored    bool // it has an ID: `cscli notifications reinject` read it from the database
}

// readAlert reads an object after its opening bracket. An object is an alert if it has one of the fields of every alert.
// readAlert keeps no decision of an alert that it cannot read to its end.
func (r *reader) readAlert() (isAlert bool, err error) {
	var a alert
	first := len(r.result.Decisions)
	r.durations, r.hasDecisions = r.durations[:0], false
	if isAlert, err = r.readFields(&a); err != nil {
		r.result.Decisions = r.result.Decisions[:first]
		return false, err
	}
	r.finishAlert(a, first)
	if isAlert && !r.hasDecisions && !a.simulated {
		r.result.WithoutDecisions++
	}
	return isAlert, nil
}

// readFields reads the fields of an alert up to its end.
func (r *reader) readFields(a *alert) (isAlert bool, err error) {
	for r.decoder.More() {
		key, err := r.nextToken()
		if err != nil {
			return false, err
		}
		if key == "decisions" {
			err = r.readDecisions()
		} else {
			err = r.readField(key, a)
		}
		if err != nil {
			return false, err
		}
		switch key {
		case "decisions", "scenario", "source", "stop_at":
			isAlert = true
		}
	}
	_, err = r.nextToken()
	return isAlert, err
}

// readField reads one field of an alert other than its decisions.
func (r *reader) readField(key json.Token, a *alert) error {
	value, err := r.readScalar()
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

// readDecisions reads the list of an alert's decisions, or null.
func (r *reader) readDecisions() error {
	token, err := r.nextToken()
	if err != nil || token == nil {
		return err
	}
	if token != json.Delim('[') {
		r.hasDecisions = true // the alert may have decisions
		r.result.Refused.Add(refusedSkip("", errors.New("an alert's decisions are not a list")))
		if token == json.Delim('{') {
			return r.skipRest(true)
		}
		return nil
	}
	for r.decoder.More() {
		r.hasDecisions = true
		if err := r.readDecision(); err != nil {
			return err
		}
	}
	_, err = r.nextToken()
	return err
}

// finishAlert sets the end of the decisions from first on. It removes those that have ended, and those that the alert
// excludes.
func (r *reader) finishAlert(a alert, first int) {
	bans := r.result.Decisions
	kept := bans[:first]
	for i, b := range bans[first:] {
		b.Until = r.endOf(a, r.durations[i])
		reason := ""
		if b.Scenario == "" {
			b.Scenario = r.internLabel(a.scenario)
			reason = r.filter.scenarioReason(b.Scenario)
		}
		switch {
		case a.simulated:
			reason = "alert is simulated"
		case !b.Until.After(r.now):
			reason = "already ended"
		}
		if reason != "" {
			r.result.Ignored.Add(ignoredSkip(b.Prefix.String(), reason))
			continue
		}
		kept = append(kept, b)
	}
	clear(bans[len(kept):])
	r.result.Decisions = kept
}

// endOf returns the end of a decision of this duration.
//
// The Local API counts from stop_at, and from now when it cannot read stop_at (CrowdSec 1.7.8, pkg/database/alerts.go,
// parseAlertTimes). The duration of an alert from the database is the remaining time (FormatOneAlert in
// pkg/apiserver/controllers/v1/alerts.go).
func (r *reader) endOf(a alert, duration time.Duration) time.Time {
	from := r.now
	if !a.stored && len(a.stopAt) <= longestField {
		if stop, err := time.Parse(time.RFC3339, a.stopAt); err == nil {
			from = stop.UTC()
		}
	}
	if until := from.Add(duration); until.Before(latestEnd) {
		return until
	}
	return latestEnd
}

// decision is one decision as CrowdSec writes it (pkg/models/decision.go). Any field may be null or absent.
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

// isTest reports whether the decision is that of `cscli notifications test`. It ignores the alert, whose fields an
// administrator can override. A decision that passed the Local API has a UUID.
func (d *decision) isTest() bool {
	return d.Value == "10.10.10.10" && d.Scenario == "test alert" && d.UUID == "" &&
		strings.EqualFold(d.Origin, "cscli")
}

// readDecision reads the next decision and adds it to the result, without its end.
func (r *reader) readDecision() error {
	d := &r.current
	*d = decision{}
	err := r.decodeNext(d)
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrong):
		reason := "the decision is not an object"
		if wrong.Field != "" {
			reason = fmt.Sprintf("the decision's %s is not of its type", wrong.Field)
		}
		r.result.Refused.Add(refusedSkip(d.Value, errors.New(reason)))
	case err != nil:
		return err
	case *d == decision{}:
		r.result.Refused.Add(refusedSkip("", errors.New("the decision is empty")))
	case d.isTest():
		r.result.HasTest = true
	default:
		r.addDecision(d)
	}
	return nil
}

// addDecision adds a decision to the result, or a skip.
func (r *reader) addDecision(d *decision) {
	if reason := r.filter.ignoreReason(d); reason != "" {
		r.result.Ignored.Add(ignoredSkip(d.Value, reason))
		return
	}
	if err := r.addParts(d); err != nil {
		r.result.Refused.Add(refusedSkip(d.Value, err))
	}
}

// ignoreReason returns why a decision asks for no block, or "".
func (f Filter) ignoreReason(d *decision) string {
	switch {
	case d.Simulated:
		return "decision is simulated"
	case !strings.EqualFold(d.Scope, "ip") && !strings.EqualFold(d.Scope, "range"):
		return "scope " + shorten(d.Scope) + " is neither Ip nor Range"
	}
	if reason := f.typeReason(d.Type); reason != "" {
		return reason
	}
	if reason := f.originReason(d.Origin); reason != "" {
		return reason
	}
	if d.Scenario == "" {
		return "" // the scenario of the alert counts, which may come later
	}
	return f.scenarioReason(d.Scenario)
}

// addParts adds one decision for each prefix that the decision blocks.
func (r *reader) addParts(d *decision) error {
	prefix, err := ParsePrefix(d.Value)
	if err != nil {
		return err
	}
	duration, err := ParseDuration(d.Duration)
	if err != nil {
		return err // the Local API does not store such an alert
	}
	if r.parts, err = r.filter.appendAdmitted(r.parts[:0], prefix); err != nil {
		return err
	}
	kept := Decision{UUID: ParseUUID(d.UUID), RangeBits: prefix.Bits()}
	kept.Type, kept.Origin, kept.Scenario = r.internLabel(d.Type), r.internLabel(d.Origin), r.internLabel(d.Scenario)
	for _, kept.Prefix = range r.parts {
		r.result.Decisions = append(r.result.Decisions, kept)
		r.durations = append(r.durations, duration)
	}
	return nil
}

// internLabel cleans an origin or a scenario. Decisions with the same label share one copy of it.
func (r *reader) internLabel(text string) string {
	if known, ok := r.labels[text]; ok {
		return known
	}
	clean := cleanLabel(text)
	if len(r.labels) < 1000 && len(text) <= longestLabel {
		r.labels[text] = clean
	}
	return clean
}
