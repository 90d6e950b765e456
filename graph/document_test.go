package graph_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"

	"corridor/graph/scalar"
	"corridor/internal/chat"
	"corridor/internal/pgtest"
)

func hashOf(document string) string {
	sum := sha256.Sum256([]byte(document))
	return hex.EncodeToString(sum[:])
}

// byApollo names a document as Apollo's clients do, and sends it if it is to be kept.
func byApollo(document string, send bool) vars {
	request := vars{"extensions": vars{"persistedQuery": vars{"version": 1, "sha256Hash": hashOf(document)}}}
	if send {
		request["query"] = document
	}
	return request
}

// byID names a document as GraphQL over HTTP does.
func byID(document string) vars { return vars{"documentId": "sha256:" + hashOf(document)} }

// operator is who runs the server, for the partner's clinic.
func (p *partner) operator() (context.Context, *chat.Service, chat.Actor, chat.UserID) {
	p.world.t.Helper()
	service := p.world.instances[0].chat
	actor, err := service.Operator(context.Background(), p.clinic)
	if err != nil {
		p.world.t.Fatal(err)
	}
	account, err := scalar.UnmarshalUserID(p.id)
	if err != nil {
		p.world.t.Fatal(err)
	}
	return context.Background(), service, actor, account
}

// registers registers documents for the partner's service account.
func (p *partner) registers(documents ...string) *partner {
	p.world.t.Helper()
	ctx, service, operator, account := p.operator()
	var given []chat.NewDocument
	for _, document := range documents {
		given = append(given, chat.NewDocument{Name: "Test", Text: document})
	}
	if _, err := service.RegisterDocuments(ctx, operator, account, given); err != nil {
		p.world.t.Fatal(err)
	}
	return p
}

func (p *partner) unregisters(document string) {
	p.world.t.Helper()
	ctx, service, operator, account := p.operator()
	sum := sha256.Sum256([]byte(document))
	if removed, err := service.RemoveDocuments(ctx, operator, account, [][]byte{sum[:]}); err != nil || removed != 1 {
		p.world.t.Fatal(removed, err)
	}
}

// bound makes a key that runs registered documents only.
func (p *person) bound(account string, scopes ...string) *partner {
	p.world.t.Helper()
	return p.givesWith(vars{"serviceAccountId": account, "name": "key " + newKey(), "scopes": scopes, "documentsOnly": true})
}

// sendsByGET sends a request in an address.
func (p *person) sendsByGET(what vars) (answer, http.Header) {
	p.world.t.Helper()
	query := url.Values{}
	for name, value := range what {
		if text, ok := value.(string); ok {
			query.Set(name, text)
			continue
		}
		written, err := json.Marshal(value)
		if err != nil {
			p.world.t.Fatal(err)
		}
		query.Set(name, string(written))
	}
	request, err := http.NewRequest(http.MethodGet, p.at.server.URL+"/graphql?"+query.Encode(), nil)
	if err != nil {
		p.world.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+p.token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		p.world.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		p.world.t.Fatal(err)
	}
	a := answer{status: response.StatusCode, body: string(body)}
	if err := json.Unmarshal(body, &a); err != nil {
		p.world.t.Fatalf("the answer is no JSON: %s", body)
	}
	return a, response.Header
}

// line is a socket over which one asks one thing after the other.
type line struct {
	*person
	conn  *websocket.Conn
	asked int
}

func (p *person) calls() *line {
	p.world.t.Helper()
	conn, _, err := websocket.Dial(context.Background(), p.at.server.URL+"/graphql", &websocket.DialOptions{Subprotocols: []string{"graphql-transport-ws"}})
	if err != nil {
		p.world.t.Fatal(err)
	}
	p.world.t.Cleanup(func() { conn.CloseNow() })
	l := &line{person: p, conn: conn}
	l.says(vars{"type": "connection_init", "payload": vars{"Authorization": "Bearer " + p.token}})
	l.hears("connection_ack")
	return l
}

