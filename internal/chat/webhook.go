package chat

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/lib/pq"
	"golang.org/x/time/rate"
)

// WebhookEventType is what a webhook may tell of.
type WebhookEventType string

// What webhooks tell of. schema.graphqls says what each promises.
const (
	WebhookMessageAdded      WebhookEventType = "MESSAGE_ADDED"
	WebhookMessageChanged    WebhookEventType = "MESSAGE_CHANGED"
	WebhookConversationAdded WebhookEventType = "CONVERSATION_ADDED"
	WebhookConversationLeft  WebhookEventType = "CONVERSATION_LEFT"
	WebhookGroupDeleted      WebhookEventType = "GROUP_DELETED"
	WebhookContactChanged    WebhookEventType = "CONTACT_CHANGED"
)

// What every webhook tells of, chosen or not.
const (
	// webhookReset is that events are missing which can't be had any more.
	webhookReset WebhookEventType = "STREAM_RESET"
	// webhookTest is that somebody wanted to see whether it arrives.
	webhookTest WebhookEventType = "WEBHOOK_TEST"
)

// webhookAlways is what every webhook tells of.
var webhookAlways = []WebhookEventType{webhookReset, webhookTest}

var webhookEventTypes = []WebhookEventType{
	WebhookMessageAdded, WebhookMessageChanged, WebhookConversationAdded, WebhookConversationLeft, WebhookGroupDeleted, WebhookContactChanged,
}

// String is how a delivery names it, as in message.added.
func (t WebhookEventType) String() string {
	return strings.Replace(strings.ToLower(string(t)), "_", ".", 1)
}

// scope is what a key must open so that its account may hear of it.
func (t WebhookEventType) scope() Scope {
	if t == WebhookContactChanged {
		return ContactsRead
	}
	return ConversationsRead
}

// WebhookState tells whether a webhook works.
type WebhookState string

// The states of webhooks. schema.graphqls says what each means.
const (
	WebhookActive    WebhookState = "ACTIVE"
	WebhookFailing   WebhookState = "FAILING"
	WebhookSuspended WebhookState = "SUSPENDED"
	WebhookPaused    WebhookState = "PAUSED"
)

// Webhook is where a service account is told of what happens for it.
type Webhook struct {
	ID               WebhookID `db:"id"`
	ServiceAccountID UserID    `db:"service_account_id"`
	Name             string    `db:"name"`
	URL              string    `db:"url"`
	CreatedAt        time.Time `db:"created_at"`
	// OldSecretUntil is until when the secret before signs, too; nil if there is none.
	OldSecretUntil  *time.Time `db:"old_secret_until"`
	FailingSince    *time.Time `db:"failing_since"`
	LastDeliveredAt *time.Time `db:"last_delivered_at"`
	// LastError is why the last attempt failed, and LastErrorAt when, as long as something that failed waits.
	LastError   *string    `db:"last_error"`
	LastErrorAt *time.Time `db:"last_error_at"`
	// Backlog is how many deliveries wait, GivenUp how many were given up.
	Backlog int `db:"backlog"`
	GivenUp int `db:"given_up"`

	EventTypeNames pq.StringArray `db:"event_types"`
	Paused         bool           `db:"paused"`
	Runs           bool           `db:"runs"`
}

// EventTypes are what it tells of.
func (w Webhook) EventTypes() []WebhookEventType {
	types := make([]WebhookEventType, len(w.EventTypeNames))
	for i, name := range w.EventTypeNames {
		types[i] = WebhookEventType(name)
	}
	return types
}

// State tells whether it works.
func (w Webhook) State() WebhookState {
	switch {
	case w.Paused:
		return WebhookPaused
	case !w.Runs:
		return WebhookSuspended
	case w.FailingSince != nil:
		return WebhookFailing
	}
	return WebhookActive
}

// Position is the webhook's place in a list, for a cursor.
func (w Webhook) Position() []string { return []string{timePosition(w.CreatedAt), w.ID.String()} }

