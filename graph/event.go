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
	return follow(ctx, r.resolver, after, theirs, func(chat.Event) step { return deliver }, func(event chat.Event) chat.Event { return event })
}

// MessageAdded is the new lines of one conversation, up to the one that ends the viewer's
// membership.
func (r *subscriptionResolver) MessageAdded(ctx context.Context, of scalar.NodeID, after *string) (<-chan *chat.MessageAdded, error) {
	id := chat.ConversationID{UUID: of.ID}
	may := func() error { return r.chat.MayFollow(ctx, actor(ctx), id) }
	if err := may(); err != nil {
		return nil, err
	}
	pick := func(event chat.Event) step {
		switch event := event.(type) {
		case chat.MessageAdded:
			if event.ConversationID == id {
				return deliver
			}
		case chat.ConversationLeft:
			if event.ConversationID == id {
				return deliverAndEnd
			}
		case chat.GroupDeleted:
			if event.ConversationID == id {
				return end
			}
		case chat.StreamReset:
			return lost
		}
		return pass
	}
	// Again once the stream has begun: who was removed before that would wait in vain for the line that says so.
	return follow(ctx, r.resolver, after, may, pick, func(event chat.Event) *chat.MessageAdded {
		if left, ok := event.(chat.ConversationLeft); ok {
			return &chat.MessageAdded{Moment: left.Moment, ConversationID: id, MessageID: left.MessageID, Sight: left.Sight}
		}
		added := event.(chat.MessageAdded)
		return &added
	})
}

// GroupDeleted is the groups that disappear.
func (r *subscriptionResolver) GroupDeleted(ctx context.Context, after *string) (<-chan *chat.GroupDeleted, error) {
	pick := func(event chat.Event) step {
		switch event.(type) {
		case chat.GroupDeleted:
			return deliver
		case chat.StreamReset:
			return lost
		}
		return pass
	}
	return follow(ctx, r.resolver, after, theirs, pick, func(event chat.Event) *chat.GroupDeleted {
		deleted := event.(chat.GroupDeleted)
		return &deleted
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

// theirs asks nothing: what a person follows there is theirs.
func theirs() error { return nil }

// follow feeds a subscription from the viewer's stream with the events that are picked, until its context
// ends. Whether it may is asked when the stream has begun.
func follow[E any](ctx context.Context, r *resolver, after *string, may func() error, pick func(chat.Event) step, as func(chat.Event) E) (<-chan E, error) {
	from := sourceOf(ctx)
	stream, err := r.chat.Follow(ctx, actor(ctx), after, from.bell)
	if err != nil {
		return nil, err
	}
	if err := may(); err != nil {
		stream.Close()
		return nil, err
	}
	events := make(chan E, 1)
	notice, over := expiry{}, false
	notice.at, notice.isDue = sessionExpires(ctx)
	viewer := sessionOf(ctx)
	from.close, from.fanOut = stream.Close, r.fanOut
	from.put = func(event chat.Event) {
		select {
		case events <- as(event):
		case <-ctx.Done(): // it may be full of one that nobody took
		}
	}
	from.poll = func(ctx context.Context) (outcome, time.Duration) {
		for !over {
			event, again, err := next(ctx, stream, &notice)
			if event == nil && err == nil {
				return notYet, again
			}
			picked := pass
			if err == nil {
				picked = pick(event)
				over = picked > deliver
			}
			if picked == deliver || picked == deliverAndEnd {
				if event, err = r.look(ctx, viewer, event, from.wanted); err == nil {
					from.event = event
					if over {
						again = 0
					}
					return ready, again
				}
			}
			switch {
			case picked == lost:
				from.failures = gqlerror.List{refusal(codeCursorExpired, "Events are missing that can't be had any more: fetch everything again, and subscribe without the cursor.")}
			case err == nil && again > 0 && !over:
				return notYet, again
			case err == nil:
				continue
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
		return noMore, 0
	}
	return events, nil
}

// look looks at what an event is about, with the eyes of the viewer as they are now.
func (r *resolver) look(ctx context.Context, by *session, event chat.Event, wanted chat.Wanted) (chat.Event, error) {
	if wanted == (chat.Wanted{}) {
		return event, nil
	}
	viewer, err := by.now(ctx)
	if err != nil {
		return nil, err
	}
	return r.chat.Look(ctx, viewer, event, wanted)
}

// expiry is when a session ends, of which notice is given once.
type expiry struct {
	at    time.Time
	isDue bool
}

// next is the stream's next event, or once the notice that the session ends, and after how long to ask again.
func next(ctx context.Context, stream *chat.Stream, notice *expiry) (chat.Event, time.Duration, error) {
	event, again, err := stream.Poll(ctx)
	if err != nil || again == 0 || !notice.isDue {
		return event, again, err
	}
	if left := time.Until(notice.at) - expiryNotice; left > 0 {
		return event, min(again, left), nil
	}
	if event != nil {
		return event, 0, nil
	}
	notice.isDue = false
	return chat.SessionExpiring{Moment: stream.Now(), ExpiresAt: notice.at}, 0, nil
}

// Contact is who came.
func (r *contactAddedResolver) Contact(ctx context.Context, event *chat.ContactAdded) (*chat.Contact, error) {
	return load(ctx).contacts.find(ctx, event.UserID)
}

// Contact is who changed.
func (r *contactChangedResolver) Contact(ctx context.Context, event *chat.ContactChanged) (*chat.Contact, error) {
	return load(ctx).contacts.find(ctx, event.UserID)
}
