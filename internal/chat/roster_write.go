package chat

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/lib/pq"

	"corridor/internal/eventlog"
)

// rosterWrite is a change of a clinic's roster under way, whoever asks for it: a file, a mutation, or SCIM. It begins
// with what was read of the clinic under its lock, all of it or who and what is concerned. Then it is planned in
// memory: add, employ, deactivate, put, open. In the end write writes what differs from what was read, by the same
// number of statements for one person and for thousands, and tells of it.
type rosterWrite struct {
	clinic    Clinic
	directory *directory
	change    RosterChange
	// noteMoves has it named who goes where.
	noteMoves bool

	people []*rosterUser
	users  map[UserID]*rosterUser
	// emails has the addresses that people had and have: one that is given up is not free before this is over.
	emails    map[string]*rosterUser
	rooms     map[WaitingRoomID]*rosterRoom
	roomNames map[string]*rosterRoom
	// members are who was where, wanted the rooms that each is to be in.
	members map[membership]bool
	wanted  map[UserID][]WaitingRoomID

	events []eventlog.Event
	// left are people who went from a room; gone are those who do not work here any more, back those who do again.
	left, gone, back []UserID
}

// rosterUser is a person as they are to be, and as they were.
type rosterUser struct {
	User
	// ExternalID is what a partner calls the person.
	ExternalID string `db:"external_id"`
	// Unlisted says that a partner deleted the person: SCIM does not tell of them any more.
	Unlisted bool `db:"unlisted"`
	// Dormant are the rooms that somebody who is deactivated comes back into, unless they are told others.
	Dormant pq.StringArray `db:"dormant_rooms"`

	was *rosterUser // nil if they are new
}

// isService tells whether it is no person but a partner's program. A roster leaves those alone: it knows them only
// for their addresses, and not in which rooms they are.
func (u *rosterUser) isService() bool { return u.Kind == ServiceAccount }

// isOther tells whether others see something else of the person than before.
func (u *rosterUser) isOther() bool {
	return u.was == nil || u.Email != u.was.Email || u.Name != u.was.Name || u.RoleLabel != u.was.RoleLabel ||
		u.Kind != u.was.Kind || u.IsActive() != u.was.IsActive()
}

// changedKind tells whether the person was of another kind before.
func (u *rosterUser) changedKind() bool { return u.was != nil && u.was.Kind != u.Kind }

// rosterRoom is a waiting room as it is to be, and as it was.
type rosterRoom struct {
	WaitingRoom
	Stream     int64  `db:"stream"`
	Closed     bool   `db:"closed"`
	ExternalID string `db:"external_id"`

	was *rosterRoom // nil if it is new
}

type membership struct {
	Room WaitingRoomID `db:"waiting_room_id"`
	User UserID        `db:"user_id"`
}

func (m membership) compare(other membership) int {
	return cmp.Or(bytes.Compare(m.Room.UUID[:], other.Room.UUID[:]), bytes.Compare(m.User.UUID[:], other.User.UUID[:]))
}

// rosterScope is what of a clinic is concerned by a change.
type rosterScope struct {
	Emails    []string
	Users     []UserID
	RoomNames []string
	// Rooms are concerned with all who are in them, EmptyRooms without.
	Rooms, EmptyRooms []WaitingRoomID
}

const (
	rosterUserColumns = userColumns + `, external_id, unlisted, dormant_rooms`
	rosterRoomColumns = `id, name, stream, deactivated_at IS NOT NULL AS closed, external_id`
)

// readWhole reads all of a clinic that was just locked.
func readWhole(ctx context.Context, tx *transaction, clinic Clinic) (*rosterWrite, error) {
	const (
		userQuery   = `SELECT ` + rosterUserColumns + ` FROM users WHERE clinic_id = $1`
		roomQuery   = `SELECT ` + rosterRoomColumns + ` FROM waiting_rooms WHERE clinic_id = $1`
		memberQuery = `
			SELECT waiting_room_id, user_id FROM waiting_room_members
			JOIN waiting_rooms ON waiting_rooms.id = waiting_room_id
			JOIN users ON users.id = user_id AND users.kind <> 'SERVICE'
			WHERE waiting_rooms.clinic_id = $1`
	)
	var users []*rosterUser
	if err := tx.SelectContext(ctx, &users, userQuery, clinic.ID); err != nil {
		return nil, err
	}
	var rooms []*rosterRoom
	if err := tx.SelectContext(ctx, &rooms, roomQuery, clinic.ID); err != nil {
		return nil, err
	}
	var members []membership
	if err := tx.SelectContext(ctx, &members, memberQuery, clinic.ID); err != nil {
		return nil, err
	}
	return newRosterWrite(ctx, tx, clinic, users, rooms, members)
}

