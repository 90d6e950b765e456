package graph

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// A kiosk serves a stub over Server-Sent Events.
type kiosk struct {
	*stub
	*httptest.Server
	carriers *carriers
}

func newKiosk(t *testing.T, change func(*eventStreams)) *kiosk {
	t.Helper()
	k := &kiosk{stub: newStub(DefaultLimits), carriers: newCarriers(0)}
	streams := &eventStreams{
		open: k.carriers, watch: func(context.Context, *session) {}, logger: slog.New(slog.DiscardHandler),
		ping: time.Hour, writeTimeout: 10 * time.Second,
	}
	if change != nil {
		change(streams)
	}
	k.AddTransport(streams)
	in := &session{}
	k.Server = httptest.NewServer(jsonOnly(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		k.stub.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), sessionKey{}, in)))
	})))
	t.Cleanup(k.Close)
	return k
}

// ticking makes the stream one that the test feeds.
func (k *kiosk) ticking() (ticks chan string) {
	ticks = make(chan string)
	k.stub.open = func(context.Context) (<-chan string, error) { return ticks, nil }
	return ticks
}

// listens begins an operation and returns what comes of it, event by event, until the response ends
// as ended tells.
func (k *kiosk) listens(t *testing.T, query string) (events chan string, ended func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, k.URL, strings.NewReader(`{"query":"`+query+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "text/event-stream")
	response, err := k.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	if kind := response.Header.Get("Content-Type"); response.StatusCode != 200 || kind != "text/event-stream; charset=utf-8" {
		t.Fatalf("it is answered with %d %s", response.StatusCode, kind)
	}
	events, failed := make(chan string, 10_000), make(chan error, 1)
	go func() {
		defer response.Body.Close()
		defer close(events)
		reader := bufio.NewReader(response.Body)
		var event string
		for {
			line, err := reader.ReadString('\n')
			if err != nil {
				failed <- err
				return
			}
			if line != "\n" {
				event += line
				continue
			}
			events <- strings.TrimSuffix(event, "\n")
			event = ""
		}
	}()
	return events, func() error { return <-failed }
}

const tick = "event: next\ndata: {\"data\":{\"ticks\":\"Ann\"}}"

const named = "event: next\ndata: {\"data\":\"Ann\"}"

func wantsEvents(t *testing.T, events chan string, want ...string) {
	t.Helper()
	for _, want := range want {
		if got, ok := <-events; got != want {
			t.Fatalf("heard %q (%t), want %q", got, ok, want)
		}
	}
}

func TestAnEventStreamCarriesAnOperation(t *testing.T) {
	t.Parallel()
	k := newKiosk(t, nil)
	ticks := k.ticking()
	events, ended := k.listens(t, "subscription {ticks{name}}")

	ticks <- "one"
	ticks <- "two"
	close(ticks)

	wantsEvents(t, events, ": hello", tick, tick, "event: complete\ndata:")
	if err := ended(); !errors.Is(err, io.EOF) {
		t.Errorf("it ended with %v", err)
	}
	events, _ = k.listens(t, "{name}")
	wantsEvents(t, events, ": hello", named, "event: complete\ndata:")
}

func TestAnEventStreamTellsWhatIsWrongWithADocument(t *testing.T) {
	t.Parallel()
	k := newKiosk(t, nil)

	events, _ := k.listens(t, "{nobody}")

	<-events
	if got := <-events; !strings.HasPrefix(got, "event: next\n") || !strings.Contains(got, "GRAPHQL_VALIDATION_FAILED") {
		t.Errorf("heard %q", got)
	}
	wantsEvents(t, events, "event: complete\ndata:")
}

// What takes a moment is finished, as it is by POST.
func TestAServerThatDrainsFinishesAnOperation(t *testing.T) {
	t.Parallel()
	k := newKiosk(t, nil)
	asked, drained := make(chan struct{}), make(chan struct{})
	k.name = func(context.Context) (string, error) {
		close(asked)
		<-drained
		return "Ann", nil
	}
	events, _ := k.listens(t, "{name}")
	<-asked

	if err := k.carriers.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	close(drained)

	wantsEvents(t, events, ": hello", named, "event: complete\ndata:")
}

func TestAnEventStreamThatOpensTooSlowlyIsNotComplete(t *testing.T) {
	t.Parallel()
	k := newKiosk(t, func(s *eventStreams) { s.ping = time.Hour })
	k.stub = newStub(Limits{Bytes: 1000, Tokens: 100, Fields: 100, Depth: 10, Repeats: 10, RootFields: 10, Aliases: 10, Directives: 10, Variables: 100, Timeout: 50 * time.Millisecond})
	k.AddTransport(&eventStreams{
		open: k.carriers, watch: func(context.Context, *session) {}, logger: slog.New(slog.DiscardHandler), ping: time.Hour, writeTimeout: time.Second,
	})
	k.stub.open = func(ctx context.Context) (<-chan string, error) { <-ctx.Done(); return nil, ctx.Err() }

	events, ended := k.listens(t, "subscription {ticks{name}}")

	for event := range events {
		if strings.Contains(event, "complete") {
			t.Errorf("heard %q", event)
		}
	}
	if err := ended(); errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("it ended as if it was complete: %v", err)
	}
}

// Not parallel: it counts what runs.
func TestOneSweepIsEnoughForAllSessions(t *testing.T) {
	all := &sessions{open: map[*session]context.Context{}}
	for range 50 {
		ctx, end := context.WithCancel(t.Context())
		all.watch(ctx, &session{})
		end()
		for gone := false; !gone; {
			runtime.Gosched() // on one processor nobody else would get to take it out
			all.mu.Lock()
			gone = len(all.open) == 0
			all.mu.Unlock()
		}
	}

	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	if n := strings.Count(string(stacks), "created by corridor/graph.(*sessions).watch"); n != 1 {
		t.Errorf("%d goroutines sweep", n)
	}
}

