package chat

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"
)

// UserKind sorts the people of a clinic.
type UserKind string

// The kinds of people. Patients are never contacts. A service account is a program.
const (
	Provider       UserKind = "PROVIDER"
	Staff          UserKind = "STAFF"
	Patient        UserKind = "PATIENT"
	ServiceAccount UserKind = "SERVICE"
)

// User is a person of a clinic.
type User struct {
	ID            UserID     `db:"id"`
	ClinicID      ClinicID   `db:"clinic_id"`
	Name          string     `db:"name"`
	Email         string     `db:"email"`
	RoleLabel     string     `db:"role_label"`
	Kind          UserKind   `db:"kind"`
	Stream        int64      `db:"stream"`
	DeactivatedAt *time.Time `db:"deactivated_at"`
	// SeenAt is when the person last had a stream open.
	SeenAt *time.Time `db:"seen_at"`
}

// IsActive tells whether the person still works at the clinic.
func (u User) IsActive() bool { return u.DeactivatedAt == nil }

// IsAvailable tells whether the person was following their events a moment ago (E45).
func (u User) IsAvailable() bool {
	return u.IsActive() && u.SeenAt != nil && time.Since(*u.SeenAt) < 3*presenceEvery
}

const userColumns = `users.id, users.clinic_id, users.name, users.email, users.role_label, users.kind, users.stream,
	users.deactivated_at`

// Contact is a person in the actor's contact list (also called the address book): somebody who
// shares an active waiting room with them.
type Contact struct {
	User
	// Search is what a list of contacts is ordered by.
	Search string `db:"search"`
}

// contactsOf derives the contact list of the user $1: one row for each person, with search and
// user_id. It reads one index, and of it only the rooms that the user is in. The relation is
// symmetric: both sides need a membership with a search text, which patients have not. OFFSET 0 has their few rooms found first, and
// not looked up for each contact.
const contactsOf = `
	SELECT theirs.user_id, theirs.search
	FROM (
		SELECT waiting_room_id FROM waiting_room_members
		JOIN waiting_rooms ON waiting_rooms.id = waiting_room_id AND deactivated_at IS NULL
		WHERE user_id = $1 AND search IS NOT NULL
		OFFSET 0
	) AS mine
	JOIN waiting_room_members AS theirs ON theirs.waiting_room_id = mine.waiting_room_id AND theirs.search IS NOT NULL
	WHERE theirs.user_id <> $1`

// ContactSearch says which contacts are wanted.
type ContactSearch struct {
	// Query is pieces of a name or an e-mail address, all of which must occur.
	Query string
	// WaitingRoomID keeps the contacts in one waiting room.
	WaitingRoomID *WaitingRoomID
	// NotInConversation leaves out who takes part in a conversation now.
	NotInConversation *ConversationID
}

// Contacts returns a page of the actor's contact list, by name and then by e-mail address.
func (s *Service) Contacts(ctx context.Context, actor Actor, search ContactSearch, page Forward) (Page[Contact], error) {
	words, err := s.searchWords(actor, search.Query)
	if err != nil {
		return Page[Contact]{}, err
	}
	return s.contacts(ctx, actor, words, search, page)
}

