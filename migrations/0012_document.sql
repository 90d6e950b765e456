-- Documents that keys of partners may be bound to.
-- +goose Up

ALTER TABLE partner_keys ADD COLUMN documents_only boolean NOT NULL DEFAULT false;

-- Whoever changes the documents of a service account locks its row here.
CREATE TABLE document_sets (
    service_account_id uuid PRIMARY KEY REFERENCES users,
    -- How often some were removed. Servers look up anew what they know from before.
    removals bigint NOT NULL DEFAULT 0
);

CREATE TABLE documents (
    service_account_id uuid NOT NULL REFERENCES document_sets,
    -- Of the text, so that a document never changes.
    sha256 bytea NOT NULL,
    text text NOT NULL,
    -- That of its first operation.
    name text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (service_account_id, sha256),
    CHECK (sha256 = sha256(convert_to(text, 'UTF8')))
);
