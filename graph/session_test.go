package graph_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket/wsjson"
	"github.com/google/uuid"

	"corridor/internal/chat"
)

func TestE35ADismissedPersonIsCutOff(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Ann Lee", "Bob Roy")
	ann, bob := people[0], people[1]
	conversation := ann.direct(bob)
	ann.sends(conversation, "hello")
	socket := bob.follows()
	begun := time.Now()

	bob.isDismissed()

	socket.ends()
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("the socket was open for %s", took)
	}
	check(t, "closed with", fmt.Sprint(int(socket.closed.Code)), "4403")
	refused := bob.asks(`{ viewer { name } }`, nil)
	check(t, "requests", fmt.Sprint(refused.status)+" "+refused.code(), "401 UNAUTHENTICATED")
	again := bob.subscribes(bob.token, eventsDocument, nil)
	again.ends()
	check(t, "a new socket", fmt.Sprint(int(again.closed.Code)), "4403")
	check(t, "the contact", ann.contacts(), "")
	check(t, "the thread", ann.looksAt(conversation, "viewerCanSend").text("viewerCanSend"), "false")
}

func TestNobodyIsLetInWithoutAToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.person("Ann Lee", "Front desk")
	answers := map[string]bool{}
	for _, token := range []string{"", "garbage", ann.token + "x", w.tokenFor(uuid.Must(uuid.NewV7()), time.Hour), w.expiredToken(ann.userID.UUID)} {
		refused := w.asks(ann.at, token, `{ viewer { name } }`, nil)
		answers[fmt.Sprint(refused.status, refused.body)] = true
		socket := ann.subscribes(token, eventsDocument, nil)
		socket.ends()
		check(t, "socket", fmt.Sprint(int(socket.closed.Code)), "4403")
	}
	if len(answers) != 1 {
		t.Errorf("bad tokens are told apart: %v", answers)
	}
}

func TestASessionThatExpiresSaysSoAndClosesWith4403(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Ann Lee", "Bob Roy")
	ann, bob := people[0], people[1]
	group := ann.group("Case", bob)
	short := bob.subscribes(w.tokenFor(bob.userID.UUID, 2*time.Second), eventsDocument, nil)
	check(t, "first", short.next("events").text("__typename"), "Heartbeat")

	notice := short.next("events")

	check(t, "notice", notice.text("__typename"), "SessionExpiring")
	short.ends()
	check(t, "closed with", fmt.Sprint(int(short.closed.Code)), "4403")
	ann.sends(group, "while you were out")
	check(t, "resumed with a new token", bob.followsFrom(notice.text("cursor")).hears(), "Ann Lee: while you were out")
}

func TestACursorIsGoodForItsReaderOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Ann Lee", "Bob Roy")
	ann, bob := people[0], people[1]
	cursor := ann.follows().cursor
	for _, wrong := range []string{cursor, "nonsense", cursor[:len(cursor)-1], strings.Repeat("A", 5000)} {
		s := bob.subscribes(bob.token, eventsDocument, vars{"after": wrong})
		s.ends()
		check(t, "answer", s.failed.text("extensions.code"), "CURSOR_INVALID")
	}
}

// E41: a clinic is a hard wall, also for people of the same name and address.
func TestE41NothingOfAnotherClinicExists(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.person("Ann Lee", "Front desk")
	bob := w.person("Bob Roy", "Front desk")
	far := w.personOf("Hillside", "Ann Lee", "MA", "Front desk")
	group := ann.group("Case", bob)
	message := ann.sends(group, "ours")
	participant := ann.looksAtGroup(group, "participants { nodes { id } }").text("participants.nodes.0.id")
	room := ann.sees(`{ viewer { waitingRooms { nodes { id } } } }`, nil).text("viewer.waitingRooms.nodes.0.id")

	seen := far.sees(`query ($ids: [ID!]!) { nodes(ids: $ids) { id } }`, vars{"ids": []string{ann.id, group, message, participant, room}})

	check(t, "nodes", fmt.Sprint(seen.at("nodes").value), "[<nil> <nil> <nil> <nil> <nil>]")
	own := ann.sees(`query ($ids: [ID!]!) { nodes(ids: $ids) { __typename id } }`, vars{"ids": []string{ann.id, group, message, participant, room}})
	check(t, "to those of the clinic they exist", own.texts("nodes", "__typename"), "User, GroupConversation, Message, Participant, WaitingRoom")
	check(t, "by their ids", own.texts("nodes", "id"), strings.Join([]string{ann.id, group, message, participant, room}, ", "))
	far.isRefused("NOT_FOUND", "sendMessage", vars{"conversationId": group, "body": "x"})
	far.isRefused("NOT_FOUND", "editMessage", vars{"messageId": message, "body": "x"})
	check(t, "contacts", far.contacts(), "")
	tooMany := ann.asks(`query ($ids: [ID!]!) { nodes(ids: $ids) { id } }`, vars{"ids": make([]string, 101)})
	check(t, "too many ids", tooMany.code(), "INVALID")
}

