package graph_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"
	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"corridor/graph"
	"corridor/internal/auth"
	"corridor/internal/blob"
	"corridor/internal/budget"
	"corridor/internal/chat"
	"corridor/internal/clamav"
	"corridor/internal/courtesy"
	"corridor/internal/eventlog"
	"corridor/internal/pgtest"
	"corridor/internal/postgres"
	"corridor/internal/transfer"
)

// patience is how long a test waits for what must come.
const patience = time.Minute

// world is a database with clinics in it, and instances that serve it.
type world struct {
	t        *testing.T
	database *pgtest.Database
	standby  *pgtest.Server // nil but in a replicated world
	key      *auth.Key
	// verifier is the key, or an issuer's keys beside it.
	verifier auth.Verifier
	// files is where the bytes of files are, with the keys of that place, and scanner searches them if it is there.
	files       string
	credentials blob.Credentials
	scanner     *clamav.Daemon
	patience    transfer.Patience
	// points are how many a person or a key has a minute, without a limit if there are none, and clock tells the minutes.
	points int
	clock  *clock
	// tells lets instances read and send for webhooks.
	tells     bool
	instances []*instance
	clinics   map[string]map[string]*person
}

// instance is one server process, as far as the others can tell.
type instance struct {
	chat     *chat.Service
	metrics  *prometheus.Registry
	replica  *postgres.Replica
	handler  *graph.Handler
	courtesy *courtesy.Courtesy
	// all is the API with the files.
	all    http.Handler
	server *httptest.Server
	stop   func()
}

// person is somebody of a clinic, on the first instance unless they move.
type person struct {
	world  *world
	clinic string
	name   string
	email  string
	role   string
	rooms  []string
	id     string
	userID chat.UserID
	token  string
	at     *instance
}

const home = "Lakeside"

var secret = bytes.Repeat([]byte("k"), 32)

func newWorld(t *testing.T) *world {
	t.Helper()
	return newWorldIn(t, pgtest.New(t), nil)
}

func newWorldIn(t *testing.T, database *pgtest.Database, standby *pgtest.Server, prepare ...func(*world)) *world {
	t.Helper()
	key, err := auth.NewKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, database: database, standby: standby, key: key, verifier: key, files: t.TempDir(), clock: newClock(), clinics: map[string]map[string]*person{}}
	for _, prepare := range prepare {
		prepare(w)
	}
	// Databases of tests are copies of one, which has an id.
	db := database.Open()
	defer db.Close()
	if _, err := db.Exec(`UPDATE file_store SET id = gen_random_uuid()`); err != nil {
		t.Fatal(err)
	}
	w.instance()
	return w
}

// instance starts another instance over the same database.
func (w *world) instance() *instance {
	w.t.Helper()
	var logger *slog.Logger
	if os.Getenv("CORRIDOR_TEST_LOG") == "" {
		logger = slog.New(slog.DiscardHandler)
	} else {
		logger = slog.Default()
	}
	db := w.database.Open()
	events := eventlog.New(db, eventlog.ByPostgres(db, w.database.URL), w.key.Derive("cursor"), logger)
	service := chat.New(db, events, logger)
	ctx, cancel := context.WithCancel(context.Background())
	w.useFiles(ctx, service)
	told := w.useWebhooks(ctx, service, logger)
	replica := w.replicaFor(ctx, db, service, logger)
	links := transfer.NewLinks(w.key.Derive("file link"))
	budgets := budget.New(budget.Options{DB: db, Person: w.points, Key: w.points, Logger: logger, Now: w.clock.now})
	door := auth.NewDoor(service, w.verifier, nil, logger)
	courtesy := courtesy.New()
	handler, err := graph.NewHandler(graph.Options{Chat: service, Door: door, Logger: logger, CursorKey: w.key.Derive("list cursor"), Links: links, Budgets: budgets, Courtesy: courtesy})
	if err != nil {
		w.t.Fatal(err)
	}
	sameHost, err := auth.AllowedOrigin(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	sharing := transfer.Options{Chat: service, Door: door, Logger: logger, Links: links, AllowedOrigin: sameHost, Patience: w.patience, Budgets: budgets, SealCursor: handler.SealCursor, Courtesy: courtesy}
	transfers, err := transfer.NewHandler(sharing)
	if err != nil {
		w.t.Fatal(err)
	}
	all := http.NewServeMux()
	all.Handle("/", handler)
	all.Handle(transfer.Path, transfers)
	all.Handle(transfer.DirectoryPath, transfer.NewDirectoryHandler(sharing))
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = events.Run(ctx)
	}()
	scanned := make(chan struct{})
	go func() {
		defer close(scanned)
		_ = service.ScanFiles(ctx)
	}()
	settled := make(chan struct{})
	go func() {
		defer close(settled)
		_ = budgets.Run(ctx)
	}()
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(events, budgets, handler)
	i := &instance{chat: service, metrics: metrics, replica: replica, handler: handler, courtesy: courtesy, all: all, server: httptest.NewServer(all)}
	stopped := false
	i.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		i.server.CloseClientConnections()
		i.server.Close()
		<-done
		<-scanned
		<-settled
		told.Wait()
	}
	w.t.Cleanup(i.stop)
	w.instances = append(w.instances, i)
	return i
}

