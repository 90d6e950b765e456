package graph

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler/transport"
	"github.com/coder/websocket"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"corridor/internal/chat"
)

// A socket is one client's connection, and the session of one person on it.
type socket struct {
	conn    *websocket.Conn
	wire    *wire
	from    netip.Addr
	options *socketOptions
	exec    graphql.GraphExecutor // from connection_init on of the surface of who is asking

	writing sync.Mutex  // one message after the other
	late    *time.Timer // goes off if a message is not written in time; nil before the first

	ctx    context.Context    // of what runs on the socket; from connection_init on it knows who is asking
	cancel context.CancelFunc // ends what runs on the socket
	ended  atomic.Bool        // nothing may be sent any more but the close
	known  atomic.Bool        // connection_init was accepted
	heard  atomic.Bool        // something was received since the last ping

	// These are the reader's.
	initialised   bool        // connection_init was received
	until         time.Time   // set before the first operation
	expiry, pings *time.Timer // nil before connection_init was accepted

	mu sync.Mutex
	// running are the operations by the client's ids. One that the client has completed is not among
	// them any more, but counts in begun until it has ended.
	running map[string]*socketOperation
	begun   int
}

var _ carrier = (*socket)(nil)

// A socketOperation is what a client subscribed to under an id. Its responses are made in a goroutine
// that lives as long as there are some: most subscriptions wait most of the time.
type socketOperation struct {
	socket   *socket
	id       string
	idAsJSON []byte
	ctx      context.Context
	cancel   context.CancelFunc
	running
	// timer rings the bell when nobody else has.
	timer *time.Timer

	mu sync.Mutex
	// busy says that the goroutine is there, rung that it has to look again, and over that it must not
	// come back.
	busy, rung, over bool
}

// frame is a message of the protocol.
type frame struct {
	ID      string          `json:"id,omitempty"`
	Type    string          `json:"type"`
	Payload json.RawMessage `json:"payload,omitempty"`
}

// serve reads what the client says until the connection is gone.
func (s *socket) serve() {
	defer s.options.Open.remove(s)
	defer func() {
		s.stop()
		for _, timer := range []*time.Timer{s.expiry, s.pings} {
			if timer != nil {
				timer.Stop()
			}
		}
	}()
	defer survive(s.ctx, s.options.Logger)
	s.conn.SetReadLimit(s.options.MessageBytes)
	initialised := time.AfterFunc(s.options.InitTimeout, func() {
		if !s.known.Load() {
			s.end(closeInitTimeout, "Connection initialisation timeout")
		}
	})
	defer initialised.Stop()
	for {
		kind, data, err := s.conn.Read(context.Background())
		if errors.Is(err, websocket.ErrMessageTooBig) {
			s.end(closeTooBig, "Message too big") // takes in what still comes, so that the client can read why
		}
		if err != nil {
			return
		}
		if s.ended.Load() {
			continue // until the client answers the close
		}
		s.heard.Store(true)
		// In another goroutine, so that the stack of this one stays small for as long as the socket lives.
		taken := make(chan struct{})
		go func() {
			defer close(taken)
			defer survive(s.ctx, s.options.Logger)
			s.take(kind, data)
		}()
		<-taken
	}
}

// take does what a message says.
func (s *socket) take(kind websocket.MessageType, data []byte) {
	var m frame
	if kind != websocket.MessageText || json.Unmarshal(data, &m) != nil {
		s.end(closeInvalid, "Invalid message received")
		return
	}
	answer, begins := s.receive(&m)
	if answer != nil {
		s.send(*answer)
	}
	if begins != nil {
		go begins.begin(m.Payload)
	}
}

// stop cleans up after the last message. A close that is under way is not cut short.
func (s *socket) stop() {
	if !s.ended.Swap(true) {
		_ = s.conn.CloseNow() // it is gone either way
	}
	s.cancel()
}

// end closes the socket. The first call decides the code; who calls does not
// wait for the client's answer.
func (s *socket) end(code int, reason string) (first bool) {
	if s.ended.Swap(true) {
		return false
	}
	s.options.Open.ended(code)
	go s.conn.Close(websocket.StatusCode(code), reason) //nolint:errcheck // who does not answer is cut off after a while
	s.cancel()                                          // after ended, or streams would still say that they are complete
	return true
}

