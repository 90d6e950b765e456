package chat

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"corridor/internal/pgtest"
	"corridor/internal/postgres"
	"corridor/migrations"
)

// pairsAt are the contacts and the rooms they share at a directory seq, as the history tells them.
const pairsAt = `
	WITH present AS (
		SELECT waiting_room_id, user_id FROM waiting_room_members WHERE search IS NOT NULL AND joined_seq <= $1
		UNION ALL
		SELECT waiting_room_id, user_id FROM former_waiting_room_members WHERE joined_seq <= $1 AND left_seq > $1
	)
	SELECT mine.email || ' ' || theirs.email || ' ' || waiting_rooms.name
	FROM present AS here JOIN present AS there USING (waiting_room_id)
	JOIN users AS mine ON mine.id = here.user_id JOIN users AS theirs ON theirs.id = there.user_id
	JOIN waiting_rooms ON waiting_rooms.id = waiting_room_id
	WHERE here.user_id <> there.user_id
	ORDER BY 1`

// pairsNow are the same as the chat tells them.
const pairsNow = `
	SELECT mine.email || ' ' || theirs.email || ' ' || waiting_rooms.name
	FROM users AS mine CROSS JOIN LATERAL (
		SELECT theirs.user_id, theirs.waiting_room_id
		FROM waiting_room_members AS own
		JOIN waiting_rooms ON waiting_rooms.id = own.waiting_room_id AND waiting_rooms.deactivated_at IS NULL
		JOIN waiting_room_members AS theirs ON theirs.waiting_room_id = own.waiting_room_id AND theirs.search IS NOT NULL
		WHERE own.user_id = mine.id AND own.search IS NOT NULL AND theirs.user_id <> mine.id) AS found
	JOIN users AS theirs ON theirs.id = found.user_id
	JOIN waiting_rooms ON waiting_rooms.id = found.waiting_room_id
	ORDER BY 1`

// directoryState is a directory at one seq: the contacts, and what is said of each person.
type directoryState struct {
	seq    int64
	pairs  []string
	people map[string]string
}

func stateOf(t *testing.T, db *sqlx.DB) (state directoryState) {
	t.Helper()
	if err := db.Get(&state.seq, `SELECT head FROM streams JOIN clinics ON clinics.stream = number WHERE clinics.name = 'Clinic'`); err != nil {
		t.Fatal(err)
	}
	if err := db.Select(&state.pairs, pairsNow); err != nil {
		t.Fatal(err)
	}
	const query = `
		SELECT email, concat_ws(' ', users.name, role_label, kind, users.deactivated_at IS NULL, (
			SELECT string_agg(waiting_rooms.name, ',' ORDER BY waiting_rooms.name) FROM waiting_room_members
			JOIN waiting_rooms ON waiting_rooms.id = waiting_room_id WHERE user_id = users.id)) AS said
		FROM users`
	var people []struct{ Email, Said string }
	if err := db.Select(&people, query); err != nil {
		t.Fatal(err)
	}
	state.people = map[string]string{}
	for _, person := range people {
		state.people[person.Email] = person.Said
	}
	return state
}

func randomRoster(random *rand.Rand) (rows []RosterRow) {
	roles := []string{"MA", "Physician", "Patient"}
	for person := range 8 {
		if random.IntN(4) == 0 {
			continue
		}
		row := RosterRow{
			Email: fmt.Sprintf("p%d@x.example", person), Role: roles[min(random.IntN(5), 2)],
			Name: fmt.Sprint("Person ", random.IntN(2)),
		}
		for room := range 4 {
			if random.IntN(3) == 0 {
				row.WaitingRooms = append(row.WaitingRooms, fmt.Sprint("Room ", room))
			}
		}
		rows = append(rows, row)
	}
	return rows
}

// pieceOf is what a partner may send of a roster.
func pieceOf(rows []RosterRow, random *rand.Rand) (piece []*RosterRowInput) {
	for _, row := range rows {
		given := &RosterRowInput{Email: &row.Email, Name: &row.Name, Role: &row.Role, Active: random.IntN(5) > 0}
		if random.IntN(3) > 0 {
			given.WaitingRooms = append([]string{}, row.WaitingRooms...)
		}
		piece = append(piece, given)
	}
	return piece
}

