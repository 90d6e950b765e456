package graph_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"corridor/graph"
	"corridor/internal/auth"
	"corridor/internal/chat"
)

// administers makes the person an administrator of their clinic.
func (p *person) administers() *person {
	p.world.t.Helper()
	if err := p.world.instances[0].chat.SetAdministrator(context.Background(), chat.User{ID: p.userID}, true); err != nil {
		p.world.t.Fatal(err)
	}
	return p
}

// room is the id of a waiting room.
func (p *person) room(name string) string {
	p.world.t.Helper()
	for _, room := range p.sees(`{ viewer { waitingRooms { nodes { id name } } } }`, nil).list("viewer.waitingRooms.nodes") {
		if room.text("name") == name {
			return room.text("id")
		}
	}
	p.world.t.Fatalf("%s is in no room %s", p.name, name)
	return ""
}

// words are the elements of a list of strings.
func words(list thing) string {
	var words []string
	for _, word := range list.value.([]any) {
		words = append(words, word.(string))
	}
	return strings.Join(words, " ")
}

// partner is a program that has a key: it asks as people do, with the key as its token.
type partner struct {
	*person
	key string
}

// serviceAccount makes an account for programs.
func (p *person) serviceAccount(name string) string {
	p.world.t.Helper()
	email := strings.ToLower(strings.ReplaceAll(name, " ", ".")) + "@partner.example"
	return p.does("createServiceAccount", vars{"name": name, "email": email}, "serviceAccount { id }").text("serviceAccount.id")
}

// gives makes a key for a service account.
func (p *person) gives(account string, scopes ...string) *partner {
	p.world.t.Helper()
	return p.givesWith(vars{"serviceAccountId": account, "name": "key " + newKey(), "scopes": scopes})
}

func (p *person) givesWith(input vars) *partner {
	p.world.t.Helper()
	made := p.does("createPartnerKey", input, "secret partnerKey { id serviceAccount { id name } }")
	as := &person{world: p.world, clinic: p.clinic, name: made.text("partnerKey.serviceAccount.name"), id: made.text("partnerKey.serviceAccount.id"), token: made.text("secret"), at: p.at}
	return &partner{as, made.text("partnerKey.id")}
}

const whoAmI = `{ viewer { name user { kind } clinic { name } } }`

func TestAPartnersKeyIsShownOnceAndActsAsItsServiceAccount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	grace := w.person("Grace Hall", "Front desk").administers()
	account := grace.serviceAccount("Lab results")
	input := vars{"serviceAccountId": account, "name": "Lab", "scopes": []string{"CONVERSATIONS_READ", "CONTACTS_READ", "CONTACTS_READ"}, "clientKey": "once"}

	made := grace.does("createPartnerKey", input, "secret partnerKey { id scopes state networks createdBy { name } revokedAt lastUsedAt }")
	again := grace.does("createPartnerKey", input, "secret partnerKey { id }")

	check(t, "the same key", again.text("partnerKey.id"), made.text("partnerKey.id"))
	check(t, "shown once", again.text("secret"), "")
	check(t, "scopes, each once and in order", words(made.at("partnerKey.scopes")), "CONTACTS_READ CONVERSATIONS_READ")
	check(t, "state", made.text("partnerKey.state"), "ACTIVE")
	check(t, "made by", made.text("partnerKey.createdBy.name"), "Grace Hall")
	check(t, "never used", made.text("partnerKey.lastUsedAt"), "")
	secret := made.text("secret")
	is := grace.must(w.asks(grace.at, secret, whoAmI, nil))
	check(t, "acts as", is.text("viewer.name")+", "+is.text("viewer.user.kind")+" of "+is.text("viewer.clinic.name"), "Lab results, SERVICE of Lakeside")
	listed := grace.sees(`{ viewer { clinic { partnerKeys { nodes { id lastUsedAt } } serviceAccounts { nodes { id name } } } } }`, nil)
	if listed.text("viewer.clinic.partnerKeys.nodes.0.lastUsedAt") == "" {
		t.Error("the key was used, and does not say when")
	}
	check(t, "accounts", listed.texts("viewer.clinic.serviceAccounts.nodes", "name"), "Lab results")

	db := w.database.Open()
	defer db.Close()
	var rows []string
	if err := db.Select(&rows, `SELECT partner_keys::text FROM partner_keys UNION ALL SELECT client_keys::text FROM client_keys`); err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		if strings.Contains(row, secret) || strings.Contains(row, secret[len(secret)-43:]) {
			t.Errorf("the key is kept: %s", row)
		}
	}
}

