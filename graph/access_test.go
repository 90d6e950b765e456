package graph_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/vektah/gqlparser/v2/ast"
	"go.jetify.com/typeid"

	"corridor/graph/generated"
	"corridor/internal/chat"
	"corridor/internal/pgtest"
)

// What the words in the tables of access_table_test.go mean. Any other word is the answer itself: a
// value, the code of an error, or what became of somebody who was to be added.
const (
	// sees: what the owner sees now, and that is something.
	sees = "sees"
	// frozen: what the owner saw when the person left or was removed, and that is not what it is now.
	frozen = "frozen"
	// gap: what the owner sees, without what was said between a person's two times in the group.
	gap = "gap"
	// own: something, which is not the owner's.
	own = "own"
	// done: a mutation was done.
	done = "done"
	// unknown: the answer for a thing that does not exist. Status, body and the number of SQL
	// statements are the same, and nothing was written.
	unknown = "unknown"
	// hears and silent: what a stream brings of what the others do.
	hears, silent = "hears", "silent"
	// notThere: there is no such field for them.
	notThere = "GRAPHQL_VALIDATION_FAILED"
	// signInFirst: nobody is asked anything: 401, or the socket is closed with 4403.
	signInFirst = "401"
)

// accessTable is a table of expectations: row, kind of person, word.
type accessTable map[string]map[string]string

var kinds = []string{"owner", "participant", "left", "removed", "readded", "neighbour", "outsider", "foreigner", "program", "anonymous", "expired"}

func readAccess(t *testing.T, text string) accessTable {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if header := strings.Fields(lines[0]); !slices.Equal(header[1:], kinds) {
		t.Fatalf("the columns are %v, not %v", header[1:], kinds)
	}
	table := accessTable{}
	for _, line := range lines[1:] {
		words := strings.Fields(line)
		if len(words) != 1+len(kinds) {
			t.Fatalf("a row has %d words, not one for each of %v: %s", len(words)-1, kinds, line)
		}
		if table[words[0]] != nil {
			t.Fatalf("the row %s stands there twice", words[0])
		}
		table[words[0]] = map[string]string{}
		for i, kind := range kinds {
			table[words[0]][kind] = words[i+1]
		}
	}
	return table
}

// carriers are types that only carry what belongs to the field that returns them; like connections, edges,
// payloads and events they are looked at there.
var carriers = []string{"PageInfo", "UserError", "AddedParticipant", "ViewerMembership", "ViewerSettings", "Notify", "FileUpload", "FileDownload", "RateLimit"}

func TestEveryFieldMutationAndSubscriptionHasAnAccessRow(t *testing.T) {
	t.Parallel()
	schema := generated.NewExecutableSchema(generated.Config{}).Schema()
	rows := map[string]bool{}
	for prefix, text := range map[string]string{"": fieldsTable, "Mutation.": mutationsTable, "Subscription.": subscriptionsTable} {
		for row := range readAccess(t, text) {
			field, _, _ := strings.Cut(prefix+row, "@")
			rows[field] = false
		}
	}
	surfaces := readSurfaces(t)
	for _, kind := range schema.Types {
		carries := slices.Contains(carriers, kind.Name) || slices.Contains(kind.Interfaces, "Event") ||
			strings.HasSuffix(kind.Name, "Connection") || strings.HasSuffix(kind.Name, "Edge") || strings.HasSuffix(kind.Name, "Payload")
		if kind.Kind != ast.Object || strings.HasPrefix(kind.Name, "__") || carries {
			continue
		}
		for _, field := range kind.Fields {
			if strings.HasPrefix(field.Name, "__") {
				continue
			}
			name := kind.Name + "." + field.Name
			if !strings.Contains(surfaces[name], "P") {
				continue // to people it does not exist: see surface_test.go
			}
			if _, ok := rows[name]; !ok {
				t.Errorf("%s has no row in access_table_test.go: who may use it?", name)
			}
			rows[name] = true
		}
	}
	for name, exists := range rows {
		if !exists {
			t.Errorf("access_table_test.go has a row for %s, which the schema has not", name)
		}
	}
}

