package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"
)

// BenchmarkMessagesBesidePartners measures how long messages take from being sent until eight others have them, with and without 50 partners beside who
// read the directory as fast as their budgets let them, half of them by pages and half by downloads: ten seconds so and ten seconds so, twenty times
// over (-benchtime 3x: sixty times), in one run on one server. Of each window it takes the percentiles. What is reported in milliseconds are the medians
// of the windows. A ratio is the geometric mean of the middle half of the ratios of pairs of windows, as a disk that is slow for some seconds is slow
// for one of them; what it would be of endlessly many pairs is between low and high in nine of ten runs, by drawing pairs again and again. That leaves
// out what happens in few windows: p99 of all messages, and the longest of them, are reported beside it. How many people the partners read in a second,
// and how often they are refused, says how hard they try.
func BenchmarkMessagesBesidePartners(b *testing.B) {
	const partners, listeners, pairs = 50, 8, 20
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
	if got := runs(b, in(dir), "roster", "import", file, "--clinic", "Clinic"); got.code != 0 {
		b.Fatal(got.stderr)
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
	// What is asked for the first time, and what the database tidies up behind the import, is not counted.
	newReaders(b, server, keys).beside(func() { talk.sends(20 * messagesASecond) })
	readers := newReaders(b, server, keys)

	// What measures is on the same processors: it collects its garbage between the windows.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	var alone, beside []latencies
	for b.Loop() {
		for pair := range pairs {
			// What was before comes to an end, and partners who came at once are refused for the first time.
			window := func(lead int) latencies {
				talk.sends(lead * messagesASecond)
				return talk.sends(10 * messagesASecond)
			}
			windows := []func(){
				func() { alone = append(alone, window(2)) },
				func() { readers.beside(func() { beside = append(beside, window(10)) }) },
			}
			if pair%2 == 1 { // neither always inherits what the other leaves
				slices.Reverse(windows)
			}
			for _, measure := range windows {
				runtime.GC()
				measure()
			}
		}
	}
	for _, percent := range []int{50, 95, 99} {
		name := fmt.Sprint("p", percent)
		b.ReportMetric(medianOf(alone, percent), name+"-ms-alone")
		b.ReportMetric(medianOf(beside, percent), name+"-ms-beside")
		ratio, low, high := ratioOf(beside, alone, percent)
		b.ReportMetric(ratio, name+"-ratio")
		b.ReportMetric(low, name+"-ratio-low")
		b.ReportMetric(high, name+"-ratio-high")
	}
	for name, windows := range map[string][]latencies{"alone": alone, "beside": beside} {
		all := latencies(slices.Sorted(slices.Values(slices.Concat(windows...))))
		b.ReportMetric(all.percentile(99), "all-p99-ms-"+name)
		b.ReportMetric(float64(all[len(all)-1].Microseconds())/1000, "all-max-ms-"+name)
	}
	read, refused := readers.perSecond()
	b.ReportMetric(read, "people/s")
	b.ReportMetric(refused, "refused/s")
	b.ReportMetric(0, "ns/op")
}

// latencies are of the deliveries of one window, the shortest first.
type latencies []time.Duration

// percentile is in milliseconds.
func (l latencies) percentile(percent int) float64 {
	return float64(l[len(l)*percent/100].Microseconds()) / 1000
}

// medianOf is the median of a percentile over the windows.
func medianOf(windows []latencies, percent int) float64 {
	values := make([]float64, len(windows))
	for i, window := range windows {
		values[i] = window.percentile(percent)
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// ratioOf is the ratio of a percentile of windows to that of others, and between what it would be of endlessly many in nine of ten runs.
func ratioOf(windows, others []latencies, percent int) (ratio, low, high float64) {
	logs, drawn := make([]float64, len(windows)), make([]float64, len(windows))
	for i := range logs {
		logs[i] = math.Log(windows[i].percentile(percent) / others[i].percentile(percent))
	}
	middle := func(of []float64) float64 {
		of = slices.Sorted(slices.Values(of))
		of = of[len(of)/4 : len(of)-len(of)/4]
		sum := 0.0
		for _, value := range of {
			sum += value
		}
		return math.Exp(sum / float64(len(of)))
	}
	ratios := make([]float64, 1000)
	for i := range ratios {
		for j := range drawn {
			drawn[j] = logs[rand.N(len(logs))]
		}
		ratios[i] = middle(drawn)
	}
	slices.Sort(ratios)
	return middle(logs), ratios[len(ratios)*5/100], ratios[len(ratios)*95/100]
}

// readers are partners who read the directory while they may.
type readers struct {
	b      *testing.B
	server *process
	keys   []string
	// after is where each is on its way through the pages.
	after []any

	read, refused atomic.Int64
	lasted        time.Duration
}

func newReaders(b *testing.B, server *process, keys []string) *readers {
	return &readers{b: b, server: server, keys: keys, after: make([]any, len(keys))}
}

// perSecond is how many people they read in a second, and how often they were refused.
func (r *readers) perSecond() (read, refused float64) {
	return float64(r.read.Load()) / r.lasted.Seconds(), float64(r.refused.Load()) / r.lasted.Seconds()
}

// beside does something while they read.
func (r *readers) beside(do func()) {
	ctx, stop := context.WithCancel(r.b.Context())
	begun := time.Now()
	var partners sync.WaitGroup
	for i := range r.keys {
		partners.Go(func() {
			for ctx.Err() == nil {
				select {
				case <-time.After(r.asks(ctx, i)):
				case <-ctx.Done():
				}
			}
		})
	}
	do()
	stop()
	partners.Wait()
	r.lasted += time.Since(begun)
}

// asks has one of them ask once, and says how long it is told to wait until it asks again.
func (r *readers) asks(ctx context.Context, i int) (wait time.Duration) {
	method, address, content := http.MethodGet, "/directory/staff.csv", []byte(nil)
	if i%2 == 0 {
		method, address = http.MethodPost, "/graphql"
		content, _ = json.Marshal(map[string]any{"query": `query ($after: Cursor) { directory { staff(first: 500, after: $after) {
			nodes { id name email roleLabel waitingRooms(first: 10) { nodes { id name } } } pageInfo { hasNextPage endCursor } } } }`, "variables": map[string]any{"after": r.after[i]}})
	}
	request, err := http.NewRequestWithContext(ctx, method, r.server.url+address, bytes.NewReader(content))
	if err != nil {
		return 0
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+r.keys[i])
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0 // it may not read any more
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	r.read.Add(int64(bytes.Count(answer, []byte("@clinic.example"))))
	if err != nil {
		return 0
	}
	if response.StatusCode != http.StatusOK {
		r.refused.Add(1)
		seconds, _ := strconv.Atoi(response.Header.Get("Retry-After"))
		return time.Duration(max(1, seconds)) * time.Second
	}
	// Not decoded: that would be work beside what is measured.
	r.after[i] = nil
	if _, behind, ok := strings.Cut(string(answer), `"hasNextPage":true,"endCursor":"`); ok {
		r.after[i], _, _ = strings.Cut(behind, `"`)
	}
	return 0
}

// talk is a group in which one sends and others listen.
type talk struct {
	b         *testing.B
	server    *process
	token     string
	group     string
	listeners int
	heard     chan time.Duration
}

const messagesASecond = 50

func newTalk(b *testing.B, server *process, listeners int) *talk {
	b.Helper()
	t := &talk{b: b, server: server, token: server.token("p0@clinic.example"), listeners: listeners, heard: make(chan time.Duration, listeners*messagesASecond)}
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

// sends sends messages at a steady pace, whose texts are the moments at which they are sent, until all have them.
func (t *talk) sends(messages int) (all latencies) {
	t.b.Helper()
	every := time.NewTicker(time.Second / messagesASecond)
	defer every.Stop()
	var sending sync.WaitGroup
	sending.Go(func() {
		for range messages {
			<-every.C
			sending.Go(func() {
				var sent any
				now := strconv.FormatInt(time.Now().UnixNano(), 10)
				t.server.asks(t.token, `mutation ($to: ID!, $text: String!) { sendMessage(input: {clientKey: $text, conversationId: $to, body: $text}) { userErrors { code } } }`, map[string]any{"to": t.group, "text": now}, &sent)
			})
		}
	})
	for range messages * t.listeners {
		select {
		case took := <-t.heard:
			all = append(all, took)
		case <-time.After(patience):
			t.b.Fatalf("only %d of %d deliveries came", len(all), messages*t.listeners)
		}
	}
	sending.Wait()
	slices.Sort(all)
	return all
}