// keepsOne changes one person or one room, as a directory does by SCIM, or puts the service account into a room.
func keepsOne(t *testing.T, s *Service, partner Actor, random *rand.Rand) {
	t.Helper()
	people, _, err := s.RosterPeople(t.Context(), partner, RosterFilter{}, RosterWindow{Count: 100})
	if err != nil {
		t.Fatal(err)
	}
	rooms, _, err := s.RosterRooms(t.Context(), partner, RosterFilter{}, RosterWindow{Count: 100}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(people) == 0 || len(rooms) == 0 {
		return
	}
	person, other, room := people[random.IntN(len(people))].ID, people[random.IntN(len(people))].ID, rooms[random.IntN(len(rooms))].ID
	active, role := random.IntN(2) == 0, []string{"MA", "Patient"}[random.IntN(2)]
	switch random.IntN(6) {
	case 0:
		_, err = s.ChangeRosterPerson(t.Context(), partner, person, RosterPersonChange{Active: &active, Role: &role})
	case 1:
		err = s.RemoveRosterPerson(t.Context(), partner, person)
	case 2:
		err = s.CloseRosterRoom(t.Context(), partner, room)
	case 3:
		err = s.ChangeRosterRoom(t.Context(), partner, room, RosterRoomChange{Members: []MembersChange{{Add: []UserID{person}, Remove: []UserID{other}}}})
	case 4:
		err = s.ChangeRosterRoom(t.Context(), partner, room, RosterRoomChange{Members: []MembersChange{{Set: true, Add: []UserID{person, other}}}})
	case 5:
		puts(t, s, partner, "program@x.example", room)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// puts puts the service account of an address, which is made if there is none, into rooms and nowhere else.
func puts(t *testing.T, s *Service, at Actor, email string, rooms ...WaitingRoomID) UserID {
	t.Helper()
	operator := Actor{Clinic: at.Clinic, IsAdministrator: true}
	account, err := s.FindServiceAccount(t.Context(), operator, email)
	if codeOf(err) == CodeNotFound {
		account, err = s.CreateServiceAccount(t.Context(), operator, CreateServiceAccountInput{Name: "Program", Email: email})
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.SetServiceAccountWaitingRooms(t.Context(), operator, SetServiceAccountWaitingRoomsInput{ServiceAccountID: account.ID, WaitingRoomIDs: rooms}); err != nil {
		t.Fatal(err)
	}
	return account.ID
}

// A room that is closed has nobody in it, whoever closes it.
func TestAServiceAccountGoesOutOfARoomThatIsClosed(t *testing.T) {
	t.Parallel()
	for how, closes := range map[string]func(*Service, Actor, WaitingRoomID) error{
		"by itself": func(s *Service, partner Actor, room WaitingRoomID) error {
			return s.CloseRosterRoom(t.Context(), partner, room)
		},
		"by a roster": func(s *Service, partner Actor, _ WaitingRoomID) error {
			id, _ := sends(t, s, partner, "roster", persons("Ann: Desk", "Bob: Desk")...)
			_, err := s.FinishRosterSync(t.Context(), partner, FinishRosterSyncInput{ClientKey: "end", SyncID: id})
			return err
		},
	} {
		s, database := newService(t)
		db := database.Open()
		partner := clinicOf(t, s, "Clinic", "Ann: Lab", "Bob: Desk")
		var lab struct {
			ID     WaitingRoomID
			Stream int64
		}
		if err := db.Get(&lab, `SELECT id, stream FROM waiting_rooms WHERE name = 'Lab'`); err != nil {
			t.Fatal(err)
		}
		program := puts(t, s, partner, "program@x.example", lab.ID)
		before := stateOf(t, db)

		err := closes(s, partner, lab.ID)

		if err != nil || strings.Contains(stateOf(t, db).people["program@x.example"], "Lab") {
			t.Errorf("closed %s, the program is %s, %v", how, stateOf(t, db).people["program@x.example"], err)
		}
		wantConcerned(t, db, before, stateOf(t, db))
		const query = `
			SELECT (SELECT count(*) FROM former_waiting_room_members JOIN users ON users.id = user_id WHERE user_id = $1 AND left_seq = changed_seq),
				(SELECT count(*) FROM events WHERE stream = $2 AND subject = $1 AND kind = 'room_left')`
		var former, told int
		if err := db.QueryRow(query, program, lab.Stream).Scan(&former, &told); err != nil {
			t.Fatal(err)
		}
		if former != 1 || told != 1 {
			t.Errorf("closed %s, it is kept %d times that the program was there, and told %d times", how, former, told)
		}
	}
}

func TestTheHistoryOfADirectoryIsExact(t *testing.T) {
	t.Parallel()
	s, database := newService(t)
	db := database.Open()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(1, seed))
	var states []directoryState
	var partner Actor
	for step := range 60 {
		before := directoryState{}
		if len(states) > 0 {
			before = states[len(states)-1]
		}

		rows := randomRoster(random)
		if step == 0 || random.IntN(3) == 0 {
			in := ImportRosterInput{Clinic: "Clinic", Rows: rows, AllowDeactivations: true, Progress: quietly}
			if _, err := s.ImportRoster(t.Context(), in); err != nil {
				t.Fatal(err)
			}
			partner = partnerOf(t, s, "Clinic")
			puts(t, s, partner, "program@x.example")
		} else if random.IntN(2) == 0 {
			keepsOne(t, s, partner, random)
		} else {
			in := SyncRosterInput{ClientKey: fmt.Sprint(step), Rows: pieceOf(rows[:min(3, len(rows))], random)}
			if _, err := s.SyncRoster(t.Context(), partner, in); err != nil {
				t.Fatal(err)
			}
		}

		now := stateOf(t, db)
		states = append(states, now)
		wantConcerned(t, db, before, now)
	}

	for _, state := range states {
		var told []string
		if err := db.Select(&told, pairsAt, state.seq); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(told, state.pairs) {
			t.Errorf("at %d the history tells of\n%s\nwhere there was\n%s", state.seq, strings.Join(told, "\n"), strings.Join(state.pairs, "\n"))
		}
	}
}

// wantConcerned checks that the events between two states are of exactly those people who differ, one for each,
// and that they bear its seq.
func wantConcerned(t *testing.T, db *sqlx.DB, before, now directoryState) {
	t.Helper()
	var concerned []string
	for email, said := range now.people {
		if before.people[email] != said {
			concerned = append(concerned, email)
		}
	}
	slices.Sort(concerned)
	const query = `
		SELECT email FROM events JOIN clinics ON clinics.stream = events.stream JOIN users ON users.id = subject
		WHERE seq > $1 AND events.kind = 'directory_changed' AND changed_seq = seq ORDER BY email`
	var told []string
	if err := db.Select(&told, query, before.seq); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(told, concerned) || now.seq-before.seq != int64(len(told)) {
		t.Errorf("between %d and %d it was told of %v, want %v", before.seq, now.seq, told, concerned)
	}
}

func TestAClinicFollowsItsDirectory(t *testing.T) {
	t.Parallel()
	s, database := newService(t)
	running, stop := context.WithCancel(context.Background())
	stopped := make(chan error, 1)
	go func() { stopped <- s.log.Run(running) }()
	t.Cleanup(func() { stop(); <-stopped })
	rows := []RosterRow{
		{Email: "ann@x.example", Name: "Ann", Role: "MA", WaitingRooms: []string{"Lab"}},
		{Email: "bob@x.example", Name: "Bob", Role: "CSR", WaitingRooms: []string{"Lab"}},
	}
	imports := func(rows []RosterRow) {
		t.Helper()
		if _, err := s.ImportRoster(t.Context(), ImportRosterInput{Clinic: "Clinic", Rows: rows, Progress: quietly}); err != nil {
			t.Fatal(err)
		}
	}
	imports(rows)
	var clinic, ann uuid.UUID
	if err := database.Open().QueryRow(`SELECT clinic_id, id FROM users WHERE email = 'ann@x.example'`).Scan(&clinic, &ann); err != nil {
		t.Fatal(err)
	}
	bell := make(chan struct{}, 1)
	follower, err := s.log.Follow(t.Context(), clinic, "", func() {
		select {
		case bell <- struct{}{}:
		default:
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer follower.Close()

	rows[0].Name = "Anna"
	imports(rows)

	for {
		delivery, ok, _, err := follower.Poll(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if ok && delivery.Event != nil {
			if delivery.Event.Kind != kindDirectoryChanged || delivery.Event.Subject != ann {
				t.Errorf("the clinic heard %+v, want that Ann changed", delivery.Event)
			}
			return
		}
		if !ok {
			<-bell
		}
	}
}

func TestClinicsThatThereAreGetADirectory(t *testing.T) {
	t.Parallel()
	earlier := fstest.MapFS{}
	names, err := fs.Glob(migrations.Files, "000?_*.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		text, err := fs.ReadFile(migrations.Files, name)
		if err != nil {
			t.Fatal(err)
		}
		earlier[name] = &fstest.MapFile{Data: text}
	}
	db := pgtest.NewEmpty(t).Open()
	if err := postgres.Migrate(t.Context(), db, earlier, nil); err != nil {
		t.Fatal(err)
	}
	db.MustExec(`INSERT INTO clinics (id, name) VALUES (gen_random_uuid(), 'East'), (gen_random_uuid(), 'West')`)

	if err := postgres.Migrate(t.Context(), db, migrations.Files, nil); err != nil {
		t.Fatal(err)
	}

	followed := map[string]int64{}
	rows, err := db.Query(`SELECT name, stream FROM clinics JOIN streams ON number = stream JOIN spans USING (stream) WHERE reader = clinics.id`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		var stream int64
		if err := rows.Scan(&name, &stream); err != nil {
			t.Fatal(err)
		}
		followed[name] = stream
	}
	if names := slices.Sorted(maps.Keys(followed)); rows.Err() != nil || !slices.Equal(names, []string{"East", "West"}) || followed["East"] == followed["West"] {
		t.Errorf("the directories are %v, %v", followed, rows.Err())
	}
}
