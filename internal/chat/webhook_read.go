package chat

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"corridor/internal/eventlog"
	"corridor/internal/postgres"
)

const (
	// leaseEvery is how often a process looks which webhooks there are to read for.
	leaseEvery = time.Second
	// leaseTime is for how long it then is the one who reads.
	leaseTime = 5 * time.Second
	// readPause is the time until a reader that failed begins anew.
	readPause = time.Second
	// readAtOnce bounds the events that are written down in one transaction.
	readAtOnce = 100
	// maxBacklog is how many deliveries may wait before a webhook is not read for any longer.
	maxBacklog = 10_000
	// keepCursor is how often it is written down how far an idle webhook has been read: a cursor must not get too old.
	keepCursor = 10 * time.Minute
)

// WebhookDelivery is one event of which a webhook tells: ids only.
type WebhookDelivery struct {
	// ID is the same for each attempt, and after a replay.
	ID             uuid.UUID        `db:"id"`
	Type           WebhookEventType `db:"kind"`
	ConversationID *ConversationID  `db:"conversation_id"`
	MessageID      *MessageID       `db:"message_id"`
	UserID         *UserID          `db:"user_id"`
	// Reason is how a membership ended.
	Reason *MembershipState `db:"reason"`
	// Cursor resumes behind the event. A test has none.
	Cursor     *string   `db:"cursor"`
	OccurredAt time.Time `db:"occurred_at"`

	Place int64 `db:"place"`
}

// queue is what it is in order with: its conversation, or all that is of none.
func (d WebhookDelivery) queue() uuid.UUID {
	if d.ConversationID == nil {
		return uuid.Nil
	}
	return d.ConversationID.UUID
}

// ReadWebhooks follows the log for webhooks until ctx ends, and writes down what is to be delivered. Of all processes one reads for a webhook at
// a time. What it writes moves the webhook's cursor in the same transaction, so that nothing is missed and nothing
// is written twice when it is killed, and also when two of them think that it is their turn.
func (s *Service) ReadWebhooks(ctx context.Context) error {
	holder := newID()
	readers := map[WebhookID]*webhookReader{}
	defer func() {
		for _, reader := range readers {
			reader.stop()
		}
		s.releaseWebhooks(ctx, holder)
	}()
	every := time.NewTicker(leaseEvery)
	defer every.Stop()
	leased := time.Now()
	for {
		held, err := s.leaseWebhooks(ctx, holder)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			leased = time.Now()
			s.setReaders(ctx, readers, held)
		default:
			s.complainOfWebhooks(ctx, "webhooks are not read for", err)
			if time.Since(leased) > leaseTime {
				s.setReaders(ctx, readers, nil)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.webhooks.toRead:
		case <-every.C:
		}
	}
}

// complainOfWebhooks logs a fault that is lived through, once in a while.
func (s *Service) complainOfWebhooks(ctx context.Context, what string, err error) {
	if ctx.Err() == nil {
		s.webhooks.complaint.Do(func() { s.logger.WarnContext(ctx, what, "error", Describe(err)) })
	}
}

// leaseWebhooks returns the webhooks for which this process reads, with their versions.
func (s *Service) leaseWebhooks(ctx context.Context, holder uuid.UUID) (map[WebhookID]int64, error) {
	ctx, cancel := context.WithTimeout(ctx, leaseTime)
	defer cancel()
	const query = `
		WITH runs AS (
			SELECT id, version FROM webhooks WHERE ` + webhookRuns + `
		), held AS (
			INSERT INTO webhook_leases AS held (webhook_id, holder, until)
			SELECT id, $1, now() + $2 * interval '1 second' FROM runs ORDER BY id
			ON CONFLICT (webhook_id) DO UPDATE SET holder = excluded.holder, until = excluded.until
			WHERE held.holder = excluded.holder OR held.until < now()
			RETURNING webhook_id
		)
		SELECT id, version FROM runs JOIN held ON webhook_id = id`
	var rows []struct {
		ID      WebhookID `db:"id"`
		Version int64     `db:"version"`
	}
	if err := s.db.SelectContext(ctx, &rows, query, holder, leaseTime.Seconds()); err != nil {
		return nil, fmt.Errorf("lease webhooks: %w", err)
	}
	held := make(map[WebhookID]int64, len(rows))
	for _, row := range rows {
		held[row.ID] = row.Version
	}
	return held, nil
}