// webhookRuns is whether a webhook works now: it tells nothing that its account could not read now with a key.
const webhookRuns = `webhooks.state = 'ACTIVE'
	AND EXISTS (SELECT FROM users WHERE users.id = webhooks.service_account_id AND users.deactivated_at IS NULL)
	AND webhooks.scopes <@ ARRAY(
		SELECT unnest(partner_keys.scopes) FROM partner_keys
		WHERE partner_keys.service_account_id = webhooks.service_account_id AND revoked_at IS NULL AND expires_at > now())`

// webhookFails is whether something of a webhook was tried that has not arrived, and is not given up.
const webhookFails = `(webhooks.failing_since IS NOT NULL OR EXISTS (SELECT FROM webhook_queues WHERE webhook_id = webhooks.id AND attempts > 0))`

const webhookColumns = `webhooks.id, service_account_id, webhooks.name, url, webhooks.created_at, failing_since, last_delivered_at,
	CASE WHEN ` + webhookFails + ` THEN last_error END AS last_error, CASE WHEN ` + webhookFails + ` THEN last_error_at END AS last_error_at,
	given_up, event_types, webhooks.state = 'PAUSED' AS paused, ` + webhookRuns + ` AS runs,
	CASE WHEN old_secret_until > now() THEN old_secret_until END AS old_secret_until,
	(SELECT count(*) FROM webhook_deliveries WHERE webhook_id = webhooks.id) AS backlog`

// Webhooks says what webhooks need.
type Webhooks struct {
	// Key is what their secrets are encrypted with, 32 bytes, the same for all instances.
	Key []byte
	// Reaches tells whether they may reach an address.
	Reaches func(netip.Addr) bool
	// Plain tells whether they may reach an address without TLS; nil if they may reach nothing so.
	Plain func(netip.Addr) bool
}

// webhooks is what this process has for webhooks.
type webhooks struct {
	Webhooks
	aead cipher.AEAD
	// toRead rings when a webhook was changed, toSend when there is something to send.
	toRead, toSend chan struct{}
	complaint      rate.Sometimes
}

// UseWebhooks lets there be webhooks. It is for the start.
func (s *Service) UseWebhooks(given Webhooks) error {
	block, err := aes.NewCipher(given.Key)
	if err != nil {
		return fmt.Errorf("webhooks: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return fmt.Errorf("webhooks: %w", err)
	}
	s.webhooks = &webhooks{
		Webhooks: given, aead: aead, toRead: make(chan struct{}, 1), toSend: make(chan struct{}, 1),
		complaint: rate.Sometimes{Interval: time.Minute},
	}
	return nil
}

// webhookSecretPrefix is that of the Standard Webhooks specification.
const webhookSecretPrefix = "whsec_"

// newSecret makes a secret: as the receiver gets it, and as it is kept.
func (w *webhooks) newSecret(of WebhookID) (secret string, sealed []byte) {
	random, nonce := make([]byte, secretBytes), make([]byte, w.aead.NonceSize())
	_, _ = rand.Read(random) // it never fails
	_, _ = rand.Read(nonce)
	return webhookSecretPrefix + base64.StdEncoding.EncodeToString(random), w.aead.Seal(nonce, nonce, random, of.UUID[:])
}

// open returns a secret that is kept. It is not ok if it was encrypted with another key.
func (w *webhooks) open(of WebhookID, sealed []byte) (secret []byte, ok bool) {
	size := w.aead.NonceSize()
	if len(sealed) < size {
		return nil, false
	}
	secret, err := w.aead.Open(nil, sealed[:size], sealed[size:], of.UUID[:])
	return secret, err == nil
}

// ring rings a doorbell: once is enough, however often.
func ring(bell chan struct{}) {
	select {
	case bell <- struct{}{}:
	default:
	}
}

// managesWebhooks returns of which account the actor manages the webhooks, nil if of all of the clinic. To others there
// are none.
func managesWebhooks(actor Actor, field string) (*UserID, error) {
	switch {
	case actor.Grant != nil && actor.May(WebhooksWrite):
		return &actor.User.ID, nil
	case actor.Grant == nil && actor.IsAdministrator:
		return nil, nil
	}
	return nil, notFound("webhook", field)
}

// WebhooksOf returns a page of the webhooks that the actor manages, the newest first: a service account its own, an
// administrator all of the clinic.
func (s *Service) WebhooksOf(ctx context.Context, actor Actor, page Forward) (Page[Webhook], error) {
	account, err := managesWebhooks(actor, "clinic")
	if err != nil {
		return Page[Webhook]{}, err
	}
	micros, id, err := page.afterTime()
	if err != nil {
		return Page[Webhook]{}, err
	}
	const query = `
		SELECT ` + webhookColumns + ` FROM webhooks
		WHERE clinic_id = $1 AND ($2::uuid IS NULL OR service_account_id = $2) AND ($3::bigint IS NULL
			OR (webhooks.created_at, webhooks.id) < ('epoch'::timestamptz + $3 * interval '1 microsecond', $4::uuid))
		ORDER BY webhooks.created_at DESC, webhooks.id DESC LIMIT $5`
	var found []Webhook
	if err := s.find(ctx, &found, query, actor.Clinic.ID, account, micros, id, page.First+1); err != nil {
		return Page[Webhook]{}, fmt.Errorf("webhooks: %w", err)
	}
	return forward(found, page), nil
}

// webhook returns a webhook that the actor manages.
func (s *Service) webhook(ctx context.Context, actor Actor, id WebhookID) (*Webhook, error) {
	account, err := managesWebhooks(actor, "webhookId")
	if err != nil {
		return nil, err
	}
	const query = `SELECT ` + webhookColumns + ` FROM webhooks WHERE id = $1 AND clinic_id = $2 AND ($3::uuid IS NULL OR service_account_id = $3)`
	var found Webhook
	err = s.db.GetContext(ctx, &found, query, id, actor.Clinic.ID, account)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil // it was deleted since
	}
	if err != nil {
		return nil, fmt.Errorf("find the webhook: %w", err)
	}
	return &found, nil
}

