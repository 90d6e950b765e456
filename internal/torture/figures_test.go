package torture

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/uuid"
)

// BenchmarkDelivery has 300 messages a second sent to groups of eight on one instance, with 500 people who
// hear them and 2,000 whose sockets are idle, for 20 seconds, and reports how long a message took to its
// readers: since it began to be sent, and since its sender heard that it was; and how busy the machine was, for
// everything runs on it.
func BenchmarkDelivery(b *testing.B) {
	const (
		active, idle, groups, size = 500, 2000, 125, 8
		rate                       = 300
		lasting                    = 20 * time.Second
	)
	for range b.N {
		w := newWorld(b, settings{people: active + idle, instances: 1})
		i := w.instances[0]
		random := rand.New(rand.NewPCG(1, 1))
		for g := range groups {
			crowd := random.Perm(active)[:size]
			c := &conversation{}
			var ids []string
			for _, n := range crowd {
				c.members = append(c.members, w.people[n])
				ids = append(ids, w.people[n].node)
			}
			w.opens(c, "createGroup", vars{"name": fmt.Sprint("Case ", g), "userIds": ids[1:]}, "group")
		}

		w.connects(idle, func(n int) *person { return w.people[active+n] }, nil)
		var mu sync.Mutex
		heard := map[string][]time.Time{} // by the body of the message
		w.connects(active, func(n int) *person { return w.people[n] }, func(message []byte) {
			at := time.Now()
			if _, behind, ok := bytes.Cut(message, []byte(`"text":"`)); ok { // all the load there is runs beside what is measured
				text, _, _ := bytes.Cut(behind, []byte(`"`))
				mu.Lock()
				heard[string(text)] = append(heard[string(text)], at)
				mu.Unlock()
			}
		})

		type sent struct{ began, acknowledged time.Time }
		messages := map[string]sent{}
		i.client.Transport.(*http.Transport).MaxIdleConnsPerHost = 256
		var all sync.WaitGroup
		turns := make(chan struct{}, 256)
		pace := time.NewTicker(time.Second / rate)
		for end := time.Now().Add(lasting); time.Now().Before(end); <-pace.C {
			c := w.conversations[rand.N(groups)]
			turns <- struct{}{}
			all.Go(func() {
				defer func() { <-turns }()
				text := uuid.NewString()
				began := time.Now()
				input := vars{"conversationId": c.node, "body": text, "clientKey": text}
				if _, err := i.mutates(b.Context(), c.members[rand.N(size)], "sendMessage", input, ""); err != nil {
					b.Error(err)
				}
				at := time.Now()
				mu.Lock()
				messages[text] = sent{began, at}
				mu.Unlock()
			})
		}
		pace.Stop()
		all.Wait()
		eventually(b, patience, "everybody has heard everything", func() bool {
			mu.Lock()
			defer mu.Unlock()
			for text := range messages {
				if len(heard[text]) < size {
					return false
				}
			}
			return true
		})

		var whole, added []time.Duration
		for text, message := range messages {
			for _, at := range heard[text] {
				whole, added = append(whole, at.Sub(message.began)), append(added, max(0, at.Sub(message.acknowledged)))
			}
		}
		for name, delays := range map[string][]time.Duration{"send-to-receipt": whole, "acknowledged-to-receipt": added} {
			slices.Sort(delays)
			b.ReportMetric(delays[len(delays)/2].Seconds()*1000, name+"-p50-ms")
			b.ReportMetric(delays[len(delays)*99/100].Seconds()*1000, name+"-p99-ms")
		}
		b.ReportMetric(float64(len(messages))/lasting.Seconds(), "messages/s")
		if load, err := os.ReadFile("/proc/loadavg"); err == nil {
			b.Logf("load %s on %d cores", strings.Fields(string(load))[0], runtime.NumCPU())
		}
	}
}

// BenchmarkIdleSockets reports what an idle socket needs in memory. The server leaves garbage where it is as long as there is room, so here it
// collects it as Go does by itself.
func BenchmarkIdleSockets(b *testing.B) {
	const sockets = 2000
	for range b.N {
		w := newWorld(b, settings{people: sockets, instances: 1, environment: []string{"GOGC=100"}})
		i := w.instances[0]
		before := i.resident()
		w.connects(sockets, func(n int) *person { return w.people[n] }, nil)
		b.ReportMetric((i.resident()-before)/sockets/1024, "KB/idle-socket")
	}
}

// resident is the memory of the instance, in bytes, when it has settled.
func (i *instance) resident() float64 {
	i.t.Helper()
	smallest := i.metric("process_resident_memory_bytes")
	for range 4 { // the collector runs, and stacks shrink, now and then
		time.Sleep(time.Second)
		smallest = min(smallest, i.metric("process_resident_memory_bytes"))
	}
	return smallest
}

// connects opens so many streams on the first instance, each of a person, until the test ends. What comes
// is heard, or only read.
func (w *world) connects(n int, who func(int) *person, heard func([]byte)) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	var all sync.WaitGroup
	w.t.Cleanup(func() { cancel(); all.Wait() })
	turns := make(chan struct{}, 16)
	var opening sync.WaitGroup
	for k := range n {
		turns <- struct{}{}
		opening.Go(func() {
			defer func() { <-turns }()
			i := w.instances[0]
			conn, err := i.opens(who(k), i.address, &websocket.DialOptions{}, longDocument)
			if err != nil {
				w.t.Error(err)
				return
			}
			all.Go(func() {
				defer conn.CloseNow() //nolint:errcheck // it ends with the test
				for {
					_, message, err := conn.Read(ctx)
					if err != nil {
						return
					}
					if bytes.HasPrefix(message, []byte(`{"type":"ping"`)) {
						err = says(ctx, conn, vars{"type": "pong"})
					} else if heard != nil {
						heard(message)
					}
					if err != nil {
						return
					}
				}
			})
		})
	}
	opening.Wait()
}
