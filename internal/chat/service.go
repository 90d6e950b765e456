// Package chat is the staff chat of clinics: what one can do and what one can see.
//
// The exported methods of Service are the use-cases. Each takes the actor and checks first what
// they may do; what an actor may not see does not exist for them, on every path. A method that
// changes something runs in one transaction that takes the conversation's lock, decides under it
// who may hear, writes, and appends to the event log; its effect is stored under the caller's
// client key, so a repeated call returns what the first one did.
//
// What a person may see of a conversation is decided by their spans of its stream, everywhere:
// in history, lists, counts and streams.
package chat

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"runtime"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"corridor/internal/eventlog"
	"corridor/internal/postgres"
)

// mutationTime bounds a change from the moment it begins.
const mutationTime = 15 * time.Second

// Service is the chat of all clinics in one database.
type Service struct {
	db      *sqlx.DB
	replica *postgres.Replica // nil if there is none
	log     *eventlog.Log
	files   *files // nil in commands, which have to do with none
	// webhooks is nil in commands, too.
	webhooks *webhooks
	logger   *slog.Logger
	// writers bounds how many changes run at once: more only wait for each other in Postgres, and
	// must leave connections for those who read.
	writers chan struct{}
	// clinics has the turns of what is done under the lock of a clinic, rosters those of whole rosters.
	clinics, rosters turns

	outbox    outbox
	present   presence
	searchers searchers
	seen      *seen
}

// New returns the chat on db, whose event log is log.
func New(db *sqlx.DB, log *eventlog.Log, logger *slog.Logger) *Service {
	s := &Service{
		db: db, log: log, logger: logger,
		writers: make(chan struct{}, max(8, 2*runtime.GOMAXPROCS(0))),
		present: presence{open: map[UserID]int{}},
	}
	s.outbox = outbox{underWay: map[any]int{}, patient: make(chan struct{}, cap(s.writers)/2)}
	s.seen = newSeen(s)
	return s
}

// UseReplica has what OnlyReads marks read from a replica of the database. It is for the start.
func (s *Service) UseReplica(replica *postgres.Replica) { s.replica = replica }

// Actor is the person on whose behalf something is done.
type Actor struct {
	// User is the person.
	User User
	// Clinic is theirs, with its policy.
	Clinic Clinic
	// IsAdministrator tells whether the person administers the clinic's keys, service accounts and roster.
	IsAdministrator bool `db:"administrator"`
	// Grant is what the key allows that is used. People have none.
	Grant *Grant
	// Credential is what the token says that is used. Keys have none.
	Credential Credential `db:"-"`
}

// Name is the person's name.
func (a Actor) Name() string { return a.User.Name }

// Email is the person's e-mail address.
func (a Actor) Email() string { return a.User.Email }

// isOperator tells whether it is the operator of the server, who is nobody of a clinic and has no client keys.
func (a Actor) isOperator() bool { return a.User.ID == (UserID{}) }

// ErrSignedOut says that a credential is of nobody who may act (any more).
var ErrSignedOut = errors.New("nobody may act with this")

// SignedIn returns the actor who bears a credential.
func (s *Service) SignedIn(ctx context.Context, credential Credential) (Actor, error) {
	actor, err := s.seen.actors.ask(credential).answer(ctx, credential)
	if err != nil {
		return Actor{}, err
	}
	if actor == nil {
		return Actor{}, ErrSignedOut
	}
	return *actor, nil
}

// AllSignedIn returns the actors who bear credentials. Who may not act any more is not among them.
func (s *Service) AllSignedIn(ctx context.Context, credentials []Credential) (map[Credential]Actor, error) {
	const query = `
		SELECT shown.n, users.id AS "user.id", users.clinic_id AS "user.clinic_id", users.name AS "user.name",
			users.email AS "user.email", users.role_label AS "user.role_label", users.kind AS "user.kind",
			users.stream AS "user.stream", users.deactivated_at AS "user.deactivated_at", ` + clinicColumns + `, administrator
		FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::timestamptz[]) WITH ORDINALITY
			AS shown (subject, email, clinic, token, issued_at, n)
		CROSS JOIN LATERAL (
			SELECT * FROM users WHERE id = shown.subject
			UNION ALL
			SELECT * FROM users WHERE email = shown.email
		) AS users
		JOIN clinics ON clinics.id = users.clinic_id
		WHERE users.deactivated_at IS NULL AND users.kind <> 'SERVICE'
			AND CASE
				WHEN shown.clinic <> '' THEN clinics.name = shown.clinic
				ELSE shown.email IS NULL OR (SELECT count(*) FROM clinics) = 1
			END
			AND (users.signed_out_at IS NULL OR users.signed_out_at < shown.issued_at)
			AND NOT EXISTS (SELECT FROM ended_sessions WHERE user_id = users.id AND ended_sessions.token = shown.token)`
	shown := credentialsAsColumns(credentials)
	var actors []struct {
		N int
		Actor
	}
	if err := s.db.SelectContext(ctx, &actors, query, array(shown.subjects), array(shown.emails), array(shown.clinics), array(shown.tokens), array(shown.issued)); err != nil {
		return nil, fmt.Errorf("look up the actors: %w", err)
	}
	signedIn := make(map[Credential]Actor, len(actors))
	for _, found := range actors {
		found.Actor.Credential = credentials[found.N-1]
		signedIn[found.Actor.Credential] = found.Actor
	}
	return signedIn, nil
}

