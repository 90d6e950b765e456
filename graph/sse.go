package graph

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
)

// eventStreams is the transport of Server-Sent Events, for networks that let no WebSocket through:
// one operation for each request, by the distinct connections mode of
// https://github.com/graphql/graphql-over-http/blob/main/rfcs/GraphQLOverSSE.md
//
// gqlgen has one too. It writes from two goroutines, one of which may outlive the request, repeats
// bad requests in the log, and says that a stream is complete however it ended; this one writes
// from one, and breaks off what should be resumed. See docs/decisions/0007-server-sent-events.md.
type eventStreams struct {
	open   *carriers
	watch  func(context.Context, *session)
	logger *slog.Logger
	// ping is the pause after which something is sent even if nothing happens.
	ping         time.Duration
	writeTimeout time.Duration
}

var _ graphql.Transport = (*eventStreams)(nil)

const eventStreamType = "text/event-stream"

// Supports takes requests by POST that accept an event stream and nothing else before it.
func (*eventStreams) Supports(r *http.Request) bool {
	first, _, _ := strings.Cut(r.Header.Get("Accept"), ",")
	accepted, _, err := mime.ParseMediaType(first)
	return err == nil && accepted == eventStreamType && r.Method == http.MethodPost
}

// An eventStream is one operation of one client.
type eventStream struct {
	all   *carriers
	until time.Time
	close context.CancelFunc
	ended atomic.Bool
}

var _ carrier = (*eventStream)(nil)

func (s *eventStream) end(code int, _ string) (first bool) {
	if first = !s.ended.Swap(true); first {
		s.all.ended(code)
	}
	s.close()
	return first
}

func (s *eventStream) expires() time.Time { return s.until }

// Do serves one operation until it is complete, the client is gone or the stream must end.
func (t *eventStreams) Do(w http.ResponseWriter, r *http.Request, exec graphql.GraphExecutor) {
	params, err := readParams(r.Body)
	if err != nil { // it was checked before
		refuse(w, http.StatusBadRequest, refusal(codeBadRequest, "The request must be one JSON object."))
		return
	}
	session := sessionOf(r.Context())
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	s := &eventStream{all: t.open, until: session.expires, close: cancel}
	ctx = carriedBy(ctx, s)
	operation, errs := exec.CreateOperationContext(ctx, &params)
	if plain, ok := ctx.Value(plainRequestKey{}).(*plainRequest); ok && plain.status != 0 { // nothing of a stream is there yet
		refuse(w, plain.status, errs[0])
		return
	}
	if errs == nil && operation.Operation.Operation == ast.Subscription { // the others are over soon
		if !t.open.add(s) {
			w.Header().Set("Retry-After", "1")
			refuse(w, http.StatusServiceUnavailable, refusal(codeRestarting, "This server is about to stop: connect again."))
			return
		}
		defer t.open.remove(s)
		t.watch(ctx, session)
		if !s.until.IsZero() {
			expiry := time.AfterFunc(time.Until(s.until), func() { s.end(closeForbidden, "Forbidden") })
			defer expiry.Stop()
		}
	}
	out := &eventWriter{w: w, control: http.NewResponseController(w), timeout: t.writeTimeout}
	w.Header().Set("Content-Type", eventStreamType+"; charset=utf-8")
	w.Header().Set("X-Accel-Buffering", "no")    // or nginx keeps events until it has many
	_ = out.control.SetReadDeadline(time.Time{}) // the server's is for requests
	out.write(": hello\n\n")

	events := t.events(ctx, operation, errs, exec)
	ping := time.NewTicker(t.ping)
	defer ping.Stop()
	for open := true; open && out.err == nil && ctx.Err() == nil; {
		select {
		case event, more := <-events:
			if open = more; more {
				out.write(event)
			}
		case <-ping.C:
			out.write(": still here\n\n")
		case <-ctx.Done():
		}
	}
	cancel()
	if errors.Is(out.err, os.ErrDeadlineExceeded) {
		t.open.slow.Inc()
	}
	for range events { // who makes them must not outlive the request
	}
	if s.ended.Load() || out.err != nil || r.Context().Err() != nil {
		r.Context().Value(plainRequestKey{}).(*plainRequest).broken = true // it is resumed, what ends well is not
		return
	}
	out.write("event: complete\ndata:\n\n")
}

// events returns the events of an operation. The channel is closed when there are no more, or soon
// after ctx ends.
func (t *eventStreams) events(ctx context.Context, operation *graphql.OperationContext, errs gqlerror.List, exec graphql.GraphExecutor) <-chan string {
	events := make(chan string)
	go func() {
		defer close(events)
		defer survive(ctx, t.logger)
		send := func(response *graphql.Response) bool {
			event := nextEvent(response) // here, for the next response is written over this one
			select {
			case events <- event:
				return true
			case <-ctx.Done():
				return false
			}
		}
		if errs != nil {
			send(exec.DispatchError(graphql.WithOperationContext(ctx, operation), errs))
			return
		}
		bell := make(chan struct{}, 1)
		running := run(ctx, exec, operation, func() {
			select {
			case bell <- struct{}{}:
			default: // it has not been heard yet
			}
		})
		defer running.close()
		for {
			response, what, again := running.next()
			switch {
			case what == notYet:
				select {
				case <-bell:
				case <-time.After(again):
				case <-ctx.Done():
				}
			case what == noMore:
				if errs := running.failures(); len(errs) > 0 {
					send(&graphql.Response{Errors: errs})
				}
				return
			case !send(response):
				return
			}
		}
	}()
	return events
}

func nextEvent(response *graphql.Response) string {
	var event bytes.Buffer
	event.WriteString("event: next\ndata: ")
	writeResponse(&event, response)
	event.WriteString("\n\n")
	return event.String()
}

// eventWriter writes events, each within its time, until one can't be written.
type eventWriter struct {
	w       io.Writer
	control *http.ResponseController
	timeout time.Duration
	err     error
}

func (o *eventWriter) write(event string) {
	if o.err != nil {
		return
	}
	if o.err = o.control.SetWriteDeadline(time.Now().Add(o.timeout)); o.err != nil {
		return
	}
	if _, o.err = io.WriteString(o.w, event); o.err == nil {
		o.err = o.control.Flush()
	}
}