// The limits of webhooks.
const (
	maxWebhookURL = 2000
	// maxWebhooks bounds those of a clinic.
	maxWebhooks      = 100
	maxSecretOverlap = 7 * 24 * time.Hour
	// maxTests bounds the tests that wait.
	maxTests = 10
)

// CreateWebhookInput says where a service account is to be told of what.
type CreateWebhookInput struct {
	ClientKey string
	// ServiceAccountID is nil for the actor's own.
	ServiceAccountID *UserID
	Name             string
	URL              string
	EventTypes       []WebhookEventType
}

// CreateWebhook makes a webhook of a service account, which tells of what happens from now on. The secret is what the
// deliveries are signed with: it is empty when the call is repeated.
func (s *Service) CreateWebhook(ctx context.Context, actor Actor, in CreateWebhookInput) (webhook *Webhook, secret string, err error) {
	own, err := managesWebhooks(actor, "serviceAccountId")
	if err != nil {
		return nil, "", err
	}
	account := in.ServiceAccountID
	switch {
	case account == nil && own == nil:
		return nil, "", invalid("serviceAccountId", "Say whose webhook it is: name a service account.")
	case account == nil:
		account = own
	case own != nil && *account != *own:
		return nil, "", notFound("service account", "serviceAccountId")
	}
	id, err := changeIn(ctx, lane{clinic: actor.Clinic.Name}, s, actor, "createWebhook", in.ClientKey, in, func(ctx context.Context, tx *transaction) (WebhookID, error) {
		id, made, err := s.makeWebhook(ctx, tx, *account, in)
		tx.committed = func() { secret = made }
		return id, err
	})
	if err != nil {
		return nil, "", err
	}
	ring(s.webhooks.toRead)
	webhook, err = s.webhook(ctx, actor, id)
	return webhook, secret, err
}

