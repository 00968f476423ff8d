// Package metrics shows the plugin from outside: metrics for Prometheus, and a status page for people.
//
// An [Exporter] serves them over HTTP. It shows all documents of the process, and listens while the process holds the lease of one of
// them. If another process holds the port, the exporter logs this once, and tries again. The package reads the state, and changes nothing.
//
//	/           the status page
//	/metrics    the metrics
//	/-/healthy  200 if all documents work, and 503 otherwise
//
// [Counters] count the work of this process. A request reads all other figures.
package metrics

// namespace begins the name of each metric of ours.
const namespace = "crowdsec_stormshield"
