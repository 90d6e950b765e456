package chat

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"corridor/internal/pgtest"
)

// partnerOf is a partner that may change the roster of a clinic. Any of its people stands for it.
func partnerOf(t testing.TB, s *Service, clinic string) Actor {
	t.Helper()
	partner := Actor{Grant: &Grant{Scopes: []Scope{RosterWrite}}}
	const query = `
		SELECT users.id FROM users JOIN clinics ON clinics.id = clinic_id WHERE clinics.name = $1 ORDER BY users.created_at, users.id LIMIT 1`
	if err := s.db.Get(&partner.User.ID, query, clinic); err != nil {
		t.Fatal(err)
	}
	clinics, err := s.Clinics(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, there := range clinics {
		if there.Name == clinic {
			partner.Clinic = there
		}
	}
	return partner
}

// clinicOf makes a clinic with the people of a roster, in which a line is "Ann: Lab, Desk".
func clinicOf(t testing.TB, s *Service, clinic string, people ...string) Actor {
	t.Helper()
	if _, err := s.ImportRoster(context.Background(), ImportRosterInput{Clinic: clinic, Rows: rowsOf(people...), Progress: quietly}); err != nil {
		t.Fatal(err)
	}
	return partnerOf(t, s, clinic)
}

func rowsOf(people ...string) (rows []RosterRow) {
	for _, person := range people {
		name, rooms, _ := strings.Cut(person, ": ")
		row := RosterRow{Email: strings.ToLower(name) + "@x.example", Name: name, Role: "MA"}
		if rooms != "" {
			row.WaitingRooms = strings.Split(rooms, ", ")
		}
		rows = append(rows, row)
	}
	return rows
}

// whoIsWhere are the active people of a clinic and their rooms.
func whoIsWhere(t testing.TB, s *Service, clinic string) string {
	t.Helper()
	const query = `
		SELECT COALESCE(string_agg(said, '; ' ORDER BY said COLLATE "C"), '') FROM (
			SELECT concat_ws(': ', users.name, string_agg(waiting_rooms.name, ', ' ORDER BY waiting_rooms.name)) AS said
			FROM users JOIN clinics ON clinics.id = clinic_id AND clinics.name = $1
			LEFT JOIN waiting_room_members ON user_id = users.id
			LEFT JOIN waiting_rooms ON waiting_rooms.id = waiting_room_id
			WHERE users.deactivated_at IS NULL GROUP BY users.id) AS people`
	var said string
	if err := s.db.Get(&said, query, clinic); err != nil {
		t.Fatal(err)
	}
	return said
}

func text(given string) *string { return &given }

// said are outcomes in short.
func said(outcomes []RosterOutcome) string {
	words := make([]string, len(outcomes))
	for n, outcome := range outcomes {
		words[n] = string(outcome.Status)
		if outcome.Error != nil {
			words[n] += " " + string(outcome.Error.Code) + " " + strings.Join(outcome.Error.Field, ".")
		}
	}
	return strings.Join(words, "; ")
}

func TestAPieceOfARosterChangesOnlyWhomItNames(t *testing.T) {
	t.Parallel()
	s, _ := newService(t)
	partner := clinicOf(t, s, "Clinic", "Ann: Lab", "Bob: Lab, Desk", "Cy: Desk")
	var bob UserID
	if err := s.db.Get(&bob, `SELECT id FROM users WHERE email = 'bob@x.example'`); err != nil {
		t.Fatal(err)
	}
	rows := []*RosterRowInput{
		{Email: text(" ANN@x.example"), Name: text("Anna"), Active: true},
		{UserID: &bob, Email: text("robert@x.example"), Active: true, WaitingRooms: []string{"X-ray", "Lab", "X-ray"}},
		{Email: text("cy@x.example")},
		{Email: text("dee@x.example"), Name: text("Dee"), Role: text("Physician"), Active: true, WaitingRooms: []string{"Lab"}},
	}

	outcomes, err := s.SyncRoster(t.Context(), partner, SyncRosterInput{ClientKey: "1", Rows: rows})
	if err != nil {
		t.Fatal(err)
	}

	if got, want := said(outcomes), "CHANGED; CHANGED; DEACTIVATED; ADDED"; got != want {
		t.Errorf("it came to %s, want %s", got, want)
	}
	want := "Anna: Lab; Bob: Lab, X-ray; Dee: Lab"
	if got := whoIsWhere(t, s, "Clinic"); got != want {
		t.Errorf("there are %s, want %s", got, want)
	}
	repeated, err := s.SyncRoster(t.Context(), partner, SyncRosterInput{ClientKey: "1", Rows: rows})
	if err != nil || fmt.Sprint(said(repeated), *repeated[3].UserID) != fmt.Sprint(said(outcomes), *outcomes[3].UserID) {
		t.Errorf("the same call came to %s, %v", said(repeated), err)
	}
	again, err := s.SyncRoster(t.Context(), partner, SyncRosterInput{ClientKey: "2", Rows: rows})
	if got, want := said(again), "UNCHANGED; UNCHANGED; UNCHANGED; UNCHANGED"; got != want || err != nil {
		t.Errorf("done again it came to %s, %v", got, err)
	}
	if got := whoIsWhere(t, s, "Clinic"); got != want {
		t.Errorf("then there are %s, want %s", got, want)
	}
	back, err := s.SyncRoster(t.Context(), partner, SyncRosterInput{ClientKey: "3", Rows: []*RosterRowInput{{Email: text("cy@x.example"), Active: true}}})
	if got := said(back); got != "REACTIVATED" || err != nil {
		t.Errorf("Cy's coming back came to %s, %v", got, err)
	}
}

func TestWrongRowsAreRefusedOneByOne(t *testing.T) {
	t.Parallel()
	s, _ := newService(t)
	partner := clinicOf(t, s, "Clinic", "Ann: Lab", "Bob: Lab")
	clinicOf(t, s, "Elsewhere", "Eve: Lab")
	var eve, ann, bob UserID
	for email, id := range map[string]*UserID{"eve@x.example": &eve, "ann@x.example": &ann, "bob@x.example": &bob} {
		if err := s.db.Get(id, `SELECT id FROM users WHERE email = $1`, email); err != nil {
			t.Fatal(err)
		}
	}
	operator, err := s.Operator(t.Context(), "Clinic")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.CreateServiceAccount(t.Context(), operator, CreateServiceAccountInput{Name: "Program", Email: "program@x.example"}); err != nil {
		t.Fatal(err)
	}
	nobody := UserID{newID()}
	new := func(email, name, role string, rooms ...string) *RosterRowInput {
		return &RosterRowInput{Email: &email, Name: &name, Role: &role, Active: true, WaitingRooms: rooms}
	}
	rows := []*RosterRowInput{
		new("not an address", "Dee", "MA"),
		new("dee@x.example", " ", "MA"),
		new("dee@x.example", "Dee", strings.Repeat("r", 101)),
		new("dee@x.example", "Dee", "MA", "Lab", "L\x01ab"),
		{Email: text("dee@x.example"), Name: text("Dee"), Active: true},
		{Email: text("dee@x.example")},
		{UserID: &eve},
		{UserID: &nobody},
		{UserID: &ann, Email: text("bob@x.example"), Active: true},
		{Active: true},
		new("fay@x.example", "Fay", "MA", "Lab"),
		new("FAY@x.example", "Fay again", "MA"),
		new("program@x.example", "Dee", "MA", "Lab"),
		{UserID: &bob, Email: text("program@x.example"), Active: true},
	}

	outcomes, err := s.SyncRoster(t.Context(), partner, SyncRosterInput{ClientKey: "1", Rows: rows})
	if err != nil {
		t.Fatal(err)
	}

	want := "REFUSED INVALID rows.0.email; REFUSED INVALID rows.1.name; REFUSED INVALID rows.2.role; REFUSED INVALID rows.3.waitingRooms; " +
		"REFUSED INVALID rows.4.role; REFUSED NOT_FOUND rows.5.email; REFUSED NOT_FOUND rows.6.userId; REFUSED NOT_FOUND rows.7.userId; " +
		"REFUSED EMAIL_TAKEN rows.8.email; REFUSED INVALID rows.9.email; ADDED; REFUSED INVALID rows.11; " +
		"REFUSED EMAIL_TAKEN rows.12.email; REFUSED EMAIL_TAKEN rows.13.email"
	if got := said(outcomes); got != want {
		t.Errorf("it came to\n%s, want\n%s", got, want)
	}
	if outcomes[6].Error.Message != outcomes[7].Error.Message {
		t.Errorf("somebody elsewhere is told from nobody: %v and %v", outcomes[6].Error, outcomes[7].Error)
	}
	for n, want := range map[int]string{
		8:  "Somebody at the clinic has this e-mail address already.",
		12: "A service account of the clinic has this e-mail address: rosters are of people.",
		13: "A service account of the clinic has this e-mail address: rosters are of people.",
	} {
		if got := outcomes[n].Error.Message; got != want {
			t.Errorf("row %d is told %q, want %q", n, got, want)
		}
	}
	if got, want := whoIsWhere(t, s, "Clinic"), "Ann: Lab; Bob: Lab; Fay: Lab; Program"; got != want {
		t.Errorf("there are %s, want %s", got, want)
	}
	if got, want := whoIsWhere(t, s, "Elsewhere"), "Eve: Lab"; got != want {
		t.Errorf("elsewhere there are %s, want %s", got, want)
	}
	many := make([]*RosterRowInput, MaxRosterRows+1)
	if _, err := s.SyncRoster(t.Context(), partner, SyncRosterInput{ClientKey: "2", Rows: many}); codeOf(err) != CodeInvalid {
		t.Errorf("too many rows came to %v", err)
	}
}

func codeOf(err error) ErrorCode {
	if refused := new(Error); errors.As(err, &refused) {
		return refused.Code
	}
	return ""
}

func TestARosterDoesNotExistWithoutItsScope(t *testing.T) {
	t.Parallel()
	s, _ := newService(t)
	anybody := clinicOf(t, s, "Clinic", "Ann: Lab")
	anybody.Grant = &Grant{Scopes: []Scope{ContactsRead}}
	ctx, counter := pgtest.Count(t.Context())

	_, sync := s.SyncRoster(ctx, anybody, SyncRosterInput{ClientKey: "1"})
	_, start := s.StartRosterSync(ctx, anybody, StartRosterSyncInput{ClientKey: "2"})
	_, add := s.AddRosterRows(ctx, anybody, AddRosterRowsInput{ClientKey: "3"})
	_, finish := s.FinishRosterSync(ctx, anybody, FinishRosterSyncInput{ClientKey: "4"})

	for _, err := range []error{sync, start, add, finish} {
		if codeOf(err) != CodeNotFound {
			t.Errorf("it came to %v", err)
		}
	}
	if n := counter.Statements(); n != 0 {
		t.Errorf("it took %d statements", n)
	}
}

func TestAPieceOfARosterTakesTheSameStatementsWhateverItsSize(t *testing.T) {
	t.Parallel()
	s, _ := newService(t)
	var people []string
	for n := range 400 {
		people = append(people, fmt.Sprintf("Person%d: Room %d", n, n%7))
	}
	partner := clinicOf(t, s, "Clinic", people...)
	piece := func(key string, n int) int {
		t.Helper()
		var rows []*RosterRowInput
		for i := range n {
			rows = append(rows, &RosterRowInput{
				Email: text(fmt.Sprintf("person%d@x.example", i*2)), Name: text("Piece " + key), Role: text("CSR"), Active: i%5 > 0,
				WaitingRooms: []string{fmt.Sprint("New ", key), fmt.Sprint("Room ", i%3)},
			})
		}
		ctx, counter := pgtest.Count(t.Context())
		if _, err := s.SyncRoster(ctx, partner, SyncRosterInput{ClientKey: key, Rows: rows}); err != nil {
			t.Fatal(err)
		}
		return counter.Statements()
	}

	few, many := piece("few", 2), piece("many", 300)

	if few != many {
		t.Errorf("2 rows took %d statements and 300 rows %d", few, many)
	}
}

// sends sends a whole roster in pieces of two rows, and returns what came of the rows.
func sends(t *testing.T, s *Service, partner Actor, key string, rows ...*RosterPersonInput) (RosterSyncID, string) {
	t.Helper()
	id, err := s.StartRosterSync(t.Context(), partner, StartRosterSyncInput{ClientKey: key + " start"})
	if err != nil {
		t.Fatal(err)
	}
	var all []RosterOutcome
	for n := 0; n < len(rows); n += 2 {
		in := AddRosterRowsInput{ClientKey: fmt.Sprint(key, " ", n), SyncID: *id, Rows: rows[n:min(n+2, len(rows))]}
		outcomes, err := s.AddRosterRows(t.Context(), partner, in)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, outcomes...)
	}
	return *id, said(all)
}

