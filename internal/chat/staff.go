package chat

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"corridor/internal/eventlog"
)

// MaxStaffPage is the largest page of what partners read whole.
const MaxStaffPage = 500

// Directory is everybody who works at a clinic, and its waiting rooms. What is in it the methods of Service say.
type Directory struct{}

// StaffMember is somebody of the directory, with where they are.
type StaffMember struct {
	User
	WaitingRooms []WaitingRoom
}

// mayReadStaff refuses whoever may not read the directory: everybody who works at the clinic, and its waiting rooms, with no
// regard to who shares one with whom. It is for administrators and for keys with ContactsRead; for all others there is none.
func mayReadStaff(actor Actor) error {
	if !actor.May(ContactsRead) {
		return notFound("directory", "directory")
	}
	return nil
}

// isStaff tells which users are in the directory.
const isStaff = `users.kind <> 'PATIENT' AND users.deactivated_at IS NULL`

// StaffList is one of the lists that partners read: all people of the directory, or who is in a waiting room, or the
// contacts of a person.
type StaffList struct {
	WaitingRoomID WaitingRoomID
	ContactsOf    UserID
}

// StaffPage asks for a page of a list.
type StaffPage struct {
	StaffList
	Forward
}

// Staff returns pages of lists in the order of ids, which no change of a person changes. With WithCursor a page comes with
// the directory seq from which on changes may be missing in it.
func (s *Service) Staff(ctx context.Context, actor Actor, asked []StaffPage) (map[StaffPage]Page[User], error) {
	if err := mayReadStaff(actor); err != nil {
		return nil, err
	}
	seq := ""
	var after []*string
	for _, page := range asked {
		at, err := page.afterText(1)
		if err != nil {
			return nil, err
		}
		after = append(after, at.at(0))
		if page.WithCursor && seq == "" {
			if seq, err = s.directorySeq(ctx, actor); err != nil {
				return nil, err
			}
		}
	}
	users, err := s.staff(ctx, actor, asked, after)
	if err != nil {
		return nil, err
	}
	found := make(map[StaffPage]Page[User], len(asked))
	for i, page := range asked {
		found[page] = forward(users[i], page.Forward).from(seq)
	}
	return found, nil
}

// staff reads the beginnings of lists, one person more than asked for.
func (s *Service) staff(ctx context.Context, actor Actor, asked []StaffPage, after []*string) ([][]User, error) {
	// Each list is read from its own index; the other two are empty without being looked at.
	const query = `
		SELECT asked.place, ` + userColumns + `, presence.seen_at
		FROM unnest($2::uuid[], $3::uuid[], $4::uuid[], $5::int[]) WITH ORDINALITY AS asked (after, room, person, size, place)
		CROSS JOIN LATERAL (
			(SELECT ` + userColumns + ` FROM users
			WHERE asked.room IS NULL AND asked.person IS NULL AND clinic_id = $1 AND ` + isStaff + `
				AND users.id > asked.after
			ORDER BY users.id LIMIT asked.size)
			UNION ALL
			SELECT ` + userColumns + `
			FROM (
				(SELECT user_id FROM waiting_room_members
				JOIN waiting_rooms ON waiting_rooms.id = waiting_room_id AND deactivated_at IS NULL AND clinic_id = $1
				WHERE waiting_room_id = asked.room AND search IS NOT NULL AND user_id > asked.after
				ORDER BY user_id LIMIT asked.size)
				UNION ALL
				(SELECT DISTINCT theirs.user_id
				FROM waiting_room_members AS mine
				JOIN waiting_rooms ON waiting_rooms.id = mine.waiting_room_id AND deactivated_at IS NULL AND clinic_id = $1
				JOIN waiting_room_members AS theirs ON theirs.waiting_room_id = mine.waiting_room_id AND theirs.search IS NOT NULL
				WHERE asked.person IS NOT NULL -- or all might be read for nobody
					AND mine.user_id = asked.person AND mine.search IS NOT NULL AND theirs.user_id <> asked.person AND theirs.user_id > asked.after
				ORDER BY theirs.user_id LIMIT asked.size)
			) AS listed
			CROSS JOIN LATERAL (SELECT * FROM users WHERE id = listed.user_id OFFSET 0) AS users -- however few are asked for
		) AS users
		LEFT JOIN LATERAL (SELECT seen_at FROM presence WHERE user_id = users.id OFFSET 0) AS presence ON true
		ORDER BY asked.place, users.id`
	from, rooms, people, sizes := make([]string, len(asked)), make([]*WaitingRoomID, len(asked)), make([]*UserID, len(asked)), make([]int, len(asked))
	for i, page := range asked {
		from[i], sizes[i] = uuid.Nil.String(), page.First+1
		if after[i] != nil {
			from[i] = *after[i]
		}
		rooms[i], people[i] = page.ids()
	}
	var rows []struct {
		Place int `db:"place"`
		User
	}
	if err := s.find(ctx, &rows, query, actor.Clinic.ID, array(from), array(rooms), array(people), array(sizes)); err != nil {
		return nil, fmt.Errorf("staff: %w", err)
	}
	users := make([][]User, len(asked))
	for _, row := range rows {
		users[row.Place-1] = append(users[row.Place-1], row.User)
	}
	return users, nil
}

