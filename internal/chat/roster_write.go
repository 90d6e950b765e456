package chat

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"

	"corridor/internal/eventlog"
)

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
	leaves := func(at membership) {
		out.rooms, out.users = append(out.rooms, at.Room), append(out.users, at.User)
		out.seqs = append(out.seqs, w.directory.changed(at.User))
	}
	programs, err := w.programsShutOut(ctx, tx)
	if err != nil {
		return err
	}
	for _, at := range programs {
		leaves(at)
		w.hear(kindRoomLeft, at)
	}
	for at := range w.members {
		user := w.users[at.User]
		if wanted[at] && !user.changedKind() {
			delete(wanted, at)
			continue
		}
		leaves(at)
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
	_, err = tx.ExecContext(ctx, insert, array(in.rooms), array(in.users), array(in.search), array(in.seqs))
	return err
}

// programsShutOut are the service accounts that are in rooms that are closed.
func (w *rosterWrite) programsShutOut(ctx context.Context, tx *transaction) (programs []membership, err error) {
	var closed []WaitingRoomID
	for id, room := range w.rooms {
		if room.Closed {
			closed = append(closed, id)
		}
	}
	const query = `
		SELECT waiting_room_id, user_id FROM waiting_room_members JOIN users ON users.id = user_id AND kind = 'SERVICE'
		WHERE waiting_room_id = ANY ($1) ORDER BY waiting_room_id, user_id`
	err = tx.SelectContext(ctx, &programs, query, array(closed))
	return programs, err
}

// noteMove notes a coming or going for a dry run.
func (w *rosterWrite) noteMove(how string, at membership) {
	if w.noteMoves {
		w.change.Moves = append(w.change.Moves, w.users[at.User].Email+" "+how+" "+w.rooms[at.Room].Name)
	}
}

// tell appends the events of the whole change: behind the groups, in the order of all locks.
func (w *rosterWrite) tell(ctx context.Context, tx *transaction) error {
	return w.directory.write(ctx, tx, w.events)
}