// clock stands still until a test lets time pass.
type clock struct{ at atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.at.Store(time.Now().UnixNano())
	return c
}

func (c *clock) now() time.Time { return time.Unix(0, c.at.Load()) }

// passes lets some time pass at once.
func (c *clock) passes(some time.Duration) { c.at.Add(int64(some)) }

// person brings somebody into the clinic, in the given waiting rooms.
func (w *world) person(name string, rooms ...string) *person {
	w.t.Helper()
	return w.personOf(home, name, "MA", rooms...)
}

func (w *world) personOf(clinic, name, role string, rooms ...string) *person {
	w.t.Helper()
	p := w.enrol(clinic, name, role, rooms...)
	w.importRoster(clinic)
	return p
}

// enrol writes somebody down for the next import.
func (w *world) enrol(clinic, name, role string, rooms ...string) *person {
	if w.clinics[clinic] == nil {
		w.clinics[clinic] = map[string]*person{}
	}
	email := strings.ToLower(strings.ReplaceAll(name, " ", ".")) + "@" + strings.ToLower(clinic) + ".example"
	p := &person{world: w, clinic: clinic, name: name, email: email, role: role, rooms: rooms, at: w.instances[0]}
	w.clinics[clinic][email] = p
	return p
}

// people brings several into one waiting room at once.
func (w *world) people(room string, names ...string) []*person {
	w.t.Helper()
	people := make([]*person, len(names))
	for i, name := range names {
		people[i] = w.enrol(home, name, "MA", room)
	}
	w.importRoster(home)
	return people
}

// importRoster makes the clinic what its people are now.
func (w *world) importRoster(clinic string) chat.RosterChange {
	w.t.Helper()
	var rows []chat.RosterRow
	for _, p := range w.clinics[clinic] {
		rows = append(rows, chat.RosterRow{Email: p.email, Name: p.name, Role: p.role, WaitingRooms: p.rooms})
	}
	change, err := w.instances[0].chat.ImportRoster(context.Background(), chat.ImportRosterInput{Clinic: clinic, Rows: rows, AllowDeactivations: true, Progress: func(string, int, int) {}})
	if err != nil {
		w.t.Fatalf("import the roster: %v", err)
	}
	w.identify(clinic)
	return change
}

// identify looks up the ids of people who are new.
func (w *world) identify(clinic string) {
	w.t.Helper()
	db := w.database.Open()
	defer db.Close()
	var found []struct {
		ID    uuid.UUID
		Email string
	}
	const query = `SELECT users.id, email FROM users JOIN clinics ON clinics.id = clinic_id WHERE clinics.name = $1`
	if err := db.Select(&found, query, clinic); err != nil {
		w.t.Fatal(err)
	}
	for _, f := range found {
		p := w.clinics[clinic][f.Email]
		if p == nil || p.id != "" {
			continue
		}
		p.userID = chat.UserID{UUID: f.ID}
		p.token = w.tokenFor(f.ID, time.Hour)
		p.id = p.must(p.asks(`{ viewer { user { id } } }`, nil)).text("viewer.user.id")
	}
}

