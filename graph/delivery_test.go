package graph_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"
	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"corridor/graph/scalar"
)

func TestWhatIsSentOnOneInstanceIsHeardOnTheOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Ann Lee", "Bob Roy")
	ann, bob := people[0], people[1]
	bob.at = w.instance()
	group := ann.group("Case", bob)
	annHears, bobHears := ann.follows(), bob.follows()

	for i := range 10 {
		ann.sends(group, fmt.Sprint("scan ", i))
		bob.sends(group, fmt.Sprint("seen ", i))
	}

	for i := range 10 {
		for _, stream := range []*stream{annHears, bobHears} {
			check(t, stream.person.name+" hears", stream.hears(), fmt.Sprint("Ann Lee: scan ", i))
			check(t, stream.person.name+" hears", stream.hears(), fmt.Sprint("Bob Roy: seen ", i))
		}
	}
}

func TestAStreamGoesOnByCursorOnTheOtherInstance(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Ann Lee", "Bob Roy")
	ann, bob := people[0], people[1]
	other := w.instance()
	group := ann.group("Case", bob)
	direct := ann.direct(bob)
	stream := bob.follows()
	ann.sends(group, "one")
	ann.sends(direct, "psst")
	heard := []string{stream.hears(), stream.hears()}
	slices.Sort(heard)
	check(t, "Bob hears", strings.Join(heard, ", "), "Ann Lee: one, Ann Lee: psst")

	stream.drops()
	ann.sends(group, "two")
	ann.removes(group, bob)
	ann.sends(group, "behind his back")
	ann.adds(group, bob)
	w.instances[0].stop()
	ann.at, bob.at = other, other
	stream = bob.followsFrom(stream.cursor)
	ann.sends(group, "three")

	for _, want := range []string{"Ann Lee: two", "gone: You were removed from the group.", "added to Case", "Ann Lee: three"} {
		check(t, "Bob hears on the other instance", stream.hears(), want)
	}
}

// 8 people write on 2 instances while connections of clients and of the database are cut and
// members come and go. Every subscriber hears of every conversation exactly the lines that they may
// see, in their order, and every message that was acknowledged is there once.
func TestNothingIsLostDoubledOrOutOfOrder(t *testing.T) {
	t.Parallel()
	const messages = 24 // of each writer
	w := newWorld(t)
	w.instance()
	people := w.people("Front desk", "Olga", "W1", "W2", "W3", "W4", "W5", "W6", "W7", "W8", "Mum", "G1", "G2", "G3")
	olga, writers, members, guests := people[0], people[1:9], people[1:10], people[10:]
	var groups []string
	conversations := map[*person][]string{}
	for i := range 3 {
		group := olga.group(fmt.Sprint("Case ", i), members...)
		groups = append(groups, group)
		for _, p := range people {
			conversations[p] = append(conversations[p], group)
		}
	}
	directs := map[string]*person{}
	for i := 0; i < len(writers); i += 2 {
		direct := writers[i].direct(writers[i+1])
		directs[direct] = writers[i]
		for _, p := range writers[i : i+2] {
			conversations[p] = append(conversations[p], direct)
		}
	}
	s := &storm{w: w, db: w.database.Open(), deadline: time.Now().Add(4 * time.Minute), start: map[string]int{}}
	s.remember()
	var subscribers []*subscriber
	var listening, ready sync.WaitGroup
	for i, p := range people[1:] {
		ready.Add(1)
		sub := &subscriber{
			storm: s, person: p, random: rand.New(rand.NewPCG(uint64(i), 7)), conversations: conversations[p],
			heard: map[string][]string{}, ready: sync.OnceFunc(ready.Done),
		}
		subscribers = append(subscribers, sub)
		listening.Go(func() { sub.listens("end") })
	}
	ready.Wait()

	var working sync.WaitGroup
	for i, p := range writers {
		random := rand.New(rand.NewPCG(uint64(i), 8))
		working.Go(func() {
			for n := range messages {
				s.sends(random, p, conversations[p][random.IntN(len(conversations[p]))], fmt.Sprint(p.name, " says ", n))
				if i == 0 && n%8 == 7 {
					s.cutsTheDatabase()
				}
			}
		})
	}
	working.Go(func() {
		random := rand.New(rand.NewPCG(1, 9))
		for range 4 {
			for _, guest := range guests {
				s.does(random, olga, "addParticipants", vars{"conversationId": groups[random.IntN(2)], "userIds": []string{guest.id}})
			}
			for _, group := range groups {
				for _, guest := range guests {
					s.does(random, olga, "removeParticipant", vars{"conversationId": group, "userId": guest.id})
				}
			}
		}
		for _, group := range groups {
			s.does(random, olga, "addParticipants", vars{"conversationId": group, "userIds": ids(guests)})
		}
	})
	working.Wait()

	random := rand.New(rand.NewPCG(2, 9))
	for _, last := range []string{"end", "very end"} {
		if last != "end" { // who resumes from the end hears nothing twice
			for _, sub := range subscribers {
				listening.Go(func() { sub.listens(last) })
			}
		}
		for _, group := range groups {
			s.sends(random, olga, group, last)
		}
		for direct, p := range directs {
			s.sends(random, p, direct, last)
		}
		listening.Wait()
	}
	cuts := 0
	for _, sub := range subscribers {
		cuts += sub.connections
		for _, conversation := range sub.conversations {
			sameHistory(t, sub.person.name, sub.heard[conversation], s.visible(sub.person, conversation))
		}
	}
	s.holdsWhatWasAcknowledged(len(writers)*messages + 2*(len(groups)+len(directs)))
	t.Logf("%d connections, %d retries, %d cuts of the database", cuts, s.retries.Load(), s.faults.Load())
}