// releaseWebhooks lets others read at once.
func (s *Service) releaseWebhooks(ctx context.Context, holder uuid.UUID) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_, _ = s.db.ExecContext(ctx, `DELETE FROM webhook_leases WHERE holder = $1`, holder) // else it runs out
}

// webhookReader reads for one webhook.
type webhookReader struct {
	version int64
	cancel  context.CancelFunc
	done    chan struct{}
}

func (r *webhookReader) stop() {
	r.cancel()
	<-r.done
}

// setReaders ends the readers of webhooks that are not to be read for any more, or were changed, and begins those that are missing.
func (s *Service) setReaders(ctx context.Context, readers map[WebhookID]*webhookReader, held map[WebhookID]int64) {
	for id, reader := range readers {
		if version, still := held[id]; !still || version != reader.version {
			reader.stop()
			delete(readers, id)
		}
	}
	for id, version := range held {
		if readers[id] != nil {
			continue
		}
		ctx, cancel := context.WithCancel(ctx)
		reader := &webhookReader{version: version, cancel: cancel, done: make(chan struct{})}
		readers[id] = reader
		go func() {
			defer close(reader.done)
			for ctx.Err() == nil {
				if err := s.followForWebhook(ctx, id, version); err != nil {
					s.complainOfWebhooks(ctx, "a webhook is read for anew", err)
				}
				select {
				case <-ctx.Done():
				case <-time.After(readPause):
				}
			}
		}()
	}
}

// webhookReading is what one reader follows, and how far it has come.
type webhookReading struct {
	service *Service
	// as is whose eyes it reads with.
	as    Stream
	types []WebhookEventType
	// account and directory are followed; the directory is nil if nobody wants to hear of it.
	account, directory *eventlog.Follower
	// written is when a cursor was written last, backlog how much waited then.
	written time.Time
	backlog int

	ID              WebhookID      `db:"id"`
	Version         int64          `db:"version"`
	Reading         int64          `db:"reading"`
	Cursor          string         `db:"cursor"`
	DirectoryCursor *string        `db:"directory_cursor"`
	Types           pq.StringArray `db:"event_types"`
	Actor
}

// errReadByAnother says that somebody else moved the cursor, or that the webhook is not what it was.
var errReadByAnother = errors.New("this reader reads for the webhook no more")

// followForWebhook reads for a webhook until ctx ends or the webhook is not what it was.
func (s *Service) followForWebhook(ctx context.Context, id WebhookID, version int64) error {
	const query = `
		SELECT webhooks.id, version, reading, cursor, directory_cursor, event_types,
			users.id AS "user.id", users.clinic_id AS "user.clinic_id", users.stream AS "user.stream", users.kind AS "user.kind", ` + clinicColumns + `
		FROM webhooks JOIN users ON users.id = service_account_id JOIN clinics ON clinics.id = webhooks.clinic_id
		WHERE webhooks.id = $1 AND version = $2`
	var r webhookReading
	if err := s.db.GetContext(ctx, &r, query, id, version); errors.Is(err, sql.ErrNoRows) {
		return nil
	} else if err != nil {
		return fmt.Errorf("find the webhook: %w", err)
	}
	r.service, r.written = s, time.Now()
	for _, name := range r.Types {
		r.types = append(r.types, WebhookEventType(name))
	}
	bell := make(chan struct{}, 1)
	var err error
	if r.account, err = s.log.Follow(ctx, r.User.ID.UUID, r.Cursor, func() { ring(bell) }); err != nil {
		return fmt.Errorf("follow the account: %w", err)
	}
	defer r.account.Close()
	r.as = Stream{service: s, actor: r.Actor, follower: r.account}
	if r.DirectoryCursor != nil {
		if r.directory, err = s.log.Follow(ctx, r.Clinic.ID.UUID, *r.DirectoryCursor, func() { ring(bell) }); err != nil {
			return fmt.Errorf("follow the directory: %w", err)
		}
		defer r.directory.Close()
	}
	for {
		again, err := r.step(ctx)
		if errors.Is(err, errReadByAnother) {
			return nil
		}
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-bell:
		case <-time.After(again):
		}
	}
}