func persons(people ...string) (rows []*RosterPersonInput) {
	for _, row := range rowsOf(people...) {
		rows = append(rows, &RosterPersonInput{Email: row.Email, Name: row.Name, Role: row.Role, WaitingRooms: row.WaitingRooms})
	}
	return rows
}

func TestAWholeRosterComesInPieces(t *testing.T) {
	t.Parallel()
	s, _ := newService(t)
	partner := clinicOf(t, s, "Clinic", "Ann: Lab", "Bob: Lab", "Cy: Desk", "Dee: Desk")
	rows := persons("Ann: Lab, X-ray", "Bob: Lab", "Cy: Lab", "Eve: Lab", "Bob: X-ray")
	rows = append(rows, &RosterPersonInput{Email: "dee@x.example", Name: "", Role: "MA"})

	id, got := sends(t, s, partner, "first", rows...)

	if want := "RECEIVED; RECEIVED; RECEIVED; RECEIVED; RECEIVED; REFUSED INVALID rows.1.name"; got != want {
		t.Errorf("it came to %s, want %s", got, want)
	}
	if got, want := whoIsWhere(t, s, "Clinic"), "Ann: Lab; Bob: Lab; Cy: Desk; Dee: Desk"; got != want {
		t.Errorf("before the end there are %s, want %s", got, want)
	}
	finish := FinishRosterSyncInput{ClientKey: "first end", SyncID: id}
	summary, err := s.FinishRosterSync(t.Context(), partner, finish)
	if err != nil || *summary != (RosterSummary{Added: 1, Spared: 1, WaitingRoomsAdded: 1, Joined: 4, Left: 2}) {
		t.Errorf("the end came to %+v, %v", summary, err)
	}
	if got, want := whoIsWhere(t, s, "Clinic"), "Ann: Lab, X-ray; Bob: X-ray; Cy: Lab; Dee: Desk; Eve: Lab"; got != want {
		t.Errorf("then there are %s, want %s", got, want)
	}
	if repeated, err := s.FinishRosterSync(t.Context(), partner, finish); err != nil || *repeated != *summary {
		t.Errorf("the same call came to %+v, %v", repeated, err)
	}
	if _, err := s.FinishRosterSync(t.Context(), partner, FinishRosterSyncInput{ClientKey: "again", SyncID: id}); codeOf(err) != CodeNotFound {
		t.Errorf("finished again it came to %v", err)
	}
}