// ids are of what the list is, nil for what it is not of.
func (l StaffList) ids() (room *WaitingRoomID, person *UserID) {
	if l.WaitingRoomID != (WaitingRoomID{}) {
		room = &l.WaitingRoomID
	}
	if l.ContactsOf != (UserID{}) {
		person = &l.ContactsOf
	}
	return room, person
}

// ByID is the person's place in a list by id, for a cursor.
func (u User) ByID() []string { return []string{u.ID.String()} }

// directorySeq is how far the actor's directory is.
func (s *Service) directorySeq(ctx context.Context, actor Actor) (string, error) {
	var heads []int64
	if err := s.find(ctx, &heads, `SELECT head FROM streams WHERE number = $1`, actor.Clinic.Stream); err != nil {
		return "", fmt.Errorf("the directory seq: %w", err)
	}
	if len(heads) == 0 {
		return "", errors.New("the clinic has no stream")
	}
	return strconv.FormatInt(heads[0], 10), nil
}

// StaffMembers returns people of the directory by their ids.
func (s *Service) StaffMembers(ctx context.Context, actor Actor, ids []UserID) (map[UserID]User, error) {
	if err := mayReadStaff(actor); err != nil {
		return nil, err
	}
	const query = `
		SELECT ` + userColumns + `, presence.seen_at FROM users LEFT JOIN presence ON presence.user_id = users.id
		WHERE users.id = ANY ($1) AND users.clinic_id = $2 AND ` + isStaff
	var users []User
	if err := s.find(ctx, &users, query, array(ids), actor.Clinic.ID); err != nil {
		return nil, fmt.Errorf("staff by id: %w", err)
	}
	return byKey(users, func(u User) UserID { return u.ID }), nil
}

// StaffMemberByEmail returns the person of the directory with an e-mail address, nil if there is none.
func (s *Service) StaffMemberByEmail(ctx context.Context, actor Actor, email string) (*User, error) {
	if err := mayReadStaff(actor); err != nil {
		return nil, err
	}
	address, refused := clean("email", strings.ToLower(strings.TrimSpace(email)), MaxEmail, "")
	if refused != nil {
		return nil, refused
	}
	const query = `
		SELECT ` + userColumns + `, presence.seen_at FROM users LEFT JOIN presence ON presence.user_id = users.id
		WHERE users.clinic_id = $1 AND users.email = $2 AND ` + isStaff
	var users []User
	if err := s.find(ctx, &users, query, actor.Clinic.ID, address); err != nil || len(users) == 0 {
		return nil, err
	}
	return &users[0], nil
}