// stage is a clinic with somebody of every kind, and another clinic.
type stage struct {
	*world
	who map[string]*person // by kind, and others by name
	db  *sqlx.DB
	ids map[string]string // of the setting
}

func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{world: newThriftyWorld(t, 1_000_000), who: map[string]*person{}}
	s.db = s.database.Open()
	for name, rooms := range map[string][]string{
		"Ann": {"Desk", "Ward"}, "Bob": {"Desk"}, "Carl": {"Desk"}, "Dana": {"Desk"}, "Edna": {"Desk"}, "Nell": {"Desk"},
		"Max": {"Ward"}, "Lena": {"Ward"}, "Vera": {"Ward"}, "Olga": {"Lab"}, "Pat": {"Lab"},
	} {
		s.who[name] = s.enrol(home, name, "MA", rooms...)
	}
	s.who["Zoe"], s.who["Zack"] = s.enrol("Hillside", "Zoe", "MA", "Desk"), s.enrol("Hillside", "Zack", "MA", "Desk")
	s.importRoster(home)
	s.importRoster("Hillside")
	for kind, name := range map[string]string{
		"owner": "Ann", "participant": "Bob", "left": "Carl", "removed": "Dana", "readded": "Edna",
		"neighbour": "Nell", "outsider": "Olga", "foreigner": "Zoe",
	} {
		s.who[kind] = s.who[name]
	}
	// A program with a key for all that people do, in a room where only its administrator is.
	root := s.enrol(home, "Root", "MA", "Office")
	s.importRoster(home)
	root.administers()
	account := root.serviceAccount("Program")
	root.does("setServiceAccountWaitingRooms", vars{"serviceAccountId": account, "waitingRoomIds": []string{root.room("Office")}}, "serviceAccount { id }")
	s.who["Program"], s.who["Root"] = root.gives(account, "CONVERSATIONS_READ", "CONVERSATIONS_WRITE").person, root
	s.who["program"] = s.who["Program"]
	nobody := *s.who["Ann"]
	nobody.token = ""
	late := *s.who["Ann"]
	late.token = s.expiredToken(late.userID.UUID)
	s.who["anonymous"], s.who["expired"] = &nobody, &late
	s.policy(home, func(p *chat.Policy) { p.HistoryChoice, p.SupportContact = true, home })
	s.policy("Hillside", func(p *chat.Policy) {
		*p = chat.Policy{ManageParticipants: chat.OwnerOnly, RenameGroup: chat.AnyParticipant, GroupSizeLimit: 11, FileQuota: 10, SupportContact: "Hillside"}
	})
	return s
}

func (s *stage) policy(clinic string, change func(*chat.Policy)) {
	s.t.Helper()
	if _, err := s.instances[0].chat.SetPolicy(s.t.Context(), clinic, change); err != nil {
		s.t.Fatal(err)
	}
}

// drama is a group with a history in which everybody became what they are, and all ids of it.
type drama struct {
	*stage
	ids map[string]string
	own map[string]string // the message of each kind of person
	// from and to are the seqs between which the person who came back was away.
	from, to int
}

