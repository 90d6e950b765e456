package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
	"github.com/google/uuid"
)

const (
	senders = 32
	readers = 8
	// messagesASecond are delivered to the wards, and broadcastsASecond to the large group.
	messagesASecond, broadcastsASecond = 200, 10
	// atWards is how many of the wards hear the program. The limit writes to others: what it writes is in no feed.
	atWards = 25
)

// side is who does a work: the program, or a limit of it.
type side struct {
	name string
	// server is the process whose CPU time counts; nobody's if there is none between the load and the database.
	server int
	round  func(ctx context.Context, lasts time.Duration) (outcome, error)
}

// work is one of the six: the program and its limits, each of which does the same.
type work struct {
	name, title string
	// operation is what is counted.
	operation string
	sides     []side
	// close lets go of what the sides hold. It may be nil.
	close func()
}

const (
	program    = "Corridor"
	limit      = "limit"
	limitWhole = "limit, whole frames"
)

// send is 32 senders, each of whom waits until the message is acknowledged and sends the next to some group.
func (c *clinic) send(context.Context) (work, error) {
	ours, theirs := halves(c.ordinary)
	return work{
		name: "send", title: fmt.Sprintf("send, %d senders, acknowledged durable", senders), operation: "message",
		sides: []side{
			{program, c.server.pid, func(ctx context.Context, lasts time.Duration) (outcome, error) {
				return closedLoop(ctx, senders, lasts, func(ctx context.Context, _, _ int) error {
					to, sender := someOf(ours)
					return c.sends(ctx, sender, to, stamped(time.Now()))
				})
			}},
			{limit, 0, func(ctx context.Context, lasts time.Duration) (outcome, error) {
				return closedLoop(ctx, senders, lasts, func(ctx context.Context, _, _ int) error {
					to, sender := someOf(theirs)
					_, err := leastSend(ctx, c.db, to.id, sender, uuid.NewString(), stamped(time.Now()))
					return err
				})
			}},
		},
	}, nil
}

// halves parts groups: what the limit writes is no news to the program, so they don't write to the same.
func halves(groups []group) (ours, theirs []group) {
	return groups[:len(groups)/2], groups[len(groups)/2:]
}

// someOf picks one of the groups, and who sends to it.
func someOf(groups []group) (to group, sender uuid.UUID) {
	to = groups[rand.IntN(len(groups))]
	return to, to.members[rand.IntN(len(to.members))]
}

// deliver is a steady rate of messages to wards, in each of which eight listen to the ninth.
func (c *clinic) deliver(ctx context.Context, bare *child) (work, error) {
	w := work{name: "deliver", title: fmt.Sprintf("deliver, %d messages/s to %d live subscribers each", messagesASecond, wardSize-1), operation: "message"}
	err := c.tells(ctx, &w, c.wards[:atWards], messagesASecond, wardSize-1, bare, bareSide{limit, "follow", c.wards[atWards:]})
	return w, err
}

// fanOut is a message now and then to one group in which all listen. Each delivery is an operation.
func (c *clinic) fanOut(ctx context.Context, bare *child, to group, subscribers int) (work, error) {
	w := work{name: "fan-out", title: fmt.Sprintf("fan-out, one group, %d live subscribers", subscribers), operation: "delivery"}
	err := c.tells(ctx, &w, []group{to}, broadcastsASecond, subscribers, bare,
		bareSide{limit, "follow", c.wards[atWards : atWards+1]}, bareSide{limitWhole, "plain", c.wards[atWards+1 : atWards+2]})
	return w, err
}

// bareSide is a limit by the bare server: where its subscribers connect, and to which groups it writes.
type bareSide struct {
	name, path string
	groups     []group
}

