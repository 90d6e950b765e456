package chat

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// MaxRosterPage is how many people or rooms of a roster are listed at once.
const MaxRosterPage = 500

// RosterPerson is somebody of the roster, as a partner's directory has them.
type RosterPerson struct {
	User
	// ExternalID is what the partner calls them, or "".
	ExternalID string    `db:"external_id"`
	CreatedAt  time.Time `db:"created_at"`
	// WaitingRooms are those that they are in, by name.
	WaitingRooms []WaitingRoom
}

// RosterRoom is a waiting room that is open, as a partner's directory has it.
type RosterRoom struct {
	WaitingRoom
	// ExternalID is what the partner calls it, or "".
	ExternalID string `db:"external_id"`
	// Members are who is in it, by name and address, if they were asked for.
	Members []User
}

// RosterAttribute is what people and rooms of a roster are looked for by.
type RosterAttribute int

// The attributes, each as it is written. Addresses are of people.
const (
	RosterAll RosterAttribute = iota
	RosterID
	RosterEmail
	RosterName
	RosterExternalID
)

// RosterFilter says which people or rooms are wanted.
type RosterFilter struct {
	By    RosterAttribute
	Value string
}

// nothing tells whether nobody can be found: the value is no text that is kept.
func (f *RosterFilter) nothing() bool {
	value, err := clean("filter", f.Value, MaxEmail, "")
	f.Value = value
	return err != nil
}

// condition is that of a statement with the value in $2. Each is one of its own, so that each has a plan of its own.
func (f RosterFilter) condition() string {
	switch f.By {
	case RosterID:
		return ` AND id = $2::uuid`
	case RosterEmail:
		return ` AND email = $2`
	case RosterName:
		return ` AND name = $2`
	case RosterExternalID:
		return ` AND external_id = $2 AND external_id <> ''`
	}
	return ` AND $2 = ''`
}

// RosterWindow is a part of a list.
type RosterWindow struct{ Skip, Count int }

// RosterPeople returns people of the actor's roster, active or not, those who came first coming first, and how many
// there are in all. Who was removed is not among them, nor are service accounts.
func (s *Service) RosterPeople(ctx context.Context, actor Actor, filter RosterFilter, window RosterWindow) (people []RosterPerson, total int, err error) {
	if err := mayWriteRoster(actor); err != nil {
		return nil, 0, err
	}
	if filter.nothing() {
		return nil, 0, nil
	}
	matching := ` FROM users WHERE clinic_id = $1 AND NOT unlisted AND kind <> 'SERVICE'` + filter.condition()
	page := `SELECT ` + userColumns + `, external_id, created_at` + matching + ` ORDER BY id OFFSET $3 LIMIT $4`
	if err := s.db.GetContext(ctx, &total, `SELECT count(*)`+matching, actor.Clinic.ID, filter.Value); err != nil {
		return nil, 0, fmt.Errorf("count the roster: %w", err)
	}
	if err := s.db.SelectContext(ctx, &people, page, actor.Clinic.ID, filter.Value, window.Skip, min(window.Count, MaxRosterPage)); err != nil {
		return nil, 0, fmt.Errorf("read the roster: %w", err)
	}
	ids, places := make([]UserID, len(people)), make(map[UserID]int, len(people))
	for n, person := range people {
		ids[n], places[person.ID] = person.ID, n
	}
	const roomQuery = `
		SELECT user_id, id, name FROM waiting_room_members JOIN waiting_rooms ON id = waiting_room_id
		WHERE user_id = ANY ($1) ORDER BY name COLLATE "C"`
	var rooms []struct {
		UserID UserID `db:"user_id"`
		WaitingRoom
	}
	if err := s.db.SelectContext(ctx, &rooms, roomQuery, array(ids)); err != nil {
		return nil, 0, fmt.Errorf("read the rooms of people: %w", err)
	}
	for _, room := range rooms {
		person := &people[places[room.UserID]]
		person.WaitingRooms = append(person.WaitingRooms, room.WaitingRoom)
	}
	return people, total, nil
}

// RosterPerson returns one person of the actor's roster.
func (s *Service) RosterPerson(ctx context.Context, actor Actor, id UserID) (RosterPerson, error) {
	people, _, err := s.RosterPeople(ctx, actor, RosterFilter{RosterID, id.String()}, RosterWindow{Count: 1})
	if err == nil && len(people) == 0 {
		err = notFound("person", "id")
	}
	if err != nil {
		return RosterPerson{}, err
	}
	return people[0], nil
}

