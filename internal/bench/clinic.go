package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"go.jetify.com/typeid"

	"corridor/internal/auth"
)

// group is a conversation to work with.
type group struct {
	id      uuid.UUID
	node    string
	members []uuid.UUID
}

// clinic is a server on a database, and what is in it.
type clinic struct {
	server *child
	db     *sqlx.DB
	client *http.Client
	key    *auth.Key

	mu     sync.Mutex
	tokens map[uuid.UUID]string
	// pages are the places in history that were walked to.
	pages map[uuid.UUID][]place

	people             []uuid.UUID
	everybody, hundred group
	// deep have long histories, ordinary are groups of 3 to 12.
	deep, wards, ordinary []group
}

// open looks up what there is.
func open(ctx context.Context, server *child, db *sqlx.DB, key *auth.Key, size size) (*clinic, error) {
	c := &clinic{
		server: server, db: db, key: key, tokens: map[uuid.UUID]string{}, pages: map[uuid.UUID][]place{},
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: atOnce, DisableCompression: true}, Timeout: time.Minute},
	}
	var err error
	if _, c.people, err = staffIn(ctx, db, size); err != nil {
		return nil, err
	}
	const query = `
		SELECT conversations.id, name, array_agg(user_id ORDER BY participants.id) AS members
		FROM conversations JOIN participants ON conversation_id = conversations.id
		WHERE kind = 'GROUP' GROUP BY conversations.id ORDER BY name`
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var g group
		var name string
		if err := rows.Scan(&g.id, &name, pq.Array(&g.members)); err != nil {
			return nil, err
		}
		g.node = nodeOf(g.id)
		switch kind, _, _ := strings.Cut(name, " "); kind {
		case "Everybody":
			c.everybody = g
		case "Hundred":
			c.hundred = g
		case "Deep":
			c.deep = append(c.deep, g)
		case "Ward":
			c.wards = append(c.wards, g)
		case "Group":
			c.ordinary = append(c.ordinary, g)
		}
	}
	return c, rows.Err()
}

// nodeOf is how clients know a conversation.
func nodeOf(id uuid.UUID) string {
	return typeid.Must(typeid.FromUUIDBytesWithPrefix("conversation", id[:])).String()
}

// token is of a person, for the time of a long run.
func (c *clinic) token(person uuid.UUID) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	token, known := c.tokens[person]
	if !known {
		var err error
		if token, err = c.key.Mint(person, 12*time.Hour); err != nil {
			panic(err) // the key and the person are good
		}
		c.tokens[person] = token
	}
	return token
}

// request is the body of one.
func request(query string, variables map[string]any) []byte {
	body, err := json.Marshal(map[string]any{"query": query, "variables": variables})
	if err != nil {
		panic(err) // it holds texts and numbers only
	}
	return body
}

// asks sends a request and returns the answer, which has no errors in it.
func (c *clinic) asks(ctx context.Context, person uuid.UUID, body []byte) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.server.url+"/graphql", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+c.token(person))
	answer, err := do(c.client, request)
	if err != nil {
		return nil, err
	}
	if bytes.Contains(answer, []byte(`"errors":[`)) || bytes.Contains(answer, []byte(`"userErrors":[{`)) {
		return nil, fmt.Errorf("the server refused: %s", answer[:min(len(answer), 500)])
	}
	return answer, nil
}

func do(client *http.Client, request *http.Request) ([]byte, error) {
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", response.Status, answer[:min(len(answer), 500)])
	}
	return answer, nil
}

// decode asks and reads the data of the answer.
func (c *clinic) decode(ctx context.Context, person uuid.UUID, query string, variables map[string]any, data any) error {
	answer, err := c.asks(ctx, person, request(query, variables))
	if err != nil {
		return err
	}
	return json.Unmarshal(answer, &struct{ Data any }{data})
}

const sendDocument = `mutation SendMessage($input: SendMessageInput!) {
	sendMessage(input: $input) { message { id seq sentAt } userErrors { code message field } }
}`

// sends sends a message to a group.
func (c *clinic) sends(ctx context.Context, sender uuid.UUID, to group, text string) error {
	_, err := c.asks(ctx, sender, request(sendDocument, map[string]any{
		"input": map[string]any{"clientKey": uuid.NewString(), "conversationId": to.node, "body": text},
	}))
	return err
}
