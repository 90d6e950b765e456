package graph_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"go.jetify.com/typeid"

	"corridor/internal/chat"
)

// S3: putting people into a room is all it takes.
func TestS3PeopleInARoomAreContactsByThemselves(t *testing.T) {
	t.Parallel()
	w := newWorld(t)

	ann := w.person("Ann Lee", "Front desk")
	bob := w.person("Bob Roy", "Front desk")
	w.person("Eve Fox", "Lab")

	check(t, "Ann's contacts", ann.contacts(), "Bob Roy")
	check(t, "Bob's contacts", bob.contacts(), "Ann Lee")
}

func TestS2PatientsAreNobodysContacts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.personOf(home, "Ann Lee", "CSR", "Front desk")
	w.personOf(home, "Bob Roy", "Physician", "Front desk")
	pat := w.personOf(home, "Pat Ill", "Patient", "Front desk")

	contacts := ann.sees(`{ viewer { contacts { nodes { name user { roleLabel kind } } } } }`, nil)

	check(t, "who", contacts.texts("viewer.contacts.nodes", "name"), "Bob Roy")
	check(t, "role", contacts.text("viewer.contacts.nodes.0.user.roleLabel"), "Physician")
	check(t, "kind", contacts.text("viewer.contacts.nodes.0.user.kind"), "PROVIDER")
	check(t, "the patient's contacts", pat.contacts(), "")
	pat.isRefused("NOT_IN_CONTACT_LIST", "startDirectConversation", vars{"userId": ann.id})
	ann.isRefused("NOT_IN_CONTACT_LIST", "startDirectConversation", vars{"userId": pat.id})
}

// S4, E41: over random rooms and clinics the relation is what a naive computation says.
func TestS4E28E41ContactsAreSymmetricAndNeverOneself(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			w, random := newWorld(t), rand.New(rand.NewPCG(seed, seed))
			var people []*person
			for _, clinic := range []string{home, "Hillside"} {
				for i := range 14 {
					role := "MA"
					if random.IntN(6) == 0 {
						role = "Patient"
					}
					var rooms []string
					for room := range 5 {
						if random.IntN(4) == 0 {
							rooms = append(rooms, fmt.Sprint("Room ", room))
						}
					}
					people = append(people, w.enrol(clinic, fmt.Sprintf("Person %02d", i), role, rooms...))
				}
				w.importRoster(clinic)
			}
			// Some change rooms, and some go.
			for _, p := range people {
				switch random.IntN(5) {
				case 0:
					p.rooms = []string{fmt.Sprint("Room ", random.IntN(5))}
				case 1:
					delete(w.clinics[p.clinic], p.email)
				}
			}
			w.importRoster(home)
			w.importRoster("Hillside")
			here := func(p *person) bool { return w.clinics[p.clinic][p.email] != nil }

			for _, p := range people {
				if !here(p) {
					continue
				}
				var naive []string
				for _, other := range people {
					shares := slices.ContainsFunc(p.rooms, func(room string) bool { return slices.Contains(other.rooms, room) })
					if other != p && other.clinic == p.clinic && here(other) && shares && p.role != "Patient" && other.role != "Patient" {
						naive = append(naive, other.name)
					}
				}
				slices.Sort(naive)
				check(t, p.clinic+" "+p.name, p.contacts(), strings.Join(naive, ", "))
			}
		})
	}
}

func TestS5APersonSharingThreeRoomsIsListedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.person("Ann Lee", "Front desk", "Lab", "X-ray")
	w.person("Bob Roy", "Front desk", "Lab", "X-ray", "Pharmacy")

	seen := ann.sees(`{ viewer { contacts { nodes { name sharedWaitingRooms(first: 2) { nodes { name } pageInfo { hasNextPage endCursor } } } } } }`, nil)

	check(t, "who", seen.texts("viewer.contacts.nodes", "name"), "Bob Roy")
	check(t, "rooms", seen.texts("viewer.contacts.nodes.0.sharedWaitingRooms.nodes", "name"), "Front desk, Lab")
	next := ann.sees(`query ($after: Cursor) { viewer { waitingRooms(after: $after) { nodes { name } }
		contacts { nodes { sharedWaitingRooms(after: $after) { nodes { name } } } } } }`,
		vars{"after": seen.text("viewer.contacts.nodes.0.sharedWaitingRooms.pageInfo.endCursor")})
	check(t, "more rooms", next.texts("viewer.contacts.nodes.0.sharedWaitingRooms.nodes", "name"), "X-ray")
	check(t, "more of Ann's rooms", next.texts("viewer.waitingRooms.nodes", "name"), "X-ray")
}