func TestAWholeRosterThatCanNotBeReadDeactivatesNobody(t *testing.T) {
	t.Parallel()
	s, _ := newService(t)
	partner := clinicOf(t, s, "Clinic", "Ann: Lab", "Bob: Desk")
	rows := append(persons("Ann: Lab, Desk"), &RosterPersonInput{Email: "bob at x.example", Name: "Bob", Role: "MA"})
	id, _ := sends(t, s, partner, "first", rows...)

	summary, err := s.FinishRosterSync(t.Context(), partner, FinishRosterSyncInput{ClientKey: "end", SyncID: id})

	if err != nil || *summary != (RosterSummary{Spared: 1, Joined: 1}) {
		t.Errorf("it came to %+v, %v", summary, err)
	}
	if got, want := whoIsWhere(t, s, "Clinic"), "Ann: Desk, Lab; Bob: Desk"; got != want {
		t.Errorf("there are %s, want %s", got, want)
	}
}

func TestAWholeRosterWithoutMostPeopleIsTakenForAWrongOne(t *testing.T) {
	t.Parallel()
	s, _ := newService(t)
	partner := clinicOf(t, s, "Clinic", "Ann: Lab", "Bob: Lab", "Cy: Lab", "Dee: Lab", "Eve: Lab")
	id, _ := sends(t, s, partner, "first", persons("Ann: Lab")...)

	_, err := s.FinishRosterSync(t.Context(), partner, FinishRosterSyncInput{ClientKey: "end", SyncID: id})

	if codeOf(err) != CodeMassDeactivation {
		t.Errorf("it came to %v", err)
	}
	summary, err := s.FinishRosterSync(t.Context(), partner, FinishRosterSyncInput{ClientKey: "allowed", SyncID: id, AllowDeactivations: true})
	if err != nil || summary.Deactivated != 4 {
		t.Errorf("allowed, it came to %+v, %v", summary, err)
	}
}