func TestWhoDoesNotAdministerTheClinicFindsNoKeysNorTheFields(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Grace Hall", "Bob Roy")
	grace, bob := people[0].administers(), people[1]
	zoe := w.personOf("Hillside", "Zoe Kay", "MA", "Desk").administers()
	partner := grace.gives(grace.serviceAccount("Lab results"), "CONTACTS_READ")

	unknown := bob.asks(`{ viewer { clinic { partnerKets { nodes { id } } } } }`, nil)
	hidden := bob.asks(`{ viewer { clinic { partnerKeys { nodes { id } } } } }`, nil)
	check(t, "status", hidden.status, unknown.status)
	check(t, "body", hidden.body, strings.ReplaceAll(unknown.body, "partnerKets", "partnerKeys"))
	refused := bob.asks(`mutation { revokePartnerKey(input: {clientKey: "a", keyId: "`+partner.key+`"}) { userErrors { code } } }`, nil)
	check(t, "a mutation", refused.code(), "GRAPHQL_VALIDATION_FAILED")
	for _, name := range []string{"PartnerKey", "Scope", "CreatePartnerKeyInput", "ServiceAccountConnection"} {
		check(t, name, string(bob.asks(`{ __type(name: "`+name+`") { name } }`, nil).Data), `{"__type":null}`)
	}
	check(t, "another clinic's", zoe.isRefused("NOT_FOUND", "revokePartnerKey", vars{"keyId": partner.key}), zoe.isRefused("NOT_FOUND", "revokePartnerKey", vars{"keyId": "key_00000000000000000000000000"}))
	zoe.isRefused("NOT_FOUND", "rotatePartnerKey", vars{"keyId": partner.key})
	zoe.isRefused("NOT_FOUND", "createPartnerKey", vars{"serviceAccountId": partner.id, "name": "Mine", "scopes": []string{"CONTACTS_READ"}})
	zoe.isRefused("NOT_FOUND", "deactivateServiceAccount", vars{"serviceAccountId": partner.id})
	zoe.isRefused("NOT_FOUND", "reactivateServiceAccount", vars{"serviceAccountId": partner.id})
	grace.isRefused("NOT_FOUND", "createPartnerKey", vars{"serviceAccountId": bob.id, "name": "Bob's", "scopes": []string{"CONTACTS_READ"}})
	check(t, "theirs is empty", zoe.sees(`{ viewer { clinic { partnerKeys { nodes { id } } } } }`, nil).texts("viewer.clinic.partnerKeys.nodes", "id"), "")
	check(t, "it still works", partner.sees(whoAmI, nil).text("viewer.name"), "Lab results")
}

func TestE35ARevokedKeyAndWhatIsOpenByItEndOnAllInstances(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	second := w.instance()
	grace := w.person("Grace Hall", "Front desk").administers()
	account := grace.serviceAccount("Lab results")
	revoked, expiring, deactivated := grace.gives(account, "CONVERSATIONS_READ"), grace.gives(account, "CONVERSATIONS_READ"), grace.gives(grace.serviceAccount("Fax"), "CONVERSATIONS_READ")
	var streams []*stream
	for _, partner := range []*partner{revoked, expiring, deactivated} {
		partner.at = second
		streams = append(streams, partner.follows(), partner.subscribesBySSE(partner.token, eventsDocument, nil))
	}
	second.streamsAre(w, len(streams))
	begun := time.Now()

	grace.does("revokePartnerKey", vars{"keyId": revoked.key}, "partnerKey { state revokedAt }")
	grace.does("rotatePartnerKey", vars{"keyId": expiring.key, "overlapMinutes": 0}, "partnerKey { id }")
	grace.does("deactivateServiceAccount", vars{"serviceAccountId": deactivated.id}, "serviceAccount { isActive }")

	for i, stream := range streams {
		if stream.ends(); time.Since(begun) > 5*time.Second {
			t.Errorf("stream %d was open for %s", i, time.Since(begun))
		}
	}
	answers := map[string]bool{}
	for _, token := range []string{revoked.token, expiring.token, deactivated.token, "corridor_", revoked.token[:40], revoked.token + "A", "garbage"} {
		refused := w.asks(grace.at, token, whoAmI, nil)
		answers[fmt.Sprint(refused.status, refused.body)] = true
	}
	check(t, "all refused alike", len(answers), 1)
	states := grace.sees(`{ viewer { clinic { partnerKeys { nodes { state } } } } }`, nil).texts("viewer.clinic.partnerKeys.nodes", "state")
	check(t, "states", states, "ACTIVE, REVOKED, EXPIRED, REVOKED")
	grace.isRefused("KEY_ENDED", "rotatePartnerKey", vars{"keyId": revoked.key})
}