func TestS6TheListOfRoomsTellsWhereTheStreamGoesOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.person("Ann Lee", "Front desk")
	cursor := ann.sees(`{ viewer { waitingRooms { eventCursor } } }`, nil).text("viewer.waitingRooms.eventCursor")

	w.person("Bob Roy", "Front desk")

	check(t, "what came", ann.followsFrom(cursor).hears(), "ContactAdded Bob Roy")
}

func TestS6ComingAndGoingIsHeard(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.person("Ann Lee", "Front desk")
	bob := w.person("Bob Roy", "Lab")
	stream, theirs := ann.follows(), bob.follows()

	bob.moves("Lab", "Front desk")

	check(t, "Ann hears", stream.hears(), "ContactAdded Bob Roy")
	check(t, "Bob hears", theirs.hears(), "ContactListChanged")
	check(t, "Ann sees", ann.contacts(), "Bob Roy")

	bob.name = "Robert Roy"
	bob.moves("Lab", "Front desk", "X-ray")
	check(t, "Ann hears", stream.hears(), "ContactChanged Robert Roy")

	ann.moves("Front desk", "X-ray")
	check(t, "Ann hears of herself", stream.hears(), "ContactListChanged")
	bob.moves("X-ray")
	check(t, "Ann hears", stream.hears(), "ContactChanged Robert Roy")
	bob.moves("Lab")
	if gone := stream.event(); gone.text("__typename") != "ContactRemoved" || gone.text("userId") != bob.id {
		t.Errorf("Ann heard %v, want Bob removed", gone.value)
	}
	check(t, "Ann sees", ann.contacts(), "")
}

func TestS15S16S18S30E39ASearchFindsPiecesOfNamesAndAddresses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.person("Ann Lee", "Front desk")
	for _, name := range []string{"José Müller-Lüdenscheidt", "Søren Kierkegaard", "李 小龍", "Олена Шевченко", "Mary 100% Sure", "Mary Under_Score", `Back\Slash`} {
		w.enrol(home, name, "MA", "Front desk")
	}
	w.enrol(home, "Zoe Far", "MA", "Lab")
	w.importRoster(home)
	for _, search := range []struct{ text, want string }{
		{"jose", "José Müller-Lüdenscheidt"},
		{"MÜLLER", "José Müller-Lüdenscheidt"},
		{"ludenscheidt josé", "José Müller-Lüdenscheidt"},
		{"müller-lüdenscheidt@lake", "José Müller-Lüdenscheidt"},
		{"soren", "Søren Kierkegaard"},
		{"小龍", "李 小龍"},
		{"шевч", "Олена Шевченко"},
		{"%", "Mary 100% Sure"},
		{"r_s", "Mary Under_Score"},
		{`k\s`, `Back\Slash`},
		{"zoe", ""},
		{"nobody of that name", ""},
		{"ann", ""},
		{"   ", `Back\Slash, José Müller-Lüdenscheidt, Mary 100% Sure, Mary Under_Score, Søren Kierkegaard, Олена Шевченко, 李 小龍`},
	} {
		check(t, "New Chat for "+search.text, ann.finds(search.text), search.want)
		found := ann.sees(`query ($search: String!) { viewer { contacts(query: $search) { nodes { name } } } }`, vars{"search": search.text})
		check(t, "contacts for "+search.text, found.texts("viewer.contacts.nodes", "name"), search.want)
	}
	long := ann.asks(`query ($search: String!) { viewer { contacts(query: $search) { nodes { name } } } }`, vars{"search": strings.Repeat("x", 101)})
	check(t, "too long a search", long.code(), "INVALID")
}

func TestS13S16ListsOfContactsGoOnByCursor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.person("Ann Lee", "Front desk")
	for i := range 25 {
		w.enrol(home, fmt.Sprintf("Person %02d", i), "MA", "Front desk")
	}
	w.importRoster(home)
	var names []string
	after := any(nil)
	for range 4 {
		page := ann.sees(`query ($after: Cursor) { viewer { contacts(first: 10, after: $after) { edges { cursor node { name } } pageInfo { hasNextPage endCursor } } } }`, vars{"after": after})
		for _, edge := range page.list("viewer.contacts.edges") {
			names = append(names, edge.text("node.name"))
		}
		if !page.yes("viewer.contacts.pageInfo.hasNextPage") {
			break
		}
		after = page.text("viewer.contacts.pageInfo.endCursor")
	}
	if len(names) != 25 || !slices.IsSorted(names) || len(slices.Compact(names)) != 25 {
		t.Errorf("the pages held %v", names)
	}
	for _, first := range []int{-1, 101} {
		refused := ann.asks(`query ($first: Int!) { viewer { contacts(first: $first) { nodes { name } } } }`, vars{"first": first})
		check(t, fmt.Sprint("a page of ", first), refused.code(), "INVALID")
		if first > 0 && !strings.Contains(refused.Errors[0].Message, "100") {
			t.Errorf("the sentence does not name the limit: %s", refused.Errors[0].Message)
		}
	}
	for what, cursor := range map[string]string{
		"a broken cursor":                 "nonsense",
		"the cursor of an other person's": w.person("Bob Roy", "Front desk").cursors(vars{"first": 1})[0],
		"a cursor that is not sealed":     chat.Cursor([]string{"ann lee\nann@home.example", uuid.NewString()}),
	} {
		refused := ann.asks(`query ($after: Cursor) { viewer { contacts(after: $after) { nodes { name } } } }`, vars{"after": cursor})
		check(t, what, refused.code(), "CURSOR_INVALID")
	}
}

