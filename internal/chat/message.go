package chat

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"

	"corridor/internal/eventlog"
)

// MessageKind tells what people write from the lines that say what happened to a group.
type MessageKind string

// The kinds of lines in a transcript.
const (
	Text               MessageKind = "TEXT"
	GroupCreated       MessageKind = "GROUP_CREATED"
	GroupRenamed       MessageKind = "GROUP_RENAMED"
	ParticipantAdded   MessageKind = "PARTICIPANT_ADDED"
	ParticipantRemoved MessageKind = "PARTICIPANT_REMOVED"
	ParticipantLeft    MessageKind = "PARTICIPANT_LEFT"
	OwnerChanged       MessageKind = "OWNER_CHANGED"
)

// Message is one line of a transcript: what somebody wrote, or what happened to the group.
type Message struct {
	ID             MessageID      `db:"id"`
	ConversationID ConversationID `db:"conversation_id"`
	Seq            int64          `db:"seq"`
	Kind           MessageKind    `db:"kind"`
	// SenderID is who wrote or did it, empty if the clinic's roster did.
	SenderID *UserID `db:"sender_id"`
	// SubjectID is whom a system line is about.
	SubjectID *UserID `db:"subject_id"`
	// Body is what was written as the actor may see it, or the new name of a group.
	Body string `db:"body"`
	// ClientKey is the key of the call that sent it; only its sender sees it.
	ClientKey  *string    `db:"client_key"`
	TextCount  int64      `db:"text_count"`
	SentAt     time.Time  `db:"sent_at"`
	EditedAt   *time.Time `db:"edited_at"`
	RecalledAt *time.Time `db:"recalled_at"`
	// FileCount is how many files were sent with it.
	FileCount int `db:"file_count"`

	sender, subject *User   // if that is known already
	files           *[]File // if they are known already
	// sentence is what a line that nobody wrote says to the actor.
	sentence string
}

// IsNode makes a message a node in GraphQL.
func (Message) IsNode() {}

// KnownSender is who wrote or did it, if that was looked up with the message.
func (m Message) KnownSender() *User { return m.sender }

// KnownSubject is whom a line is about, if that was looked up with the message.
func (m Message) KnownSubject() *User { return m.subject }

// KnownFiles are its files, if they were looked up with the message.
func (m Message) KnownFiles() []File {
	if m.files == nil {
		return nil
	}
	return *m.files
}

// Cursor is the message's place in its conversation.
func (m Message) Cursor() string { return Cursor(m.Position()) }

// Position is the message's place in its conversation, for a cursor.
func (m Message) Position() []string {
	return []string{strconv.FormatInt(m.Seq, 10), m.ConversationID.String()}
}

// Text is what the line says to the actor: the text of a message, or a sentence about what happened, in the words of the product's page
// where it has them.
func (m Message) Text() string {
	if m.Kind == Text {
		return m.Body
	}
	return m.sentence
}

// says lets a line that nobody wrote say what happened, to the actor.
func (m *Message) says(actor UserID) {
	who, whom := nameFor(actor, m.sender, "You"), nameFor(actor, m.subject, "you")
	you := m.SubjectID != nil && *m.SubjectID == actor
	switch m.Kind {
	case GroupCreated:
		m.sentence = who + " created the group."
	case GroupRenamed:
		m.sentence = who + " renamed the group to " + m.Body + "."
	case ParticipantAdded:
		m.sentence = who + " added " + whom + "."
	case ParticipantLeft:
		m.sentence = nameFor(actor, m.subject, "") + " left the group."
		if you {
			m.sentence = textYouLeft
		}
	case ParticipantRemoved:
		m.sentence = who + " removed " + whom + "."
		if you {
			m.sentence = textYouWereRemoved
		}
	case OwnerChanged:
		m.sentence = nameFor(actor, m.subject, "") + " is now the group owner."
		if you {
			m.sentence = "You are now the group owner."
		}
	default:
		m.sentence = m.Body
	}
}

// knowPeople lets messages know who sent them, if that is wanted, and lines that nobody wrote what they say.
func (s *Service) knowPeople(ctx context.Context, actor Actor, messages []Message, withSenders bool) error {
	wanted := map[UserID]bool{}
	for _, m := range messages {
		if m.SenderID != nil && (withSenders || m.Kind != Text) {
			wanted[*m.SenderID] = true
		}
		if m.SubjectID != nil {
			wanted[*m.SubjectID] = true
		}
	}
	people, err := s.people(ctx, actor, wanted)
	if err != nil {
		return err
	}
	for i := range messages {
		m := &messages[i]
		if m.SenderID != nil {
			m.sender = people[*m.SenderID]
		}
		if m.SubjectID != nil {
			m.subject = people[*m.SubjectID]
		}
		if m.Kind != Text {
			m.says(actor.User.ID)
		}
	}
	return nil
}

