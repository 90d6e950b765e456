package chat

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/lib/pq"

	"corridor/internal/eventlog"
)

// SendMessageInput says what to send where.
type SendMessageInput struct {
	ClientKey      string
	ConversationID ConversationID
	Body           string
	// FileIDs are files that the actor uploaded.
	FileIDs []FileID `json:",omitempty"`
}

// sendMessage is the operation, as client keys know it.
const sendMessage = "sendMessage"

// SendMessage sends a message. When it returns, the message is on disk and will reach everybody
// who may see it. Sending reads what came before, and brings back a conversation that was
// archived, for the others too unless they muted it (S23, E14, E36).
func (s *Service) SendMessage(ctx context.Context, actor Actor, in SendMessageInput) (*Message, error) {
	body, err := validBody(in.Body, len(in.FileIDs) > 0)
	if err != nil {
		return nil, err
	}
	if refused := validFiles(in.FileIDs); refused != nil {
		return nil, refused
	}
	key, err := validClientKey(in.ClientKey)
	if err != nil {
		return nil, err
	}
	fingerprint, err := fingerprintOf(in)
	if err != nil {
		return nil, fmt.Errorf("write down what is sent: %w", err)
	}
	l := &letter{
		values: ctx, actor: actor, in: in, body: body, fingerprint: fingerprint[:], key: clientKey{actor.User.ID, key},
		id: MessageID{newID()}, answered: make(chan struct{}),
	}
	if err := s.send(ctx, l); err != nil {
		return nil, err
	}
	if l.sent != nil {
		return l.sent, nil
	}
	return s.message(ctx, actor, l.earlier)
}

// writeLetters writes those of the letters to which nothing is objected. The client keys come last, and not first as in other
// changes, so that those of what is refused are not taken: two calls with the same one wait for each other at the conversation.
func (tx *transaction) writeLetters(ctx context.Context, letters []*letter, patiently bool) error {
	for _, l := range letters {
		if patiently {
			l.tries++
		}
		l.held, l.view, l.sent, l.earlier = false, nil, nil, MessageID{} // of a try before
		l.err = notFound("conversation", "conversationId")
	}
	seen, err := tx.lookAll(ctx, letters, patiently)
	if err != nil {
		return err
	}
	var allowed []*letter
	for _, l := range seen {
		if l.err = l.view.may(Send, "conversationId"); l.err == nil {
			allowed = append(allowed, l)
		}
	}
	if len(allowed) == 0 {
		return nil
	}
	if first := allowed[0]; first.hasFiles() {
		if err := tx.attach(ctx, first.actor, first.to(), first.id, first.in.FileIDs); err != nil {
			return err
		}
	}
	return tx.sendAll(ctx, allowed)
}

// lookAll is enter for many: it takes the locks of the conversations, reads what each sender sees of theirs behind its lock, and returns the letters
// that may go on. The others are of somebody who is not in the conversation or whose account has ended, or answered: by what was done under their
// client key before. Without patience they are held, too, if somebody else has the lock or had it a moment ago, and nothing in the
// transaction waits for another one for long.
func (tx *transaction) lookAll(ctx context.Context, letters []*letter, patiently bool) (seen []*letter, err error) {
	patience := lettersPatience
	if patiently {
		patience = 0
		if _, err := tx.ExecContext(ctx, waitForAll, given(letters, patience)...); err != nil {
			return nil, fmt.Errorf("wait for the conversations: %w", err)
		}
	}
	var rows []struct {
		N                           int
		Held, Stale, Deleted, Known bool
		earlierCall
		ConversationView
	}
	if err := tx.SelectContext(ctx, &rows, lookAtOnce, given(letters, patience)...); err != nil {
		return nil, fmt.Errorf("enter the conversations: %w", err)
	}
	for _, row := range rows {
		l := letters[row.N-1]
		switch {
		case row.Deleted:
			l.err = refuse(CodeConversationDeleted, textGroupDeleted).of("conversationId")
		case row.Held || row.Stale: // with patience there is no such conversation any more
			l.held = !patiently
		case row.Known && row.Operation != "":
			l.err = row.answer(sendMessage, l.fingerprint, &l.earlier)
		case row.Known:
			l.view = &row.ConversationView
			seen = append(seen, l)
		}
	}
	return seen, nil
}

// given hands the letters to Postgres, with how long the transaction waits for a lock: for ever if it is 0.
func given(letters []*letter, patience time.Duration) []any {
	return []any{
		recipients(letters), senders(letters), column(letters, func(l *letter) string { return l.actor.Clinic.ID.String() }),
		column(letters, func(l *letter) bool { return l.actor.Clinic.StrictDirect }), column(letters, func(l *letter) string { return l.key.key }),
		strconv.FormatInt(patience.Milliseconds(), 10),
	}
}