func (l *line) says(message vars) {
	l.world.t.Helper()
	if err := wsjson.Write(context.Background(), l.conn, message); err != nil {
		l.world.t.Fatal(err)
	}
}

func (l *line) hears(kinds ...string) (kind string, payload json.RawMessage) {
	l.world.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		var message struct {
			Type    string
			Payload json.RawMessage
		}
		if err := wsjson.Read(ctx, l.conn, &message); err != nil {
			l.world.t.Fatal(err)
		}
		if slices.Contains(kinds, message.Type) {
			return message.Type, message.Payload
		}
	}
}

// sends sends a request and returns the first answer.
func (l *line) sends(what vars) (a answer) {
	l.world.t.Helper()
	l.asked++
	id := fmt.Sprint(l.asked)
	l.says(vars{"type": "subscribe", "id": id, "payload": what})
	kind, payload := l.hears("next", "error")
	into := any(&a)
	if kind == "error" {
		into = &a.Errors
	}
	if err := json.Unmarshal(payload, into); err != nil {
		l.world.t.Fatal(err)
	}
	l.says(vars{"type": "complete", "id": id})
	return a
}

// ways are the four in which a request may come.
func (p *person) ways() map[string]func(vars) answer {
	call := p.calls()
	return map[string]func(vars) answer{
		"POST": func(what vars) answer { return p.world.posts(context.Background(), p.at, p.token, what) },
		"GET": func(what vars) answer {
			a, header := p.sendsByGET(what)
			check(p.world.t, "what is kept", header.Get("Cache-Control"), "private, no-store")
			return a
		},
		"SSE": func(what vars) (a answer) {
			s := p.subscribesBySSEWith(p.token, what)
			if s.ends() > 0 {
				a.Data, _ = json.Marshal((<-s.events).value)
				return a
			}
			written, _ := json.Marshal([]any{s.failed.value})
			_ = json.Unmarshal(written, &a.Errors)
			return a
		},
		"a socket": call.sends,
	}
}

func (a answer) said() string {
	if len(a.Errors) > 0 {
		return a.code() + ": " + a.Errors[0].Message
	}
	var data any // whose fields are in the order of their names then
	_ = json.Unmarshal(a.Data, &data)
	written, _ := json.Marshal(data)
	return string(written)
}

const notRegistered = "DOCUMENT_NOT_REGISTERED: This key runs only documents that are registered for its service account, and this one is not."

func TestABoundKeyRunsRegisteredDocumentsAndNothingElse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	grace := w.person("Grace Hall", "Front desk").administers()
	account, fax := grace.serviceAccount("Lab results"), grace.serviceAccount("Fax")
	const theirs = `query Theirs { viewer { clinic { name } } }`
	grace.bound(fax, "CONTACTS_READ").registers(theirs)
	partner := grace.bound(account, "CONTACTS_READ", "CONVERSATIONS_READ").registers(whoAmI, eventsDocument)
	var alike []string

	for way, asks := range partner.ways() {
		for what, request := range map[string]vars{
			"documentId": byID(whoAmI), "a hash alone": {"documentId": hashOf(whoAmI)}, "Apollo's with an id": {"extensions": vars{"persistedQuery": vars{"version": 1, "sha256Hash": "sha256:" + hashOf(whoAmI)}}}, "Apollo's": byApollo(whoAmI, false), "Apollo's with the text": byApollo(whoAmI, true), "the text": {"query": whoAmI},
		} {
			check(t, way+" "+what, asks(request).said(), `{"viewer":{"clinic":{"name":"Lakeside"},"name":"Lab results","user":{"kind":"SERVICE"}}}`)
		}
		for what, request := range map[string]vars{
			"unknown": byID("{ unknown }"), "no hash": {"documentId": "operation 7"}, "Apollo's": byApollo("{ unknown }", false), "Apollo's with the text": byApollo(`{ viewer { name } }`, true),
			"another account's": byID(theirs), "a text": {"query": `{ viewer { name } }`}, "a text with a space more": {"query": whoAmI + " "}, "introspection": {"query": `{ __schema { types { name } } }`},
			"no GraphQL": {"query": "nothing"}, "another account's text": {"query": theirs},
		} {
			refused := asks(request)
			check(t, way+" "+what, refused.said(), notRegistered)
			if way == "POST" {
				alike = append(alike, fmt.Sprint(refused.status, refused.body))
			}
		}
	}

	check(t, "all refused alike", len(slices.Compact(alike)), 1)
	check(t, "status", alike[0][:3], "422")
	for _, stream := range []*stream{partner.subscribesWith(partner.token, byID(eventsDocument)), partner.subscribesBySSEWith(partner.token, byApollo(eventsDocument, false))} {
		check(t, "it is followed", stream.next("events").text("__typename"), "Heartbeat")
	}
	for _, address := range []string{"staff.csv", "staff.jsonl"} {
		status, _, _ := partner.exports(address)
		check(t, address, status, http.StatusNotFound)
	}
}

