package chat

import "time"

// Alike tells apart what is not the same to all readers of an event. It holds all that can be seen of it by value, so two readers are shown
// the same if theirs are equal. What a pointer leads to, but for what is named here, is never equal for two: that is safe, and seldom.
type Alike struct {
	occurredAt time.Time
	notify     Notify
	view       ConversationView
	message    Message
	sender     User
	// What is behind pointers of the above.
	ownerID, senderID UserID
	seenAt            time.Time
}

// InCommon returns the event as all see it for whom it is alike, without its cursor, and without a trace of who reads it. It is not ok if
// something of it is about its reader (they wrote it, or own the group), or of what is wanted is not the same for everybody or not known yet. What is
// not wanted of a conversation is not in it.
func (e MessageAdded) InCommon(wanted Wanted) (common MessageAdded, alike Alike, ok bool) {
	if !e.isCommon {
		return MessageAdded{}, Alike{}, false
	}
	e.Cursor, e.isCommon = "", false
	alike = Alike{occurredAt: e.OccurredAt, notify: e.notify}
	message := e.Message
	if e.Conversation != nil {
		view := *e.Conversation.view()
		if wanted.LastMessage && view.lastMessage == nil || wanted.ParticipantCount && view.participantCount == 0 {
			return MessageAdded{}, Alike{}, false
		}
		view.ActorID = UserID{}
		if !wanted.Joined {
			view.JoinedAt = time.Time{}
		}
		if !wanted.ReadPosition {
			view.ReadSeq = 0
		}
		if !wanted.UnreadCount {
			view.UnreadCount = 0
		}
		e.Conversation = &GroupConversation{view}
		if view.lastMessage != nil {
			message, view.lastMessage = view.lastMessage, nil
		}
		if view.OwnerID != nil {
			alike.ownerID, view.OwnerID = *view.OwnerID, nil
		}
		alike.view = view
	}
	if message == nil {
		return e, alike, true
	}
	if wanted.Sender && message.sender == nil || wanted.Files && message.FileCount > 0 {
		return MessageAdded{}, Alike{}, false
	}
	alike.message = *message
	alike.senderID, alike.message.SenderID = *message.SenderID, nil
	if message.sender != nil {
		alike.sender, alike.message.sender = *message.sender, nil
		if alike.sender.SeenAt != nil {
			alike.seenAt, alike.sender.SeenAt = *alike.sender.SeenAt, nil
		}
	}
	return e, alike, true
}

// SenderID is who wrote or did it.
func (s Sight) SenderID() UserID { return s.sender }
