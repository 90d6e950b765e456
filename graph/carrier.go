package graph

import (
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// A carrier is what subscriptions reach a client by: a socket, or a response that goes on.
type carrier interface {
	// end closes it, so that the client sees no stream complete that it should resume. The first call
	// decides the code; who calls does not wait for the client's answer.
	end(code int, reason string) (first bool)
	// expires is when it will be ended, because the token ends. Zero is never.
	expires() time.Time
}

type carrierKey struct{}

func carriedBy(ctx context.Context, c carrier) context.Context {
	return context.WithValue(ctx, carrierKey{}, c)
}

// carrierOf is nil for plain requests, which cannot carry subscriptions.
func carrierOf(ctx context.Context) carrier {
	c, _ := ctx.Value(carrierKey{}).(carrier)
	return c
}

// endSession closes what carries ctx, with a code that tells the client what to do. For a plain
// request it does nothing.
func endSession(ctx context.Context, code int, reason string) {
	if c := carrierOf(ctx); c != nil {
		c.end(code, reason)
	}
}

// sessionExpires tells when what carries ctx will be closed, because the token ends. It is not ok
// where nothing will be.
func sessionExpires(ctx context.Context) (at time.Time, ok bool) {
	c := carrierOf(ctx)
	if c == nil || c.expires().IsZero() {
		return time.Time{}, false
	}
	return c.expires(), true
}

// drainWindow is over how long Drain spreads its closes, so that clients do not all return at once.
const drainWindow = 3 * time.Second

// carriers are those that are open.
type carriers struct {
	window time.Duration
	ends   *prometheus.CounterVec
	slow   prometheus.Counter

	mu       sync.Mutex
	draining bool
	open     map[carrier]struct{}
	served   sync.WaitGroup
}

func newCarriers(window time.Duration) *carriers {
	return &carriers{
		window: window, open: make(map[carrier]struct{}),
		ends: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "corridor_connection_ends_total", Help: "Connections of subscriptions that this instance ended, by the code of the close.",
		}, []string{"code"}),
		slow: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "corridor_slow_readers_total", Help: "Connections that were ended because their client did not read.",
		}),
	}
}

var openCarriers = prometheus.NewDesc("corridor_connections", "Connections that carry subscriptions.", []string{"kind"}, nil)

// Describe implements prometheus.Collector.
func (all *carriers) Describe(to chan<- *prometheus.Desc) { prometheus.DescribeByCollect(all, to) }

// Collect implements prometheus.Collector.
func (all *carriers) Collect(to chan<- prometheus.Metric) {
	open := map[string]int{"websocket": 0, "sse": 0}
	all.mu.Lock()
	for c := range all.open {
		if _, ok := c.(*socket); ok {
			open["websocket"]++
		} else {
			open["sse"]++
		}
	}
	all.mu.Unlock()
	for kind, n := range open {
		to <- prometheus.MustNewConstMetric(openCarriers, prometheus.GaugeValue, float64(n), kind)
	}
	all.ends.Collect(to)
	all.slow.Collect(to)
}

// ended counts an end.
func (all *carriers) ended(code int) { all.ends.WithLabelValues(strconv.Itoa(code)).Inc() }

func (all *carriers) isDraining() bool {
	all.mu.Lock()
	defer all.mu.Unlock()
	return all.draining
}

func (all *carriers) add(c carrier) bool {
	all.mu.Lock()
	defer all.mu.Unlock()
	if all.draining {
		return false
	}
	all.open[c] = struct{}{}
	all.served.Add(1)
	return true
}

func (all *carriers) remove(c carrier) {
	all.mu.Lock()
	defer all.mu.Unlock()
	delete(all.open, c)
	all.served.Done()
}

// Drain refuses new carriers and closes the open ones with 1012, spread over a window and within
// the first half of what ctx allows. It returns when all clients have left, or with ctx's error.
func (all *carriers) Drain(ctx context.Context) error {
	all.mu.Lock()
	all.draining = true
	leaving := slices.Collect(maps.Keys(all.open))
	all.mu.Unlock()
	window := all.window
	if deadline, ok := ctx.Deadline(); ok {
		window = min(window, time.Until(deadline)/2)
	}
	for _, c := range leaving {
		end := func() { c.end(closeRestart, "Service restart") }
		if window <= 0 {
			end()
		} else {
			time.AfterFunc(rand.N(window), end)
		}
	}
	gone := make(chan struct{})
	go func() { all.served.Wait(); close(gone) }()
	select {
	case <-gone:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