func TestAKeyStaysBoundWhenItIsRotated(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	grace := w.person("Grace Hall", "Front desk").administers()
	old := grace.bound(grace.serviceAccount("Lab results"), "CONTACTS_READ").registers(whoAmI)

	rotated := grace.did("rotatePartnerKey", vars{"keyId": old.key}, "secret partnerKey { documentsOnly }")

	check(t, "bound", rotated.yes("partnerKey.documentsOnly"), true)
	check(t, "a text", w.asks(grace.at, rotated.text("secret"), `{ viewer { name } }`, nil).said(), notRegistered)
	check(t, "the account's documents", w.posts(context.Background(), grace.at, rotated.text("secret"), byID(whoAmI)).code(), "")
	listed := grace.sees(`{ viewer { clinic { partnerKeys { nodes { documentsOnly } } } } }`, nil)
	check(t, "listed", listed.texts("viewer.clinic.partnerKeys.nodes", "documentsOnly"), "true, true")
}

func TestE35ARemovedDocumentIsNotRunAnyMoreOnAnyInstance(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	second := w.instance()
	grace := w.person("Grace Hall", "Front desk").administers()
	partner := grace.bound(grace.serviceAccount("Lab results"), "CONVERSATIONS_READ").registers(whoAmI, eventsDocument)
	partner.at = second
	streams := []*stream{partner.subscribesWith(partner.token, byID(eventsDocument)), partner.subscribesBySSEWith(partner.token, byID(eventsDocument))}
	for _, stream := range streams {
		stream.next("events")
	}
	check(t, "over HTTP", w.posts(context.Background(), second, partner.token, byID(whoAmI)).code(), "")
	partner.registers(`{ viewer { name } }`)
	removed := time.Now()

	partner.unregisters(whoAmI)

	check(t, "over HTTP, at once", w.posts(context.Background(), second, partner.token, byID(whoAmI)).said(), notRegistered)
	for _, stream := range streams {
		if stream.ends(); time.Since(removed) > 5*time.Second {
			t.Errorf("a stream was open for %s", time.Since(removed))
		}
		check(t, "it is resumed", stream.complete || stream.failed.value != nil, false)
	}
	check(t, "closed with", streams[0].closed.Code, 1013)
	again := partner.calls()
	check(t, "over a socket", again.sends(byID(whoAmI)).said(), notRegistered)
	check(t, "what is left", again.sends(byID(eventsDocument)).code(), "")
	partner.registers(whoAmI)
	check(t, "registered again", w.posts(context.Background(), second, partner.token, byID(whoAmI)).code(), "")
}

func TestADocumentIsLookedUpOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	grace := w.person("Grace Hall", "Front desk").administers()
	account := grace.serviceAccount("Lab results")
	bound, unbound := grace.bound(account, "CONTACTS_READ").registers(whoAmI), grace.gives(account, "CONTACTS_READ")
	statements := func(of *partner, request vars) int {
		ctx, counter := pgtest.Count(context.Background())
		w.posts(ctx, of.at, of.token, request)
		return counter.Statements()
	}
	plain := statements(unbound, vars{"query": whoAmI})

	check(t, "the first time", statements(bound, byID(whoAmI)), plain+1)
	for what, request := range map[string]vars{"documentId": byID(whoAmI), "Apollo's": byApollo(whoAmI, false), "the text": {"query": whoAmI}} {
		check(t, what, statements(bound, request), plain)
	}
	check(t, "an unbound key", statements(unbound, byID(whoAmI)), plain)
	check(t, "unknown, and another's", statements(bound, byID("{ a }")), statements(bound, vars{"query": "{ b }"}))
	check(t, "a person who comes with a hash", statements(&partner{person: grace}, byApollo(whoAmI, true)), statements(&partner{person: grace}, byApollo(whoAmI, false)))
}

func TestALimitHoldsForRegisteredDocumentsToo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	grace := w.person("Grace Hall", "Front desk").administers()
	large := "{ viewer {" + strings.Repeat(" name", 100) + "} }"
	outside := `{ viewer { clinic { partnerKeys { nodes { id } } } } }`
	partner := grace.bound(grace.serviceAccount("Lab results"), "CONTACTS_READ").registers(large, outside)

	check(t, "too large", w.posts(context.Background(), grace.at, partner.token, byID(large)).code(), "OPERATION_TOO_LARGE")
	check(t, "outside its scopes", w.posts(context.Background(), grace.at, partner.token, byID(outside)).code(), "GRAPHQL_VALIDATION_FAILED")
}

func TestAnAccountHasSoManyDocuments(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	grace := w.person("Grace Hall", "Front desk").administers()
	zoe := w.personOf("Hillside", "Zoe Kay", "MA", "Desk").administers()
	partner, other := grace.bound(grace.serviceAccount("Lab results"), "CONTACTS_READ"), zoe.bound(zoe.serviceAccount("Fax"), "CONTACTS_READ")
	ctx, service, operator, account := partner.operator()
	var all []chat.NewDocument
	for i := range chat.MaxDocuments {
		all = append(all, chat.NewDocument{Name: "Test", Text: fmt.Sprintf("query Q%d { viewer { name } }", i)})
	}
	registers := func(documents ...chat.NewDocument) string {
		added, err := service.RegisterDocuments(ctx, operator, account, documents)
		if err != nil {
			return err.Error()
		}
		return fmt.Sprint(added)
	}

	check(t, "as many as there may be", registers(all...), "2000")
	check(t, "the same again", registers(all...), "0")
	if said := registers(chat.NewDocument{Text: whoAmI}); !strings.Contains(said, "at most 2000 documents") {
		t.Errorf("one more: %s", said)
	}
	if said := registers(chat.NewDocument{Text: strings.Repeat("#", chat.MaxDocumentBytes+1)}); !strings.Contains(said, "at most 65536 bytes") {
		t.Errorf("a large one: %s", said)
	}
	documents, err := service.Documents(ctx, operator, account)
	check(t, "documents", fmt.Sprint(len(documents), err), "2000 <nil>")
	_, _, stranger, _ := other.operator()
	_, err = service.RegisterDocuments(ctx, stranger, account, all[:1])
	check(t, "another clinic registers", fmt.Sprint(err), "NOT_FOUND: There is no such service account.")
	_, err = service.RemoveDocuments(ctx, stranger, account, nil)
	check(t, "another clinic removes", fmt.Sprint(err), "NOT_FOUND: There is no such service account.")
	documents, err = service.Documents(ctx, stranger, account)
	check(t, "another clinic lists", fmt.Sprint(len(documents), err), "0 <nil>")
}