func (s *Service) makeWebhook(ctx context.Context, tx *transaction, account UserID, in CreateWebhookInput) (id WebhookID, secret string, err error) {
	name, err := validWebhookName(in.Name)
	if err != nil {
		return id, "", err
	}
	address, err := s.webhooks.validURL(in.URL)
	if err != nil {
		return id, "", err
	}
	types, scopes, err := validEventTypes(tx.actor, in.EventTypes)
	if err != nil {
		return id, "", err
	}
	// The clinic's row keeps two who make webhooks from passing the limit together, and who changes the directory from doing it
	// between the cursor and the commit.
	const count = `SELECT (SELECT count(*) FROM webhooks WHERE clinic_id = clinics.id) FROM clinics WHERE id = $1 FOR NO KEY UPDATE`
	var webhooks int
	if err := tx.GetContext(ctx, &webhooks, count, tx.actor.Clinic.ID); err != nil {
		return id, "", fmt.Errorf("count the webhooks: %w", err)
	}
	if webhooks >= maxWebhooks {
		return id, "", refuse(CodeTooManyWebhooks, "A clinic has at most %d webhooks: delete one first.", maxWebhooks)
	}
	cursor, err := s.log.Here(ctx, tx.Tx, account.UUID)
	if err != nil {
		return id, "", err
	}
	directory, err := s.directoryCursor(ctx, tx, types)
	if err != nil {
		return id, "", err
	}
	id = WebhookID{newID()}
	secret, sealed := s.webhooks.newSecret(id)
	const insert = `
		INSERT INTO webhooks (id, clinic_id, service_account_id, name, url, event_types, scopes, secret, cursor, directory_cursor)
		SELECT $1, clinic_id, users.id, $4, $5, $6, $7, $8, $9, $10 FROM users
		WHERE users.id = $3 AND clinic_id = $2 AND kind = 'SERVICE' AND deactivated_at IS NULL`
	made, err := tx.updates(ctx, insert, id, tx.actor.Clinic.ID, account, name, address, array(types), array(scopes), sealed, cursor, directory)
	if err != nil {
		return id, "", err
	}
	if !made {
		return id, "", notFound("service account", "serviceAccountId")
	}
	return id, secret, nil
}

func validWebhookName(text string) (string, error) {
	name, refused := clean("name", strings.TrimSpace(text), MaxGroupName, "")
	switch {
	case refused != nil:
		return "", refused
	case blank(name):
		return "", invalid("name", "A webhook needs a name.")
	}
	return name, nil
}

// validURL refuses what can be seen to lead where webhooks may not go. Whither a name leads is seen when it is called.
func (w *webhooks) validURL(text string) (string, error) {
	text, refused := clean("url", strings.TrimSpace(text), maxWebhookURL, "")
	if refused != nil {
		return "", refused
	}
	address, err := url.Parse(text)
	switch {
	case err != nil || address.Hostname() == "" || address.Opaque != "":
		return "", invalid("url", "The address is no URL such as https://partner.example/corridor.")
	case address.Scheme != "https" && (w.Plain == nil || address.Scheme != "http"):
		return "", invalid("url", "The address must begin with https://.")
	case address.User != nil:
		return "", invalid("url", "The address must hold no name and password: deliveries are signed.")
	case address.Fragment != "":
		return "", invalid("url", "The address must hold no fragment.")
	}
	ip, err := netip.ParseAddr(address.Hostname())
	switch {
	case err != nil: // it is a name
	case !w.Reaches(ip):
		return "", invalid("url", "The address is in a network that webhooks may not reach.")
	case address.Scheme == "http" && !w.Plain(ip):
		return "", invalid("url", "The address must begin with https://: http:// is only for the networks that the operator of the server allows.")
	}
	return text, nil
}

// validEventTypes puts event types into their order, and says what a key must open for them. Nobody has an account told of what they
// could not read themselves.
func validEventTypes(actor Actor, given []WebhookEventType) (types []WebhookEventType, scopes []Scope, err error) {
	if len(given) == 0 {
		return nil, nil, invalid("eventTypes", "A webhook tells of something: name at least one type of event.")
	}
	for _, kind := range webhookEventTypes {
		if !slices.Contains(given, kind) {
			continue
		}
		if !actor.May(kind.scope()) {
			return nil, nil, invalid("eventTypes", "For %s the key needs the scope %s.", kind, kind.scope())
		}
		types = append(types, kind)
		if !slices.Contains(scopes, kind.scope()) {
			scopes = append(scopes, kind.scope())
		}
	}
	return types, scopes, nil
}