func (w *world) tokenFor(subject uuid.UUID, ttl time.Duration) string {
	w.t.Helper()
	token, err := w.key.Mint(subject, ttl)
	if err != nil {
		w.t.Fatal(err)
	}
	return token
}

// expiredToken was good once.
func (w *world) expiredToken(subject uuid.UUID) string {
	w.t.Helper()
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.RegisteredClaims{
		Issuer: "corridor", Audience: jwt.ClaimStrings{"corridor"}, Subject: subject.String(),
		ExpiresAt: jwt.NewNumericDate(time.Now().Add(-time.Minute)),
	}).SignedString(secret)
	if err != nil {
		w.t.Fatal(err)
	}
	return token
}

// moves puts the person into other waiting rooms.
func (p *person) moves(rooms ...string) {
	p.world.t.Helper()
	p.rooms = rooms
	p.world.importRoster(p.clinic)
}

// isDismissed takes the person off the roster.
func (p *person) isDismissed() {
	p.world.t.Helper()
	delete(p.world.clinics[p.clinic], p.email)
	p.world.importRoster(p.clinic)
}

// decides changes the policy of the clinic.
func (w *world) decides(change func(*chat.Policy)) {
	w.t.Helper()
	for clinic := range w.clinics {
		if _, err := w.instances[0].chat.SetPolicy(context.Background(), clinic, change); err != nil {
			w.t.Fatal(err)
		}
	}
	// A session knows its clinic's policy for a moment; requests begin sessions of their own.
}

// answer is what came back of a request.
type answer struct {
	status int
	header http.Header
	body   string
	Data   json.RawMessage
	Errors []struct {
		Message    string
		Path       []any
		Extensions map[string]any
	}
}

func (a answer) code() string {
	if len(a.Errors) == 0 {
		return ""
	}
	code, _ := a.Errors[0].Extensions["code"].(string)
	return code
}

// thing is a piece of JSON, read by paths such as viewer.contacts.nodes.0.name.
type thing struct{ value any }

func (a answer) thing() thing {
	var value any
	_ = json.Unmarshal(a.Data, &value)
	return thing{value}
}

func (th thing) at(path string) thing {
	value := th.value
	for step := range strings.SplitSeq(path, ".") {
		switch inner := value.(type) {
		case map[string]any:
			value = inner[step]
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i >= len(inner) {
				return thing{}
			}
			value = inner[i]
		default:
			return thing{}
		}
	}
	return thing{value}
}

func (th thing) text(path string) string {
	switch value := th.at(path).value.(type) {
	case nil:
		return ""
	case string:
		return value
	case float64:
		return strconv.FormatFloat(value, 'f', -1, 64)
	default:
		return fmt.Sprint(value)
	}
}

func (th thing) number(path string) int {
	number, _ := th.at(path).value.(float64)
	return int(number)
}

func (th thing) yes(path string) bool {
	yes, _ := th.at(path).value.(bool)
	return yes
}

func (th thing) list(path string) []thing {
	items, _ := th.at(path).value.([]any)
	list := make([]thing, len(items))
	for i, item := range items {
		list[i] = thing{item}
	}
	return list
}

// texts joins the texts at a path of each item of a list.
func (th thing) texts(list, path string) string {
	var all []string
	for _, item := range th.list(list) {
		all = append(all, item.text(path))
	}
	return strings.Join(all, ", ")
}

type vars = map[string]any

// asks sends an operation over HTTP and returns the answer, whatever it is.
func (p *person) asks(document string, variables vars) answer {
	return p.world.asks(p.at, p.token, document, variables)
}

func (w *world) asks(at *instance, token, document string, variables vars) answer {
	w.t.Helper()
	return w.asksUnder(context.Background(), at, token, document, variables)
}

