package chat

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"corridor/internal/postgres"
)

const (
	// SendFor is for how long deliveries of a batch may be begun: whether the webhook still works is asked with the next one.
	SendFor = 2 * time.Second
	// AttemptTime is how long an attempt may take.
	AttemptTime = 10 * time.Second
	// claimTime is how long nobody else sends of a queue that was taken. After it what a process had that was killed goes on.
	claimTime = SendFor + AttemptTime + 3*time.Second
	// claimAtOnce bounds the queues of one webhook that are sent of at a time, and batchAtOnce the deliveries taken of each.
	claimAtOnce = 4
	batchAtOnce = 20
	// clinicAtOnce bounds those of all webhooks of a clinic. Of the ones that fail it is half as many, and one of each.
	clinicAtOnce = 16
	// webhookTries is how long a delivery is tried.
	webhookTries = 24 * time.Hour
	// wakeAfter is how long a webhook must have been failing so that all its queues are tried when it answers again.
	wakeAfter = time.Minute
)

// webhookPauses are the pauses behind the first attempts. Behind later ones it is the last of them.
var webhookPauses = []time.Duration{
	5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour,
}

// pauseBehind is the pause behind the n-th attempt, give or take a fifth, so that what failed together does not come together again.
func pauseBehind(n int) time.Duration {
	pause := webhookPauses[min(n, len(webhookPauses))-1]
	return time.Duration(float64(pause) * (0.8 + 0.4*rand.Float64()))
}

// WebhookBatch is what is to be sent now of one conversation, in order.
type WebhookBatch struct {
	WebhookID  WebhookID
	URL        string
	Deliveries []WebhookDelivery
	// Secrets are what each is signed with. There is none if they were kept under another key.
	Secrets [][]byte
	// Fails says that nothing has arrived since the last failure, so this may take long.
	Fails bool

	queue, claim uuid.UUID
	attempts     int
	// delivered says that some of it arrived.
	delivered bool
}

// WebhookNews rings when there may be something to send.
func (s *Service) WebhookNews() <-chan struct{} { return s.webhooks.toSend }

