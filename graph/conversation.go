package graph

import (
	"context"

	"corridor/graph/generated"
	"corridor/graph/scalar"
	"corridor/internal/chat"
)

// Conversations are the viewer's, the most recent first.
func (r *viewerResolver) Conversations(ctx context.Context, viewer *chat.Actor, first int, after *string, filter chat.ConversationFilter) (*generated.ConversationConnection, error) {
	page, err := r.chat.Conversations(ctx, *viewer, filter, forward(ctx, first, after))
	if err != nil {
		return nil, err
	}
	edges, info := edgesOf(ctx, page, chat.ConversationPosition, chat.Cursor, func(cursor string, node chat.Conversation) *generated.ConversationEdge {
		return &generated.ConversationEdge{Cursor: cursor, Node: node}
	})
	return &generated.ConversationConnection{Edges: edges, Nodes: page.Items, PageInfo: info, EventCursor: page.EventCursor}, nil
}

// UnreadConversationCount is the badge of the chat bubble.
func (r *viewerResolver) UnreadConversationCount(ctx context.Context, _ *chat.Actor) (int, error) {
	unread, err := load(ctx).unread()
	return unread.Conversations, err
}

// UnreadMessageCount is how many messages stand behind the badge.
func (r *viewerResolver) UnreadMessageCount(ctx context.Context, _ *chat.Actor) (int, error) {
	unread, err := load(ctx).unread()
	return unread.Messages, err
}

// LastMessage is the last line that the viewer may see.
func (r *directConversationResolver) LastMessage(ctx context.Context, conversation *chat.DirectConversation) (*chat.Message, error) {
	return lastMessage(ctx, &conversation.ConversationView)
}

// LastMessage is the last line that the viewer may see.
func (r *groupConversationResolver) LastMessage(ctx context.Context, group *chat.GroupConversation) (*chat.Message, error) {
	return lastMessage(ctx, &group.ConversationView)
}

func lastMessage(ctx context.Context, of *chat.ConversationView) (*chat.Message, error) {
	if known := of.KnownLastMessage(); known != nil {
		return known, nil
	}
	return load(ctx).lastMessages.find(ctx, pageOf[bool]{of.ID, selectsBelow(ctx, "sender")})
}

// Peer is the other person.
func (r *directConversationResolver) Peer(ctx context.Context, conversation *chat.DirectConversation) (*chat.User, error) {
	return load(ctx).users.find(ctx, *conversation.PeerID)
}

// Owner is who owns the group.
func (r *groupConversationResolver) Owner(ctx context.Context, group *chat.GroupConversation) (*chat.User, error) {
	if group.OwnerID == nil {
		return nil, nil
	}
	return load(ctx).users.find(ctx, *group.OwnerID)
}

// StartDirectConversation opens the conversation with a contact.
func (r *mutationResolver) StartDirectConversation(ctx context.Context, input chat.StartDirectConversationInput) (*generated.StartDirectConversationPayload, error) {
	conversation, err := r.chat.StartDirectConversation(ctx, actor(ctx), input)
	failures, err := userErrors(err)
	return &generated.StartDirectConversationPayload{Conversation: conversation, UserErrors: failures}, err
}

// CreateGroup creates a group.
func (r *mutationResolver) CreateGroup(ctx context.Context, input chat.CreateGroupInput) (*generated.CreateGroupPayload, error) {
	group, err := r.chat.CreateGroup(ctx, actor(ctx), input)
	failures, err := userErrors(err)
	return &generated.CreateGroupPayload{Group: group, UserErrors: failures}, err
}

// RenameGroup gives a group another name.
func (r *mutationResolver) RenameGroup(ctx context.Context, input chat.RenameGroupInput) (*generated.RenameGroupPayload, error) {
	group, err := r.chat.RenameGroup(ctx, actor(ctx), input)
	failures, err := userErrors(err)
	return &generated.RenameGroupPayload{Group: group, UserErrors: failures}, err
}

// DeleteGroup deletes a group for everybody.
func (r *mutationResolver) DeleteGroup(ctx context.Context, input chat.DeleteGroupInput) (*generated.DeleteGroupPayload, error) {
	id, err := r.chat.DeleteGroup(ctx, actor(ctx), input)
	if failures, err := userErrors(err); err != nil || len(failures) > 0 {
		return &generated.DeleteGroupPayload{UserErrors: failures}, err
	}
	deleted := scalar.NodeID{Kind: scalar.Conversation, ID: id.UUID}
	return &generated.DeleteGroupPayload{DeletedConversationID: &deleted, UserErrors: []*chat.Error{}}, nil
}

// MuteConversation silences a conversation.
func (r *mutationResolver) MuteConversation(ctx context.Context, input chat.MuteConversationInput) (*generated.MuteConversationPayload, error) {
	conversation, err := r.chat.MuteConversation(ctx, actor(ctx), input)
	failures, err := userErrors(err)
	return &generated.MuteConversationPayload{Conversation: conversation, UserErrors: failures}, err
}

// UnmuteConversation lets a conversation be heard again.
func (r *mutationResolver) UnmuteConversation(ctx context.Context, input chat.UnmuteConversationInput) (*generated.UnmuteConversationPayload, error) {
	conversation, err := r.chat.UnmuteConversation(ctx, actor(ctx), input)
	failures, err := userErrors(err)
	return &generated.UnmuteConversationPayload{Conversation: conversation, UserErrors: failures}, err
}

// ArchiveConversation takes a conversation out of the list.
func (r *mutationResolver) ArchiveConversation(ctx context.Context, input chat.ArchiveConversationInput) (*generated.ArchiveConversationPayload, error) {
	conversation, err := r.chat.ArchiveConversation(ctx, actor(ctx), input)
	failures, err := userErrors(err)
	return &generated.ArchiveConversationPayload{Conversation: conversation, UserErrors: failures}, err
}

// UnarchiveConversation takes a conversation back into the list.
func (r *mutationResolver) UnarchiveConversation(ctx context.Context, input chat.UnarchiveConversationInput) (*generated.UnarchiveConversationPayload, error) {
	conversation, err := r.chat.UnarchiveConversation(ctx, actor(ctx), input)
	failures, err := userErrors(err)
	return &generated.UnarchiveConversationPayload{Conversation: conversation, UserErrors: failures}, err
}