func TestARotatedKeyStaysGoodForItsOverlap(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	grace := w.person("Grace Hall", "Front desk").administers()
	old := grace.givesWith(vars{"serviceAccountId": grace.serviceAccount("Lab results"), "name": "Lab", "scopes": []string{"CONTACTS_READ"}, "networks": []string{"192.0.2.0/24", "::1"}})

	rotated := grace.does("rotatePartnerKey", vars{"keyId": old.key, "overlapMinutes": 5}, "secret partnerKey { id name scopes networks }")

	check(t, "like the old one", rotated.text("partnerKey.name")+" "+words(rotated.at("partnerKey.scopes"))+" "+words(rotated.at("partnerKey.networks")), "Lab CONTACTS_READ 192.0.2.0/24 ::1/128")
	for _, token := range []string{old.token, rotated.text("secret")} {
		check(t, "acts as", grace.must(w.asks(grace.at, token, whoAmI, nil)).text("viewer.name"), "Lab results")
	}
}

func TestAKeyHasOneSuccessorAtATime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	grace := w.person("Grace Hall", "Front desk").administers()
	old := grace.gives(grace.serviceAccount("Lab results"), "CONTACTS_READ")
	rotations := make(chan thing, 2)
	for range cap(rotations) {
		go func() {
			rotations <- grace.does("rotatePartnerKey", vars{"keyId": old.key}, "partnerKey { id replaces { id replaces { id } } }")
		}()
	}

	made, refused := <-rotations, <-rotations
	if made.text("partnerKey.id") == "" {
		made, refused = refused, made
	}

	check(t, "the other one", refused.text("userErrors.0.code")+refused.text("partnerKey.id"), "KEY_REPLACED")
	check(t, "it replaces", made.text("partnerKey.replaces.id"), old.key)
	check(t, "which replaced none", made.text("partnerKey.replaces.replaces.id"), "")
	grace.isRefused("KEY_REPLACED", "rotatePartnerKey", vars{"keyId": old.key})
	third := grace.did("rotatePartnerKey", vars{"keyId": made.text("partnerKey.id"), "overlapMinutes": 0}, "partnerKey { id }")
	grace.isRefused("KEY_REPLACED", "rotatePartnerKey", vars{"keyId": old.key}) // the first has ended, but not its own successor
	grace.did("revokePartnerKey", vars{"keyId": third.text("partnerKey.id")}, "")
	second := grace.did("rotatePartnerKey", vars{"keyId": old.key}, "partnerKey { id replaces { id } }")
	check(t, "its successor is another", second.text("partnerKey.replaces.id"), old.key)
	grace.did("revokePartnerKey", vars{"keyId": second.text("partnerKey.id")}, "")
	grace.did("rotatePartnerKey", vars{"keyId": old.key}, "")
}