// asksUnder serves the operation without a network, under a context that may count statements.
func (w *world) asksUnder(ctx context.Context, at *instance, token, document string, variables vars) answer {
	w.t.Helper()
	return w.posts(ctx, at, token, vars{"query": document, "variables": variables})
}

// posts is asksUnder with whatever is in the request.
func (w *world) posts(ctx context.Context, at *instance, token string, what vars) answer {
	w.t.Helper()
	body, err := json.Marshal(what)
	if err != nil {
		w.t.Fatal(err)
	}
	request := httptest.NewRequestWithContext(ctx, http.MethodPost, "/graphql", bytes.NewReader(body))
	request.Header.Set("Content-Type", "application/json")
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	recorder := httptest.NewRecorder()
	at.handler.ServeHTTP(recorder, request)
	raw, err := io.ReadAll(recorder.Result().Body)
	if err != nil {
		w.t.Fatal(err)
	}
	a := answer{status: recorder.Code, header: recorder.Header(), body: string(raw)}
	if err := json.Unmarshal(raw, &a); err != nil {
		w.t.Fatalf("the answer is no JSON: %s", raw)
	}
	return a
}

// headerOf writes a header down, but for what differs from one moment to the next.
func headerOf(header http.Header) string {
	header = header.Clone()
	for _, name := range []string{"RateLimit", "Retry-After"} {
		header.Del(name)
	}
	var written strings.Builder
	_ = header.Write(&written) // a builder takes everything
	return written.String()
}

// must is what an operation answered that has to work.
func (p *person) must(a answer) thing {
	p.world.t.Helper()
	if len(a.Errors) > 0 || a.status != http.StatusOK {
		p.world.t.Fatalf("%s was refused (%d): %s", p.name, a.status, a.body)
	}
	return a.thing()
}

// sees is a query that has to work.
func (p *person) sees(document string, variables vars) thing {
	p.world.t.Helper()
	return p.must(p.asks(document, variables))
}

var keys atomic.Int64

func newKey() string { return "key-" + strconv.FormatInt(keys.Add(1), 10) }

// does is a mutation with a new client key; the payload is returned, whatever it says.
func (p *person) does(mutation string, input vars, selection string) thing {
	p.world.t.Helper()
	if _, given := input["clientKey"]; !given {
		input["clientKey"] = newKey()
	}
	kind := strings.ToUpper(mutation[:1]) + mutation[1:] + "Input!"
	document := fmt.Sprintf(`mutation ($input: %s) { %s(input: $input) { userErrors { code message field } %s } }`, kind, mutation, selection)
	return p.must(p.asks(document, vars{"input": input})).at(mutation)
}

// did is a mutation that has to work.
func (p *person) did(mutation string, input vars, selection string) thing {
	p.world.t.Helper()
	payload := p.does(mutation, input, selection)
	if len(payload.list("userErrors")) > 0 {
		p.world.t.Fatalf("%s: %s was refused: %s", p.name, mutation, payload.text("userErrors.0.code")+" "+payload.text("userErrors.0.message"))
	}
	return payload
}

// isRefused is a mutation that has to fail with a code; it returns the sentence.
func (p *person) isRefused(code, mutation string, input vars) string {
	p.world.t.Helper()
	payload := p.does(mutation, input, "")
	if got := payload.text("userErrors.0.code"); got != code {
		p.world.t.Errorf("%s: %s answered %q, want %q", p.name, mutation, got, code)
	}
	if field := payload.text("userErrors.0.field.0"); field != "clientKey" {
		if _, given := input[field]; !given {
			p.world.t.Errorf("%s: %s complains of %q, which was not sent", p.name, mutation, field)
		}
	}
	return payload.text("userErrors.0.message")
}

// group is a group of the person, who owns it, and others.
func (p *person) group(name string, others ...*person) string {
	p.world.t.Helper()
	return p.did("createGroup", vars{"name": name, "userIds": ids(others)}, "group { id }").text("group.id")
}

func (p *person) direct(with *person) string {
	p.world.t.Helper()
	return p.did("startDirectConversation", vars{"userId": with.id}, "conversation { id }").text("conversation.id")
}

