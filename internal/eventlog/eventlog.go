// Package eventlog is an append-only log in Postgres that any process can follow.
//
// The log consists of many streams. Append writes an event to one of them inside the caller's
// transaction and hands out the next seq of that stream under the lock of the stream's row, so the
// events of a stream are gapless and in commit order, and different streams do not wait for each
// other. A reader sees the parts of a stream that their spans cover; the events themselves open
// and close spans.
//
// Follow gives one reader every event that is theirs exactly once, in the order of each stream,
// from an opaque cursor on. It keeps that promise over broken connections, killed processes and
// restarts of Postgres, on any process:
//
//   - About every 100 ms one of the processes copies the new events into the feed, which gives
//     every event a place in one gapless order. The feed is what cursors count in and what every
//     follower walks.
//   - So that nobody waits for the numbering, an event that is the next one of a stream a
//     follower may read is delivered before it is numbered, and the cursor remembers that it was.
//   - What tells followers to look is a hint: a doorbell after the commit, within the process and
//     by a Carrier to the others. Hints carry numbers and may be lost: everybody looks four times
//     a second anyway.
//
// There is one path for old and new events. A follower that fell behind what this process holds in
// memory reads pages from the database by the same rules.
package eventlog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

// Event is one thing that happened: ids and numbers, never text. What the kinds and ids mean is
// the business of whoever appends and reads them.
type Event struct {
	// Stream is the number of the stream, from NewStreams.
	Stream int64
	// Seq is the event's place in its stream, from 1 without gaps. Append sets it.
	Seq int64
	// Kind names what happened.
	Kind string
	// Actor did it, Scope is what the stream is about, Subject whom it happened to, Object what
	// came of it. Each may be uuid.Nil.
	Actor, Scope, Subject, Object uuid.UUID
	// Opens lists readers who see the stream from this event on, and Closes readers for whom it
	// is the last one. Whoever is opened must not have an open span.
	Opens, Closes []uuid.UUID
	// RevealFrom lets the readers in Opens see the stream from an earlier seq on. It is not stored
	// with the event but in the spans.
	RevealFrom int64
	// OccurredAt is the time of the transaction, by the clock of Postgres. Append sets it.
	OccurredAt time.Time
}

// Position names an event: what a hint carries.
type Position struct {
	Stream, Seq int64
}

// openEnd is where a span ends that is still open.
const openEnd = math.MaxInt64

// NewStreams makes n streams and returns their numbers.
func NewStreams(ctx context.Context, tx *sqlx.Tx, n int) ([]int64, error) {
	const query = `INSERT INTO streams (head) SELECT 0 FROM generate_series(1, $1) RETURNING number`
	var numbers []int64
	if err := tx.SelectContext(ctx, &numbers, query, n); err != nil {
		return nil, fmt.Errorf("new streams: %w", err)
	}
	return numbers, nil
}

// NewPrivateStreams makes a stream for each of the readers, which they see from its beginning, and
// returns the numbers in the order of the readers.
func NewPrivateStreams(ctx context.Context, tx *sqlx.Tx, readers []uuid.UUID) ([]int64, error) {
	numbers, err := NewStreams(ctx, tx, len(readers))
	if err != nil {
		return nil, err
	}
	const query = `
		INSERT INTO spans (reader, stream, from_seq, opened_seq)
		SELECT reader, stream, 1, 1 FROM unnest($1::uuid[], $2::bigint[]) AS given (reader, stream)`
	if _, err := tx.ExecContext(ctx, query, pq.Array(readers), pq.Array(numbers)); err != nil {
		return nil, fmt.Errorf("open private streams: %w", err)
	}
	return numbers, nil
}

// Append writes the event to its stream and returns it with its seq and time. It holds the lock
// of the stream until the transaction ends.
func Append(ctx context.Context, tx *sqlx.Tx, event Event) (Event, error) {
	const query = `
		WITH next AS (
			UPDATE streams SET head = head + 1 WHERE number = $1 RETURNING head
		), waiting AS (
			INSERT INTO unnumbered (stream, seq) SELECT $1, head FROM next
		)
		INSERT INTO events (stream, seq, kind, actor, scope, subject, object, opens, closes)
		SELECT $1, head, $2, $3, $4, $5, $6, $7, $8 FROM next
		RETURNING seq, occurred_at`
	row := tx.QueryRowxContext(ctx, query, event.Stream, event.Kind, text(event.Actor), text(event.Scope),
		text(event.Subject), text(event.Object), literal(event.Opens), literal(event.Closes))
	if err := row.Scan(&event.Seq, &event.OccurredAt); err != nil {
		return Event{}, fmt.Errorf("append %s: %w", event.Kind, err)
	}
	return event, setSpans(ctx, tx, []Event{event})
}

