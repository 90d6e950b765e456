-- Who muted a conversation is asked for with each message.
-- +goose Up

CREATE INDEX participants_muted ON participants (conversation_id) WHERE muted_at IS NOT NULL;
