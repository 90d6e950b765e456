package graph

import (
	"context"
	"errors"
	"time"

	"corridor/graph/generated"
	"corridor/graph/scalar"
	"corridor/internal/chat"
)

// Directory is what partners keep a copy of.
func (r *queryResolver) Directory(context.Context) (*chat.Directory, error) {
	return &chat.Directory{}, nil
}

// Staff is everybody who works at the clinic.
func (r *directoryResolver) Staff(ctx context.Context, _ *chat.Directory, first int, after *string) (*generated.StaffConnection, error) {
	return r.staff(ctx, chat.StaffList{}, first, after)
}

// Contacts are who shares a waiting room with the user.
func (r *userResolver) Contacts(ctx context.Context, user *chat.User, first int, after *string) (*generated.StaffConnection, error) {
	return r.staff(ctx, chat.StaffList{ContactsOf: user.ID}, first, after)
}

// Members are who is in the room.
func (r *waitingRoomResolver) Members(ctx context.Context, room *chat.WaitingRoom, first int, after *string) (*generated.StaffConnection, error) {
	return r.staff(ctx, chat.StaffList{WaitingRoomID: room.ID}, first, after)
}

func (r *resolver) staff(ctx context.Context, list chat.StaffList, first int, after *string) (*generated.StaffConnection, error) {
	viewer := actor(ctx)
	page, write := r.sealed(ctx, &viewer, first, after, list.WaitingRoomID.UUID, list.ContactsOf.UUID)
	page.Most, page.WithCursor = chat.MaxStaffPage, selects(ctx, "changesCursor")
	if err := page.Valid(); err != nil {
		return nil, err
	}
	found, err := load(ctx).staff.Load(ctx, staffPage{chat.StaffPage{StaffList: list, Forward: page}, selectsBelow(ctx, "waitingRooms")})
	if err != nil {
		return nil, err
	}
	edges, info := edgesOf(ctx, found, chat.User.ByID, write, func(cursor string, node chat.User) *generated.StaffEdge {
		return &generated.StaffEdge{Cursor: cursor, Node: &node}
	})
	nodes := make([]*chat.User, len(found.Items))
	for i := range found.Items {
		nodes[i] = &found.Items[i]
	}
	connection := &generated.StaffConnection{Edges: edges, Nodes: nodes, PageInfo: info}
	if page.WithCursor {
		connection.ChangesCursor = r.seal.close(&viewer, allChanges, chat.ChangesFrom(list, found.EventCursor))
	}
	return connection, nil
}

// StaffMember finds a person of the directory.
func (r *directoryResolver) StaffMember(ctx context.Context, _ *chat.Directory, id *scalar.NodeID, email *string) (*chat.User, error) {
	switch {
	case (id == nil) == (email == nil):
		return nil, &chat.Error{Code: chat.CodeInvalid, Message: "Say either the id or the e-mail address.", Field: []string{"id"}}
	case id != nil && id.Kind != scalar.User:
		return nil, nil
	case id != nil:
		return load(ctx).staffMembers.find(ctx, chat.UserID{UUID: id.ID})
	}
	return r.chat.StaffMemberByEmail(ctx, actor(ctx), *email)
}

// WaitingRooms are the active rooms of the clinic.
func (r *directoryResolver) WaitingRooms(ctx context.Context, _ *chat.Directory, first int, after *string) (*generated.WaitingRoomConnection, error) {
	viewer := actor(ctx)
	page, write := r.sealed(ctx, &viewer, first, after)
	page.Most = chat.MaxStaffPage
	found, err := r.chat.ClinicWaitingRooms(ctx, viewer, page)
	if err != nil {
		return nil, err
	}
	edges, info := edgesOf(ctx, found, chat.WaitingRoom.ByID, write, func(cursor string, node chat.WaitingRoom) *generated.WaitingRoomEdge {
		return &generated.WaitingRoomEdge{Cursor: cursor, Node: &node}
	})
	return &generated.WaitingRoomConnection{Edges: edges, Nodes: pointers(found.Items), PageInfo: info}, nil
}

