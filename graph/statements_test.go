package graph_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"corridor/internal/pgtest"
)

// crowd is Ann with so many others, all in two rooms, and what they have together: a conversation for each of
// them, half of them groups, and a group in which everybody has said something.
type crowd struct {
	*world
	ann     *person
	others  []*person
	members []*person // those of the others who are in groups that a mutation is about
	talk    string
	files   string // see filed
	nodes   []string
}

func newCrowd(t *testing.T, others int) *crowd {
	t.Helper()
	c := &crowd{world: newThriftyWorld(t, 1_000_000)}
	c.ann = c.enrol(home, "Ann", "MA", "Desk", "Ward")
	for i := range others {
		c.others = append(c.others, c.enrol(home, fmt.Sprintf("Person %03d", i), "MA", "Desk", "Ward"))
	}
	c.importRoster(home)
	c.ann.administers()
	c.members = c.others[:min(len(c.others), 60)]
	for i, p := range c.others {
		if i%2 == 0 {
			direct := p.direct(c.ann)
			p.sends(direct, "hello")
			c.nodes = append(c.nodes, direct)
		} else {
			group := c.ann.group(fmt.Sprintf("Group %d", i), append([]*person{p}, c.others[:min(len(c.others), 20)]...)...)
			p.sends(group, "hello")
			c.nodes = append(c.nodes, group)
		}
	}
	c.talk = c.ann.group("Talk", c.others...)
	for _, p := range c.others {
		p.sends(c.talk, "hello")
	}
	return c
}

// filed is a group in which half of the others have sent files.
func (c *crowd) filed() string {
	c.t.Helper()
	if c.files == "" {
		c.files = c.ann.group("Files", c.others...)
		for i, p := range c.others {
			if i%2 == 0 {
				p.sendsFile(c.files, "here", p.uploads("note.txt", "text/plain", []byte(note)), p.uploads("note.txt", "text/plain", []byte(note)))
			} else {
				p.sends(c.files, "thank you")
			}
		}
	}
	return c.files
}

// reads is how many statements a query takes. The loaders wait until the fields have come to rest, which a
// machine that is busy with something else may make them believe too early: the least of a few times counts.
func (c *crowd) reads(document string, variables vars) (least int) {
	c.t.Helper()
	for try := range 5 {
		ctx, counter := pgtest.Count(context.Background())
		c.ann.must(c.asksUnder(ctx, c.ann.at, c.ann.token, document, variables))
		if n := counter.Statements(); try == 0 || n < least {
			least = n
		}
	}
	return least
}

// writes is how many statements a mutation takes.
func (c *crowd) writes(mutation string, input vars, selection string) int {
	c.t.Helper()
	input["clientKey"] = newKey()
	document := fmt.Sprintf(`mutation ($input: %s%sInput!) { %s(input: $input) { userErrors { code } %s } }`,
		string(mutation[0]-'a'+'A'), mutation[1:], mutation, selection)
	ctx, counter := pgtest.Count(context.Background())
	payload := c.ann.must(c.asksUnder(ctx, c.ann.at, c.ann.token, document, vars{"input": input})).at(mutation)
	if code := payload.text("userErrors.0.code"); code != "" {
		c.t.Fatalf("%s was refused: %s", mutation, code)
	}
	return counter.Statements()
}

const aConversation = `__typename id lastActivityAt unreadCount viewerCanSend viewerSettings { isMuted }
	lastMessage { text sender { name isAvailable } }
	... on DirectConversation { peer { name isActive contact { email } } }
	... on GroupConversation { name owner { name } participantCount participants(first: 5) { nodes { role user { name } } } }`

