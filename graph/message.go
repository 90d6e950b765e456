package graph

import (
	"context"

	"corridor/graph/generated"
	"corridor/internal/chat"
)

// Messages are a part of the transcript.
func (r *directConversationResolver) Messages(ctx context.Context, conversation *chat.DirectConversation, first *int, after *string, last *int, before *string) (*generated.MessageConnection, error) {
	return messages(ctx, conversation.ID, first, after, last, before)
}

// Messages are a part of the transcript.
func (r *groupConversationResolver) Messages(ctx context.Context, group *chat.GroupConversation, first *int, after *string, last *int, before *string) (*generated.MessageConnection, error) {
	return messages(ctx, group.ID, first, after, last, before)
}

func messages(ctx context.Context, of chat.ConversationID, first *int, after *string, last *int, before *string) (*generated.MessageConnection, error) {
	window, err := chat.NewWindow(of, first, last, optional(after), optional(before))
	if err != nil {
		return nil, err
	}
	window.WithCursor, window.WithSenders = wantsCursor(ctx), selectsBelow(ctx, "sender")
	page, err := load(ctx).messagePages.Load(ctx, pageOf[chat.Window]{of, window})
	if err != nil {
		return nil, err
	}
	edges, info := edgesOf(ctx, page, chat.Message.Position, chat.Cursor, func(cursor string, node chat.Message) *generated.MessageEdge {
		return &generated.MessageEdge{Cursor: cursor, Node: &node}
	})
	return &generated.MessageConnection{Edges: edges, Nodes: pointers(page.Items), PageInfo: info, EventCursor: page.EventCursor}, nil
}

// Conversation is where the message stands.
func (r *messageResolver) Conversation(ctx context.Context, message *chat.Message) (chat.Conversation, error) {
	return load(ctx).conversation(ctx, message.ConversationID)
}

// Sender is who wrote or did it.
func (r *messageResolver) Sender(ctx context.Context, message *chat.Message) (*chat.User, error) {
	if sender := message.KnownSender(); sender != nil {
		return sender, nil
	}
	return userOf(ctx, message.SenderID)
}

// Subject is whom the line is about.
func (r *messageResolver) Subject(ctx context.Context, message *chat.Message) (*chat.User, error) {
	if subject := message.KnownSubject(); subject != nil {
		return subject, nil
	}
	return userOf(ctx, message.SubjectID)
}

func userOf(ctx context.Context, id *chat.UserID) (*chat.User, error) {
	if id == nil {
		return nil, nil
	}
	return load(ctx).users.find(ctx, *id)
}

// SendMessage sends a message.
func (r *mutationResolver) SendMessage(ctx context.Context, input chat.SendMessageInput) (*generated.SendMessagePayload, error) {
	message, err := r.chat.SendMessage(ctx, actor(ctx), input)
	failures, err := userErrors(err)
	return &generated.SendMessagePayload{Message: message, UserErrors: failures}, err
}

// EditMessage gives a message another text.
func (r *mutationResolver) EditMessage(ctx context.Context, input chat.EditMessageInput) (*generated.EditMessagePayload, error) {
	message, err := r.chat.EditMessage(ctx, actor(ctx), input)
	failures, err := userErrors(err)
	return &generated.EditMessagePayload{Message: message, UserErrors: failures}, err
}

// RecallMessage takes a message back.
func (r *mutationResolver) RecallMessage(ctx context.Context, input chat.RecallMessageInput) (*generated.RecallMessagePayload, error) {
	message, err := r.chat.RecallMessage(ctx, actor(ctx), input)
	failures, err := userErrors(err)
	return &generated.RecallMessagePayload{Message: message, UserErrors: failures}, err
}

// MarkRead moves the viewer's read position.
func (r *mutationResolver) MarkRead(ctx context.Context, input chat.MarkReadInput) (*generated.MarkReadPayload, error) {
	conversation, err := r.chat.MarkRead(ctx, actor(ctx), input)
	failures, err := userErrors(err)
	return &generated.MarkReadPayload{Conversation: conversation, UserErrors: failures}, err
}