// RosterPersonChange is what is to become of somebody. What is nil stays as it is.
type RosterPersonChange struct {
	Email, Name, Role, ExternalID *string
	Active                        *bool
}

func (c RosterPersonChange) cleaned() (RosterPersonChange, *Error) {
	clean, err := RosterRowInput{UserID: &UserID{}, Email: c.Email, Name: c.Name, Role: c.Role}.cleaned()
	if err != nil {
		return c, err
	}
	c.Email, c.Name, c.Role = clean.Email, clean.Name, clean.Role
	if c.ExternalID != nil {
		external, err := validExternalID(*c.ExternalID)
		if err != nil {
			return c, err
		}
		c.ExternalID = &external
	}
	return c, nil
}

// validExternalID is any line.
func validExternalID(text string) (string, *Error) { return clean("externalId", text, MaxEmail, "") }

// AddRosterPerson adds somebody with an address, a name and a role. Who was removed comes back as who they were;
// anybody else who has the address is EMAIL_TAKEN.
func (s *Service) AddRosterPerson(ctx context.Context, actor Actor, in RosterPersonChange) (RosterPerson, error) {
	clean, refused := in.cleaned()
	switch {
	case refused != nil:
		return RosterPerson{}, refused
	case clean.Email == nil || clean.Name == nil || clean.Role == nil:
		return RosterPerson{}, invalid("email", "Somebody new needs an address, a name and a role.")
	}
	var id UserID
	err := s.changeRoster(ctx, actor, rosterScope{Emails: []string{*clean.Email}}, func(w *rosterWrite) *Error {
		user := w.emails[*clean.Email]
		switch {
		case user == nil:
			user = w.add(*clean.Email)
		case !user.Unlisted || user.IsActive():
			return addressTakenBy(user)
		}
		id = user.ID
		w.employ(user, *clean.Name, *clean.Role)
		user.ExternalID = or(clean.ExternalID, "")
		if clean.Active != nil && !*clean.Active {
			w.deactivate(user)
		}
		return nil
	})
	if err != nil {
		return RosterPerson{}, err
	}
	return s.RosterPerson(ctx, actor, id)
}

// ChangeRosterPerson changes somebody, their address too.
func (s *Service) ChangeRosterPerson(ctx context.Context, actor Actor, id UserID, in RosterPersonChange) (RosterPerson, error) {
	clean, refused := in.cleaned()
	if refused != nil {
		return RosterPerson{}, refused
	}
	scope := rosterScope{Users: []UserID{id}}
	if clean.Email != nil {
		scope.Emails = []string{*clean.Email}
	}
	err := s.changeRoster(ctx, actor, scope, func(w *rosterWrite) *Error {
		user, err := w.listed(id)
		if err != nil {
			return err
		}
		if clean.Email != nil {
			if err := w.readdress(user, *clean.Email); err != nil {
				return err
			}
		}
		active := user.IsActive()
		if clean.Active != nil {
			active = *clean.Active
		}
		name, role := or(clean.Name, user.Name), or(clean.Role, user.RoleLabel)
		if active {
			w.employ(user, name, role)
		} else {
			w.describe(user, name, role)
			w.deactivate(user)
		}
		user.ExternalID = or(clean.ExternalID, user.ExternalID)
		return nil
	})
	if err != nil {
		return RosterPerson{}, err
	}
	return s.RosterPerson(ctx, actor, id)
}

// RemoveRosterPerson deactivates somebody, and takes them off the roster until they are added again.
func (s *Service) RemoveRosterPerson(ctx context.Context, actor Actor, id UserID) error {
	return s.changeRoster(ctx, actor, rosterScope{Users: []UserID{id}}, func(w *rosterWrite) *Error {
		user, err := w.listed(id)
		if err != nil {
			return err
		}
		w.deactivate(user)
		user.Unlisted = true
		return nil
	})
}

// listed is somebody who is on the roster.
func (w *rosterWrite) listed(id UserID) (*rosterUser, *Error) {
	user := w.users[id]
	if user == nil || user.Unlisted || user.isService() {
		return nil, notFound("person", "id")
	}
	return user, nil
}

// changeRoster plans a change of what is concerned, and writes it.
func (s *Service) changeRoster(ctx context.Context, actor Actor, scope rosterScope, plan func(*rosterWrite) *Error) error {
	if err := mayWriteRoster(actor); err != nil {
		return err
	}
	return s.transactIn(ctx, lane{clinic: actor.Clinic.Name}, actor, func(ctx context.Context, tx *transaction) error {
		w, err := readScope(ctx, tx, scope)
		if err != nil {
			return fmt.Errorf("read who is concerned: %w", err)
		}
		if refused := plan(w); refused != nil {
			return refused
		}
		return w.write(ctx, tx, silently)
	})
}

