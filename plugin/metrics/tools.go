package metrics

import (
	_ "github.com/prometheus/client_golang/prometheus/collectors" // exporter.go will use them
	_ "github.com/prometheus/client_golang/prometheus/promhttp"
	_ "github.com/prometheus/exporter-toolkit/web"
)
