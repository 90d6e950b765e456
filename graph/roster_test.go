package graph_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"corridor/internal/chat"
)

// rosterKey is a partner that keeps the roster of the home clinic.
func (w *world) rosterKey(administrator *person) *partner {
	w.t.Helper()
	return administrator.administers().gives(administrator.serviceAccount("Human resources"), "ROSTER_WRITE")
}

// statuses are what came of rows, in short.
func statuses(payload thing) string {
	var said []string
	for _, outcome := range payload.list("outcomes") {
		status := outcome.text("status")
		if code := outcome.text("error.code"); code != "" {
			status += " " + code + " " + strings.ReplaceAll(words(outcome.at("error.field")), " ", ".")
		}
		said = append(said, status)
	}
	return strings.Join(said, ", ")
}

const outcomesOf = "outcomes { index status userId error { code message field } }"

func TestWhatAPartnerSyncsPeopleSeeAndHear(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob := w.person("Ann Lee", "Desk"), w.person("Bob Roy", "Desk")
	partner := w.rosterKey(ann)
	stream := ann.follows()
	rows := []vars{
		{"email": "cy.day@lakeside.example", "name": "Cy Day", "role": "MA", "waitingRooms": []string{"Desk"}},
		{"userId": bob.id, "name": "Robert Roy"},
		{"email": "nobody", "name": "Nobody", "role": "MA"},
		{"userId": "user_00000000000000000000000000", "active": false},
	}
	input := vars{"clientKey": "monday", "rows": rows}

	synced := partner.did("syncRoster", input, outcomesOf)

	check(t, "came of it", statuses(synced), "ADDED, CHANGED, REFUSED INVALID rows.2.email, REFUSED NOT_FOUND rows.3.userId")
	check(t, "Bob is Bob", synced.text("outcomes.1.userId"), bob.id)
	check(t, "Ann's contacts", ann.contacts(), "Cy Day, Robert Roy")
	heard := map[string]bool{stream.hears(): true, stream.hears(): true}
	check(t, "Ann hears", fmt.Sprint(heard), "map[ContactAdded Cy Day:true ContactChanged Robert Roy:true]")
	again := partner.did("syncRoster", input, outcomesOf)
	check(t, "the same call", statuses(again)+again.text("outcomes.0.userId"), statuses(synced)+synced.text("outcomes.0.userId"))
	input["clientKey"] = "tuesday"
	check(t, "done again", statuses(partner.did("syncRoster", input, outcomesOf)), "UNCHANGED, UNCHANGED, REFUSED INVALID rows.2.email, REFUSED NOT_FOUND rows.3.userId")
	input["rows"] = rows[:1]
	partner.isRefused("CLIENT_KEY_CONFLICT", "syncRoster", input)
	theirs := bob.follows()
	check(t, "an administrator may too", statuses(ann.did("syncRoster", vars{"rows": []vars{{"userId": bob.id, "active": false}}}, outcomesOf)), "DEACTIVATED")
	check(t, "Ann's contacts then", ann.contacts(), "Cy Day")
	theirs.ends()
}

func TestAPartnerSendsAWholeRosterInPieces(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.person("Ann Lee", "Desk")
	w.person("Bob Roy", "Desk")
	w.personOf("Hillside", "Zoe Kay", "MA", "Desk")
	partner, stranger := w.rosterKey(ann), w.rosterKey(w.personOf("Hillside", "Yan Poe", "MA", "Desk"))
	row := func(p *person) vars {
		return vars{"email": p.email, "name": p.name, "role": p.role, "waitingRooms": p.rooms}
	}
	id := partner.does("startRosterSync", vars{}, "syncId").text("syncId")

	first := partner.does("addRosterRows", vars{"syncId": id, "rows": []vars{row(ann)}}, outcomesOf)
	second := partner.did("addRosterRows", vars{"syncId": id, "rows": []vars{{"email": "dee@lakeside.example", "name": "Dee Fox", "role": "MA", "waitingRooms": []string{"Desk"}}, {"email": "eve@lakeside.example", "name": " ", "role": "MA", "waitingRooms": []string{}}}}, outcomesOf)

	check(t, "first", statuses(first), "RECEIVED")
	check(t, "second", statuses(second), "RECEIVED, REFUSED INVALID rows.1.name")
	check(t, "nothing is done yet", ann.contacts(), "Bob Roy")
	check(t, "another clinic's", stranger.isRefused("NOT_FOUND", "finishRosterSync", vars{"syncId": id}), stranger.isRefused("NOT_FOUND", "finishRosterSync", vars{"syncId": "roster_sync_00000000000000000000000000"}))
	stranger.isRefused("NOT_FOUND", "addRosterRows", vars{"syncId": id, "rows": []vars{row(ann)}})
	summary := partner.does("finishRosterSync", vars{"syncId": id}, "summary { added changed reactivated deactivated spared waitingRoomsAdded waitingRoomsClosed joined left }")
	check(t, "came of it", summary.text("summary.added")+summary.text("summary.deactivated")+summary.text("summary.joined")+summary.text("summary.left"), "1111")
	check(t, "Ann's contacts", ann.contacts(), "Dee Fox")
	partner.isRefused("NOT_FOUND", "finishRosterSync", vars{"syncId": id})
	check(t, "the service account stays", partner.sees(whoAmI, nil).text("viewer.name"), "Human resources")

	id = partner.does("startRosterSync", vars{}, "syncId").text("syncId")
	partner.isRefused("MASS_DEACTIVATION", "finishRosterSync", vars{"syncId": id, "allowDeactivations": false})
}

func TestFiveHundredRowsFitIntoOneCall(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	partner := w.rosterKey(w.person("Ann Lee", "Desk"))
	var rows []vars
	for n := range 500 {
		rows = append(rows, vars{
			"email": fmt.Sprintf("firstname.lastname.%03d@department.hospital.example", n), "name": fmt.Sprintf("Firstname Middlename Lastname %03d", n),
			"role": "Certified medical assistant", "waitingRooms": []string{"Front desk", "Radiology waiting room", fmt.Sprintf("Room %d", n%20)},
		})
	}

	synced := partner.does("syncRoster", vars{"rows": rows}, outcomesOf)

	check(t, "came of it", strings.Count(statuses(synced), "ADDED"), 500)
	partner.isRefused("INVALID", "syncRoster", vars{"rows": append(rows, vars{"email": "x@x.example"})})
}

func TestWhoIsInARoomHearsThatItIsCalledOtherwise(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.person("Ann Lee", "Desk")
	stranger := w.person("Bob Roy", "Lab")
	stream, theirs := ann.follows(), stranger.follows()
	operator, err := w.instances[0].chat.Operator(context.Background(), home)
	if err != nil {
		t.Fatal(err)
	}
	rooms, _, err := w.instances[0].chat.RosterRooms(context.Background(), operator, chat.RosterFilter{By: chat.RosterName, Value: "Desk"}, chat.RosterWindow{Count: 1}, nil)
	if err != nil {
		t.Fatal(err)
	}
	name := "Front desk"

	if err := w.instances[0].chat.ChangeRosterRoom(context.Background(), operator, rooms[0].ID, chat.RosterRoomChange{Name: &name}); err != nil {
		t.Fatal(err)
	}

	check(t, "Ann hears", stream.hears(), "ContactListChanged")
	check(t, "it is called", ann.sees(`{ viewer { waitingRooms { nodes { name } } } }`, nil).texts("viewer.waitingRooms.nodes", "name"), "Front desk")
	w.person("Cy Day", "Lab", "Front desk")
	check(t, "Bob hears of it", theirs.hears(), "ContactAdded Cy Day")
}
