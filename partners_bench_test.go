package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"
)

// BenchmarkMessagesBesidePartners measures how long messages take from being sent until eight others have them, with and without
// 50 partners beside who read the directory as fast as their budgets let them, half of them by pages and half by downloads: turn about, in one run on one server. The ratios
// are of the medians over the rounds; the shares of requests say how hard the partners tried.
func BenchmarkMessagesBesidePartners(b *testing.B) {
	const partners, listeners, rounds = 50, 8, 9
	dir := emptyDir(b)
	server := starts(b, dir, "CORRIDOR_DEMO=false")
	var roster strings.Builder
	roster.WriteString("email,name,role,waiting_rooms\n")
	for i := range 5000 {
		fmt.Fprintf(&roster, "p%d@clinic.example,Person %d,MA,Room %d\n", i, i, i/100)
	}
	file := filepath.Join(b.TempDir(), "roster.csv")
	if err := os.WriteFile(file, []byte(roster.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	for _, arguments := range [][]string{{"roster", "import", file, "--clinic", "Clinic"}} {
		if got := runs(b, in(dir), arguments...); got.code != 0 {
			b.Fatal(got.stderr)
		}
	}
	keys := make([]string, partners)
	for i := range keys {
		got := runs(b, in(dir), "key", "create", fmt.Sprint("Key ", i), "--service-account", fmt.Sprintf("k%d@partner.example", i), "--scopes", "contacts:read")
		if got.code != 0 {
			b.Fatal(got.stderr)
		}
		keys[i] = strings.TrimSpace(got.stdout)
	}
	talk := newTalk(b, server, listeners)
	// The first round is not counted: everything is asked for the first time, and the database tidies up behind the import.
	besidePartners(b, server, keys, func() { talk.round() })

	// What measures is on the same processors: it collects its garbage between the rounds.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	for b.Loop() {
		var alone, beside []latencies
		asked, refused := 0, 0
		for round := range rounds {
			measures := []func(){
				func() { alone = append(alone, talk.round()) },
				func() {
					n, no := besidePartners(b, server, keys, func() { beside = append(beside, talk.round()) })
					asked, refused = asked+n, refused+no
				},
			}
			if round%2 == 1 { // neither always inherits what the other leaves
				slices.Reverse(measures)
			}
			for _, measure := range measures {
				runtime.GC()
				measure()
			}
		}
		for _, figure := range []struct {
			name string
			of   func(latencies) time.Duration
		}{{"p50", latencies.p50}, {"p99", latencies.p99}} {
			without, with := medianOf(alone, figure.of), medianOf(beside, figure.of)
			b.ReportMetric(float64(without.Microseconds())/1000, figure.name+"-ms-alone")
			b.ReportMetric(float64(with.Microseconds())/1000, figure.name+"-ms-beside")
			b.ReportMetric(float64(with)/float64(without), figure.name+"-ratio")
		}
		b.ReportMetric(float64(asked)/rounds, "asked/round")
		b.ReportMetric(float64(refused)/rounds, "refused/round")
	}
	b.ReportMetric(0, "ns/op")
}

// besidePartners does something while partners read, all of whom have been answered once, and says how often they asked and were refused.
func besidePartners(b *testing.B, server *process, keys []string, do func()) (asked, refused int) {
	b.Helper()
	ctx, stop := context.WithCancel(b.Context())
	var mu sync.Mutex
	var partners, began sync.WaitGroup
	began.Add(len(keys))
	for i, key := range keys {
		partners.Go(func() {
			answered := sync.OnceFunc(began.Done)
			defer answered()
			after := any(nil)
			for ctx.Err() == nil {
				method, address, content := http.MethodGet, "/directory/staff.csv", []byte(nil)
				if i%2 == 0 {
					method, address = http.MethodPost, "/graphql"
					content, _ = json.Marshal(map[string]any{"query": `query ($after: Cursor) { directory { staff(first: 500, after: $after) {
						nodes { id name email roleLabel waitingRooms(first: 10) { nodes { id name } } } pageInfo { hasNextPage endCursor } } } }`, "variables": map[string]any{"after": after}})
				}
				request, err := http.NewRequestWithContext(ctx, method, server.url+address, bytes.NewReader(content))
				if err != nil {
					return
				}
				request.Header.Set("Content-Type", "application/json")
				request.Header.Set("Authorization", "Bearer "+key)
				response, err := http.DefaultClient.Do(request)
				if err != nil {
					continue // the round is over
				}
				answer, _ := io.ReadAll(response.Body)
				response.Body.Close()
				mu.Lock()
				asked++
				if response.StatusCode != http.StatusOK {
					refused++
				}
				mu.Unlock()
				answered()
				if response.StatusCode != http.StatusOK {
					seconds, _ := strconv.Atoi(response.Header.Get("Retry-After"))
					select {
					case <-time.After(time.Duration(max(1, seconds)) * time.Second):
					case <-ctx.Done():
					}
					continue
				}
				// Not decoded: that would be work beside what is measured.
				after = nil
				if _, behind, ok := strings.Cut(string(answer), `"hasNextPage":true,"endCursor":"`); ok {
					after, _, _ = strings.Cut(behind, `"`)
				}
			}
		})
	}
	began.Wait() // fifty who connect at once are not what is measured
	do()
	stop()
	partners.Wait()
	return asked, refused
}

// latencies are of the deliveries of one round, the shortest first.
type latencies []time.Duration

func (l latencies) p50() time.Duration { return l[len(l)/2] }
func (l latencies) p99() time.Duration { return l[len(l)*99/100] }

func medianOf(rounds []latencies, figure func(latencies) time.Duration) time.Duration {
	values := make([]time.Duration, len(rounds))
	for i, round := range rounds {
		values[i] = figure(round)
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// talk is a group in which one sends and others listen.
type talk struct {
	b      *testing.B
	server *process
	token  string
	group  string
	heard  chan time.Duration
}

// messagesARound at messagesASecond.
const messagesARound, messagesASecond = 1000, 50

func newTalk(b *testing.B, server *process, listeners int) *talk {
	b.Helper()
	t := &talk{b: b, server: server, token: server.token("p0@clinic.example"), heard: make(chan time.Duration, messagesARound*listeners)}
	var ids []string
	for i := range listeners {
		var found struct {
			Viewer struct{ User struct{ ID string } }
		}
		server.asks(server.token(fmt.Sprintf("p%d@clinic.example", i+1)), `{ viewer { user { id } } }`, nil, &found)
		ids = append(ids, found.Viewer.User.ID)
	}
	var made struct {
		CreateGroup struct{ Group struct{ ID string } }
	}
	server.asks(t.token, `mutation ($ids: [ID!]!) { createGroup(input: {clientKey: "talk", name: "Talk", userIds: $ids}) { group { id } userErrors { code } } }`, map[string]any{"ids": ids}, &made)
	t.group = made.CreateGroup.Group.ID
	for i := range listeners {
		t.listens(server.token(fmt.Sprintf("p%d@clinic.example", i+1)))
	}
	return t
}

func (t *talk) listens(token string) {
	t.b.Helper()
	ctx := t.b.Context()
	socket, _, err := websocket.Dial(ctx, t.server.url+"/graphql", &websocket.DialOptions{Subprotocols: []string{"graphql-transport-ws"}})
	if err != nil {
		t.b.Fatal(err)
	}
	t.b.Cleanup(func() { socket.CloseNow() })
	var ack, first map[string]any
	for _, step := range []func() error{
		func() error {
			return wsjson.Write(ctx, socket, map[string]any{"type": "connection_init", "payload": map[string]any{"Authorization": "Bearer " + token}})
		},
		func() error { return wsjson.Read(ctx, socket, &ack) },
		func() error {
			return wsjson.Write(ctx, socket, map[string]any{"type": "subscribe", "id": "1", "payload": map[string]any{"query": `subscription { events { __typename ... on MessageAdded { message { text } } } }`}})
		},
		func() error { return wsjson.Read(ctx, socket, &first) }, // a heartbeat: it is open
	} {
		if err := step(); err != nil {
			t.b.Fatal(err)
		}
	}
	go func() {
		for {
			var frame struct {
				Type    string
				Payload struct {
					Data struct {
						Events struct{ Message struct{ Text string } }
					}
				}
			}
			if err := wsjson.Read(ctx, socket, &frame); err != nil {
				return
			}
			if frame.Type == "ping" {
				_ = wsjson.Write(ctx, socket, map[string]any{"type": "pong"})
			}
			if sent, err := strconv.ParseInt(frame.Payload.Data.Events.Message.Text, 10, 64); err == nil {
				t.heard <- time.Since(time.Unix(0, sent))
			}
		}
	}()
}

// round sends messages at a steady pace, whose texts are the moments at which they are sent, until all have them.
func (t *talk) round() (all latencies) {
	t.b.Helper()
	every := time.NewTicker(time.Second / messagesASecond)
	defer every.Stop()
	var sending sync.WaitGroup
	for range messagesARound {
		<-every.C
		sending.Go(func() {
			var sent any
			now := strconv.FormatInt(time.Now().UnixNano(), 10)
			t.server.asks(t.token, `mutation ($to: ID!, $text: String!) { sendMessage(input: {clientKey: $text, conversationId: $to, body: $text}) { userErrors { code } } }`, map[string]any{"to": t.group, "text": now}, &sent)
		})
	}
	sending.Wait()
	for range cap(t.heard) {
		select {
		case took := <-t.heard:
			all = append(all, took)
		case <-time.After(patience):
			t.b.Fatalf("only %d of %d deliveries came", len(all), cap(t.heard))
		}
	}
	slices.Sort(all)
	return all
}
