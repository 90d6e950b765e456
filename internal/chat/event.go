package chat

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"corridor/internal/eventlog"
)

// The kinds of events in the log. On the stream of a conversation: kindLine, kindMessageChanged,
// kindFileChanged, kindDirectStarted, kindGroupDeleted. On a person's own stream: kindSettings, kindGroupDeleted and
// kindMessageChanged for groups that they left, kindFileChanged for files that they did not send yet, kindSignedOut. On the stream of a waiting room:
// kindRoomJoined, kindRoomLeft, kindUserChanged, kindRoomRenamed. On the stream of a clinic: kindDirectoryChanged.
const (
	kindLine             = "line"
	kindMessageChanged   = "message_changed"
	kindDirectStarted    = "direct_started"
	kindGroupDeleted     = "group_deleted"
	kindSettings         = "settings"
	kindFileChanged      = "file_changed"
	kindSignedOut        = "signed_out"
	kindRoomJoined       = "room_joined"
	kindRoomLeft         = "room_left"
	kindUserChanged      = "user_changed"
	kindRoomRenamed      = "room_renamed"
	kindDirectoryChanged = "directory_changed"
)

// Event is something that happened for the actor. Events name things by their ids; what may be
// seen of those is decided when they are looked at: what Look has not found is nil.
type Event interface{ IsEvent() }

// Moment is what all events have.
type Moment struct {
	// Cursor resumes the stream right behind the event.
	Cursor     string
	OccurredAt time.Time
}

// IsEvent makes what has a moment an event in GraphQL.
func (Moment) IsEvent() {}

// The events. schema.graphqls says what each promises.
type (
	// MessageAdded is a new line in a conversation.
	MessageAdded struct {
		Moment
		ConversationID ConversationID
		MessageID      MessageID
		Sight
	}
	// MessageChanged is a message that was edited or recalled.
	MessageChanged struct {
		Moment
		ConversationID ConversationID
		MessageID      MessageID
		Sight
	}
	// FileChanged is a file in which malware was looked for.
	FileChanged struct {
		Moment
		FileID         FileID
		ConversationID ConversationID
		MessageID      MessageID
		Sight
	}
	// ConversationAdded is a conversation that came into the actor's sight.
	ConversationAdded struct {
		Moment
		ConversationID ConversationID
		Sight
	}
	// ConversationLeft is the end of the actor's membership.
	ConversationLeft struct {
		Moment
		ConversationID ConversationID
		MessageID      MessageID
		Reason         MembershipState
		Sight
	}
	// ConversationChanged is a change of the actor's own settings or read position.
	ConversationChanged struct {
		Moment
		ConversationID ConversationID
		Sight
	}
	// GroupDeleted is a group that is gone for everybody.
	GroupDeleted struct {
		Moment
		ConversationID ConversationID
	}
	// ContactAdded is somebody who came into a waiting room of the actor's.
	ContactAdded struct {
		Moment
		UserID UserID
	}
	// ContactChanged is a contact whose name, role or shared rooms changed.
	ContactChanged struct {
		Moment
		UserID UserID
	}
	// ContactRemoved is somebody with whom the actor shares no waiting room any more.
	ContactRemoved struct {
		Moment
		UserID UserID
	}
	// ContactListChanged is the actor's own coming into or leaving of a waiting room, or another name of one.
	ContactListChanged struct{ Moment }
	// StreamReset is a gap that can't be filled: fetch everything anew.
	StreamReset struct{ Moment }
	// Heartbeat is a sign of life.
	Heartbeat struct{ Moment }
	// SessionExpiring is the last event before the session ends.
	SessionExpiring struct {
		Moment
		ExpiresAt time.Time
	}
)

// Stream is the one stream of everything that happens for a person.
type Stream struct {
	service  *Service
	actor    Actor
	follower *eventlog.Follower
}

// Follow begins the actor's stream behind a cursor, or now if there is none. The bell is rung whenever
// there may be something to Poll; it must not wait. Close must be called.
func (s *Service) Follow(ctx context.Context, actor Actor, after *string, bell func()) (*Stream, error) {
	if !s.present.enter(actor.User.ID) {
		return nil, refuse(CodeTooManySubscriptions, "You have %d subscriptions open: end one first.", MaxStreams)
	}
	cursor := ""
	if after != nil {
		cursor = *after
	}
	follower, err := s.log.Follow(ctx, actor.User.ID.UUID, cursor, bell)
	if err != nil {
		s.present.leave(actor.User.ID)
	}
	if errors.Is(err, eventlog.ErrCursorInvalid) {
		return nil, &Error{Code: CodeCursorInvalid, Message: "This cursor is not one of your event stream.", Field: []string{"after"}}
	}
	if err != nil {
		return nil, err
	}
	if err := s.keepPresent(ctx, []UserID{actor.User.ID}); err != nil {
		s.logger.WarnContext(ctx, "presence is not kept", "error", Describe(err))
	}
	return &Stream{service: s, actor: actor, follower: follower}, nil
}

// Close ends the stream.
func (s *Stream) Close() {
	s.service.present.leave(s.actor.User.ID)
	s.follower.Close()
}

// Poll returns the next event, or nil and after how long to poll again, unless the bell rings before. With an event 0 is at once.
// The error is ErrSignedOut when the account was deactivated or the session ended.
func (s *Stream) Poll(ctx context.Context) (Event, time.Duration, error) {
	for {
		delivery, ok, again, err := s.follower.Poll(ctx)
		if !ok || err != nil {
			return nil, again, err
		}
		event, err := s.translate(ctx, delivery)
		if err != nil || event != nil || again > 0 {
			return event, again, err
		}
	}
}