func (p *person) sends(to, body string) string {
	p.world.t.Helper()
	return p.did("sendMessage", vars{"conversationId": to, "body": body}, "message { id }").text("message.id")
}

func (p *person) adds(to string, others ...*person) string {
	p.world.t.Helper()
	return p.did("addParticipants", vars{"conversationId": to, "userIds": ids(others)}, "outcomes { outcome }").texts("outcomes", "outcome")
}

func (p *person) removes(from string, other *person) {
	p.world.t.Helper()
	p.did("removeParticipant", vars{"conversationId": from, "userId": other.id}, "")
}

func (p *person) leaves(group string) {
	p.world.t.Helper()
	p.did("leaveGroup", vars{"conversationId": group}, "")
}

func (p *person) deletes(group string) {
	p.world.t.Helper()
	p.did("deleteGroup", vars{"conversationId": group}, "")
}

func (p *person) mutes(conversation string) {
	p.world.t.Helper()
	p.did("muteConversation", vars{"conversationId": conversation}, "")
}

func (p *person) archives(conversation string) {
	p.world.t.Helper()
	p.did("archiveConversation", vars{"conversationId": conversation}, "")
}

func ids(people []*person) []string {
	all := make([]string, len(people))
	for i, p := range people {
		all[i] = p.id
	}
	return all
}

// reads is the transcript as the person sees it, the last 100 lines.
func (p *person) reads(conversation string) string {
	p.world.t.Helper()
	return p.looksAt(conversation, "messages(last: 100) { nodes { text } }").texts("messages.nodes", "text")
}

// looksAt is a selection of a conversation, by its id.
func (p *person) looksAt(conversation, selection string) thing {
	p.world.t.Helper()
	return p.sees(`query ($id: ID!) { node(id: $id) { ... on Conversation { `+selection+` } } }`, vars{"id": conversation}).at("node")
}

// looksAtGroup is a selection of a group, by its id.
func (p *person) looksAtGroup(group, selection string) thing {
	p.world.t.Helper()
	return p.sees(`query ($id: ID!) { node(id: $id) { ... on GroupConversation { `+selection+` } } }`, vars{"id": group}).at("node")
}

// contacts is the person's contact list as names.
func (p *person) contacts() string {
	p.world.t.Helper()
	return p.sees(`{ viewer { contacts(first: 100) { nodes { name } } } }`, nil).texts("viewer.contacts.nodes", "name")
}

// finds is what New Chat shows for a search, as names.
func (p *person) finds(search string) string {
	p.world.t.Helper()
	const query = `query ($search: String!) { viewer { chatTargets(query: $search) { nodes {
		... on Contact { name } ... on GroupConversation { name } ... on DirectConversation { peer { name } } } } } }`
	var names []string
	for _, target := range p.sees(query, vars{"search": search}).list("viewer.chatTargets.nodes") {
		names = append(names, target.text("name")+target.text("peer.name"))
	}
	return strings.Join(names, ", ")
}

// lists is the person's list of conversations by name, by a filter such as {archived: true}.
func (p *person) lists(filter string) string {
	p.world.t.Helper()
	query := `{ viewer { conversations(first: 100, filter: ` + filter + `) { nodes {
		... on GroupConversation { name } ... on DirectConversation { peer { name } } } } } }`
	var names []string
	for _, conversation := range p.sees(query, nil).list("viewer.conversations.nodes") {
		names = append(names, conversation.text("name")+conversation.text("peer.name"))
	}
	return strings.Join(names, ", ")
}

// stream is a subscription of a person over a socket of its own.
type stream struct {
	person *person
	conn   *websocket.Conn
	events chan thing
	// ended is closed behind the last event; closed then holds the close of the socket, if the server
	// closed it, and failed what the subscription failed with.
	ended  chan struct{}
	closed websocket.CloseError
	failed thing
	// cursor is that of the last event that was heard.
	cursor string
	// Of a stream by Server-Sent Events: how it began, whether it was complete, and how to leave it.
	status   int
	complete bool
	leave    context.CancelFunc
}