// play makes the drama. The moments left, removed and readded are when the person of that kind went.
func (s *stage) play(moment func(d *drama, kind string)) *drama {
	s.t.Helper()
	who := s.who
	ann, bob, max, edna := who["Ann"], who["Bob"], who["Max"], who["Edna"]
	d := &drama{stage: s, ids: map[string]string{}, own: map[string]string{}}
	maps.Copy(d.ids, s.setting())

	group := ann.group("Oldcase", bob, who["Carl"], who["Dana"], edna, max)
	d.ids["group"] = group
	d.ids["file"] = ann.uploads("before.jpeg", "image/jpeg", picture(60, 40))
	d.ids["before"] = ann.sendsFile(group, "before", d.ids["file"])
	d.own["owner"] = d.ids["before"]
	for _, kind := range []string{"participant", "left", "removed", "readded"} {
		d.own[kind] = who[kind].sends(group, "mine")
	}
	d.ids["recalled-file"] = ann.uploads("secret.txt", "text/plain", []byte("secret"))
	d.ids["edited"], d.ids["recalled"] = ann.sends(group, "first wording"), ann.sendsFile(group, "secret", d.ids["recalled-file"])
	ann.did("transferOwnership", vars{"conversationId": group, "userId": max.id}, "")
	d.noteParticipants(ann)

	who["Carl"].leaves(group)
	moment(d, "left")
	ann.removes(group, who["Dana"])
	moment(d, "removed")
	d.ids["going"] = ann.looksAt(group, "lastMessage { id }").text("lastMessage.id")
	ann.removes(group, edna)
	moment(d, "readded")
	d.from = ann.looksAt(group, "lastMessage { seq }").number("lastMessage.seq")
	d.ids["gap-file"] = ann.uploads("meanwhile.txt", "text/plain", []byte("meanwhile"))
	d.ids["gap"] = ann.sendsFile(group, "meanwhile", d.ids["gap-file"])
	ann.adds(group, who["Lena"], who["Vera"])
	ann.did("editMessage", vars{"messageId": d.ids["edited"], "body": "second wording"}, "")
	max.did("transferOwnership", vars{"conversationId": group, "userId": ann.id}, "")
	ann.did("renameGroup", vars{"conversationId": group, "name": "Newcase"}, "")
	ann.adds(group, edna)
	d.to = ann.looksAt(group, "lastMessage { seq }").number("lastMessage.seq")
	d.ids["after-file"] = bob.uploads("after.txt", "text/plain", []byte("after"))
	d.ids["after"] = bob.sendsFile(group, "after", d.ids["after-file"])
	d.ids["unsent-file"] = ann.uploads("unsent.txt", "text/plain", []byte("unsent"))
	d.ids["awaited-file"], _ = ann.announces("awaited.txt", "text/plain", 10)
	ann.did("recallMessage", vars{"messageId": d.ids["recalled"]}, "")
	ann.mutes(group)
	d.noteParticipants(ann)
	return d
}

// setting is what there is besides the group, made once: the rooms, a direct conversation, another clinic's group.
func (s *stage) setting() map[string]string {
	s.t.Helper()
	if s.ids == nil {
		ann, zoe := s.who["Ann"], s.who["Zoe"]
		s.ids = map[string]string{
			"desk": s.roomOf(ann, "Desk"), "ward": s.roomOf(ann, "Ward"), "lab": s.roomOf(s.who["Olga"], "Lab"), "zoes-desk": s.roomOf(zoe, "Desk"),
			"direct": ann.direct(s.who["Bob"]), "zoes-group": zoe.group("Zoecase", s.who["Zack"]),
		}
		for name, p := range s.who {
			s.ids[strings.ToLower(name)] = p.id
		}
		ann.sends(s.ids["direct"], "hello")
		ann.mutes(s.ids["direct"])
		s.ids["zoes-file"] = zoe.uploads("zoe.txt", "text/plain", []byte("zoe"))
		s.ids["zoes-message"] = zoe.sendsFile(s.ids["zoes-group"], "hello", s.ids["zoes-file"])
		s.ids["zoe-in-group"] = zoe.looksAtGroup(s.ids["zoes-group"], "participants { nodes { id } }").text("participants.nodes.0.id")
	}
	return s.ids
}

// playDeleted makes a group in which everybody was, and deletes it.
func (d *drama) playDeleted() {
	d.t.Helper()
	who := d.who
	group := who["Ann"].group("Gonecase", who["Bob"], who["Carl"], who["Dana"], who["Edna"])
	d.ids["deleted-file"] = who["Ann"].uploads("gone.txt", "text/plain", []byte("gone"))
	d.ids["deleted"], d.ids["deleted-message"] = group, who["Ann"].sendsFile(group, "before", d.ids["deleted-file"])
	who["Carl"].leaves(group)
	who["Ann"].removes(group, who["Dana"])
	who["Ann"].removes(group, who["Edna"])
	who["Ann"].adds(group, who["Edna"])
	who["Ann"].deletes(group)
}

