package chat

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"corridor/internal/eventlog"
	"corridor/internal/pgtest"
)

// Every plan is looked at as Postgres ran it for the service: the one that a connection keeps for all arguments. With CORRIDOR_PLANS=1
// that happens among 50,000 people and the plans are printed, for docs/decisions/0006-query-plans.md:
//
//	CORRIDOR_PLANS=1 go test ./internal/chat -run TestPlans -v -timeout 20m

// scale is how much there is: the clinic of a test, or that of the decision record.
type scale struct {
	staff, rooms     int
	contacts         int // of Ann, about
	conversations    int // of Ann
	longest          int // messages in her longest one
	groups, messages int // of others, and how many messages they have in all
}

var (
	small = scale{staff: 5_000, rooms: 50, contacts: 400, conversations: 200, longest: 5_000, groups: 2_000, messages: 30_000}
	large = scale{staff: 50_000, rooms: 500, contacts: 2_000, conversations: 200, longest: 50_000, groups: 20_000, messages: 450_000}
)

var (
	givenNames  = strings.Fields("Anna José Maria Marek Łucja Zoë Björn Ines Omar Priya Chen Yuki Amara Kofi Noor Dmitri Élodie Søren Aoife Marta Tomás Leila Hugo Ingrid Ravi")
	familyNames = strings.Fields("Müller García Martin Nowak Öztürk Silva Okafor Petrov Tanaka Haddad Larsen Novák Romano Dubois Kim Singh Costa Moreau Weber Fischer Marino Ward Hughes Sato Lindqvist")
)

