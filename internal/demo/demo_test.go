package demo_test

import (
	"log/slog"
	"maps"
	"testing"

	"github.com/jmoiron/sqlx"

	"corridor/internal/chat"
	"corridor/internal/demo"
	"corridor/internal/eventlog"
	"corridor/internal/pgtest"
)

func clinic(t *testing.T) (*chat.Service, *sqlx.DB) {
	t.Helper()
	database := pgtest.New(t)
	db := database.Open()
	logger := slog.New(slog.DiscardHandler)
	return chat.New(db, eventlog.New(db, eventlog.ByPostgres(db, database.URL), []byte("a key"), logger), logger), db
}

func TestMadeTwiceTheDemoIsTheSame(t *testing.T) {
	t.Parallel()
	service, db := clinic(t)
	rows := func() map[string]int {
		counts := map[string]int{}
		for _, table := range []string{
			"clinics", "users", "waiting_rooms", "waiting_room_members", "conversations", "participants", "messages", "events", "spans", "client_keys",
		} {
			var n int
			if err := db.Get(&n, `SELECT count(*) FROM `+table); err != nil {
				t.Fatal(err)
			}
			counts[table] = n
		}
		return counts
	}
	if err := demo.Make(t.Context(), service); err != nil {
		t.Fatal(err)
	}
	once := rows()

	if err := demo.Make(t.Context(), service); err != nil {
		t.Fatal(err)
	}

	if twice := rows(); !maps.Equal(once, twice) {
		t.Errorf("once it was %v, twice %v", once, twice)
	}
}

func TestTheDemoHasSomethingOfEverything(t *testing.T) {
	t.Parallel()
	service, _ := clinic(t)

	if err := demo.Make(t.Context(), service); err != nil {
		t.Fatal(err)
	}

	user, err := service.FindUser(t.Context(), demo.Introduced[0], demo.Clinic)
	if err != nil {
		t.Fatal(err)
	}
	actor, err := service.SignedIn(t.Context(), chat.Credential{Subject: user.ID.UUID})
	if err != nil {
		t.Fatal(err)
	}
	page, err := service.Conversations(t.Context(), actor, chat.ConversationFilter{}, chat.Forward{First: chat.MaxPage})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, conversation := range page.Items {
		var view chat.ConversationView
		switch conversation := conversation.(type) {
		case *chat.DirectConversation:
			view = conversation.ConversationView
			seen["direct"]++
		case *chat.GroupConversation:
			view = conversation.ConversationView
			seen["group"]++
		}
		for what, is := range map[string]bool{
			"muted": view.Muted, "archived": view.ArchivedAt != nil, "left": view.LeftAt != nil, "unread": view.UnreadCount > 0,
			"owned": view.OwnerID != nil && *view.OwnerID == user.ID,
		} {
			if is {
				seen[what]++
			}
		}
	}
	for _, what := range []string{"direct", "group", "muted", "archived", "left", "unread", "owned"} {
		if seen[what] == 0 {
			t.Errorf("nothing is %s among %v", what, seen)
		}
	}
	unread, err := service.Unread(t.Context(), actor)
	if err != nil || unread.Conversations == 0 {
		t.Errorf("unread is %+v, %v", unread, err)
	}
	rooms, contacts := map[string]bool{}, 0
	for _, introduced := range demo.Introduced {
		user, err := service.FindUser(t.Context(), introduced, "")
		if err != nil {
			t.Fatal(err)
		}
		actor, err := service.SignedIn(t.Context(), chat.Credential{Subject: user.ID.UUID})
		if err != nil {
			t.Fatal(err)
		}
		in, _, err := service.WaitingRooms(t.Context(), actor, false)
		if err != nil {
			t.Fatal(err)
		}
		for _, room := range in {
			rooms[room.Name] = true
		}
		found, err := service.Contacts(t.Context(), actor, chat.ContactSearch{}, chat.Forward{First: chat.MaxPage})
		if err != nil {
			t.Fatal(err)
		}
		contacts = max(contacts, len(found.Items))
	}
	if len(rooms) < 3 || contacts < 6 {
		t.Errorf("they are in %v with %d contacts", rooms, contacts)
	}
}
