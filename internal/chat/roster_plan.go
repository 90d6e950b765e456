package chat

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"time"

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
// for their addresses, and takes them only out of rooms that it closes.
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
		SELECT ` + rosterUserColumns + ` FROM (
			SELECT id FROM users WHERE clinic_id = $1 AND email = ANY ($2)
			UNION SELECT unnest($3::uuid[])
			UNION SELECT user_id FROM waiting_room_members WHERE waiting_room_id = ANY ($4)
			UNION SELECT id FROM users WHERE dormant_rooms && $4::uuid[] AND dormant_rooms <> '{}'
		) AS concerned
		CROSS JOIN LATERAL (SELECT * FROM users WHERE id = concerned.id OFFSET 0) AS users -- each by its id, however few there are
		WHERE clinic_id = $1`
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