const (
	// lettersGiven are those whose senders are or were in the conversation.
	lettersGiven = `
		given AS MATERIALIZED (
			SELECT n, id, reader, strict, key
			FROM set_config('lock_timeout', $6, true), unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::boolean[], $5::text[])
				WITH ORDINALITY AS given (id, reader, clinic_id, strict, key, n)
			WHERE EXISTS (
				SELECT FROM participants JOIN conversations ON conversations.id = participants.conversation_id
				WHERE participants.conversation_id = given.id AND user_id = reader AND conversations.clinic_id = given.clinic_id)
		)`
	waitForAll = `
		WITH ` + lettersGiven + `
		SELECT FROM conversations WHERE id = ANY (ARRAY (SELECT id FROM given)) ORDER BY id FOR NO KEY UPDATE`
)

// lookAtOnce takes the locks that nobody has and looks in one statement, with eyes that opened before it had them. Whatever a lock of the conversation
// keeps apart from sending writes to it, and behind the lock it is there as it is by then: if that is another one than the eyes see, what they see is
// stale. Behind waitForAll it never is. Accounts that end and contacts that go, for which no lock is waited for, are as they were when it began.
var lookAtOnce = `
	WITH ` + lettersGiven + `, locked AS MATERIALIZED (
		SELECT id, deleted_at, ctid FROM conversations WHERE id = ANY (ARRAY (SELECT id FROM given))
		ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
	)
	SELECT n, locked.id IS NULL AS held, locked.ctid IS DISTINCT FROM before.ctid AS stale, locked.deleted_at IS NOT NULL AS deleted,
		seen.id IS NOT NULL AS known, COALESCE(operation, '') AS operation, fingerprint, result,
		seen.id, COALESCE(seen.kind, '') AS kind, COALESCE(seen.stream, 0) AS stream, seen.closed_at, seen.left_at, seen.left_reason,
		seen.archived_at, COALESCE(seen.peer_active, false) AS peer_active, COALESCE(seen.peer_in_reach, false) AS peer_in_reach
	FROM given AS wanted
	LEFT JOIN locked ON locked.id = wanted.id
	LEFT JOIN LATERAL (SELECT ctid FROM conversations WHERE id = wanted.id OFFSET 0) AS before ON true
	LEFT JOIN ` + lateral(conversationsOf+` AND EXISTS (SELECT FROM users WHERE users.id = $1 AND deactivated_at IS NULL)`, "participants.conversation_id") + `
		ON locked.id IS NOT NULL
	LEFT JOIN LATERAL (
		SELECT operation, fingerprint, result FROM client_keys WHERE user_id = wanted.reader AND client_keys.key = wanted.key OFFSET 0
	) AS earlier ON true
	ORDER BY n`

