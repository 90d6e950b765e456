package torture

import (
	"context"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// metric is a number that an instance tells of itself.
func (i *instance) metric(name string) float64 {
	i.t.Helper()
	response, err := http.Get("http://" + i.address + "/metrics")
	if err != nil {
		i.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		i.t.Fatal(err)
	}
	for line := range strings.Lines(string(body)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			number, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				i.t.Fatal(err)
			}
			return number
		}
	}
	i.t.Fatalf("there is no metric %s", name)
	return 0
}

// opens opens a socket with a subscription and waits until it has said something.
func (i *instance) opens(p *person, through string, options *websocket.DialOptions, document string) (*websocket.Conn, error) {
	ctx, cancel := context.WithTimeout(i.t.Context(), patience)
	defer cancel()
	options.Subprotocols = []string{"graphql-transport-ws"}
	conn, _, err := websocket.Dial(ctx, "ws://"+through+"/graphql", options)
	if err != nil {
		return nil, err
	}
	for _, message := range []vars{
		{"type": "connection_init", "payload": vars{"Authorization": "Bearer " + p.token}},
		{"type": "subscribe", "id": "1", "payload": vars{"query": document}},
	} {
		if err := says(ctx, conn, message); err != nil {
			return nil, err
		}
		if _, _, err := conn.Read(ctx); err != nil {
			return nil, err
		}
	}
	conn.SetReadLimit(1 << 20)
	return conn, nil
}

// longDocument asks for what was said, too.
const longDocument = `subscription { events { __typename cursor ... on MessageAdded { message { seq text } } } }`

// narrow opens a plain connection with little room for what is not read.
func narrow(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err == nil {
		err = conn.(*net.TCPConn).SetReadBuffer(4 << 10)
	}
	return conn, err
}

// Clients that stop reading are sent away within 12 seconds, the others hear as before, and who comes
// back goes on where they were.
func TestClientsThatDoNotReadHoldNobodyUp(t *testing.T) {
	w := newWorld(t, settings{people: 60, groups: 0, directs: 0})
	i := w.instances[0]
	crowd := &conversation{members: w.people}
	var ids []string
	for _, p := range w.people[1:] {
		ids = append(ids, p.node)
	}
	w.opens(crowd, "createGroup", vars{"name": "Everybody", "userIds": ids}, "group")
	const stalled = 50
	narrowly := &http.Client{Transport: &http.Transport{DialContext: narrow}}
	var conns []*websocket.Conn
	for _, p := range w.people[:stalled] {
		conn, err := i.opens(p, i.address, &websocket.DialOptions{HTTPClient: narrowly}, longDocument)
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
	}
	listening, end := context.WithCancel(t.Context())
	var readers []*subscriber
	var all sync.WaitGroup
	for _, p := range w.people[stalled:] {
		sub := &subscriber{w: w, person: p, began: make(chan struct{}), heard: map[string][]line{}}
		readers = append(readers, sub)
		all.Go(func() { sub.follows(listening) })
		<-sub.began
	}
	defer func() { end(); all.Wait() }()
	sends := func(text string) {
		t.Helper()
		if _, err := w.insists(t.Context(), w.people[0], "sendMessage", vars{"conversationId": crowd.node, "body": text}, "", new(atomic.Int64)); err != nil {
			t.Fatal(err)
		}
	}
	slowest := func() (p99 time.Duration) {
		var delays []time.Duration
		for _, sub := range readers {
			sub.mu.Lock()
			delays = append(delays, sub.delays...)
			sub.delays = nil
			sub.mu.Unlock()
		}
		slices.Sort(delays)
		return delays[len(delays)*99/100]
	}
	for range 30 {
		sends("short")
		time.Sleep(50 * time.Millisecond)
	}
	before := slowest()
	began := time.Now()

	sent := 0
	for ; i.metric("corridor_slow_readers_total") < stalled; sent++ {
		if time.Since(began) > 30*time.Second {
			t.Fatalf("after %d long messages only %v clients were sent away", sent, i.metric("corridor_slow_readers_total"))
		}
		sends(strings.Repeat("long ", 1900))
		time.Sleep(50 * time.Millisecond)
	}

	t.Logf("%d clients were sent away after %s and %d messages; to the others p99 is %s, before %s", stalled, time.Since(began).Round(time.Millisecond), sent, slowest(), before)
	for n, conn := range conns {
		heard := map[string]int{}
		for {
			_, data, err := conn.Read(t.Context())
			if err != nil {
				if code := websocket.CloseStatus(err); code != 1013 && code != -1 { // the close may find no room either
					t.Errorf("client %d is closed with %d", n, code)
				}
				break
			}
			heard[string(data)]++
		}
		for _, times := range heard {
			if times != 1 {
				t.Errorf("client %d heard something %d times", n, times)
			}
		}
	}
}