func (s *socket) expires() time.Time { return s.until }

// receive takes a message: it may have an answer, begin an operation, or end the socket. What begins is in the message then as
// readParams reads it.
func (s *socket) receive(m *frame) (answer *frame, begins *socketOperation) {
	switch m.Type {
	case "connection_init":
		if s.initialised {
			s.end(closeTooManyInits, "Too many initialisation requests")
			return nil, nil
		}
		var payload transport.InitPayload
		if m.Payload != nil && json.Unmarshal(m.Payload, &payload) != nil {
			break
		}
		s.initialised = true
		if !s.begin(payload) {
			return nil, nil
		}
		return &frame{Type: "connection_ack"}, nil
	case "ping":
		return &frame{Type: "pong", Payload: m.Payload}, nil
	case "pong":
		return nil, nil
	case "subscribe":
		if !s.known.Load() {
			s.end(closeUnauthorized, "Unauthorized")
			return nil, nil
		}
		request, refused := checkRequest(m.Payload)
		if m.ID == "" || len(m.ID) > maxOperationID || refused != nil {
			break
		}
		m.Payload = request
		return s.subscribe(m.ID)
	case "complete":
		s.complete(m.ID)
		return nil, nil
	}
	s.end(closeInvalid, "Invalid message received")
	return nil, nil
}

// begin finds out who is asking.
func (s *socket) begin(payload transport.InitPayload) (known bool) {
	ctx, expires, err := s.options.Authenticate(s.ctx, payload, s.from)
	if session := sessionOf(ctx); session != nil {
		s.exec = session.surface.exec
	}
	switch left := time.Until(expires); {
	case errors.Is(err, errUnavailable):
		s.end(closeTryAgain, "Try again later")
		return false
	case err != nil, !expires.IsZero() && left <= 0:
		s.end(closeForbidden, "Forbidden")
		return false
	case !expires.IsZero():
		s.until = expires
		s.expiry = time.AfterFunc(left, func() { s.end(closeForbidden, "Forbidden") })
	}
	s.ctx = ctx
	s.known.Store(true)
	s.pings = time.AfterFunc(time.Hour, s.ping) // which must find itself there
	s.pings.Reset(s.options.PingInterval)
	return true
}

// ping asks the client whether it is still there. One that has said nothing since the last time is not.
func (s *socket) ping() {
	if !s.heard.Swap(false) {
		s.stop()
		return
	}
	if s.send(frame{Type: "ping"}) {
		s.pings.Reset(s.options.PingInterval)
	}
}

func (s *socket) subscribe(id string) (refused *frame, begins *socketOperation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running[id] != nil {
		s.end(closeDuplicate, "Subscriber for this id already exists")
		return nil, nil
	}
	if s.begun >= s.options.Operations {
		return failure(id, gqlerror.List{refusal(string(chat.CodeTooManySubscriptions),
			fmt.Sprintf("One connection may have %d operations at a time: end one first.", s.options.Operations))}), nil
	}
	written, err := json.Marshal(id)
	if err != nil {
		panic(err) // strings can always be written
	}
	operation := &socketOperation{socket: s, id: id, idAsJSON: written, busy: true}
	operation.ctx, operation.cancel = context.WithCancel(graphql.StartOperationTrace(s.ctx))
	if s.running == nil {
		s.running = map[string]*socketOperation{}
	}
	s.running[id] = operation
	s.begun++
	return nil, operation
}

// complete ends an operation for the client, who hears nothing more of it.
func (s *socket) complete(id string) {
	s.mu.Lock()
	operation := s.running[id]
	delete(s.running, id)
	s.mu.Unlock()
	if operation != nil {
		operation.cancel()
		operation.settle()
	}
}

// begin begins what the client asks for and answers it as far as there are answers.
func (o *socketOperation) begin(request json.RawMessage) {
	defer o.survives()
	params, err := readParams(bytes.NewReader(request))
	if err != nil { // it was checked before
		o.finish(failure(o.id, gqlerror.List{refusal(codeBadRequest, "The payload must be one JSON object.")}))
		return
	}
	asked, errs := o.socket.exec.CreateOperationContext(o.ctx, &params)
	if errs != nil {
		refused := o.socket.exec.DispatchError(graphql.WithOperationContext(o.ctx, asked), errs)
		o.finish(failure(o.id, refused.Errors))
		return
	}
	o.running = run(o.ctx, o.socket.exec, asked, o.ring)
	context.AfterFunc(o.running.ctx, o.ring)
	o.goOn()
}