// RosterRooms returns the open waiting rooms of the actor's clinic, by name, and how many there are in all. With may
// they have their members; it is told how many these are before they are read, and its error is returned.
func (s *Service) RosterRooms(ctx context.Context, actor Actor, filter RosterFilter, window RosterWindow, may func(members int) error) (rooms []RosterRoom, total int, err error) {
	if err := mayWriteRoster(actor); err != nil {
		return nil, 0, err
	}
	if filter.nothing() {
		return nil, 0, nil
	}
	matching := ` FROM waiting_rooms WHERE clinic_id = $1 AND deactivated_at IS NULL` + filter.condition()
	page := `SELECT id, name, external_id` + matching + ` ORDER BY name COLLATE "C" OFFSET $3 LIMIT $4`
	if err := s.db.GetContext(ctx, &total, `SELECT count(*)`+matching, actor.Clinic.ID, filter.Value); err != nil {
		return nil, 0, fmt.Errorf("count the rooms: %w", err)
	}
	if err := s.db.SelectContext(ctx, &rooms, page, actor.Clinic.ID, filter.Value, window.Skip, min(window.Count, MaxRosterPage)); err != nil {
		return nil, 0, fmt.Errorf("read the rooms: %w", err)
	}
	if may == nil {
		return rooms, total, nil
	}
	ids, places := make([]WaitingRoomID, len(rooms)), make(map[WaitingRoomID]int, len(rooms))
	for n, room := range rooms {
		ids[n], places[room.ID] = room.ID, n
	}
	const countQuery = `
		SELECT count(*) FROM waiting_room_members JOIN users ON users.id = user_id
		WHERE waiting_room_id = ANY ($1) AND kind <> 'SERVICE'`
	var count int
	if err := s.db.GetContext(ctx, &count, countQuery, array(ids)); err != nil {
		return nil, 0, fmt.Errorf("count who is in the rooms: %w", err)
	}
	if err := may(count); err != nil {
		return nil, 0, err
	}
	const memberQuery = `
		SELECT waiting_room_id, ` + userColumns + ` FROM waiting_room_members JOIN users ON users.id = user_id
		WHERE waiting_room_id = ANY ($1) AND kind <> 'SERVICE' ORDER BY users.name COLLATE "C", users.email COLLATE "C"`
	var members []struct {
		RoomID WaitingRoomID `db:"waiting_room_id"`
		User
	}
	if err := s.db.SelectContext(ctx, &members, memberQuery, array(ids)); err != nil {
		return nil, 0, fmt.Errorf("read who is in the rooms: %w", err)
	}
	for _, member := range members {
		room := &rooms[places[member.RoomID]]
		room.Members = append(room.Members, member.User)
	}
	return rooms, total, nil
}

// RosterRoom returns one waiting room, with may as RosterRooms.
func (s *Service) RosterRoom(ctx context.Context, actor Actor, id WaitingRoomID, may func(members int) error) (RosterRoom, error) {
	rooms, _, err := s.RosterRooms(ctx, actor, RosterFilter{RosterID, id.String()}, RosterWindow{Count: 1}, may)
	if err == nil && len(rooms) == 0 {
		err = notFound("waiting room", "id")
	}
	if err != nil {
		return RosterRoom{}, err
	}
	return rooms[0], nil
}

// MembersChange is a step of who comes into a room and goes out of it.
type MembersChange struct {
	// Set has only these people be in it afterwards.
	Set bool
	// Add and Remove are who comes and goes.
	Add, Remove []UserID
}

// RosterRoomChange is what is to become of a room. What is nil stays as it is. The steps are done in their order.
type RosterRoomChange struct {
	Name, ExternalID *string
	Members          []MembersChange
}

func (c RosterRoomChange) cleaned() (RosterRoomChange, *Error) {
	if c.Name != nil {
		name, err := validLine(MaxGroupName)("name", *c.Name)
		if err != nil {
			return c, err
		}
		c.Name = &name
	}
	if c.ExternalID != nil {
		external, err := validExternalID(*c.ExternalID)
		if err != nil {
			return c, err
		}
		c.ExternalID = &external
	}
	return c, nil
}

