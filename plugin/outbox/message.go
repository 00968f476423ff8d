package outbox

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"notification-stormshield/plugin/ban"
)

// mostDecisions is how many decisions one message has at most. Add makes several messages of more, so that neither the outbox nor
// the forwarder holds all of them as text.
const mostDecisions = 1000

// Message has the decisions of one alert, or some of the decisions of a large one.
type Message struct {
	Number    int64
	At        time.Time // when it was added
	Decisions []ban.Decision
	// Attempted says that the appliance may have entries of the decisions, although the shared state may not know them. This machine
	// blocked them while it was alone, or they were forwarded before the shared state came back from a backup.
	Attempted bool
}

// Waiting describes the messages that wait for the shared state.
type Waiting struct {
	Decisions int
	Since     time.Time // since when the first of them waits; zero: none does
}

// storedDecision is the JSON of a decision.
type storedDecision struct {
	UUID     []byte       `json:"uuid,omitempty"`
	ID       int64        `json:"id,omitempty"`
	Prefix   netip.Prefix `json:"prefix"`
	Bits     int          `json:"bits"`
	Until    int64        `json:"until"` // milliseconds since 1970
	Type     string       `json:"type"`
	Origin   string       `json:"origin"`
	Scenario string       `json:"scenario"`
}

// Add stores decisions of an alert. When it has returned, they survive any crash, all of them or none.
func (o *Outbox) Add(ctx context.Context, decisions []ban.Decision, now time.Time) error {
	if len(decisions) == 0 {
		return nil
	}
	ctx = context.WithoutCancel(ctx) // CrowdSec would send the alert of a cancelled call again
	err := o.write(ctx, func(tx *sql.Tx) error {
		const last = `SELECT MAX(MAX(state.forwarded, state.reached, COALESCE(message.number, 0)) + 1, ?), COALESCE(message.total, 0)
			FROM state LEFT JOIN message ON message.number = (SELECT MAX(number) FROM message)`
		var number, total int64
		if err := tx.QueryRowContext(ctx, last, now.UnixMicro()).Scan(&number, &total); err != nil {
			return err
		}
		for some := range slices.Chunk(decisions, mostDecisions) {
			text, err := encode(some)
			if err != nil {
				return err
			}
			total += int64(len(some))
			if _, err := tx.ExecContext(ctx, "INSERT INTO message (number, at, decisions, total, text) VALUES (?, ?, ?, ?, ?)",
				number, now.UnixMilli(), len(some), total, text); err != nil {
				return err
			}
			number++
		}
		return nil
	})
	return o.explain(err, "record %d decisions", len(decisions))
}

// Next returns the messages after a number, in order. It returns as many as have n decisions together at most, but at least one, unless
// there is none.
func (o *Outbox) Next(ctx context.Context, after int64, n int) ([]Message, error) {
	messages, err := o.next(ctx, after, n)
	return messages, o.explain(err, "read the waiting decisions")
}

const nextQuery = `SELECT number, at, decisions, number <= reached OR EXISTS (SELECT * FROM attempted WHERE number = message.number), text
	FROM state, message WHERE number > ? ORDER BY number`

func (o *Outbox) next(ctx context.Context, after int64, n int) ([]Message, error) {
	rows, err := o.db.QueryContext(ctx, nextQuery, after)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var messages []Message
	var text sql.RawBytes
	for sum := 0; rows.Next(); {
		var m Message
		var at int64
		var decisions int
		if err := rows.Scan(&m.Number, &at, &decisions, &m.Attempted, &text); err != nil {
			return nil, err
		}
		if sum += decisions; sum > n && len(messages) > 0 {
			break
		}
		m.At = time.UnixMilli(at).UTC()
		if m.Decisions, err = decode(text); err != nil {
			return nil, fmt.Errorf("message %d: %w", m.Number, err)
		}
		messages = append(messages, m)
	}
	return messages, rows.Err()
}

// Waiting returns how many decisions wait for the shared state.
func (o *Outbox) Waiting(ctx context.Context) (Waiting, error) {
	const query = `SELECT last.total - first.total + first.decisions, MAX(first.at, state.resent) FROM state, message first, message last
		WHERE first.number = (SELECT MIN(number) FROM message WHERE number > (SELECT forwarded FROM state))
		AND last.number = (SELECT MAX(number) FROM message)`
	var w Waiting
	var since int64
	err := ignoreNoRows(o.db.QueryRowContext(ctx, query).Scan(&w.Decisions, &since))
	w.Since = timeOf(since)
	return w, o.explain(err, "count the waiting decisions")
}

// encode returns decisions as JSON.
func encode(decisions []ban.Decision) ([]byte, error) {
	stored := make([]storedDecision, len(decisions))
	for i := range decisions {
		d := &decisions[i]
		stored[i] = storedDecision{d.UUID.Bytes(), d.ID, d.Prefix, d.RangeBits, d.Until.UnixMilli(), d.Type, d.Origin, d.Scenario}
	}
	return json.Marshal(stored)
}

// decode returns the decisions of a JSON text.
func decode(text []byte) ([]ban.Decision, error) {
	var stored []storedDecision
	if err := json.Unmarshal(text, &stored); err != nil {
		return nil, err
	}
	decisions := make([]ban.Decision, len(stored))
	for i, s := range stored {
		decisions[i] = ban.Decision{
			ID: s.ID, Prefix: s.Prefix, RangeBits: s.Bits, Until: time.UnixMilli(s.Until).UTC(), Type: s.Type, Origin: s.Origin, Scenario: s.Scenario,
		}
		copy(decisions[i].UUID[:], s.UUID)
	}
	return decisions, nil
}
