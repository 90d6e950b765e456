-- Keys of partner integrations, the service accounts that act with them, and who administers them.
-- +goose Up

ALTER TABLE users DROP CONSTRAINT users_kind_check;
ALTER TABLE users ADD CONSTRAINT users_kind_check CHECK (kind IN ('PROVIDER', 'STAFF', 'PATIENT', 'SERVICE'));
ALTER TABLE users ADD COLUMN administrator boolean NOT NULL DEFAULT false;
CREATE INDEX users_service ON users (clinic_id) WHERE kind = 'SERVICE';

CREATE TABLE partner_keys (
    id uuid PRIMARY KEY,
    clinic_id uuid NOT NULL REFERENCES clinics,
    service_account_id uuid NOT NULL REFERENCES users,
    name text NOT NULL,
    -- Of 32 random bytes: there is nothing to guess that a slow hash would protect.
    secret_sha256 bytea NOT NULL,
    scopes text[] NOT NULL,
    -- From where it may be used; from everywhere if there are none.
    networks cidr[] NOT NULL DEFAULT '{}',
    -- Null: by an operator, on the command line.
    created_by uuid REFERENCES users,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    -- To the minute.
    last_used_at timestamptz
) WITH (fillfactor = 70);
CREATE INDEX partner_keys_clinic ON partner_keys (clinic_id, id);
CREATE INDEX partner_keys_service_account ON partner_keys (service_account_id);