const eventsDocument = `subscription ($after: Cursor) { events(after: $after) {
	__typename cursor occurredAt
	... on MessageAdded { conversation { id } message { id seq kind text sender { name } files { id name size sha256 scan download { url } } } notify { popup sound } }
	... on MessageChanged { message { id text recalledAt files { id } } }
	... on FileChanged { file { id scan download { url } } message { id } }
	... on ConversationAdded { conversation { id ... on GroupConversation { name } } }
	... on ConversationLeft { reason message { text } }
	... on ConversationChanged { conversation { id unreadCount viewerSettings { isMuted archivedAt } } }
	... on GroupDeleted { conversationId }
	... on ContactAdded { contact { name } }
	... on ContactChanged { contact { name } }
	... on ContactRemoved { userId }
	... on SessionExpiring { expiresAt }
} }`

// follows opens the person's stream from now on, and waits until it is open.
func (p *person) follows() *stream {
	p.world.t.Helper()
	return p.followsFrom("")
}

// followsFrom opens the person's stream behind a cursor.
func (p *person) followsFrom(cursor string) *stream {
	p.world.t.Helper()
	variables := vars{}
	if cursor != "" {
		variables["after"] = cursor
	}
	s := p.subscribes(p.token, eventsDocument, variables)
	s.cursor = s.next("events").text("cursor")
	return s
}

// streamsAre waits until so many streams are open at an instance: those that say nothing at first have begun then.
func (i *instance) streamsAre(w *world, n int) {
	w.t.Helper()
	w.eventually("the streams are open", func() bool {
		families, err := i.metrics.Gather()
		if err != nil {
			w.t.Fatal(err)
		}
		for _, family := range families {
			if family.GetName() == "corridor_streams" {
				return int(family.GetMetric()[0].GetGauge().GetValue()) == n
			}
		}
		return false
	})
}

// subscribes opens any subscription.
func (p *person) subscribes(token, document string, variables vars) *stream {
	p.world.t.Helper()
	return p.subscribesWith(token, vars{"query": document, "variables": variables})
}

// subscribesWith is subscribes with whatever is in the request.
func (p *person) subscribesWith(token string, what vars) *stream {
	p.world.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, p.at.server.URL+"/graphql", &websocket.DialOptions{Subprotocols: []string{"graphql-transport-ws"}})
	if err != nil {
		p.world.t.Fatalf("%s can't connect: %v", p.name, err)
	}
	conn.SetReadLimit(1 << 20)
	s := &stream{person: p, conn: conn, events: make(chan thing, 10_000), ended: make(chan struct{})}
	for _, message := range []any{
		vars{"type": "connection_init", "payload": vars{"Authorization": "Bearer " + token}},
		vars{"type": "subscribe", "id": "1", "payload": what},
	} {
		if message, ok := message.(vars); ok && message["type"] == "subscribe" {
			var ack struct{ Type string }
			if err := wsjson.Read(ctx, conn, &ack); err != nil || ack.Type != "connection_ack" {
				s.closed = closeOf(err)
				close(s.ended)
				return s
			}
		}
		if err := wsjson.Write(ctx, conn, message); err != nil {
			p.world.t.Fatalf("%s can't write: %v", p.name, err)
		}
	}
	go s.read()
	p.world.t.Cleanup(func() { conn.CloseNow() })
	return s
}

// subscribesBySSE opens any subscription as a response that goes on.
func (p *person) subscribesBySSE(token, document string, variables vars) *stream {
	p.world.t.Helper()
	return p.subscribesBySSEWith(token, vars{"query": document, "variables": variables})
}

