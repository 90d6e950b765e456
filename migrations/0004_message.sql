-- Messages and the system lines between them.
-- +goose Up

CREATE TABLE messages (
    id uuid PRIMARY KEY,
    conversation_id uuid NOT NULL REFERENCES conversations,
    seq bigint NOT NULL,
    kind text NOT NULL CHECK (kind IN ('TEXT', 'GROUP_CREATED', 'GROUP_RENAMED', 'PARTICIPANT_ADDED',
        'PARTICIPANT_REMOVED', 'PARTICIPANT_LEFT', 'OWNER_CHANGED')),
    -- Who sent it or did it. Null: the clinic's roster did.
    sender_id uuid REFERENCES users,
    -- Whom a system line is about.
    subject_id uuid REFERENCES users,
    -- What was sent; of a renamed or created group its name; empty once recalled.
    body text NOT NULL DEFAULT '',
    client_key text,
    -- Messages of people up to and with this line.
    text_count bigint NOT NULL,
    sent_at timestamptz NOT NULL DEFAULT now(),
    -- The event that last edited it: whoever may not see that event sees an earlier revision.
    edited_seq bigint,
    recalled_at timestamptz,
    CONSTRAINT messages_seq_key UNIQUE (conversation_id, seq)
);
CREATE INDEX messages_recalled ON messages (conversation_id, seq) WHERE recalled_at IS NOT NULL;

-- What a message said from one event on, its first wording with the seq of the message itself.
-- Only edited messages have revisions.
CREATE TABLE message_revisions (
    message_id uuid NOT NULL REFERENCES messages ON DELETE CASCADE,
    seq bigint NOT NULL,
    body text NOT NULL,
    made_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT message_revisions_pkey PRIMARY KEY (message_id, seq)
);