func (d *drama) noteParticipants(as *person) {
	d.t.Helper()
	for _, p := range as.looksAtGroup(d.ids["group"], "participants { nodes { id user { name } } }").list("participants.nodes") {
		d.ids[strings.ToLower(p.text("user.name"))+"-in-group"] = p.text("id")
	}
}

func (s *stage) roomOf(p *person, name string) string {
	s.t.Helper()
	for _, room := range p.sees(`{ viewer { waitingRooms { nodes { id name } } } }`, nil).list("viewer.waitingRooms.nodes") {
		if room.text("name") == name {
			return room.text("id")
		}
	}
	s.t.Fatalf("%s is not in %s", p.name, name)
	return ""
}

// id is the id of the thing of a row, which for the row's own message depends on who asks.
func (d *drama) id(object, kind string) string {
	if object == "own" {
		if id := d.own[kind]; id != "" {
			return id
		}
		return d.own["owner"]
	}
	return d.ids[object]
}

// nothing is an id like another one, of a thing that does not exist.
func nothing(like string) string {
	prefix, _, _ := cutLast(like, "_")
	return typeid.Must(typeid.FromUUIDWithPrefix(prefix, uuid.Must(uuid.NewV7()).String())).String()
}

func cutLast(text, separator string) (before, after string, found bool) {
	if i := strings.LastIndex(text, separator); i >= 0 {
		return text[:i], text[i+len(separator):], true
	}
	return text, "", false
}

// defaultObjects are what the fields of a type are asked of in a row that names nothing.
var defaultObjects = map[string]string{
	"DirectConversation": "direct", "GroupConversation": "group", "Message": "before", "Participant": "bob-in-group",
	"User": "max", "Contact": "bob", "WaitingRoom": "desk", "File": "file",
}

// selections are how fields are selected that need arguments or have fields of their own. Behind a space stands
// the kind of the id, where it matters.
var selections = map[string]string{
	"Query.viewer":                        `viewer { name }`,
	"Query.node":                          `node(id: $id) { id }`,
	"Query.nodes":                         `nodes(ids: [$id]) { id }`,
	"Query.rateLimit":                     `rateLimit { limit }`,
	"Viewer.user":                         `user { name }`,
	"Viewer.clinic":                       `clinic { name }`,
	"Viewer.contacts":                     `contacts { nodes { name } }`,
	"Viewer.contacts waiting_room":        `contacts(waitingRoomId: $id) { nodes { name } }`,
	"Viewer.contacts conversation":        `contacts(notInConversation: $id) { nodes { name } }`,
	"Viewer.chatTargets":                  `chatTargets(query: "case") { nodes { ... on GroupConversation { name } } }`,
	"Viewer.conversations":                `conversations(filter: {kind: GROUP}) { nodes { ... on GroupConversation { name } } }`,
	"Viewer.waitingRooms":                 `waitingRooms { nodes { name } }`,
	"User.contact":                        `contact { name }`,
	"Contact.user":                        `user { name }`,
	"Contact.sharedWaitingRooms":          `sharedWaitingRooms { nodes { name } }`,
	"Contact.directConversation":          `directConversation { id }`,
	"DirectConversation.lastMessage":      `lastMessage { id }`,
	"DirectConversation.messages":         `messages { nodes { id } }`,
	"DirectConversation.viewerMembership": `viewerMembership { state }`,
	"DirectConversation.viewerSettings":   `viewerSettings { isMuted }`,
	"DirectConversation.viewerCannot":     `viewerCannot(action: LEAVE) { code }`,
	"DirectConversation.peer":             `peer { name }`,
	"GroupConversation.lastMessage":       `lastMessage { id }`,
	"GroupConversation.messages":          `messages(last: 100) { nodes { seq } }`,
	"GroupConversation.viewerMembership":  `viewerMembership { state }`,
	"GroupConversation.viewerSettings":    `viewerSettings { isMuted }`,
	"GroupConversation.viewerCannot":      `viewerCannot(action: DELETE) { code }`,
	"GroupConversation.owner":             `owner { name }`,
	"GroupConversation.participants":      `participants { nodes { user { name } } }`,
	"Participant.user":                    `user { name }`,
	"Message.conversation":                `conversation { id }`,
	"Message.sender":                      `sender { name }`,
	"Message.subject":                     `subject { name }`,
	"Message.files":                       `files { id }`,
	"File.refusal":                        `refusal { code }`,
	"File.upload":                         `upload { receivedSize }`,
	"File.download":                       `download { __typename }`,
	"File.thumbnail":                      `thumbnail { __typename }`,
}