// populate fills the database: staff by an import, as always, the rest by bulk, as it would be after years.
func populate(t *testing.T, s *Service, db *sqlx.DB, size scale) (ann Actor, longest ConversationID) {
	t.Helper()
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same clinic each time
	rows := make([]RosterRow, size.staff)
	perRoom := 2 * size.staff / size.rooms // everybody is in two
	for i := range rows {
		rows[i] = RosterRow{
			Email: fmt.Sprintf("p%d@clinic.example", i), Role: "MA",
			Name: givenNames[random.IntN(len(givenNames))] + " " + familyNames[random.IntN(len(familyNames))],
			WaitingRooms: []string{
				fmt.Sprintf("Room %d", i%size.rooms), fmt.Sprintf("Room %d", (i%size.rooms+1+random.IntN(size.rooms-1))%size.rooms),
			},
		}
	}
	rows[0].WaitingRooms = nil
	for i := range size.contacts / perRoom {
		rows[0].WaitingRooms = append(rows[0].WaitingRooms, fmt.Sprintf("Room %d", i))
	}
	if _, err := s.ImportRoster(t.Context(), ImportRosterInput{Clinic: "Lakeside", Rows: rows, Progress: func(string, int, int) {}}); err != nil {
		t.Fatal(err)
	}
	var id uuid.UUID
	if err := db.Get(&id, `SELECT id FROM users WHERE email = 'p0@clinic.example'`); err != nil {
		t.Fatal(err)
	}
	ann, err := s.SignedIn(t.Context(), Credential{Subject: id})
	if err != nil {
		t.Fatal(err)
	}
	tx := db.MustBeginTx(t.Context(), nil)
	defer tx.Rollback() //nolint:errcheck // it is committed below
	exec := func(query string, arguments ...any) {
		t.Helper()
		if _, err := tx.Exec(query, arguments...); err != nil {
			t.Fatalf("%v in %s", err, query)
		}
	}
	exec(`SET LOCAL session_replication_role = replica`) // no foreign keys: the rows fit
	exec(`CREATE TEMP TABLE staff ON COMMIT DROP AS
		SELECT id, (row_number() OVER (ORDER BY id = $1 DESC, id) - 1)::int AS n FROM users`, id)
	exec(`CREATE UNIQUE INDEX ON staff (n)`)
	// c is the number of a conversation: the first are Ann's, every other one a group of ten, else of two.
	exec(`CREATE TEMP TABLE talks ON COMMIT DROP AS
		SELECT c, c < $1 AS anns, c % 2 = 0 AS grouped, (SELECT max(number) FROM streams) + c + 1 AS stream,
			(lpad(to_hex(c), 8, '0') || '-0000-7000-8000-' || substr(md5(c::text), 1, 12))::uuid AS id,
			CASE WHEN c = 0 THEN $2 WHEN c < $1 THEN 100 ELSE $3 END::int AS lines,
			CASE WHEN c < $1 THEN 0 ELSE (c * 7919::bigint) % $4 END::int AS first
		FROM generate_series(0, $5::int - 1) AS numbers (c)`,
		size.conversations, size.longest, max(1, size.messages/size.groups), size.staff, size.conversations+size.groups)
	exec(`INSERT INTO streams (number, head) OVERRIDING SYSTEM VALUE SELECT stream, lines FROM talks`)
	exec(`CREATE TEMP TABLE members ON COMMIT DROP AS
		SELECT DISTINCT ON (c, staff.id) c, talks.id AS conversation_id, stream, lines, staff.id AS user_id, i
		FROM talks CROSS JOIN LATERAL generate_series(0, CASE WHEN grouped THEN 9 ELSE 1 END) AS i
		JOIN staff ON staff.n = CASE WHEN i = 0 THEN first WHEN anns THEN 1 + (c * 10 + i) % ($1::int - 1) ELSE (first + i * 37) % $1 END
		ORDER BY c, staff.id, i`, size.staff)
	exec(`CREATE UNIQUE INDEX ON members (c, i)`)
	exec(`CREATE UNIQUE INDEX ON talks (c)`)
	exec(`ANALYZE staff, talks, members`)
	exec(`INSERT INTO conversations (id, clinic_id, kind, stream, name, owner_id, first_user_id, second_user_id,
			created_at, last_seq, last_activity_at, text_count)
		SELECT talks.id, $1, CASE WHEN grouped THEN 'GROUP' ELSE 'DIRECT' END, stream, CASE WHEN grouped THEN 'Case ' || c END,
			CASE WHEN grouped THEN (SELECT user_id FROM members WHERE members.c = talks.c AND i = 0) END,
			CASE WHEN NOT grouped THEN (SELECT min(user_id::text)::uuid FROM members WHERE members.c = talks.c) END,
			CASE WHEN NOT grouped THEN (SELECT max(user_id::text)::uuid FROM members WHERE members.c = talks.c) END,
			now() - interval '1 year', lines, now() - c % 100000 * interval '1 minute', lines
		FROM talks ON CONFLICT DO NOTHING`, ann.Clinic.ID)
	// One in ten has left; Ann never; a third has archived or muted it; most have not read the end.
	exec(`INSERT INTO participants (id, conversation_id, user_id, read_seq, read_text_count, archived_at, muted_at,
			left_at, left_reason, left_seq, left_text_count, left_name, left_activity_at)
		SELECT (lpad(to_hex(c), 8, '0') || '-' || lpad(to_hex(i), 4, '0') || '-7000-8000-' || substr(md5(user_id::text), 1, 12))::uuid,
			conversation_id, user_id, lines * 9 / 10, lines * 9 / 10,
			CASE WHEN c % 6 = 5 THEN now() END, CASE WHEN c % 6 = 4 THEN now() END,
			CASE WHEN gone THEN now() END, CASE WHEN gone THEN 'LEFT' END, CASE WHEN gone THEN lines / 2 END,
			CASE WHEN gone THEN lines / 2 END, CASE WHEN gone THEN 'Case ' || c END, CASE WHEN gone THEN now() END
		FROM (SELECT *, i = 9 AS gone FROM members WHERE EXISTS (SELECT FROM conversations WHERE id = conversation_id)) AS members`)
	exec(`INSERT INTO spans (reader, stream, from_seq, to_seq, opened_seq)
		SELECT user_id, stream, 1, CASE WHEN i = 9 THEN lines / 2 ELSE 9223372036854775807 END, 1 FROM members`)
	exec(`INSERT INTO messages (id, conversation_id, seq, kind, sender_id, body, text_count, sent_at, recalled_at)
		SELECT gen_random_uuid(), talks.id, seq, 'TEXT', members.user_id, repeat('word ', 5 + (seq % 40)::int), seq,
			now() - talks.c % 100000 * interval '1 minute' - (talks.lines - seq) * interval '1 second',
			CASE WHEN seq % 100 = 0 THEN now() END
		FROM talks CROSS JOIN LATERAL generate_series(1, talks.lines) AS seq
		JOIN members ON members.c = talks.c AND members.i = seq % CASE WHEN grouped THEN 9 ELSE 2 END
		JOIN conversations ON conversations.id = talks.id`)
	if err := tx.Get(&longest, `SELECT id FROM talks WHERE c = 0`); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	db.MustExec(`INSERT INTO presence SELECT id FROM users LIMIT $1`, size.staff/5)
	db.MustExec(`ANALYZE`)
	return ann, longest
}