// operations are what is counted, with how many statements they take, whatever the number of rows. Who is
// asking is looked up for many at once, which counts for nobody.
var operations = []struct {
	name       string
	statements int
	count      func(c *crowd) int
}{
	{"who is asking", 0, func(c *crowd) int { return c.reads(`{ viewer { name clinic { name } } }`, nil) }},
	{"the badge", 1, func(c *crowd) int { return c.reads(`{ viewer { unreadConversationCount unreadMessageCount } }`, nil) }},
	{"the conversation list", 8, func(c *crowd) int {
		return c.reads(`{ viewer { conversations(first: 100) { pageInfo { hasNextPage } nodes { `+aConversation+` } } } }`, nil)
	}},
	{"the conversation list with its cursor", 10, func(c *crowd) int {
		return c.reads(`{ viewer { conversations(first: 100) { eventCursor nodes { `+aConversation+` } } } }`, nil)
	}},
	{"conversations by their ids", 8, func(c *crowd) int {
		return c.reads(`query ($ids: [ID!]!) { nodes(ids: $ids) { ... on Conversation { `+aConversation+` } } }`, vars{"ids": c.nodes})
	}},
	{"a history page", 3, func(c *crowd) int {
		return c.reads(`query ($id: ID!) { node(id: $id) { ... on Conversation { messages(last: 100) {
			nodes { id seq text sentAt sender { name } subject { name } } pageInfo { hasPreviousPage } } } } }`, vars{"id": c.talk})
	}},
	{"a history page with files", 4, func(c *crowd) int {
		// Half of the others sent one or two.
		return c.reads(`query ($id: ID!) { node(id: $id) { ... on Conversation { messages(last: 100) {
			nodes { id text sender { name } files { id name download { url } thumbnail { url } } } } } } }`, vars{"id": c.filed()})
	}},
	{"the last messages of all conversations", 3, func(c *crowd) int {
		return c.reads(`{ viewer { conversations(first: 100) { nodes { messages(last: 5) { nodes { text sender { name } } } } } } }`, nil)
	}},
	{"the participants of up to 20 groups", 4, func(c *crowd) int {
		return c.reads(`{ viewer { conversations(first: 20, filter: {kind: GROUP}) { nodes { ... on GroupConversation {
			participants(first: 100) { nodes { id role sharesWaitingRoom viewerCanRemove user { name } } } } } } } }`, nil)
	}},
	{"a contact search", 3, func(c *crowd) int {
		return c.reads(`{ viewer { contacts(first: 100, query: "person") { nodes { name email user { isAvailable }
			sharedWaitingRooms { nodes { name } } directConversation { id unreadCount } } } } }`, nil)
	}},
	{"whom to add to a group", 1, func(c *crowd) int {
		return c.reads(`query ($id: ID!) { viewer { contacts(first: 100, query: "p", notInConversation: $id) { nodes { name } } } }`, vars{"id": c.talk})
	}},
	{"New Chat's search", 6, func(c *crowd) int {
		return c.reads(`{ viewer { chatTargets(first: 100, query: "o") { nodes { ... on Contact { name email
			sharedWaitingRooms { nodes { name } } directConversation { id } }
			... on GroupConversation { name lastMessage { text } } } } } }`, nil)
	}},
	{"a page of the staff", 3, func(c *crowd) int {
		return c.reads(`{ directory { staff(first: 500) { nodes { id name email roleLabel waitingRooms { nodes { id name } } } changesCursor } } }`, nil)
	}},
	{"the contacts of many", 2, func(c *crowd) int {
		return c.reads(`{ directory { staff(first: 100) { nodes { id contacts(first: 10) { nodes { id name } } } } } }`, nil)
	}},
	{"the members of all rooms", 2, func(c *crowd) int {
		return c.reads(`{ directory { waitingRooms(first: 100) { nodes { id members(first: 20) { nodes { id name } } } } } }`, nil)
	}},
	{"what became of the staff", 2, func(c *crowd) int {
		return c.reads(`query ($after: Cursor!) { directory { changes(after: $after, first: 500) { nodes { kind user { name email } } } } }`, vars{"after": c.first("staff")})
	}},
	{"what became of a contact list", 3, func(c *crowd) int {
		return c.reads(`query ($after: Cursor!) { directory { changes(after: $after, first: 500) { nodes { kind user { name email } } } } }`, vars{"after": c.first("staffMember(email: \"" + c.ann.email + "\") { contacts")})
	}},
	{"the keys of partners", 3, func(c *crowd) int {
		account := c.ann.serviceAccount("Account " + newKey())
		for range min(len(c.others), 10) {
			c.ann.did("rotatePartnerKey", vars{"keyId": c.ann.gives(account, "CONTACTS_READ").key}, "")
		}
		return c.reads(`{ viewer { clinic { partnerKeys(first: 100) { nodes { id serviceAccount { name } createdBy { name } replaces { id } } } } } }`, nil)
	}},
	{"createGroup", 10, func(c *crowd) int {
		return c.writes("createGroup", vars{"name": "Another", "userIds": ids(c.members)}, "group { id }")
	}},
	{"addParticipants", 13, func(c *crowd) int {
		group := c.ann.group("Another", c.members[0])
		return c.writes("addParticipants", vars{"conversationId": group, "userIds": ids(c.members[1:])}, "outcomes { outcome }")
	}},
	{"sendMessage", 3, func(c *crowd) int {
		group := c.ann.group("Another", c.members...)
		return c.writes("sendMessage", vars{"conversationId": group, "body": "hello"}, "message { id seq }")
	}},
	{"createUpload", 5, func(c *crowd) int {
		return c.writes("createUpload", vars{"name": "note.txt", "mediaType": "text/plain", "size": 10}, "file { id upload { url } }")
	}},
	{"sendMessage with many files", 5, func(c *crowd) int {
		group := c.ann.group("Another", c.members...)
		var files []string
		for range min(len(c.others), 10) {
			files = append(files, c.ann.uploads("note.txt", "text/plain", []byte(note)))
		}
		return c.writes("sendMessage", vars{"conversationId": group, "body": "hello", "fileIds": files}, "message { id seq files { id download { url } } }")
	}},
	{"sendMessage to people who archived it", 5, func(c *crowd) int {
		group := c.ann.group("Another", c.members...)
		for _, p := range c.members {
			p.archives(group)
		}
		return c.writes("sendMessage", vars{"conversationId": group, "body": "hello"}, "message { id seq }")
	}},
	{"recallMessage of what leavers saw", 12, func(c *crowd) int {
		group := c.ann.group("Another", c.members...)
		message := c.ann.sends(group, "hello")
		for _, p := range c.members[1:] {
			p.leaves(group)
		}
		return c.writes("recallMessage", vars{"messageId": message}, "message { id }")
	}},
	{"markRead", 7, func(c *crowd) int {
		last := c.ann.looksAt(c.talk, "lastMessage { id }").text("lastMessage.id")
		return c.writes("markRead", vars{"messageId": last}, "conversation { id }")
	}},
	{"leaveGroup", 9, func(c *crowd) int {
		group := c.members[0].group("Another", append(c.members[1:], c.ann)...)
		return c.writes("leaveGroup", vars{"conversationId": group}, "group { id }")
	}},
	{"deleteGroup", 10, func(c *crowd) int {
		group := c.ann.group("Another", c.members...)
		for i, p := range c.members {
			if i%2 == 0 {
				p.leaves(group)
			}
		}
		return c.writes("deleteGroup", vars{"conversationId": group}, "deletedConversationId")
	}},
	{"signOut", 4, func(c *crowd) int { return c.writes("signOut", vars{}, "signedOutAt") }},
}

