package graph

import (
	"context"

	"corridor/graph/generated"
	"corridor/graph/scalar"
	"corridor/internal/chat"
)

// Contacts is the viewer's contact list.
func (r *viewerResolver) Contacts(ctx context.Context, viewer *chat.Actor, first int, after *string, query string, waitingRoomID, notInConversation *scalar.NodeID) (*generated.ContactConnection, error) {
	search := chat.ContactSearch{Query: query}
	if waitingRoomID != nil {
		search.WaitingRoomID = &chat.WaitingRoomID{UUID: waitingRoomID.ID}
	}
	if notInConversation != nil {
		search.NotInConversation = &chat.ConversationID{UUID: notInConversation.ID}
	}
	wanted, write := r.sealed(ctx, viewer, first, after)
	page, err := r.chat.Contacts(ctx, *viewer, search, wanted)
	if err != nil {
		return nil, err
	}
	edges, info := edgesOf(ctx, page, chat.Contact.Position, write, func(cursor string, node chat.Contact) *generated.ContactEdge {
		return &generated.ContactEdge{Cursor: cursor, Node: &node}
	})
	return &generated.ContactConnection{Edges: edges, Nodes: pointers(page.Items), PageInfo: info, EventCursor: page.EventCursor}, nil
}

// ChatTargets is what New Chat finds.
func (r *viewerResolver) ChatTargets(ctx context.Context, viewer *chat.Actor, query string, first int, after *string) (*generated.ChatTargetConnection, error) {
	wanted, write := r.sealed(ctx, viewer, first, after)
	page, err := r.chat.ChatTargets(ctx, *viewer, query, wanted)
	if err != nil {
		return nil, err
	}
	edges, info := edgesOf(ctx, page, chat.TargetPosition, write, func(cursor string, node chat.ChatTarget) *generated.ChatTargetEdge {
		return &generated.ChatTargetEdge{Cursor: cursor, Node: node}
	})
	return &generated.ChatTargetConnection{Edges: edges, Nodes: page.Items, PageInfo: info, EventCursor: page.EventCursor}, nil
}

// WaitingRooms are the rooms that the viewer is in.
func (r *viewerResolver) WaitingRooms(ctx context.Context, viewer *chat.Actor, first int, after *string) (*generated.WaitingRoomConnection, error) {
	rooms, cursor, err := r.chat.WaitingRooms(ctx, *viewer, wantsCursor(ctx))
	if err != nil {
		return nil, err
	}
	connection, err := waitingRooms(ctx, rooms, first, after)
	if err == nil && cursor != "" {
		connection.EventCursor = &cursor
	}
	return connection, err
}

// SharedWaitingRooms are the rooms that the contact shares with the viewer.
func (r *contactResolver) SharedWaitingRooms(ctx context.Context, contact *chat.Contact, first int, after *string) (*generated.WaitingRoomConnection, error) {
	rooms, err := load(ctx).sharedRooms.Load(ctx, contact.ID)
	if err != nil {
		return nil, err
	}
	return waitingRooms(ctx, rooms, first, after)
}

func waitingRooms(ctx context.Context, rooms []chat.WaitingRoom, first int, after *string) (*generated.WaitingRoomConnection, error) {
	page, err := chat.PageOf(rooms, chat.Forward{First: first, After: optional(after)})
	if err != nil {
		return nil, err
	}
	edges, info := edgesOf(ctx, page, chat.WaitingRoom.Position, chat.Cursor, func(cursor string, node chat.WaitingRoom) *generated.WaitingRoomEdge {
		return &generated.WaitingRoomEdge{Cursor: cursor, Node: &node}
	})
	return &generated.WaitingRoomConnection{Edges: edges, Nodes: pointers(page.Items), PageInfo: info}, nil
}

// DirectConversation is the conversation with the contact.
func (r *contactResolver) DirectConversation(ctx context.Context, contact *chat.Contact) (*chat.DirectConversation, error) {
	return found[*chat.DirectConversation](load(ctx).directConversations.find(ctx, contact.ID))
}

// IsViewer tells whether the user is the one who asks.
func (r *userResolver) IsViewer(ctx context.Context, user *chat.User) (bool, error) {
	return isViewer(ctx, user.ID), nil
}

// Contact is the user's entry in the viewer's contact list.
func (r *userResolver) Contact(ctx context.Context, user *chat.User) (*chat.Contact, error) {
	return load(ctx).contacts.find(ctx, user.ID)
}