// Cursors end up in addresses and logs, where no name may be.
func TestACursorTellsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.person("Ann Lee", "Front desk")
	w.person("Bob Roy", "Front desk")

	first := ann.cursors(vars{"first": 5})

	if len(first) != 2 || !slices.Equal(first, ann.cursors(vars{"first": 5})) {
		t.Errorf("the cursors of one place are not the same: %v", first)
	}
	for _, cursor := range first {
		written, err := base64.RawURLEncoding.DecodeString(cursor)
		if err != nil {
			t.Errorf("%q is no cursor: %v", cursor, err)
		}
		for i := range written { // what is written in it may be written in that way again
			inner, _ := base64.RawURLEncoding.DecodeString(string(written[i:]))
			if bytes.Contains(bytes.ToLower(append(inner, written...)), []byte("bob")) {
				t.Errorf("the cursor holds %q", inner)
			}
		}
	}
}

// cursors are those of the contacts and of the chat targets.
func (p *person) cursors(variables vars) []string {
	p.world.t.Helper()
	seen := p.sees(`query ($first: Int!) { viewer { contacts(first: $first) { pageInfo { endCursor } } chatTargets(query: "", first: $first) { pageInfo { endCursor } } } }`, variables)
	return []string{seen.text("viewer.contacts.pageInfo.endCursor"), seen.text("viewer.chatTargets.pageInfo.endCursor")}
}

// S17: somebody outside the contact list and somebody who does not exist can't be told apart.
func TestS17OutsidersAndNobodyAreTheSame(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.person("Ann Lee", "Front desk")
	bob := w.person("Bob Roy", "Front desk")
	eve := w.person("Eve Fox", "Lab")
	stranger := w.personOf("Hillside", "Ian Far", "MA", "Front desk")
	group := ann.group("Case", bob)
	nobody := typeid.Must(typeid.FromUUIDWithPrefix("user", uuid.Must(uuid.NewV7()).String())).String()
	for _, act := range []string{"startDirectConversation", "createGroup", "addParticipants", "removeParticipant", "transferOwnership"} {
		answers := map[string]bool{}
		for _, id := range []string{eve.id, stranger.id, nobody, "garbage"} {
			input := map[string]vars{
				"startDirectConversation": {"userId": id},
				"createGroup":             {"name": "Try", "userIds": []string{bob.id, id}},
				"addParticipants":         {"conversationId": group, "userIds": []string{id}},
				"removeParticipant":       {"conversationId": group, "userId": id},
				"transferOwnership":       {"conversationId": group, "userId": id},
			}[act]
			selection := ""
			if act == "addParticipants" {
				selection = "outcomes { outcome }"
			}
			answers[fmt.Sprint(ann.does(act, input, selection).value)] = true
		}
		if len(answers) != 1 {
			t.Errorf("%s tells outsiders apart: %v", act, answers)
		}
	}
	check(t, "a node outside", ann.sees(`query ($id: ID!) { node(id: $id) { id } }`, vars{"id": eve.id}).text("node"), "")
}