// tells gives a work in which messages are heard its sides.
func (c *clinic) tells(ctx context.Context, w *work, groups []group, rate float64, subscribers int, bare *child, limits ...bareSide) (err error) {
	var crowds []*crowd
	w.close = func() {
		for _, crowd := range crowds {
			crowd.leave()
		}
	}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	add := func(name string, server *child, groups []group, open func(ctx context.Context, g group, n int) (*websocket.Conn, error),
		send func(ctx context.Context, to group, text string) error,
	) (*crowd, error) {
		var seats []seat
		for _, g := range groups {
			for n := range subscribers {
				seats = append(seats, seat{g.node, func(ctx context.Context) (*websocket.Conn, error) { return open(ctx, g, n) }})
			}
		}
		listening, err := gather(ctx, seats)
		if err != nil {
			return nil, err
		}
		crowds = append(crowds, listening)
		w.sides = append(w.sides, side{name, server.pid, listening.round(groups, rate, w.operation == "delivery", send)})
		return listening, nil
	}
	listening, err := add(program, c.server, groups, func(ctx context.Context, g group, n int) (*websocket.Conn, error) {
		return subscribes(ctx, c.server.url, c.token(g.members[len(g.members)-1-n])) // whoever sends listens only if all do
	}, func(ctx context.Context, to group, text string) error { return c.sends(ctx, to.members[0], to, text) })
	if err != nil {
		return err
	}
	// A first message to each, by which the limits learn how long the frames are.
	if _, err := w.sides[0].round(ctx, time.Duration(float64(len(groups))*float64(time.Second)/rate)); err != nil {
		return err
	}
	size := strconv.Itoa(listening.frame())
	for _, limit := range limits {
		_, err := add(limit.name, bare, limit.groups, func(ctx context.Context, g group, _ int) (*websocket.Conn, error) {
			socket, _, err := websocket.Dial(ctx, bare.url+"/"+limit.path+"?group="+g.id.String(), nil)
			return socket, err
		}, func(ctx context.Context, to group, text string) error {
			query := url.Values{"group": {to.id.String()}, "sender": {to.members[0].String()}, "size": {size}}
			request, err := http.NewRequestWithContext(ctx, http.MethodPost, bare.url+"/send?"+query.Encode(), strings.NewReader(text))
			if err != nil {
				return err
			}
			_, err = do(c.client, request)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// round sends to groups at a rate, and counts what their subscribers hear.
func (c *crowd) round(groups []group, rate float64, deliveries bool, send func(ctx context.Context, to group, text string) error) func(context.Context, time.Duration) (outcome, error) {
	return func(ctx context.Context, lasts time.Duration) (outcome, error) {
		c.begin()
		begun := time.Now()
		var mu sync.Mutex
		sent := map[string]int{}
		out, err := openLoop(ctx, rate, lasts, func(ctx context.Context, n int) error {
			to := groups[n%len(groups)]
			if err := send(ctx, to, stamped(time.Now())); err != nil {
				return err
			}
			mu.Lock()
			sent[to.node]++
			mu.Unlock()
			return nil
		})
		if err != nil {
			return out, err
		}
		heard, latencies, amiss, err := c.end(ctx, sent)
		out.took, out.latencies, out.deliveries = max(lasts, time.Since(begun)), latencies, amiss
		if deliveries {
			out.offered *= float64(len(c.all))
			out.operations = heard
		}
		return out, err
	}
}

const listDocument = `query Conversations($first: Int!) {
	viewer {
		conversations(first: $first) {
			nodes {
				__typename id lastActivityAt unreadCount
				lastMessage { id seq kind text sentAt sender { id name } }
				... on GroupConversation { name participants(first: 5) { nodes { id role user { id name } } } }
				... on DirectConversation { peer { id name } }
			}
			pageInfo { hasNextPage endCursor }
		}
	}
}`

// list is the first 20 conversations of somebody who has 200.
func (c *clinic) list(context.Context) (work, error) {
	const rows = 20
	body := request(listDocument, map[string]any{"first": rows})
	people := c.people[:busy]
	return reading("list", "recent conversations: 20 of 200 with last message, sender, unread, 5 participants", c.server.pid,
		func(ctx context.Context, n int) error {
			answer, err := c.asks(ctx, people[n%busy], body)
			if err != nil {
				return err
			}
			return counted(rows, bytes.Count(answer, []byte(`"unreadCount":`)), 5*rows, bytes.Count(answer, []byte(`"role":`)))
		},
		func(ctx context.Context, n int) error {
			found, err := leastList(ctx, c.db, people[n%busy])
			if err != nil {
				return err
			}
			return counted(rows, found)
		}), nil
}

// reading is a work of many who read at once.
func reading(name, title string, server int, ask, least func(ctx context.Context, n int) error) work {
	round := func(read func(ctx context.Context, n int) error) func(context.Context, time.Duration) (outcome, error) {
		return func(ctx context.Context, lasts time.Duration) (outcome, error) {
			return closedLoop(ctx, readers, lasts, func(ctx context.Context, client, n int) error { return read(ctx, client+n*readers) })
		}
	}
	return work{name: name, title: title, operation: "query", sides: []side{{program, server, round(ask)}, {limit, 0, round(least)}}}
}

// counted compares pairs of how many should be there and are.
func counted(pairs ...int) error {
	for n := 0; n < len(pairs); n += 2 {
		if pairs[n] != pairs[n+1] {
			return fmt.Errorf("an answer has %d of what should be there %d times", pairs[n+1], pairs[n])
		}
	}
	return nil
}

const historyDocument = `query Messages($id: ID!, $before: Cursor, $last: Int!) {
	node(id: $id) {
		... on GroupConversation {
			messages(last: $last, before: $before) {
				nodes { id seq kind text sentAt sender { id name } }
				pageInfo { hasPreviousPage startCursor }
			}
		}
	}
}`

const historyPage = 50

// place is one in the history of a conversation, with the request for the page before it.
type place struct {
	of   group
	seq  int64
	body []byte
}

// places walks through the history of a conversation, from its end, and returns the places that have a page before them.
func (c *clinic) places(ctx context.Context, of group) (all []place, err error) {
	if known := c.pages[of.id]; known != nil {
		return known, nil
	}
	defer func() { c.pages[of.id] = all }()
	before, seq := any(nil), int64(1)<<62
	for {
		variables := map[string]any{"id": of.node, "before": before, "last": historyPage}
		var page struct {
			Node struct {
				Messages struct {
					Nodes    []struct{ Seq int64 }
					PageInfo struct {
						HasPreviousPage bool
						StartCursor     string
					}
				}
			}
		}
		if err := c.decode(ctx, c.people[0], historyDocument, variables, &page); err != nil {
			return nil, err
		}
		messages := page.Node.Messages
		if len(messages.Nodes) < historyPage {
			return all, nil
		}
		all = append(all, place{of, seq, request(historyDocument, variables)})
		if !messages.PageInfo.HasPreviousPage {
			return all, nil
		}
		before, seq = messages.PageInfo.StartCursor, messages.Nodes[0].Seq
	}
}

// history is a page of 50 messages from anywhere in long conversations.
func (c *clinic) history(ctx context.Context) (work, error) {
	var all []place
	for _, of := range c.deep[:min(4, len(c.deep))] {
		places, err := c.places(ctx, of)
		if err != nil {
			return work{}, err
		}
		all = append(all, places...)
	}
	return c.historyAt("history: 50 messages with senders", all), nil
}

func (c *clinic) historyAt(title string, places []place) work {
	people := c.people[:busy]
	at := func(n int) place { return places[hash(uint64(n))%uint64(len(places))] }
	return reading("history", title, c.server.pid,
		func(ctx context.Context, n int) error {
			answer, err := c.asks(ctx, people[n%busy], at(n).body)
			if err != nil {
				return err
			}
			return counted(historyPage, bytes.Count(answer, []byte(`"seq":`)), historyPage, bytes.Count(answer, []byte(`"sender":{`)))
		},
		func(ctx context.Context, n int) error {
			found, err := leastHistory(ctx, c.db, people[n%busy], at(n).of.id, at(n).seq)
			if err != nil {
				return err
			}
			return counted(historyPage, found)
		})
}

const searchDocument = `query Contacts($query: String!) {
	viewer {
		contacts(first: 20, query: $query) {
			nodes { name email user { id roleLabel } }
			pageInfo { hasNextPage endCursor }
		}
	}
}`

// wanted is what somebody searches for, and how many rows that has.
type wanted struct {
	person uuid.UUID
	word   string
	rows   int
	body   []byte
}

// searching are searches of many people, for pieces of so many letters of names and addresses: more people than there are
// searches a second, because who searches more than ten times a second is refused.
func (c *clinic) searching(lengths ...int) []wanted {
	const people = 2000
	all := make([]wanted, people)
	texts, books := make([]string, min(house, len(c.people))), map[string][]int{}
	for n := range texts {
		texts[n] = strings.ToLower(nameOf(n)) + "\n" + emailOf(n)
		for _, room := range roomsOf(n, len(c.people)) {
			books[room] = append(books[room], n)
		}
	}
	for k := range all {
		n, chance := k*7%len(texts), hash(uint64(k))
		names := strings.Fields(texts[chance%uint64(len(texts))])
		from := names[chance>>32%2] // a piece of it, which is in the address too
		letters := min(lengths[k%len(lengths)], len(from))
		begin := int(chance >> 40 % uint64(len(from)-letters+1))
		word := from[begin : begin+letters]
		found := map[int]bool{}
		for _, room := range roomsOf(n, len(c.people)) {
			for _, other := range books[room] {
				if other != n && strings.Contains(texts[other], word) {
					found[other] = true
				}
			}
		}
		all[k] = wanted{c.people[n], word, min(20, len(found)), request(searchDocument, map[string]any{"query": word})}
	}
	return all
}

// search is the first 20 of 2,000 contacts by a piece of a name or an e-mail address, of so many letters.
func (c *clinic) search(name, title string, lengths ...int) work {
	all := c.searching(lengths...)
	return reading(name, title, c.server.pid,
		func(ctx context.Context, n int) error {
			wanted := all[n%len(all)]
			answer, err := c.asks(ctx, wanted.person, wanted.body)
			if err != nil {
				return err
			}
			return counted(wanted.rows, bytes.Count(answer, []byte(`"email":`)))
		},
		func(ctx context.Context, n int) error {
			wanted := all[n%len(all)]
			found, err := leastSearch(ctx, c.db, wanted.person, wanted.word)
			if err != nil {
				return err
			}
			return counted(wanted.rows, found)
		})
}