func nameFor(actor UserID, user *User, you string) string {
	switch {
	case user == nil:
		return "The clinic"
	case user.ID == actor:
		return you
	}
	return user.Name
}

// messageColumns are a message as the participant $1 may see it. What was recalled is blank for
// everybody; who may not see the event of the last edit sees the revision before it (E11).
const messageColumns = `
	messages.id, messages.conversation_id, messages.seq, messages.kind, messages.sender_id, messages.subject_id,
	CASE
		WHEN recalled_at IS NOT NULL THEN ''
		WHEN edited_seq IS NULL THEN messages.body
		ELSE (
			SELECT revision.body FROM message_revisions AS revision
			WHERE message_id = messages.id AND EXISTS (
				SELECT FROM spans WHERE reader = $1 AND spans.stream = conversations.stream
					AND revision.seq BETWEEN from_seq AND to_seq)
			ORDER BY revision.seq DESC LIMIT 1)
	END AS body,
	CASE WHEN messages.sender_id = $1 THEN messages.client_key END AS client_key,
	messages.text_count, messages.sent_at, messages.recalled_at,
	CASE WHEN recalled_at IS NULL THEN messages.file_count ELSE 0 END AS file_count,
	CASE WHEN edited_seq IS NOT NULL THEN (
		SELECT CASE WHEN revision.seq > messages.seq THEN revision.made_at END FROM message_revisions AS revision
		WHERE message_id = messages.id AND EXISTS (
			SELECT FROM spans WHERE reader = $1 AND spans.stream = conversations.stream
				AND revision.seq BETWEEN from_seq AND to_seq)
		ORDER BY revision.seq DESC LIMIT 1)
	END AS edited_at`

// mayRead joins a message's conversation and keeps what the participant $1 may see.
const mayRead = `
	JOIN conversations ON conversations.id = messages.conversation_id AND deleted_at IS NULL
	WHERE EXISTS (
		SELECT FROM spans WHERE reader = $1 AND spans.stream = conversations.stream
			AND messages.seq BETWEEN from_seq AND to_seq)`

// MessagesByID returns those of the messages that the actor may see.
func (s *Service) MessagesByID(ctx context.Context, actor Actor, ids []MessageID) (map[MessageID]Message, error) {
	const query = `SELECT ` + messageColumns + ` FROM messages` + mayRead + ` AND messages.id = ANY ($2)`
	var rows []Message
	if err := s.find(ctx, &rows, query, actor.User.ID, array(ids)); err != nil {
		return nil, fmt.Errorf("messages: %w", err)
	}
	if err := s.knowPeople(ctx, actor, rows, false); err != nil {
		return nil, err
	}
	return byKey(rows, func(m Message) MessageID { return m.ID }), nil
}

// LastMessages returns the last line of each of the conversations that the actor may see, with who sent them if that is wanted. A
// conversation without lines has none.
func (s *Service) LastMessages(ctx context.Context, actor Actor, ids []ConversationID, withSenders bool) (map[ConversationID]Message, error) {
	const query = `
		SELECT ` + messageColumns + `
		FROM participants ` + theirConversation + `
		CROSS JOIN LATERAL ( -- as a plain join it reads all messages of each conversation
			SELECT * FROM messages
			WHERE conversation_id = conversations.id AND seq = COALESCE(participants.left_seq, conversations.last_seq)
			OFFSET 0
		) AS messages
		WHERE participants.user_id = $1 AND participants.conversation_id = ANY ($2)`
	var rows []Message
	if err := s.find(ctx, &rows, query, actor.User.ID, array(ids)); err != nil {
		return nil, fmt.Errorf("last messages: %w", err)
	}
	if err := s.knowPeople(ctx, actor, rows, withSenders); err != nil {
		return nil, err
	}
	return byKey(rows, func(m Message) ConversationID { return m.ConversationID }), nil
}

// Window is a part of a transcript: so many of the first or the last lines between two places.
// NewWindow makes it.
type Window struct {
	size          int
	backward      bool
	after, before int64
	// WithCursor asks for the cursor of the event stream at what the window shows, WithSenders for who sent it.
	WithCursor, WithSenders bool
}

