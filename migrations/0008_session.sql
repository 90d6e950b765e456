-- Sessions that were ended, and the keys of an OpenID Connect issuer, which outlast a restart while it is away.
-- +goose Up

-- Tokens that were issued to the person until then are refused.
ALTER TABLE users ADD COLUMN signed_out_at timestamptz;

-- Single tokens that are refused, by the hash of what was signed.
CREATE TABLE ended_sessions (
    user_id uuid NOT NULL REFERENCES users,
    token text NOT NULL CHECK (token <> ''),
    ended_at timestamptz NOT NULL DEFAULT now(),
    -- From then on the token is refused anyway.
    expires_at timestamptz NOT NULL,
    CONSTRAINT ended_sessions_pkey PRIMARY KEY (user_id, token)
);
CREATE INDEX ended_sessions_end ON ended_sessions (ended_at);
CREATE INDEX ended_sessions_expiry ON ended_sessions (expires_at);

CREATE TABLE issuer_keys (
    issuer text NOT NULL,
    keys jsonb NOT NULL,
    fetched_at timestamptz NOT NULL,
    CONSTRAINT issuer_keys_pkey PRIMARY KEY (issuer)
);