// ask is the query of a row of the fields.
func (d *drama) ask(row, kind string) (document, id string) {
	field, object, named := strings.Cut(row, "@")
	kindOf, name, _ := strings.Cut(field, ".")
	if !named {
		object = defaultObjects[kindOf]
	}
	id = d.id(object, kind)
	prefix, _, _ := cutLast(id, "_")
	selection := selections[field+" "+prefix]
	if selection == "" {
		selection = selections[field]
	}
	if selection == "" {
		selection = name
	}
	switch kindOf {
	case "Query":
	case "Viewer":
		selection = `viewer { ` + selection + ` }`
	case "Clinic":
		selection = `viewer { clinic { ` + selection + ` } }`
	case "Contact":
		selection = `node(id: $id) { ... on User { contact { ` + selection + ` } } }`
	default:
		selection = `node(id: $id) { ... on ` + kindOf + ` { ` + selection + ` } }`
	}
	if !strings.Contains(selection, "$id") {
		return `{ ` + selection + ` }`, ""
	}
	return `query ($id: ID!) { ` + selection + ` }`, id
}

// plainly is what an answer comes down to: the one value in it, a list as its items with commas.
func plainly(value any) string {
	switch value := value.(type) {
	case map[string]any:
		if len(value) == 1 {
			return plainly(slices.Collect(maps.Values(value))[0])
		}
	case []any:
		if len(value) == 0 {
			return "[]"
		}
		items := make([]string, len(value))
		for i, item := range value {
			items[i] = plainly(item)
		}
		return strings.Join(items, ",")
	case string:
		return value
	}
	written, _ := json.Marshal(value)
	return string(written)
}

// outcome is an answer with what it cost.
type outcome struct {
	answer
	statements int
}

func (p *person) executes(document string, variables vars) outcome {
	p.world.t.Helper()
	ctx, counter := pgtest.Count(context.Background())
	a := p.world.asksUnder(ctx, p.at, p.token, document, variables)
	return outcome{a, counter.Statements()}
}

// same tells how the answers about two ids differ, if they do.
func same(got outcome, id string, want outcome, other string) error {
	gotBody, wantBody := strings.ReplaceAll(got.body, id, "ID"), strings.ReplaceAll(want.body, other, "ID")
	if got.status != want.status || gotBody != wantBody {
		return fmt.Errorf("the answer differs from that for what does not exist: %d %s, and %d %s", got.status, gotBody, want.status, wantBody)
	}
	if headerOf(got.header) != headerOf(want.header) {
		return fmt.Errorf("the header differs from that for what does not exist: %s, and %s", headerOf(got.header), headerOf(want.header))
	}
	if got.statements != want.statements {
		return fmt.Errorf("it takes %d statements, and for what does not exist %d", got.statements, want.statements)
	}
	return nil
}

// refusedAtTheDoor tells whether nobody was asked anything.
func refusedAtTheDoor(got outcome) error {
	const want = `{"errors":[{"message":"Sign in first: send a valid token as Authorization: Bearer.","extensions":{"code":"UNAUTHENTICATED"}}]}`
	if got.status != http.StatusUnauthorized || strings.TrimSpace(got.body) != want || got.statements != 0 {
		return fmt.Errorf("it answers %d %s after %d statements", got.status, got.body, got.statements)
	}
	return nil
}