// TakeWebhooks takes what is due, up to so many batches, of which so many may be of webhooks that fail. Each must be given back by
// FinishWebhook, or by WebhookFailed. What works comes before what fails, and clinics that have little under way before others; within a clinic
// its webhooks take turns, and of those that fail who was not tried for long comes first.
func (s *Service) TakeWebhooks(ctx context.Context, most, mostFailing int) ([]*WebhookBatch, error) {
	// About: two processes that look at the same time may take more of one webhook or clinic.
	// First comes which webhooks have anything, from one to the next in the index: what waits of those that are
	// paused is not read, however much it is.
	const take = `
		WITH RECURSIVE waiting AS (
			(SELECT webhook_id FROM webhook_queues ORDER BY webhook_id LIMIT 1)
			UNION ALL
			SELECT (SELECT webhook_id FROM webhook_queues WHERE webhook_id > waiting.webhook_id ORDER BY webhook_id LIMIT 1)
			FROM waiting WHERE webhook_id IS NOT NULL
		), runs AS MATERIALIZED (
			SELECT id, clinic_id, failing_since IS NOT NULL AS fails, last_error_at
			FROM waiting JOIN webhooks ON id = webhook_id
			WHERE (hold_until IS NULL OR hold_until <= now()) AND ` + webhookRuns + `
		), busy AS MATERIALIZED (
			SELECT webhook_id, clinic_id, webhooks.failing_since IS NOT NULL AS fails, count(*) AS number
			FROM webhook_queues JOIN webhooks ON id = webhook_id
			WHERE claim IS NOT NULL AND claimed_until > now() GROUP BY webhook_id, clinic_id, fails
		), clinic_busy AS (
			SELECT clinic_id, sum(number) AS number, coalesce(sum(number) FILTER (WHERE fails), 0) AS failing FROM busy GROUP BY clinic_id
		), due AS (
			SELECT id AS webhook_id, queue, clinic_id, fails, CASE WHEN fails THEN last_error_at ELSE next_at END AS since,
				row_number() OVER (PARTITION BY id ORDER BY next_at, queue) AS nth
			FROM runs CROSS JOIN LATERAL (
				SELECT queue, next_at FROM webhook_queues
				WHERE webhook_id = runs.id AND next_at <= now() AND (claimed_until IS NULL OR claimed_until <= now())
				ORDER BY next_at, queue
				LIMIT greatest(0, CASE WHEN fails THEN 1 ELSE $1 END - coalesce((SELECT number FROM busy WHERE busy.webhook_id = runs.id), 0))
			) AS heads
		), ranked AS (
			SELECT *, row_number() OVER (PARTITION BY clinic_id ORDER BY fails, nth, since, queue) + coalesce(number, 0) AS of_clinic,
				row_number() OVER (PARTITION BY clinic_id, fails ORDER BY since, queue) + coalesce(failing, 0) AS of_kind
			FROM due LEFT JOIN clinic_busy USING (clinic_id)
		), allowed AS (
			SELECT *, row_number() OVER (PARTITION BY fails ORDER BY of_clinic, since, queue) AS place
			FROM ranked WHERE of_clinic <= $5 AND (NOT fails OR of_kind <= $5 / 2)
		), free AS (
			SELECT webhook_id, queue FROM webhook_queues JOIN allowed USING (webhook_id, queue)
			WHERE (NOT fails OR place <= $6) AND webhook_queues.next_at <= now() AND (claimed_until IS NULL OR claimed_until <= now())
			ORDER BY fails, place LIMIT $2
			FOR NO KEY UPDATE OF webhook_queues SKIP LOCKED
		), taken AS (
			UPDATE webhook_queues SET claim = $3, claimed_until = now() + $4 * interval '1 second'
			FROM free WHERE webhook_queues.webhook_id = free.webhook_id AND webhook_queues.queue = free.queue
			RETURNING webhook_queues.webhook_id, webhook_queues.queue, attempts
		)
		SELECT webhook_id, queue, attempts, url, webhooks.failing_since IS NOT NULL AS fails, secret,
			CASE WHEN old_secret_until > now() THEN old_secret END AS old_secret
		FROM taken JOIN webhooks ON webhooks.id = webhook_id`
	var rows []struct {
		WebhookID WebhookID `db:"webhook_id"`
		Queue     uuid.UUID `db:"queue"`
		Attempts  int       `db:"attempts"`
		URL       string    `db:"url"`
		Fails     bool      `db:"fails"`
		Secret    []byte    `db:"secret"`
		OldSecret []byte    `db:"old_secret"`
	}
	claim := newID()
	if err := s.db.SelectContext(ctx, &rows, take, claimAtOnce, most, claim, claimTime.Seconds(), clinicAtOnce, mostFailing); err != nil {
		return nil, fmt.Errorf("take what is to be sent: %w", err)
	}
	batches := make([]*WebhookBatch, 0, len(rows))
	webhooks, queues := make([]WebhookID, len(rows)), make([]uuid.UUID, len(rows))
	for i, row := range rows {
		webhooks[i], queues[i] = row.WebhookID, row.Queue
		batch := &WebhookBatch{WebhookID: row.WebhookID, URL: row.URL, Fails: row.Fails, queue: row.Queue, claim: claim, attempts: row.Attempts}
		for _, sealed := range [][]byte{row.Secret, row.OldSecret} {
			if sealed == nil {
				continue
			}
			if secret, ok := s.webhooks.open(row.WebhookID, sealed); ok {
				batch.Secrets = append(batch.Secrets, secret)
			}
		}
		batches = append(batches, batch)
	}
	if len(rows) == 0 {
		return nil, nil
	}
	// What is not chosen, or what no key may open since a moment ago, is not told of, whoever wrote it down.
	const heads = `
		WITH heads AS (
			SELECT head.*, kind = ANY (event_types) OR kind = ANY ($4) AS chosen
			FROM unnest($1::uuid[], $2::uuid[]) AS taken (webhook, of)
			JOIN webhooks ON webhooks.id = webhook AND ` + webhookRuns + `
			CROSS JOIN LATERAL (
				SELECT * FROM webhook_deliveries WHERE webhook_id = webhook AND queue = of ORDER BY place LIMIT $3
			) AS head
		), dropped AS (
			DELETE FROM webhook_deliveries USING heads
			WHERE NOT chosen AND webhook_deliveries.webhook_id = heads.webhook_id AND webhook_deliveries.id = heads.id
		)
		SELECT webhook_id, queue, id, place, kind, conversation_id, message_id, user_id, reason, cursor, occurred_at
		FROM heads WHERE chosen ORDER BY webhook_id, queue, place`
	var deliveries []struct {
		WebhookID WebhookID `db:"webhook_id"`
		Queue     uuid.UUID `db:"queue"`
		WebhookDelivery
	}
	if err := s.db.SelectContext(ctx, &deliveries, heads, array(webhooks), array(queues), batchAtOnce, array(webhookAlways)); err != nil {
		return nil, fmt.Errorf("read what is to be sent: %w", err)
	}
	for _, batch := range batches {
		for _, delivery := range deliveries {
			if delivery.WebhookID == batch.WebhookID && delivery.Queue == batch.queue {
				batch.Deliveries = append(batch.Deliveries, delivery.WebhookDelivery)
			}
		}
	}
	return batches, nil
}

