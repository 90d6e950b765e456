package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"

	"corridor/internal/chat"
)

// everything is the stream of a person with what a terminal has room for.
const everything = `subscription ($after: Cursor) { events(after: $after) {
  __typename cursor
  ... on MessageAdded { conversation { id } message { id kind files { id name } text sender { name } } notify { popup sound } }
  ... on MessageChanged { message { id text recalledAt } }
  ... on FileChanged { file { id name scan } message { id } }
  ... on ConversationAdded { conversation { id ... on GroupConversation { name } } }
  ... on ConversationLeft { reason conversation { id } message { text } }
  ... on ConversationChanged { conversation { id unreadCount viewerSettings { isMuted archivedAt } } }
  ... on GroupDeleted { conversationId }
  ... on ContactAdded { contact { name } }
  ... on ContactChanged { contact { name } }
  ... on ContactRemoved { userId }
  ... on SessionExpiring { expiresAt }
} }`

type followCommand struct {
	Token string `required:"" env:"CORRIDOR_TOKEN" placeholder:"TOKEN" help:"The bearer token of the person, from corridor token."`
	URL   string `default:"http://127.0.0.1:8080/graphql" placeholder:"URL" help:"Where the API is (${default})."`
	After string `placeholder:"CURSOR" help:"Begin behind this event; without it, now."`

	// connected tells that somebody has answered.
	connected bool
}

// Run prints what happens for a person, a line of JSON for each event, until it is interrupted. It
// comes back when the connection breaks, behind the last event that it printed.
func (c *followCommand) Run(streams streams) error {
	if at, err := url.Parse(c.URL); err != nil || at.Host == "" || !slices.Contains([]string{"http", "https", "ws", "wss"}, at.Scheme) {
		return wrong("--url is %q: it must look like http://127.0.0.1:8080/graphql", c.URL)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	for pause := time.Second; ; pause = min(2*pause, 30*time.Second) {
		before := c.After
		err := c.listen(ctx, streams.stdout)
		switch closed := websocket.CloseStatus(err); {
		case ctx.Err() != nil:
			return nil
		case closed == 4403 && chat.IsPartnerKey(c.Token):
			return errors.New("the key is not good, or may not be used from here: `corridor key list` shows its state and its networks")
		case closed == 4403:
			return errors.New("the session is over or the token is not valid: get another with corridor token")
		case errors.Is(err, errRefused):
			return err
		case !c.connected:
			return fmt.Errorf("nobody answers at %s: does the server run, and there? (--url)", c.URL)
		}
		if c.After != before {
			pause = time.Second
		}
		fmt.Fprintf(streams.stderr, "corridor: not connected, trying again in %s\n", pause)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// errRefused is an answer that trying again does not change.
var errRefused = errors.New("the server refused")

// listen prints events from one connection until it ends.
func (c *followCommand) listen(ctx context.Context, to io.Writer) error {
	// The protocol is https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md.
	conn, answer, err := websocket.Dial(ctx, c.URL, &websocket.DialOptions{Subprotocols: []string{"graphql-transport-ws"}})
	c.connected = c.connected || answer != nil // if only to a server that is starting
	if answer != nil && answer.StatusCode != http.StatusSwitchingProtocols && answer.StatusCode < 500 {
		return fmt.Errorf("%w to talk at %s (%s): is that the address of the API?", errRefused, c.URL, answer.Status)
	}
	if err != nil {
		return err
	}
	defer conn.CloseNow()
	conn.SetReadLimit(1 << 20)
	type object map[string]any
	if err := wsjson.Write(ctx, conn, object{"type": "connection_init", "payload": object{"Authorization": "Bearer " + c.Token}}); err != nil {
		return err
	}
	for {
		var message struct {
			Type    string
			Payload json.RawMessage
		}
		if err := wsjson.Read(ctx, conn, &message); err != nil {
			return err
		}
		var reply object
		switch message.Type {
		case "connection_ack":
			variables := object{}
			if c.After != "" {
				variables["after"] = c.After
			}
			reply = object{"type": "subscribe", "id": "1", "payload": object{"query": everything, "variables": variables}}
		case "ping":
			reply = object{"type": "pong"}
		case "next":
			if err := c.print(message.Payload, to); err != nil {
				return err
			}
		case "error":
			return c.refusal(message.Payload)
		case "complete":
			return fmt.Errorf("%w to go on: it ended the stream", errRefused)
		}
		if reply != nil {
			if err := wsjson.Write(ctx, conn, reply); err != nil {
				return err
			}
		}
	}
}

// refusal says of the errors that a server answers with what to do.
func (c *followCommand) refusal(payload json.RawMessage) error {
	var errs []struct {
		Message    string
		Extensions struct{ Code string }
	}
	if json.Unmarshal(payload, &errs) != nil || len(errs) == 0 {
		return fmt.Errorf("%w, and does not say why", errRefused)
	}
	says := errs[0].Message
	switch errs[0].Extensions.Code {
	case "GRAPHQL_VALIDATION_FAILED": // for a key what its scopes do not open is not in the schema
		if chat.IsPartnerKey(c.Token) {
			says = "a key needs the scope conversations:read to follow what happens: make one that has it with corridor key create"
		} else {
			says = "it does not know what this program asks for: use a corridor of the server's version"
		}
	case "DOCUMENT_NOT_REGISTERED":
		says = "this key runs only documents that are registered: follow with a key that was made without --documents-only"
	}
	return fmt.Errorf("%w: %s", errRefused, says)
}

func (c *followCommand) print(payload json.RawMessage, to io.Writer) error {
	var event struct {
		Data struct {
			Events json.RawMessage
		}
		Errors []struct{ Message string }
	}
	if err := json.Unmarshal(payload, &event); err != nil {
		return err
	}
	if len(event.Errors) > 0 {
		return fmt.Errorf("%w: %s", errRefused, event.Errors[0].Message)
	}
	var at struct{ Cursor string }
	if err := json.Unmarshal(event.Data.Events, &at); err != nil {
		return err
	}
	c.After = at.Cursor
	_, err := fmt.Fprintf(to, "%s\n", event.Data.Events)
	return err
}