// NewWindow checks what a window of a conversation is asked to be by Relay's arguments. Without
// first and last it has the last 20 lines, or the first 20 behind after.
func NewWindow(of ConversationID, first, last *int, after, before string) (Window, error) {
	w := Window{size: 20, backward: after == "", before: 1 << 62}
	field := "first"
	switch {
	case first != nil && last != nil:
		return Window{}, invalid("last", "Ask for the first or for the last messages, not for both.")
	case first != nil:
		w.size, w.backward = *first, false
	case last != nil:
		w.size, w.backward, field = *last, true, "last"
	}
	if err := validSize(field, w.size, MaxPage); err != nil {
		return Window{}, err
	}
	var err error
	if w.after, err = readSeq("after", after, of, w.after); err != nil {
		return Window{}, err
	}
	w.before, err = readSeq("before", before, of, w.before)
	return w, err
}

// readSeq reads a place in a conversation.
func readSeq(field, cursor string, of ConversationID, none int64) (int64, error) {
	at, err := readCursor(field, cursor, 2)
	if err != nil || at == nil {
		return none, err
	}
	seq, err := strconv.ParseInt(at[0], 10, 64)
	if err != nil || at[1] != of.String() {
		return 0, foreignCursor(field)
	}
	return seq, nil
}

// MessagePages returns the same window of each of the conversations, oldest first, of what the
// actor may see.
func (s *Service) MessagePages(ctx context.Context, actor Actor, ids []ConversationID, window Window) (map[ConversationID]Page[Message], error) {
	direction := "ASC"
	if window.backward {
		direction = "DESC"
	}
	// By span, so that what lies between two spans costs nothing.
	query := fmt.Sprintf(`
		SELECT page.* FROM unnest($2::uuid[]) AS wanted (id)
		JOIN conversations ON conversations.id = wanted.id AND deleted_at IS NULL
		CROSS JOIN LATERAL (
			SELECT `+messageColumns+`
			FROM spans AS seen
			CROSS JOIN LATERAL (
				SELECT * FROM messages
				WHERE conversation_id = conversations.id AND seq > $3 AND seq < $4
					AND seq >= seen.from_seq AND seq <= seen.to_seq
				ORDER BY seq %[1]s LIMIT $5
			) AS messages
			WHERE seen.reader = $1 AND seen.stream = conversations.stream
			ORDER BY messages.seq %[1]s LIMIT $5
		) AS page
		ORDER BY page.conversation_id, page.seq`, direction)
	rows := make([]Message, 0, min(len(ids)*(window.size+1), mostRoom))
	cursor, err := s.read(ctx, actor, window.WithCursor, &rows, query, actor.User.ID, array(ids), window.after, window.before, window.size+1)
	if err != nil {
		return nil, fmt.Errorf("messages: %w", err)
	}
	if err := s.knowPeople(ctx, actor, rows, window.WithSenders); err != nil {
		return nil, err
	}
	grouped := runsOf(rows, func(m *Message) ConversationID { return m.ConversationID })
	pages := make(map[ConversationID]Page[Message], len(ids))
	for _, id := range ids {
		page := Page[Message]{
			Items: grouped[id], HasNext: window.backward && window.before < 1<<62, HasPrevious: !window.backward && window.after > 0,
		}
		if len(page.Items) > window.size {
			if window.backward {
				page.Items, page.HasPrevious = page.Items[1:], true
			} else {
				page.Items, page.HasNext = page.Items[:window.size], true
			}
		}
		pages[id] = page.from(cursor)
	}
	return pages, nil
}

// line is a line about to be written that nobody wrote: what happened to the group. What people write goes by the outbox.
type line struct {
	kind          MessageKind
	subject       UserID
	body          string
	opens, closes []UserID
	revealFrom    int64
}

func (tx *transaction) line(ctx context.Context, conversation *ConversationView, l line) (Message, error) {
	return tx.lines(ctx, conversation, []line{l})
}