// WebhookDelivered writes down that a delivery arrived.
func (s *Service) WebhookDelivered(ctx context.Context, batch *WebhookBatch, delivery WebhookDelivery) error {
	// If it was told of again meanwhile it has another place, and is sent again there.
	const arrived = `DELETE FROM webhook_deliveries WHERE webhook_id = $1 AND id = $2 AND place = $3`
	if _, err := s.db.ExecContext(ctx, arrived, batch.WebhookID, delivery.ID, delivery.Place); err != nil {
		return fmt.Errorf("write down what was delivered: %w", err)
	}
	if batch.delivered {
		return nil
	}
	batch.delivered = true
	const answers = `
		WITH before AS (SELECT id, failing_since FROM webhooks WHERE id = $1)
		UPDATE webhooks SET last_delivered_at = now(), failing_since = NULL, hold_until = NULL FROM before WHERE webhooks.id = before.id
		RETURNING coalesce(before.failing_since < now() - $2 * interval '1 second', false)`
	var isBack bool
	err := s.db.GetContext(ctx, &isBack, answers, batch.WebhookID, wakeAfter.Seconds())
	if errors.Is(err, sql.ErrNoRows) {
		return nil // it was deleted
	}
	if err != nil {
		return fmt.Errorf("write down that it answers: %w", err)
	}
	if !isBack {
		return nil
	}
	const wake = `
		UPDATE webhook_queues SET next_at = now()
		FROM (SELECT webhook_id, queue FROM webhook_queues WHERE webhook_id = $1 AND next_at > now() FOR NO KEY UPDATE SKIP LOCKED) AS waiting
		WHERE webhook_queues.webhook_id = waiting.webhook_id AND webhook_queues.queue = waiting.queue`
	if _, err := s.db.ExecContext(ctx, wake, batch.WebhookID); err != nil {
		return fmt.Errorf("wake what waits: %w", err)
	}
	ring(s.webhooks.toSend)
	return nil
}

// FinishWebhook gives back a batch of which nothing failed, sent whole or not.
func (s *Service) FinishWebhook(ctx context.Context, batch *WebhookBatch) error {
	err := postgres.InTx(ctx, s.db, func(tx *sqlx.Tx) error {
		// Who writes more into the queue holds its lock, so the next statement sees all of it.
		const lock = `SELECT true FROM webhook_queues WHERE webhook_id = $1 AND queue = $2 AND claim = $3 FOR UPDATE`
		var mine bool
		if err := tx.GetContext(ctx, &mine, lock, batch.WebhookID, batch.queue, batch.claim); err != nil {
			return err
		}
		const empty = `
			DELETE FROM webhook_queues
			WHERE webhook_id = $1 AND queue = $2 AND NOT EXISTS (SELECT FROM webhook_deliveries WHERE webhook_id = $1 AND queue = $2)`
		if _, err := tx.ExecContext(ctx, empty, batch.WebhookID, batch.queue); err != nil {
			return err
		}
		const more = `
			UPDATE webhook_queues SET claim = NULL, claimed_until = NULL, next_at = now(),
				attempts = CASE WHEN $3 THEN 0 ELSE attempts END, failing_since = CASE WHEN $3 THEN NULL ELSE failing_since END
			WHERE webhook_id = $1 AND queue = $2`
		_, err := tx.ExecContext(ctx, more, batch.WebhookID, batch.queue, batch.delivered)
		return err
	})
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("give back a queue: %w", err)
	}
	ring(s.webhooks.toSend)
	return nil
}

// WebhookFailure is why a delivery did not arrive.
type WebhookFailure struct {
	// Sentence is for whoever manages the webhook. It repeats nothing of what the receiver said.
	Sentence string
	// RetryAfter is the pause that the receiver asked for, 0 if it asked for none.
	RetryAfter time.Duration
	// Holds says that it asked for a pause of everything, Stops that there is no use in trying again.
	Holds, Stops bool
}

