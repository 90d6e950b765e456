package graph_test

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"
	"github.com/vektah/gqlparser/v2/ast"

	"corridor/graph/generated"
	"corridor/internal/chat"
)

// sent counts the events that an instance has sent, together with others or alone.
func (i *instance) sent(t *testing.T) (together, alone int) {
	t.Helper()
	families, err := i.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == "corridor_events_sent_total" {
			for _, metric := range family.GetMetric() {
				if metric.GetLabel()[0].GetValue() == "together" {
					together = int(metric.GetCounter().GetValue())
				} else {
					alone = int(metric.GetCounter().GetValue())
				}
			}
		}
	}
	return together, alone
}

const whatIsShown = `subscription ($after: Cursor) { events(after: $after) { __typename cursor ... on MessageAdded {
	message { id seq cursor text sentAt clientKey sender { name isViewer isAvailable } files { name } } notify { popup sound }
	conversation { id lastActivityAt viewerCanSend viewerSettings { isMuted } lastMessage { text sender { name isViewer } }
		... on GroupConversation { name participantCount viewerCanAddParticipants viewerCannot(action: DELETE) { code } } } } } }`

func TestAMessageIsWrittenOnceForAllWhoAreShownTheSame(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Olga", "Sam", "Mia", "A", "B", "C", "D", "E", "F", "G")
	olga, sam, mia := people[0], people[1], people[2]
	group := olga.group("Case", people[1:]...)
	mia.mutes(group)
	streams := map[*person]*stream{}
	for _, p := range people {
		streams[p] = p.subscribes(p.token, whatIsShown, nil)
		streams[p].next("events")
	}
	_, before := w.instances[0].sent(t)

	sam.sends(group, "the scan is in")

	heard := map[*person]thing{}
	for _, p := range people {
		heard[p] = streams[p].event()
		check(t, p.name+" hears", heard[p].text("message.text"), "the scan is in")
		check(t, p.name+" is called", heard[p].yes("notify.popup"), p != sam && p != mia)
		check(t, p.name+" has it muted", heard[p].yes("conversation.viewerSettings.isMuted"), p == mia)
		check(t, p.name+" is the sender", heard[p].yes("message.sender.isViewer"), p == sam)
		check(t, p.name+" knows the key it was sent with", heard[p].text("message.clientKey") != "", p == sam)
		check(t, p.name+" may not delete the group", heard[p].text("conversation.viewerCannot.code") != "", p != olga)
		check(t, p.name+" sees how many there are", heard[p].number("conversation.participantCount"), len(people))
		check(t, p.name+" sees it in the list", heard[p].text("conversation.lastMessage.text"), "the scan is in")
	}
	together, alone := w.instances[0].sent(t)
	check(t, "events that were resolved: for Olga, Sam, Mia and one of the others", alone-before, 4)
	check(t, "events that others had got already", together, len(people)-4)
	for i, p := range people {
		// The cursor in what is shared is everybody's own.
		streams[p].drops()
		if from := p.followsFrom(heard[p].text("cursor")); from.cursor == "" {
			t.Errorf("%s can't go on", p.name)
		}
		other := people[(i+1)%len(people)]
		strangers := other.subscribes(other.token, whatIsShown, vars{"after": heard[p].text("cursor")})
		<-strangers.ended
		check(t, "what "+other.name+" gets for the cursor of "+p.name, strangers.failed.text("extensions.code"), "CURSOR_INVALID")
	}
}

// What is shared is compared, for every field that an event of a message leads to, and for readers of all sorts, with what each gets
// alone: nobody may see more of it than that, nor anything else.
func TestNothingLeaksIntoWhatIsShared(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.decides(func(p *chat.Policy) { p.ManageParticipants, p.RenameGroup = chat.OwnerOnly, chat.OwnerOnly })
	people := w.people("Front desk", "Olga", "Sam", "Mia", "Arno", "Rea", "Una", "Zoe", "Yan")
	olga, sam, mia, arno, rea, una := people[0], people[1], people[2], people[3], people[4], people[5]
	late := w.person("Late", "Lab")
	late.moves("Lab", "Front desk")
	group := olga.group("Case", people[1:]...)
	sam.sends(group, "before")
	mia.mutes(group)
	olga.removes(group, rea)
	sam.sends(group, "without Rea")
	olga.adds(group, rea, late)
	una.reads(group)
	late.moves("Lab") // and shares no room with the others any more
	readers := append(slices.Clone(people), late)

	fields := fieldsOf(t, "MessageAdded", 4)
	if len(fields) < 60 {
		t.Fatalf("there are only %d fields: %v", len(fields), fields)
	}
	sharing := 0
	for part := range slices.Chunk(fields, 40) {
		heard := map[*person]*listener{}
		for _, p := range readers {
			// All fields, with one that nobody can share, and each field for itself.
			var all strings.Builder
			documents := map[string]string{}
			for i, field := range part {
				fmt.Fprintf(&all, "f%d: %s\n", i, field)
				documents[fmt.Sprint("f", i)] = eventOf("f0: " + field)
			}
			documents["alone"] = eventOf(all.String() + " personal: message { conversation { name: __typename } }")
			heard[p] = p.listens(documents)
		}
		arno.archives(group)
		before, _ := w.instances[0].sent(t)

		sam.sends(group, "the scan is in")

		for _, p := range readers {
			alone := heard[p].hears("alone")
			for i, field := range part {
				got, want := heard[p].hears(fmt.Sprint("f", i)).at("f0").value, alone.at(fmt.Sprint("f", i)).value
				if !reflect.DeepEqual(got, want) {
					t.Errorf("%s is shown %v as %s, and alone %v", p.name, got, field, want)
				}
			}
			heard[p].conn.CloseNow()
		}
		after, _ := w.instances[0].sent(t)
		sharing += after - before
	}
	// Many fields are shared, or nothing was tried.
	if sharing < 100 {
		t.Errorf("only %d events were shared", sharing)
	}
}