// Appending is Append as a part of a statement of the caller's, after its CTE given, for one event of each row of that: its
// columns stream, kind, actor, scope and object are of the event, and place says which of those of its stream it is, from 1. What comes
// of it is the CTE appended, which is given with the seq of each event. The time of all is that of the transaction. The caller holds a lock
// under which everybody appends to these streams, for the streams are taken in any order.
const Appending = `
	advanced AS (
		UPDATE streams SET head = head + added.n
		FROM (SELECT stream, count(*) AS n FROM given GROUP BY stream) AS added
		WHERE number = ANY (ARRAY (SELECT stream FROM given)) AND number = added.stream
		RETURNING number, head - added.n AS before
	), appended AS MATERIALIZED (
		SELECT given.*, before + place AS seq FROM given JOIN advanced ON number = stream
	), waiting AS (
		INSERT INTO unnumbered (stream, seq) SELECT stream, seq FROM appended
	), happened AS (
		INSERT INTO events (stream, seq, kind, actor, scope, object) SELECT stream, seq, kind, actor, scope, object FROM appended
	)`

// AppendAll appends many events in a fixed number of statements and returns them as Append does. Events of one stream keep their order. It locks the streams in the order of
// their numbers, so two callers can't wait for each other.
func AppendAll(ctx context.Context, tx *sqlx.Tx, events []Event) ([]Event, error) {
	if len(events) == 0 {
		return nil, nil
	}
	counts := map[int64]int64{}
	for _, event := range events {
		counts[event.Stream]++
	}
	var streams, added []int64
	for stream, n := range counts {
		streams, added = append(streams, stream), append(added, n)
	}
	const advance = `
		WITH given AS (
			SELECT * FROM unnest($1::bigint[], $2::bigint[]) AS given (number, n)
		), locked AS MATERIALIZED (
			SELECT number FROM streams WHERE number = ANY ($1::bigint[]) ORDER BY number FOR NO KEY UPDATE
		)
		UPDATE streams SET head = head + n FROM given JOIN locked USING (number)
		WHERE streams.number = given.number
		RETURNING streams.number AS stream, head - n AS seq`
	var before []Position
	if err := tx.SelectContext(ctx, &before, advance, pq.Array(streams), pq.Array(added)); err != nil {
		return nil, fmt.Errorf("advance streams: %w", err)
	}
	if len(before) != len(streams) {
		return nil, fmt.Errorf("advance streams: %w", sql.ErrNoRows)
	}
	head := make(map[int64]int64, len(before))
	for _, at := range before {
		head[at.Stream] = at.Seq
	}
	n := len(events)
	events = slices.Clone(events)
	stream, seq, kind := make([]int64, n), make([]int64, n), make([]string, n)
	actor, scope, subject, object := make([]*string, n), make([]*string, n), make([]*string, n), make([]*string, n)
	opens, closes := make([]*string, n), make([]*string, n)
	for i := range events {
		event := &events[i]
		head[event.Stream]++
		event.Seq = head[event.Stream]
		stream[i], seq[i], kind[i] = event.Stream, event.Seq, event.Kind
		actor[i], scope[i], subject[i], object[i] = text(event.Actor), text(event.Scope), text(event.Subject), text(event.Object)
		opens[i], closes[i] = literal(event.Opens), literal(event.Closes)
	}
	const write = `
		WITH given AS (
			SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::uuid[], $5::uuid[], $6::uuid[], $7::uuid[],
				$8::text[], $9::text[]) AS given (stream, seq, kind, actor, scope, subject, object, opens, closes)
		), waiting AS (
			INSERT INTO unnumbered (stream, seq) SELECT stream, seq FROM given
		), written AS (
			INSERT INTO events (stream, seq, kind, actor, scope, subject, object, opens, closes)
			SELECT stream, seq, kind, actor, scope, subject, object, opens::uuid[], closes::uuid[] FROM given
			RETURNING occurred_at
		)
		SELECT max(occurred_at) FROM written -- all are of the time of the transaction`
	var at time.Time
	if err := tx.GetContext(ctx, &at, write, pq.Array(stream), pq.Array(seq), pq.Array(kind), pq.Array(actor),
		pq.Array(scope), pq.Array(subject), pq.Array(object), pq.Array(opens), pq.Array(closes)); err != nil {
		return nil, fmt.Errorf("append events: %w", err)
	}
	for i := range events {
		events[i].OccurredAt = at
	}
	return events, setSpans(ctx, tx, events)
}