func TestS19S22GroupsAreFoundByNameByThoseWhoWereInThem(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Ann Lee", "Bob Roy", "Cy Fall")
	ann, bob, cy := people[0], people[1], people[2]
	ann.group("Fall clinic", bob)

	check(t, "Ann finds", ann.finds("fall"), "Cy Fall, Fall clinic")
	check(t, "Bob finds", bob.finds("FALL"), "Cy Fall, Fall clinic")
	check(t, "Cy finds", cy.finds("fall"), "")

	kinds := ann.sees(`{ viewer { chatTargets(query: "fall") { nodes { __typename } } } }`, nil)
	check(t, "kinds", kinds.texts("viewer.chatTargets.nodes", "__typename"), "Contact, GroupConversation")
	first := ann.sees(`{ viewer { chatTargets(query: "fall", first: 1) { nodes { __typename } pageInfo { hasNextPage endCursor } } } }`, nil)
	second := ann.sees(`query ($after: Cursor) { viewer { chatTargets(query: "fall", first: 1, after: $after) { nodes { __typename } pageInfo { hasNextPage } } } }`,
		vars{"after": first.text("viewer.chatTargets.pageInfo.endCursor")})
	if !first.yes("viewer.chatTargets.pageInfo.hasNextPage") || second.yes("viewer.chatTargets.pageInfo.hasNextPage") {
		t.Error("the pages do not know where they end")
	}
	check(t, "second page", second.texts("viewer.chatTargets.nodes", "__typename"), "GroupConversation")
}

func TestE40AClosedWaitingRoomMakesNoContacts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.person("Ann Lee", "Front desk")
	bob := w.person("Bob Roy", "Front desk")
	conversation := ann.direct(bob)
	ann.sends(conversation, "hello")
	db := w.database.Open()
	if _, err := db.ExecContext(context.Background(), `UPDATE waiting_rooms SET deactivated_at = now()`); err != nil {
		t.Fatal(err)
	}

	check(t, "contacts", ann.contacts(), "")
	check(t, "rooms", ann.sees(`{ viewer { waitingRooms { nodes { name } } } }`, nil).texts("viewer.waitingRooms.nodes", "name"), "")
	ann.sends(conversation, "the thread goes on")
}

func TestE45AvailabilityIsShownAndKeepsNothingBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Ann Lee", "Bob Roy")
	ann, bob := people[0], people[1]
	available := func() bool {
		return ann.sees(`{ viewer { contacts { nodes { user { isAvailable } } } } }`, nil).yes("viewer.contacts.nodes.0.user.isAvailable")
	}
	if available() {
		t.Error("Bob is available without a stream")
	}
	ann.sends(ann.direct(bob), "whenever you read this")

	bob.follows()

	if !available() {
		t.Error("Bob follows and is not available")
	}
}

func TestE39SearchingWithoutPauseIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Ann Lee", "Bob Roy")
	ann, bob := people[0], people[1]
	search := func(p *person) string {
		return p.asks(`{ viewer { contacts(query: "a") { nodes { name } } chatTargets(query: "b") { nodes { __typename } } } }`, nil).code()
	}
	refused := ""
	for range 200 {
		if refused = search(ann); refused != "" {
			break
		}
	}

	check(t, "Ann", refused, "RATE_LIMITED")
	check(t, "Bob", search(bob), "")
	check(t, "lists go on", ann.contacts(), "Bob Roy")
}

func TestS6S28EveryListHasTheCursorOfItsSnapshot(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Ann Lee", "Bob Roy")
	ann, bob := people[0], people[1]
	group := ann.group("Case", bob)
	ann.sends(group, "before")
	lists := bob.sees(`query ($id: ID!) { viewer { contacts { eventCursor } conversations { eventCursor } }
		node(id: $id) { ... on GroupConversation { messages { eventCursor } participants { eventCursor } } } }`, vars{"id": group})
	ann.sends(group, "after")
	for _, path := range []string{"viewer.contacts", "viewer.conversations", "node.messages", "node.participants"} {
		stream := bob.followsFrom(lists.text(path + ".eventCursor"))
		check(t, path, stream.hears(), "Ann Lee: after")
		stream.drops()
	}
}

// What is below a union is told of with all of its path.
func TestErrorsOfChatTargetsNameTheirPlace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Ann Lee", "Bob Roy")
	people[0].group("Case", people[1])
	const wrong = `{ ... on GroupConversation { messages(first: 1, before: "nonsense") { nodes { id } } } }`
	for query, path := range map[string]string{
		`{ viewer { chatTargets { nodes ` + wrong + ` } } }`:            `["viewer","chatTargets","nodes",1,"messages"]`,
		`{ viewer { chatTargets { edges { node ` + wrong + ` } } } }`:   `["viewer","chatTargets","edges",1,"node","messages"]`,
		`{ viewer { conversations { nodes ` + wrong + ` } } }`:          `["viewer","conversations","nodes",0,"messages"]`,
		`{ viewer { all: chatTargets { them: nodes ` + wrong + ` } } }`: `["viewer","all","them",1,"messages"]`,
	} {
		if answer := people[0].asks(query, nil); !strings.Contains(answer.body, `"path":`+path) {
			t.Errorf("%s: %s", query, answer.body)
		}
	}
}