func TestADeactivatedServiceAccountComesBackWithoutItsKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Grace Hall", "Bob Roy")
	grace, bob := people[0].administers(), people[1]
	account := grace.serviceAccount("Lab results")
	comesIn := func() {
		grace.did("setServiceAccountWaitingRooms", vars{"serviceAccountId": account, "waitingRoomIds": []string{grace.room("Front desk")}}, "")
	}
	comesIn()
	old := grace.gives(account, "CONVERSATIONS_READ", "CONVERSATIONS_WRITE")
	group := bob.group("Case", old.person)
	grace.did("deactivateServiceAccount", vars{"serviceAccountId": account}, "")
	const listed = `query ($all: Boolean!) { viewer { clinic { serviceAccounts(includeDeactivated: $all) { nodes { id isActive } } } } directory { staff { changesCursor } } }`
	check(t, "it is not listed", grace.sees(listed, vars{"all": false}).texts("viewer.clinic.serviceAccounts.nodes", "id"), "")
	gone := grace.sees(listed, vars{"all": true})
	check(t, "but among all", gone.texts("viewer.clinic.serviceAccounts.nodes", "id"), account)
	grace.isRefused("NOT_FOUND", "setServiceAccountWaitingRooms", vars{"serviceAccountId": account, "waitingRoomIds": []string{}})
	taken := grace.isRefused("EMAIL_TAKEN", "createServiceAccount", vars{"name": "Lab", "email": "lab.results@partner.example"})
	check(t, "its address is taken", taken, "A service account with this e-mail address was deactivated: reactivate it instead.")

	back := grace.did("reactivateServiceAccount", vars{"serviceAccountId": account, "clientKey": "back"}, "serviceAccount { id isActive }")

	check(t, "it is back", back.text("serviceAccount.id")+" "+back.text("serviceAccount.isActive"), account+" true")
	check(t, "listed", grace.sees(listed, vars{"all": false}).texts("viewer.clinic.serviceAccounts.nodes", "id"), account)
	changes := grace.sees(`query ($after: Cursor!) { directory { changes(after: $after) { nodes { kind user { name } } } } }`, vars{"after": gone.text("directory.staff.changesCursor")})
	check(t, "to those who keep copies", changes.texts("directory.changes.nodes", "kind"), "ADDED")
	check(t, "its key is not", old.asks(whoAmI, nil).code(), "UNAUTHENTICATED")
	check(t, "in nobody's contacts", bob.finds("lab"), "")
	partner := grace.gives(account, "CONVERSATIONS_READ", "CONVERSATIONS_WRITE")
	partner.sends(group, "The scan is in.")
	check(t, "in its group", bob.looksAt(group, "lastMessage { sender { name } }").text("lastMessage.sender.name"), "Lab results")
	comesIn()
	check(t, "in contacts again", bob.finds("lab"), "Lab results")
	grace.did("reactivateServiceAccount", vars{"serviceAccountId": account}, "")
	check(t, "an account in use stays as it is", partner.sees(whoAmI, nil).text("viewer.name"), "Lab results")
	check(t, "where it is", bob.finds("lab"), "Lab results")
}

func TestAdministratorsSeeWhoAdministers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Grace Hall", "Bob Roy", "Ann Lee")
	grace, _ := people[0].administers(), people[1].administers()
	w.personOf("Hillside", "Zoe Kay", "MA", "Desk").administers()
	const listed = `query ($after: Cursor) { viewer { clinic { administrators(first: 1, after: $after) { nodes { name isActive email } pageInfo { hasNextPage endCursor } } } } }`

	first := grace.sees(listed, nil)
	rest := grace.sees(listed, vars{"after": first.text("viewer.clinic.administrators.pageInfo.endCursor")})

	check(t, "the first", first.texts("viewer.clinic.administrators.nodes", "name")+" "+first.text("viewer.clinic.administrators.pageInfo.hasNextPage"), "Bob Roy true")
	check(t, "the rest", rest.texts("viewer.clinic.administrators.nodes", "name")+" "+rest.text("viewer.clinic.administrators.pageInfo.hasNextPage"), "Grace Hall false")
	delete(w.clinics[home], people[1].email)
	w.importRoster(home)
	gone := grace.sees(listed, nil)
	check(t, "who is deactivated", gone.texts("viewer.clinic.administrators.nodes", "name")+" "+gone.text("viewer.clinic.administrators.nodes.0.isActive"), "Bob Roy false")
}

func TestAKeyIsRefusedWithReason(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	grace := w.person("Grace Hall", "Front desk").administers()
	account := grace.serviceAccount("Lab results")
	grace.isRefused("EMAIL_TAKEN", "createServiceAccount", vars{"name": "Other", "email": "Lab.Results@partner.example"})
	person := grace.isRefused("EMAIL_TAKEN", "createServiceAccount", vars{"name": "Other", "email": grace.email})
	check(t, "says whose it is", person, "This is the address of a person of the clinic: a service account needs one of its own.")
	grace.isRefused("INVALID", "createServiceAccount", vars{"name": " ", "email": "x@partner.example"})
	grace.isRefused("INVALID", "createServiceAccount", vars{"name": "Other", "email": "nobody"})
	for what, change := range map[string]vars{
		"no scopes":         {"scopes": []string{}},
		"no name":           {"name": ""},
		"a long name":       {"name": strings.Repeat("n", 101)},
		"a bad network":     {"networks": []string{"10.0.0.0/33"}},
		"no network":        {"networks": []string{"lakeside.example"}},
		"a zone":            {"networks": []string{"fe80::1%eth0"}},
		"IPv4 in IPv6":      {"networks": []string{"::ffff:10.0.0.0/104"}},
		"too many networks": {"networks": slices.Repeat([]string{"10.0.0.0/8"}, 21)},
		"ended":             {"expiresAt": time.Now().Add(-time.Second).Format(time.RFC3339)},
		"in three years":    {"expiresAt": time.Now().AddDate(3, 0, 0).Format(time.RFC3339)},
	} {
		t.Run(what, func(t *testing.T) {
			input := vars{"serviceAccountId": account, "name": "Lab", "scopes": []string{"CONTACTS_READ"}}
			for name, value := range change {
				input[name] = value
			}
			grace.isRefused("INVALID", "createPartnerKey", input)
		})
	}
}