// setSpans opens and closes what the events open and close, in their order. What the earlier spans
// of a reader cover stays as it was: what is opened are the pieces between them, and all behind.
func setSpans(ctx context.Context, tx *sqlx.Tx, events []Event) error {
	var closed, opened struct {
		readers               []uuid.UUID
		stream, from, to, seq []int64
	}
	type place struct {
		reader uuid.UUID
		stream int64
	}
	// newest is the last one in opened of a reader and stream: its end is known before it is written.
	newest, ended := map[place]int{}, map[place]bool{}
	for _, event := range events {
		for _, reader := range event.Opens {
			from := event.Seq
			if event.RevealFrom > 0 {
				from = min(event.RevealFrom, event.Seq)
			}
			at := place{reader, event.Stream}
			if i, again := newest[at]; again {
				from = max(from, opened.to[i]+1)
			}
			newest[at] = len(opened.readers)
			opened.readers, opened.stream = append(opened.readers, reader), append(opened.stream, event.Stream)
			opened.from, opened.to = append(opened.from, from), append(opened.to, openEnd)
			opened.seq = append(opened.seq, event.Seq)
		}
		for _, reader := range event.Closes {
			at := place{reader, event.Stream}
			if i, here := newest[at]; here {
				opened.to[i] = min(opened.to[i], event.Seq)
			} else if !ended[at] {
				ended[at] = true
				closed.readers, closed.stream = append(closed.readers, reader), append(closed.stream, event.Stream)
				closed.seq = append(closed.seq, event.Seq)
			}
		}
	}
	if len(closed.readers) > 0 {
		const query = `
			UPDATE spans SET to_seq = given.seq
			FROM unnest($1::uuid[], $2::bigint[], $3::bigint[]) AS given (reader, stream, seq)
			WHERE spans.reader = given.reader AND spans.stream = given.stream AND to_seq = 9223372036854775807`
		if _, err := tx.ExecContext(ctx, query, pq.Array(closed.readers), pq.Array(closed.stream),
			pq.Array(closed.seq)); err != nil {
			return fmt.Errorf("close spans: %w", err)
		}
	}
	if len(opened.readers) > 0 {
		const query = `
			INSERT INTO spans (reader, stream, from_seq, to_seq, opened_seq)
			SELECT given.reader, given.stream, piece.first, COALESCE((
				SELECT min(from_seq) - 1 FROM spans
				WHERE spans.reader = given.reader AND spans.stream = given.stream AND from_seq > piece.first
			), given.to_seq), seq
			FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[])
				AS given (reader, stream, from_seq, to_seq, seq)
			CROSS JOIN LATERAL (
				SELECT given.from_seq AS first
				UNION
				SELECT to_seq + 1 FROM spans
				WHERE spans.reader = given.reader AND spans.stream = given.stream AND to_seq >= given.from_seq
			) AS piece
			WHERE NOT EXISTS (
				SELECT FROM spans WHERE spans.reader = given.reader AND spans.stream = given.stream
					AND piece.first BETWEEN from_seq AND to_seq)`
		if _, err := tx.ExecContext(ctx, query, pq.Array(opened.readers), pq.Array(opened.stream),
			pq.Array(opened.from), pq.Array(opened.to), pq.Array(opened.seq)); err != nil {
			return fmt.Errorf("open spans: %w", err)
		}
	}
	return nil
}

// ErrCursorInvalid says that a cursor was not made here for this reader, or was altered.
var ErrCursorInvalid = errors.New("the cursor is not one of this reader's")

// errBreach says that the log is not what it promises to be. It ends a follower, which can
// resume from its last cursor.
var errBreach = errors.New("the log is out of order")

// text hands an id to Postgres; no id is NULL.
func text(id uuid.UUID) *string {
	if id == uuid.Nil {
		return nil
	}
	s := id.String()
	return &s
}

// literal writes an array of uuids as Postgres does: an array of arrays can't be ragged.
func literal(readers []uuid.UUID) *string {
	if len(readers) == 0 {
		return nil
	}
	written := make([]string, len(readers))
	for i, reader := range readers {
		written[i] = reader.String()
	}
	array := "{" + strings.Join(written, ",") + "}"
	return &array
}
