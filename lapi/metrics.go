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

// Usage is a bouncer's report about itself, for `cscli metrics show bouncers`.
type Usage struct {
	Type    string // the type of bouncer
	Version string
	OS      string
	Started time.Time
	Window  time.Duration  // the time since the last report
	Active  map[string]int // bans that are enforced, by the origin of their decisions
	LeftOut int            // bans that wait because they are more than the limit
}

// ErrNoMetrics means that the Local API accepts no usage metrics: it is older than CrowdSec 1.6.3.
var ErrNoMetrics = errors.New("this Local API accepts no usage metrics")

// SendUsage sends usage metrics.
func (c *Client) SendUsage(ctx context.Context, u Usage, now time.Time) error {
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
		return fmt.Errorf("send usage metrics to the Local API at %s: %w", c.Address(), err)
	}
	return answer.Close()
}

// payload returns the request's body (pkg/models/all_metrics.go). active_decisions, and metrics whose names end with _gauge,
// are values of now, and not of the window.
func (u Usage) payload(now time.Time) map[string]any {
	type object = map[string]any
	items := []object{{"name": "left_out_gauge", "unit": "ip", "value": u.LeftOut, "labels": object{}}}
	for origin, n := range u.Active {
		items = append(items, object{"name": "active_decisions", "unit": "ip", "value": n, "labels": object{"origin": origin}})
	}
	window := object{"window_size_seconds": int64(u.Window.Seconds()), "utc_now_timestamp": now.Unix()}
	return object{"remediation_components": []object{{
		"type": u.Type, "version": u.Version, "os": object{"name": u.OS, "version": ""}, "feature_flags": []string{},
		"utc_startup_timestamp": u.Started.Unix(), "metrics": []object{{"meta": window, "items": items}},
	}}}
}