// directoryCursor is where the clinic's directory is now, nil if nobody wants to hear of it.
func (s *Service) directoryCursor(ctx context.Context, tx *transaction, types []WebhookEventType) (*string, error) {
	if !slices.Contains(types, WebhookContactChanged) {
		return nil, nil
	}
	cursor, err := s.log.Here(ctx, tx.Tx, tx.actor.Clinic.ID.UUID)
	return &cursor, err
}

// changeWebhook does a mutation of a webhook that exists, under the lock of its row.
func (s *Service) changeWebhook(ctx context.Context, actor Actor, operation, key string, in any, id WebhookID,
	act func(ctx context.Context, tx *transaction, webhook Webhook) error,
) (*Webhook, error) {
	account, err := managesWebhooks(actor, "webhookId")
	if err != nil {
		return nil, err
	}
	_, err = change(ctx, s, actor, operation, key, in, func(ctx context.Context, tx *transaction) (WebhookID, error) {
		// Whoever reads for it begins anew.
		const lock = `
			UPDATE webhooks SET version = version + 1
			WHERE id = $1 AND clinic_id = $2 AND ($3::uuid IS NULL OR service_account_id = $3)
			RETURNING ` + webhookColumns
		var webhook Webhook
		err := tx.GetContext(ctx, &webhook, lock, id, actor.Clinic.ID, account)
		if errors.Is(err, sql.ErrNoRows) {
			return id, notFound("webhook", "webhookId")
		}
		if err != nil {
			return id, fmt.Errorf("find the webhook: %w", err)
		}
		return id, act(ctx, tx, webhook)
	})
	if err != nil {
		return nil, err
	}
	ring(s.webhooks.toRead)
	ring(s.webhooks.toSend)
	return s.webhook(ctx, actor, id)
}

// UpdateWebhookInput says what is to be otherwise; what is nil stays.
type UpdateWebhookInput struct {
	ClientKey  string
	WebhookID  WebhookID
	Name       *string
	URL        *string
	EventTypes []WebhookEventType
}

// UpdateWebhook changes a webhook. What waits for delivery goes to the new address, unless it is of a type that is not chosen any more.
func (s *Service) UpdateWebhook(ctx context.Context, actor Actor, in UpdateWebhookInput) (*Webhook, error) {
	return s.changeWebhook(ctx, actor, "updateWebhook", in.ClientKey, in, in.WebhookID, func(ctx context.Context, tx *transaction, webhook Webhook) (err error) {
		name, address, types := webhook.Name, webhook.URL, webhook.EventTypes()
		if in.Name != nil {
			if name, err = validWebhookName(*in.Name); err != nil {
				return err
			}
		}
		if in.URL != nil {
			if address, err = s.webhooks.validURL(*in.URL); err != nil {
				return err
			}
		}
		if in.EventTypes != nil {
			types = in.EventTypes
		}
		types, scopes, err := validEventTypes(actor, types)
		if err != nil {
			return err
		}
		directory, err := s.directoryCursor(ctx, tx, types)
		if err != nil {
			return err
		}
		// What it heard already of the directory it goes on hearing.
		const update = `
			UPDATE webhooks SET name = $2, url = $3, event_types = $4, scopes = $5,
				directory_cursor = CASE WHEN $6::text IS NOT NULL THEN coalesce(directory_cursor, $6) END
			WHERE id = $1`
		if _, err := tx.ExecContext(ctx, update, webhook.ID, name, address, array(types), array(scopes), directory); err != nil {
			return fmt.Errorf("update the webhook: %w", err)
		}
		if in.EventTypes == nil {
			return nil
		}
		return dropOthers(ctx, tx, webhook.ID, types)
	})
}