// MaybeSignedOut returns who of the users may not act any more, or ended a session within a time: what is
// known of their credentials is not to be relied on.
func (s *Service) MaybeSignedOut(ctx context.Context, ids []UserID, within time.Duration) (map[UserID]bool, error) {
	const query = `
		SELECT id FROM users
		WHERE id = ANY ($1) AND (deactivated_at IS NOT NULL OR signed_out_at > now() - $2 * interval '1 second'
			OR id IN (SELECT user_id FROM ended_sessions WHERE ended_at > now() - $2 * interval '1 second'))`
	var maybe []UserID
	if err := s.db.SelectContext(ctx, &maybe, query, array(ids), within.Seconds()); err != nil {
		return nil, fmt.Errorf("look up who is signed out: %w", err)
	}
	signedOut := make(map[UserID]bool, len(maybe))
	for _, id := range maybe {
		signedOut[id] = true
	}
	return signedOut, nil
}

// transaction is one change under way.
type transaction struct {
	*sqlx.Tx
	actor    Actor
	appended []eventlog.Event
	// sent is what it wrote that will be read at once.
	sent []addedLine
	// committed, if there is one, is called when the transaction has come to its end: for what is answered by this attempt alone, and kept
	// nowhere.
	committed func()
}

// append writes an event to the log, done by the actor.
func (tx *transaction) append(ctx context.Context, event eventlog.Event) (eventlog.Event, error) {
	if event.Actor == uuid.Nil {
		event.Actor = tx.actor.User.ID.UUID
	}
	event, err := eventlog.Append(ctx, tx.Tx, event)
	if err == nil {
		tx.appended = append(tx.appended, event)
	}
	return event, err
}

// appendAll writes many events, done by the actor.
func (tx *transaction) appendAll(ctx context.Context, events []eventlog.Event) ([]eventlog.Event, error) {
	for i := range events {
		if events[i].Actor == uuid.Nil {
			events[i].Actor = tx.actor.User.ID.UUID
		}
	}
	events, err := eventlog.AppendAll(ctx, tx.Tx, events)
	tx.appended = append(tx.appended, events...)
	return events, err
}

// tell writes to the actor's own stream, so that their other devices hear of it.
func (tx *transaction) tell(ctx context.Context, kind string, about ConversationID) error {
	_, err := tx.append(ctx, eventlog.Event{Stream: tx.actor.User.Stream, Kind: kind, Scope: about.UUID})
	return err
}

// change does a mutation: in one transaction, once for each client key. What act returns is
// stored with the key and returned again to whoever repeats the call; the same key with another
// input is a conflict. A caller who went away does not stop it.
func change[T any](ctx context.Context, s *Service, actor Actor, operation, key string, input any,
	act func(ctx context.Context, tx *transaction) (T, error),
) (result T, err error) {
	return changeIn(ctx, lane{}, s, actor, operation, key, input, act)
}