// StaffWaitingRooms returns, for each of the users, the active waiting rooms that they are in, by name.
func (s *Service) StaffWaitingRooms(ctx context.Context, actor Actor, ids []UserID) (map[UserID][]WaitingRoom, error) {
	if err := mayReadStaff(actor); err != nil {
		return nil, err
	}
	const query = `
		SELECT user_id, waiting_rooms.id, waiting_rooms.name
		FROM waiting_room_members
		JOIN waiting_rooms ON waiting_rooms.id = waiting_room_id AND deactivated_at IS NULL AND clinic_id = $2
		WHERE user_id = ANY ($1) AND search IS NOT NULL
		ORDER BY waiting_rooms.name COLLATE "C"`
	var rows []struct {
		WaitingRoom
		UserID UserID `db:"user_id"`
	}
	if err := s.find(ctx, &rows, query, array(ids), actor.Clinic.ID); err != nil {
		return nil, fmt.Errorf("waiting rooms of staff: %w", err)
	}
	rooms := make(map[UserID][]WaitingRoom, len(ids))
	for _, id := range ids {
		rooms[id] = []WaitingRoom{}
	}
	for _, row := range rows {
		rooms[row.UserID] = append(rooms[row.UserID], row.WaitingRoom)
	}
	return rooms, nil
}

// ClinicWaitingRooms returns a page of the active waiting rooms of the clinic, in the order of ids.
func (s *Service) ClinicWaitingRooms(ctx context.Context, actor Actor, page Forward) (Page[WaitingRoom], error) {
	if err := mayReadStaff(actor); err != nil {
		return Page[WaitingRoom]{}, err
	}
	after, err := page.afterText(1)
	if err != nil {
		return Page[WaitingRoom]{}, err
	}
	const query = `
		SELECT id, name FROM waiting_rooms
		WHERE clinic_id = $1 AND deactivated_at IS NULL AND ($2::uuid IS NULL OR id > $2::uuid)
		ORDER BY id LIMIT $3`
	var rooms []WaitingRoom
	if err := s.find(ctx, &rooms, query, actor.Clinic.ID, after.at(0), page.First+1); err != nil {
		return Page[WaitingRoom]{}, fmt.Errorf("waiting rooms of the clinic: %w", err)
	}
	return forward(rooms, page), nil
}

// ByID is the room's place in a list by id, for a cursor.
func (r WaitingRoom) ByID() []string { return []string{r.ID.String()} }

// ClinicWaitingRoomsByID returns active waiting rooms of the clinic by their ids.
func (s *Service) ClinicWaitingRoomsByID(ctx context.Context, actor Actor, ids []WaitingRoomID) (map[WaitingRoomID]WaitingRoom, error) {
	if err := mayReadStaff(actor); err != nil {
		return nil, err
	}
	const query = `SELECT id, name FROM waiting_rooms WHERE id = ANY ($1) AND clinic_id = $2 AND deactivated_at IS NULL`
	var rooms []WaitingRoom
	if err := s.find(ctx, &rooms, query, array(ids), actor.Clinic.ID); err != nil {
		return nil, fmt.Errorf("waiting rooms by id: %w", err)
	}
	return byKey(rooms, func(r WaitingRoom) WaitingRoomID { return r.ID }), nil
}

// StaffChangeKind says what became of somebody.
type StaffChangeKind string

// What can become of somebody in a list.
const (
	StaffAdded   StaffChangeKind = "ADDED"
	StaffChanged StaffChangeKind = "CHANGED"
	StaffRemoved StaffChangeKind = "REMOVED"
)

// StaffChange is what a copy of a list lacks.
type StaffChange struct {
	Kind   StaffChangeKind `db:"kind"`
	UserID UserID          `db:"user_id"`
	// Cursor is where the list goes on behind this change.
	Cursor string
	seq    int64
}

// changesCursor is the place in the changes of a list: the directory seqs that are compared, and the last
// person who was compared.
type changesCursor struct {
	list        StaffList
	since, next int64
	last        uuid.UUID
}

// ChangesFrom is the cursor of the changes of a list from a directory seq on, which a page comes with.
func ChangesFrom(list StaffList, seq string) string {
	since, _ := strconv.ParseInt(seq, 10, 64) // it was written by directorySeq
	return changesCursor{list: list, since: since}.write()
}

func (c changesCursor) write() string {
	return Cursor([]string{
		"changes", c.list.WaitingRoomID.String(), c.list.ContactsOf.String(),
		strconv.FormatInt(c.since, 10), strconv.FormatInt(c.next, 10), c.last.String(),
	})
}