func TestAFaultShowsAnIdAndNothingElse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Ann Lee", "Bob Roy")
	ann, bob := people[0], people[1]
	group := ann.group("Case", bob)
	if _, err := w.database.Open().Exec(`ALTER TABLE messages RENAME TO gone`); err != nil {
		t.Fatal(err)
	}

	failed := ann.asks(`mutation ($id: ID!) { sendMessage(input: {clientKey: "k", conversationId: $id, body: "private words"}) { message { id } } }`, vars{"id": group})

	check(t, "code", failed.code(), "INTERNAL")
	if fault, _ := failed.Errors[0].Extensions["fault"].(string); len(fault) < 16 || !strings.Contains(failed.Errors[0].Message, fault) {
		t.Errorf("no fault id: %s", failed.body)
	}
	if strings.Contains(failed.body, "messages") || strings.Contains(failed.body, "private") || strings.Contains(failed.body, "SQL") {
		t.Errorf("something leaks: %s", failed.body)
	}
}

func TestE35ASocketThatAsksForNothingIsCutOffToo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Ann Lee", "Bob Roy")
	bob := people[1]
	idle := bob.subscribes(bob.token, `subscription { groupDeleted { conversationId } }`, nil)
	if err := wsjson.Write(t.Context(), idle.conn, vars{"type": "complete", "id": "1"}); err != nil {
		t.Fatal(err)
	}

	bob.isDismissed()

	idle.ends()
	check(t, "closed with", fmt.Sprint(int(idle.closed.Code)), "4403")
}

func TestE24E35WhoIsTakenBackResumesFromBefore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Ann Lee", "Bob Roy")
	ann, bob := people[0], people[1]
	group := ann.group("Case", bob)
	stream := bob.follows()
	stream.drops()
	bob.isDismissed()
	ann.sends(group, "while Bob was gone")
	w.clinics[home][bob.email] = bob
	w.importRoster(home)

	resumed := bob.followsFrom(stream.cursor)

	for heard := resumed.hears(); heard != "Ann Lee: while Bob was gone"; heard = resumed.hears() {
		if heard != "ContactListChanged" && heard != "ContactChanged Ann Lee" {
			t.Errorf("Bob heard %q", heard)
		}
	}
}