// lines writes lines to the transcript of a conversation whose lock is held, each with its event,
// and returns the last one. It is how everything that people see of a change comes about, but for messages.
func (tx *transaction) lines(ctx context.Context, conversation *ConversationView, lines []line) (Message, error) {
	n := len(lines)
	events := make([]eventlog.Event, n)
	for i, l := range lines {
		events[i] = eventlog.Event{
			Stream: conversation.Stream, Kind: kindLine, Scope: conversation.ID.UUID, Subject: l.subject.UUID, Object: newID(),
			Opens: plain(l.opens), Closes: plain(l.closes), RevealFrom: l.revealFrom,
		}
	}
	var err error
	if n == 1 {
		events[0], err = tx.append(ctx, events[0])
	} else {
		events, err = tx.appendAll(ctx, events)
	}
	if err != nil {
		return Message{}, err
	}
	ids, seqs := make([]uuid.UUID, n), make([]int64, n)
	kinds, subjects, bodies := make([]string, n), make([]*UserID, n), make([]string, n)
	for i, l := range lines {
		ids[i], seqs[i], kinds[i], bodies[i] = events[i].Object, events[i].Seq, string(l.kind), l.body
		if l.subject != (UserID{}) {
			subjects[i] = &lines[i].subject
		}
	}
	// The counter as it is under the lock: nothing of this is a text.
	const write = `
		WITH counted AS (
			UPDATE conversations SET last_seq = $3, last_activity_at = now() WHERE id = $1 RETURNING text_count
		)
		INSERT INTO messages (id, conversation_id, seq, kind, sender_id, subject_id, body, text_count)
		SELECT id, $1, seq, kind, $2, subject_id, body, text_count
		FROM counted, unnest($4::uuid[], $5::bigint[], $6::text[], $7::uuid[], $8::text[])
			AS given (id, seq, kind, subject_id, body)
		RETURNING text_count, sent_at`
	last := Message{ConversationID: conversation.ID, Seq: events[n-1].Seq}
	if err := tx.GetContext(ctx, &last, write, conversation.ID, tx.by(), last.Seq, array(ids), array(seqs),
		array(kinds), array(subjects), array(bodies)); err != nil {
		return Message{}, fmt.Errorf("write the lines: %w", err)
	}
	last.ID = MessageID{ids[n-1]}
	return last, nil
}

// by is the actor, or nobody if the roster is.
func (tx *transaction) by() *UserID {
	if tx.actor.User.ID == (UserID{}) {
		return nil
	}
	return &tx.actor.User.ID
}

// tellAll writes the same event to many streams.
func (tx *transaction) tellAll(ctx context.Context, streams []int64, event eventlog.Event) error {
	events := make([]eventlog.Event, len(streams))
	for i, stream := range streams {
		events[i] = event
		events[i].Stream = stream
	}
	_, err := tx.appendAll(ctx, events)
	return err
}

func (s *Service) message(ctx context.Context, actor Actor, id MessageID) (*Message, error) {
	found, err := s.MessagesByID(ctx, actor, []MessageID{id})
	if err != nil {
		return nil, err
	}
	message, ok := found[id]
	if !ok {
		// Sent, and out of the sender's sight since: the group was deleted.
		return nil, refuse(CodeConversationDeleted, textGroupDeleted)
	}
	return &message, nil
}

// EditMessageInput gives a message another text.
type EditMessageInput struct {
	ClientKey string
	MessageID MessageID
	Body      string
}

// EditMessage changes the text of a message of the actor's. Who left before keeps the text they
// knew (E11).
func (s *Service) EditMessage(ctx context.Context, actor Actor, in EditMessageInput) (*Message, error) {
	body, err := validBody(in.Body, true)
	if err != nil {
		return nil, err
	}
	id, err := change(ctx, s, actor, "editMessage", in.ClientKey, in, func(ctx context.Context, tx *transaction) (MessageID, error) {
		conversation, message, err := enterByMessage(ctx, tx, in.MessageID)
		if err != nil {
			return MessageID{}, err
		}
		if err := conversation.may(Send, "messageId"); err != nil {
			return MessageID{}, err
		}
		if message.RecalledAt != nil {
			return MessageID{}, refuse(CodeMessageRecalled, "This message was recalled.").of("messageId")
		}
		if _, err := validBody(body, message.FileCount > 0); err != nil {
			return MessageID{}, err
		}
		if message.Body == body {
			return message.ID, nil
		}
		event, err := tx.append(ctx, eventlog.Event{
			Stream: conversation.Stream, Kind: kindMessageChanged, Scope: conversation.ID.UUID, Object: message.ID.UUID,
		})
		if err != nil {
			return MessageID{}, err
		}
		const revise = `
			WITH first AS (
				INSERT INTO message_revisions (message_id, seq, body) SELECT id, seq, body FROM messages WHERE id = $1
				ON CONFLICT DO NOTHING
			), revision AS (
				INSERT INTO message_revisions (message_id, seq, body) VALUES ($1, $2, $3)
			)
			UPDATE messages SET body = $3, edited_seq = $2 WHERE id = $1`
		if _, err := tx.ExecContext(ctx, revise, message.ID, event.Seq, body); err != nil {
			return MessageID{}, fmt.Errorf("edit the message: %w", err)
		}
		return message.ID, nil
	})
	if err != nil {
		return nil, err
	}
	return s.message(ctx, actor, id)
}

// RecallMessageInput names the message to take back.
type RecallMessageInput struct {
	ClientKey string
	MessageID MessageID
}