// TestAKeyIsGoodFromItsNetworksOnly asks as if from elsewhere, directly and through a proxy.
func TestAKeyIsGoodFromItsNetworksOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	grace := w.person("Grace Hall", "Front desk").administers()
	partner := grace.givesWith(vars{"serviceAccountId": grace.serviceAccount("Lab results"), "name": "Lab", "scopes": []string{"CONTACTS_READ"}, "networks": []string{"192.0.2.0/24", "2001:db8::/32"}})
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	handler, err := graph.NewHandler(graph.Options{Chat: grace.at.chat, Door: auth.NewDoor(grace.at.chat, w.key, proxies, slog.New(slog.DiscardHandler)), CursorKey: w.key.Derive("list cursor")})
	if err != nil {
		t.Fatal(err)
	}
	for _, from := range []struct {
		peer, forwarded string
		status          int
	}{
		{"192.0.2.7:1234", "", 200},
		{"[2001:db8::7]:1234", "", 200},
		{"[::ffff:192.0.2.7]:1234", "", 200},
		{"198.51.100.7:1234", "", 401},
		{"198.51.100.7:1234", "192.0.2.7", 401},           // nobody's proxy
		{"10.0.0.1:1234", "", 401},                        // the proxy itself
		{"10.0.0.1:1234", "192.0.2.7", 200},               // a proxy
		{"10.0.0.1:1234", "192.0.2.7, 10.0.0.9", 200},     // two proxies
		{"10.0.0.1:1234", "192.0.2.7, 198.51.100.7", 401}, // somebody who claims to be a proxy
		{"10.0.0.1:1234", "192.0.2.7, nonsense", 401},
	} {
		request := httptest.NewRequest(http.MethodPost, "/graphql", strings.NewReader(`{"query":"{ viewer { name } }"}`))
		request.RemoteAddr = from.peer
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Authorization", "Bearer "+partner.token)
		if from.forwarded != "" {
			request.Header.Set("X-Forwarded-For", from.forwarded)
		}
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, request)
		if answer.Code != from.status {
			t.Errorf("from %s, for %q: %d, not %d", from.peer, from.forwarded, answer.Code, from.status)
		}
	}
}

func TestAKeyInAnAddressIsNone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	grace := w.person("Grace Hall", "Front desk").administers()
	partner := grace.gives(grace.serviceAccount("Lab results"), "CONTACTS_READ")
	for _, name := range []string{"access_token", "key", "token", "authorization", "Authorization"} {
		response, err := http.Get(grace.at.server.URL + "/graphql?query=%7Bviewer%7Bname%7D%7D&" + name + "=" + partner.token)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		check(t, name, response.StatusCode, http.StatusUnauthorized)
	}
}