// storm is what the people and the checks of the test share.
type storm struct {
	w        *world
	db       *sqlx.DB
	deadline time.Time
	// start is the last line of each conversation when everybody began to listen.
	start map[string]int

	mu              sync.Mutex
	acknowledged    []string
	retries, faults atomic.Int64
}

// remember takes down where the conversations are.
func (s *storm) remember() {
	s.w.t.Helper()
	var rows []struct {
		ID      uuid.UUID
		LastSeq int `db:"last_seq"`
	}
	if err := s.db.Select(&rows, `SELECT id, last_seq FROM conversations`); err != nil {
		s.w.t.Fatal(err)
	}
	for _, row := range rows {
		s.start[row.ID.String()] = row.LastSeq
	}
}

// sends sends a message until an instance acknowledges it.
func (s *storm) sends(random *rand.Rand, p *person, to, body string) {
	payload := s.does(random, p, "sendMessage", vars{"conversationId": to, "body": body})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.acknowledged = append(s.acknowledged, payload.text("message.id"))
}

// does asks some instance for the same thing until one answers.
func (s *storm) does(random *rand.Rand, p *person, mutation string, input vars) thing {
	selection := map[string]string{"sendMessage": "message { id }", "addParticipants": "outcomes { outcome }"}[mutation]
	input["clientKey"] = newKey()
	document := fmt.Sprintf(`mutation ($input: %s%sInput!) { %s(input: $input) { userErrors { code } %s } }`,
		strings.ToUpper(mutation[:1]), mutation[1:], mutation, selection)
	for time.Now().Before(s.deadline) {
		at := s.w.instances[random.IntN(len(s.w.instances))]
		if a, err := post(at.server.URL+"/graphql", p.token, document, vars{"input": input}); err == nil && a.status == http.StatusOK && len(a.Errors) == 0 {
			return a.thing().at(mutation)
		}
		s.retries.Add(1)
	}
	s.w.t.Errorf("%s: %s was not acknowledged in time", p.name, mutation)
	return thing{}
}

func post(url, token, document string, variables vars) (a answer, err error) {
	body, err := json.Marshal(vars{"query": document, "variables": variables})
	if err != nil {
		return a, err
	}
	request, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return a, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return a, err
	}
	defer response.Body.Close()
	a.status = response.StatusCode
	return a, json.NewDecoder(response.Body).Decode(&a)
}

// cutsTheDatabase ends all connections to it but the one that does so.
func (s *storm) cutsTheDatabase() {
	const query = `
		SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
		WHERE datname = current_database() AND pid <> pg_backend_pid()`
	if _, err := s.db.Exec(query); err != nil {
		s.w.t.Error(err)
	}
	s.faults.Add(1)
}

// subscriber listens to the stream of a person, on one instance after the other.
type subscriber struct {
	*storm
	person        *person
	random        *rand.Rand
	conversations []string
	ready         func()

	cursor      string
	connections int
	heard       map[string][]string
}

// listens goes on from the last cursor until every conversation has said the last word.
func (s *subscriber) listens(lastWord string) {
	for time.Now().Before(s.deadline) && !s.heardEverywhere(lastWord) {
		s.connections++
		_ = s.listensOnce(s.w.instances[s.connections%len(s.w.instances)], lastWord) // cut off in one way or another
	}
}

func (s *subscriber) heardEverywhere(word string) bool {
	for _, conversation := range s.conversations {
		if heard := s.heard[conversation]; len(heard) == 0 || !strings.HasSuffix(heard[len(heard)-1], ": "+word) {
			return false
		}
	}
	return true
}

