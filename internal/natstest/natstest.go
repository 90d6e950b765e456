// Package natstest runs NATS servers in the process of a test.
package natstest

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

const patience = 20 * time.Second

// Nodes starts a cluster of n servers and waits until all know each other. They end with the test.
func Nodes(t testing.TB, n int) (nodes []*server.Server) {
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

// URLs are the addresses of the nodes, separated by commas.
func URLs(nodes ...*server.Server) string {
	var addresses []string
	for _, node := range nodes {
		addresses = append(addresses, node.ClientURL())
	}
	return strings.Join(addresses, ",")
}