// step reads what there is, and says after how long to look again, unless the bell rings before.
func (r *webhookReading) step(ctx context.Context) (again time.Duration, err error) {
	if r.backlog >= maxBacklog {
		if err := r.service.db.GetContext(ctx, &r.backlog, countBacklog, r.ID, maxBacklog); err != nil {
			return 0, fmt.Errorf("count what waits: %w", err)
		}
		if r.backlog >= maxBacklog {
			return leaseEvery, nil
		}
	}
	found, again, err := r.collect(ctx)
	if err != nil {
		return 0, err
	}
	if found, err = r.withoutPatients(ctx, found); err != nil {
		return 0, err
	}
	if len(found) == 0 && time.Since(r.written) < keepCursor {
		return again, nil
	}
	if err := r.write(ctx, found); err != nil {
		return 0, err
	}
	if len(found) > 0 {
		ring(r.service.webhooks.toSend)
	}
	return again, nil
}

// collect takes what the log has for the webhook, up to a limit.
func (r *webhookReading) collect(ctx context.Context) (found []WebhookDelivery, again time.Duration, err error) {
	again = keepCursor
	for _, follower := range []*eventlog.Follower{r.account, r.directory} {
		for follower != nil {
			if len(found) >= readAtOnce {
				return found, 0, nil
			}
			delivery, ok, later, err := follower.Poll(ctx)
			if err != nil {
				return nil, 0, err
			}
			if !ok {
				again = min(again, later)
				break
			}
			told, err := r.translate(ctx, delivery)
			if err != nil {
				return nil, 0, err
			}
			if told != nil {
				found = append(found, *told)
			}
		}
	}
	return found, again, nil
}

// withoutPatients leaves out changes of people who never were in the directory that partners read.
func (r *webhookReading) withoutPatients(ctx context.Context, found []WebhookDelivery) ([]WebhookDelivery, error) {
	var changed []UserID
	for _, told := range found {
		if told.UserID != nil {
			changed = append(changed, *told.UserID)
		}
	}
	if len(changed) == 0 {
		return found, nil
	}
	const query = `SELECT id FROM users WHERE id = ANY ($1) AND entered_seq IS NULL`
	var patients []UserID
	if err := r.service.db.SelectContext(ctx, &patients, query, array(changed)); err != nil {
		return nil, fmt.Errorf("find who is in the directory: %w", err)
	}
	return slices.DeleteFunc(found, func(told WebhookDelivery) bool {
		return told.UserID != nil && slices.Contains(patients, *told.UserID)
	}), nil
}

// translate says what the webhook tells of a delivery of the log; nil is nothing.
func (r *webhookReading) translate(ctx context.Context, delivery eventlog.Delivery) (*WebhookDelivery, error) {
	told := &WebhookDelivery{Cursor: &delivery.Cursor, OccurredAt: delivery.At}
	happened := delivery.Event
	switch {
	case delivery.Reset:
		told.ID, told.Type = newID(), webhookReset
		return told, nil
	case happened == nil:
		return nil, nil
	}
	switch happened.Kind {
	case kindDirectoryChanged:
		told.Type, told.UserID = WebhookContactChanged, &UserID{happened.Subject}
	case kindLine, kindMessageChanged, kindDirectStarted, kindGroupDeleted:
		event, err := r.as.translate(ctx, delivery)
		if err != nil {
			return nil, err
		}
		switch event := event.(type) {
		case MessageAdded:
			told.Type, told.ConversationID, told.MessageID = WebhookMessageAdded, &event.ConversationID, &event.MessageID
		case MessageChanged:
			told.Type, told.ConversationID, told.MessageID = WebhookMessageChanged, &event.ConversationID, &event.MessageID
		case ConversationAdded:
			told.Type, told.ConversationID = WebhookConversationAdded, &event.ConversationID
		case ConversationLeft:
			told.Type, told.ConversationID, told.MessageID, told.Reason = WebhookConversationLeft, &event.ConversationID, &event.MessageID, &event.Reason
		case GroupDeleted:
			told.Type, told.ConversationID = WebhookGroupDeleted, &event.ConversationID
		}
	}
	if !slices.Contains(r.types, told.Type) {
		return nil, nil
	}
	told.ID = deliveryID(r.ID, happened)
	return told, nil
}

// deliveryID is the same for an event whenever it is read for a webhook.
func deliveryID(webhook WebhookID, event *eventlog.Event) uuid.UUID {
	at := binary.BigEndian.AppendUint64(nil, uint64(event.Stream))
	return uuid.NewSHA1(webhook.UUID, binary.BigEndian.AppendUint64(at, uint64(event.Seq)))
}

const countBacklog = `SELECT count(*) FROM (SELECT FROM webhook_deliveries WHERE webhook_id = $1 LIMIT $2) AS waiting`