// dropOthers takes away what waits and is not chosen any more: the keys of the account may not open it by now. The caller holds the lock of
// the webhook's row.
func dropOthers(ctx context.Context, tx *transaction, webhook WebhookID, types []WebhookEventType) error {
	// What waited behind a delivery that failed need not wait any longer.
	const drop = `
		WITH dropped AS (
			DELETE FROM webhook_deliveries WHERE webhook_id = $1 AND kind <> ALL ($2) RETURNING queue
		)
		UPDATE webhook_queues SET next_at = now(), attempts = 0, failing_since = NULL
		WHERE webhook_id = $1 AND queue IN (SELECT queue FROM dropped)`
	if _, err := tx.ExecContext(ctx, drop, webhook, array(slices.Concat(types, webhookAlways))); err != nil {
		return fmt.Errorf("drop what is not chosen: %w", err)
	}
	return nil
}

// RotateWebhookSecretInput says which webhook gets a new secret, and for how long the old one signs, too.
type RotateWebhookSecretInput struct {
	ClientKey      string
	WebhookID      WebhookID
	OverlapMinutes int
}

// RotateWebhookSecret makes a new secret. The secret is empty when the call is repeated.
func (s *Service) RotateWebhookSecret(ctx context.Context, actor Actor, in RotateWebhookSecretInput) (webhook *Webhook, secret string, err error) {
	webhook, err = s.changeWebhook(ctx, actor, "rotateWebhookSecret", in.ClientKey, in, in.WebhookID, func(ctx context.Context, tx *transaction, webhook Webhook) error {
		overlap := time.Duration(in.OverlapMinutes) * time.Minute
		if overlap < 0 || overlap > maxSecretOverlap {
			return invalid("overlapMinutes", "The old secret signs for 0 to %d minutes more.", maxSecretOverlap/time.Minute)
		}
		made, sealed := s.webhooks.newSecret(webhook.ID)
		tx.committed = func() { secret = made }
		const rotate = `
			UPDATE webhooks SET secret = $2, old_secret = CASE WHEN $3 > 0 THEN secret END, old_secret_until = now() + $3 * interval '1 second'
			WHERE id = $1`
		if _, err := tx.ExecContext(ctx, rotate, webhook.ID, sealed, overlap.Seconds()); err != nil {
			return fmt.Errorf("rotate the secret: %w", err)
		}
		return nil
	})
	return webhook, secret, err
}

// PauseWebhookInput says which webhook is to wait.
type PauseWebhookInput struct {
	ClientKey string
	WebhookID WebhookID
}

// PauseWebhook stops reading and sending. Nothing is lost that the log still holds.
func (s *Service) PauseWebhook(ctx context.Context, actor Actor, in PauseWebhookInput) (*Webhook, error) {
	return s.changeWebhook(ctx, actor, "pauseWebhook", in.ClientKey, in, in.WebhookID, func(ctx context.Context, tx *transaction, webhook Webhook) error {
		if _, err := tx.ExecContext(ctx, `UPDATE webhooks SET state = 'PAUSED' WHERE id = $1`, webhook.ID); err != nil {
			return fmt.Errorf("pause the webhook: %w", err)
		}
		return nil
	})
}

// ResumeWebhookInput says which webhook is to go on.
type ResumeWebhookInput struct {
	ClientKey string
	WebhookID WebhookID
}

// ResumeWebhook goes on where the webhook stopped, and tries at once what has failed.
func (s *Service) ResumeWebhook(ctx context.Context, actor Actor, in ResumeWebhookInput) (*Webhook, error) {
	return s.changeWebhook(ctx, actor, "resumeWebhook", in.ClientKey, in, in.WebhookID, func(ctx context.Context, tx *transaction, webhook Webhook) error {
		const resume = `UPDATE webhooks SET state = 'ACTIVE', failing_since = NULL, hold_until = NULL WHERE id = $1`
		if _, err := tx.ExecContext(ctx, resume, webhook.ID); err != nil {
			return fmt.Errorf("resume the webhook: %w", err)
		}
		// In the order in which others take them.
		const again = `
			UPDATE webhook_queues SET next_at = now(), attempts = 0, failing_since = NULL
			FROM (SELECT webhook_id, queue FROM webhook_queues WHERE webhook_id = $1 ORDER BY queue FOR NO KEY UPDATE) AS locked
			WHERE webhook_queues.webhook_id = locked.webhook_id AND webhook_queues.queue = locked.queue`
		if _, err := tx.ExecContext(ctx, again, webhook.ID); err != nil {
			return fmt.Errorf("resume the webhook: %w", err)
		}
		return nil
	})
}