func readChangesCursor(cursor string) (at changesCursor, err error) {
	read, err := readCursor("after", cursor, 6)
	if err != nil {
		return at, err
	}
	if read == nil || read[0] != "changes" {
		return at, foreignCursor("after")
	}
	failures := make([]error, 4)
	at.list.WaitingRoomID.UUID, failures[0] = uuid.Parse(read[1])
	at.list.ContactsOf.UUID, failures[1] = uuid.Parse(read[2])
	at.since, failures[2] = strconv.ParseInt(read[3], 10, 64)
	at.next, failures[3] = strconv.ParseInt(read[4], 10, 64)
	at.last = uuid.MustParse(read[5]) // readCursor has made sure
	if errors.Join(failures...) != nil || at.since < 0 || at.next < 0 {
		return at, foreignCursor("after")
	}
	return at, nil
}

// StaffChanges returns what a copy of a list lacks that was whole at a cursor, which knows its list: each person once, as they
// are by now. Of somebody who changes meanwhile it may tell once more.
func (s *Service) StaffChanges(ctx context.Context, actor Actor, page Forward) (Page[StaffChange], error) {
	if err := mayReadStaff(actor); err != nil {
		return Page[StaffChange]{}, err
	}
	if err := page.Valid(); err != nil {
		return Page[StaffChange]{}, err
	}
	at, err := readChangesCursor(page.After)
	if err != nil {
		return Page[StaffChange]{}, err
	}
	if at.list == (StaffList{}) {
		return s.directoryChanges(ctx, actor, at, page)
	}
	return s.listChanges(ctx, actor, at, page)
}

// directoryChanges are in the order in which people changed last.
func (s *Service) directoryChanges(ctx context.Context, actor Actor, at changesCursor, page Forward) (Page[StaffChange], error) {
	const query = `
		SELECT id AS user_id, changed_seq,
			CASE WHEN NOT (` + isStaff + `) THEN 'REMOVED' WHEN entered_seq > $2 THEN 'ADDED' ELSE 'CHANGED' END AS kind
		FROM users WHERE clinic_id = $1 AND changed_seq > $2 AND entered_seq IS NOT NULL
		ORDER BY changed_seq LIMIT $3`
	var rows []struct {
		StaffChange
		Seq int64 `db:"changed_seq"`
	}
	if err := s.find(ctx, &rows, query, actor.Clinic.ID, at.since, page.First+1); err != nil {
		return Page[StaffChange]{}, fmt.Errorf("changes of the directory: %w", err)
	}
	changes := make([]StaffChange, len(rows))
	for i, row := range rows {
		changes[i] = row.StaffChange
		changes[i].Cursor, changes[i].seq = changesCursor{since: row.Seq}.write(), row.Seq
	}
	return forward(changes, page), nil
}