// changeIn is change that waits for its turn first.
func changeIn[T any](ctx context.Context, lane lane, s *Service, actor Actor, operation, key string, input any,
	act func(ctx context.Context, tx *transaction) (T, error),
) (result T, err error) {
	if actor.isOperator() {
		err = s.transactIn(ctx, lane, actor, func(ctx context.Context, tx *transaction) (err error) {
			result, err = act(ctx, tx)
			return err
		})
		return result, err
	}
	if key, err = validClientKey(key); err != nil {
		return result, err
	}
	err = once(ctx, lane, s, actor, operation, key, input, []byte("null"), &result, func(ctx context.Context, tx *transaction) (err error) {
		if result, err = act(ctx, tx); err != nil {
			return err
		}
		stored, err := json.Marshal(result)
		if err != nil {
			return fmt.Errorf("%s: write down the result: %w", operation, err)
		}
		const keep = `UPDATE client_keys SET result = $3 WHERE user_id = $1 AND key = $2`
		if _, err := tx.ExecContext(ctx, keep, actor.User.ID, key, stored); err != nil {
			return fmt.Errorf("%s: keep the result: %w", operation, err)
		}
		return nil
	})
	return result, err
}

// changeTo is change where the result is known before, which saves a statement.
func changeTo[T any](ctx context.Context, s *Service, actor Actor, operation, key string, input any, result T,
	act func(ctx context.Context, tx *transaction) error,
) (T, error) {
	key, err := validClientKey(key)
	if err != nil {
		return result, err
	}
	stored, err := json.Marshal(result)
	if err != nil {
		return result, fmt.Errorf("%s: write down the result: %w", operation, err)
	}
	err = once(ctx, lane{}, s, actor, operation, key, input, stored, &result, act)
	return result, err
}

// once runs act in a transaction with the client key, unless it was used: then result becomes that of the
// earlier call.
func once(ctx context.Context, lane lane, s *Service, actor Actor, operation, key string, input any, stored []byte, result any,
	act func(ctx context.Context, tx *transaction) error,
) error {
	fingerprint, err := fingerprintOf(input)
	if err != nil {
		return fmt.Errorf("%s: write down the input: %w", operation, err)
	}
	attempt := func() error {
		return s.transactIn(ctx, lane, actor, func(ctx context.Context, tx *transaction) error {
			const first = `
				INSERT INTO client_keys (user_id, key, operation, fingerprint, result) VALUES ($1, $2, $3, $4, $5)
				ON CONFLICT ON CONSTRAINT client_keys_pkey DO NOTHING`
			inserted, err := tx.ExecContext(ctx, first, actor.User.ID, key, operation, fingerprint[:], stored)
			if err != nil {
				return fmt.Errorf("%s: take the client key: %w", operation, err)
			}
			if n, err := inserted.RowsAffected(); err != nil {
				return err
			} else if n == 0 {
				return repeated(ctx, tx, key, operation, fingerprint[:], result)
			}
			return act(ctx, tx)
		})
	}
	// No two changes should wait for each other. If they do, Postgres ends one, which can be done
	// again: nothing of it is left.
	for range deadlocks {
		if err = attempt(); !postgres.Deadlock(err) {
			break
		}
	}
	return err
}

// deadlocks is how often a change is tried.
const deadlocks = 3

// fingerprintOf tells inputs apart. What an input leaves out does not count, so that it stays the
// same when fields are added to its kind.
func fingerprintOf(input any) (fingerprint [sha256.Size]byte, err error) {
	written, err := json.Marshal(input)
	if err != nil {
		return fingerprint, err
	}
	var fields map[string]any
	if err := json.Unmarshal(written, &fields); err != nil {
		return fingerprint, err
	}
	delete(fields, "ClientKey")
	maps.DeleteFunc(fields, func(_ string, value any) bool { return value == nil })
	if written, err = json.Marshal(fields); err != nil {
		return fingerprint, err
	}
	return sha256.Sum256(written), nil
}

// repeated reads the result of an earlier call with the same key.
func repeated(ctx context.Context, tx *transaction, key, operation string, fingerprint []byte, result any) error {
	const query = `SELECT operation, fingerprint, result FROM client_keys WHERE user_id = $1 AND key = $2`
	var earlier earlierCall
	if err := tx.GetContext(ctx, &earlier, query, tx.actor.User.ID, key); err != nil {
		return fmt.Errorf("%s: read the earlier result: %w", operation, err)
	}
	return earlier.answer(operation, fingerprint, result)
}

// earlierCall is what was done under a client key.
type earlierCall struct {
	Operation           string
	Fingerprint, Result []byte
}

// answer makes the result that of the earlier call, if it was the same one.
func (c earlierCall) answer(operation string, fingerprint []byte, result any) error {
	if c.Operation != operation || !bytes.Equal(c.Fingerprint, fingerprint) {
		return &Error{
			Code:    CodeClientKeyConflict,
			Message: "This client key was used for something else. Use a new key for each thing a person does.",
			Field:   []string{"clientKey"},
		}
	}
	reflect.ValueOf(result).Elem().SetZero() // it may be of an attempt before
	return json.Unmarshal(c.Result, result)
}

