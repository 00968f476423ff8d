// Package metrics shows the plugin from outside: metrics for Prometheus, and a status page for people.
package metrics

// namespace begins the name of each metric.
const namespace = "crowdsec_stormshield"
