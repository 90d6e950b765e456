package graph

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/99designs/gqlgen/graphql/handler/transport"
	"github.com/coder/websocket"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"corridor/internal/chat"
)

// A socket is one client's connection, and the session of one person on it.
type socket struct {
	transport.WebsocketConn
	options socketOptions

	cancel context.CancelFunc // ends what runs on the socket
	ended  atomic.Bool        // nothing may be sent any more but the close
	known  atomic.Bool        // connection_init was accepted

	initialised bool      // connection_init was received; for the reader only
	until       time.Time // set before the first operation
	expiry      *time.Timer

	// gqlgen keeps operations by id and mixes up two that bear the same one,
	// even one after the other. So it gets ids of ours.
	mu      sync.Mutex
	last    int
	names   map[string]string // the client's id to ours
	running map[string]string // ours to the client's, or to "" once the client has completed it
}

// frame is a message of the protocol.
type frame struct {
	ID      string          `json:"id,omitempty"`
	Type    string          `json:"type"`
	Payload json.RawMessage `json:"payload,omitempty"`
}

// end closes the socket. The first call decides the code; who calls does not
// wait for the client's answer.
func (s *socket) end(code int, reason string) {
	if s.ended.Swap(true) {
		return
	}
	s.options.Open.ended(code)
	_ = s.WebsocketConn.WriteClose(code, reason) // it writes in the background, and has no error to tell
	s.cancel()                                   // after ended, or streams would still say that they are complete
}

func (s *socket) expires() time.Time { return s.until }

func (s *socket) fail(ctx context.Context, err *gqlerror.Error) {
	transport.AddSubscriptionError(ctx, err)
}

// stop cleans up after the last message.
func (s *socket) stop() {
	s.ended.Store(true)
	if s.expiry != nil {
		s.expiry.Stop()
	}
	_ = s.WebsocketConn.Close() // unless a close is under way, which then does it
}

// NextReader gives gqlgen the next message that it can be trusted with.
func (s *socket) NextReader() (int, io.Reader, error) {
	for {
		kind, r, err := s.WebsocketConn.NextReader()
		if err != nil {
			if errors.Is(err, websocket.ErrMessageTooBig) {
				s.end(closeTooBig, "Message too big") // takes in what still comes, so that the client can read why
			}
			return kind, nil, err
		}
		if s.ended.Load() {
			continue // until the client answers the close
		}
		data, err := io.ReadAll(r)
		if err != nil {
			return kind, nil, err
		}
		var m frame
		if kind != int(websocket.MessageText) || json.Unmarshal(data, &m) != nil {
			s.end(closeInvalid, "Invalid message received")
			continue
		}
		if !s.receive(&m) {
			continue
		}
		if data, err = json.Marshal(m); err != nil {
			return kind, nil, err
		}
		return kind, bytes.NewReader(data), nil
	}
}

// receive judges a message, and may change it. It is not forwarded when it is
// answered here, or ends the socket.
func (s *socket) receive(m *frame) (forward bool) {
	switch m.Type {
	case "connection_init":
		if s.initialised {
			s.end(closeTooManyInits, "Too many initialisation requests")
			return false
		}
		if payload := (map[string]json.RawMessage)(nil); m.Payload != nil && json.Unmarshal(m.Payload, &payload) != nil {
			break
		}
		s.initialised = true
		return true
	case "ping":
		if !s.initialised { // allowed by the protocol, not by gqlgen
			_ = s.send(frame{Type: "pong", Payload: m.Payload}) // a broken connection is found by the next read
		}
		return s.initialised
	case "pong":
		return s.initialised
	case "subscribe":
		if !s.known.Load() {
			s.end(closeUnauthorized, "Unauthorized")
			return false
		}
		if m.ID == "" || len(m.ID) > maxOperationID || checkRequest(m.Payload) != nil {
			break
		}
		return s.subscribe(m)
	case "complete":
		return s.complete(m)
	}
	s.end(closeInvalid, "Invalid message received")
	return false
}

func (s *socket) subscribe(m *frame) (forward bool) {
	s.mu.Lock()
	_, taken := s.names[m.ID]
	full := len(s.running) >= s.options.Operations
	ours := strconv.Itoa(s.last + 1)
	if !taken && !full {
		s.last++
		s.names[m.ID], s.running[ours] = ours, m.ID
	}
	s.mu.Unlock()
	switch {
	case taken:
		s.end(closeDuplicate, "Subscriber for this id already exists")
		return false
	case full:
		payload, _ := json.Marshal(gqlerror.List{refusal(string(chat.CodeTooManySubscriptions), // plain strings do not fail
			fmt.Sprintf("One connection may have %d operations at a time: end one first.", s.options.Operations))})
		_ = s.send(frame{ID: m.ID, Type: "error", Payload: payload}) // a broken connection is found by the next read
		return false
	}
	m.ID = ours
	return true
}

func (s *socket) complete(m *frame) (forward bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ours, ok := s.names[m.ID]
	if !ok {
		return false // it was over already
	}
	delete(s.names, m.ID)
	s.running[ours] = ""
	m.ID = ours
	return true
}

// WriteJSON sends a message of gqlgen's, under the client's id.
func (s *socket) WriteJSON(v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	var m frame
	if err := json.Unmarshal(data, &m); err != nil {
		return err
	}
	if m.ID != "" {
		s.mu.Lock()
		id := s.running[m.ID]
		if m.Type == "complete" || m.Type == "error" {
			delete(s.running, m.ID)
			delete(s.names, id)
		}
		s.mu.Unlock()
		if id == "" {
			return nil // the client has completed it, or it has failed, which gqlgen completes as well
		}
		m.ID = id
	}
	return s.send(m)
}

func (s *socket) send(m frame) error {
	if s.ended.Load() {
		return transport.ErrWebsocketClosed
	}
	slow := time.AfterFunc(s.options.WriteTimeout, func() {
		s.options.Open.slow.Inc()
		s.end(closeTryAgain, "Messages are not read in time")
	})
	defer slow.Stop()
	return s.WebsocketConn.WriteJSON(m)
}

// WriteClose is how gqlgen ends a socket.
func (s *socket) WriteClose(code int, reason string) error {
	if code == transport.WebsocketCloseProtocolError {
		code, reason = closeInvalid, "Invalid message received"
	}
	s.end(code, reason)
	return nil
}

// SetReadLimit implements transport.WebsocketReadLimiter.
func (s *socket) SetReadLimit(limit int64) {
	s.WebsocketConn.(transport.WebsocketReadLimiter).SetReadLimit(limit)
}

// SetReadDeadline implements transport.WebsocketReadDeadliner.
func (s *socket) SetReadDeadline(t time.Time) error {
	return s.WebsocketConn.(transport.WebsocketReadDeadliner).SetReadDeadline(t)
}