// TestAServiceAccountTakesPartAsItself follows it through a chat that it was added to.
func TestAServiceAccountTakesPartAsItself(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Grace Hall", "Bob Roy")
	grace, bob := people[0].administers(), people[1]
	account := grace.serviceAccount("Lab results")
	grace.does("setServiceAccountWaitingRooms", vars{"serviceAccountId": account, "waitingRoomIds": []string{grace.room("Front desk")}}, "serviceAccount { id }")
	partner := grace.gives(account, "CONVERSATIONS_READ", "CONVERSATIONS_WRITE")
	check(t, "found", bob.finds("lab"), "Lab results")
	group := bob.group("Case", partner.person)
	stream, heard := bob.follows(), partner.follows()

	partner.sends(group, "The scan is in.")

	check(t, "heard", stream.hears(), "Lab results: The scan is in.")
	check(t, "its own", heard.hears(), "Lab results: The scan is in.")
	last := bob.looksAt(group, "lastMessage { sender { name kind } }")
	check(t, "marked", last.text("lastMessage.sender.kind"), "SERVICE")
	bob.sends(group, "Thank you")
	check(t, "answered", heard.hears(), "Bob Roy: Thank you")
	w.importRoster(home)
	check(t, "the roster leaves it alone", partner.sees(whoAmI, nil).text("viewer.name"), "Lab results")
	check(t, "and where it is", bob.finds("lab"), "Lab results")
	partner.leaves(group)
	grace.does("setServiceAccountWaitingRooms", vars{"serviceAccountId": account, "waitingRoomIds": []string{}}, "serviceAccount { id }")
	check(t, "gone from the contacts", bob.finds("lab"), "")
}

// TestAWriteOnlyKeyReadsNothing sends, and sees what it sent and no more.
func TestAWriteOnlyKeyReadsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Grace Hall", "Bob Roy")
	grace, bob := people[0].administers(), people[1]
	account := grace.serviceAccount("Lab results")
	grace.does("setServiceAccountWaitingRooms", vars{"serviceAccountId": account, "waitingRoomIds": []string{grace.room("Front desk")}}, "serviceAccount { id }")
	writer := grace.gives(account, "CONVERSATIONS_WRITE")
	group := bob.group("Case", writer.person)
	bob.sends(group, "confidential")

	writer.sends(group, "The scan is in.")

	for _, selection := range []string{"conversation { messages(last: 9) { nodes { body } } }", "conversation { lastMessage { body } }", "conversation { ... on GroupConversation { participants { nodes { id } } } }"} {
		answer := writer.asks(`mutation ($input: SendMessageInput!) { sendMessage(input: $input) { message { `+selection+` } } }`,
			vars{"input": vars{"clientKey": newKey(), "conversationId": group, "body": "x"}})
		check(t, selection, answer.code(), "GRAPHQL_VALIDATION_FAILED")
	}
	check(t, "node", writer.asks(`{ node(id: "`+group+`") { id } }`, nil).code(), "GRAPHQL_VALIDATION_FAILED")
	socket := writer.subscribes(writer.token, eventsDocument, nil)
	<-socket.ended
	check(t, "a subscription over a socket", socket.failed.text("extensions.code"), "GRAPHQL_VALIDATION_FAILED")
}

func TestWhoAdministersNoLongerLosesTheirSurfaceOnOpenSockets(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Grace Hall", "Bob Roy")
	grace := people[0].administers()
	stream := grace.follows()

	if err := w.instances[0].chat.SetAdministrator(context.Background(), chat.User{ID: grace.userID}, false); err != nil {
		t.Fatal(err)
	}

	stream.ends()
	check(t, "closed with", int(stream.closed.Code), 1013)
	check(t, "and then", grace.asks(`{ viewer { user { email } } }`, nil).code(), "GRAPHQL_VALIDATION_FAILED")
}

// TestAKeySignsInWhileItsRotationWaits has the clinic locked, as a whole roster locks it for seconds.
func TestAKeySignsInWhileItsRotationWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	grace := w.person("Grace Hall", "Front desk").administers()
	partner := grace.gives(grace.serviceAccount("Lab results"), "CONTACTS_READ")
	db := w.database.Open()
	defer db.Close()
	roster := db.MustBegin()
	roster.MustExec(`SELECT FROM clinics WHERE name = $1 FOR NO KEY UPDATE`, home)
	rotated := make(chan answer, 1)
	go func() {
		rotated <- grace.asks(`mutation { rotatePartnerKey(input: {clientKey: "r", keyId: "`+partner.key+`"}) { secret } }`, nil)
	}()
	w.eventually("the rotation waits", func() bool {
		var waiting int
		if err := db.Get(&waiting, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`); err != nil {
			t.Error(err)
		}
		return waiting > 0
	})

	check(t, "it signs in", partner.sees(whoAmI, nil).text("viewer.name"), "Lab results")

	if err := roster.Rollback(); err != nil {
		t.Fatal(err)
	}
	if got := <-rotated; got.thing().text("rotatePartnerKey.secret") == "" {
		t.Errorf("the rotation failed: %s", got.body)
	}
}
