-- The append-only log and what a reader needs to follow it (internal/eventlog).
-- +goose Up

CREATE TABLE streams (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- seq of the newest event. Its row lock orders the stream: seq order is commit order.
    head bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

-- One row for each thing that happened: ids only, never text.
CREATE TABLE events (
    stream bigint NOT NULL,
    seq bigint NOT NULL,
    kind text NOT NULL,
    actor uuid,
    scope uuid,
    subject uuid,
    object uuid,
    opens uuid[],
    closes uuid[],
    occurred_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT events_pkey PRIMARY KEY (stream, seq)
);

-- What the feed does not hold yet. Small: emptied about ten times a second.
CREATE TABLE unnumbered (
    stream bigint NOT NULL,
    seq bigint NOT NULL,
    CONSTRAINT unnumbered_pkey PRIMARY KEY (stream, seq)
);

-- The total order that cursors count in: gapless, disposable after its retention.
CREATE TABLE feed (
    pos bigint PRIMARY KEY,
    stream bigint NOT NULL,
    seq bigint NOT NULL,
    numbered_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX feed_stream_pos ON feed (stream, pos) INCLUDE (seq);

-- One row. Whoever numbers holds its lock.
CREATE TABLE feed_state (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    -- Another database, or a restored one, is another incarnation: old cursors are then refused.
    incarnation bigint NOT NULL DEFAULT (random() * 4294967295)::bigint,
    head bigint NOT NULL DEFAULT 0,
    floor bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 10);
INSERT INTO feed_state DEFAULT VALUES;

-- Who may see which part of which stream. An open span ends at the largest bigint.
CREATE TABLE spans (
    reader uuid NOT NULL,
    stream bigint NOT NULL,
    from_seq bigint NOT NULL,
    to_seq bigint NOT NULL DEFAULT 9223372036854775807,
    -- The event that opened it: later than from_seq where earlier history was revealed.
    opened_seq bigint NOT NULL,
    CONSTRAINT spans_pkey PRIMARY KEY (reader, stream, from_seq),
    CONSTRAINT spans_forward CHECK (from_seq <= to_seq)
);
CREATE UNIQUE INDEX spans_open_once ON spans (stream, reader) WHERE to_seq = 9223372036854775807;

ALTER TABLE unnumbered SET (autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0);