func (s *subscriber) listensOnce(at *instance, lastWord string) error {
	ctx, cancel := context.WithDeadline(context.Background(), s.deadline)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, at.server.URL+"/graphql", &websocket.DialOptions{Subprotocols: []string{"graphql-transport-ws"}})
	if err != nil {
		return err
	}
	defer conn.CloseNow()
	defer time.AfterFunc(time.Duration(50+s.random.IntN(800))*time.Millisecond, func() { conn.CloseNow() }).Stop()
	const document = `subscription ($after: Cursor) { events(after: $after) {
		__typename cursor
		... on MessageAdded { conversation { id } message { seq kind text } }
		... on ConversationAdded { conversation { id } }
		... on ConversationLeft { conversation { id } message { seq } }
	} }`
	variables := vars{}
	if s.cursor != "" {
		variables["after"] = s.cursor
	}
	if err := wsjson.Write(ctx, conn, vars{"type": "connection_init", "payload": vars{"Authorization": "Bearer " + s.person.token}}); err != nil {
		return err
	}
	subscribed := false
	for {
		var message struct {
			Type    string
			Payload json.RawMessage
		}
		if err := wsjson.Read(ctx, conn, &message); err != nil {
			return err
		}
		switch message.Type {
		case "connection_ack":
			if subscribed {
				return nil
			}
			subscribed = true
			if err := wsjson.Write(ctx, conn, vars{"type": "subscribe", "id": "1", "payload": vars{"query": document, "variables": variables}}); err != nil {
				return err
			}
		case "next":
			var payload any
			if err := json.Unmarshal(message.Payload, &payload); err != nil {
				return err
			}
			if errors := (thing{payload}).list("errors"); len(errors) > 0 {
				return fmt.Errorf("%v", errors)
			}
			s.hears(thing{payload}.at("data.events"))
			s.ready()
			if s.heardEverywhere(lastWord) {
				return nil
			}
		case "error", "complete":
			return fmt.Errorf("%s", message.Payload)
		}
	}
}

// hears takes down an event. From then on the stream is resumed behind it.
func (s *subscriber) hears(event thing) {
	conversation := event.text("conversation.id")
	line := ""
	switch kind := event.text("__typename"); kind {
	case "MessageAdded":
		line = event.text("message.seq")
		if line == "" {
			line = "of a line that is not theirs"
		}
		if event.text("message.kind") == "TEXT" {
			line += ": " + event.text("message.text")
		}
	case "ConversationAdded":
		line = "added"
	case "ConversationLeft":
		line = event.text("message.seq") + " left"
	case "StreamReset":
		line = "RESET"
	}
	if line != "" {
		s.heard[conversation] = append(s.heard[conversation], line)
	}
	s.cursor = event.text("cursor")
}

// visible is what the person could hear of a conversation since everybody began to listen.
func (s *storm) visible(p *person, conversation string) []string {
	s.w.t.Helper()
	const query = `
		SELECT messages.seq, messages.kind, body, messages.seq = opened_seq AS first, messages.seq = to_seq AS last
		FROM spans
		JOIN conversations ON conversations.stream = spans.stream
		JOIN messages ON conversation_id = conversations.id AND messages.seq BETWEEN opened_seq AND to_seq
		WHERE reader = $1 AND conversations.id = $2 AND messages.seq > $3
		ORDER BY messages.seq`
	var rows []struct {
		Seq         int
		Kind, Body  string
		First, Last bool
	}
	id := uuidOf(conversation)
	if err := s.db.Select(&rows, query, p.userID, id, s.start[id.String()]); err != nil {
		s.w.t.Fatal(err)
	}
	lines := make([]string, len(rows))
	for i, row := range rows {
		switch {
		case row.First:
			lines[i] = "added"
		case row.Last:
			lines[i] = fmt.Sprint(row.Seq, " left")
		case row.Kind == "TEXT":
			lines[i] = fmt.Sprint(row.Seq, ": ", row.Body)
		default:
			lines[i] = fmt.Sprint(row.Seq)
		}
	}
	return lines
}

func uuidOf(id string) uuid.UUID {
	var node scalar.NodeID
	_ = node.UnmarshalGQL(id)
	return node.ID
}

// holdsWhatWasAcknowledged compares the messages that there are with those that were acknowledged.
func (s *storm) holdsWhatWasAcknowledged(sent int) {
	s.w.t.Helper()
	var stored []uuid.UUID
	if err := s.db.Select(&stored, `SELECT id FROM messages WHERE kind = 'TEXT' ORDER BY id`); err != nil {
		s.w.t.Fatal(err)
	}
	var acknowledged []uuid.UUID
	for _, id := range s.acknowledged {
		acknowledged = append(acknowledged, uuidOf(id))
	}
	slices.SortFunc(acknowledged, func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })
	if len(stored) != sent || !slices.Equal(stored, acknowledged) {
		s.w.t.Errorf("%d messages were sent, %d are acknowledged and %d stored", sent, len(acknowledged), len(stored))
	}
}

// sameHistory compares what somebody heard of a conversation with what they could see.
func sameHistory(t *testing.T, who string, got, want []string) {
	t.Helper()
	if slices.Equal(got, want) {
		return
	}
	i := 0
	for i < len(got) && i < len(want) && got[i] == want[i] {
		i++
	}
	t.Errorf("%s heard %d lines of %d; from line %d on %q, want %q", who, len(got), len(want), i,
		got[i:min(i+5, len(got))], want[i:min(i+5, len(want))])
}