// write writes down what is to be delivered, and how far was read.
func (r *webhookReading) write(ctx context.Context, found []WebhookDelivery) error {
	cursor := r.account.Cursor()
	var directory *string
	if r.directory != nil {
		at := r.directory.Cursor()
		directory = &at
	}
	// A reader that is told to stop in the middle of a commit would not know whether it happened. It would read again, no more.
	err := postgres.InTx(ctx, r.service.db, func(tx *sqlx.Tx) error {
		const move = `
			UPDATE webhooks SET cursor = $4, directory_cursor = $5, reading = reading + 1, last_place = last_place + $6
			WHERE id = $1 AND version = $2 AND reading = $3 AND ` + webhookRuns + ` RETURNING last_place`
		var last int64
		err := tx.GetContext(ctx, &last, move, r.ID, r.Version, r.Reading, cursor, directory, len(found))
		if errors.Is(err, sql.ErrNoRows) {
			return errReadByAnother
		}
		if err != nil {
			return fmt.Errorf("move the cursor: %w", err)
		}
		if len(found) == 0 {
			return nil
		}
		if err := enqueue(ctx, tx, r.ID, last-int64(len(found))+1, found); err != nil {
			return err
		}
		if err := tx.GetContext(ctx, &r.backlog, countBacklog, r.ID, maxBacklog); err != nil {
			return fmt.Errorf("count what waits: %w", err)
		}
		return nil
	})
	if err == nil {
		r.Reading++
		r.written = time.Now()
	}
	return err
}

// enqueue puts deliveries behind all others, from a place on. The caller holds the lock of the webhook's row. One that waits
// already, as when it is told of again, moves behind what is told of with it.
func enqueue(ctx context.Context, tx *sqlx.Tx, webhook WebhookID, first int64, deliveries []WebhookDelivery) error {
	n := len(deliveries)
	ids, queues, kinds, at := make([]uuid.UUID, n), make([]uuid.UUID, n), make([]WebhookEventType, n), make([]time.Time, n)
	conversations, messages, users := make([]*string, n), make([]*string, n), make([]*string, n)
	reasons, cursors := make([]*string, n), make([]*string, n)
	for i, d := range deliveries {
		ids[i], queues[i], kinds[i], at[i], cursors[i] = d.ID, d.queue(), d.Type, d.OccurredAt, d.Cursor
		if d.ConversationID != nil {
			conversations[i] = idText(d.ConversationID.UUID)
		}
		if d.MessageID != nil {
			messages[i] = idText(d.MessageID.UUID)
		}
		if d.UserID != nil {
			users[i] = idText(d.UserID.UUID)
		}
		if d.Reason != nil {
			reason := string(*d.Reason)
			reasons[i] = &reason
		}
	}
	// The lock of a queue that is there keeps its sender from taking it for empty.
	const open = `
		INSERT INTO webhook_queues AS waiting (webhook_id, queue) SELECT $1, queue FROM unnest($2::uuid[]) AS queue
		ON CONFLICT ON CONSTRAINT webhook_queues_pkey DO UPDATE SET next_at = waiting.next_at`
	told := slices.Clone(queues)
	slices.SortFunc(told, func(a, b uuid.UUID) int { return cmp.Compare(a.String(), b.String()) })
	if _, err := tx.ExecContext(ctx, open, webhook, array(slices.Compact(told))); err != nil {
		return fmt.Errorf("open queues: %w", err)
	}
	const insert = `
		INSERT INTO webhook_deliveries (webhook_id, id, queue, place, kind, conversation_id, message_id, user_id, reason, cursor, occurred_at)
		SELECT $1, id, queue, $2 + number - 1, kind, conversation, message, person, reason, cursor, occurred_at
		FROM unnest($3::uuid[], $4::uuid[], $5::text[], $6::uuid[], $7::uuid[], $8::uuid[], $9::text[], $10::text[], $11::timestamptz[])
			WITH ORDINALITY AS given (id, queue, kind, conversation, message, person, reason, cursor, occurred_at, number)
		ON CONFLICT ON CONSTRAINT webhook_deliveries_pkey DO UPDATE SET place = excluded.place`
	if _, err := tx.ExecContext(ctx, insert, webhook, first, array(ids), array(queues), array(kinds), array(conversations), array(messages),
		array(users), array(reasons), array(cursors), array(at)); err != nil {
		return fmt.Errorf("write deliveries: %w", err)
	}
	return nil
}

func idText(id uuid.UUID) *string {
	text := id.String()
	return &text
}