// What never becomes an operation is answered as what it is, over HTTP and through the whole handler,
// and repeats nothing of what was sent.
func TestABadDocumentIsNotAFaultOfOurs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.person("Ann Lee", "Front desk")
	var aliases strings.Builder
	for i := range 60 {
		fmt.Fprintf(&aliases, "a%d: name ", i)
	}
	for what, c := range map[string]struct{ document, code string }{
		"an unknown field":    {`{ viewer { nmae } }`, "GRAPHQL_VALIDATION_FAILED"},
		"an unknown argument": {`{ viewer { contacts(secretword: 1) { nodes { name } } } }`, "GRAPHQL_VALIDATION_FAILED"},
		"no such value":       {`{ viewer { conversations(filter: {kind: 7}) { nodes { id } } } }`, "GRAPHQL_VALIDATION_FAILED"},
		"a null":              {`{ node(id: null) { id } }`, "GRAPHQL_VALIDATION_FAILED"},
		"a syntax error":      {`{ viewer { name "secretword" `, "GRAPHQL_PARSE_FAILED"},
		"too many aliases":    {`{ viewer { ` + aliases.String() + ` } }`, "OPERATION_TOO_LARGE"},
		"too many tokens":     {`{ viewer { ` + strings.Repeat("name ", 6000) + ` } }`, "OPERATION_TOO_LARGE"},
		"too deep":            {`{ viewer ` + strings.Repeat("{ user { contact ", 12) + `{ name }` + strings.Repeat(" } }", 12) + ` }`, "OPERATION_TOO_LARGE"},
		"too complex": {`{ viewer { contacts(first: 100) { nodes { directConversation { messages(first: 100) { nodes { sender { name }
			subject { name } text seq cursor } } } } } } }`, "COMPLEXITY_LIMIT_EXCEEDED"},
		"a circle of fragments":   {`{ viewer { ...a } } fragment a on Viewer { ...b } fragment b on Viewer { ...a }`, "GRAPHQL_VALIDATION_FAILED"},
		"two operations, unnamed": {`query a { viewer { name } } query b { viewer { name } }`, "GRAPHQL_VALIDATION_FAILED"},
		"nothing":                 {` `, "GRAPHQL_VALIDATION_FAILED"},
		"a subscription":          {`subscription { events { cursor } }`, "SUBSCRIPTION_NEEDS_STREAM"},
	} {
		got := ann.asks(c.document, nil)
		check(t, what, got.code(), c.code)
		check(t, what+", its status", got.status, 422)
		if strings.Contains(got.body, "Something went wrong") {
			t.Errorf("%s is called a fault of ours: %s", what, got.body)
		}
	}
}

// Nobody takes the server's room from others by opening more and more streams.
func TestAPersonHasABoundedNumberOfStreams(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob := w.person("Ann Lee", "Front desk"), w.person("Bob Roy", "Front desk")
	var last *stream
	for range chat.MaxStreams {
		last = ann.follows()
	}

	refused := ann.subscribes(ann.token, eventsDocument, nil)
	refused.ends()

	check(t, "one more", refused.failed.text("extensions.code"), "TOO_MANY_SUBSCRIPTIONS")
	bob.follows()
	last.drops()
	for let := false; !let; {
		again := ann.subscribes(ann.token, eventsDocument, nil)
		select {
		case <-again.events:
			let = true
		case <-again.ended:
		}
	}
}

// By Server-Sent Events a stream is the same, for networks that let no WebSocket through.
func TestTheStreamGoesOnFromSocketToServerSentEventsAndBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Ann Lee", "Bob Roy")
	ann, bob := people[0], people[1]
	group := ann.group("Case", bob)
	socket := bob.follows()
	ann.sends(group, "one")
	check(t, "by socket", socket.hears(), "Ann Lee: one")
	socket.drops()
	ann.sends(group, "two")
	bob.at = w.instance()

	events := bob.subscribesBySSE(bob.token, eventsDocument, vars{"after": socket.cursor})
	check(t, "resumed on another instance", events.hears(), "Ann Lee: two")
	ann.sends(group, "three")

	check(t, "live", events.hears(), "Ann Lee: three")
	events.drops()
	events.ends()
	ann.sends(group, "four")
	check(t, "and back", bob.followsFrom(events.cursor).hears(), "Ann Lee: four")
}

func TestServerSentEventsEndAsSocketsDo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Ann Lee", "Bob Roy", "Cy Fall")
	ann, bob, cy := people[0], people[1], people[2]
	group := ann.group("Case", bob, cy)
	short := bob.subscribesBySSE(w.tokenFor(bob.userID.UUID, 2*time.Second), eventsDocument, nil)
	dismissed := cy.subscribesBySSE(cy.token, eventsDocument, nil)
	removed := bob.subscribesBySSE(bob.token, `subscription ($id: ID!) { messageAdded(conversationId: $id) { message { text } } }`, vars{"id": group})
	check(t, "first", short.next("events").text("__typename"), "Heartbeat")
	check(t, "first", dismissed.next("events").text("__typename"), "Heartbeat")

	cy.isDismissed()

	check(t, "of a session", short.event().text("__typename"), "SessionExpiring")
	short.ends()
	check(t, "the session looks complete", short.complete, false)
	dismissed.ends()
	check(t, "the stream of who was dismissed looks complete", dismissed.complete, false)
	ann.removes(group, bob)
	check(t, "the last line", removed.next("messageAdded").text("message.text"), "You were removed from the group.")
	removed.ends()
	check(t, "a subscription that is over is complete", removed.complete, true)
	for what, refused := range map[string]struct {
		stream *stream
		status int
		code   string
	}{
		"no token":          {bob.subscribesBySSE("", eventsDocument, nil), 401, ""},
		"a foreign cursor":  {bob.subscribesBySSE(bob.token, eventsDocument, vars{"after": "nonsense"}), 200, "CURSOR_INVALID"},
		"a group not there": {bob.subscribesBySSE(bob.token, `subscription { messageAdded(conversationId: "conversation_x") { message { text } } }`, nil), 200, "NOT_FOUND"},
	} {
		refused.stream.ends()
		check(t, what, refused.stream.status, refused.status)
		if refused.code != "" {
			check(t, what, refused.stream.failed.text("extensions.code"), refused.code)
		}
	}
}

