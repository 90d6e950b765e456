package eventlog

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestWhatTheLogDoesIsCounted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.still()
	mine := w.private(ann)
	stream := w.follows(l, ann, "")
	w.says(mine, "a")
	w.refreshes(l)
	check(t, "heard", stream.hears(), "a")
	w.follows(l, ann, stream.cursor)
	counts := func(what, name, want string) {
		t.Helper()
		if err := testutil.CollectAndCompare(l, strings.NewReader(want), name); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}

	counts("streams", "corridor_streams", "# HELP corridor_streams Streams that are open.\n# TYPE corridor_streams gauge\ncorridor_streams 2\n")
	counts("deliveries", "corridor_events_delivered_total",
		"# HELP corridor_events_delivered_total Events handed to streams.\n# TYPE corridor_events_delivered_total counter\ncorridor_events_delivered_total 1\n")
	if n := testutil.CollectAndCount(l.metrics.delivery); n != 1 {
		t.Errorf("%d deliveries were timed", n)
	}
	check(t, "began now", testutil.ToFloat64(l.metrics.follows.WithLabelValues(fromNow)), 1)
	check(t, "resumed", testutil.ToFloat64(l.metrics.follows.WithLabelValues(fromCursor)), 1)
	check(t, "events wait for their number", testutil.ToFloat64(l.metrics.lag) > 0, true)
	w.numbers(l)
	w.refreshes(l)
	testutil.CollectAndCount(l)
	check(t, "no event waits", testutil.ToFloat64(l.metrics.lag), 0)
	if err := prometheus.NewRegistry().Register(l); err != nil {
		t.Error(err)
	}
}
