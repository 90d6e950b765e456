package torture

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
)

// line is something that is heard of a conversation: its seq, or that somebody was added or left.
type line struct {
	kind lineKind
	// n is the seq of the line; of additions, which do not tell it, how manieth it is.
	n int64
}

type lineKind int8

const (
	said lineKind = iota
	added
	left
	// foreign is a line that the person may not see.
	foreign
)

// subscriber follows the stream of a person, on one instance after the other.
type subscriber struct {
	w      *world
	person *person

	cursor      string
	ready       sync.Once
	began       chan struct{}
	stalled     atomic.Bool
	connections atomic.Int64
	resets      atomic.Int64

	mu   sync.Mutex
	conn *websocket.Conn
	// heard is by the id that the API has for the conversation.
	heard map[string][]line
	// first is when each line of a conversation was heard first.
	delays []time.Duration
}

const document = `subscription ($after: Cursor) { events(after: $after) {
	__typename cursor occurredAt
	... on MessageAdded { conversation { id } message { seq } }
	... on ConversationAdded { conversation { id } }
	... on ConversationLeft { conversation { id } message { seq } }
} }`

// follows listens until ctx ends.
func (s *subscriber) follows(ctx context.Context) {
	for ctx.Err() == nil {
		s.connections.Add(1)
		_ = s.followsOnce(ctx) // cut off in one way or another
		select {
		case <-ctx.Done():
		case <-time.After(20*time.Millisecond + rand.N(100*time.Millisecond)):
		}
	}
}

func (s *subscriber) followsOnce(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	dialing, stop := context.WithTimeout(ctx, 5*time.Second)
	defer stop()
	at := s.w.instances[rand.N(len(s.w.instances))]
	conn, _, err := websocket.Dial(dialing, "ws://"+at.proxy.address()+"/graphql", &websocket.DialOptions{Subprotocols: []string{"graphql-transport-ws"}})
	if err != nil {
		return err
	}
	defer conn.CloseNow()
	s.mu.Lock()
	s.conn = conn
	s.mu.Unlock()
	conn.SetReadLimit(1 << 20)
	variables := vars{}
	if s.cursor != "" {
		variables["after"] = s.cursor
	}
	if err := says(ctx, conn, vars{"type": "connection_init", "payload": vars{"Authorization": "Bearer " + s.person.token}}); err != nil {
		return err
	}
	for {
		for s.stalled.Load() && ctx.Err() == nil {
			time.Sleep(20 * time.Millisecond)
		}
		// The server says something every 15 seconds.
		reading, stop := context.WithTimeout(ctx, 40*time.Second)
		_, data, err := conn.Read(reading)
		stop()
		if err != nil {
			return err
		}
		var message struct {
			Type    string
			Payload json.RawMessage
		}
		if err := json.Unmarshal(data, &message); err != nil {
			return err
		}
		switch message.Type {
		case "connection_ack":
			err = says(ctx, conn, vars{"type": "subscribe", "id": "1", "payload": vars{"query": document, "variables": variables}})
		case "ping":
			err = says(ctx, conn, vars{"type": "pong"})
		case "next":
			err = s.hears(message.Payload)
		case "error", "complete":
			err = fmt.Errorf("%s: %s", message.Type, message.Payload)
		}
		if err != nil {
			return err
		}
	}
}

func says(ctx context.Context, conn *websocket.Conn, message vars) error {
	data, err := json.Marshal(message)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return conn.Write(ctx, websocket.MessageText, data)
}

// hears takes down an event. From then on the stream is resumed behind it.
func (s *subscriber) hears(payload []byte) error {
	var event struct {
		Data struct {
			Events *struct {
				Typename     string `json:"__typename"`
				Cursor       string
				OccurredAt   time.Time
				Conversation *struct{ ID string }
				Message      *struct{ Seq int64 }
			}
		}
		Errors []struct{ Message string }
	}
	if err := json.Unmarshal(payload, &event); err != nil {
		return err
	}
	if len(event.Errors) > 0 || event.Data.Events == nil {
		return fmt.Errorf("%v", event.Errors)
	}
	e := event.Data.Events
	heard := line{kind: said}
	switch e.Typename {
	case "MessageAdded":
	case "ConversationAdded":
		heard.kind = added
	case "ConversationLeft":
		heard.kind = left
	case "StreamReset":
		s.resets.Add(1)
		fallthrough
	default:
		s.cursor = e.Cursor
		s.ready.Do(func() { close(s.began) })
		return nil
	}
	of := ""
	if e.Conversation != nil {
		of = e.Conversation.ID
	}
	switch {
	case heard.kind == added:
	case e.Message == nil || e.Conversation == nil:
		heard.kind = foreign
	default:
		heard.n = e.Message.Seq
	}
	s.mu.Lock()
	if heard.kind == added {
		for _, before := range s.heard[of] {
			if before.kind == added {
				heard.n++
			}
		}
	}
	s.heard[of] = append(s.heard[of], heard)
	s.delays = append(s.delays, time.Since(e.OccurredAt))
	s.mu.Unlock()
	s.cursor = e.Cursor
	return nil
}

// drops breaks the connection off.
func (s *subscriber) drops() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != nil {
		go s.conn.CloseNow()
	}
}

// knows tells how many lines were heard of a conversation.
func (s *subscriber) knows(of string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.heard[of])
}