// A stream that its client should resume must not look complete.
func TestAnEventStreamThatIsCutOffIsNotComplete(t *testing.T) {
	t.Parallel()
	for why, cut := range map[string]func(k *kiosk, ctx context.Context){
		"the session ends":  func(_ *kiosk, ctx context.Context) { endSession(ctx, closeForbidden, "Forbidden") },
		"the server drains": func(k *kiosk, ctx context.Context) { _ = k.carriers.Drain(ctx) },
	} {
		t.Run(why, func(t *testing.T) {
			t.Parallel()
			k := newKiosk(t, nil)
			opened, ticks := make(chan context.Context, 1), make(chan string)
			k.stub.open = func(ctx context.Context) (<-chan string, error) { opened <- ctx; return ticks, nil }
			events, ended := k.listens(t, "subscription {ticks{name}}")
			ticks <- "one"
			wantsEvents(t, events, ": hello", tick)

			cut(k, <-opened)

			if event, more := <-events; more {
				t.Errorf("heard %q", event)
			}
			if err := ended(); errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("it ended as if it was complete: %v", err)
			}
		})
	}
}

func TestAServerThatDrainsOpensNoEventStream(t *testing.T) {
	t.Parallel()
	k := newKiosk(t, nil)
	if err := k.carriers.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	request, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, k.URL, strings.NewReader(`{"query":"subscription {ticks{name}}"}`))
	request.Header = http.Header{"Content-Type": {"application/json"}, "Accept": {"text/event-stream"}}

	response, err := k.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()

	if body, _ := io.ReadAll(response.Body); response.StatusCode != 503 || response.Header.Get("Retry-After") == "" || !strings.Contains(string(body), "RESTARTING") {
		t.Errorf("it is answered with %d %s", response.StatusCode, body)
	}
}

func TestAnEventStreamSaysSomethingWhenNothingHappens(t *testing.T) {
	t.Parallel()
	k := newKiosk(t, func(s *eventStreams) { s.ping = 10 * time.Millisecond })
	k.ticking()

	events, _ := k.listens(t, "subscription {ticks{name}}")

	wantsEvents(t, events, ": hello", ": still here", ": still here")
}

func TestWhoDoesNotReadTheirEventStreamIsCutOff(t *testing.T) {
	t.Parallel()
	k := newKiosk(t, func(s *eventStreams) { s.writeTimeout = 200 * time.Millisecond })
	long := strings.Repeat("x", 1<<20)
	k.name = func(context.Context) (string, error) { return long, nil }
	ticks := make(chan string)
	closed := make(chan struct{})
	k.stub.open = func(ctx context.Context) (<-chan string, error) {
		context.AfterFunc(ctx, func() { close(closed) })
		return ticks, nil
	}
	request, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, k.URL, strings.NewReader(`{"query":"subscription {ticks{name}}"}`))
	request.Header = http.Header{"Content-Type": {"application/json"}, "Accept": {"text/event-stream"}}
	response, err := k.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()

	for {
		select {
		case ticks <- "one":
		case <-closed:
			if err := k.carriers.Drain(t.Context()); err != nil {
				t.Fatal(err)
			}
			if n := testutil.ToFloat64(k.carriers.slow); n != 1 {
				t.Errorf("%v slow readers were counted", n)
			}
			return
		case <-time.After(20 * time.Second):
			t.Fatal("it was not cut off")
		}
	}
}

// What panics outside of a field gqlgen would recover only in the goroutine of the request.
func TestAPanicEndsAnEventStreamAndNothingElse(t *testing.T) {
	t.Parallel()
	k := newKiosk(t, nil)
	ticks := k.ticking()
	var panics atomic.Bool
	k.AroundResponses(func(ctx context.Context, next graphql.ResponseHandler) *graphql.Response {
		response := next(ctx)
		if panics.Load() {
			panic("a secret")
		}
		return response
	})
	events, ended := k.listens(t, "subscription {ticks{name}}")
	ticks <- "one"
	wantsEvents(t, events, ": hello", tick)
	panics.Store(true)

	ticks <- "two"

	for event := range events {
		t.Errorf("heard %q", event)
	}
	if err := ended(); errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("it ended as if it was complete: %v", err)
	}
	panics.Store(false)
	events, _ = k.listens(t, "{name}")
	wantsEvents(t, events, ": hello", named)
}

// Not parallel: it counts what runs.
func TestEventStreamsLeaveNothingBehind(t *testing.T) {
	k := newKiosk(t, func(s *eventStreams) { s.ping = time.Millisecond })
	k.stub.open = func(ctx context.Context) (<-chan string, error) {
		ticks := make(chan string)
		go func() {
			defer close(ticks)
			for ctx.Err() == nil {
				select {
				case ticks <- "one":
				case <-ctx.Done():
				}
			}
		}()
		return ticks, nil
	}
	before := runtime.NumGoroutine()
	for range 50 {
		ctx, leave := context.WithCancel(t.Context())
		request, _ := http.NewRequestWithContext(ctx, http.MethodPost, k.URL, strings.NewReader(`{"query":"subscription {ticks{name}}"}`))
		request.Header = http.Header{"Content-Type": {"application/json"}, "Accept": {"text/event-stream"}}
		response, err := k.Client().Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.CopyN(io.Discard, response.Body, 100)
		leave()
		response.Body.Close()
	}

	if err := k.carriers.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	k.Client().CloseIdleConnections()
	deadline := time.Now().Add(10 * time.Second)
	for runtime.NumGoroutine() > before+2 {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines became %d", before, runtime.NumGoroutine())
		}
		runtime.Gosched()
	}
}