// readScope locks the actor's clinic and reads of it what is concerned.
func readScope(ctx context.Context, tx *transaction, scope rosterScope) (*rosterWrite, error) {
	clinic, err := lockClinic(ctx, tx.Tx, tx.actor.Clinic.Name)
	if err != nil {
		return nil, err
	}
	const userQuery = `
		SELECT ` + rosterUserColumns + ` FROM users
		WHERE clinic_id = $1 AND id IN (
			SELECT id FROM users WHERE clinic_id = $1 AND email = ANY ($2)
			UNION ALL SELECT unnest($3::uuid[])
			UNION ALL SELECT user_id FROM waiting_room_members WHERE waiting_room_id = ANY ($4)
			UNION ALL SELECT id FROM users WHERE dormant_rooms && $4::uuid[] AND dormant_rooms <> '{}')`
	var users []*rosterUser
	if err := tx.SelectContext(ctx, &users, userQuery, clinic.ID, array(scope.Emails), array(scope.Users), array(scope.Rooms)); err != nil {
		return nil, err
	}
	var ids []UserID
	for _, user := range users {
		if !user.isService() {
			ids = append(ids, user.ID)
		}
	}
	const memberQuery = `SELECT waiting_room_id, user_id FROM waiting_room_members WHERE user_id = ANY ($1)`
	var members []membership
	if err := tx.SelectContext(ctx, &members, memberQuery, array(ids)); err != nil {
		return nil, err
	}
	concerned := slices.Concat(scope.Rooms, scope.EmptyRooms)
	for _, at := range members {
		concerned = append(concerned, at.Room)
	}
	var dormant []string
	for _, user := range users {
		dormant = append(dormant, user.Dormant...)
	}
	const roomQuery = `
		SELECT ` + rosterRoomColumns + ` FROM waiting_rooms
		WHERE clinic_id = $1 AND (name = ANY ($2) OR id = ANY ($3) OR id = ANY ($4))`
	var rooms []*rosterRoom
	if err := tx.SelectContext(ctx, &rooms, roomQuery, clinic.ID, array(scope.RoomNames), array(concerned), array(dormant)); err != nil {
		return nil, err
	}
	return newRosterWrite(ctx, tx, clinic, users, rooms, members)
}

func newRosterWrite(ctx context.Context, tx *transaction, clinic Clinic, users []*rosterUser, rooms []*rosterRoom, members []membership) (*rosterWrite, error) {
	// What a roster does is done by the clinic: no line says that a person did it.
	tx.actor = Actor{Clinic: clinic}
	directory, err := openDirectory(ctx, tx, clinic)
	if err != nil {
		return nil, err
	}
	w := &rosterWrite{
		clinic: clinic, directory: directory, people: users,
		users:     byKey(users, func(u *rosterUser) UserID { return u.ID }),
		emails:    byKey(users, func(u *rosterUser) string { return u.Email }),
		rooms:     byKey(rooms, func(r *rosterRoom) WaitingRoomID { return r.ID }),
		roomNames: byKey(rooms, func(r *rosterRoom) string { return r.Name }),
		members:   make(map[membership]bool, len(members)), wanted: make(map[UserID][]WaitingRoomID, len(users)),
	}
	for _, user := range users {
		was := *user
		user.was = &was
	}
	for _, room := range rooms {
		was := *room
		room.was = &was
	}
	for _, at := range members {
		w.members[at] = true
		w.wanted[at.User] = append(w.wanted[at.User], at.Room)
	}
	return w, nil
}

// add plans somebody new. They need a name.
func (w *rosterWrite) add(email string) *rosterUser {
	user := &rosterUser{User: User{ID: UserID{newID()}, ClinicID: w.clinic.ID, Email: email}}
	w.people, w.users[user.ID], w.emails[email] = append(w.people, user), user, user
	return user
}

