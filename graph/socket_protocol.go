package graph

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
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
	exec    graphql.GraphExecutor
	options *socketOptions

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

// A socketOperation is what a client subscribed to under an id.
type socketOperation struct {
	id     string
	params graphql.RawParams
	ctx    context.Context
	cancel context.CancelFunc
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
		var m frame
		if kind != websocket.MessageText || json.Unmarshal(data, &m) != nil {
			s.end(closeInvalid, "Invalid message received")
			continue
		}
		answer, begins := s.receive(m)
		if answer != nil {
			s.send(*answer)
		}
		if begins != nil {
			go s.run(begins)
		}
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
func (s *socket) end(code int, reason string) {
	if s.ended.Swap(true) {
		return
	}
	s.options.Open.ended(code)
	go s.conn.Close(websocket.StatusCode(code), reason) //nolint:errcheck // who does not answer is cut off after a while
	s.cancel()                                          // after ended, or streams would still say that they are complete
}

func (s *socket) expires() time.Time { return s.until }

// receive takes a message: it may have an answer, begin an operation, or end the socket.
func (s *socket) receive(m frame) (answer *frame, begins *socketOperation) {
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
		if m.ID == "" || len(m.ID) > maxOperationID || checkRequest(m.Payload) != nil {
			break
		}
		return s.subscribe(m)
	case "complete":
		s.complete(m.ID)
		return nil, nil
	}
	s.end(closeInvalid, "Invalid message received")
	return nil, nil
}

// begin finds out who is asking.
func (s *socket) begin(payload transport.InitPayload) (known bool) {
	ctx, expires, err := s.options.Authenticate(s.ctx, payload)
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

func (s *socket) subscribe(m frame) (refused *frame, begins *socketOperation) {
	params, err := readParams(bytes.NewReader(m.Payload))
	if err != nil { // it was checked before
		s.end(closeInvalid, "Invalid message received")
		return nil, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running[m.ID] != nil {
		s.end(closeDuplicate, "Subscriber for this id already exists")
		return nil, nil
	}
	if s.begun >= s.options.Operations {
		return failure(m.ID, gqlerror.List{refusal(string(chat.CodeTooManySubscriptions),
			fmt.Sprintf("One connection may have %d operations at a time: end one first.", s.options.Operations))}), nil
	}
	operation := &socketOperation{id: m.ID, params: params}
	operation.ctx, operation.cancel = context.WithCancel(graphql.StartOperationTrace(s.ctx))
	if s.running == nil {
		s.running = map[string]*socketOperation{}
	}
	s.running[m.ID] = operation
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
	}
}

// run answers an operation, in a goroutine of its own.
func (s *socket) run(operation *socketOperation) {
	defer func() {
		operation.cancel()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.begun--
		if s.running[operation.id] == operation {
			delete(s.running, operation.id)
		}
	}()
	defer survive(operation.ctx, s.options.Logger)
	last := &frame{ID: operation.id, Type: "complete"}
	asked, errs := s.exec.CreateOperationContext(operation.ctx, &operation.params)
	if errs != nil {
		errs = s.exec.DispatchError(graphql.WithOperationContext(operation.ctx, asked), errs).Errors
	} else {
		errs = execute(operation.ctx, s.exec, asked, func(response *graphql.Response) bool { return s.sendNext(operation, response) })
	}
	if len(errs) > 0 {
		last = failure(operation.id, errs)
	}
	s.mu.Lock()
	completes := s.running[operation.id] == operation
	if completes {
		delete(s.running, operation.id)
	}
	s.mu.Unlock()
	if completes { // or the client knows already
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
	id, err := json.Marshal(operation.id)
	if err != nil {
		panic(err) // as above
	}
	message := buffers.Get().(*bytes.Buffer)
	defer buffers.Put(message)
	message.Reset()
	message.WriteString(`{"id":`)
	message.Write(id)
	message.WriteString(`,"type":"next","payload":`)
	writeResponse(message, response)
	message.WriteByte('}')
	s.mu.Lock()
	wanted := s.running[operation.id] == operation
	s.mu.Unlock()
	return wanted && s.write(message.Bytes())
}

// buffers are used again.
var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// send tells whether the message could be sent; what happened then is found by the next read.
func (s *socket) send(m frame) bool {
	message, err := json.Marshal(m)
	if err != nil {
		panic(err) // what it holds is JSON
	}
	return s.write(message)
}

func (s *socket) write(message []byte) bool {
	if s.ended.Load() {
		return false
	}
	slow := time.AfterFunc(s.options.WriteTimeout, func() {
		s.options.Open.slow.Inc()
		s.end(closeTryAgain, "Messages are not read in time")
	})
	defer slow.Stop()
	return s.conn.Write(context.Background(), websocket.MessageText, message) == nil
}