// ReplayWebhookInput says from where a webhook is to tell everything again.
type ReplayWebhookInput struct {
	ClientKey string
	WebhookID WebhookID
	After     string
}

// ReplayWebhook tells again of what happened behind a cursor: that of a delivery, or one of the account's stream of events.
func (s *Service) ReplayWebhook(ctx context.Context, actor Actor, in ReplayWebhookInput) (*Webhook, error) {
	return s.changeWebhook(ctx, actor, "replayWebhook", in.ClientKey, in, in.WebhookID, func(ctx context.Context, tx *transaction, webhook Webhook) error {
		rewind := ""
		switch {
		case s.log.Owns(webhook.ServiceAccountID.UUID, in.After):
			rewind = `UPDATE webhooks SET cursor = $2 WHERE id = $1`
		case slices.Contains(webhook.EventTypes(), WebhookContactChanged) && s.log.Owns(actor.Clinic.ID.UUID, in.After):
			rewind = `UPDATE webhooks SET directory_cursor = $2 WHERE id = $1`
		default:
			return refuse(CodeCursorInvalid, "This cursor is none of this webhook's.").of("after")
		}
		if _, err := tx.ExecContext(ctx, rewind, webhook.ID, in.After); err != nil {
			return fmt.Errorf("rewind the webhook: %w", err)
		}
		return nil
	})
}

// TestWebhookInput says which webhook is to be tried.
type TestWebhookInput struct {
	ClientKey string
	WebhookID WebhookID
}

// TestWebhook sends an event that says nothing.
func (s *Service) TestWebhook(ctx context.Context, actor Actor, in TestWebhookInput) (*Webhook, error) {
	return s.changeWebhook(ctx, actor, "testWebhook", in.ClientKey, in, in.WebhookID, func(ctx context.Context, tx *transaction, webhook Webhook) error {
		const count = `SELECT count(*) FROM webhook_deliveries WHERE webhook_id = $1 AND queue = $2 AND kind = $3`
		var waiting int
		if err := tx.GetContext(ctx, &waiting, count, webhook.ID, uuid.Nil, webhookTest); err != nil {
			return fmt.Errorf("count the tests: %w", err)
		}
		if waiting >= maxTests {
			return refuse(CodeRateLimited, "%d tests of this webhook wait already.", waiting)
		}
		const place = `UPDATE webhooks SET last_place = last_place + 1 WHERE id = $1 RETURNING last_place`
		var last int64
		if err := tx.GetContext(ctx, &last, place, webhook.ID); err != nil {
			return fmt.Errorf("test the webhook: %w", err)
		}
		return enqueue(ctx, tx.Tx, webhook.ID, last, []WebhookDelivery{{ID: newID(), Type: webhookTest, OccurredAt: time.Now()}})
	})
}

// DeleteWebhookInput says which webhook ends.
type DeleteWebhookInput struct {
	ClientKey string
	WebhookID WebhookID
}

// DeleteWebhook ends a webhook, with what waits for delivery.
func (s *Service) DeleteWebhook(ctx context.Context, actor Actor, in DeleteWebhookInput) (WebhookID, error) {
	_, err := s.changeWebhook(ctx, actor, "deleteWebhook", in.ClientKey, in, in.WebhookID, func(ctx context.Context, tx *transaction, webhook Webhook) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM webhooks WHERE id = $1`, webhook.ID); err != nil {
			return fmt.Errorf("delete the webhook: %w", err)
		}
		return nil
	})
	return in.WebhookID, err
}