// transact runs act in a transaction that outlives the caller, and rings the doorbell of the log
// when it is committed.
func (s *Service) transact(ctx context.Context, actor Actor, act func(ctx context.Context, tx *transaction) error) error {
	return s.transactIn(ctx, lane{}, actor, act)
}

// transactIn is transact that waits for its turn first.
func (s *Service) transactIn(ctx context.Context, lane lane, actor Actor, act func(ctx context.Context, tx *transaction) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	leave, err := s.enter(ctx, lane)
	if err != nil {
		return err
	}
	defer leave()
	return s.commit(ctx, lane, actor, act)
}

// commit is transactIn for whoever has their turn.
func (s *Service) commit(ctx context.Context, lane lane, actor Actor, act func(ctx context.Context, tx *transaction) error) error {
	// Cancelled in the middle of a commit, nobody would know whether it happened.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cmp.Or(lane.limit, mutationTime))
	defer cancel()
	tx := &transaction{actor: actor}
	err := postgres.InTx(ctx, s.db, func(sqlTx *sqlx.Tx) error {
		tx.Tx = sqlTx
		if lane.whole {
			if err := alone(ctx, tx); err != nil {
				return err
			}
		}
		return act(ctx, tx)
	})
	if err != nil {
		return err
	}
	if tx.committed != nil {
		tx.committed()
	}
	s.seen.fresh.put(tx.sent)
	s.seen.fresh.forget(tx.appended)
	s.log.Hint(tx.appended)
	return nil
}

type readingKey struct{}

// OnlyReads marks the context of one operation that changes nothing and is over when it is answered: what it
// reads may come from a replica. It sees all that anybody was told before it began.
func OnlyReads(ctx context.Context) context.Context {
	return context.WithValue(ctx, readingKey{}, new(postgres.Reading))
}

// reading runs do on the database that the operation reads from. It runs again if the replica fails.
func (s *Service) reading(ctx context.Context, do func(db *sqlx.DB) error) error {
	reading, ok := ctx.Value(readingKey{}).(*postgres.Reading)
	if !ok || s.replica == nil {
		return do(s.db)
	}
	return s.replica.Read(ctx, reading, do)
}

// find selects rows for somebody who reads.
func (s *Service) find(ctx context.Context, rows any, query string, arguments ...any) error {
	return s.reading(ctx, func(db *sqlx.DB) error {
		empty(rows)
		return db.SelectContext(ctx, rows, query, arguments...)
	})
}

// empty takes out of rows what an attempt that failed left.
func empty(rows any) { reflect.ValueOf(rows).Elem().SetLen(0) }

// read selects rows. With withCursor it does so in one snapshot with the place in the actor's event
// stream that it returns, so that what a list shows and what the stream brings from there meet.
func (s *Service) read(ctx context.Context, actor Actor, withCursor bool, rows any, query string, arguments ...any) (cursor string, err error) {
	if !withCursor {
		return "", s.find(ctx, rows, query, arguments...)
	}
	return s.here(ctx, actor, func(tx *sqlx.Tx) error {
		empty(rows)
		return tx.SelectContext(ctx, rows, query, arguments...)
	})
}

// cursorBefore is the place in the actor's event stream before something is read in several
// statements: what happens between them may be in both, but is missing in neither.
func (s *Service) cursorBefore(ctx context.Context, actor Actor, wanted bool) (cursor string, err error) {
	if !wanted {
		return "", nil
	}
	return s.here(ctx, actor, func(*sqlx.Tx) error { return nil })
}

// here returns the place in the actor's event stream at which then reads.
func (s *Service) here(ctx context.Context, actor Actor, then func(tx *sqlx.Tx) error) (cursor string, err error) {
	err = s.reading(ctx, func(db *sqlx.DB) error {
		return postgres.InSnapshot(ctx, db, func(tx *sqlx.Tx) error {
			if cursor, err = s.log.Here(ctx, tx, actor.User.ID.UUID); err != nil {
				return err
			}
			return then(tx)
		})
	})
	return cursor, err
}

// byKey turns rows into a map for loaders.
func byKey[K comparable, V any](rows []V, key func(V) K) map[K]V {
	m := make(map[K]V, len(rows))
	for _, row := range rows {
		m[key(row)] = row
	}
	return m
}

func array[T any](values []T) any { return pq.Array(values) }