// What takes one statement more than here takes it every time somebody opens the page: it has to be meant.
func TestStatementsDoNotGrowWithTheRows(t *testing.T) {
	t.Parallel()
	few, many := newCrowd(t, 4), newCrowd(t, 100)
	for _, operation := range operations {
		for name, c := range map[string]*crowd{"a few rows": few, "many rows": many} {
			// Fields that wait for different things may by chance be ready together: then it is one less.
			if got := operation.count(c); got > operation.statements {
				t.Errorf("%s of %s: %d statements, want %d", operation.name, name, got, operation.statements)
			}
		}
	}
}

// first is the cursor of the changes of a list.
func (c *crowd) first(list string) string {
	c.t.Helper()
	found := c.ann.sees(`{ directory { `+list+` { changesCursor } } }`+strings.Repeat(" }", strings.Count(list, "{")), nil)
	return found.text("directory.staff.changesCursor") + found.text("directory.staffMember.contacts.changesCursor")
}

// Large queries of keys are worked off in slices, and give way to people between them. Nothing is asked for more often for it.
func TestALargeQueryTakesNoMoreStatementsWhilePeopleAsk(t *testing.T) {
	t.Parallel()
	w := newThriftyWorld(t, 1_000_000)
	ann := w.enrol(home, "Ann Lee", "MA", "Desk", "Ward")
	for i := range 150 {
		w.enrol(home, fmt.Sprintf("Person %03d", i), "MA", "Desk", "Ward")
	}
	w.importRoster(home)
	ann.administers()
	key := ann.gives(ann.serviceAccount("Copy"), "CONTACTS_READ")
	const document = `{ directory { staff(first: 500) { nodes { id name contacts(first: 2) { nodes { id name waitingRooms { nodes { id name } } } } } } } }`
	counts := func() int {
		t.Helper()
		ctx, counter := pgtest.Count(context.Background())
		key.must(w.asksUnder(ctx, key.at, key.token, document, nil))
		return counter.Statements()
	}
	quiet := counts()
	ctx, stop := context.WithCancel(t.Context())
	var people sync.WaitGroup
	defer people.Wait()
	defer stop()
	for range 3 {
		people.Go(func() {
			for ctx.Err() == nil {
				ann.asks(`{ viewer { name } }`, nil)
			}
		})
	}

	busy := min(counts(), counts(), counts())

	if busy > quiet {
		t.Errorf("%d statements while people ask, and %d while nobody does", busy, quiet)
	}
}