func (s *Service) contacts(ctx context.Context, actor Actor, words []string, search ContactSearch, page Forward) (Page[Contact], error) {
	after, err := page.afterText(2)
	if err != nil {
		return Page[Contact]{}, err
	}
	// The longest word is compared first: it leaves the fewest for the others.
	longest := ""
	for _, word := range words {
		if len(word) > len(longest) {
			longest = word
		}
	}
	const query = `
		SELECT ` + userColumns + `, presence.seen_at, found.search
		FROM (
			SELECT DISTINCT theirs.search, theirs.user_id FROM (` + contactsOf + `
				AND ($2::uuid IS NULL OR theirs.waiting_room_id = $2)) AS theirs
			WHERE strpos(theirs.search, $3) > 0
				AND (cardinality($4::text[]) < 2 OR NOT EXISTS (
					SELECT FROM unnest($4::text[]) AS word WHERE strpos(theirs.search, word) = 0))
				AND ($5::text IS NULL OR (theirs.search, theirs.user_id) > ($5 COLLATE "C", $6::uuid))
				AND ($7::uuid IS NULL OR theirs.user_id NOT IN (
					SELECT user_id FROM participants
					WHERE conversation_id = $7 AND left_at IS NULL
						AND EXISTS (SELECT FROM participants AS mine
							JOIN conversations ON conversations.id = mine.conversation_id AND deleted_at IS NULL
							WHERE mine.conversation_id = $7 AND mine.user_id = $1 AND mine.left_at IS NULL)))
			ORDER BY theirs.search, theirs.user_id
			LIMIT $8
		) AS found
		JOIN users ON users.id = found.user_id
		LEFT JOIN presence ON presence.user_id = users.id
		ORDER BY found.search, found.user_id`
	var contacts []Contact
	cursor, err := s.read(ctx, actor, page.WithCursor, &contacts, query, actor.User.ID, search.WaitingRoomID, longest, array(words),
		after.at(0), after.at(1), search.NotInConversation, page.First+1)
	if err != nil {
		return Page[Contact]{}, fmt.Errorf("contacts: %w", err)
	}
	return forward(contacts, page).from(cursor), nil
}

// Position is the contact's place in the list, for a cursor.
func (c Contact) Position() []string { return []string{c.Search, c.ID.String()} }

// ContactsAmong returns those of the users who are contacts of the actor.
func (s *Service) ContactsAmong(ctx context.Context, actor Actor, ids []UserID) (map[UserID]Contact, error) {
	const query = `
		SELECT DISTINCT ON (users.id) ` + userColumns + `, presence.seen_at, found.search
		FROM (` + contactsOf + ` AND theirs.user_id = ANY ($2)) AS found
		JOIN users ON users.id = found.user_id
		LEFT JOIN presence ON presence.user_id = users.id
		ORDER BY users.id`
	var contacts []Contact
	if err := s.find(ctx, &contacts, query, actor.User.ID, array(ids)); err != nil {
		return nil, fmt.Errorf("contacts among users: %w", err)
	}
	return byKey(contacts, func(c Contact) UserID { return c.ID }), nil
}

// Users returns people of the actor's clinic by their ids, whoever they are: the caller got the
// ids from something that the actor may see.
func (s *Service) Users(ctx context.Context, actor Actor, ids []UserID) (map[UserID]User, error) {
	const query = `
		SELECT ` + userColumns + `, presence.seen_at
		FROM users LEFT JOIN presence ON presence.user_id = users.id
		WHERE users.id = ANY ($1) AND users.clinic_id = $2`
	var users []User
	if err := s.find(ctx, &users, query, array(ids), actor.Clinic.ID); err != nil {
		return nil, fmt.Errorf("users: %w", err)
	}
	return byKey(users, func(u User) UserID { return u.ID }), nil
}

// people returns people as Users does.
func (s *Service) people(ctx context.Context, actor Actor, wanted map[UserID]bool) (map[UserID]*User, error) {
	if len(wanted) == 0 {
		return nil, nil
	}
	users, err := s.Users(ctx, actor, slices.Collect(maps.Keys(wanted)))
	people := make(map[UserID]*User, len(users))
	for id, user := range users {
		people[id] = &user
	}
	return people, err
}