// subscribesBySSEWith is subscribesBySSE with whatever is in the request.
func (p *person) subscribesBySSEWith(token string, what vars) *stream {
	p.world.t.Helper()
	body, err := json.Marshal(what)
	if err != nil {
		p.world.t.Fatal(err)
	}
	ctx, leave := context.WithCancel(context.Background())
	p.world.t.Cleanup(leave)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, p.at.server.URL+"/graphql", bytes.NewReader(body))
	if err != nil {
		p.world.t.Fatal(err)
	}
	request.Header = http.Header{"Content-Type": {"application/json"}, "Accept": {"text/event-stream"}, "Authorization": {"Bearer " + token}}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		p.world.t.Fatalf("%s can't connect: %v", p.name, err)
	}
	s := &stream{person: p, events: make(chan thing, 10_000), ended: make(chan struct{}), leave: leave, status: response.StatusCode}
	go func() {
		defer close(s.ended)
		defer response.Body.Close()
		event := ""
		for lines := bufio.NewScanner(response.Body); lines.Scan(); {
			if name, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
				event = name
			}
			s.complete = event == "complete"
			data, ok := strings.CutPrefix(lines.Text(), "data: ")
			if !ok || event != "next" {
				continue
			}
			var payload any
			_ = json.Unmarshal([]byte(data), &payload)
			if failed := (thing{payload}).at("errors.0"); failed.value != nil {
				s.failed = failed
				continue
			}
			s.events <- thing{payload}.at("data")
		}
	}()
	return s
}

func closeOf(err error) (closed websocket.CloseError) {
	closed.Code = websocket.CloseStatus(err)
	return closed
}

func (s *stream) read() {
	defer close(s.ended)
	for {
		var message struct {
			Type    string
			Payload json.RawMessage
		}
		if err := wsjson.Read(context.Background(), s.conn, &message); err != nil {
			s.closed = closeOf(err)
			return
		}
		var payload any
		_ = json.Unmarshal(message.Payload, &payload)
		switch message.Type {
		case "next":
			if failed := (thing{payload}).at("errors.0"); failed.value != nil {
				s.failed = failed
				continue
			}
			s.events <- thing{payload}.at("data")
		case "error":
			s.failed = thing{payload}.at("0")
			return
		case "complete":
			return
		case "ping":
			_ = wsjson.Write(context.Background(), s.conn, vars{"type": "pong"})
		}
	}
}

// next is the next event of a subscription's field, heartbeats too.
func (s *stream) next(field string) thing {
	s.person.world.t.Helper()
	select {
	case event := <-s.events:
		return event.at(field)
	default:
	}
	select {
	case event := <-s.events:
		return event.at(field)
	case <-s.ended:
		select {
		case event := <-s.events:
			return event.at(field)
		default:
		}
		s.person.world.t.Fatalf("%s's stream ended: closed %d, failed %v", s.person.name, s.closed.Code, s.failed.value)
	case <-time.After(patience):
		s.person.world.t.Fatalf("%s heard nothing", s.person.name)
	}
	return thing{}
}

// event is the next event that is no heartbeat.
func (s *stream) event() thing {
	s.person.world.t.Helper()
	for {
		event := s.next("events")
		s.cursor = event.text("cursor")
		if event.text("__typename") != "Heartbeat" {
			return event
		}
	}
}

// hears is the next event in words.
func (s *stream) hears() string {
	s.person.world.t.Helper()
	event := s.event()
	switch kind := event.text("__typename"); kind {
	case "MessageAdded":
		if event.text("message.kind") == "TEXT" {
			return event.text("message.sender.name") + ": " + event.text("message.text")
		}
		return event.text("message.text")
	case "ConversationAdded":
		return "added to " + event.text("conversation.name")
	case "ConversationLeft":
		return "gone: " + event.text("message.text")
	case "GroupDeleted":
		return "deleted"
	case "ContactAdded", "ContactChanged":
		return kind + " " + event.text("contact.name")
	default:
		return kind
	}
}

// ends waits until the subscription is over and tells how many events came meanwhile.
func (s *stream) ends() (left int) {
	s.person.world.t.Helper()
	select {
	case <-s.ended:
	case <-time.After(patience):
		s.person.world.t.Fatalf("%s's stream does not end", s.person.name)
	}
	return len(s.events)
}

func (s *stream) drops() {
	if s.conn == nil {
		s.leave()
		return
	}
	s.conn.CloseNow()
}

// check compares what was seen with what was expected.
func check[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %#v, want %#v", what, got, want)
	}
}