// Now is the moment that the stream has reached.
func (s *Stream) Now() Moment { return Moment{Cursor: s.follower.Cursor(), OccurredAt: time.Now()} }

// MayFollow refuses to follow a conversation that the actor may not see, or is not in.
func (s *Service) MayFollow(ctx context.Context, actor Actor, id ConversationID) error {
	found, err := s.ConversationsByID(ctx, actor, []ConversationID{id})
	switch {
	case err != nil:
		return err
	case found[id] == nil:
		return notFound("conversation", "conversationId")
	case found[id].view().State() != Active:
		return refuse(CodeNotAParticipant, "You are not in this group any more.")
	}
	return nil
}

// translate says what a delivery of the log is to the actor; nil is nothing.
func (s *Stream) translate(ctx context.Context, delivery eventlog.Delivery) (Event, error) {
	moment := Moment{Cursor: delivery.Cursor, OccurredAt: delivery.At}
	happened, me := delivery.Event, s.actor.User.ID.UUID
	switch {
	case delivery.Reset:
		return StreamReset{moment}, nil
	case happened == nil:
		return Heartbeat{moment}, nil
	}
	conversation, message, user := ConversationID{happened.Scope}, MessageID{happened.Object}, UserID{happened.Subject}
	unseen := Sight{sender: UserID{happened.Actor}}
	switch happened.Kind {
	case kindLine:
		switch {
		case slices.Contains(happened.Opens, me):
			return ConversationAdded{moment, conversation, unseen}, nil
		case slices.Contains(happened.Closes, me) && happened.Actor == me:
			return ConversationLeft{moment, conversation, message, Left, unseen}, nil
		case slices.Contains(happened.Closes, me):
			return ConversationLeft{moment, conversation, message, Removed, unseen}, nil
		}
		return MessageAdded{moment, conversation, message, unseen}, nil
	case kindMessageChanged:
		// Of a message that the actor never saw, they do not hear that it changed either.
		seen := messageSeen{s.actor.User.ID, message}
		if found, err := s.service.seen.messages.ask(seen).answer(ctx, seen); found == nil || err != nil {
			return nil, err
		}
		return MessageChanged{moment, conversation, message, unseen}, nil
	case kindFileChanged:
		file := FileID{happened.Subject}
		found, err := s.service.FilesByID(ctx, s.actor, []FileID{file})
		if len(found) == 0 || err != nil {
			return nil, err
		}
		return FileChanged{moment, file, conversation, message, unseen}, nil
	case kindDirectStarted:
		// To the other person a conversation without a message is nothing yet.
		if happened.Actor == me {
			return ConversationAdded{moment, conversation, unseen}, nil
		}
		return nil, nil
	case kindGroupDeleted:
		return GroupDeleted{moment, conversation}, nil
	case kindSettings:
		return ConversationChanged{moment, conversation, unseen}, nil
	case kindSignedOut:
		// It may be an old one, of somebody who was taken back since, or of another session of theirs.
		_, err := s.service.SignedIn(ctx, s.actor.Credential)
		return nil, err
	case kindRoomRenamed:
		return ContactListChanged{moment}, nil
	case kindRoomJoined, kindRoomLeft, kindUserChanged:
		return s.translateContact(ctx, moment, happened.Kind, user)
	}
	// An event of a newer version of Corridor: whoever knows it will show it.
	return nil, nil
}

func (s *Stream) translateContact(ctx context.Context, moment Moment, kind string, user UserID) (Event, error) {
	if user == s.actor.User.ID {
		if kind == kindUserChanged {
			return nil, nil
		}
		return ContactListChanged{moment}, nil
	}
	contacts, err := s.service.ContactsAmong(ctx, s.actor, []UserID{user})
	if err != nil {
		return nil, err
	}
	_, isContact := contacts[user]
	switch {
	case isContact && kind == kindRoomJoined:
		return ContactAdded{moment, user}, nil
	case isContact:
		return ContactChanged{moment, user}, nil
	}
	return ContactRemoved{moment, user}, nil
}

// presenceEvery is how often it is written down who has a stream open.
const presenceEvery = 30 * time.Second

// MaxStreams is how many streams a person may have open on one instance: a few for each of many tabs.
const MaxStreams = 100

// presence counts the open streams of this process by person.
type presence struct {
	mu   sync.Mutex
	open map[UserID]int
}

// enter refuses a stream too many.
func (p *presence) enter(id UserID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open[id] == MaxStreams {
		return false
	}
	p.open[id]++
	return true
}

func (p *presence) leave(id UserID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open[id]--; p.open[id] == 0 {
		delete(p.open, id)
	}
}

// KeepPresence writes down who has a stream open, until ctx ends.
func (s *Service) KeepPresence(ctx context.Context) error {
	every := time.NewTicker(presenceEvery)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-every.C:
		}
		s.present.mu.Lock()
		var ids []UserID
		for id := range s.present.open {
			ids = append(ids, id)
		}
		s.present.mu.Unlock()
		if err := s.keepPresent(ctx, ids); err != nil && ctx.Err() == nil {
			s.logger.WarnContext(ctx, "presence is not kept", "error", Describe(err))
		}
	}
}

func (s *Service) keepPresent(ctx context.Context, ids []UserID) error {
	if len(ids) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	// In the order of the ids, so that two processes can't wait for each other. Nothing is lost with a
	// presence, so nobody waits for the disk.
	const query = `
		INSERT INTO presence (user_id)
		SELECT id FROM unnest($1::uuid[]) AS id, (SELECT set_config('synchronous_commit', 'off', true)) AS lazily ORDER BY id
		ON CONFLICT (user_id) DO UPDATE SET seen_at = now()`
	_, err := s.db.ExecContext(ctx, query, array(ids))
	return err
}