// RecallMessage blanks a message of the actor's for everybody, who left included (E11, E44). Who
// can't send any more can still take back what they sent: a recall has to work everywhere.
func (s *Service) RecallMessage(ctx context.Context, actor Actor, in RecallMessageInput) (*Message, error) {
	id, err := change(ctx, s, actor, "recallMessage", in.ClientKey, in, func(ctx context.Context, tx *transaction) (MessageID, error) {
		conversation, message, err := enterByMessage(ctx, tx, in.MessageID)
		if err != nil {
			return MessageID{}, err
		}
		if message.RecalledAt != nil {
			return message.ID, nil
		}
		if _, err := tx.ExecContext(ctx, `UPDATE messages SET recalled_at = now() WHERE id = $1`, message.ID); err != nil {
			return MessageID{}, fmt.Errorf("recall the message: %w", err)
		}
		recalled := eventlog.Event{
			Stream: conversation.Stream, Kind: kindMessageChanged, Scope: conversation.ID.UUID, Object: message.ID.UUID,
		}
		if _, err := tx.append(ctx, recalled); err != nil {
			return MessageID{}, err
		}
		const gone = `
			SELECT users.stream FROM participants JOIN users ON users.id = user_id
			WHERE conversation_id = $1 AND left_at IS NOT NULL AND EXISTS (
				SELECT FROM spans WHERE reader = user_id AND spans.stream = $2 AND $3 BETWEEN from_seq AND to_seq)`
		var streams []int64
		if err := tx.SelectContext(ctx, &streams, gone, conversation.ID, conversation.Stream, message.Seq); err != nil {
			return MessageID{}, fmt.Errorf("who left and saw the message: %w", err)
		}
		return message.ID, tx.tellAll(ctx, streams, recalled)
	})
	if err != nil {
		return nil, err
	}
	return s.message(ctx, actor, id)
}

// enterByMessage begins a change of a message that the actor sent.
func enterByMessage(ctx context.Context, tx *transaction, id MessageID) (*ConversationView, *Message, error) {
	// Whom the message is hidden from does not get as far as its conversation: it would take more
	// statements than what does not exist, and the lock.
	const where = `
		SELECT conversation_id FROM messages JOIN conversations ON conversations.id = conversation_id
		WHERE messages.id = $2 AND EXISTS (
			SELECT FROM spans WHERE reader = $1 AND spans.stream = conversations.stream
				AND messages.seq BETWEEN from_seq AND to_seq)`
	var in ConversationID
	err := tx.GetContext(ctx, &in, where, tx.actor.User.ID, id)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil, notFound("message", "messageId")
	}
	if err != nil {
		return nil, nil, fmt.Errorf("find the message: %w", err)
	}
	conversation, err := enter(ctx, tx, in)
	if refused := new(Error); errors.As(err, &refused) {
		if refused.Code == CodeNotFound {
			return nil, nil, notFound("message", "messageId")
		}
		refused.Field = []string{"messageId"}
		return nil, nil, refused
	}
	if err != nil {
		return nil, nil, err
	}
	const query = `SELECT ` + messageColumns + ` FROM messages` + mayRead + ` AND messages.id = $2`
	var message Message
	err = tx.GetContext(ctx, &message, query, tx.actor.User.ID, id)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil, notFound("message", "messageId")
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read the message: %w", err)
	}
	if message.Kind != Text || *message.SenderID != tx.actor.User.ID {
		return nil, nil, &Error{Code: CodeNotTheSender, Message: "Only who sent a message can change it.", Field: []string{"messageId"}}
	}
	return conversation, &message, nil
}

// Notify is the server's decision how a message makes itself felt, so that every client of a
// person behaves alike (S25, S26, S41, S42, E20).
type Notify struct {
	// Popup opens the chat box if it is closed.
	Popup bool
	// Sound plays the chat sound.
	Sound bool
}

// notifyOf decides how a message makes itself felt to a reader: not at all if they muted the conversation, have read it, sent it themselves
// or can't see it any more, nor as a system line.
func notifyOf(reader UserID, stands *standing, m *Message) Notify {
	felt := stands != nil && m != nil && m.Kind == Text && m.RecalledAt == nil && (m.SenderID == nil || *m.SenderID != reader) &&
		!stands.Muted && m.Seq > stands.ReadSeq
	return Notify{Popup: felt, Sound: felt}
}

// standing is what decides about it, of somebody who is in the conversation.
type standing struct {
	Muted   bool
	ReadSeq int64 `db:"read_seq"`
}

// standing is how the actor stands to the conversation, nil if they are not in it.
func (c *ConversationView) standing() *standing {
	if c.State() != Active {
		return nil
	}
	return &standing{c.Muted, c.ReadSeq}
}
