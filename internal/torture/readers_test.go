package torture

import (
	"context"
	"encoding/json"
	"fmt"
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
const longDocument = `subscription { events { __typename cursor ... on MessageAdded { conversation { id } message { seq text } } } }`

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
	t.Parallel()
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
	const pace = 50 * time.Millisecond // no faster, or the load and not the stalled clients would be measured
	for range 30 {
		sends("short")
		time.Sleep(pace)
	}
	before := slowest()
	began := time.Now()

	sent := 0
	for ; i.metric("corridor_slow_readers_total") < stalled; sent++ {
		if time.Since(began) > 30*time.Second {
			t.Fatalf("after %d long messages only %v clients were sent away", sent, i.metric("corridor_slow_readers_total"))
		}
		sends(strings.Repeat("long ", 1900))
		time.Sleep(pace)
	}

	t.Logf("%d clients were sent away after %s and %d messages; to the others p99 is %s, before %s", stalled, time.Since(began).Round(time.Millisecond), sent, slowest(), before)
	var last int64
	if err := w.db.Get(&last, `SELECT last_seq FROM conversations`); err != nil {
		t.Fatal(err)
	}
	var reading sync.WaitGroup
	for n, conn := range conns {
		reading.Go(func() {
			back := &subscriber{w: w, person: w.people[n], began: make(chan struct{}), heard: map[string][]line{}}
			for {
				_, data, err := conn.Read(t.Context())
				if err != nil {
					if code := websocket.CloseStatus(err); code != 1013 && code != -1 { // the close may find no room either
						t.Errorf("client %d is closed with %d", n, code)
					}
					break
				}
				var message struct{ Payload json.RawMessage }
				if err = json.Unmarshal(data, &message); err == nil && message.Payload != nil {
					err = back.hears(message.Payload)
				}
				if err != nil {
					t.Error(err)
				}
			}
			following, end := context.WithTimeout(t.Context(), patience)
			defer end()
			go func() {
				for back.knows(crowd.node) == 0 || back.newest(crowd.node) < last {
					if following.Err() != nil {
						return
					}
					time.Sleep(10 * time.Millisecond)
				}
				end()
			}()
			back.follows(following)
			heard := back.heard[crowd.node]
			for i, l := range heard {
				if l.n != heard[0].n+int64(i) {
					t.Errorf("client %d heard line %d behind %d", n, l.n, heard[i-1].n)
				}
			}
			if len(heard) == 0 || heard[len(heard)-1].n != last {
				t.Errorf("client %d did not hear the last of %d lines: %v", n, last, heard)
			}
		})
	}
	reading.Wait()
}

// newest is the last line that was heard of a conversation.
func (s *subscriber) newest(of string) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.heard[of][len(s.heard[of])-1].n
}

// Clients that come and vanish, politely, rudely or with a cable that was pulled, leave nothing behind:
// no goroutine, no memory, no connection to the database.
func TestAThousandSocketsLeaveNothingBehind(t *testing.T) {
	t.Parallel()
	w := newWorld(t, settings{people: 20, groups: 4, directs: 2})
	i := w.instances[0]
	cable := newProxy(t, i.address)
	opens := func(n int, through string) (conns []*websocket.Conn) {
		t.Helper()
		var mu sync.Mutex
		var all sync.WaitGroup
		for k := range 20 {
			all.Go(func() {
				for range n / 20 {
					conn, err := i.opens(w.people[k], through, &websocket.DialOptions{}, document)
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					conns = append(conns, conn)
					mu.Unlock()
				}
			})
		}
		all.Wait()
		return conns
	}
	figures := []string{"go_goroutines", "go_memstats_heap_inuse_bytes", `go_sql_in_use_connections{db_name="requests"}`, `go_sql_in_use_connections{db_name="events"}`}
	for _, conn := range opens(200, i.address) { // what is there for ever once somebody was there
		conn.CloseNow()
	}
	gone := func() bool {
		return i.metric(`corridor_connections{kind="websocket"}`) == 0 && i.metric("corridor_streams") == 0
	}
	eventually(t, 2*patience, "the first are gone", gone)
	before := map[string]float64{}
	for _, name := range figures {
		before[name] = i.metric(name)
	}

	for _, conn := range opens(300, i.address) {
		_ = conn.Close(websocket.StatusNormalClosure, "")
	}
	for _, conn := range opens(300, i.address) {
		conn.CloseNow()
	}
	opens(400, cable.address())
	cable.swallows()

	eventually(t, 2*patience, "all are gone", gone)
	cable.flows()
	// The pools keep what they opened, within their bounds; what counts is that nothing holds on to it.
	room := map[string]float64{"go_goroutines": 30, "go_memstats_heap_inuse_bytes": 10 << 20}
	for _, name := range figures {
		eventually(t, 2*patience, fmt.Sprintf("%s is where it was (%.0f)", name, before[name]), func() bool { return i.metric(name) <= before[name]+room[name] })
	}
}