func TestAccessToFields(t *testing.T) {
	t.Parallel()
	table := readAccess(t, fieldsTable)
	then := map[string]map[string]string{} // kind, row
	d := newStage(t).play(func(d *drama, kind string) {
		then[kind] = map[string]string{}
		for row, words := range table {
			if words[kind] == frozen {
				document, id := d.ask(row, "owner")
				then[kind][row] = plainly(d.who["owner"].sees(document, vars{"id": id}).value)
			}
		}
	})
	d.playDeleted()
	for row, words := range table {
		t.Run(row, func(t *testing.T) {
			t.Parallel()
			document, id := d.ask(row, "owner")
			now := d.who["owner"].executes(document, vars{"id": id})
			owners := plainly(now.thing().value)
			for _, kind := range kinds {
				if err := d.looks(document, id, kind, words[kind], owners, then[kind][row]); err != nil {
					t.Errorf("%s: want %s: %v", kind, words[kind], err)
				}
			}
		})
	}
}

// looks executes one cell of the fields.
func (d *drama) looks(document, id, kind, want, owners, before string) error {
	p := d.who[kind]
	got := p.executes(document, vars{"id": id})
	value := plainly(got.thing().value)
	switch want {
	case signInFirst:
		return refusedAtTheDoor(got)
	case unknown:
		other := nothing(id)
		return same(got, id, p.executes(document, vars{"id": other}), other)
	case frozen:
		if before == owners {
			return fmt.Errorf("nothing changed since, so nothing is shown: it is %s", before)
		}
		want = before
	case gap:
		if want = d.withoutGap(owners); want == owners {
			return fmt.Errorf("there is no gap in %s", owners)
		}
	case sees:
		want = owners
		if owners == "null" {
			return fmt.Errorf("the owner sees nothing themselves")
		}
	case own:
		if value == "null" || kind != "owner" && value == owners || got.code() != "" {
			return fmt.Errorf("got %s", got.body)
		}
		return nil
	}
	if value != want || len(got.Errors) > 0 {
		return fmt.Errorf("got %s, want %s (%s)", value, want, got.body)
	}
	return nil
}

// withoutGap takes out of a list of seqs what was said while somebody was away.
func (d *drama) withoutGap(seqs string) string {
	return strings.Join(slices.DeleteFunc(strings.Split(seqs, ","), func(text string) bool {
		seq, _ := strconv.Atoi(text)
		return seq > d.from && seq < d.to
	}), ",")
}

// inputs are what mutations are called with, about a thing.
func (d *drama) input(mutation, id string) vars {
	prefix, _, _ := cutLast(id, "_")
	group := d.ids["group"]
	if prefix == "conversation" {
		group = id
	}
	switch mutation {
	case "startDirectConversation":
		return vars{"userId": id}
	case "createGroup":
		return vars{"name": "Another", "userIds": []string{id}}
	case "signOut":
		return vars{}
	case "createUpload":
		return vars{"name": "news.txt", "mediaType": "text/plain", "size": 10}
	case "sendMessage":
		if prefix == "file" {
			return vars{"conversationId": group, "fileIds": []string{id}}
		}
		return vars{"conversationId": id, "body": "news"}
	case "editMessage":
		return vars{"messageId": id, "body": "another wording"}
	case "recallMessage", "markRead":
		return vars{"messageId": id}
	case "renameGroup":
		return vars{"conversationId": id, "name": "Another"}
	case "addParticipants":
		switch prefix {
		case "user":
			return vars{"conversationId": group, "userIds": []string{id}}
		case "message":
			return vars{"conversationId": group, "userIds": []string{d.ids["nell"]}, "history": "SINCE", "sinceMessageId": id}
		}
		return vars{"conversationId": group, "userIds": []string{d.ids["nell"]}}
	case "removeParticipant", "transferOwnership":
		if prefix == "user" {
			return vars{"conversationId": group, "userId": id}
		}
		return vars{"conversationId": group, "userId": d.ids["max"]}
	case "leaveGroup":
		if prefix == "user" {
			return vars{"conversationId": group, "successorId": id}
		}
	}
	return vars{"conversationId": id}
}

