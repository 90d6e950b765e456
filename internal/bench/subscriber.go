package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"
	"golang.org/x/sync/errgroup"
)

// eventsDocument is what a chat asks of its events: the message with its sender and files, and how it makes itself felt.
const eventsDocument = `subscription Events($after: Cursor) {
	events(after: $after) {
		__typename
		cursor
		... on MessageAdded {
			conversation { __typename id }
			message { ...MessageLine }
			notify { popup sound }
		}
		... on MessageChanged { conversation { __typename id } message { ...MessageLine } }
		... on GroupDeleted { conversationId }
		... on SessionExpiring { expiresAt }
	}
}
fragment MessageLine on Message {
	__typename id seq cursor kind text sentAt editedAt recalledAt clientKey
	sender { ...Sender }
	files { ...FileCard }
}
fragment Sender on User { __typename id name isViewer kind }
fragment FileCard on File { __typename id name mediaType size scan width height pageCount }`

// stopwatch is what the texts of messages count from: they say when they began to be sent.
var stopwatch = time.Now()

// stamped is a text that says when it is sent.
func stamped(began time.Time) string {
	return strconv.FormatInt(began.Sub(stopwatch).Nanoseconds(), 10) + " The afternoon list is moved by half an hour."
}

// subscriber follows one conversation over a socket, and checks what it hears: every message once, in order.
type subscriber struct {
	socket *websocket.Conn

	mu sync.Mutex
	// last is the newest seq heard, missing what was not heard before it.
	last    int64
	missing map[int64]bool
	// heard counts the messages of the round, frame is how long the last one was.
	heard, frame int
	latencies    []time.Duration
	deliveries
}

// hears takes what came. What is no message of ours counts for nothing.
func (s *subscriber) hears(frame []byte, at time.Time) {
	seq, ok := number(frame, `"seq":`)
	sent, stamped := number(frame, `"text":"`)
	if !ok || !stamped {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case seq > s.last:
		for missed := s.last + 1; missed < seq && s.last > 0; missed++ {
			s.missing[missed] = true
		}
		s.last = seq
	case s.missing[seq]:
		delete(s.missing, seq)
		s.OutOfOrder++
	default:
		s.Doubled++
		return
	}
	s.heard++
	s.frame = len(frame)
	s.latencies = append(s.latencies, at.Sub(stopwatch)-time.Duration(sent))
}

// number reads the number behind a mark.
func number(frame []byte, mark string) (int64, bool) {
	_, behind, found := bytes.Cut(frame, []byte(mark))
	if !found {
		return 0, false
	}
	end := 0
	for end < len(behind) && behind[end] >= '0' && behind[end] <= '9' {
		end++
	}
	value, err := strconv.ParseInt(string(behind[:end]), 10, 64)
	return value, err == nil
}

// follow reads the socket until it ends.
func (s *subscriber) follow(ctx context.Context) {
	for {
		_, frame, err := s.socket.Read(ctx)
		if err != nil {
			return
		}
		at := time.Now()
		if bytes.HasPrefix(frame, []byte(`{"type":"ping"`)) {
			_ = wsjson.Write(ctx, s.socket, map[string]string{"type": "pong"})
			continue
		}
		s.hears(frame, at)
	}
}

// crowd are the subscribers of some conversations.
type crowd struct {
	all []*subscriber
	// of are those of each conversation.
	of        map[string][]*subscriber
	following sync.WaitGroup
	cancel    context.CancelFunc
}

// seat is where a subscriber sits: which conversation they hear, and how their socket is opened.
type seat struct {
	conversation string
	open         func(ctx context.Context) (*websocket.Conn, error)
}

// gather opens a socket for each seat.
func gather(ctx context.Context, seats []seat) (*crowd, error) {
	ctx, cancel := context.WithCancel(ctx)
	c := &crowd{of: map[string][]*subscriber{}, cancel: cancel}
	sockets := make([]*websocket.Conn, len(seats))
	opening, opened := errgroup.WithContext(ctx)
	opening.SetLimit(16)
	for n, seat := range seats {
		opening.Go(func() (err error) {
			sockets[n], err = seat.open(opened)
			return err
		})
	}
	err := opening.Wait()
	for n, socket := range sockets {
		if socket == nil {
			continue
		}
		socket.SetReadLimit(1 << 20)
		s := &subscriber{socket: socket, missing: map[int64]bool{}}
		c.all = append(c.all, s)
		c.of[seats[n].conversation] = append(c.of[seats[n].conversation], s)
		c.following.Go(func() { s.follow(ctx) })
	}
	if err != nil {
		c.leave()
		return nil, fmt.Errorf("open the sockets of subscribers: %w", err)
	}
	return c, nil
}

// leave closes all sockets.
func (c *crowd) leave() {
	c.cancel()
	for _, s := range c.all {
		_ = s.socket.CloseNow()
	}
	c.following.Wait()
}

// begin forgets what was heard before.
func (c *crowd) begin() {
	for _, s := range c.all {
		s.mu.Lock()
		s.heard, s.latencies, s.deliveries = 0, nil, deliveries{}
		s.mu.Unlock()
	}
}

// patience is how long a delivery may take until it counts as lost.
const patience = 10 * time.Second

// end waits until all have heard what was sent, so many messages to each conversation, and sums up.
func (c *crowd) end(ctx context.Context, sent map[string]int) (heard int, latencies []time.Duration, amiss deliveries, err error) {
	for giveUp := time.Now().Add(patience); ; {
		missing := 0
		for conversation, n := range sent {
			for _, s := range c.of[conversation] {
				s.mu.Lock()
				missing += max(0, n-s.heard)
				s.mu.Unlock()
			}
		}
		if missing == 0 || time.Now().After(giveUp) {
			amiss.Lost = missing
			break
		}
		if err := sleep(ctx, time.Millisecond); err != nil {
			return 0, nil, amiss, err
		}
	}
	for _, s := range c.all {
		s.mu.Lock()
		heard += s.heard
		latencies = append(latencies, s.latencies...)
		amiss.add(s.deliveries)
		s.mu.Unlock()
	}
	return heard, latencies, amiss, nil
}

// frame is how long a message was that they heard.
func (c *crowd) frame() int {
	s := c.all[0]
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.frame
}

// subscribes opens a socket as a chat does, and returns when the stream of events is open.
func subscribes(ctx context.Context, url, token string) (*websocket.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	socket, _, err := websocket.Dial(ctx, url+"/graphql", &websocket.DialOptions{Subprotocols: []string{"graphql-transport-ws"}})
	if err != nil {
		return nil, err
	}
	for _, message := range []any{
		map[string]any{"type": "connection_init", "payload": map[string]string{"Authorization": "Bearer " + token}},
		map[string]any{"type": "subscribe", "id": "1", "payload": map[string]string{"query": eventsDocument}},
	} {
		if err := wsjson.Write(ctx, socket, message); err != nil {
			return nil, errors.Join(err, socket.CloseNow())
		}
	}
	for {
		var message struct {
			Type    string
			Payload json.RawMessage
		}
		if err := wsjson.Read(ctx, socket, &message); err != nil {
			return nil, errors.Join(err, socket.CloseNow())
		}
		switch {
		case message.Type == "error" || bytes.Contains(message.Payload, []byte(`"errors"`)):
			return nil, errors.Join(fmt.Errorf("the subscription was refused: %s", message.Payload), socket.CloseNow())
		case message.Type == "next": // a heartbeat: it is open
			return socket, nil
		}
	}
}
