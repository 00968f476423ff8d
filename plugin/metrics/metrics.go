// Package metrics shows the plugin from outside: metrics for Prometheus, and a status page for people.
//
// An [Exporter] serves them over HTTP. It shows all documents of the process, and listens while the process holds the lease of one of
// them. A port that another process holds is logged once and tried again. The package reads the state, and
// changes nothing.
//
//	/           the status page
//	/metrics    the metrics
//	/-/healthy  200 if all is well, and 503 if not, as `status` exits
//
// [Counters] count what this process does. All other figures are read when somebody asks for them.
package metrics

// namespace begins the name of each metric of ours.
const namespace = "crowdsec_stormshield"
