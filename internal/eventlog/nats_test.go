package eventlog

import (
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"corridor/internal/natstest"
)

func byNATS(t *testing.T, key string, nodes ...*server.Server) Carrier {
	t.Helper()
	carrier, err := ByNATS(natstest.URLs(nodes...), []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	return carrier
}

func TestNATSCarriesHintsAndMayLoseANode(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	nodes := natstest.Nodes(t, 3)
	one, other, foreign := w.still(), w.still(), w.still()
	one.carrier, other.carrier = byNATS(t, "ours", nodes[0]), byNATS(t, "ours", nodes[1])
	foreign.carrier = byNATS(t, "of another database", nodes[2])
	w.hearsHints(one)
	w.hearsHints(other)
	w.hearsHints(foreign)
	for _, l := range []*Log{one, other, foreign} {
		w.rings("when it was connected", l.news)
	}
	says := func(stream int64) {
		t.Helper()
		w.eventually("a hint is heard", func() bool { // the routes take a moment to know who listens
			w.must(one.notify(t.Context(), map[int64]int64{stream: 1}))
			select {
			case <-other.news:
				return true
			case <-time.After(20 * time.Millisecond):
				return false
			}
		})
	}

	says(5)
	nodes[1].Shutdown()
	w.rings("when it was connected to another node", other.news)

	says(6)
	if len(foreign.news) > 0 {
		t.Error("another database heard the hint")
	}
}

func TestWithoutNATSTheLogGoesOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	nodes := natstest.Nodes(t, 1)
	nodes[0].Shutdown()
	processes := []*Log{w.still(), w.still()}
	for _, l := range processes {
		l.carrier = byNATS(t, "ours", nodes[0])
		l.heartbeat = time.Hour
		w.runs(l)
	}
	mine := w.private(ann)
	stream := w.follows(processes[1], ann, "")

	w.says(mine, "a")
	w.says(mine, "b")

	check(t, "heard", stream.awaits(2), "a b")
}