// A list of staff, of messages or of who takes part in what is never read from end to end.
var neverWhole = []string{"users", "waiting_room_members", "messages", "participants", "spans", "events", "feed"}

func TestPlansUseTheirIndexes(t *testing.T) {
	t.Parallel()
	size, shown := small, os.Getenv("CORRIDOR_PLANS") != ""
	if shown {
		size = large
	}
	server := pgtest.NewExplaining(t)
	db := server.Open()
	logger := slog.New(slog.DiscardHandler)
	s := New(db, eventlog.New(db, eventlog.ByPostgres(db, server.URL), []byte("key"), logger), logger)
	begun := time.Now()
	ann, longest := populate(t, s, db, size)
	t.Logf("made in %v", time.Since(begun).Round(time.Millisecond))
	if shown {
		tellSize(t, db, ann)
		for _, ran := range server.Ran(func() {
			if _, err := s.Contacts(t.Context(), ann, ContactSearch{Query: "mar"}, Forward{First: 20}); err != nil {
				t.Error(err)
			}
		}) {
			t.Logf("contact search, before the first vacuum: %d buffers, %d rows\n%s", ran.Buffers, ran.Rows, ran.Plan)
		}
	}
	db.MustExec(`SELECT setval(pg_get_serial_sequence('streams', 'number'), (SELECT max(number) FROM streams))`)
	db.MustExec(`VACUUM ANALYZE`)
	yes := true
	var written *Message
	page := Forward{First: 20}
	contacts, err := s.Contacts(t.Context(), ann, ContactSearch{}, Forward{First: 100})
	if err != nil {
		t.Fatal(err)
	}
	people := make([]UserID, len(contacts.Items))
	for i, contact := range contacts.Items {
		people[i] = contact.ID
	}
	pick := func(to any, query string) {
		t.Helper()
		if err := db.Select(to, query, ann.User.ID); err != nil {
			t.Fatal(err)
		}
	}
	var mine []ConversationID
	pick(&mine, `SELECT conversation_id FROM participants WHERE user_id = $1 ORDER BY conversation_id LIMIT 100`)
	var stranger, met []UserID
	var places []ParticipantID
	pick(&stranger, `SELECT id FROM users WHERE id NOT IN (SELECT user_id FROM (`+contactsOf+`) AS book) AND id NOT IN (
		SELECT user_id FROM participants WHERE conversation_id IN (SELECT conversation_id FROM participants WHERE user_id = $1)) LIMIT 1`)
	pick(&met, `SELECT user_id FROM participants WHERE conversation_id IN (SELECT conversation_id FROM participants WHERE user_id = $1)
		AND user_id <> $1 AND user_id NOT IN (SELECT user_id FROM (`+contactsOf+`) AS book) LIMIT 1`)
	pick(&places, `SELECT id FROM participants WHERE conversation_id IN (SELECT conversation_id FROM participants WHERE user_id = $1) LIMIT 100`)
	window := func(last *int, before int64) Window {
		w, err := NewWindow(ConversationID{}, nil, last, "", "")
		if err != nil {
			t.Fatal(err)
		}
		if before > 0 {
			w.before = before
		}
		return w
	}
	fifty := 50
	for _, query := range []struct {
		name string
		run  func(ctx context.Context) error
	}{
		{"contact list, first page", func(ctx context.Context) error { return only(s.Contacts(ctx, ann, ContactSearch{}, page)) }},
		{"contact list, a later page", func(ctx context.Context) error {
			return only(s.Contacts(ctx, ann, ContactSearch{}, Forward{First: 20, After: Cursor(contacts.Items[99].Position())}))
		}},
		{"contact search, two letters", func(ctx context.Context) error { return only(s.Contacts(ctx, ann, ContactSearch{Query: "ma"}, page)) }},
		{"contact search, three letters", func(ctx context.Context) error { return only(s.Contacts(ctx, ann, ContactSearch{Query: "mar"}, page)) }},
		{"contact search, a name and a piece", func(ctx context.Context) error {
			return only(s.Contacts(ctx, ann, ContactSearch{Query: "marta now"}, page))
		}},
		{"contact search, nothing found", func(ctx context.Context) error {
			return only(s.Contacts(ctx, ann, ContactSearch{Query: "qqqq"}, page))
		}},
		{"contacts that are not in a group", func(ctx context.Context) error {
			return only(s.Contacts(ctx, ann, ContactSearch{Query: "mar", NotInConversation: &longest}, page))
		}},
		{"contacts among 100 people", func(ctx context.Context) error { return only(s.ContactsAmong(ctx, ann, people)) }},
		{"100 people", func(ctx context.Context) error { return only(s.Users(ctx, ann, people)) }},
		{"100 people by their ids", func(ctx context.Context) error { return only(s.KnownUsers(ctx, ann, people)) }},
		{"a stranger by their id", func(ctx context.Context) error { return only(s.KnownUsers(ctx, ann, stranger)) }},
		{"somebody of a group by their id", func(ctx context.Context) error { return only(s.KnownUsers(ctx, ann, met)) }},
		{"participants by their ids", func(ctx context.Context) error { return only(s.ParticipantsByID(ctx, ann, places)) }},
		{"rooms shared with 100 people", func(ctx context.Context) error { return only(s.SharedWaitingRooms(ctx, ann, people)) }},
		{"direct conversations with 100 people", func(ctx context.Context) error { return only(s.DirectConversationsWith(ctx, ann, people)) }},
		{"conversation list, first page", func(ctx context.Context) error {
			no := false
			return only(s.Conversations(ctx, ann, ConversationFilter{Archived: &no}, page))
		}},
		{"conversation list, unread ones", func(ctx context.Context) error {
			return only(s.Conversations(ctx, ann, ConversationFilter{Unread: &yes}, page))
		}},
		{"conversations by 100 ids", func(ctx context.Context) error { return only(s.ConversationsByID(ctx, ann, mine)) }},
		{"New Chat's conversations", func(ctx context.Context) error { return only(s.ChatTargets(ctx, ann, "zzz", page)) }},
		{"unread totals", func(ctx context.Context) error { return only(s.Unread(ctx, ann)) }},
		{"last messages of 100 conversations", func(ctx context.Context) error { return only(s.LastMessages(ctx, ann, mine, true)) }},
		{"history, the newest page", func(ctx context.Context) error {
			return only(s.MessagePages(ctx, ann, []ConversationID{longest}, window(&fifty, 0)))
		}},
		{"history, a page in the middle", func(ctx context.Context) error {
			return only(s.MessagePages(ctx, ann, []ConversationID{longest}, window(&fifty, int64(size.longest/2))))
		}},
		{"newest pages of 100 conversations", func(ctx context.Context) error {
			return only(s.MessagePages(ctx, ann, mine, window(&fifty, 0)))
		}},
		{"participants of 20 conversations", func(ctx context.Context) error {
			return only(s.ParticipantPages(ctx, ann, mine[:20], ParticipantWindow{Forward: page, WithUsers: true, WithSharing: true}))
		}},
		{"a person of the roster by their address", func(ctx context.Context) error {
			_, _, err := s.RosterPeople(ctx, rosterKeeper(ann), RosterFilter{RosterEmail, "p7@clinic.example"}, RosterWindow{Count: 1})
			return err
		}},
		{"a person of the roster by what a partner calls them", func(ctx context.Context) error {
			_, _, err := s.RosterPeople(ctx, rosterKeeper(ann), RosterFilter{RosterExternalID, "7"}, RosterWindow{Count: 1})
			return err
		}},
		{"a page of waiting rooms without who is in them", func(ctx context.Context) error {
			_, _, err := s.RosterRooms(ctx, rosterKeeper(ann), RosterFilter{}, RosterWindow{Count: 20}, nil)
			return err
		}},
		{"a waiting room that nobody joins", func(ctx context.Context) error {
			rooms, _, err := s.RosterRooms(ctx, rosterKeeper(ann), RosterFilter{RosterName, "Room 0"}, RosterWindow{Count: 1}, nil)
			if err != nil {
				return err
			}
			return s.ChangeRosterRoom(ctx, rosterKeeper(ann), rooms[0].ID, RosterRoomChange{Members: []MembersChange{{Remove: stranger}}})
		}},
		{"a roster with one person in it", func(ctx context.Context) error {
			email := "p7@clinic.example"
			rows := []*RosterRowInput{{Email: &email, Active: true}} // nothing to write: what is explained runs twice
			return only(s.SyncRoster(ctx, rosterKeeper(ann), SyncRosterInput{ClientKey: "plan", Rows: rows}))
		}},
		{"number of participants of 100 conversations", func(ctx context.Context) error { return only(s.ParticipantCounts(ctx, ann, mine)) }},
		{"who is asking", func(ctx context.Context) error { return only(s.SignedIn(ctx, Credential{Subject: ann.User.ID.UUID})) }},
		{"who may be signed out", func(ctx context.Context) error { return only(s.MaybeSignedOut(ctx, people, time.Minute)) }},
		{"the beginning of a stream", func(ctx context.Context) error {
			stream, err := s.Follow(ctx, ann, nil, func() {})
			if err == nil {
				stream.Close()
			}
			return err
		}},
		{"the stream of a conversation", func(ctx context.Context) error { return s.MayFollow(ctx, ann, longest) }},
		{"a page of the directory", func(ctx context.Context) error {
			return only(s.Staff(ctx, directoryReader(ann), []StaffPage{{Forward: Forward{First: 100, Most: 500}}}))
		}},
		{"a page of the contacts of somebody", func(ctx context.Context) error {
			pages := []StaffPage{{StaffList: StaffList{ContactsOf: ann.User.ID}, Forward: Forward{First: 100, Most: 500}}}
			return only(s.Staff(ctx, directoryReader(ann), pages))
		}},
		{"people of the directory", func(ctx context.Context) error { return only(s.StaffMembers(ctx, directoryReader(ann), people)) }},
		{"the rooms of people of the directory", func(ctx context.Context) error { return only(s.StaffWaitingRooms(ctx, directoryReader(ann), people)) }},
		{"changes of the directory", func(ctx context.Context) error {
			return only(s.StaffChanges(ctx, directoryReader(ann), Forward{First: 100, Most: 500, After: ChangesFrom(StaffList{}, "1")}))
		}},
		{"a message", func(ctx context.Context) (err error) {
			written, err = s.SendMessage(ctx, ann, SendMessageInput{ClientKey: "send", ConversationID: longest, Body: "the scan is in"})
			return err
		}},
		{"another text", func(ctx context.Context) error {
			return only(s.EditMessage(ctx, ann, EditMessageInput{ClientKey: "edit", MessageID: written.ID, Body: "the scans are in"}))
		}},
		{"a message that is taken back", func(ctx context.Context) error {
			return only(s.RecallMessage(ctx, ann, RecallMessageInput{ClientKey: "recall", MessageID: written.ID}))
		}},
		{"a conversation that is muted", func(ctx context.Context) error {
			return only(s.MuteConversation(ctx, ann, MuteConversationInput{ClientKey: "mute", ConversationID: longest}))
		}},
		{"a conversation that is archived", func(ctx context.Context) error {
			return only(s.ArchiveConversation(ctx, ann, ArchiveConversationInput{ClientKey: "archive", ConversationID: longest}))
		}},
		{"people who are added", func(ctx context.Context) error {
			_, _, err := s.AddParticipants(ctx, ann, AddParticipantsInput{ClientKey: "add", ConversationID: longest, UserIDs: people[:20], History: FromNow})
			return err
		}},
		{"somebody who is removed", func(ctx context.Context) error {
			return only(s.RemoveParticipant(ctx, ann, RemoveParticipantInput{ClientKey: "remove", ConversationID: longest, UserID: people[0]}))
		}},
		{"a group", func(ctx context.Context) error {
			return only(s.CreateGroup(ctx, ann, CreateGroupInput{ClientKey: "group", Name: "Case", UserIDs: people[:20]}))
		}},
		{"a conversation with a contact", func(ctx context.Context) error {
			return only(s.StartDirectConversation(ctx, ann, StartDirectConversationInput{ClientKey: "direct", UserID: people[0]}))
		}},
		{"a group that is left", func(ctx context.Context) error {
			return only(s.LeaveGroup(ctx, ann, LeaveGroupInput{ClientKey: "leave", ConversationID: longest}))
		}},
	} {
		all := server.Ran(func() {
			if err := query.run(t.Context()); err != nil {
				t.Errorf("%s: %v", query.name, err)
			}
		})
		if len(all) == 0 {
			t.Errorf("%s: nothing was asked", query.name)
		}
		for _, ran := range all {
			for _, table := range ran.Whole {
				if slices.Contains(neverWhole, table) {
					t.Errorf("%s reads all of %s:\n%s\n%s", query.name, table, ran.Query, ran.Plan)
				}
			}
			if shown {
				t.Logf("%s: %d buffers, %d rows\n%s", query.name, ran.Buffers, ran.Rows, ran.Plan)
			}
		}
	}
}