func TestAWholeRosterIsOfOneClinicAndReplacesAnother(t *testing.T) {
	t.Parallel()
	s, _ := newService(t)
	partner := clinicOf(t, s, "Clinic", "Ann: Lab", "Bob: Lab")
	stranger := clinicOf(t, s, "Elsewhere", "Eve: Lab")
	old, _ := sends(t, s, partner, "old", persons("Ann: Desk")...)

	id, _ := sends(t, s, partner, "new", persons("Ann: Lab", "Bob: Lab")...)

	for who, in := range map[string]struct {
		actor Actor
		id    RosterSyncID
	}{"replaced": {partner, old}, "of another clinic": {stranger, id}, "nobody's": {partner, RosterSyncID{newID()}}} {
		_, add := s.AddRosterRows(t.Context(), in.actor, AddRosterRowsInput{ClientKey: "add " + who, SyncID: in.id, Rows: persons("Eve: Lab")})
		_, finish := s.FinishRosterSync(t.Context(), in.actor, FinishRosterSyncInput{ClientKey: "finish " + who, SyncID: in.id})
		if codeOf(add) != CodeNotFound || codeOf(finish) != CodeNotFound {
			t.Errorf("a roster that is %s came to %v and %v", who, add, finish)
		}
	}
	if _, err := s.db.Exec(`UPDATE roster_syncs SET created_at = now() - interval '25 hours'`); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.FinishRosterSync(t.Context(), partner, FinishRosterSyncInput{ClientKey: "late", SyncID: id}); codeOf(err) != CodeNotFound {
		t.Errorf("a roster of yesterday came to %v", err)
	}
}

func TestPiecesOfARosterTakeTurns(t *testing.T) {
	t.Parallel()
	s, _ := newService(t)
	partner := clinicOf(t, s, "Clinic", "Ann: Lab")
	var group sync.WaitGroup
	for n := range 8 {
		group.Go(func() {
			rows := []*RosterRowInput{
				{Email: text("new@x.example"), Name: text("New"), Role: text("MA"), Active: true, WaitingRooms: []string{"Desk"}},
				{Email: text("ann@x.example"), Active: true, WaitingRooms: []string{fmt.Sprint("Room ", n)}},
			}
			if _, err := s.SyncRoster(context.Background(), partner, SyncRosterInput{ClientKey: fmt.Sprint(n), Rows: rows}); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	var people, memberships int
	if err := s.db.QueryRow(`SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM waiting_room_members)`).Scan(&people, &memberships); err != nil {
		t.Fatal(err)
	}
	if people != 2 || memberships != 2 {
		t.Errorf("there are %d people in %d places, want 2 in 2", people, memberships)
	}
}