func TestAPersistedQueryIsSentOnceAndNamedFromThenOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Grace Hall", "Bob Roy", "Ann Lee")
	grace, bob, ann := people[0].administers(), people[1], people[2]
	zoe := w.personOf("Hillside", "Zoe Kay", "MA", "Desk")
	account := grace.serviceAccount("Lab results")
	unbound, bound := grace.gives(account, "CONVERSATIONS_READ"), grace.bound(account, "CONVERSATIONS_READ")
	const unknown = "PERSISTED_QUERY_NOT_FOUND: PersistedQueryNotFound"
	document := func(way string) string { return fmt.Sprintf("query Of%x { viewer { name } }", way) }

	for way, asks := range bob.ways() {
		q := document(way)
		check(t, way+" before", asks(byApollo(q, false)).said(), unknown)
		check(t, way+" with the text", asks(byApollo(q, true)).said(), `{"viewer":{"name":"Bob Roy"}}`)
		check(t, way+" behind it", asks(byApollo(q, false)).said(), `{"viewer":{"name":"Bob Roy"}}`)
		check(t, way+" by documentId", asks(byID(q)).said(), `{"viewer":{"name":"Bob Roy"}}`)
	}

	q := document("POST")
	named := func(p *person, request vars) answer { return w.posts(context.Background(), p.at, p.token, request) }
	check(t, "somebody else of the clinic", named(ann, byApollo(q, false)).said(), `{"viewer":{"name":"Ann Lee"}}`)
	for who, p := range map[string]*person{"another clinic": zoe, "who sees another schema": grace, "a key": unbound.person} {
		check(t, who, named(p, byApollo(q, false)).said(), unknown)
	}
	check(t, "a bound key", named(bound.person, byApollo(q, false)).said(), notRegistered)
	check(t, "a bound key keeps nothing", named(bound.person, byApollo(q, true)).said(), notRegistered)
	check(t, "the status that clients expect", named(zoe, byApollo(q, false)).status, http.StatusOK)
	for what, bad := range map[string]string{"invalid": "{ unknown }", "no GraphQL": "{", "too large": "{ viewer {" + strings.Repeat(" name", 100) + "} }", "too complex": `{ viewer { contacts(first: 100) { nodes { name sharedWaitingRooms(first: 100) { nodes { name members: name } } } } } }`} {
		first := named(bob, byApollo(bad, true)).code()
		if first == "" || strings.HasPrefix(first, "PERSISTED") {
			t.Errorf("%s is answered with %q", what, first)
		}
		check(t, what+" is not kept", named(bob, byApollo(bad, false)).said(), unknown)
	}
}

func TestARequestThatContradictsItselfIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bob := w.person("Bob Roy", "Desk")
	for what, request := range map[string]vars{
		"neither text nor hash":       {"variables": vars{}},
		"a hash of another text":      {"query": "{ viewer { name } }", "extensions": byApollo(whoAmI, false)["extensions"]},
		"an id of another text":       {"query": "{ viewer { name } }", "documentId": byID(whoAmI)["documentId"]},
		"two documents":               {"documentId": "sha256:" + hashOf("{a}"), "extensions": byApollo(whoAmI, false)["extensions"]},
		"another version":             {"extensions": vars{"persistedQuery": vars{"version": 2, "sha256Hash": hashOf(whoAmI)}}},
		"no hash":                     {"extensions": vars{"persistedQuery": vars{"version": 1}}},
		"no object":                   {"extensions": vars{"persistedQuery": hashOf(whoAmI)}},
		"an id that is no text":       {"documentId": 7},
		"an empty id":                 {"documentId": ""},
		"an extension without a hash": {"extensions": vars{"persistedQuery": nil}},
	} {
		refused := w.posts(context.Background(), bob.at, bob.token, request)
		check(t, what, fmt.Sprint(refused.status, refused.code()), "400BAD_REQUEST")
		if _, isText := request["documentId"].(int); !isText {
			refused, _ = bob.sendsByGET(request)
			check(t, what+" by GET", fmt.Sprint(refused.status, refused.code()), "400BAD_REQUEST")
		}
	}
	sent := w.posts(context.Background(), bob.at, bob.token, vars{"query": `query ($n: Int!) { viewer { contacts(first: $n) { nodes { name } } } }`, "variables": vars{"n": 1}, "documentId": nil, "extensions": vars{"persistedQuery": nil}})
	check(t, "names nothing", sent.code(), "")
}
