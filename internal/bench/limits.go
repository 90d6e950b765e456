package main

import (
	"context"
	"crypto/sha256"
	"fmt"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

// The limit of a work is the least SQL that does the same: by the same driver, prepared, over as many connections. Nothing stands
// between it and the database, and it knows nothing of the schema of the API.

// leastSend writes a message as durably as the program does, in one statement that is a transaction: it takes the lock of the
// conversation's stream, the key of the call, and writes the message, its event and the counters. It does not number the event.
func leastSend(ctx context.Context, db *sqlx.DB, conversation, sender uuid.UUID, key, body string) (seq int64, err error) {
	const query = `
		WITH first AS (
			INSERT INTO client_keys (user_id, key, operation, fingerprint, result)
			VALUES ($2, $3, 'sendMessage', $4, to_jsonb($5::uuid))
			ON CONFLICT DO NOTHING RETURNING key
		), next AS (
			UPDATE streams SET head = head + 1
			FROM first, conversations
			WHERE conversations.id = $1 AND conversations.deleted_at IS NULL AND streams.number = conversations.stream
				AND EXISTS (SELECT FROM participants WHERE conversation_id = $1 AND user_id = $2 AND left_at IS NULL)
			RETURNING number, head
		), event AS (
			INSERT INTO events (stream, seq, kind, actor, scope, object)
			SELECT number, head, 'line', $2, $1, $5 FROM next
		), counted AS (
			UPDATE conversations SET last_seq = head, last_activity_at = now(), text_count = text_count + 1
			FROM next WHERE id = $1 RETURNING text_count
		), read AS (
			UPDATE participants SET read_seq = head, read_text_count = text_count
			FROM next, counted WHERE conversation_id = $1 AND user_id = $2
		)
		INSERT INTO messages (id, conversation_id, seq, kind, sender_id, body, client_key, text_count)
		SELECT $5, $1, head, 'TEXT', $2, $6, $3, text_count FROM next, counted
		RETURNING seq`
	id := uuid.Must(uuid.NewV7())
	fingerprint := sha256.Sum256(append(conversation[:], body...))
	if err := db.GetContext(ctx, &seq, query, conversation, sender, key, fingerprint[:], id, body); err != nil {
		return 0, fmt.Errorf("the least that sends a message: %w", err)
	}
	return seq, nil
}

// leastList reads the first 20 conversations of somebody, with the last message of each, its sender, how many are unread and
// five who take part, and returns how many rows that was.
func leastList(ctx context.Context, db *sqlx.DB, person uuid.UUID) (int, error) {
	const query = `
		WITH mine AS (
			SELECT conversations.id, conversations.name, last_seq, last_activity_at, conversations.text_count - read_text_count AS unread
			FROM participants JOIN conversations ON conversations.id = conversation_id
			WHERE user_id = $1 AND left_at IS NULL AND archived_at IS NULL AND deleted_at IS NULL AND last_seq > 0
			ORDER BY last_activity_at DESC, conversations.id DESC LIMIT 20
		)
		SELECT mine.id, mine.name, mine.unread, messages.id, messages.seq, messages.body, messages.sent_at, sender.id, sender.name, ids, names
		FROM mine
		JOIN messages ON conversation_id = mine.id AND seq = last_seq
		JOIN users AS sender ON sender.id = sender_id
		CROSS JOIN LATERAL (
			SELECT array_agg(five.user_id) AS ids, array_agg(users.name) AS names
			FROM (
				SELECT user_id FROM participants WHERE conversation_id = mine.id AND left_at IS NULL ORDER BY joined_at, id LIMIT 5
			) AS five JOIN users ON users.id = five.user_id
		) AS people
		ORDER BY last_activity_at DESC, mine.id DESC`
	var conversation, message, sender uuid.UUID
	var name, body, senderName string
	var unread, seq int64
	var at any
	var ids, names pq.StringArray
	return reads(ctx, db, query, []any{person}, &conversation, &name, &unread, &message, &seq, &body, &at, &sender, &senderName, &ids, &names)
}

// leastHistory reads 50 messages before a place, with their senders, as far as somebody may see them.
func leastHistory(ctx context.Context, db *sqlx.DB, person, conversation uuid.UUID, before int64) (int, error) {
	const query = `
		SELECT messages.id, seq, messages.kind, body, sent_at, users.id, users.name
		FROM conversations JOIN spans ON spans.stream = conversations.stream AND reader = $1
		CROSS JOIN LATERAL (
			SELECT * FROM messages
			WHERE conversation_id = conversations.id AND seq < $3 AND seq >= from_seq AND seq <= to_seq
			ORDER BY seq DESC LIMIT 50
		) AS messages
		JOIN users ON users.id = sender_id
		WHERE conversations.id = $2 AND deleted_at IS NULL
		ORDER BY seq DESC LIMIT 50`
	var message, sender uuid.UUID
	var kind, body, name string
	var seq int64
	var at any
	return reads(ctx, db, query, []any{person, conversation, before}, &message, &seq, &kind, &body, &at, &sender, &name)
}

// leastSearch reads the first 20 contacts of somebody in whose name or address a word occurs.
func leastSearch(ctx context.Context, db *sqlx.DB, person uuid.UUID, word string) (int, error) {
	const query = `
		SELECT users.id, users.name, users.email, users.role_label
		FROM (
			SELECT DISTINCT theirs.search, theirs.user_id
			FROM waiting_room_members AS mine
			JOIN waiting_rooms ON waiting_rooms.id = mine.waiting_room_id AND deactivated_at IS NULL
			JOIN waiting_room_members AS theirs ON theirs.waiting_room_id = mine.waiting_room_id AND theirs.search IS NOT NULL
			WHERE mine.user_id = $1 AND mine.search IS NOT NULL AND theirs.user_id <> $1 AND strpos(theirs.search, $2) > 0
			ORDER BY theirs.search, theirs.user_id LIMIT 20
		) AS found JOIN users ON users.id = found.user_id
		ORDER BY found.search, found.user_id`
	var id uuid.UUID
	var name, email, role string
	return reads(ctx, db, query, []any{person, word}, &id, &name, &email, &role)
}

// reads reads all rows and returns how many there were.
func reads(ctx context.Context, db *sqlx.DB, query string, arguments []any, into ...any) (count int, err error) {
	rows, err := db.QueryContext(ctx, query, arguments...)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	for ; rows.Next(); count++ {
		if err := rows.Scan(into...); err != nil {
			return 0, err
		}
	}
	return count, rows.Err()
}