// sendAll writes letters to conversations whose locks are held, each with its event and under its client key. It moves the senders'
// read positions, notes who has muted the conversations, un-archives the conversations for whom a message does so, and tells their devices.
func (tx *transaction) sendAll(ctx context.Context, letters []*letter) error {
	const query = `
		WITH given AS MATERIALIZED (
			SELECT *, '` + kindLine + `' AS kind
			FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[], $5::uuid[], $6::text[],
				$7::text[], $8::bigint[], $9::boolean[], $10::text[], $11::bytea[]) WITH ORDINALITY
				AS given (object, scope, stream, place, actor, body, client_key, file_count, unarchives, key, fingerprint, n)
		), ` + eventlog.Appending + `, counted AS (
			UPDATE conversations SET last_seq = sent.seq, last_activity_at = now(), text_count = text_count + sent.texts
			FROM (SELECT scope, max(seq) AS seq, count(*) AS texts FROM appended GROUP BY scope) AS sent
			WHERE id = ANY (ARRAY (SELECT scope FROM given)) AND id = scope
			RETURNING id, text_count - sent.texts AS before
		), sent AS MATERIALIZED (
			SELECT appended.*, before + place AS text_count FROM appended JOIN counted ON id = scope
		), written AS (
			INSERT INTO messages (id, conversation_id, seq, kind, sender_id, body, client_key, file_count, text_count)
			SELECT object, scope, seq, 'TEXT', actor, body, client_key, file_count, text_count FROM sent
		), kept AS (
			INSERT INTO client_keys (user_id, key, operation, fingerprint, result)
			SELECT actor, key, '` + sendMessage + `', fingerprint, to_jsonb(object) FROM sent
		), senders AS (
			SELECT scope, actor, max(seq) AS seq, max(text_count) AS text_count FROM sent GROUP BY scope, actor
		), noted AS (
			UPDATE participants SET read_seq = seq, read_text_count = text_count, archived_at = NULL
			FROM senders WHERE conversation_id = scope AND user_id = actor
		), archived AS MATERIALIZED (
			SELECT archived.* FROM (SELECT DISTINCT scope FROM sent WHERE unarchives) AS sent
			CROSS JOIN LATERAL (
				SELECT participants.id, conversation_id, users.stream FROM participants JOIN users ON users.id = user_id
				WHERE conversation_id = scope AND archived_at IS NOT NULL AND left_at IS NULL AND NOT ` + isMuted + `
					AND NOT EXISTS (SELECT FROM senders WHERE senders.scope = conversation_id AND actor = user_id)
				OFFSET 0
			) AS archived
		), unarchived AS (
			UPDATE participants SET archived_at = NULL WHERE id = ANY (ARRAY (SELECT id FROM archived))
		)
		SELECT seq, text_count, now() AS at, ARRAY (SELECT archived.stream FROM archived WHERE conversation_id = scope AND place = 1) AS told,
			ARRAY (
				SELECT user_id FROM participants WHERE place = 1 AND conversation_id = scope AND left_at IS NULL AND ` + isMuted + `
				LIMIT $12
			) AS muters
		FROM sent
		ORDER BY n`
	of := map[ConversationID]int64{}
	var rows []struct {
		Seq       int64
		TextCount int64 `db:"text_count"`
		At        time.Time
		Told      pq.Int64Array
		Muters    pq.StringArray
	}
	asked := time.Now()
	err := tx.SelectContext(ctx, &rows, query,
		column(letters, func(l *letter) string { return l.id.String() }), recipients(letters),
		column(letters, func(l *letter) int64 { return l.view.Stream }),
		column(letters, func(l *letter) int64 { of[l.to()]++; return of[l.to()] }),
		senders(letters),
		column(letters, func(l *letter) string { return l.body }),
		column(letters, func(l *letter) string { return l.in.ClientKey }),
		column(letters, func(l *letter) int64 { return int64(len(l.in.FileIDs)) }),
		column(letters, func(l *letter) bool { return !l.actor.Clinic.KeepArchived }),
		column(letters, func(l *letter) string { return l.key.key }),
		column(letters, func(l *letter) []byte { return l.fingerprint }),
		mostMuters+1)
	if err != nil {
		return fmt.Errorf("send messages: %w", err)
	}
	if len(rows) != len(letters) {
		return fmt.Errorf("send messages: %d of %d", len(rows), len(letters))
	}
	type told struct {
		stream int64
		about  ConversationID
	}
	known, settings := map[told]bool{}, []eventlog.Event(nil)
	muters := map[ConversationID]*[]UserID{}
	for i, row := range rows {
		l := letters[i]
		if _, ok := muters[l.to()]; !ok {
			if muters[l.to()], err = few(row.Muters); err != nil {
				return fmt.Errorf("who muted a conversation: %w", err)
			}
		}
		sender, key := l.actor.User, l.in.ClientKey // copies: the message is kept for longer than the letter
		l.sent = &Message{
			ID: l.id, ConversationID: l.to(), Seq: row.Seq, Kind: Text, SenderID: &sender.ID, Body: l.body, ClientKey: &key,
			TextCount: row.TextCount, SentAt: row.At, FileCount: len(l.in.FileIDs),
		}
		event := eventlog.Event{
			Stream: l.view.Stream, Seq: row.Seq, Kind: kindLine, Actor: sender.ID.UUID, Scope: l.to().UUID, Object: l.id.UUID, OccurredAt: row.At,
		}
		tx.sent = append(tx.sent, addedLine{Message: *l.sent, ConversationKind: l.view.Kind, author: &sender, muters: muters[l.to()], asked: asked})
		tx.appended = append(tx.appended, event)
		if l.view.ArchivedAt != nil {
			row.Told = append(row.Told, sender.Stream)
		}
		for _, stream := range row.Told {
			if to := (told{stream, l.to()}); !known[to] {
				known[to] = true
				settings = append(settings, eventlog.Event{Stream: stream, Kind: kindSettings, Actor: event.Actor, Scope: event.Scope})
			}
		}
	}
	// The streams of all in one go: taken one after the other, two senders could wait for each other.
	_, err = tx.appendAll(ctx, settings)
	return err
}

// mostMuters bounds how many of those who muted a conversation are read with each message to it.
const mostMuters = 32

// few returns people, nil if there are too many.
func few(ids []string) (*[]UserID, error) {
	if len(ids) > mostMuters {
		return nil, nil
	}
	people := make([]UserID, len(ids))
	for i, id := range ids {
		if err := people[i].Scan(id); err != nil {
			return nil, err
		}
	}
	return &people, nil
}

// column hands what the letters have of one kind to Postgres.
func column[T any](letters []*letter, of func(*letter) T) any {
	values := make([]T, len(letters))
	for i, l := range letters {
		values[i] = of(l)
	}
	return array(values)
}

func recipients(letters []*letter) any {
	return column(letters, func(l *letter) string { return l.to().String() })
}

func senders(letters []*letter) any {
	return column(letters, func(l *letter) string { return l.actor.User.ID.String() })
}
