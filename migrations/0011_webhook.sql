-- Webhooks: where service accounts are told of what happens for them, and what is still to be told.
-- +goose Up

CREATE TABLE webhooks (
    id uuid PRIMARY KEY,
    clinic_id uuid NOT NULL REFERENCES clinics,
    service_account_id uuid NOT NULL REFERENCES users,
    name text NOT NULL,
    url text NOT NULL,
    event_types text[] NOT NULL,
    -- What a key of the account must open so that it may hear of these.
    scopes text[] NOT NULL,
    -- Encrypted: what it signs with can't be a hash.
    secret bytea NOT NULL,
    -- The one before signs too, for a while.
    old_secret bytea,
    old_secret_until timestamptz,
    state text NOT NULL DEFAULT 'ACTIVE' CHECK (state IN ('ACTIVE', 'PAUSED')),
    created_at timestamptz NOT NULL DEFAULT now(),
    -- How far the account's stream is read, and that of the clinic's directory if it is.
    cursor text NOT NULL,
    directory_cursor text,
    -- Grows whenever somebody changes the webhook: who reads for it begins anew.
    version bigint NOT NULL DEFAULT 0,
    -- Grows whenever a cursor is written: of two who read, one writes.
    reading bigint NOT NULL DEFAULT 0,
    -- The place of the newest delivery.
    last_place bigint NOT NULL DEFAULT 0,
    -- The first failure since something was delivered.
    failing_since timestamptz,
    -- The receiver asked for less.
    hold_until timestamptz,
    last_delivered_at timestamptz,
    last_error text,
    last_error_at timestamptz,
    -- How many deliveries failed for a day while others did not.
    given_up bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
CREATE INDEX webhooks_clinic ON webhooks (clinic_id, created_at, id);
CREATE INDEX webhooks_service_account ON webhooks (service_account_id, created_at, id);

-- One row for each conversation of which a webhook has something to tell. What is of no conversation has a queue
-- of its own, of the id that is all zeros.
CREATE TABLE webhook_queues (
    webhook_id uuid NOT NULL REFERENCES webhooks ON DELETE CASCADE,
    queue uuid NOT NULL,
    next_at timestamptz NOT NULL DEFAULT now(),
    -- Of the oldest delivery.
    attempts integer NOT NULL DEFAULT 0,
    failing_since timestamptz,
    -- Who sends, and until when nobody else does.
    claim uuid,
    claimed_until timestamptz,
    CONSTRAINT webhook_queues_pkey PRIMARY KEY (webhook_id, queue)
) WITH (fillfactor = 50);
CREATE INDEX webhook_queues_next ON webhook_queues (webhook_id, next_at, queue);
CREATE INDEX webhook_queues_claimed ON webhook_queues (webhook_id) WHERE claim IS NOT NULL;

-- What is not delivered yet: ids, never text. The id is made of the webhook and the event, so a replay makes the same.
CREATE TABLE webhook_deliveries (
    webhook_id uuid NOT NULL,
    id uuid NOT NULL,
    queue uuid NOT NULL,
    place bigint NOT NULL,
    kind text NOT NULL,
    conversation_id uuid,
    message_id uuid,
    user_id uuid,
    reason text,
    -- Resumes the stream behind the event.
    cursor text,
    occurred_at timestamptz NOT NULL,
    CONSTRAINT webhook_deliveries_pkey PRIMARY KEY (webhook_id, id),
    CONSTRAINT webhook_deliveries_queue FOREIGN KEY (webhook_id, queue) REFERENCES webhook_queues ON DELETE CASCADE
);
CREATE UNIQUE INDEX webhook_deliveries_place ON webhook_deliveries (webhook_id, queue, place);

-- Which process reads for which webhook. Nothing is lost with it.
CREATE UNLOGGED TABLE webhook_leases (
    webhook_id uuid PRIMARY KEY REFERENCES webhooks ON DELETE CASCADE,
    holder uuid NOT NULL,
    until timestamptz NOT NULL
) WITH (fillfactor = 50);

ALTER TABLE webhook_queues SET (autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0);
ALTER TABLE webhook_deliveries SET (autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0);