// employ plans that a person works here, under a name and in a role. Who comes back does so into the rooms that
// they were in, as far as these are open.
func (w *rosterWrite) employ(user *rosterUser, name, role string) {
	w.describe(user, name, role)
	if user.IsActive() {
		return
	}
	user.DeactivatedAt, user.Unlisted = nil, false
	var rooms []WaitingRoomID
	for id, room := range w.rooms {
		if !room.Closed && slices.Contains(user.Dormant, id.String()) {
			rooms = append(rooms, id)
		}
	}
	user.Dormant = nil
	w.put(user, rooms)
}

// describe plans the name and the role of a person.
func (w *rosterWrite) describe(user *rosterUser, name, role string) {
	if user.RoleLabel != role || !user.IsActive() {
		user.Kind = kindOf(role)
	}
	user.Name, user.RoleLabel = name, role
}

// deactivate plans that a person does not work here any more.
func (w *rosterWrite) deactivate(user *rosterUser) {
	if !user.IsActive() {
		return
	}
	now := time.Now()
	user.DeactivatedAt = &now
	for _, room := range w.wanted[user.ID] {
		user.Dormant = append(user.Dormant, room.String())
	}
	w.put(user, nil)
}

// put plans the rooms that a person is in.
func (w *rosterWrite) put(user *rosterUser, rooms []WaitingRoomID) { w.wanted[user.ID] = rooms }

// open plans that there are rooms of these names.
func (w *rosterWrite) open(names []string) []WaitingRoomID {
	ids := make([]WaitingRoomID, len(names))
	for n, name := range names {
		room := w.roomNames[name]
		if room == nil {
			room = &rosterRoom{WaitingRoom: WaitingRoom{ID: WaitingRoomID{newID()}, Name: name}}
			w.rooms[room.ID], w.roomNames[name] = room, room
		}
		room.Closed = false
		ids[n] = room.ID
	}
	return ids
}

// outcome is what is planned for a person.
func (w *rosterWrite) outcome(user *rosterUser) RosterStatus {
	switch {
	case user.was == nil:
		return RosterAdded
	case user.was.IsActive() && !user.IsActive():
		return RosterDeactivated
	case !user.was.IsActive() && user.IsActive():
		return RosterReactivated
	case user.isOther() || w.moves(user):
		return RosterChanged
	}
	return RosterUnchanged
}

// moves tells whether a person comes into a room or goes out of one.
func (w *rosterWrite) moves(user *rosterUser) bool {
	for _, room := range w.wanted[user.ID] {
		if !w.members[membership{room, user.ID}] {
			return true
		}
	}
	for room := range w.rooms {
		if w.members[membership{room, user.ID}] && !slices.Contains(w.wanted[user.ID], room) {
			return true
		}
	}
	return false
}

// writeSteps is of how many steps write tells.
const writeSteps = 5