// rosterKeeper is a partner at the clinic of somebody.
func rosterKeeper(of Actor) Actor {
	of.Grant = &Grant{Scopes: []Scope{RosterWrite}}
	return of
}

// directoryReader is a partner who may read the directory of somebody's clinic.
func directoryReader(of Actor) Actor {
	of.Grant = &Grant{Scopes: []Scope{ContactsRead}}
	return of
}

func only[T any](_ T, err error) error { return err }

func tellSize(t *testing.T, db *sqlx.DB, ann Actor) {
	t.Helper()
	var version string
	if err := db.Get(&version, `SELECT version()`); err != nil {
		t.Fatal(err)
	}
	t.Log(version)
	for _, table := range []string{"users", "waiting_rooms", "waiting_room_members", "conversations", "participants", "spans", "messages"} {
		var rows int
		var size string
		if err := db.QueryRow(`SELECT (SELECT count(*) FROM `+table+`), pg_size_pretty(pg_total_relation_size($1))`, table).Scan(&rows, &size); err != nil {
			t.Fatal(err)
		}
		t.Logf("%-22s %8d rows %s", table, rows, size)
	}
	for what, query := range map[string]string{
		"contacts": `SELECT count(DISTINCT user_id) FROM (` + contactsOf + `) AS book`, "conversations": `SELECT count(*) FROM participants WHERE user_id = $1`,
	} {
		var n int
		if err := db.Get(&n, query, ann.User.ID); err != nil {
			t.Fatal(err)
		}
		t.Logf("Ann has %d %s", n, what)
	}
}