// WaitingRoom is one of them.
func (r *directoryResolver) WaitingRoom(ctx context.Context, _ *chat.Directory, id scalar.NodeID) (*chat.WaitingRoom, error) {
	if id.Kind != scalar.WaitingRoom {
		return nil, nil
	}
	return load(ctx).clinicRooms.find(ctx, chat.WaitingRoomID{UUID: id.ID})
}

// Changes are what a copy of a list lacks.
func (r *directoryResolver) Changes(ctx context.Context, _ *chat.Directory, after string, first int) (*generated.StaffChangeConnection, error) {
	viewer := actor(ctx)
	found, err := r.chat.StaffChanges(ctx, viewer, chat.Forward{First: first, After: r.seal.open(&viewer, allChanges, after), Most: chat.MaxStaffPage})
	if err != nil {
		return nil, err
	}
	connection := &generated.StaffChangeConnection{
		Edges: make([]*generated.StaffChangeEdge, len(found.Items)), Nodes: pointers(found.Items),
		PageInfo: &generated.PageInfo{HasNextPage: found.HasNext, HasPreviousPage: found.HasPrevious},
	}
	for i, change := range connection.Nodes {
		change.Cursor = r.seal.close(&viewer, allChanges, change.Cursor)
		connection.Edges[i] = &generated.StaffChangeEdge{Cursor: change.Cursor, Node: change}
	}
	if n := len(connection.Nodes); n > 0 {
		connection.PageInfo.StartCursor, connection.PageInfo.EndCursor = &connection.Nodes[0].Cursor, &connection.Nodes[n-1].Cursor
	}
	return connection, nil
}

// User is who changed, if they still work at the clinic.
func (r *staffChangeResolver) User(ctx context.Context, change *chat.StaffChange) (*chat.User, error) {
	return load(ctx).staffMembers.find(ctx, change.UserID)
}

// StaffChanged is what becomes of people in the directory.
func (r *subscriptionResolver) StaffChanged(ctx context.Context, after *string) (<-chan *chat.StaffChange, error) {
	viewer, from := actor(ctx), sourceOf(ctx)
	if after != nil {
		opened := r.seal.open(&viewer, allChanges, *after)
		after = &opened
	}
	stream, err := r.chat.FollowStaff(ctx, viewer, after, from.bell)
	if err != nil {
		return nil, err
	}
	changes := make(chan *chat.StaffChange, 1)
	from.close = stream.Close
	from.poll = func(ctx context.Context) (outcome, time.Duration) {
		by, err := sessionOf(ctx).now(ctx)
		if err == nil && !by.May(chat.ContactsRead) {
			err = chat.ErrSignedOut // who is no administrator any more
		}
		var change *chat.StaffChange
		var again time.Duration
		if err == nil {
			change, again, err = stream.Poll(ctx)
		}
		switch {
		case change != nil:
			change.Cursor = r.seal.close(&viewer, allChanges, change.Cursor)
			changes <- change // it has room: the one before was taken
			return ready, 0
		case err == nil:
			return notYet, again
		case ctx.Err() != nil:
		case errors.Is(err, chat.ErrSignedOut):
			endSession(ctx, closeForbidden, "Forbidden")
		default:
			// A fault of ours, which may be over when the client resumes: the stream is not complete.
			presenter(r.logger)(ctx, err)
			endSession(ctx, closeTryAgain, "Try again later")
		}
		return noMore, 0
	}
	return changes, nil
}

// Email is the user's address.
func (r *userResolver) Email(ctx context.Context, user *chat.User) (*string, error) {
	if user.Kind == chat.Patient || !actor(ctx).May(chat.ContactsRead) {
		return nil, nil
	}
	return &user.Email, nil
}

// WaitingRooms are the rooms that the user is in.
func (r *userResolver) WaitingRooms(ctx context.Context, user *chat.User, first int, after *string) (*generated.WaitingRoomConnection, error) {
	rooms, err := load(ctx).staffRooms.Load(ctx, user.ID)
	if err != nil {
		return nil, err
	}
	return waitingRooms(ctx, rooms, first, after)
}