// KnownUsers returns those of the users whom the actor may see: themselves, their contacts, and
// who took part in one of their conversations while they could see it.
func (s *Service) KnownUsers(ctx context.Context, actor Actor, ids []UserID) (map[UserID]User, error) {
	const query = `
		SELECT ` + userColumns + `, presence.seen_at
		FROM users LEFT JOIN presence ON presence.user_id = users.id
		WHERE users.id = ANY ($2) AND users.clinic_id = $3 AND (
			users.id = $1
			-- OFFSET 0: for each of the few who are wanted, and not for all whom the actor knows
			OR EXISTS (` + contactsOf + ` AND theirs.user_id = users.id OFFSET 0)
			OR EXISTS (
				SELECT FROM participants ` + theirConversation + `
				JOIN participants AS theirs ON theirs.conversation_id = conversations.id
				JOIN spans AS seen ON seen.reader = participants.user_id AND seen.stream = conversations.stream
				JOIN spans AS present ON present.reader = theirs.user_id AND present.stream = conversations.stream
				WHERE participants.user_id = $1 AND theirs.user_id = users.id
					AND present.opened_seq <= seen.to_seq AND seen.from_seq <= present.to_seq
				OFFSET 0))`
	var users []User
	if err := s.find(ctx, &users, query, actor.User.ID, array(ids), actor.Clinic.ID); err != nil {
		return nil, fmt.Errorf("known users: %w", err)
	}
	return byKey(users, func(u User) UserID { return u.ID }), nil
}

// WaitingRoom is where staff work together: sharing one makes people contacts.
type WaitingRoom struct {
	ID   WaitingRoomID `db:"id"`
	Name string        `db:"name"`
}

// WaitingRooms returns the active waiting rooms that the actor is in, by name, and with withCursor the
// place of the event stream at which they were read.
func (s *Service) WaitingRooms(ctx context.Context, actor Actor, withCursor bool) (rooms []WaitingRoom, cursor string, err error) {
	const query = `
		SELECT id, name FROM waiting_rooms
		JOIN waiting_room_members ON waiting_room_id = id
		WHERE user_id = $1 AND deactivated_at IS NULL
		ORDER BY name COLLATE "C"`
	rooms = []WaitingRoom{}
	if cursor, err = s.read(ctx, actor, withCursor, &rooms, query, actor.User.ID); err != nil {
		return nil, "", fmt.Errorf("waiting rooms: %w", err)
	}
	return rooms, cursor, nil
}

// WaitingRoomsByID returns the active waiting rooms that the actor is in, by their ids.
func (s *Service) WaitingRoomsByID(ctx context.Context, actor Actor) (map[WaitingRoomID]WaitingRoom, error) {
	rooms, _, err := s.WaitingRooms(ctx, actor, false)
	if err != nil {
		return nil, err
	}
	return byKey(rooms, func(r WaitingRoom) WaitingRoomID { return r.ID }), nil
}

// Position is the room's place in a list, for a cursor.
func (r WaitingRoom) Position() []string { return []string{r.Name, r.ID.String()} }

// SharedWaitingRooms returns, for each of the users, the active waiting rooms that they share
// with the actor, by name.
func (s *Service) SharedWaitingRooms(ctx context.Context, actor Actor, ids []UserID) (map[UserID][]WaitingRoom, error) {
	const query = `
		WITH mine AS MATERIALIZED (
			SELECT id, name FROM waiting_room_members JOIN waiting_rooms ON waiting_rooms.id = waiting_room_id AND deactivated_at IS NULL
			WHERE user_id = $1 AND search IS NOT NULL
		)
		SELECT theirs.user_id, mine.id, mine.name
		FROM unnest($2::uuid[]) AS wanted (id)
		CROSS JOIN LATERAL (
			SELECT user_id, waiting_room_id FROM waiting_room_members WHERE user_id = wanted.id AND search IS NOT NULL OFFSET 0 -- they are in few rooms
		) AS theirs
		JOIN mine ON mine.id = theirs.waiting_room_id
		ORDER BY mine.name COLLATE "C"`
	var rows []struct {
		WaitingRoom
		UserID UserID `db:"user_id"`
	}
	if err := s.find(ctx, &rows, query, actor.User.ID, array(ids)); err != nil {
		return nil, fmt.Errorf("shared waiting rooms: %w", err)
	}
	shared := make(map[UserID][]WaitingRoom, len(ids))
	for _, id := range ids {
		shared[id] = []WaitingRoom{}
	}
	for _, row := range rows {
		shared[row.UserID] = append(shared[row.UserID], row.WaitingRoom)
	}
	return shared, nil
}

// IsNode makes a waiting room a node in GraphQL.
func (WaitingRoom) IsNode() {}
