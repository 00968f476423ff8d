package lapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Usage is what a bouncer reports about itself, for `cscli metrics show bouncers`.
type Usage struct {
	Type    string // the type of bouncer
	Version string
	OS      string
	Started time.Time
	Window  time.Duration  // the time since the last report
	Active  map[string]int // bans that are enforced, by the origin of their decisions
	LeftOut int            // bans that wait because they are more than the limit
}

// ErrNoMetrics says that the Local API takes no usage metrics: it is older than
// CrowdSec 1.6.3.
var ErrNoMetrics = errors.New("this Local API takes no usage metrics")

// Tell sends usage metrics.
func (c *Client) Tell(ctx context.Context, u Usage, now time.Time) error {
	body, err := json.Marshal(u.payload(now))
	if err != nil {
		return err
	}
	answer, err := c.do(ctx, http.MethodPost, "v1/usage-metrics", nil, bytes.NewReader(body), http.StatusCreated)
	var status *StatusError
	switch {
	case errors.As(err, &status) && status.Code == http.StatusNotFound:
		return ErrNoMetrics
	case err != nil:
		return fmt.Errorf("send usage metrics to the Local API at %s: %w", c.Where(), err)
	}
	return answer.Close()
}

// The payload is that of pkg/models/all_metrics.go. A value of active_decisions,
// and of a metric whose name ends with _gauge, stands for now, and not for the
// window.
type (
	payload struct {
		Components []component `json:"remediation_components"`
	}
	component struct {
		Type     string   `json:"type"`
		Version  string   `json:"version"`
		OS       osName   `json:"os"`
		Features []string `json:"feature_flags"`
		Started  int64    `json:"utc_startup_timestamp"`
		Metrics  []window `json:"metrics"`
	}
	osName struct {
		Name    string `json:"name"`
		Version string `json:"version"`
	}
	window struct {
		Meta  windowMeta `json:"meta"`
		Items []item     `json:"items"`
	}
	windowMeta struct {
		Seconds int64 `json:"window_size_seconds"`
		Now     int64 `json:"utc_now_timestamp"`
	}
	item struct {
		Name   string            `json:"name"`
		Unit   string            `json:"unit"`
		Value  float64           `json:"value"`
		Labels map[string]string `json:"labels"`
	}
)

func (u Usage) payload(now time.Time) payload {
	w := window{Meta: windowMeta{int64(u.Window.Seconds()), now.Unix()}, Items: []item{{"left_out_gauge", "ip", float64(u.LeftOut), map[string]string{}}}}
	for origin, n := range u.Active {
		w.Items = append(w.Items, item{"active_decisions", "ip", float64(n), map[string]string{"origin": origin}})
	}
	return payload{[]component{{
		Type: u.Type, Version: u.Version, OS: osName{Name: u.OS}, Features: []string{}, Started: u.Started.Unix(), Metrics: []window{w},
	}}}
}