// listChanges compares who is in a list with who was in it at the cursor or since, in the order of ids. Who came and went since counts: a copy
// that was read in between has them. So whoever differs once differs for good, and no page vanishes behind a cursor.
func (s *Service) listChanges(ctx context.Context, actor Actor, at changesCursor, page Forward) (Page[StaffChange], error) {
	if at.last == uuid.Nil {
		// What changes while the pages are read is told by the changes from here on.
		seq, err := s.directorySeq(ctx, actor)
		if err != nil {
			return Page[StaffChange]{}, err
		}
		at.next, _ = strconv.ParseInt(seq, 10, 64)
	}
	const query = `
		WITH now AS (
			SELECT user_id AS id FROM waiting_room_members
			JOIN waiting_rooms ON waiting_rooms.id = waiting_room_id AND deactivated_at IS NULL AND clinic_id = $1
			WHERE waiting_room_id = $3 AND search IS NOT NULL
			UNION
			SELECT theirs.user_id FROM waiting_room_members AS mine
			JOIN waiting_rooms ON waiting_rooms.id = mine.waiting_room_id AND deactivated_at IS NULL AND clinic_id = $1
			JOIN waiting_room_members AS theirs ON theirs.waiting_room_id = mine.waiting_room_id AND theirs.search IS NOT NULL
			WHERE mine.user_id = $4 AND mine.search IS NOT NULL AND theirs.user_id <> $4
		), asked AS (
			SELECT id, 0::bigint AS came, 9223372036854775807 AS went FROM waiting_rooms WHERE id = $3 AND clinic_id = $1
			UNION ALL
			SELECT waiting_room_id, joined_seq, 9223372036854775807
			FROM waiting_room_members JOIN waiting_rooms ON waiting_rooms.id = waiting_room_id AND clinic_id = $1
			WHERE user_id = $4 AND search IS NOT NULL
			UNION ALL
			SELECT waiting_room_id, joined_seq, left_seq
			FROM former_waiting_room_members JOIN waiting_rooms ON waiting_rooms.id = waiting_room_id AND clinic_id = $1
			WHERE user_id = $4 AND left_seq > $5
		), listed AS (
			SELECT user_id, greatest(came, joined_seq) AS since, went AS until
			FROM waiting_room_members JOIN asked ON asked.id = waiting_room_id WHERE search IS NOT NULL
			UNION ALL
			SELECT user_id, greatest(came, joined_seq), least(went, left_seq)
			FROM former_waiting_room_members JOIN asked ON asked.id = waiting_room_id WHERE left_seq > $5
		), was AS (
			SELECT user_id AS id, bool_or(since <= $5) AS before FROM listed
			WHERE since < until AND user_id IS DISTINCT FROM $4::uuid GROUP BY user_id
		)
		SELECT coalesce(now.id, was.id) AS user_id,
			CASE WHEN now.id IS NULL THEN 'REMOVED' WHEN before THEN 'CHANGED' ELSE 'ADDED' END AS kind
		FROM now FULL JOIN was ON was.id = now.id
		LEFT JOIN users ON users.id = now.id
		WHERE (now.id IS NULL OR before IS NOT TRUE OR users.changed_seq > $5) AND coalesce(now.id, was.id) > $2
		ORDER BY coalesce(now.id, was.id) LIMIT $6`
	room, person := at.list.ids()
	var changes []StaffChange
	if err := s.find(ctx, &changes, query, actor.Clinic.ID, at.last, room, person, at.since, page.First+1); err != nil {
		return Page[StaffChange]{}, fmt.Errorf("changes of a list: %w", err)
	}
	found := forward(changes, page)
	for i := range found.Items {
		found.Items[i].Cursor = changesCursor{at.list, at.since, at.next, found.Items[i].UserID.UUID}.write()
	}
	if n := len(found.Items); n > 0 && !found.HasNext {
		found.Items[n-1].Cursor = changesCursor{list: at.list, since: at.next}.write()
	}
	return found, nil
}

// StaffStream follows the changes of a directory.
type StaffStream struct {
	service  *Service
	actor    Actor
	follower *eventlog.Follower
	at       changesCursor
	pending  []StaffChange
	// stale says that there may be changes that were not read.
	stale bool
}

// FollowStaff begins the changes of the directory behind a cursor, or now if there is none. The bell is as that of Follow.
// Close must be called.
func (s *Service) FollowStaff(ctx context.Context, actor Actor, after *string, bell func()) (*StaffStream, error) {
	if err := mayReadStaff(actor); err != nil {
		return nil, err
	}
	stream := &StaffStream{service: s, actor: actor, stale: after != nil}
	if after != nil {
		var err error
		if stream.at, err = readChangesCursor(*after); err != nil {
			return nil, err
		}
		if stream.at.list != (StaffList{}) {
			return nil, foreignCursor("after")
		}
	}
	if !s.present.enter(actor.User.ID) {
		return nil, refuse(CodeTooManySubscriptions, "You have %d subscriptions open: end one first.", MaxStreams)
	}
	// The reader of a clinic's stream is the clinic. Its events only say that there is something to read, so where it begins is
	// no matter: whatever was committed before is read once it has begun.
	var err error
	if stream.follower, err = s.log.Follow(ctx, actor.Clinic.ID.UUID, "", bell); err != nil {
		s.present.leave(actor.User.ID)
		return nil, err
	}
	if after == nil {
		seq, err := s.directorySeq(ctx, actor)
		if err != nil {
			stream.Close()
			return nil, err
		}
		stream.at.since, _ = strconv.ParseInt(seq, 10, 64)
	}
	return stream, nil
}