func eventOf(selection string) string {
	return "subscription { events { __typename ... on MessageAdded { " + selection + " } } }"
}

// fieldsOf are all fields that a type leads to, so deep at most, each as a selection of it alone. Cursors of events are left out: two of
// one reader may differ.
func fieldsOf(t *testing.T, name string, depth int) (fields []string) {
	t.Helper()
	schema := generated.NewExecutableSchema(generated.Config{}).Schema()
	var walk func(definition *ast.Definition, depth int) []string
	walk = func(definition *ast.Definition, depth int) (found []string) {
		if definition.IsAbstractType() {
			for _, possible := range schema.GetPossibleTypes(definition) {
				if possible.Name != "DirectConversation" { // which has no more than one who hears
					for _, selection := range walk(possible, depth) {
						found = append(found, "... on "+possible.Name+" { "+selection+" }")
					}
				}
			}
			return found
		}
		for _, field := range definition.Fields {
			call := field.Name
			for _, argument := range field.Arguments {
				switch {
				case argument.Name == "first" || argument.Name == "last" && field.Arguments.ForName("first") == nil:
					call += "(" + argument.Name + ": 3)"
				case argument.Type.NonNull && argument.DefaultValue == nil:
					call += "(" + argument.Name + ": " + schema.Types[argument.Type.Name()].EnumValues[0].Name + ")"
				}
			}
			of := schema.Types[field.Type.Name()]
			switch {
			case strings.HasPrefix(call, "__") || isForProgramsOnly(field):
			case field.Type.Name() == "Cursor" && (definition.Name == name || field.Name == "eventCursor"): // of one moment
			case of.IsLeafType():
				found = append(found, call)
			case depth > 1:
				for _, selection := range walk(of, depth-1) {
					found = append(found, call+" { "+selection+" }")
				}
			}
		}
		return found
	}
	return walk(schema.Types[name], depth)
}

func isForProgramsOnly(field *ast.FieldDefinition) bool {
	access := field.Directives.ForName("access")
	return access != nil && access.Arguments.ForName("people") == nil
}

// A listener has many subscriptions on one socket.
type listener struct {
	person *person
	conn   *websocket.Conn
	heard  map[string]thing
}

func (p *person) listens(documents map[string]string) *listener {
	p.world.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, p.at.server.URL+"/graphql", &websocket.DialOptions{Subprotocols: []string{"graphql-transport-ws"}})
	if err != nil {
		p.world.t.Fatal(err)
	}
	conn.SetReadLimit(1 << 20)
	l := &listener{person: p, conn: conn, heard: map[string]thing{}}
	p.world.t.Cleanup(func() { conn.CloseNow() })
	l.says(vars{"type": "connection_init", "payload": vars{"Authorization": "Bearer " + p.token}})
	for id, document := range documents {
		l.says(vars{"type": "subscribe", "id": id, "payload": vars{"query": document}})
	}
	// Each begins with a sign of life.
	for begun := map[string]bool{}; len(begun) < len(documents); {
		id, event := l.read()
		if event.text("__typename") == "Heartbeat" {
			begun[id] = true
		}
	}
	return l
}

func (l *listener) says(message vars) {
	l.person.world.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := wsjson.Write(ctx, l.conn, message); err != nil {
		l.person.world.t.Fatal(err)
	}
}

func (l *listener) read() (id string, event thing) {
	l.person.world.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		var message struct {
			ID, Type string
			Payload  json.RawMessage
		}
		if err := wsjson.Read(ctx, l.conn, &message); err != nil {
			l.person.world.t.Fatalf("%s hears no more: %v", l.person.name, err)
		}
		var payload any
		_ = json.Unmarshal(message.Payload, &payload)
		switch message.Type {
		case "next":
			return message.ID, thing{payload}.at("data.events")
		case "ping":
			l.says(vars{"type": "pong"})
		case "error", "complete":
			l.person.world.t.Fatalf("%s's %s is over: %v", l.person.name, message.ID, payload)
		}
	}
}

// hears is the message that came by one of the subscriptions.
func (l *listener) hears(wanted string) thing {
	l.person.world.t.Helper()
	for {
		if event, ok := l.heard[wanted]; ok {
			return event
		}
		if id, event := l.read(); event.text("__typename") == "MessageAdded" {
			l.heard[id] = event
		}
	}
}

const asTheyLike = `subscription ($whole: Boolean!) { ...Stream } fragment Stream on Subscription { events { __typename ... on MessageAdded {
	message { id text @include(if: $whole) } } } }`

func TestWhatIsSharedHasWhatTheVariablesOfEachAskFor(t *testing.T) {
	t.Parallel()
	for name, document := range map[string]string{
		"a fragment": asTheyLike,
		"an inline fragment": `subscription ($whole: Boolean!) { ... on Subscription { events { __typename ... on MessageAdded {
			message { id text @include(if: $whole) } } } } }`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			people := w.people("Front desk", "Olga", "Sam", "A", "B", "C", "D")
			group := people[0].group("Case", people[1:]...)
			streams := map[*person]*stream{}
			for i, p := range people[2:] {
				streams[p] = p.subscribes(p.token, document, vars{"whole": i%2 == 0})
				streams[p].next("events")
			}

			people[1].sends(group, "the scan is in")

			for i, p := range people[2:] {
				message := streams[p].event().at("message").value.(map[string]any)
				_, has := message["text"]
				check(t, p.name+" is shown the text", has, i%2 == 0)
			}
		})
	}
}
