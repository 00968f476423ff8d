package metrics

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"notification-stormshield/plugin/ban"
)

// Counters count the work of this process for one document. They begin with zero in each process.
type Counters struct {
	refused        *prometheus.CounterVec
	flushes        *prometheus.CounterVec
	errors         *prometheus.CounterVec
	localAPIErrors prometheus.Counter
	duration       prometheus.Histogram
	latency        prometheus.Histogram

	unrecorded atomic.Pointer[unrecorded] // nil: the last record succeeded
}

// The results of a flush.
const (
	Succeeded = "success"
	Warned    = "warning" // it ended well, and the administrator should look at a part of it
	Failed    = "failure"
)

// The kinds of failures of a flush.
const (
	LoginError      = "login"      // the appliance did not accept a login
	FilesError      = "files"      // the files could not be written over SSH
	ActivationError = "activation" // the filter rule could not be activated
	RuleError       = "rule"       // no filter rule in force names the group
	TimeoutError    = "timeout"
	NetworkError    = "network"
	CommandError    = "command" // the appliance refused a command
	StateError      = "state"   // the state could not be read or written
	OtherError      = "other"
)

// kinds are all of them. The counters export each from the start, so that Prometheus sees its first increase.
var kinds = []string{LoginError, FilesError, ActivationError, RuleError, TimeoutError, NetworkError, CommandError, StateError, OtherError}

// NewCounters returns counters for the document with this name, and for its appliance.
func NewCounters(name, host string) *Counters {
	labels := prometheus.Labels{"name": name, "host": host}
	counter := func(name, help string) prometheus.CounterOpts {
		return prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help, ConstLabels: labels}
	}
	// Native histograms have buckets of 10 % width. The classic buckets are for a Prometheus that does not scrape native ones.
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: namespace, Name: name, Help: help, ConstLabels: labels, Buckets: buckets,
			NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 160, NativeHistogramMinResetDuration: time.Hour,
		})
	}
	c := &Counters{
		refused: prometheus.NewCounterVec(counter("decisions_refused_total",
			"Decisions that ask for a block and get none, by reason. One that an alert and the Local API bring counts twice."), []string{"reason"}),
		flushes: prometheus.NewCounterVec(counter("flushes_total",
			"Flushes that contacted the appliance, by result."), []string{"result"}),
		errors: prometheus.NewCounterVec(counter("errors_total",
			"Failures of flushes and of records of decisions, by kind."), []string{"kind"}),
		localAPIErrors: prometheus.NewCounter(counter("local_api_errors_total",
			"Reads of the Local API that failed.")),
		duration: histogram("flush_duration_seconds",
			"How long flushes took that contacted the appliance.", []float64{.1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300}),
		latency: histogram("decision_to_blocked_seconds",
			"Time from the record of a decision until the appliance acknowledged the new ban.", []float64{.5, 1, 2, 5, 10, 30, 60, 120, 300, 900}),
	}
	for _, reason := range ban.Kinds() {
		c.refused.WithLabelValues(string(reason))
	}
	for _, kind := range kinds {
		c.errors.WithLabelValues(kind)
	}
	for _, result := range []string{Succeeded, Warned, Failed} {
		c.flushes.WithLabelValues(result)
	}
	return c
}

// CountRefused counts decisions that the filter refused for one reason.
func (c *Counters) CountRefused(reason ban.Kind, decisions int) {
	c.refused.WithLabelValues(string(reason)).Add(float64(decisions))
}

// CountFlush counts a flush that contacted the appliance.
func (c *Counters) CountFlush(result string, took time.Duration) {
	c.flushes.WithLabelValues(result).Inc()
	c.duration.Observe(took.Seconds())
}

// ObserveWaits counts each new ban by the time that it waited until the appliance acknowledged it.
func (c *Counters) ObserveWaits(waits []time.Duration) {
	for _, wait := range waits {
		c.latency.Observe(wait.Seconds())
	}
}

// CountFailure counts the failure of a flush.
func (c *Counters) CountFailure(kind string) { c.errors.WithLabelValues(kind).Inc() }

// unrecorded is the last failure to write the state. The state cannot have that itself, for example while its disk is full.
type unrecorded struct {
	at  time.Time
	why string
}

// unrecordedFor is how long a failure to write the state counts, if no later record succeeds.
const unrecordedFor = 10 * time.Minute

// CountUnrecorded counts a failure to write the state.
func (c *Counters) CountUnrecorded(err error) {
	c.CountFailure(StateError)
	c.unrecorded.Store(&unrecorded{time.Now(), err.Error()})
}

// ObserveRecorded ends the failure to write the state, because a record succeeded.
func (c *Counters) ObserveRecorded() { c.unrecorded.Store(nil) }

// CountLocalAPIFailure counts a read of the Local API that failed.
func (c *Counters) CountLocalAPIFailure() { c.localAPIErrors.Inc() }

func (c *Counters) collectors() []prometheus.Collector {
	return []prometheus.Collector{c.refused, c.flushes, c.errors, c.localAPIErrors, c.duration, c.latency}
}
