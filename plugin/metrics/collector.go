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
	pending    = describe("pending_bans", "Bans whose block or unblock the appliance has not acknowledged yet, by change.", "change")
	pendingAge = describe("oldest_pending_age_seconds", "How long the oldest change has been pending; 0: nothing is pending.")
	staleAge   = describe("rule_stale_age_seconds", "How long the running filter rule has lacked changes of the group; 0: it lacks none.")
	recorded   = describe("decisions_recorded_total", "Decisions that this process and earlier ones recorded since the state was made.")
	success    = describe("last_success_timestamp_seconds", "When a flush last ended well; 0: never.")
	reassert   = describe("last_reassert_timestamp_seconds", "When a flush last re-asserted everything in force; 0: never.")
	holdOff    = describe("login_hold_off_until_timestamp_seconds", "Until when the plugin does not log in, because logins failed; 0: no hold-off.")

	localAPIPoll    = describe("local_api_last_poll_timestamp_seconds", "When the plugin last read the Local API; 0: never.")
	localAPIFailing = describe("local_api_failing_age_seconds", "How long reads of the Local API have failed; 0: the last one succeeded.")

	databaseReached = describe("shared_state_reached", "1 if this machine can use the database of the shared state.")
	databaseAway    = describe("shared_state_away_age_seconds", "How long the database of the shared state could not be used; 0: it can.")
	outboxWaiting   = describe("outbox_decisions", "Decisions of this machine that wait for the database of the shared state.")
	outboxAge       = describe("outbox_oldest_age_seconds", "How long the oldest of these decisions has waited; 0: none waits.")
	isHolder        = describe("shared_lease_held", "1 if this machine enforces for all that share the state.")
	isAlone         = describe("shared_state_alone", "1 if this machine goes on alone, without the database of the shared state.")
	machineSeen     = describe("machine_last_seen_timestamp_seconds", "When a machine that shares the state was last seen.", "machine")

	applianceInfo  = describe("appliance_info", "Model and firmware of the appliance.", "model", "version")
	certificateEnd = describe("certificate_end_timestamp_seconds", "When the certificate of the appliance's API ends.")
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
			d := sender{out, []string{s.Health.Document.Name, s.Health.Document.Stormshield.Host}}
			d.sendState(s.read(ctx, now), now)
			d.sendObserved(s.Observed())
			return nil, nil
		})
		if err != nil {
			out <- prometheus.NewInvalidMetric(working, err)
		}
	}
}

// sender sends the metrics of one document.
type sender struct {
	out    chan<- prometheus.Metric
	labels []string // of each metric
}

func (s sender) sendGauge(of *prometheus.Desc, value float64, labels ...string) {
	s.send(of, prometheus.GaugeValue, value, labels)
}

func (s sender) sendCounter(of *prometheus.Desc, value int64, labels ...string) {
	s.send(of, prometheus.CounterValue, float64(value), labels)
}

// send sends a metric. A label that is no UTF-8, such as a version that the appliance sent, makes only this metric invalid.
func (s sender) send(of *prometheus.Desc, kind prometheus.ValueType, value float64, labels []string) {
	metric, err := prometheus.NewConstMetric(of, kind, value, append(s.labels[:2:2], labels...)...)
	if err != nil {
		metric = prometheus.NewInvalidMetric(of, err)
	}
	s.out <- metric
}

// sendState sends the health. If the state cannot be read, it sends only that the plugin does not work.
func (s sender) sendState(r health.Report, now time.Time) {
	s.sendGauge(working, oneIf(r.Working))
	if !isRead(r) {
		return
	}
	s.sendGauge(info, 1, r.Enforce, strconv.FormatBool(r.SSH), strconv.FormatBool(r.Observing))
	s.sendGauge(maxBans, float64(r.MaxBans))
	var until *time.Time
	if r.HoldOff != nil {
		until = &r.HoldOff.Until
	}
	s.sendGauge(holdOff, timestamp(until))
	if r.Shared != nil {
		s.sendShared(*r.Shared, now)
	}
	if r.Contents != nil {
		s.sendContents(r, now)
	}
}

// sendShared sends the health of a shared state. Without its database, the other machines are not known.
func (s sender) sendShared(r health.Shared, now time.Time) {
	s.sendGauge(databaseReached, oneIf(r.AwaySince == nil))
	s.sendGauge(databaseAway, ageOf(r.AwaySince, now))
	s.sendGauge(outboxWaiting, float64(r.Waiting))
	s.sendGauge(outboxAge, ageOf(r.WaitingSince, now))
	s.sendGauge(isHolder, oneIf(r.Holder == r.Machine))
	s.sendGauge(isAlone, oneIf(r.Alone))
	for _, m := range r.Machines {
		s.sendGauge(machineSeen, timestamp(m.Seen), m.Name)
	}
}

// sendContents sends what the ledger says.
func (s sender) sendContents(r health.Report, now time.Time) {
	s.sendCounts(inForce, r.InForceByClass)
	s.sendCounts(waiting, r.WaitingByClass)
	s.sendGauge(pending, float64(r.ToBlock), "block")
	s.sendGauge(pending, float64(r.ToUnblock), "unblock")
	s.sendGauge(pendingAge, ageOf(r.PendingSince, now))
	if r.Enforce != "blacklist" {
		s.sendGauge(staleAge, ageOf(r.RuleStaleSince, now))
	}
	s.sendCounter(recorded, r.Recorded)
	s.sendGauge(success, timestamp(r.LastFlush))
	s.sendGauge(reassert, timestamp(r.LastReassert))
	if l := r.LocalAPI; l != nil {
		s.sendGauge(localAPIPoll, timestamp(l.LastRead))
		s.sendGauge(localAPIFailing, ageOf(l.UnreadSince, now))
	}
}

// sendObserved sends the observations of the client. It leaves out a property that the client has not seen yet.
func (s sender) sendObserved(o appliance.Observed) {
	if o.Version != "" {
		s.sendGauge(applianceInfo, 1, o.Model, o.Version)
	}
	if !o.CertificateEnds.IsZero() {
		s.sendGauge(certificateEnd, timestamp(&o.CertificateEnds))
	}
	for _, of := range []struct {
		protocol string
		appliance.Traffic
	}{{"api", o.API}, {"ssh", o.SSH}} {
		s.sendCounter(logins, of.Logins, of.protocol, "accepted")
		s.sendCounter(logins, of.Refused, of.protocol, "refused")
		s.sendCounter(transferred, of.Sent, of.protocol, "sent")
		s.sendCounter(transferred, of.Received, of.protocol, "received")
	}
}

func (s sender) sendCounts(of *prometheus.Desc, counts ledger.Counts) {
	for _, class := range []ban.Class{ban.Local, ban.Imported, ban.Remote} {
		s.sendGauge(of, float64(counts[class]), class.String())
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
