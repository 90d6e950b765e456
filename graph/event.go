package graph

import (
	"context"
	"errors"
	"time"

	"github.com/vektah/gqlparser/v2/gqlerror"

	"corridor/graph/scalar"
	"corridor/internal/chat"
)

const codeCursorExpired = "CURSOR_EXPIRED"

// expiryNotice is how long before its end a session hears of it.
const expiryNotice = 5 * time.Second

// Events is everything that happens for the viewer.
func (r *subscriptionResolver) Events(ctx context.Context, after *string) (<-chan chat.Event, error) {
	return follow(ctx, r.resolver, after, func(event chat.Event) (chat.Event, step) { return event, deliver })
}

// MessageAdded is the new lines of one conversation, up to the one that ends the viewer's
// membership.
func (r *subscriptionResolver) MessageAdded(ctx context.Context, of scalar.NodeID, after *string) (<-chan *chat.MessageAdded, error) {
	id := chat.ConversationID{UUID: of.ID}
	if err := r.chat.MayFollow(ctx, actor(ctx), id); err != nil {
		return nil, err
	}
	return follow(ctx, r.resolver, after, func(event chat.Event) (*chat.MessageAdded, step) {
		switch event := event.(type) {
		case chat.MessageAdded:
			if event.ConversationID == id {
				return &event, deliver
			}
		case chat.ConversationLeft:
			if event.ConversationID == id {
				return &chat.MessageAdded{Moment: event.Moment, ConversationID: id, MessageID: event.MessageID}, deliverAndEnd
			}
		case chat.GroupDeleted:
			if event.ConversationID == id {
				return nil, end
			}
		case chat.StreamReset:
			return nil, lost
		}
		return nil, pass
	})
}

// GroupDeleted is the groups that disappear.
func (r *subscriptionResolver) GroupDeleted(ctx context.Context, after *string) (<-chan *chat.GroupDeleted, error) {
	return follow(ctx, r.resolver, after, func(event chat.Event) (*chat.GroupDeleted, step) {
		switch event := event.(type) {
		case chat.GroupDeleted:
			return &event, deliver
		case chat.StreamReset:
			return nil, lost
		}
		return nil, pass
	})
}

// step is what a subscription does with an event.
type step int

const (
	pass step = iota
	deliver
	deliverAndEnd
	end
	// lost is a gap that the type of the subscription can't tell of.
	lost
)

// follow feeds a subscription from the viewer's stream, until its context ends.
func follow[E any](ctx context.Context, r *resolver, after *string, pick func(chat.Event) (E, step)) (<-chan E, error) {
	from := sourceOf(ctx)
	stream, err := r.chat.Follow(ctx, actor(ctx), after, from.bell)
	if err != nil {
		return nil, err
	}
	events := make(chan E, 1)
	noticed, over := false, false
	from.close = stream.Close
	from.poll = func(ctx context.Context) (outcome, time.Duration) {
		for !over {
			event, again, err := next(ctx, stream, &noticed)
			switch {
			case ctx.Err() != nil:
				return noMore, 0
			case errors.Is(err, chat.ErrSignedOut):
				endSession(ctx, closeForbidden, "Forbidden")
				return noMore, 0
			case err != nil:
				// A fault of ours, which may be over when the client resumes: the stream is not complete.
				presenter(r.logger)(ctx, err)
				endSession(ctx, closeTryAgain, "Try again later")
				return noMore, 0
			case event == nil:
				return notYet, again
			}
			picked, step := pick(event)
			over = step > deliver
			switch step {
			case deliver, deliverAndEnd:
				from.event = event
				events <- picked // it has room: the one before was taken
				return ready, 0
			case lost:
				from.failures = gqlerror.List{refusal(codeCursorExpired, "Events are missing that can't be had any more: fetch everything again, and subscribe without the cursor.")}
			}
		}
		return noMore, 0
	}
	return events, nil
}

// next is the stream's next event, or once the notice that the session ends.
func next(ctx context.Context, stream *chat.Stream, noticed *bool) (chat.Event, time.Duration, error) {
	event, again, err := stream.Poll(ctx)
	expires, ends := sessionExpires(ctx)
	if event != nil || err != nil || !ends || *noticed {
		return event, again, err
	}
	if left := time.Until(expires) - expiryNotice; left > 0 {
		return nil, min(again, left), nil
	}
	*noticed = true
	return chat.SessionExpiring{Moment: stream.Now(), ExpiresAt: expires}, 0, nil
}

// Conversation is what the line was added to.
func (r *messageAddedResolver) Conversation(ctx context.Context, event *chat.MessageAdded) (chat.Conversation, error) {
	return load(ctx).conversation(ctx, event.ConversationID)
}

// Message is the line.
func (r *messageAddedResolver) Message(ctx context.Context, event *chat.MessageAdded) (*chat.Message, error) {
	return load(ctx).messages.find(ctx, event.MessageID)
}

// Notify is how the message makes itself felt.
func (r *messageAddedResolver) Notify(ctx context.Context, event *chat.MessageAdded) (*chat.Notify, error) {
	message, err := load(ctx).messages.find(ctx, event.MessageID)
	if err != nil {
		return nil, err
	}
	conversation, err := load(ctx).conversation(ctx, event.ConversationID)
	if err != nil {
		return nil, err
	}
	notify := chat.NotifyOf(conversation, message)
	return &notify, nil
}

// Conversation is what the message stands in.
func (r *messageChangedResolver) Conversation(ctx context.Context, event *chat.MessageChanged) (chat.Conversation, error) {
	return load(ctx).conversation(ctx, event.ConversationID)
}

// Message is the message as it is now.
func (r *messageChangedResolver) Message(ctx context.Context, event *chat.MessageChanged) (*chat.Message, error) {
	return load(ctx).messages.find(ctx, event.MessageID)
}

// Conversation is what came into sight.
func (r *conversationAddedResolver) Conversation(ctx context.Context, event *chat.ConversationAdded) (chat.Conversation, error) {
	return load(ctx).conversation(ctx, event.ConversationID)
}

// Conversation is what the viewer left.
func (r *conversationLeftResolver) Conversation(ctx context.Context, event *chat.ConversationLeft) (chat.Conversation, error) {
	return load(ctx).conversation(ctx, event.ConversationID)
}

// Message is the line that says so.
func (r *conversationLeftResolver) Message(ctx context.Context, event *chat.ConversationLeft) (*chat.Message, error) {
	return load(ctx).messages.find(ctx, event.MessageID)
}

// Conversation is what was muted, archived or read.
func (r *conversationChangedResolver) Conversation(ctx context.Context, event *chat.ConversationChanged) (chat.Conversation, error) {
	return load(ctx).conversation(ctx, event.ConversationID)
}

// Contact is who came.
func (r *contactAddedResolver) Contact(ctx context.Context, event *chat.ContactAdded) (*chat.Contact, error) {
	return load(ctx).contacts.find(ctx, event.UserID)
}

// Contact is who changed.
func (r *contactChangedResolver) Contact(ctx context.Context, event *chat.ContactChanged) (*chat.Contact, error) {
	return load(ctx).contacts.find(ctx, event.UserID)
}