// write writes what was planned.
func (w *rosterWrite) write(ctx context.Context, tx *transaction, progress func(step string, done, total int)) error {
	steps := [writeSteps]struct {
		name string
		do   func(context.Context, *transaction) error
	}{
		{"waiting rooms", w.setRooms},
		{"people", w.setUsers},
		{"who is in which room", w.setMembers},
		{"groups", w.setGroups},
		{"events", w.tell},
	}
	for n, step := range steps {
		progress(step.name, n+1, writeSteps+1)
		if err := step.do(ctx, tx); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	progress("done", writeSteps+1, writeSteps+1)
	return nil
}

// silently is no progress.
func silently(string, int, int) {}

func (w *rosterWrite) setRooms(ctx context.Context, tx *transaction) error {
	var added, changed []*rosterRoom
	for _, room := range w.rooms {
		switch {
		case room.was == nil:
			added = append(added, room)
			w.change.RoomsAdded = append(w.change.RoomsAdded, room.Name)
		case room.Closed != room.was.Closed || room.Name != room.was.Name || room.ExternalID != room.was.ExternalID:
			changed = append(changed, room)
			if room.Closed && !room.was.Closed {
				w.change.RoomsClosed = append(w.change.RoomsClosed, room.Name)
			}
			if room.Name != room.was.Name {
				w.tellRoomName(room)
			}
		}
	}
	streams, err := eventlog.NewStreams(ctx, tx.Tx, len(added))
	if err != nil {
		return err
	}
	for n, room := range added {
		room.Stream = streams[n]
	}
	columns := func(rooms []*rosterRoom) (ids []WaitingRoomID, names, externalIDs []string, closed []bool) {
		for _, room := range rooms {
			ids, names = append(ids, room.ID), append(names, room.Name)
			externalIDs, closed = append(externalIDs, room.ExternalID), append(closed, room.Closed)
		}
		return ids, names, externalIDs, closed
	}
	ids, names, externalIDs, _ := columns(added)
	const insert = `
		INSERT INTO waiting_rooms (id, clinic_id, name, external_id, stream)
		SELECT id, $1, name, external_id, stream
		FROM unnest($2::uuid[], $3::text[], $4::text[], $5::bigint[]) AS given (id, name, external_id, stream)`
	if _, err := tx.ExecContext(ctx, insert, w.clinic.ID, array(ids), array(names), array(externalIDs), array(streams)); err != nil {
		return err
	}
	ids, names, externalIDs, closed := columns(changed)
	const update = `
		UPDATE waiting_rooms SET name = given.name, external_id = given.external_id,
			deactivated_at = CASE WHEN closed THEN COALESCE(deactivated_at, now()) END
		FROM unnest($1::uuid[], $2::text[], $3::text[], $4::boolean[]) AS given (id, name, external_id, closed)
		WHERE waiting_rooms.id = given.id`
	_, err = tx.ExecContext(ctx, update, array(ids), array(names), array(externalIDs), array(closed))
	return err
}

// tellRoomName tells who is in a room that it is called otherwise.
func (w *rosterWrite) tellRoomName(room *rosterRoom) {
	w.events = append(w.events, eventlog.Event{Stream: room.Stream, Kind: kindRoomRenamed, Scope: room.ID.UUID})
	for at := range w.members {
		if at.Room == room.ID && w.users[at.User].Kind != Patient {
			w.directory.changed(at.User)
		}
	}
}

func (w *rosterWrite) setUsers(ctx context.Context, tx *transaction) error {
	var added, changed, renamed []*rosterUser
	for _, user := range w.people {
		switch {
		case user.was == nil:
			added = append(added, user)
		case user.isOther():
			changed = append(changed, user)
			w.directory.changed(user.ID)
			if w.note(user) {
				renamed = append(renamed, user)
			}
		case user.ExternalID != user.was.ExternalID || user.Unlisted != user.was.Unlisted || !slices.Equal(user.Dormant, user.was.Dormant):
			changed = append(changed, user)
		}
	}
	slices.Sort(w.change.Renamed)
	slices.Sort(w.change.Reactivated)
	slices.Sort(w.change.Deactivated)
	if err := w.insertUsers(ctx, tx, added); err != nil {
		return err
	}
	columns := columnsOf(changed)
	for n, user := range changed {
		columns.seqs[n] = w.directory.seqs[user.ID]
	}
	const update = `
		UPDATE users SET email = given.email, name = given.name, role_label = given.role_label, kind = given.kind,
			external_id = given.external_id, unlisted = given.unlisted, dormant_rooms = given.dormant_rooms::uuid[],
			deactivated_at = CASE WHEN NOT active THEN COALESCE(deactivated_at, now()) END,
			entered_seq = CASE
				WHEN active AND given.kind <> 'PATIENT' AND (users.kind = 'PATIENT' OR users.deactivated_at IS NOT NULL) THEN given.seq
				ELSE users.entered_seq END
		FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::boolean[], $8::boolean[], $9::text[], $10::bigint[])
			AS given (id, email, name, role_label, kind, external_id, unlisted, active, dormant_rooms, seq)
		WHERE users.id = given.id`
	if _, err := tx.ExecContext(ctx, update, array(columns.ids), array(columns.emails), array(columns.names), array(columns.labels),
		array(columns.kinds), array(columns.externalIDs), array(columns.unlisted), array(columns.active), array(columns.dormant), array(columns.seqs)); err != nil {
		return err
	}
	return w.tellNames(ctx, tx, renamed)
}

// note notes what is planned for somebody who was here, and tells whether they still are.
func (w *rosterWrite) note(user *rosterUser) bool {
	switch {
	case !user.IsActive() && user.was.IsActive():
		w.gone = append(w.gone, user.ID)
		w.change.Deactivated = append(w.change.Deactivated, user.Email)
		w.events = append(w.events, eventlog.Event{Stream: user.Stream, Kind: kindSignedOut, Subject: user.ID.UUID})
		return false
	case user.IsActive() && !user.was.IsActive():
		w.back = append(w.back, user.ID)
		w.change.Reactivated = append(w.change.Reactivated, user.Email)
	}
	if user.Name != user.was.Name || user.RoleLabel != user.was.RoleLabel || user.Email != user.was.Email {
		w.change.Renamed = append(w.change.Renamed, user.Email)
	}
	return user.IsActive()
}

type userColumnValues struct {
	ids                                       []UserID
	emails, names, labels, kinds, externalIDs []string
	unlisted, active                          []bool
	seqs                                      []int64
	dormant                                   []string // arrays as Postgres writes them: an array of arrays can't be ragged
}

func columnsOf(users []*rosterUser) (columns userColumnValues) {
	for _, user := range users {
		columns.ids, columns.emails = append(columns.ids, user.ID), append(columns.emails, user.Email)
		columns.names, columns.labels = append(columns.names, user.Name), append(columns.labels, user.RoleLabel)
		columns.kinds, columns.externalIDs = append(columns.kinds, string(user.Kind)), append(columns.externalIDs, user.ExternalID)
		columns.unlisted, columns.active = append(columns.unlisted, user.Unlisted), append(columns.active, user.IsActive())
		columns.seqs = append(columns.seqs, 0)
		columns.dormant = append(columns.dormant, "{"+strings.Join(user.Dormant, ",")+"}")
	}
	return columns
}

func (w *rosterWrite) insertUsers(ctx context.Context, tx *transaction, added []*rosterUser) error {
	columns := columnsOf(added)
	streams, err := eventlog.NewPrivateStreams(ctx, tx.Tx, plain(columns.ids))
	if err != nil {
		return err
	}
	for n, user := range added {
		user.Stream, columns.seqs[n] = streams[n], w.directory.changed(user.ID)
		w.change.Added = append(w.change.Added, user.Email)
	}
	const insert = `
		INSERT INTO users (id, clinic_id, email, name, role_label, kind, external_id, stream, changed_seq, deactivated_at, entered_seq)
		SELECT id, $1, email, name, role_label, kind, external_id, stream, changed_seq, CASE WHEN NOT active THEN now() END,
			CASE WHEN active AND kind <> 'PATIENT' THEN changed_seq END
		FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bigint[], $9::bigint[], $10::boolean[])
			AS given (id, email, name, role_label, kind, external_id, stream, changed_seq, active)`
	_, err = tx.ExecContext(ctx, insert, w.clinic.ID, array(columns.ids), array(columns.emails), array(columns.names), array(columns.labels),
		array(columns.kinds), array(columns.externalIDs), array(streams), array(columns.seqs), array(columns.active))
	return err
}

// tellNames tells the rooms of people that they are called otherwise, and lets searches know. Whose kind changed
// comes into their rooms anew.
func (w *rosterWrite) tellNames(ctx context.Context, tx *transaction, renamed []*rosterUser) error {
	byID := byKey(renamed, func(u *rosterUser) UserID { return u.ID })
	for at := range w.members {
		if user := byID[at.User]; user != nil && user.Kind != Patient {
			w.hear(kindUserChanged, at)
		}
	}
	ids, texts := make([]UserID, 0, len(byID)), make([]*string, 0, len(byID))
	for id, user := range byID {
		if !user.changedKind() {
			ids, texts = append(ids, id), append(texts, searchTextOf(&user.User))
		}
	}
	const update = `
		UPDATE waiting_room_members SET search = given.search
		FROM unnest($1::uuid[], $2::text[]) AS given (user_id, search)
		WHERE waiting_room_members.user_id = given.user_id`
	_, err := tx.ExecContext(ctx, update, array(ids), array(texts))
	return err
}

// searchTextOf is what a search finds a person by. Patients are not found.
func searchTextOf(user *User) *string {
	if user.Kind == Patient {
		return nil
	}
	text := searchText(user.Name, user.Email)
	return &text
}

// hear lets who is in a room hear of a person.
func (w *rosterWrite) hear(kind string, at membership) {
	event := eventlog.Event{Stream: w.rooms[at.Room].Stream, Kind: kind, Scope: at.Room.UUID, Subject: at.User.UUID}
	switch kind {
	case kindRoomJoined:
		event.Opens = []uuid.UUID{at.User.UUID}
	case kindRoomLeft:
		event.Closes = []uuid.UUID{at.User.UUID}
	}
	w.events = append(w.events, event)
}

// setMembers puts people into their rooms and takes them out of others. Whose kind changed goes
// out of all rooms and comes in again as what they are now: patients are nobody's contacts, and
// hear of none.
func (w *rosterWrite) setMembers(ctx context.Context, tx *transaction) error {
	wanted := make(map[membership]bool, len(w.members))
	for id, rooms := range w.wanted {
		for _, room := range rooms {
			wanted[membership{room, id}] = true
		}
	}
	var out, in struct {
		rooms  []WaitingRoomID
		users  []UserID
		search []*string
		seqs   []int64
	}
	for at := range w.members {
		user := w.users[at.User]
		if wanted[at] && !user.changedKind() {
			delete(wanted, at)
			continue
		}
		out.rooms, out.users = append(out.rooms, at.Room), append(out.users, at.User)
		out.seqs = append(out.seqs, w.directory.changed(at.User))
		w.change.Left++
		w.noteMove("leaves", at)
		w.left = append(w.left, at.User)
		if user.was.Kind != Patient {
			w.hear(kindRoomLeft, at)
		}
	}
	// In the order of the primary key, which an index likes.
	for _, at := range slices.SortedFunc(maps.Keys(wanted), membership.compare) {
		user := w.users[at.User]
		in.rooms, in.users, in.search = append(in.rooms, at.Room), append(in.users, at.User), append(in.search, searchTextOf(&user.User))
		in.seqs = append(in.seqs, w.directory.changed(at.User))
		w.change.Joined++
		w.noteMove("joins", at)
		if user.Kind != Patient {
			w.hear(kindRoomJoined, at)
		}
	}
	const remove = `
		WITH removed AS (
			DELETE FROM waiting_room_members USING unnest($1::uuid[], $2::uuid[], $3::bigint[]) AS given (room, person, seq)
			WHERE waiting_room_id = room AND user_id = person
			RETURNING waiting_room_id, user_id, joined_seq, seq AS left_seq, search
		)
		INSERT INTO former_waiting_room_members (waiting_room_id, user_id, joined_seq, left_seq)
		SELECT waiting_room_id, user_id, joined_seq, left_seq FROM removed WHERE search IS NOT NULL`
	if _, err := tx.ExecContext(ctx, remove, array(out.rooms), array(out.users), array(out.seqs)); err != nil {
		return err
	}
	const insert = `
		INSERT INTO waiting_room_members (waiting_room_id, user_id, search, joined_seq)
		SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::bigint[])`
	_, err := tx.ExecContext(ctx, insert, array(in.rooms), array(in.users), array(in.search), array(in.seqs))
	return err
}

// noteMove notes a coming or going for a dry run.
func (w *rosterWrite) noteMove(how string, at membership) {
	if w.noteMoves {
		w.change.Moves = append(w.change.Moves, w.users[at.User].Email+" "+how+" "+w.rooms[at.Room].Name)
	}
}

// setGroups gives the groups of owners who are gone to others (E3), also to those who are back in a group whose owner
// went before, and where the clinic wants it
// takes people out of groups in which they share no waiting room with anybody any more (E13).
func (w *rosterWrite) setGroups(ctx context.Context, tx *transaction) error {
	const owned = `
		SELECT conversations.id FROM conversations JOIN users ON users.id = owner_id
		WHERE users.id = ANY ($1) AND users.deactivated_at IS NOT NULL AND deleted_at IS NULL AND closed_at IS NULL
		UNION
		SELECT conversations.id FROM participants
		JOIN conversations ON conversations.id = conversation_id JOIN users ON users.id = owner_id
		WHERE participants.user_id = ANY ($2) AND left_at IS NULL
			AND users.deactivated_at IS NOT NULL AND deleted_at IS NULL AND closed_at IS NULL
		ORDER BY id`
	var ids []ConversationID
	if err := tx.SelectContext(ctx, &ids, owned, array(w.gone), array(w.back)); err != nil {
		return err
	}
	for _, id := range ids {
		group, err := lockGroup(ctx, tx, id)
		if err != nil {
			return err
		}
		if active, err := works(ctx, tx, group.OwnerID); err != nil {
			return err
		} else if active {
			continue
		}
		// Without anybody else who is active the group keeps its owner, who may come back.
		handed, err := succeed(ctx, tx, group, nil, false)
		if err != nil {
			return err
		}
		if handed {
			w.change.GroupsHandedOver++
		}
	}
	if !w.clinic.RemoveOnRoomExit {
		return nil
	}
	const strangers = `
		SELECT mine.conversation_id AS group_id, mine.user_id
		FROM participants AS mine
		JOIN conversations ON conversations.id = mine.conversation_id AND kind = 'GROUP' AND deleted_at IS NULL AND closed_at IS NULL
		WHERE mine.user_id = ANY ($1) AND mine.left_at IS NULL AND NOT EXISTS (
			SELECT FROM participants AS others
			JOIN waiting_room_members AS there ON there.user_id = others.user_id
			JOIN waiting_room_members AS here ON here.waiting_room_id = there.waiting_room_id AND here.user_id = mine.user_id
				AND here.search IS NOT NULL AND there.search IS NOT NULL
			WHERE others.conversation_id = mine.conversation_id AND others.left_at IS NULL AND others.user_id <> mine.user_id)
		ORDER BY mine.conversation_id, mine.user_id`
	var leaving []struct {
		GroupID ConversationID `db:"group_id"`
		UserID  UserID         `db:"user_id"`
	}
	staying := slices.DeleteFunc(w.left, func(id UserID) bool { return !w.users[id].IsActive() })
	if err := tx.SelectContext(ctx, &leaving, strangers, array(staying)); err != nil {
		return err
	}
	for _, who := range leaving {
		if err := w.takeOut(ctx, tx, who.GroupID, who.UserID); err != nil {
			return err
		}
	}
	return nil
}

// works tells whether the owner of a group that was just locked is somebody who is active, or the
// group has none.
func works(ctx context.Context, tx *transaction, owner *UserID) (active bool, err error) {
	if owner == nil {
		return true, nil
	}
	err = tx.GetContext(ctx, &active, `SELECT deactivated_at IS NULL FROM users WHERE id = $1`, owner)
	return active, err
}

func (w *rosterWrite) takeOut(ctx context.Context, tx *transaction, id ConversationID, who UserID) error {
	group, err := lockGroup(ctx, tx, id)
	if err != nil {
		return err
	}
	if active, err := isActive(ctx, tx, id, who); err != nil || !active {
		return err
	}
	if group.OwnerID != nil && *group.OwnerID == who {
		handed, err := succeed(ctx, tx, group, nil, true)
		if err != nil {
			return err
		}
		if !handed {
			if err := closeGroup(ctx, tx, group); err != nil {
				return err
			}
		}
	}
	w.change.RemovedFromGroups++
	return part(ctx, tx, group, who, Removed)
}

// lockGroup takes the lock of a group on behalf of the roster.
func lockGroup(ctx context.Context, tx *transaction, id ConversationID) (*ConversationView, error) {
	const query = `SELECT id, kind, stream, name, owner_id FROM conversations WHERE id = $1 FOR NO KEY UPDATE`
	var group ConversationView
	if err := tx.GetContext(ctx, &group, query, id); err != nil {
		return nil, fmt.Errorf("lock the group: %w", err)
	}
	return &group, nil
}

// tell appends the events of the whole change: behind the groups, in the order of all locks.
func (w *rosterWrite) tell(ctx context.Context, tx *transaction) error {
	return w.directory.write(ctx, tx, w.events)
}
