package eventlog

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are what a process does with the log. Their labels name no reader and no stream.
type metrics struct {
	delivery  prometheus.Histogram
	lag       prometheus.Gauge
	numbered  prometheus.Counter
	delivered prometheus.Counter
	streams   prometheus.Gauge
	follows   *prometheus.CounterVec
	breaches  prometheus.Counter
	faults    *prometheus.CounterVec
}

func newMetrics() *metrics {
	return &metrics{
		delivery: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "corridor_hint_to_delivery_seconds", Help: "From the hint that woke a stream to the delivery of an event.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14),
		}),
		lag: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "corridor_feed_lag_seconds", Help: "The age of the oldest event that has no place in the feed yet.",
		}),
		numbered: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "corridor_feed_numbered_total", Help: "Events that this instance gave their place in the feed.",
		}),
		delivered: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "corridor_events_delivered_total", Help: "Events handed to streams.",
		}),
		streams: prometheus.NewGauge(prometheus.GaugeOpts{Name: "corridor_streams", Help: "Streams that are open."}),
		follows: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "corridor_stream_starts_total", Help: "Streams that began: now, resumed from a cursor, or with a cursor that was no good any more.",
		}, []string{"from"}),
		breaches: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "corridor_log_breaches_total", Help: "Times that the log was not in the order it promises. Each is a bug: please report it.",
		}),
		faults: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "corridor_log_faults_total", Help: "Faults that the log lived through, such as a database that was away.",
		}, []string{"act"}),
	}
}

// Where streams begin.
const (
	fromNow    = "now"
	fromCursor = "cursor"
	fromReset  = "reset"
)

// Describe implements prometheus.Collector.
func (l *Log) Describe(to chan<- *prometheus.Desc) { prometheus.DescribeByCollect(l, to) }

// Collect implements prometheus.Collector.
func (l *Log) Collect(to chan<- prometheus.Metric) {
	m := l.metrics
	l.mu.RLock()
	streams := 0
	for _, followers := range l.byReader {
		streams += len(followers)
	}
	oldest := time.Time{}
	for _, events := range l.ahead {
		if at := events[0].OccurredAt; oldest.IsZero() || at.Before(oldest) {
			oldest = at
		}
	}
	l.mu.RUnlock()
	m.streams.Set(float64(streams))
	m.lag.Set(0)
	if !oldest.IsZero() {
		m.lag.Set(max(0, time.Since(oldest).Seconds()))
	}
	for _, collector := range []prometheus.Collector{m.delivery, m.lag, m.numbered, m.delivered, m.streams, m.follows, m.breaches, m.faults} {
		collector.Collect(to)
	}
}