// WebhookOutcome is what becomes of a delivery that did not arrive.
type WebhookOutcome string

// What becomes of deliveries.
const (
	// WebhookRetried is tried again later.
	WebhookRetried WebhookOutcome = "retried"
	// WebhookGivenUp failed for a day while others arrived: it is not tried any more.
	WebhookGivenUp WebhookOutcome = "given_up"
	// WebhookStopped is tried again when somebody resumes the webhook, which is paused now.
	WebhookStopped WebhookOutcome = "stopped"
)

// WebhookFailed gives back a batch of which a delivery failed.
func (s *Service) WebhookFailed(ctx context.Context, batch *WebhookBatch, delivery WebhookDelivery, failure WebhookFailure) (WebhookOutcome, error) {
	attempts := batch.attempts + 1
	if batch.delivered {
		attempts = 1
	}
	pause := failure.RetryAfter
	if pause == 0 {
		pause = pauseBehind(attempts)
	}
	hold := time.Duration(0)
	if failure.Holds {
		hold = pause
	}
	outcome := WebhookRetried
	err := postgres.InTx(ctx, s.db, func(tx *sqlx.Tx) error {
		const failed = `
			UPDATE webhooks SET failing_since = coalesce(failing_since, now()), last_error = $2, last_error_at = now(),
				hold_until = CASE WHEN $3 > 0 THEN now() + $3 * interval '1 second' ELSE hold_until END
			WHERE id = $1 RETURNING failing_since <= now() - $4 * interval '1 second'`
		var dead bool
		if err := tx.GetContext(ctx, &dead, failed, batch.WebhookID, failure.Sentence, hold.Seconds(), webhookTries.Seconds()); err != nil {
			return err
		}
		const again = `
			UPDATE webhook_queues SET claim = NULL, claimed_until = NULL, attempts = $4, next_at = now() + $5 * interval '1 second',
				failing_since = CASE WHEN $4 = 1 THEN now() ELSE coalesce(failing_since, now()) END
			WHERE webhook_id = $1 AND queue = $2 AND claim = $3 RETURNING failing_since <= now() - $6 * interval '1 second'`
		var old bool
		if err := tx.GetContext(ctx, &old, again, batch.WebhookID, batch.queue, batch.claim, attempts, pause.Seconds(), webhookTries.Seconds()); err != nil {
			return err
		}
		switch {
		case failure.Stops || old && dead:
			outcome = WebhookStopped
			_, err := tx.ExecContext(ctx, `UPDATE webhooks SET state = 'PAUSED', version = version + 1 WHERE id = $1`, batch.WebhookID)
			return err
		case old:
			outcome = WebhookGivenUp
			return giveUp(ctx, tx, batch, delivery)
		}
		return nil
	})
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("write down what failed: %w", err)
	}
	return outcome, nil
}

// giveUp goes on behind a delivery that no attempt got through.
func giveUp(ctx context.Context, tx *sqlx.Tx, batch *WebhookBatch, delivery WebhookDelivery) error {
	const count = `UPDATE webhooks SET given_up = given_up + 1 WHERE id = $1`
	if _, err := tx.ExecContext(ctx, count, batch.WebhookID); err != nil {
		return err
	}
	const next = `UPDATE webhook_queues SET attempts = 0, failing_since = NULL, next_at = now() WHERE webhook_id = $1 AND queue = $2`
	if _, err := tx.ExecContext(ctx, next, batch.WebhookID, batch.queue); err != nil {
		return err
	}
	const drop = `DELETE FROM webhook_deliveries WHERE webhook_id = $1 AND id = $2 AND place = $3`
	_, err := tx.ExecContext(ctx, drop, batch.WebhookID, delivery.ID, delivery.Place)
	return err
}

// WebhookFigures are what waits in all webhooks, and how many are paused.
type WebhookFigures struct {
	Backlog int `db:"backlog"`
	Paused  int `db:"paused"`
}

// WebhookFigures counts. It is for operators: it has no actor.
func (s *Service) WebhookFigures(ctx context.Context) (WebhookFigures, error) {
	const query = `
		SELECT (SELECT count(*) FROM webhook_deliveries) AS backlog, (SELECT count(*) FROM webhooks WHERE state = 'PAUSED') AS paused`
	var figures WebhookFigures
	if err := s.db.GetContext(ctx, &figures, query); err != nil {
		return figures, fmt.Errorf("count webhooks: %w", err)
	}
	return figures, nil
}