// scope is who and what is concerned: all who are in the room only if they must be known.
func (c RosterRoomChange) scope(room *WaitingRoomID) (scope rosterScope) {
	whole := c.Name != nil
	for _, step := range c.Members {
		scope.Users = append(append(scope.Users, step.Add...), step.Remove...)
		whole = whole || step.Set
	}
	if c.Name != nil {
		scope.RoomNames = []string{*c.Name}
	}
	switch {
	case room == nil:
	case whole:
		scope.Rooms = []WaitingRoomID{*room}
	default:
		scope.EmptyRooms = []WaitingRoomID{*room}
	}
	return scope
}

// AddRosterRoom makes a waiting room with a name, or opens one that was closed. An open one of that name is
// NAME_TAKEN.
func (s *Service) AddRosterRoom(ctx context.Context, actor Actor, in RosterRoomChange) (id WaitingRoomID, err error) {
	clean, refused := in.cleaned()
	switch {
	case refused != nil:
		return id, refused
	case clean.Name == nil:
		return id, invalid("name", "A waiting room needs a name.")
	}
	err = s.changeRoster(ctx, actor, clean.scope(nil), func(w *rosterWrite) *Error {
		if room := w.roomNames[*clean.Name]; room != nil && !room.Closed {
			return roomNameTaken()
		}
		id = w.open([]string{*clean.Name})[0]
		w.rooms[id].ExternalID = or(clean.ExternalID, "")
		return w.step(id, clean.Members)
	})
	return id, err
}

// ChangeRosterRoom changes the name of a room, and who is in it.
func (s *Service) ChangeRosterRoom(ctx context.Context, actor Actor, id WaitingRoomID, in RosterRoomChange) error {
	clean, refused := in.cleaned()
	if refused != nil {
		return refused
	}
	return s.changeRoster(ctx, actor, clean.scope(&id), func(w *rosterWrite) *Error {
		room := w.rooms[id]
		if room == nil || room.Closed {
			return notFound("waiting room", "id")
		}
		if clean.Name != nil {
			if other := w.roomNames[*clean.Name]; other != nil && other != room {
				return roomNameTaken()
			}
			room.Name = *clean.Name
		}
		room.ExternalID = or(clean.ExternalID, room.ExternalID)
		return w.step(id, clean.Members)
	})
}

// CloseRosterRoom closes a room: everybody goes out of it, service accounts too.
func (s *Service) CloseRosterRoom(ctx context.Context, actor Actor, id WaitingRoomID) error {
	return s.changeRoster(ctx, actor, rosterScope{Rooms: []WaitingRoomID{id}}, func(w *rosterWrite) *Error {
		room := w.rooms[id]
		if room == nil || room.Closed {
			return notFound("waiting room", "id")
		}
		room.Closed = true
		for _, user := range w.people {
			w.takeFrom(user, id)
		}
		return nil
	})
}

// step plans who comes into a room and goes out of it. Who is not on the roster can't come; who is not in it can go.
// Of who is deactivated it is only noted.
func (w *rosterWrite) step(id WaitingRoomID, steps []MembersChange) *Error {
	for _, step := range steps {
		if step.Set {
			for _, user := range w.people {
				w.takeFrom(user, id)
			}
		}
		for _, who := range step.Remove {
			if user := w.users[who]; user != nil {
				w.takeFrom(user, id)
			}
		}
		for _, who := range step.Add {
			user, err := w.listed(who)
			if err != nil {
				return invalid("members", "Somebody of the members is not on the roster.")
			}
			w.takeFrom(user, id)
			if user.IsActive() {
				w.put(user, append(w.wanted[who], id))
			} else {
				user.Dormant = append(user.Dormant, id.String())
			}
		}
	}
	return nil
}

// takeFrom plans that a person is not in a room.
func (w *rosterWrite) takeFrom(user *rosterUser, room WaitingRoomID) {
	w.put(user, slices.DeleteFunc(slices.Clone(w.wanted[user.ID]), func(id WaitingRoomID) bool { return id == room }))
	user.Dormant = slices.DeleteFunc(slices.Clone(user.Dormant), func(id string) bool { return id == room.String() })
}

// addressTakenBy says who has an address, as far as those may know who write rosters: whoever is on the roster they see, and any other
// address that they can't give to anybody is that of a service account.
func addressTakenBy(holder *rosterUser) *Error {
	if holder.isService() {
		return addressOfService()
	}
	return refuse(CodeEmailTaken, "Somebody at the clinic has this e-mail address already.").of("email")
}

func addressOfService() *Error {
	return refuse(CodeEmailTaken, "A service account of the clinic has this e-mail address: rosters are of people.").of("email")
}

func roomNameTaken() *Error {
	return refuse(CodeNameTaken, "There is a waiting room of this name.").of("name")
}
