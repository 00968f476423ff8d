package metrics

import (
	"context"
	"runtime"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"notification-stormshield/appliance"
	"notification-stormshield/plugin/ban"
	"notification-stormshield/plugin/guard"
	"notification-stormshield/plugin/health"
	"notification-stormshield/plugin/ledger"
)

// labelsOfAll begin the labels of each metric of a document.
var labelsOfAll = []string{"name", "host"}

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(namespace+"_"+name, help, append(labelsOfAll[:2:2], labels...), nil)
}

var (
	working    = describe("working", "1 if bans are enforced, as the command status reports.")
	info       = describe("info", "How bans are enforced.", "enforce", "ssh", "observing")
	inForce    = describe("bans_in_force", "Bans that must be enforced, by class.", "class")
	waiting    = describe("bans_waiting", "Bans that wait because more are in force than max_bans, by class.", "class")
	maxBans    = describe("max_bans", "How many bans are enforced at most.")
	pending    = describe("pending_bans", "Bans that the appliance has not acknowledged yet, by change.", "change")
	pendingAge = describe("oldest_pending_age_seconds", "How long the oldest change is pending; 0: nothing is.")
	staleAge   = describe("rule_stale_age_seconds", "How long the running filter rule lacks changes of the group; 0: it lacks none.")
	recorded   = describe("decisions_recorded_total", "Decisions that were recorded since the state was made, also by earlier processes.")
	success    = describe("last_success_timestamp_seconds", "When the last flush that ended well ended; 0: never.")
	reassert   = describe("last_reassert_timestamp_seconds", "When everything in force was last blocked again; 0: never.")
	holdOff    = describe("login_hold_off_until_timestamp_seconds", "Until when no login is tried, because one failed; 0: logins are tried.")

	localAPIPoll    = describe("local_api_last_poll_timestamp_seconds", "When the Local API was last read; 0: never.")
	localAPIFailing = describe("local_api_failing_age_seconds", "How long the Local API cannot be read; 0: it can.")

	applianceInfo  = describe("appliance_info", "Model and firmware of the appliance.", "model", "version")
	certificateEnd = describe("certificate_end_timestamp_seconds", "When the certificate ends that the appliance's API shows.")
	logins         = describe("logins_total", "Logins to the appliance.", "protocol", "result")
	transferred    = describe("transferred_bytes_total", "Bytes sent to and received from the appliance, with handshakes.", "protocol", "direction")
)

// buildInfo is the version of this program.
func buildInfo(version string) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: namespace, Name: "build_info", Help: "The version of this program.",
		ConstLabels: prometheus.Labels{"version": version, "goversion": runtime.Version()},
	}, func() float64 { return 1 })
}

// stateCollector collects the metrics of the documents that the exporter shows.
type stateCollector struct{ exporter *Exporter }

// Describe describes nothing, because the documents change while the process runs.
func (stateCollector) Describe(chan<- *prometheus.Desc) {}

// Collect survives a panic, because the client of Prometheus calls it in a goroutine of its own, and the process would end.
func (c stateCollector) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), readTimeout)
	defer cancel()
	now := time.Now()
	for _, s := range c.exporter.sources() {
		for _, counter := range s.Counters.collectors() {
			counter.Collect(out)
		}
		_, err := guard.Call("a scrape", func() (any, error) {
			d := sample{out, []string{s.Health.Document.Name, s.Health.Document.Stormshield.Host}}
			d.state(s.read(ctx, now), now)
			d.observed(s.Observed())
			return nil, nil
		})
		if err != nil {
			out <- prometheus.NewInvalidMetric(working, err)
		}
	}
}

// sample sends the metrics of one document.
type sample struct {
	out    chan<- prometheus.Metric
	labels []string // of each metric
}

func (d sample) gauge(of *prometheus.Desc, value float64, labels ...string) {
	d.send(of, prometheus.GaugeValue, value, labels)
}

func (d sample) counter(of *prometheus.Desc, value int64, labels ...string) {
	d.send(of, prometheus.CounterValue, float64(value), labels)
}

// send sends a metric. A label that is no UTF-8, such as a version that the appliance sent, makes only this metric invalid.
func (d sample) send(of *prometheus.Desc, kind prometheus.ValueType, value float64, labels []string) {
	metric, err := prometheus.NewConstMetric(of, kind, value, append(d.labels[:2:2], labels...)...)
	if err != nil {
		metric = prometheus.NewInvalidMetric(of, err)
	}
	d.out <- metric
}

// state sends what the state says. If the state cannot be read, it says only that the plugin does not work.
func (d sample) state(r health.Report, now time.Time) {
	d.gauge(working, oneIf(r.Working))
	if r.InForceByClass == nil {
		return
	}
	d.gauge(info, 1, r.Enforce, strconv.FormatBool(r.SSH), strconv.FormatBool(r.Observing))
	d.counts(inForce, r.InForceByClass)
	d.counts(waiting, r.WaitingByClass)
	d.gauge(maxBans, float64(r.MaxBans))
	d.gauge(pending, float64(r.ToBlock), "block")
	d.gauge(pending, float64(r.ToUnblock), "unblock")
	d.gauge(pendingAge, ageOf(r.PendingSince, now))
	if r.Enforce != "blacklist" {
		d.gauge(staleAge, ageOf(r.RuleStaleSince, now))
	}
	d.counter(recorded, r.Recorded)
	d.gauge(success, timestamp(r.LastFlush))
	d.gauge(reassert, timestamp(r.BlockedAnew))
	var until *time.Time
	if r.HoldOff != nil {
		until = &r.HoldOff.Until
	}
	d.gauge(holdOff, timestamp(until))
	if l := r.LocalAPI; l != nil {
		d.gauge(localAPIPoll, timestamp(l.LastRead))
		d.gauge(localAPIFailing, ageOf(l.UnreadSince, now))
	}
}

// observed sends what the client saw of the appliance. What it did not see yet is left out.
func (d sample) observed(o appliance.Observed) {
	if o.Version != "" {
		d.gauge(applianceInfo, 1, o.Model, o.Version)
	}
	if !o.CertificateEnds.IsZero() {
		d.gauge(certificateEnd, timestamp(&o.CertificateEnds))
	}
	for _, of := range []struct {
		protocol string
		appliance.Traffic
	}{{"api", o.API}, {"ssh", o.SSH}} {
		d.counter(logins, of.Logins, of.protocol, "accepted")
		d.counter(logins, of.Refused, of.protocol, "refused")
		d.counter(transferred, of.Sent, of.protocol, "sent")
		d.counter(transferred, of.Received, of.protocol, "received")
	}
}

func (d sample) counts(of *prometheus.Desc, counts ledger.Counts) {
	for _, class := range []ban.Class{ban.Local, ban.Imported, ban.Remote} {
		d.gauge(of, float64(counts[class]), class.String())
	}
}

func oneIf(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// timestamp returns the seconds since 1970; 0 for no time.
func timestamp(t *time.Time) float64 {
	if t == nil {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}

// ageOf returns how long ago a time was; 0 for no time, and for one in the future.
func ageOf(t *time.Time, now time.Time) float64 {
	if t == nil {
		return 0
	}
	return max(0, now.Sub(*t).Seconds())
}