func TestABadDocumentIsExplainedInASentence(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.person("Ann Lee", "Front desk")
	const byID = `query ($id: ID!) { node(id: $id) { id } }`
	for _, c := range []struct {
		document  string
		variables vars
		says      string
	}{
		{`query a { viewer { name } } query b { viewer { name } }`, nil, "The document has several operations: say which in operationName."},
		{byID, nil, "A value is missing."},
		{byID, vars{"id": vars{"secretword": 1}}, "The value cannot be used as ID."},
		{`query ($f: ConversationFilter!) { viewer { conversations(filter: $f) { nodes { id } } } }`, vars{"f": vars{"secretword": 1}}, "The value has a field that its type has not."},
		{`query ($f: ConversationFilter!) { viewer { conversations(filter: $f) { nodes { id } } } }`, vars{"f": vars{"kind": "SECRETWORD"}}, "The value is none of the enum ConversationKind."},
		{`{ viewer { contacts(first: 100) { nodes { directConversation { messages(first: 100) { nodes { sender { name } subject { name } } } } } } } }`, nil, "Ask for smaller pages."},
	} {
		got := ann.asks(c.document, c.variables)
		if len(got.Errors) == 0 || !strings.Contains(got.Errors[0].Message, c.says) || strings.Contains(strings.ToLower(got.body), "secretword") {
			t.Errorf("%s with %v is answered with %s", c.document, c.variables, got.body)
		}
	}
}

// A database that fails for a moment does not end a stream for good: it breaks off, and resumed it has
// what failed.
func TestAFaultWhileAnEventIsLookedUpIsResumed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.person("Ann Lee", "Front desk")
	socket := ann.follows()
	events := ann.subscribesBySSE(ann.token, eventsDocument, nil)
	cursor := events.next("events").text("cursor")
	db := w.database.Open()
	db.MustExec(`ALTER TABLE presence RENAME TO gone`)

	w.person("Bob Roy", "Front desk")

	socket.ends()
	check(t, "the socket closes with", int(socket.closed.Code), 1013)
	events.ends()
	check(t, "the event stream looks complete", events.complete, false)
	db.MustExec(`ALTER TABLE gone RENAME TO presence`)
	check(t, "resumed", ann.followsFrom(cursor).hears(), "ContactAdded Bob Roy")
}

// Most streams wait most of the time. Not parallel: it looks at what runs.
func TestAStreamThatWaitsCostsOneGoroutine(t *testing.T) {
	w := newWorld(t)
	people := w.people("Front desk", "Ann Lee", "Bob Roy")
	ann, bob := people[0], people[1]
	group := ann.group("Case", bob)
	const sockets = 20
	var streams []*stream
	for range sockets {
		streams = append(streams, bob.follows())
	}
	ann.sends(group, "hello")
	for _, stream := range streams {
		check(t, "heard", stream.hears(), "Ann Lee: hello")
	}

	stacks := func(of string) int {
		all := make([]byte, 8<<20)
		return strings.Count(string(all[:runtime.Stack(all, true)]), of)
	}
	for deadline := time.Now().Add(patience); ; runtime.Gosched() {
		serving, running := stacks("graph.(*socket).serve("), stacks("graph.(*socketOperation)")
		if serving == sockets && running == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d sockets have %d goroutines that read and %d that do something", sockets, serving, running)
		}
	}
	ann.sends(group, "still there?")
	for _, stream := range streams {
		check(t, "heard", stream.hears(), "Ann Lee: still there?")
	}
}