// Close ends the stream.
func (s *StaffStream) Close() {
	s.service.present.leave(s.actor.User.ID)
	s.follower.Close()
}

// Poll returns the next change, or nil and after how long to poll again, unless the bell rings before.
func (s *StaffStream) Poll(ctx context.Context) (*StaffChange, time.Duration, error) {
	for len(s.pending) == 0 {
		_, ok, again, err := s.follower.Poll(ctx)
		switch {
		case err != nil:
			return nil, 0, err
		case ok:
			s.stale = true
			continue
		case !s.stale:
			return nil, again, nil
		}
		page, err := s.service.directoryChanges(ctx, s.actor, s.at, Forward{First: MaxPage})
		if err != nil {
			return nil, 0, err
		}
		s.pending, s.stale = page.Items, page.HasNext
	}
	change := s.pending[0]
	s.pending = s.pending[1:]
	s.at.since = change.seq
	return &change, 0, nil
}

// exportAtOnce is how many people of a download are read at a time: as many as of a page, as messages wait for the statements.
const exportAtOnce = MaxStaffPage

// ExportStaff returns what reads all people of a list in the order of ids, the next ones each time as long as there are more. What changes meanwhile
// may be seen or not, but nobody is missing who was there all the time, and nobody comes twice. Before each of its long statements it
// calls pause. With it comes the cursor of StaffChanges that goes on behind what is read: whatever may be missing there comes
// from it. Of a person or a room that the directory has not got it fails with NOT_FOUND.
func (s *Service) ExportStaff(ctx context.Context, actor Actor, list StaffList, pause func(context.Context)) (next func(context.Context) (members []StaffMember, more bool, err error), changes string, err error) {
	if err := s.mustHave(ctx, actor, list); err != nil {
		return nil, "", err
	}
	seq, err := s.directorySeq(ctx, actor) // before the rows, so that nothing falls between
	if err != nil {
		return nil, "", err
	}
	page := StaffPage{StaffList: list, Forward: Forward{First: exportAtOnce - 1}}
	var after *string
	return func(ctx context.Context) (members []StaffMember, more bool, err error) {
		pause(ctx)
		read, err := s.staff(ctx, actor, []StaffPage{page}, []*string{after})
		if err != nil {
			return nil, false, err
		}
		ids := make([]UserID, len(read[0]))
		for i, user := range read[0] {
			ids[i] = user.ID
		}
		pause(ctx)
		rooms, err := s.StaffWaitingRooms(ctx, actor, ids)
		if err != nil {
			return nil, false, err
		}
		members = make([]StaffMember, len(ids))
		for i, user := range read[0] {
			members[i] = StaffMember{user, rooms[user.ID]}
		}
		if more = len(ids) == exportAtOnce; more {
			last := ids[len(ids)-1].String()
			after = &last
		}
		return members, more, nil
	}, ChangesFrom(list, seq), nil
}

// ExportWaitingRooms returns what reads all active waiting rooms of the clinic, as ExportStaff does people. There are no changes
// of them to go on with.
func (s *Service) ExportWaitingRooms(actor Actor) (next func(context.Context) (rooms []WaitingRoom, more bool, err error)) {
	page := Forward{First: MaxStaffPage, Most: MaxStaffPage}
	return func(ctx context.Context) ([]WaitingRoom, bool, error) {
		rooms, err := s.ClinicWaitingRooms(ctx, actor, page)
		if rooms.HasNext {
			page.After = Cursor(rooms.Items[len(rooms.Items)-1].ByID())
		}
		return rooms.Items, rooms.HasNext, err
	}
}

// mustHave refuses lists of nobody, or of a room that the clinic has not got.
func (s *Service) mustHave(ctx context.Context, actor Actor, list StaffList) error {
	switch room, person := list.ids(); {
	case person != nil:
		found, err := s.StaffMembers(ctx, actor, []UserID{*person})
		if err == nil && len(found) == 0 {
			err = notFound("person", "user")
		}
		return err
	case room != nil:
		found, err := s.ClinicWaitingRoomsByID(ctx, actor, []WaitingRoomID{*room})
		if err == nil && len(found) == 0 {
			err = notFound("waiting room", "waitingRoom")
		}
		return err
	}
	return mayReadStaff(actor)
}
