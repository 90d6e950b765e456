package eventlog

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// natsNodes starts a cluster of NATS servers in this process, and waits until all know each other.
func natsNodes(t *testing.T, n int) (nodes []*server.Server) {
	t.Helper()
	var routes []*url.URL
	for i := range n {
		node, err := server.NewServer(&server.Options{
			ServerName: fmt.Sprintf("node-%d", i), Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true,
			Cluster: server.ClusterOpts{Name: "corridor", Host: "127.0.0.1", Port: -1}, Routes: routes,
		})
		if err != nil {
			t.Fatal(err)
		}
		node.Start()
		t.Cleanup(func() { node.Shutdown(); node.WaitForShutdown() })
		if !node.ReadyForConnections(patience) {
			t.Fatal("NATS does not start")
		}
		if routes == nil {
			routes = []*url.URL{{Scheme: "nats", Host: node.ClusterAddr().String()}}
		}
		nodes = append(nodes, node)
	}
	meshed := time.Now().Add(patience)
	for _, node := range nodes {
		for node.NumRoutes() < n-1 {
			if time.Now().After(meshed) {
				t.Fatal("the nodes of NATS do not find each other")
			}
			time.Sleep(time.Millisecond)
		}
	}
	return nodes
}

func byNATS(t *testing.T, key string, nodes ...*server.Server) Carrier {
	t.Helper()
	var servers []string
	for _, node := range nodes {
		servers = append(servers, node.ClientURL())
	}
	carrier, err := ByNATS(strings.Join(servers, ","), []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	return carrier
}

func TestNATSCarriesHintsAndMayLoseANode(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	nodes := natsNodes(t, 3)
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
	nodes := natsNodes(t, 1)
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
