-- Conversations and who takes part in them.
-- +goose Up

CREATE TABLE conversations (
    id uuid PRIMARY KEY,
    clinic_id uuid NOT NULL REFERENCES clinics,
    kind text NOT NULL CHECK (kind IN ('DIRECT', 'GROUP')),
    stream bigint NOT NULL REFERENCES streams,
    name text,
    owner_id uuid REFERENCES users,
    -- The pair of a direct conversation, the smaller id first.
    first_user_id uuid REFERENCES users,
    second_user_id uuid REFERENCES users,
    created_at timestamptz NOT NULL DEFAULT now(),
    -- Of the newest line of the transcript.
    last_seq bigint NOT NULL DEFAULT 0,
    last_activity_at timestamptz NOT NULL DEFAULT now(),
    -- How many messages people have sent: unread counts are differences of it.
    text_count bigint NOT NULL DEFAULT 0,
    -- The last participant went: nobody can be added any more, leavers can still read.
    closed_at timestamptz,
    deleted_at timestamptz,
    deleted_by uuid REFERENCES users,
    purged_at timestamptz,
    CONSTRAINT conversations_direct_pair UNIQUE (first_user_id, second_user_id),
    CONSTRAINT conversations_shape CHECK (
        CASE kind
            WHEN 'DIRECT' THEN first_user_id < second_user_id AND name IS NULL AND owner_id IS NULL
            ELSE first_user_id IS NULL AND second_user_id IS NULL AND name IS NOT NULL
                AND (owner_id IS NOT NULL OR closed_at IS NOT NULL)
        END)
) WITH (fillfactor = 70);
CREATE INDEX conversations_second_user ON conversations (second_user_id);
CREATE INDEX conversations_owner ON conversations (owner_id) WHERE owner_id IS NOT NULL;
CREATE INDEX conversations_deleted ON conversations (deleted_at) WHERE deleted_at IS NOT NULL AND purged_at IS NULL;

CREATE TABLE participants (
    id uuid PRIMARY KEY,
    conversation_id uuid NOT NULL REFERENCES conversations,
    user_id uuid NOT NULL REFERENCES users,
    -- Of the present membership; a re-added person joined again.
    joined_at timestamptz NOT NULL DEFAULT now(),
    left_at timestamptz,
    left_reason text CHECK (left_reason IN ('LEFT', 'REMOVED')),
    -- What the conversation was when the person went: the leaver's list is frozen there.
    left_seq bigint,
    left_text_count bigint,
    left_name text,
    left_owner_id uuid,
    left_activity_at timestamptz,
    read_seq bigint NOT NULL DEFAULT 0,
    -- Messages up to the read position, and those behind it that the person may not see.
    read_text_count bigint NOT NULL DEFAULT 0,
    muted_at timestamptz,
    -- Without an end the person is muted until they unmute.
    muted_until timestamptz,
    archived_at timestamptz,
    CONSTRAINT participants_once UNIQUE (conversation_id, user_id),
    CONSTRAINT participants_left CHECK (
        (left_at IS NULL) = (left_reason IS NULL) AND (left_at IS NULL) = (left_seq IS NULL))
) WITH (fillfactor = 70);
CREATE INDEX participants_user ON participants (user_id, conversation_id);
CREATE INDEX participants_archived ON participants (conversation_id) WHERE archived_at IS NOT NULL;