// attempts executes a mutation about a thing, under a new client key.
func (d *drama) attempts(p *person, mutation, id string) outcome {
	d.t.Helper()
	input := d.input(mutation, id)
	input["clientKey"] = newKey()
	selection := ""
	if mutation == "addParticipants" {
		selection = " outcomes { userId outcome }"
	}
	document := fmt.Sprintf(`mutation ($input: %s%sInput!) { %s(input: $input) { userErrors { code message field }%s } }`,
		strings.ToUpper(mutation[:1]), mutation[1:], mutation, selection)
	return p.executes(document, vars{"input": input})
}

func TestAccessToMutations(t *testing.T) {
	t.Parallel()
	table := readAccess(t, mutationsTable)
	rows := map[string][]string{}
	for row := range table {
		mutation, _, _ := strings.Cut(row, "@")
		rows[mutation] = append(rows[mutation], row)
	}
	for mutation, rows := range rows {
		t.Run(mutation, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			d := s.play(nothingHappens)
			d.playDeleted()
			// What is refused first: it changes nothing. What is done may need a drama of its own.
			for _, refused := range []bool{true, false} {
				for _, row := range rows {
					_, object, _ := strings.Cut(row, "@")
					for _, kind := range kinds {
						want := table[row][kind]
						if changes(want) == refused {
							continue
						}
						if slices.Contains(once, mutation) && changes(want) && d.own[kind] != "" {
							d = s.play(nothingHappens)
						}
						if err := d.changes(kind, mutation, d.id(object, kind), want); err != nil {
							t.Errorf("%s: %s: want %s: %v", row, kind, want, err)
						}
					}
				}
			}
		})
	}
}

// once are the mutations that leave nothing to do for the next person.
var once = []string{"addParticipants", "removeParticipant", "transferOwnership", "renameGroup", "leaveGroup", "deleteGroup"}

func nothingHappens(*drama, string) {}

// changes tells whether somebody who gets this word has changed something.
func changes(word string) bool { return word == done || word == "ADDED" || word == "READDED" }

// changes executes one cell of the mutations.
func (d *drama) changes(kind, mutation, id, want string) error {
	p := d.who[kind]
	before := d.written()
	got := d.attempts(p, mutation, id)
	payload := got.thing().at(mutation)
	word := done
	switch {
	case want == signInFirst:
		return refusedAtTheDoor(got)
	case want == notThere:
		if got.code() != notThere {
			return fmt.Errorf("got %d %s", got.status, got.body)
		}
		return nil
	case payload.text("userErrors.0.code") != "":
		word = payload.text("userErrors.0.code")
	case payload.text("outcomes.0.outcome") != "":
		word = payload.text("outcomes.0.outcome")
	}
	if want == unknown {
		other := nothing(id)
		if err := same(got, id, d.attempts(p, mutation, other), other); err != nil {
			return err
		}
	} else if word != want || len(got.Errors) > 0 {
		return fmt.Errorf("got %s", got.body)
	}
	if after := d.written(); !changes(want) && after != before {
		return fmt.Errorf("it was refused, and wrote something: %s before, %s after", before, after)
	}
	return nil
}

// written is how much there is of everything that is only ever added to, besides the keys of calls that were done.
func (d *drama) written() (counts string) {
	d.t.Helper()
	const query = `SELECT concat_ws(' ', (SELECT count(*) FROM events), (SELECT count(*) FROM messages),
		(SELECT count(*) FROM conversations), (SELECT count(*) FROM participants), (SELECT count(*) FROM message_revisions),
		(SELECT count(*) FROM files), (SELECT count(*) FROM files WHERE message_id IS NOT NULL), (SELECT sum(bytes) FROM clinic_files))`
	if err := d.db.Get(&counts, query); err != nil {
		d.t.Fatal(err)
	}
	return counts
}