// ring has the operation look whether there is more.
func (o *socketOperation) ring() {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.over:
	case o.busy:
		o.rung = true
	default:
		o.busy = true
		o.socket.options.crew.do(o.goesOn)
	}
}

func (o *socketOperation) goesOn() {
	defer o.survives()
	o.goOn()
}

// goOn sends what there is.
func (o *socketOperation) goOn() {
	for {
		response, what, again := o.running.next()
		switch {
		case what == notYet:
			if o.rests(again) {
				return
			}
		case what == noMore && len(o.running.failures()) > 0:
			o.finish(failure(o.id, o.running.failures()))
			return
		case what == noMore:
			o.finish(&frame{ID: o.id, Type: "complete"})
			return
		case !o.socket.sendNext(o, response):
			o.finish(nil)
			return
		case again > 0 && o.rests(again):
			return
		}
	}
}

// settle ends the operation here if nobody is at it, so that its place is free at once.
func (o *socketOperation) settle() {
	o.mu.Lock()
	waits := !o.busy && !o.over
	o.busy = o.busy || waits
	o.mu.Unlock()
	if waits {
		o.finish(nil)
	}
}

// rests tells whether nobody has rung since it was looked. Then the next one who does, or the timer,
// wakes the operation.
func (o *socketOperation) rests(again time.Duration) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.rung {
		o.rung = false
		return false
	}
	o.busy = false
	if o.timer == nil {
		o.timer = time.AfterFunc(again, o.ring)
	} else {
		o.timer.Reset(again)
	}
	return true
}

// survives is deferred by what runs an operation.
func (o *socketOperation) survives() {
	if panicked := recover(); panicked != nil {
		reportPanic(o.ctx, o.socket.options.Logger)
		o.finish(nil)
	}
}

// finish ends the operation, with a last message to a client who does not know yet.
func (o *socketOperation) finish(last *frame) {
	o.mu.Lock()
	again := o.over
	o.over = true
	if o.timer != nil {
		o.timer.Stop()
	}
	o.mu.Unlock()
	if again {
		return
	}
	o.cancel()
	o.running.close()
	s := o.socket
	s.mu.Lock()
	s.begun--
	known := s.running[o.id] != o
	if !known {
		delete(s.running, o.id)
	}
	s.mu.Unlock()
	if last != nil && !known {
		s.send(*last)
	}
}

func failure(id string, errs gqlerror.List) *frame {
	payload, err := json.Marshal(errs)
	if err != nil {
		panic(err) // strings and numbers can always be written
	}
	return &frame{ID: id, Type: "error", Payload: payload}
}

// sendNext sends a response, unless the client has completed the operation.
func (s *socket) sendNext(operation *socketOperation, response *graphql.Response) bool {
	message := newMessage()
	defer buffers.Put(message)
	message.WriteString(`{"id":`)
	message.Write(operation.idAsJSON)
	message.WriteString(`,"type":"next","payload":`)
	writeResponse(message, response)
	message.WriteByte('}')
	s.mu.Lock()
	wanted := s.running[operation.id] == operation
	s.mu.Unlock()
	return wanted && s.write(message)
}

// buffers are used again.
var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// send tells whether the message could be sent; what happened then is found by the next read.
func (s *socket) send(m frame) bool {
	written, err := json.Marshal(m)
	if err != nil {
		panic(err) // what it holds is JSON
	}
	message := newMessage()
	defer buffers.Put(message)
	message.Write(written)
	return s.write(message)
}

func (s *socket) write(message *bytes.Buffer) bool {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.ended.Load() {
		return false
	}
	if s.late == nil {
		s.late = time.AfterFunc(s.options.WriteTimeout, s.isSlow)
	} else {
		s.late.Reset(s.options.WriteTimeout)
	}
	defer s.late.Stop()
	return s.wire.writeText(message) == nil
}

// isSlow ends the socket of a client who does not read.
func (s *socket) isSlow() {
	if s.end(closeTryAgain, "Messages are not read in time") {
		s.options.Open.slow.Inc()
	}
}
