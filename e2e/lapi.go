package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"testing"
	"time"
)

const (
	machinePassword = "a-machine-of-the-e2e-suite"
	bouncerKey      = "follows-the-local-api"
)

// logIn logs the machine in at the Local API and returns its token.
func (c *CrowdSec) logIn(ctx context.Context) (string, error) {
	body, err := json.Marshal(map[string]any{"machine_id": machine, "password": machinePassword, "scenarios": []string{}})
	if err != nil {
		return "", err
	}
	answer, err := c.ask(ctx, http.MethodPost, "/v1/watchers/login", "", body)
	if err != nil {
		return "", err
	}
	var token struct{ Token string }
	if err := json.Unmarshal(answer, &token); err != nil {
		return "", err
	}
	return token.Token, nil
}

// ask sends a request with JSON to the Local API, and returns the answer if it is a success. Without a token it uses the
// key of the bouncer.
func (c *CrowdSec) ask(ctx context.Context, method, path, token string, body []byte) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, c.url()+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "e2e/v1.0.0")
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	} else {
		request.Header.Set("X-Api-Key", bouncerKey)
	}
	client := &http.Client{Timeout: 2 * time.Minute}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode/100 != 2 {
		err = fmt.Errorf("%s %s: %s: %s", method, path, response.Status, answer)
	}
	return answer, err
}

// newestAlert returns the ID of the newest alert on an address or network, and the time from which the durations of its
// decisions count.
func (c *CrowdSec) newestAlert(t testing.TB, value string) (id int, from time.Time) {
	t.Helper()
	token, err := c.logIn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	answer, err := c.ask(t.Context(), http.MethodGet, "/v1/alerts?limit=1&value="+url.QueryEscape(value), token, nil)
	if err != nil {
		t.Fatal(err)
	}
	var alerts []struct {
		ID     int
		StopAt string `json:"stop_at"`
		Source struct{ Value string }
	}
	if err := json.Unmarshal(answer, &alerts); err != nil || len(alerts) != 1 || alerts[0].Source.Value != value {
		t.Fatalf("the Local API does not return the newest alert on %s: %v\n%s", value, err, answer)
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02 15:04:05 -0700 MST"} { // the second is 1.4.6's
		if at, err := time.Parse(layout, alerts[0].StopAt); err == nil {
			return alerts[0].ID, at
		}
	}
	t.Fatalf("stop_at %q is no time", alerts[0].StopAt)
	return 0, time.Time{}
}

// wireDecision and wireAlert are JSON that an agent sends (the Local API's Swagger file, models Decision and Alert).
type wireDecision struct {
	Duration string `json:"duration"`
	Origin   string `json:"origin"`
	Scenario string `json:"scenario"`
	Scope    string `json:"scope"`
	Type     string `json:"type"`
	Value    string `json:"value"`
}

type wireAlert struct {
	Capacity        int            `json:"capacity"`
	Decisions       []wireDecision `json:"decisions"`
	Events          []any          `json:"events"`
	EventsCount     int            `json:"events_count"`
	Leakspeed       string         `json:"leakspeed"`
	Message         string         `json:"message"`
	Remediation     bool           `json:"remediation"`
	Scenario        string         `json:"scenario"`
	ScenarioHash    string         `json:"scenario_hash"`
	ScenarioVersion string         `json:"scenario_version"`
	Simulated       bool           `json:"simulated"`
	Source          map[string]any `json:"source"`
	StartAt         time.Time      `json:"start_at"`
	StopAt          time.Time      `json:"stop_at"`
}

func newWireAlert(decisions []wireDecision) wireAlert {
	now := time.Now().UTC()
	return wireAlert{
		Decisions: decisions, Events: []any{}, EventsCount: 1, Leakspeed: "0", Message: "reported by the e2e suite",
		Remediation: true, Scenario: decisions[0].Scenario, StartAt: now, StopAt: now,
		Source: map[string]any{"scope": "Ip", "value": decisions[0].Value, "ip": decisions[0].Value},
	}
}

// Report sends one alert with these decisions, as an agent does, and returns its size in bytes.
func (c *CrowdSec) Report(t testing.TB, decisions []wireDecision) int {
	t.Helper()
	body, err := json.Marshal([]wireAlert{newWireAlert(decisions)})
	if err != nil {
		t.Fatal(err)
	}
	token, err := c.logIn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.ask(t.Context(), http.MethodPost, "/v1/alerts", token, body); err != nil {
		t.Fatal(err)
	}
	return len(body)
}