func TestAccessToSubscriptions(t *testing.T) {
	t.Parallel()
	for row, words := range readAccess(t, subscriptionsTable) {
		t.Run(row, func(t *testing.T) {
			t.Parallel()
			d := newStage(t).play(nothingHappens)
			d.playDeleted()
			field, object, _ := strings.Cut(row, "@")
			id := d.ids[object]
			document := map[string]string{
				"events":       `subscription ($after: Cursor) { events(after: $after) { cursor ... on MessageAdded { message { text } } ... on GroupDeleted { conversationId } } }`,
				"messageAdded": `subscription ($id: ID!, $after: Cursor) { messageAdded(conversationId: $id, after: $after) { cursor message { text } } }`,
				"groupDeleted": `subscription ($after: Cursor) { groupDeleted(after: $after) { cursor conversationId } }`,
			}[field]

			streams := map[string]*heard{}
			for _, kind := range kinds {
				streams[kind] = d.listens(d.who[kind], document, id)
			}
			text := "news for " + row
			if object == "zoes-group" {
				d.who["Zoe"].sends(id, text)
			} else {
				d.who["Ann"].sends(d.ids["group"], text)
			}
			if field == "groupDeleted" {
				d.who["Ann"].deletes(d.ids["group"])
				text = d.ids["group"]
			}

			for _, kind := range kinds {
				if err := d.hearing(streams[kind], document, id, field, words[kind], text); err != nil {
					t.Errorf("%s: want %s: %v", kind, words[kind], err)
				}
			}
		})
	}
}

// heard is a subscription with the statements that were made for it.
type heard struct {
	*stream
	counter *pgtest.Counter
}

// listens subscribes over a socket of its own, from now on.
func (d *drama) listens(p *person, document, id string) *heard {
	d.t.Helper()
	variables := vars{}
	if p.token != "" {
		if list := p.asks(`{ viewer { conversations(first: 1) { eventCursor } } }`, nil); list.code() == "" {
			variables["after"] = list.thing().text("viewer.conversations.eventCursor")
		}
	}
	if strings.Contains(document, "$id") {
		variables["id"] = id
	}
	ctx, counter := pgtest.Count(context.Background())
	server := httptest.NewUnstartedServer(p.at.handler)
	server.Config.BaseContext = func(net.Listener) context.Context { return ctx }
	server.Start()
	d.t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	there := *p
	there.at = &instance{chat: p.at.chat, handler: p.at.handler, server: server}
	return &heard{there.subscribes(p.token, document, variables), counter}
}

// hearing judges one cell of the subscriptions.
func (d *drama) hearing(s *heard, document, id, field, want, text string) error {
	switch want {
	case signInFirst:
		s.ends()
		if s.closed.Code != 4403 || s.counter.Statements() != 0 {
			return fmt.Errorf("the socket ended with %d after %d statements", s.closed.Code, s.counter.Statements())
		}
		return nil
	case hears, silent:
		got := silent
		for _, event := range d.until(s, field) {
			if strings.Contains(event, text) {
				got = hears
			}
		}
		if got != want {
			return fmt.Errorf("got %s", got)
		}
		return nil
	case unknown:
		s.ends()
		other := nothing(id)
		o := d.listens(s.person, document, other)
		o.ends()
		got := outcome{answer{body: plainly(s.failed.value)}, s.counter.Statements()}
		return same(got, id, outcome{answer{body: plainly(o.failed.value)}, o.counter.Statements()}, other)
	}
	s.ends()
	if got := s.failed.text("extensions.code"); got != want {
		return fmt.Errorf("got %q", got)
	}
	return nil
}

// until is everything that a stream brings of what was done before. The last of it comes with, or before, a thing
// that the person does now, and surely before one that they do once they have heard of that.
func (d *drama) until(s *heard, field string) (events []string) {
	d.t.Helper()
	if field == "messageAdded" { // the next line is the one that was sent
		return []string{plainly(s.next(field).value)}
	}
	friend := map[string]string{"Nell": "Bob", "Olga": "Pat", "Zoe": "Zack", "Program": "Root"}[s.person.name]
	if friend == "" {
		friend = "Nell"
	}
	p := d.who[s.person.name]
	for range 2 {
		fence := p.group("Fence", d.who[friend])
		p.deletes(fence)
		for event := ""; !strings.Contains(event, fence); events = append(events, event) {
			event = plainly(s.next(field).value)
		}
	}
	return events
}
